"""A class: many learners on one machine, whose progress a trainer follows in one folder, and whom he lets begin a task together.

The folder is the trainer's, and everybody may put files into it (mode 1777, as /tmp). A learner's file is his own: what it says is shown
with the name of the user it belongs to, and is never more than text and numbers.
"""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.errors import InputError
from lab.learn.progress import Progress, file_of, load, write_whole
from lab.report.spreadsheet import csv_text

STUCK_AFTER: Final = 10 * 60
"""Seconds without a step forward after which somebody counts as stuck, who has tried in vain."""
_RULES: Final = "class.json"


@dataclass(frozen=True, slots=True)
class Pupil:
    """Where somebody is."""

    person: str
    user: str
    """Whose file says so."""
    lesson: str
    task: str
    done: int
    tasks: int
    points: int
    attempts: int
    clues: int
    minutes: int
    """Since the task was begun."""
    quiet: int
    """Minutes since anything was heard."""
    state: str
    """`working`, `stuck`, `waiting` (at a barrier) or `finished`."""


def make_class(folder: Path) -> None:
    """Make a folder for a class. Raises InputError when there is one already, or none can be made."""
    try:
        folder.mkdir(mode=0o700)
        (folder / _RULES).write_text(json.dumps({"opened": {}}))
        folder.chmod(0o1777)
    except OSError as error:
        raise InputError(f"no class can be made in {str(folder)!r}: {error.strerror}", hint="name a folder that is not there yet") from None


def check_class(folder: Path) -> Path:
    """Return a class's folder. Raises InputError when it is none."""
    if not (folder / _RULES).is_file():
        raise InputError(f"{str(folder)!r} is no class", hint=f"a trainer makes one: lab learn --class {folder} --new")
    return folder.resolve()


def open_barrier(folder: Path, lesson: str, number: int) -> None:
    """Let everybody begin a task, whoever is still at the one before. Raises InputError."""
    opened = {**_opened(folder), lesson: number}
    try:
        write_whole(folder / _RULES, json.dumps({"opened": opened}))
    except OSError as error:
        raise InputError(f"the class cannot be changed: {error.strerror}", hint="only the trainer who made it can") from None


def may_begin(folder: Path, lesson: str, number: int) -> bool:
    """Whether the task of this number may be begun: all of the class have come so far, or the trainer has opened it."""
    if _opened(folder).get(lesson, 0) >= number:
        return True
    return all(progress.current >= number for progress, _ in _everybody(folder) if progress.lesson == lesson)


def pupils(folder: Path, barriers: Mapping[str, Sequence[int]]) -> list[Pupil]:
    """Return where everybody is, those who are stuck first. `barriers` are the numbers of the tasks of each lesson that have one."""
    now = time.time()
    opened = _opened(folder)
    found = [_pupil(progress, user, now, barriers.get(progress.lesson, ()), opened) for progress, user in _everybody(folder)]
    order = ("stuck", "waiting", "working", "finished")
    return sorted(found, key=lambda pupil: (order.index(pupil.state), pupil.person, pupil.lesson))


def as_csv(found: Sequence[Pupil]) -> str:
    """Return where everybody is as a table for a spreadsheet."""
    rows = ([getattr(pupil, name) for name in Pupil.__slots__] for pupil in found)
    return csv_text(Pupil.__slots__, rows, line_end="\n")


def _opened(folder: Path) -> dict[str, int]:
    """Return up to which task each lesson was opened; nothing where the file is not its folder's owner's."""
    try:
        with (folder / _RULES).open("rb") as file:
            if os.fstat(file.fileno()).st_uid != folder.stat().st_uid:
                return {}
            opened = json.loads(file.read(1 << 16))["opened"]
        return {str(lesson): int(number) for lesson, number in opened.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _everybody(folder: Path) -> list[tuple[Progress, str]]:
    found = []
    for file in sorted(folder.glob("*--*.json")):
        with suppress(InputError, OSError):
            progress = load(file)
            if progress is not None and file == file_of(folder, progress.person, progress.lesson):
                found.append((progress, _user(file.lstat().st_uid)))
    return found


def _pupil(progress: Progress, user: str, now: float, barriers: Sequence[int], opened: Mapping[str, int]) -> Pupil:
    number = min(progress.current, len(progress.tasks) - 1)
    task = progress.tasks[number]
    minutes, quiet = (max(0, int((now - since) // 60)) for since in (task.begun or progress.updated, progress.updated))
    state = "working"
    if progress.finished:
        state = "finished"
    elif not task.begun and number in barriers and opened.get(progress.lesson, 0) < number:
        state = "waiting"
    elif minutes * 60 >= STUCK_AFTER and (task.attempts or task.hints or quiet * 60 >= STUCK_AFTER):
        state = "stuck"
    done = sum(bool(each.done) for each in progress.tasks)
    attempts, clues = (sum(getattr(each, name) for each in progress.tasks) for name in ("attempts", "clues"))
    counts = (done, len(progress.tasks), progress.points, attempts, clues, minutes, quiet)
    return Pupil(progress.person, user, progress.lesson, task.task, *counts, state)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
