"""Prove a lesson: its start fails, its right repairs pass alike, its wrong ones get their deductions, its hints heed the state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.kernel.sandbox import Report, Sandbox, ignore, run_in_sandbox
from lab.learn.judge import Judgement
from lab.learn.practice import Practice
from lab.scenario.stage import RunningLab
from lab.spec.lesson import Repair
from lab.spec.lesson_file import LessonFile


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing that was tried with a lesson."""

    task: str
    what: str
    held: bool
    detail: str


def prove(lesson: LessonFile, *, on_report: Report = ignore) -> tuple[Proof, ...]:
    """Try every repair of every task of a lesson in a lab of its own. Raises MachineError when this machine allows none."""

    def work(sandbox: Sandbox, report: Report) -> tuple[Proof, ...]:
        with RunningLab(sandbox) as lab:
            practice = Practice(lab, lesson)
            practice.open(report)
            return tuple(proof for number in range(len(lesson.head.model.tasks)) for proof in _task(practice, number, report))

    return run_in_sandbox(work, on_report=on_report)


def _task(practice: Practice, number: int, report: Report) -> Iterator[Proof]:
    practice.begin(number)
    task = practice.task
    at_first = practice.judge(report)
    yield Proof(task.task, "the start fails its checks", bool(at_first.missing), _in_words(at_first))
    hint = practice.hint()
    scores = set()
    for index, repair in enumerate(task.repairs):
        report(f"{task.task}: {repair.repair}")
        practice.repair(index)
        judgement = practice.judge(report)
        after = practice.hint() if repair.hint is not None else ""
        if judgement.passed and task.survives is not None:
            judgement = practice.judge(report, practice.outlive())
        yield Proof(task.task, repair.repair, _as_said(repair, judgement), _in_words(judgement))
        if repair.passes and not repair.deductions:
            scores.add(judgement.points)
        if repair.hint is not None:
            yield Proof(task.task, f"{repair.repair}: the hint says {repair.hint!r}", repair.hint in after, after)
            yield Proof(task.task, f"{repair.repair}: the hint is another than at the beginning", after != hint, after)
    right = sum(repair.passes and not repair.deductions for repair in task.repairs)
    yield Proof(task.task, "right repairs score alike", right > 0 and len(scores) == 1, f"{right} of them, {sorted(scores)} points")


def _as_said(repair: Repair, judgement: Judgement) -> bool:
    return judgement.passed == repair.passes and {deduction.name for deduction in judgement.deductions} == set(repair.deductions)


def _in_words(judgement: Judgement) -> str:
    said = [f"{'passes' if judgement.passed else 'does not pass'}, {judgement.points} points"]
    said += [f"{deduction.name}: {deduction.say}" for deduction in judgement.deductions]
    said += [f"{finding.subject}: {finding.detail}" for finding in judgement.missing[:3]]
    return "; ".join(said)
