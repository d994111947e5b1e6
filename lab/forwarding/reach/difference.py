"""What a change alters: newly reachable, newly lost, another path, still broken; as exact sets of addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.forwarding.flow import Flow
from lab.forwarding.network import Network
from lab.forwarding.reach.classes import distinctions, join
from lab.forwarding.reach.matrix import Cell, Reach, reach, speaks
from lab.state import State
from lab.state.objects import Network as Prefix

Change = Literal["newly reachable", "newly lost", "path changed", "still broken", "other loss"]
"""``other loss``: lost before and after, for another reason or with another symptom."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes for one namespace and one set of addresses."""

    source: str
    addresses: tuple[Prefix, ...]
    change: Change
    before: str
    after: str


def difference(before: State | Network, after: State | Network, *, flow: Flow | None = None) -> tuple[Difference, ...]:
    """Compare two networks, packet class by packet class, for the namespaces both have.

    The version of the flow's destination says whether IPv4 or IPv6 is compared. Addresses are told apart wherever either of the two tells
    them apart, so the sets are exact.
    """
    old = before if isinstance(before, Network) else Network(before)
    new = after if isinstance(after, Network) else Network(after)
    version: Literal[4, 6] = 4 if flow is None else flow.destination.version
    prefixes = (*distinctions(old.state, version), *distinctions(new.state, version))
    names = [n.name for n in new.state if n.name in old.state.namespaces and speaks(new, n.name, version)]
    was = reach(old, sources=names, flow=flow, also=prefixes)
    is_now = reach(new, sources=names, flow=flow, also=prefixes)
    return tuple(found for name in names for found in _row(name, was, is_now))


def _row(name: str, was: Reach, is_now: Reach) -> list[Difference]:
    groups: dict[tuple[Change, str, str], list[Prefix]] = {}
    later = is_now.of(name)
    for cell in was.of(name):
        for other in later:
            shared = _shared(cell.addresses, other.addresses)
            if shared:
                change = _change(cell, other)
                if change is not None:
                    groups.setdefault((change, _say(cell), _say(other)), []).extend(shared)
    return [Difference(name, join(parts), *key) for key, parts in groups.items()]


def _change(before: Cell, after: Cell) -> Change | None:
    if before.answer == "reply" and after.answer == "reply":
        return None if (before.path, before.path_back) == (after.path, after.path_back) else "path changed"
    if after.answer == "reply":
        return "newly reachable"
    if before.answer == "reply":
        return "newly lost"
    return "still broken" if (before.outcome, before.reason) == (after.outcome, after.reason) else "other loss"


def _say(cell: Cell) -> str:
    if cell.answer == "reply":
        return f"{' '.join(cell.path)}, back {' '.join(cell.path_back)}"
    return f"{cell.outcome}; {cell.reason}" if cell.reason else cell.outcome


def _shared(first: tuple[Prefix, ...], second: tuple[Prefix, ...]) -> list[Prefix]:
    """Return the addresses in both; of two CIDRs that overlap one is inside the other."""
    found = []
    for one in first:
        for other in second:
            if one.overlaps(other):
                found.append(one if one.prefixlen >= other.prefixlen else other)
    return found
