"""Try a sweep: every combination on this kernel, each worker's in one lab that goes from one to the next, or in the model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from lab.errors import InputError, LabError
from lab.kernel.sandbox import Report, Sandbox, run_in_sandboxes
from lab.scenario.predictor import predicted_rows
from lab.scenario.stage import RunningLab
from lab.scenario.sweep import Axis, Combination, Swept, combinations
from lab.scenario.truth import Count, Row, Truth, kinds_of_flows


def sweep(
    swept: Swept, axes: Sequence[Axis], *, predict: bool, at_once: int | None = None, listen: Callable[[Row], None] = lambda row: None
) -> Truth:
    """Try every combination, `at_once` of them at a time, and return what works in each. `listen` hears every row as it comes.

    Raises InputError for a key or value that the topology does not have, MachineError where no lab can run.
    """
    todo = combinations(axes)
    swept.check(axes)
    if predict and swept.actions:
        raise InputError("a phase with literal commands cannot be predicted", place=swept.actions[0].place, hint="leave --predict out")
    began = time.monotonic()
    workers = min(at_once or os.cpu_count() or 1, len(todo))
    rows: dict[str, Row] = {}
    for row in predicted_rows(swept, todo, workers) if predict else _tried(swept, todo, workers):
        rows[str(row.combination)] = row
        listen(row)
    return Truth(tuple(axes), tuple(rows[str(one)] for one in todo), predict, time.monotonic() - began)


def _tried(swept: Swept, todo: Sequence[Combination], workers: int) -> Iterator[Row]:
    # Neighbours in the product differ least, so each worker takes a run of them.
    size = -(-len(todo) // workers)
    parts = [todo[start : start + size] for start in range(0, len(todo), size)]
    came: list[Row] = []

    def hear(_number: int, message: object) -> None:
        assert isinstance(message, Row)
        came.append(message)

    for _ in run_in_sandboxes([partial(_try_part, swept, part) for part in parts], at_once=len(parts), on_report=hear):
        pass
    yield from came


def _try_part(swept: Swept, part: Sequence[Combination], sandbox: Sandbox, report: Report) -> None:
    with RunningLab(sandbox) as lab:
        for combination in part:
            report(_try(lab, swept, combination))


def _try(lab: RunningLab, swept: Swept, combination: Combination) -> Row:
    """Bring the lab to a combination by what is different, and try its flows all at once."""
    try:
        state = swept.state(combination)
        lab.reach(state, swept.actions)
    except LabError as error:
        if not isinstance(error, InputError):
            raise
        return Row(combination, {}, error.message)
    flows = list(kinds_of_flows(state))
    found: dict[str, list[bool | None]] = {}
    for (kind, _), outcome in zip(flows, lab.probe([request for _, request in flows]), strict=True):
        found.setdefault(kind, []).append(outcome.result == "reply")
    return Row(combination, {kind: Count.of(answers) for kind, answers in found.items()})
