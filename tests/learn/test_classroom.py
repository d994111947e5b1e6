"""A class: who is where, who is stuck, what a spreadsheet gets to read, and when the next task begins."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.learn.classroom import STUCK_AFTER, as_csv, check_class, make_class, may_begin, open_barrier, pupils
from lab.learn.progress import Progress, file_of, save
from lab.report.spreadsheet import csv_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_class(tmp_path / "class")
    return check_class(tmp_path / "class")


def at(folder: Path, person: str, done: int = 0, *, begun: float | None = None, attempts: int = 0) -> Progress:
    """Somebody who has done so many of two tasks, and began the next one then."""
    progress = Progress.begin(person, "two-servers", 1, ("first", "second"))
    for task in progress.tasks[:done]:
        task.begun, task.done, task.points = 1.0, 2.0, 90
    if done < 2 and begun is not None:
        progress.tasks[done].begun, progress.tasks[done].attempts = begun, attempts
    save(progress, (file_of(folder, person, "two-servers"),))
    return progress


def test_those_who_are_stuck_come_first(folder: Path) -> None:
    now = time.time()
    at(folder, "ann", 1, begun=now)
    at(folder, "bob", 0, begun=now - STUCK_AFTER - 60, attempts=3)
    at(folder, "cem", 2)
    at(folder, "dora", 1)
    found = pupils(folder, {"two-servers": [1]})
    assert [(pupil.person, pupil.state) for pupil in found] == [
        ("bob", "stuck"),
        ("dora", "waiting"),
        ("ann", "working"),
        ("cem", "finished"),
    ]
    assert (found[0].task, found[0].attempts, found[0].minutes) == ("first", 3, STUCK_AFTER // 60 + 1)
    assert (found[2].task, found[2].done, found[2].points) == ("second", 1, 45)


def test_a_task_with_a_barrier_begins_when_all_have_come_so_far(folder: Path) -> None:
    at(folder, "ann", 1)
    at(folder, "bob", 0)
    assert not may_begin(folder, "two-servers", 1)
    at(folder, "bob", 1)
    assert may_begin(folder, "two-servers", 1)


def test_or_when_the_trainer_says_so(folder: Path) -> None:
    at(folder, "ann", 1)
    at(folder, "bob", 0)
    open_barrier(folder, "two-servers", 1)
    assert may_begin(folder, "two-servers", 1)
    assert not may_begin(folder, "two-servers", 2)


def test_whatever_else_lies_in_the_folder_is_no_learner(folder: Path) -> None:
    at(folder, "ann", 1, begun=1.0)
    (folder / "eve--two-servers.json").symlink_to("/etc/passwd")
    (folder / "mal--two-servers.json").write_text("{")
    (folder / "pretender--two-servers.json").write_text((folder / "ann--two-servers.json").read_text())
    assert [pupil.person for pupil in pupils(folder, {})] == ["ann"]


def test_a_folder_is_a_class_when_a_trainer_made_it_one(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="is no class"):
        check_class(tmp_path)
    with pytest.raises(InputError, match="no class can be made"):
        make_class(folder)
    assert folder.stat().st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_can_be_taken_for_a_formula(text: str) -> None:
    ((cell,),) = list(csv.reader(io.StringIO(csv_text(["x"], [[text]]))))[1:]
    assert cell[0] not in "=+-@\t\r\n"


def test_the_csv_file_has_a_row_for_everybody(folder: Path) -> None:
    at(folder, "ann", 1, begun=1.0)
    rows = list(csv.DictReader(io.StringIO(as_csv(pupils(folder, {})))))
    assert [(row["person"], row["done"], row["points"]) for row in rows] == [("ann", "1", "45")]
