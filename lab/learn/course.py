"""Which lessons there are, and how far somebody has come with each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from lab.errors import InputError, did_you_mean
from lab.learn.progress import file_of, load, state_folder
from lab.spec import names
from lab.spec.lesson import Lesson
from lab.spec.lesson_file import read_head


@dataclass(frozen=True, slots=True)
class Entry:
    """A lesson in the list of courses: what a learner may know beforehand."""

    course: str
    name: str
    level: int
    title: str
    minutes: int
    tasks: int
    begun: bool
    done: int
    points: int

    def as_json(self) -> dict[str, Any]:
        """Return it for a machine."""
        return asdict(self)

    def row(self) -> list[object]:
        """Return it for a table."""
        return [self.course, self.name, self.level, self.minutes, self.done, self.tasks, self.points]


@cache
def shipped() -> Mapping[str, Lesson]:
    """Return the heads of all shipped lessons, in the order of their courses."""
    heads = {name: read_head(name).model for name in names("lessons")}
    return dict(sorted(heads.items(), key=lambda item: (_COURSES.get(item[1].course, 9), item[1].course, item[1].level, item[0])))


_COURSES = {"foundations": 0, "clusters": 1}


def lessons(person: str) -> list[Entry]:
    """Return every lesson with what a person has achieved."""
    folder = state_folder(os.environ)
    found = []
    for name, head in shipped().items():
        progress = load(file_of(folder, person, name))
        done = sum(bool(task.done) for task in progress.tasks) if progress else 0
        points = progress.points if progress else 0
        found.append(Entry(head.course, name, head.level, head.title, head.minutes, len(head.tasks), progress is not None, done, points))
    return found


def seed_of(person: str, lesson: str) -> int:
    """Return a person's own seed for a lesson: neighbours get different variants, and everybody the same one every time."""
    return int.from_bytes(hashlib.sha256(f"{person}/{lesson}".encode()).digest()[:4], "big")


def barriers() -> dict[str, list[int]]:
    """Return, for each lesson, the numbers of the tasks that a class begins together."""
    return {name: [number for number, task in enumerate(head.tasks) if task.barrier] for name, head in shipped().items()}


def find_task(words: str) -> tuple[str, int]:
    """Return the lesson and the number of the task (from 0) that ``LESSON:NUMBER`` or ``LESSON:TASK`` means. Raises InputError."""
    lesson, _, task = words.partition(":")
    if lesson not in shipped():
        raise InputError(f"there is no lesson {lesson!r}", hint=did_you_mean(lesson, list(shipped()), "lesson"))
    known = [one.task for one in shipped()[lesson].tasks]
    if task.isdecimal() and 1 <= int(task) <= len(known):
        return lesson, int(task) - 1
    if task not in known:
        raise InputError(f"{lesson} has no task {task!r}", hint=did_you_mean(task, known, "task"))
    return lesson, known.index(task)
