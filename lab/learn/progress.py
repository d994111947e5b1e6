"""What a person has achieved: a file for each lesson, in his own state folder (XDG Base Directory), written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from lab.errors import InputError, quoted, unsafe_character

_PERSON: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_LARGEST: Final = 1 << 20
_LARGEST_NUMBER: Final = 1e12
_LONGEST_TEXT: Final = 200


@dataclass(slots=True)
class TaskProgress:
    """How somebody fared with a task. Times are seconds since 1970."""

    task: str
    begun: float = 0.0
    attempts: int = 0
    """How often it was checked or handed in."""
    clues: int = 0
    hints: int = 0
    solved: bool = False
    """Whether the solution was asked for: then it gives no points."""
    done: float = 0.0
    """When it was done; 0 if it is not."""
    points: int = 0
    deductions: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Progress:
    """How somebody fares with a lesson."""

    person: str
    lesson: str
    seed: int
    tasks: list[TaskProgress]
    updated: float = 0.0

    @staticmethod
    def begin(person: str, lesson: str, seed: int, tasks: tuple[str, ...]) -> Progress:
        """Return the progress of somebody who has achieved nothing yet."""
        return Progress(person, lesson, seed, [TaskProgress(task) for task in tasks])

    @property
    def current(self) -> int:
        """The number of the first task that is not done, or how many there are."""
        return next((number for number, task in enumerate(self.tasks) if not task.done), len(self.tasks))

    @property
    def finished(self) -> bool:
        """Whether all tasks are done."""
        return self.current == len(self.tasks)

    @property
    def points(self) -> int:
        """The average of all tasks, those included that are not done."""
        return sum(task.points for task in self.tasks) // len(self.tasks)


def check_person(name: str) -> str:
    """Return what can be a person's name in file names. Raises InputError."""
    if _PERSON.fullmatch(name) is None:
        raise InputError(
            f"{quoted(name)} cannot name a learner", hint="letters, digits, '_', '.' and '-', at most 40, a letter or digit first"
        )
    return name


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return where progress is kept: $XDG_STATE_HOME/lab/learn, by default ~/.local/state/lab/learn."""
    base = environment.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):  # the specification: relative paths are invalid
        home = environment.get("HOME", "")
        base = f"{home}/.local/state" if home.startswith("/") else f"/tmp/lab-{os.getuid()}"
    return Path(base) / "lab" / "learn"


def file_of(folder: Path, person: str, lesson: str) -> Path:
    """Return the file of a person's progress with a lesson."""
    return folder / f"{check_person(person)}--{lesson}.json"


def save(progress: Progress, files: tuple[Path, ...]) -> None:
    """Write progress to files, each whole or not at all. Raises InputError."""
    progress.updated = time.time()
    text = json.dumps(asdict(progress), indent=1)
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(file, text)
        except OSError as error:
            raise InputError(f"progress cannot be written to {str(file)!r}: {error.strerror}") from None


def write_whole(file: Path, text: str) -> None:
    """Write a file, whole or not at all, in a folder into which others may write, too: no link of theirs is followed. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".new")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            os.fchmod(new.fileno(), 0o644)
            new.write(text)
        Path(name).replace(file)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise


def load(file: Path) -> Progress | None:
    """Read progress; None where there is none. Raises InputError for a file that is none of ours.

    Anybody may have put it there (a class writes to one folder), so it is no link, of a bounded size, and nothing in it is believed.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"progress cannot be read from {str(file)!r}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise _damaged(file)
        text = opened.read(_LARGEST)
    try:
        return _parsed(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _damaged(file) from None


def _damaged(file: Path) -> InputError:
    return InputError(f"{str(file)!r} is no progress of a lesson", hint="remove it to begin anew")


def _parsed(value: Any) -> Progress:
    tasks = [_of(TaskProgress, task) for task in value["tasks"]]
    found: Progress = _of(Progress, {**value, "tasks": []})
    check_person(found.person)
    if not tasks or len(tasks) > 100:
        raise ValueError
    return replace(found, tasks=tasks)


def _of(kind: type[Any], value: dict[str, Any]) -> Any:
    """Return a record of plain values, each of the type that it is declared with, and none that a view could stumble over."""
    known = {part.name: str(part.type) for part in fields(kind)}
    for name, given in value.items():
        match known[name], given:
            case "bool", bool():
                pass
            case (("int" | "float"), bool()):
                raise TypeError(name)
            case (("int" | "float"), int()) if abs(given) < _LARGEST_NUMBER:
                pass
            case "float", float() if abs(given) < _LARGEST_NUMBER:  # and so no NaN
                pass
            case "str", str():
                _check_text(given)
            case _, list():
                for text in given:
                    _check_text(text)
            case _:
                raise TypeError(name)
    return kind(**value)


def _check_text(text: Any) -> None:
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT or unsafe_character(text) is not None:
        raise ValueError
