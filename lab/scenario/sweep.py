"""A sweep: one network in every combination of some values, to see in which of them what works.

A key is a short name (``detected``, ``side``, ``rp_filter``, ``mtu``, ``cable``, ``version``) or the path of a value in the topology,
in which ``*`` stands for every name there is (``clusters.*.sysctls.rp_filter``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from itertools import product
from typing import Final

from lab.cluster import compile as compile_clusters
from lab.errors import InputError, Place, did_you_mean, quoted
from lab.scenario.changes import Live, Ordered, apply_changes
from lab.scenario.phases import Stage, history_of, live, ordered_changes
from lab.spec import History, Loaded, Scenario, Topology, topology_of
from lab.spec.adjust import adjusted
from lab.spec.check import check_topology
from lab.spec.document import Node, Scalar
from lab.spec.events import Event, Join
from lab.state import State

DETECTED, SIDE = "detected", "side"
SHORT: Final[Mapping[str, str]] = {
    "rp_filter": "clusters.*.sysctls.rp_filter",
    "mtu": "segments.*.mtu",
    "cable": "submariner.cable",
    "version": "submariner.version",
}
MOST: Final = 10_000
"""How many combinations a sweep may have."""
_RANGE: Final = re.compile(r"(/?)(\d{1,9})\.\.(/?)(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Axis:
    """A key and the values it takes, one after the other."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Combination:
    """One value for each key."""

    values: Mapping[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.values.items())


def read_axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """Read ``KEY=V1,V2,...``; a value may be a range, ``/16../26`` or ``1..4``. Raises InputError."""
    axes: dict[str, Axis] = {}
    for text in texts:
        key, assigned, values = text.partition("=")
        place = Place(f"--sweep {text}", 1, 1)
        if not assigned or not key or not all(value.strip() for value in values.split(",")):
            raise InputError("expected KEY=V1,V2,...", place=place, hint="for example --sweep rp_filter=0,1,2")
        if "." not in key and key not in (DETECTED, SIDE, *SHORT):
            hint = did_you_mean(key, (DETECTED, SIDE, *SHORT), "key")
            raise InputError(f"there is no key {quoted(key)}", place=place, hint=f"{hint}; or a path in the topology, as segments.core.mtu")
        if key in axes:
            raise InputError(f"{key} is swept twice", place=place)
        found = [value for part in values.split(",") for value in _values(part.strip(), place)]
        axes[key] = Axis(key, tuple(dict.fromkeys(found)))
    if SIDE in axes and DETECTED not in axes:
        raise InputError(f"{SIDE} says who joins with what is `{DETECTED}`", hint=f"add --sweep {DETECTED}=/16../26")
    return tuple(axes.values())


def _values(text: str, place: Place) -> Iterator[str]:
    found = _RANGE.fullmatch(text)
    if found is None:
        yield text
        return
    first, last = int(found[2]), int(found[4])
    if last - first >= MOST:
        raise InputError(f"{quoted(text)} has {last - first + 1} values, and at most {MOST} are tried", place=place)
    if last < first or found[3] not in ("", found[1]):
        raise InputError(f"{quoted(text)} is no range", place=place, hint="the smaller number comes first: /16../26")
    yield from (f"{found[1]}{number}" for number in range(first, last + 1))


def combinations(axes: Sequence[Axis]) -> tuple[Combination, ...]:
    """Return the product of all values, the last key's changing fastest. Raises InputError when there are too many."""
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST:
        raise InputError(f"these are {count} combinations, and at most {MOST} are tried")
    keys = [axis.key for axis in axes]
    return tuple(Combination(dict(zip(keys, values, strict=True))) for values in product(*(axis.values for axis in axes)))


@dataclass(frozen=True, slots=True)
class Swept:
    """What is swept: a stage of a scenario, or a topology with its clusters joined."""

    topology: Loaded[Topology]
    history: History
    changes: tuple[Ordered, ...] = ()
    actions: tuple[Live, ...] = ()

    @staticmethod
    def of_stage(scenario: Loaded[Scenario], topology: Loaded[Topology], stage: Stage) -> Swept:
        """Return a scenario's stage."""
        here = topology_of(topology, scenario, stage.phase)
        changes = tuple(ordered_changes(stage, scenario, topology))
        return Swept(here, history_of(stage, scenario), changes, live(topology, scenario, stage))

    def check(self, axes: Sequence[Axis]) -> None:
        """Raise InputError, positioned in the option, for a key or value that this topology does not have."""
        for axis in axes:
            for value in axis.values:
                chosen = {axis.key: value} if axis.key != SIDE else {axis.key: value, DETECTED: "/24"}
                self.arranged(Combination(chosen))

    def arranged(self, combination: Combination) -> tuple[Loaded[Topology], History]:
        """Return the topology and the events of a combination. Raises InputError."""
        topology = self.topology
        for key, value in combination.values.items():
            if key not in (DETECTED, SIDE):
                place = Place(f"--sweep {key}={value}", 1, 1)
                path = SHORT.get(key, key).split(".")
                overlay = _overlay(topology.document.root, path, _scalar(value), place)
                topology = adjusted(topology.document, overlay)
        if topology is not self.topology:
            check_topology(topology)
        return topology, _joined(topology, self.history, combination)

    def state(self, combination: Combination) -> State:
        """Compute the state of a combination. Raises InputError."""
        topology, history = self.arranged(combination)
        return apply_changes(compile_clusters(topology.model, history, place=topology.place), self.changes)


def _overlay(root: Node, path: Sequence[str], value: Scalar, place: Place) -> Node:
    """Return what is laid over a topology to have a value at a path; `*` is every key that is there."""
    if not path:
        return Node(place, value)
    content = root.content if isinstance(root.content, Mapping) else {}
    names = list(content) if path[0] == "*" else [path[0]]
    if not names:
        raise InputError("nothing in the topology matches `*` here", place=place)
    if path[0] != "*" and path[0] not in content and len(path) > 2:
        raise InputError(f"the topology has no {quoted(path[0])} here", place=place, hint=did_you_mean(path[0], list(content), "key"))
    inner = {name: _overlay(content.get(name, Node(place, {})), path[1:], value, place) for name in names}
    return Node(place, inner, dict.fromkeys(names, place))


def _scalar(text: str) -> Scalar:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text


def _joined(topology: Loaded[Topology], history: History, combination: Combination) -> History:
    """Return the events in which every cluster joins: those of the chosen side with the range detected, the others with the real one."""
    detected = combination.values.get(DETECTED)
    if detected is None:
        return history
    clusters = topology.model.clusters
    if topology.model.submariner is None:
        raise InputError(f"this topology has no Submariner that could detect anything: `{DETECTED}` says nothing")
    side = combination.values.get(SIDE, "both")
    chosen = {"both": list(clusters), "one": list(clusters)[:1]}.get(side, [side] if side in clusters else None)
    if chosen is None:
        hint = did_you_mean(side, ("both", "one", *clusters), "side")
        raise InputError(f"there is no side {quoted(side)}", place=Place(f"--sweep {SIDE}={side}", 1, 1), hint=hint)
    templates = {event.cluster: event for event in history.events if isinstance(event, Join)}
    events: list[Event] = []
    for name, cluster in clusters.items():
        real = cluster.pod_cidr
        assert isinstance(real, IPv4Network)
        network = _detected(real, detected) if name in chosen else real
        ranges = {"clustercidr": network, "servicecidr": cluster.service_cidr}
        events.append(templates.get(name, Join(cluster=name)).model_copy(update=ranges))
    return replace(History(), events=tuple(events))


def _detected(real: IPv4Network, length: str) -> IPv4Network:
    """Return the network of a prefix length that begins where the real one does."""
    digits = length.removeprefix("/")
    if not digits.isdecimal() or not 8 <= int(digits) <= 32:
        place = Place(f"--sweep {DETECTED}={length}", 1, 1)
        raise InputError(f"expected a prefix length from /8 to /32, found {quoted(length)}", place=place)
    return IPv4Network((int(real.network_address), int(digits)), strict=False)
