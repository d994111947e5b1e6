"""The truth table of a sweep: for every combination, which kinds of flows work, on this kernel or in the model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_all_start_methods, get_context

from lab.errors import InputError, LabError
from lab.explain.prediction import flow_of
from lab.forwarding import Network, trace
from lab.kernel.sandbox import Report, Sandbox, run_in_sandboxes
from lab.probe import PingRequest, Request, TcpRequest
from lab.scenario.lookup import namespace_address, service_address
from lab.scenario.stage import RunningLab
from lab.scenario.sweep import Axis, Combination, Swept, combinations
from lab.state import State


@dataclass(frozen=True, slots=True)
class Count:
    """How many flows of a kind work."""

    works: int
    tried: int
    unknown: int = 0

    def __str__(self) -> str:
        if self.unknown:
            return "?"
        return "yes" if self.works == self.tried else "no" if not self.works else f"{self.works}/{self.tried}"


@dataclass(frozen=True, slots=True)
class Row:
    """One combination, and what works in it by kind of flow; `refused` is why there is no such network."""

    combination: Combination
    counts: Mapping[str, Count]
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """A whole sweep."""

    axes: tuple[Axis, ...]
    rows: tuple[Row, ...]
    predicted: bool
    seconds: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of flows, in the order of the table's columns."""
        return tuple(dict.fromkeys(kind for row in self.rows for kind in row.counts))

    @property
    def undecided(self) -> bool:
        """Whether anything could not be found out."""
        return any(count.unknown for row in self.rows for count in row.counts.values())


def kinds_of_flows(state: State) -> Iterator[tuple[str, Request]]:
    """Yield the flows of a network, one pod of each node for all, each with its kind.

    Pods of gateways are told apart from others: between them there is one way less to go wrong.
    """
    pods = list(
        {namespace.parent: namespace for namespace in reversed(list(state)) if namespace.role == "pod" and namespace.listeners}.values()
    )
    gateways = {thing.name for thing in state.control.of("Node") if "submariner.io/gateway" in thing.labels}
    pods.reverse()
    for source in pods:
        for target in pods:
            if source.cluster != target.cluster:
                between = {source.parent, target.parent} <= gateways
                kind = f"{source.cluster} to {target.cluster}: {'gateway pods' if between else 'pods'}"
                yield kind, PingRequest(source.name, namespace_address(state, target.name))
            elif source is not target:
                yield f"within {source.cluster}: pods", PingRequest(source.name, namespace_address(state, target.name))
    for item in state.control.of("Service"):
        spec = item.body.get("spec")
        ports = spec.get("ports") if isinstance(spec, dict) else None
        exported = any(export.name == item.name and export.cluster == item.cluster for export in state.control.of("ServiceExport"))
        if exported and isinstance(ports, list) and ports and isinstance(ports[0], dict):
            for source in pods:
                if source.cluster != item.cluster:
                    request = TcpRequest(source.name, service_address(state, item.name), int(str(ports[0]["port"])))
                    yield f"{source.cluster} to {item.cluster}: services", request


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
    # Neighbours in the product differ least, so each worker takes a run of them.
    size = -(-len(todo) // workers)
    parts = [todo[start : start + size] for start in range(0, len(todo), size)]
    rows: dict[str, Row] = {}
    for row in _predicted(swept, parts) if predict else _tried(swept, parts):
        rows[str(row.combination)] = row
        listen(row)
    return Truth(tuple(axes), tuple(rows[str(one)] for one in todo), predict, time.monotonic() - began)


# -- in the model --------------------------------------------------------------------------------------------------


def _predicted(swept: Swept, parts: Sequence[Sequence[Combination]]) -> Iterator[Row]:
    if len(parts) == 1 or "fork" not in get_all_start_methods():
        yield from (predict_row(swept, one) for part in parts for one in part)
        return
    everything = [one for part in parts for one in part]
    with ProcessPoolExecutor(len(parts), mp_context=get_context("fork")) as pool:
        yield from pool.map(partial(predict_row, swept), everything, chunksize=4)


def predict_row(swept: Swept, combination: Combination) -> Row:
    """Ask the model what works in a combination."""
    try:
        state = swept.state(combination)
    except InputError as error:
        return Row(combination, {}, error.message)
    network = Network(state)
    found: dict[str, list[bool | None]] = {}
    for kind, request in kinds_of_flows(state):
        flow = flow_of(request)
        assert flow is not None
        said = trace(network, flow)
        known = not said.incomplete and all(world.outcome.kind != "unknown" for world in said.worlds)
        found.setdefault(kind, []).append(said.must if known else None)
    return Row(combination, {kind: _count(answers) for kind, answers in found.items()})


def _count(answers: Sequence[bool | None]) -> Count:
    return Count(sum(answer is True for answer in answers), len(answers), sum(answer is None for answer in answers))


# -- on this kernel ------------------------------------------------------------------------------------------------


def _tried(swept: Swept, parts: Sequence[Sequence[Combination]]) -> Iterator[Row]:
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
    return Row(combination, {kind: _count(answers) for kind, answers in found.items()})
