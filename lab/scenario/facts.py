"""Judge expectations that are about state rather than packets: what kernels hold, logs, API objects, diagnose, counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lab.cluster.diagnose import STOCK, CheckResult, diagnose
from lab.errors import did_you_mean
from lab.scenario.cast import Cast
from lab.scenario.counters import Counters, find_counter
from lab.scenario.held import judge_held
from lab.scenario.result import Finding, Status
from lab.spec.expectations import (
    AnyExpectation,
    ChainExpectation,
    CounterExpectation,
    DiagnoseExpectation,
    LogExpectation,
    ObjectExpectation,
    ProgramLogExpectation,
    RouteExpectation,
    RuleExpectation,
    SetExpectation,
    SysctlExpectation,
    TableExpectation,
)
from lab.state import State

Log = tuple[str, str, str]
"""Namespace, program, and name of a log in the program's folder."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What moved while a stage's probes ran."""

    counters: Counters
    """By how much each counter of each namespace moved."""
    written: Mapping[Log, str]
    """What programs added to those of their logs that somebody asks about."""


def judge_fact(expectation: AnyExpectation, cast: Cast, moved: Moved) -> Iterator[Finding]:
    """Judge an expectation about state, or about what moved while probes ran."""
    match expectation:
        case (
            RouteExpectation()
            | TableExpectation()
            | RuleExpectation()
            | ChainExpectation()
            | SetExpectation()
            | SysctlExpectation() as about
        ):
            for name in cast.senders(about.on):
                yield judge_held(about, cast.state[name])
        case LogExpectation():
            yield from _log(expectation, cast)
        case ProgramLogExpectation():
            for log in logs_of(expectation, cast):
                yield _program_log(expectation, log, moved.written[log])
        case ObjectExpectation():
            yield _object(expectation, cast.state)
        case DiagnoseExpectation():
            yield from _diagnose(expectation, cast.state)
        case CounterExpectation():
            for name in cast.senders(expectation.on):
                yield _counter(expectation, name, moved.counters.get(name, {}))
        case _:
            raise TypeError(f"{expectation!r} is not about state")


def logs_of(expectation: ProgramLogExpectation, cast: Cast) -> tuple[Log, ...]:
    """Return the logs an expectation asks about."""
    return tuple((name, expectation.program, expectation.file) for name in cast.senders(expectation.on))


def added_to_logs(before: Mapping[Log, str], after: Mapping[Log, str]) -> dict[Log, str]:
    """Return what was added to each log; all of it where a program has begun anew."""
    return {log: text.removeprefix(before.get(log, "")) for log, text in after.items()}


def _counter(expectation: CounterExpectation, name: str, moved: Mapping[str, int]) -> Finding:
    counter = find_counter(expectation.name, moved)
    if counter is None:
        hint = did_you_mean(expectation.name, list(moved), "counter")
        return Finding(name, Status.UNDECIDED, f"there is no counter {expectation.name!r}; {hint}")
    change = moved.get(counter, 0)
    held = change > 0 if expectation.change == "some" else change == expectation.change
    return Finding.of(name, held, f"{expectation.name} moved by {change}", f"expected {expectation.change}")


def _log(expectation: LogExpectation, cast: Cast) -> Iterator[Finding]:
    """Look for the line in the cluster's logs, or, where nodes are named, in the log of each of them."""
    lines = [
        line for line in cast.state.control.logs if line.cluster == expectation.cluster and expectation.component in (None, line.component)
    ]
    nodes = [n.name for n in cast.state if n.role == "node" and n.cluster == expectation.cluster]
    asked = [None] if expectation.node is None else [name for name in nodes if fnmatchcase(name, expectation.node)]
    if not asked:
        yield Finding(f"{expectation.cluster}: {expectation.node}", Status.FAILED, "there is no such node in this phase")
    for node in asked:
        found = [line for line in lines if node in (None, line.node) and expectation.contains in line.text]
        if not lines and not expectation.present:
            yield Finding(node or expectation.cluster, Status.UNDECIDED, "nothing was logged there, so what was not shows nothing")
            continue
        said = f"{found[-1].component} on {found[-1].node}: {found[-1].text}" if found else "no such line"
        wanted = "expected one" if expectation.present else "expected none"
        yield Finding.of(node or expectation.cluster, bool(found) == expectation.present, said, wanted)


def _program_log(expectation: ProgramLogExpectation, log: Log, written: str) -> Finding:
    name, program, file = log
    subject = f"{name}: {program}'s {file}"
    found = [line for line in written.splitlines() if expectation.contains in line]
    if not expectation.present and not written:
        return Finding(subject, Status.UNDECIDED, "nothing was written to it in this phase, so what is not in it shows nothing")
    seen = found[-1] if found else f"{len(written.splitlines())} lines, none with {expectation.contains!r}"
    return Finding.of(subject, bool(found) == expectation.present, seen, "expected one" if expectation.present else "expected none")


def _object(expectation: ObjectExpectation, state: State) -> Finding:
    named = [item for item in state.control.of(expectation.kind, expectation.cluster) if fnmatchcase(item.name, expectation.name)]
    subject = f"{expectation.cluster}: {expectation.kind} {expectation.name}"
    if not expectation.present:
        if next(state.control.of(expectation.kind), None) is None:
            return Finding(subject, Status.UNDECIDED, f"no cluster has any {expectation.kind}: is that the name of the kind?")
        return Finding.of(subject, not named, f"{len(named)} there", "expected none")
    if not named:
        known = [item.name for item in state.control.of(expectation.kind, expectation.cluster)]
        return Finding.of(subject, False, f"not there; there are: {', '.join(known) or 'none of this kind'}", "expected it")
    different = [problem for item in named for problem in _lacks(dict(item.body), expectation.has, "")]
    return Finding.of(subject, not different, "; ".join(different) or ", ".join(item.name for item in named), "")


def _lacks(value: object, wanted: object, path: str) -> Iterator[str]:
    """Yield where `value` does not hold at least what is wanted; lists are compared entry by entry."""
    if isinstance(wanted, Mapping):
        for key, inner in wanted.items():
            if not isinstance(value, Mapping) or key not in value:
                yield f"{path}.{key} is not there".lstrip(".")
            else:
                yield from _lacks(value[key], inner, f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(value, list | tuple) and len(value) == len(wanted):
        for index, (one, other) in enumerate(zip(value, wanted, strict=True)):
            yield from _lacks(one, other, f"{path}[{index}]")
    elif value != wanted:
        yield f"{path.lstrip('.')} is {value!r}, expected {wanted!r}"


def _diagnose(expectation: DiagnoseExpectation, state: State) -> Iterator[Finding]:
    results = [result for result in diagnose(state, expectation.cluster) if _asked(expectation, result)]
    if not results:
        yield Finding(expectation.cluster, Status.FAILED, f"there is no check {expectation.check!r}")
    for result in results:
        held = result.status != "fail" if expectation.status == "not-fail" else result.status == expectation.status
        text = " ".join((result.reason, *result.detail))
        if held and expectation.contains is not None:
            held = expectation.contains in text
        yield Finding.of(f"{expectation.cluster}: {result.name}", held, f"{result.status}: {text}", f"expected {expectation.status}")


def _asked(expectation: DiagnoseExpectation, result: CheckResult) -> bool:
    return result.name in STOCK if expectation.check == "*" else result.name == expectation.check
