"""The truth table of a sweep: for every combination, which kinds of flows work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.probe import PingRequest, Request, TcpRequest
from lab.scenario.lookup import has_address, namespace_address, service_address
from lab.scenario.sweep import Axis, Combination
from lab.state import State


@dataclass(frozen=True, slots=True)
class Count:
    """How many flows of a kind work."""

    works: int
    tried: int
    unknown: int = 0

    @staticmethod
    def of(answers: Sequence[bool | None]) -> Count:
        """Count what works and what, being None, is unknown."""
        return Count(sum(answer is True for answer in answers), len(answers), sum(answer is None for answer in answers))

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
            else:
                kind = f"within {source.cluster}: pods"
            for version in (4, 6) if source is not target else ():
                if has_address(state, source.name, version) and has_address(state, target.name, version):
                    by = "" if version == 4 else " over IPv6"
                    yield f"{kind}{by}", PingRequest(source.name, namespace_address(state, target.name, version))
    for item in state.control.of("Service"):
        spec = item.body.get("spec")
        ports = spec.get("ports") if isinstance(spec, dict) else None
        exported = any(export.name == item.name and export.cluster == item.cluster for export in state.control.of("ServiceExport"))
        if exported and isinstance(ports, list) and ports and isinstance(ports[0], dict):
            for source in pods:
                if source.cluster != item.cluster:
                    request = TcpRequest(source.name, service_address(state, item.name), int(str(ports[0]["port"])))
                    yield f"{source.cluster} to {item.cluster}: services", request
