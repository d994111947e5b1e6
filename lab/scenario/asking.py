"""Find out about expectations in a running lab: send the probes they ask for, read what kernels hold, and judge both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.errors import Place
from lab.probe import Outcome
from lab.scenario.cast import Cast
from lab.scenario.counters import RULE, Counters, moved_counters
from lab.scenario.facts import Log, Moved, added_to_logs, judge_fact, logs_of
from lab.scenario.questions import Memory, Question, answer, is_asked, judge_series, questions_at
from lab.scenario.result import Finding
from lab.scenario.stage import RunningLab
from lab.spec.expectations import AnyExpectation, CounterExpectation, ProgramLogExpectation, Series
from lab.state import State

Placed = tuple[AnyExpectation, Place]
"""An expectation, and where it stands in a file."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found about some expectations."""

    of: tuple[tuple[Finding, ...], ...]
    """For each expectation, in order."""
    asked: tuple[tuple[Question, ...], ...]
    """The probes that each expectation asked for, in the order of its findings; none for one that is about state."""
    held: State
    """What the kernel held when it was judged, with the control plane beside it."""
    probes: int
    moved: Counters
    """By how much the counters of every namespace moved meanwhile."""


def find_out(lab: RunningLab, expectations: Sequence[Placed], cast: Cast, memory: Memory) -> Findings:
    """Find out about expectations, all at once.

    `cast` says who is who, and `memory` knows what earlier probes have shown, and learns what these do. Raises InputError, at its
    place, for an expectation that names what is not there.
    """
    bodies = [body for body, _ in expectations]
    asked = [questions_at(body, cast, place) for body, place in expectations]
    ruled, logs = _nodes_of_rules(bodies, cast), _logs_asked(bodies, cast)
    before, written = _counters(lab, ruled), _logs(lab, logs)
    answers = _ask(lab, [question for found in asked for question in found], cast, memory)
    moved = Moved(moved_counters(before, _counters(lab, ruled)), added_to_logs(written, _logs(lab, logs)))
    held = lab.read_back()
    seen = Cast(held, cast.names, cast.gateways)
    found = tuple(
        _joined(body, [answers[id(question)] for question in questions]) if is_asked(body) else tuple(judge_fact(body, seen, moved))
        for body, questions in zip(bodies, asked, strict=True)
    )
    return Findings(found, tuple(map(tuple, asked)), held, len(answers), moved.counters)


def _joined(body: AnyExpectation, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(judge_series(body, findings)) if isinstance(body, Series) else tuple(findings)


def _ask(lab: RunningLab, asked: list[Question], cast: Cast, memory: Memory) -> dict[int, Finding]:
    """Ask what watches a counter alone, and first, before anybody repeats what was not answered; then all the rest at once.

    Judged is at the end, so that every absence has all that was seen for its control.
    """
    outcomes: dict[int, tuple[Outcome, Mapping[str, int] | None]] = {}
    for question in asked:
        if question.counter is not None:
            watched = (question.counter.node,)
            ruled = watched if question.counter.name.startswith(RULE) else ()
            before = _counters(lab, ruled, watched)
            (outcome,) = lab.probe([question.request])
            moved = moved_counters(before, _counters(lab, ruled, watched))
            outcomes[id(question)] = (outcome, moved.get(question.counter.node, {}))
    together = [question for question in asked if question.counter is None]
    for question, outcome in zip(together, lab.probe([question.request for question in together]), strict=True):
        outcomes[id(question)] = (outcome, None)
    for outcome, _ in outcomes.values():
        memory.learn(outcome)
    return {id(question): answer(question, outcomes[id(question)][0], cast, memory, outcomes[id(question)][1]) for question in asked}


def _counters(lab: RunningLab, ruled: Iterable[str], namespaces: Iterable[str] | None = None) -> Counters:
    """Read the kernel's counters of some namespaces or of all, and those of rules where somebody asks for them."""
    rules = lab.rule_counters(ruled)
    return {name: {**counters, **rules.get(name, {})} for name, counters in lab.counters(namespaces).items()}


def _logs(lab: RunningLab, logs: Iterable[Log]) -> dict[Log, str]:
    return {log: lab.program_log(*log) for log in logs}


def _nodes_of_rules(bodies: Sequence[AnyExpectation], cast: Cast) -> tuple[str, ...]:
    """Return the namespaces whose rules' counters an expectation asks for."""
    asked = [body for body in bodies if isinstance(body, CounterExpectation) and body.name.startswith(RULE)]
    return tuple(dict.fromkeys(name for body in asked for name in cast.senders(body.on)))


def _logs_asked(bodies: Sequence[AnyExpectation], cast: Cast) -> tuple[Log, ...]:
    """Return the programs' logs that an expectation asks about."""
    asked = [body for body in bodies if isinstance(body, ProgramLogExpectation)]
    return tuple(dict.fromkeys(log for body in asked for log in logs_of(body, cast)))
