"""Classes of addresses that nothing in a network tells apart.

Prefixes are nested or disjoint, so P of them cut the address space into at most P + 1 classes: an address is decided by the
longest prefix that covers it. One sweep over the sorted prefixes gives each its parent, and the part of it that is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from ipaddress import IPv4Address, IPv4Network, summarize_address_range

from lab.state import Namespace, State
from lab.state.nft import Range

EVERYTHING = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Nesting:
    """Prefixes in order, each before those inside it, the whole address space first."""

    prefixes: tuple[IPv4Network, ...]
    parents: tuple[int, ...]
    """The number of the smallest prefix around each; the first is its own parent."""
    depths: tuple[int, ...]
    ends: tuple[int, ...]
    """For each the number behind the last prefix inside it: a prefix and all inside it are a slice."""

    def numbers(self) -> dict[IPv4Network, int]:
        """Return the number of each prefix."""
        return {prefix: number for number, prefix in enumerate(self.prefixes)}


def nest(prefixes: Iterable[IPv4Network]) -> Nesting:
    """Sort prefixes and find out what lies in what."""
    ordered = sorted({EVERYTHING, *prefixes}, key=lambda prefix: (int(prefix.network_address), prefix.prefixlen))
    lasts = [int(prefix.broadcast_address) for prefix in ordered]
    parents, depths, ends = [0] * len(ordered), [0] * len(ordered), [0] * len(ordered)
    open_ones: list[int] = []
    for number, prefix in enumerate(ordered):
        first = int(prefix.network_address)
        while open_ones and lasts[open_ones[-1]] < first:
            ends[open_ones.pop()] = number
        if open_ones:
            parents[number] = open_ones[-1]
            depths[number] = len(open_ones)
        open_ones.append(number)
    for number in open_ones:
        ends[number] = len(ordered)
    return Nesting(tuple(ordered), tuple(parents), tuple(depths), tuple(ends))


def own_part(nesting: Nesting, number: int) -> tuple[IPv4Network, ...]:
    """Return the addresses of a prefix that no prefix inside it covers, as the fewest CIDRs."""
    prefix = nesting.prefixes[number]
    position, last = int(prefix.network_address), int(prefix.broadcast_address)
    found: list[IPv4Network] = []
    child = number + 1
    while child < nesting.ends[number]:
        inner = nesting.prefixes[child]
        found += _between(position, int(inner.network_address) - 1)
        position = int(inner.broadcast_address) + 1
        child = nesting.ends[child]
    return (*found, *_between(position, last))


def representative(nesting: Nesting, number: int) -> IPv4Address | None:
    """Return an address of a prefix's own part, not its first where there is another; None where nothing is left of it."""
    position = int(nesting.prefixes[number].network_address)
    last = int(nesting.prefixes[number].broadcast_address)
    child = number + 1
    while child < nesting.ends[number]:
        inner = nesting.prefixes[child]
        if position < int(inner.network_address):
            break
        position = int(inner.broadcast_address) + 1
        child = nesting.ends[child]
    return None if position > last else IPv4Address(position)


def join(parts: Iterable[IPv4Network]) -> tuple[IPv4Network, ...]:
    """Return the fewest CIDRs that cover exactly the same addresses."""
    spans: list[tuple[int, int]] = []
    for part in sorted(parts):
        first, last = int(part.network_address), int(part.broadcast_address)
        if spans and first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        else:
            spans.append((first, last))
    return tuple(cidr for first, last in spans for cidr in _between(first, last))


def _between(first: int, last: int) -> list[IPv4Network]:
    return [] if first > last else list(summarize_address_range(IPv4Address(first), IPv4Address(last)))


def distinctions(state: State) -> tuple[IPv4Network, ...]:
    """Return every prefix by which something in a state tells addresses apart: routes, rules, addresses, rule sets, tunnels."""
    return tuple(dict.fromkeys(prefix for namespace in state for prefix in _prefixes_of(namespace)))


def _prefixes_of(namespace: Namespace) -> Iterator[IPv4Network]:
    yield from _prefixes_in(
        (namespace.routes, namespace.rules, namespace.addresses, namespace.neighbours, namespace.fdb, namespace.links, namespace.tables)
    )
    yield from _prefixes_in(tuple(listener.address for listener in namespace.listeners))


def _prefixes_in(value: object) -> Iterator[IPv4Network]:
    if isinstance(value, IPv4Network):
        yield value
    elif isinstance(value, IPv4Address):
        # An interface is an address too; its network counts as well.
        yield IPv4Network(int(value))
        network = getattr(value, "network", None)
        if isinstance(network, IPv4Network):
            yield network
    elif isinstance(value, Range):
        if isinstance(value.first, IPv4Address) and isinstance(value.last, IPv4Address):
            yield from summarize_address_range(value.first, value.last)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _prefixes_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for inner in fields(value):
            if inner.name != "provenance":
                yield from _prefixes_in(getattr(value, inner.name))
