"""What is kept of a learner, and what is believed of a file that anybody may have written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.learn.course import seed_of
from lab.learn.progress import Progress, check_person, file_of, load, save, state_folder


def anns(tmp_path: Path) -> tuple[Progress, Path]:
    return Progress.begin("ann", "one-way", 7, ("first", "second")), file_of(tmp_path / "deep" / "down", "ann", "one-way")


def test_progress_is_read_as_it_was_written(tmp_path: Path) -> None:
    progress, file = anns(tmp_path)
    progress.tasks[0].done, progress.tasks[0].points, progress.tasks[0].deductions = 5.0, 80, ["filter-off"]
    save(progress, (file,))
    assert load(file) == progress
    assert (progress.current, progress.finished, progress.points) == (1, False, 40)
    assert [path.name for path in file.parent.iterdir()] == ["ann--one-way.json"], "nothing lies beside it"


def test_who_has_no_progress_has_none(tmp_path: Path) -> None:
    assert load(tmp_path / "nobody--one-way.json") is None


def test_a_file_that_cannot_be_replaced_stays_whole(tmp_path: Path) -> None:
    progress, file = anns(tmp_path)
    save(progress, (file,))
    before = file.read_text()
    with pytest.raises(InputError, match="cannot be written"):
        save(progress, (tmp_path / "deep" / "down" / "ann--one-way.json" / "inside",))
    assert file.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"person": "ann"}',
        '{"person": "ann", "lesson": "x", "seed": "7", "tasks": []}',
        '{"person": "ann", "lesson": "x", "seed": 7, "tasks": [{"task": 3}]}',
        '{"person": "ann", "lesson": "x", "seed": 7, "tasks": [{"task": "a", "points": true}]}',
        '{"person": "ann", "lesson": "x", "seed": 7, "tasks": [{"task": "a", "colour": "red"}]}',
        '{"person": "' + "a" * 1000 + '", "lesson": "x", "seed": 7, "tasks": [{"task": "a"}]}',
        '{"person": "=cmd()", "lesson": "x", "seed": 7, "tasks": [{"task": "a"}]}',
        '{"person": "ann", "lesson": "x", "seed": 7, "tasks": [{"task": "a", "begun": NaN}]}',
        '{"person": "ann", "lesson": "x", "seed": 7, "tasks": [{"task": "a", "begun": 1e300}]}',
        '{"person": "ann", "lesson": "x", "seed": 7, "tasks": [{"task": "a", "deductions": [1]}]}',
        '{"person": "ann", "lesson": "\\u001b[2J", "seed": 7, "tasks": [{"task": "a"}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_progress_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ann--x.json"
    file.write_text(text)
    with pytest.raises(InputError):
        load(file)


def test_a_link_and_a_pipe_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(InputError):
            load(tmp_path / name)


@pytest.mark.parametrize("name", ["", "../ann", "a/b", "-ann", "ann\n", "=ann", "a" * 41])
def test_a_name_that_could_mean_another_file_is_none(name: str) -> None:
    with pytest.raises(InputError, match="cannot name a learner"):
        check_person(name)


def test_progress_is_kept_where_the_base_directory_specification_says() -> None:
    assert state_folder({"XDG_STATE_HOME": "/state", "HOME": "/home/ann"}) == Path("/state/lab/learn")
    assert state_folder({"XDG_STATE_HOME": "state", "HOME": "/home/ann"}) == Path("/home/ann/.local/state/lab/learn")
    assert state_folder({}).is_absolute()


def test_neighbours_get_seeds_of_their_own_and_always_the_same() -> None:
    assert seed_of("ann", "one-way") == seed_of("ann", "one-way")
    assert len({seed_of(person, "one-way") for person in ("ann", "bob", "eve")}) == 3


def test_a_progress_file_is_json(tmp_path: Path) -> None:
    progress, file = anns(tmp_path)
    save(progress, (file,))
    assert json.loads(file.read_text())["tasks"][1]["task"] == "second"
