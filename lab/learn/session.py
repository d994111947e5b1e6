"""A lesson in progress: what its learner asks for, and what he is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from lab.errors import InputError, did_you_mean
from lab.kernel.holder import Operation
from lab.kernel.sandbox import Report
from lab.learn.classroom import may_begin
from lab.learn.control_plane import Answer, ControlPlane
from lab.learn.hints import described
from lab.learn.inside import paragraphs
from lab.learn.judge import Judgement
from lab.learn.network_map import draw_map
from lab.learn.practice import Practice, Saved
from lab.learn.progress import Progress, TaskProgress, save
from lab.scenario.result import Finding
from lab.state.codec import dump_state

Reply = dict[str, Any]
"""What is told: `text` for people, `code` as an exit code, and more for machines."""

GUESTS: Final = (
    *("check", "checkpoint", "clue", "goto", "hint", "kubectl", "map", "next", "quit", "reset", "solve", "status", "subctl", "submit"),
    "task",
)
"""What may be asked for from inside the lab."""
_START: Final = "start"
_MOST_CHECKPOINTS: Final = 20


@dataclass(slots=True)
class Session:
    """Somebody at a lesson."""

    practice: Practice
    progress: Progress
    files: tuple[Path, ...]
    """Where progress is kept."""
    classroom: Path | None = None
    _checkpoints: dict[str, Saved] = field(default_factory=dict)
    _wanted: str | None = None
    """Where the learner's shell goes next, or "" when it is over."""

    def begin(self, say: Callable[[str], None]) -> None:
        """Build the network, and put the learner where he has been."""
        self._save()  # who cannot keep what he achieves is told so before the work
        number = min(self.progress.current, len(self.progress.tasks) - 1)
        if self._at_barrier():  # what breaks with the next task is still to come
            self.practice.open(say, number - 1)
            self.practice.solve()
        else:
            self.practice.open(say, number)
            self._begun()
        self._save()

    def operations(self) -> Mapping[str, Operation]:
        """Return what can be asked for."""
        return {
            "describe": self._describe,
            "state": lambda _arguments, _report: dump_state(self.practice.lab.take_over()),
            "status": lambda _arguments, _report: self._status(),
            "task": lambda _arguments, _report: _told(self._task_text()),
            "map": lambda _arguments, _report: _told(draw_map(self.practice.lesson.topology.model, self.practice.meant)),
            "check": lambda _arguments, report: self._check(report),
            "submit": lambda _arguments, report: self._submit(report),
            "hint": lambda _arguments, _report: self._hint(),
            "clue": lambda _arguments, _report: self._clue(),
            "checkpoint": lambda arguments, _report: self._checkpoint(_word(arguments, "name", "checkpoint")),
            "reset": lambda arguments, _report: self._reset(_word(arguments, "name", _START)),
            "solve": lambda _arguments, _report: self._solve(),
            "goto": lambda arguments, _report: self._goto(_word(arguments, "node", "")),
            "next": lambda _arguments, _report: self._next(),
            "quit": lambda _arguments, _report: self._quit(),
            "subctl": lambda arguments, _report: self._command(arguments, ControlPlane.subctl),
            "kubectl": lambda arguments, _report: self._command(arguments, ControlPlane.kubectl),
        }

    # -- what is going on ------------------------------------------------------------------------------------------

    @property
    def _task(self) -> TaskProgress:
        return self.progress.tasks[self.practice.number]

    def _describe(self, _arguments: Mapping[str, Any], _report: Report) -> Reply:
        lesson = self.practice.lesson
        nodes = [namespace.name for namespace in self.practice.lab.target]
        return {
            "lesson": lesson.name,
            "person": self.progress.person,
            "seed": self.progress.seed,
            "nodes": nodes,
            "waits_ms": self.practice.lab.waits_ms,
            "entry": lesson.head.model.entry,
        }

    def _status(self) -> Reply:
        lines = [f"{self.practice.lesson.head.model.title}", ""]
        for number, (section, task) in enumerate(zip(self.practice.lesson.tasks, self.progress.tasks, strict=True)):
            mark = "✓" if task.done else "▸" if number == self.practice.number and task.begun else " "
            spent = f"{task.points} points" if task.done else f"{task.attempts} attempts, {task.clues} clues" if task.begun else ""
            lines.append(f" {mark} {number + 1}. {section.title:<44} {spent}")
        if self._at_barrier():
            lines += ["", "The class begins the next task together: `submit` again when the trainer says so."]
        return _told("\n".join(lines), progress=asdict(self.progress))

    def _task_text(self) -> str:
        if self.progress.finished:
            return paragraphs(self.practice.lesson.afterwards) or "That was all."
        section = self.practice.lesson.tasks[self.practice.number]
        return f"## {section.title}\n\n{paragraphs(section.text)}"

    # -- judged ----------------------------------------------------------------------------------------------------

    def _check(self, report: Report) -> Reply:
        self._open_task()
        judgement = self.practice.judge(report)
        self._task.attempts += 1
        self._save()
        lines = _seen(judgement)
        if judgement.passed:
            survives = self.practice.task.survives
            lines.append(f"It works, for {self._worth(judgement)} points. `submit` hands it in.")
            if survives is not None:
                lines.append(f"Then, {survives.title}.")
        return _told("\n".join(lines), code=0 if judgement.passed else 1, **_for_machines(judgement))

    def _submit(self, report: Report) -> Reply:
        if self._at_barrier():
            return self._enter()
        self._open_task()
        judgement = self.practice.judge(report)
        lines = []
        if judgement.passed and self.practice.task.survives is not None:
            self._checkpoints["before-the-event"] = self.practice.save()
            report(f"{self.practice.task.survives.title}")
            judgement = self.practice.judge(report, self.practice.outlive())
            lines.append(f"Meanwhile, {judgement.event}.")
        self._task.attempts += 1
        lines += _seen(judgement)
        if not judgement.passed:
            self._save()
            return _told("\n".join([*lines, "It is not done yet."]), code=1, **_for_machines(judgement))
        self._task.done = time.time()
        self._task.points = self._worth(judgement)
        self._task.deductions = [deduction.name for deduction in judgement.deductions]
        lines.append(f"Done: {self._task.points} points.")
        self._save()
        if self.progress.finished:
            lines += ["", self._task_text(), "", f"The lesson is over: {self.progress.points} points. `quit` ends it."]
            return _told("\n".join(lines), **_for_machines(judgement))
        entered = self._enter()
        return _told("\n".join([*lines, "", entered["text"]]), **_for_machines(judgement))

    def _enter(self) -> Reply:
        """Begin the next task, unless the class is not there yet."""
        number = self.progress.current
        if self._at_barrier() and self.classroom is not None and not may_begin(self.classroom, self.progress.lesson, number):
            return _told("The class begins the next task together. Wait for the others, then `submit` again.", code=4)
        self._checkpoints.clear()
        self.practice.go_on(number)
        self._begun()
        self._save()
        return _told(self._task_text())

    def _at_barrier(self) -> bool:
        number = self.progress.current
        if self.progress.finished or self.classroom is None or self.progress.tasks[number].begun:
            return False
        return self.practice.lesson.head.model.tasks[number].barrier

    def _begun(self) -> None:
        task = self.progress.tasks[self.practice.number]
        task.begun = task.begun or time.time()

    def _worth(self, judgement: Judgement) -> int:
        """Return the points of a task, those for clues taken off."""
        if self._task.solved:
            return 0
        return max(0, judgement.points - self._task.clues * self.practice.lesson.head.model.clue_cost)

    # -- helped ----------------------------------------------------------------------------------------------------

    def _hint(self) -> Reply:
        self._open_task()
        self._task.hints += 1
        self._save()
        return _told(self.practice.hint())

    def _clue(self) -> Reply:
        self._open_task()
        clues, given = self.practice.task.clues, self._task.clues
        if given < len(clues):
            self._task.clues = given + 1
            self._save()
        if not clues:
            return _told("There are no clues for this task.", code=1)
        shown = [f"{number}. {text}" for number, text in enumerate(clues[: self._task.clues], 1)]
        left = len(clues) - self._task.clues
        cost = self.practice.lesson.head.model.clue_cost
        return _told("\n".join([*shown, f"({left} more, {cost} points each)" if left else "(That was the last one.)"]))

    def _solve(self) -> Reply:
        self._open_task()
        if not any(repair.passes for repair in self.practice.task.repairs):
            return _told("The author of this lesson has left no solution.", code=1)
        self._task.solved = True
        self._save()
        self.practice.solve()
        solution = next(repair for repair in self.practice.task.repairs if repair.passes)
        done = [
            f"  {' '.join(change.change.on)}# {command}" for change in solution.changes if change.run for command in change.run.commands
        ]
        done += [f"  {event.kind} {event.happening.model_dump(mode='json', exclude_defaults=True)}" for event in solution.events]
        return _told("\n".join([f"Solved, for no points: {solution.repair}.", *done, "Look around, then `submit`."]))

    # -- back and forth --------------------------------------------------------------------------------------------

    def _checkpoint(self, name: str) -> Reply:
        if name == _START:
            raise InputError(f"{_START!r} is where the task began", hint="call the checkpoint otherwise")
        if name not in self._checkpoints and len(self._checkpoints) >= _MOST_CHECKPOINTS:
            raise InputError(f"there are {_MOST_CHECKPOINTS} checkpoints already", hint="use one of their names again")
        self._checkpoints[name] = self.practice.save()
        return _told(f"Kept. `reset {name}` comes back to this.")

    def _reset(self, name: str) -> Reply:
        if name == _START:
            self.practice.begin_again()
            return _told("The network is as it was when the task began.")
        if name not in self._checkpoints:
            raise InputError(f"there is no checkpoint {name!r}", hint=did_you_mean(name, [_START, *self._checkpoints], "checkpoint"))
        self.practice.restore(self._checkpoints[name])
        return _told(f"The network is as it was at {name!r}.")

    def _goto(self, node: str) -> Reply:
        known = [namespace.name for namespace in self.practice.lab.target]
        if node not in known:
            raise InputError(f"there is no node {node!r}", hint=did_you_mean(node, known, "node"))
        self._wanted = node
        return _told("")

    def _quit(self) -> Reply:
        self._wanted = ""
        return _told("")

    def _next(self) -> Reply:
        wanted, self._wanted = self._wanted, None
        return _told("", node=wanted)

    # -- at cause level --------------------------------------------------------------------------------------------

    def _command(self, arguments: Mapping[str, Any], answer: Callable[[ControlPlane, Sequence[str]], Answer]) -> Reply:
        words = arguments.get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError("words are needed")
        node = _word(arguments, "node", "")
        state = self.practice.lab.target
        cluster = state[node].cluster if node in state.namespaces else None
        answered = answer(ControlPlane(self.practice.lesson.topology.model, state, cluster), words)
        if answered.events:
            self._open_task()
            self.practice.happen(answered.events)
        return _told(answered.text.rstrip("\n"))

    def _open_task(self) -> None:
        """Refuse where there is nothing to work on. Raises InputError."""
        if self.progress.finished:
            raise InputError("the lesson is over", hint="quit ends it")
        if self._at_barrier():
            raise InputError("the class begins the next task together", hint="submit goes on when the trainer says so")

    def _save(self) -> None:
        save(self.progress, self.files)


def symptom(finding: Finding) -> str:
    """Say what a sender notices, and nothing of where and why: that is for the learner to find out."""
    outcome = finding.outcome
    if outcome is None or outcome.result == "reply":
        return finding.detail
    if outcome.icmp is not None:
        return f"{outcome.icmp.name} from {outcome.icmp.source}"
    return {"silence": "no answer", "refused": "connection refused"}.get(outcome.result, outcome.result)


def _seen(judgement: Judgement) -> list[str]:
    """Say what is missing, each only once, and what was done too much."""
    missing = dict.fromkeys(f" ✗ {_who(finding)}: {symptom(finding)}" for finding in judgement.missing)
    lines = [f"{judgement.checked - len(judgement.missing)} of {judgement.checked} things this task asks for are there.", *missing]
    return [*lines, *(f" ! {deduction.name} (-{deduction.points}): {deduction.say}" for deduction in judgement.deductions)]


def _who(finding: Finding) -> str:
    return finding.subject if finding.outcome is None else described(finding.subject, finding.outcome.request)


def _for_machines(judgement: Judgement) -> Reply:
    return {
        "passed": judgement.passed,
        "points": judgement.points,
        "deductions": [{"name": deduction.name, "points": deduction.points, "say": deduction.say} for deduction in judgement.deductions],
    }


def _told(text: str, code: int = 0, **more: Any) -> Reply:
    return {"text": text, "code": code, **more}


def _word(arguments: Mapping[str, Any], name: str, default: str) -> str:
    value = arguments.get(name, default)
    if not isinstance(value, str) or len(value) > 100:
        raise InputError(f"{name} is a word")
    return value or default
