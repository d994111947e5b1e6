"""Judge a task by how the network behaves, not by how it was repaired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lab.learn.flows import Collateral
from lab.scenario.asking import Placed
from lab.scenario.result import Finding, Status
from lab.spec.lesson import FailCheck, HintCheck, Task
from lab.spec.lesson_file import LessonFile

OPENED_POINTS = 20
"""What it costs to let somebody reach what nobody should."""
FULL = 100


@dataclass(frozen=True, slots=True)
class Deduction:
    """Why a repair is not as good as it could be."""

    name: str
    points: int
    say: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a repair is worth."""

    missing: tuple[Finding, ...]
    """What the task asks for and was not seen."""
    checked: int
    """How many things the task asks for."""
    collateral: Collateral
    deductions: tuple[Deduction, ...]
    event: str = ""
    """What had happened before this was judged, if the task has something happen."""

    @property
    def passed(self) -> bool:
        """Whether the task is done: what it asks for works, and so does everything else that worked before."""
        return not self.missing and not self.collateral.broken

    @property
    def points(self) -> int:
        """The points, before those for clues: none for a task that is not done."""
        return max(0, FULL - sum(deduction.points for deduction in self.deductions)) if self.passed else 0


@dataclass(frozen=True, slots=True)
class Questions:
    """Everything that is asked about a task, in one list, and what of it belongs to whom."""

    placed: list[Placed] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)
    fails: list[tuple[FailCheck, list[int]]] = field(default_factory=list)
    hints: list[tuple[HintCheck, list[int]]] = field(default_factory=list)

    @staticmethod
    def of(lesson: LessonFile, number: int) -> Questions:
        """Collect the questions of the task with this number."""
        asked, task, place = Questions(), lesson.head.model.tasks[number], lesson.head.place
        asked.checks.extend(_add(asked, [(item.body, place("tasks", number, "check", i)) for i, item in enumerate(task.check)]))
        for index, fail in enumerate(task.fail_check):
            placed = [(item.body, place("tasks", number, "fail-check", index, "when", i)) for i, item in enumerate(fail.when)]
            asked.fails.append((fail, _add(asked, placed)))
        for index, hint in enumerate(task.hint_check):
            placed = [(item.body, place("tasks", number, "hint-check", index, "when", i)) for i, item in enumerate(hint.when)]
            asked.hints.append((hint, _add(asked, placed)))
        return asked


def _add(asked: Questions, placed: Sequence[Placed]) -> list[int]:
    first = len(asked.placed)
    asked.placed.extend(placed)
    return list(range(first, len(asked.placed)))


def seen(entry: FailCheck | HintCheck, found: Iterable[tuple[Finding, ...]]) -> bool:
    """Whether what a deduction or a hint looks for is there."""
    some = any if entry.anywhere else all
    return all(findings and some(finding.status is Status.HELD for finding in findings) for findings in found)


def judged(task: Task, asked: Questions, found: Sequence[tuple[Finding, ...]], side: Collateral, event: str = "") -> Judgement:
    """Judge a task by what was found."""
    checks = [finding for index in asked.checks for finding in found[index]]
    missing = tuple(finding for finding in checks if finding.status is not Status.HELD)
    named = [entry for entry, indexes in asked.fails if seen(entry, (found[index] for index in indexes))]
    deductions = [Deduction(entry.name, entry.points, entry.say) for entry in named]
    if side.opened:
        deductions.append(Deduction("opened", OPENED_POINTS, f"what does not work in the healthy network does here: {_some(side.opened)}"))
    if side.broken and not missing:
        deductions.append(Deduction("broken", FULL, f"what works in the healthy network does not here: {_some(side.broken)}"))
    if event and (missing or side.broken):
        deductions.append(Deduction("not-lasting", FULL, f"it did not outlive this: {event}"))
    return Judgement(missing, len(checks), side, tuple(deductions), event)


def _some(flows: Sequence[str], most: int = 3) -> str:
    more = f" and {len(flows) - most} more" if len(flows) > most else ""
    return ", ".join(flows[:most]) + more
