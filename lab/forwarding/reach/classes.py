"""Classes of addresses that nothing in a network tells apart.

Prefixes are nested or disjoint, so P of them cut the address space into at most P + 1 classes: an address is decided by the
longest prefix that covers it. One sweep over the sorted prefixes gives each its parent, and the part of it that is its own.
IPv4 and IPv6 are two address spaces: what is nested, joined or told apart here is of one version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, summarize_address_range
from typing import Generic, Literal, TypeVar, cast, overload

from lab.state import Namespace, State
from lab.state.nft import Range
from lab.state.objects import Address, Network

P = TypeVar("P", bound=Network)
"""Prefixes of one version of IP."""

EVERYTHING: Mapping[int, Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
"""The whole address space of each version."""


@dataclass(frozen=True, slots=True)
class Nesting(Generic[P]):
    """Prefixes in order, each before those inside it, the whole address space first."""

    prefixes: tuple[P, ...]
    parents: tuple[int, ...]
    """The number of the smallest prefix around each; the first is its own parent."""
    depths: tuple[int, ...]
    ends: tuple[int, ...]
    """For each the number behind the last prefix inside it: a prefix and all inside it are a slice."""

    def numbers(self) -> dict[P, int]:
        """Return the number of each prefix."""
        return {prefix: number for number, prefix in enumerate(self.prefixes)}


def nest(prefixes: Iterable[P], version: Literal[4, 6] = 4) -> Nesting[P]:
    """Sort prefixes of one version of IP and find out what lies in what."""
    ordered = sorted({cast(P, EVERYTHING[version]), *prefixes}, key=lambda prefix: (int(prefix.network_address), prefix.prefixlen))
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


def own_part(nesting: Nesting[P], number: int) -> tuple[P, ...]:
    """Return the addresses of a prefix that no prefix inside it covers, as the fewest CIDRs."""
    prefix = nesting.prefixes[number]
    position, last = int(prefix.network_address), int(prefix.broadcast_address)
    found: list[P] = []
    child = number + 1
    while child < nesting.ends[number]:
        inner = nesting.prefixes[child]
        found += _between(position, int(inner.network_address) - 1, prefix)
        position = int(inner.broadcast_address) + 1
        child = nesting.ends[child]
    return (*found, *_between(position, last, prefix))


def representative(nesting: Nesting[P], number: int) -> Address | None:
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
    return None if position > last else address_of(position, nesting.prefixes[number].version)


def join(parts: Iterable[P]) -> tuple[P, ...]:
    """Return the fewest CIDRs that cover exactly the same addresses."""
    spans: list[tuple[int, int]] = []
    ordered = sorted(parts, key=int_of)
    for part in ordered:
        first, last = int(part.network_address), int(part.broadcast_address)
        if spans and first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        else:
            spans.append((first, last))
    return tuple(cidr for first, last in spans for cidr in _between(first, last, ordered[0]))


def int_of(network: Network) -> tuple[int, int]:
    """Return what networks of one version are sorted by."""
    return int(network.network_address), network.prefixlen


def address_of(number: int, version: int) -> Address:
    """Return the address of a number."""
    return IPv4Address(number) if version == 4 else IPv6Address(number)


def _between(first: int, last: int, like: P) -> list[P]:
    """The CIDRs of a span of addresses of the version of a prefix."""
    if first > last:
        return []
    if isinstance(like, IPv4Network):
        return cast(list[P], list(summarize_address_range(IPv4Address(first), IPv4Address(last))))
    return cast(list[P], list(summarize_address_range(IPv6Address(first), IPv6Address(last))))


@overload
def distinctions(state: State) -> tuple[IPv4Network, ...]: ...
@overload
def distinctions(state: State, version: Literal[4, 6]) -> tuple[Network, ...]: ...


def distinctions(state: State, version: Literal[4, 6] = 4) -> tuple[Network, ...]:
    """Return every prefix of a version by which a state tells addresses apart: those of routes, rules, addresses, rule sets, tunnels."""
    return tuple(dict.fromkeys(p for namespace in state for p in _prefixes_of(namespace) if p.version == version))


def _prefixes_of(namespace: Namespace) -> Iterator[Network]:
    yield from _prefixes_in(
        (namespace.routes, namespace.rules, namespace.addresses, namespace.neighbours, namespace.fdb, namespace.links, namespace.tables)
    )
    yield from _prefixes_in(tuple(listener.address for listener in namespace.listeners))


def _prefixes_in(value: object) -> Iterator[Network]:
    if isinstance(value, IPv4Network | IPv6Network):
        yield value
    elif isinstance(value, IPv4Address | IPv6Address):
        # An interface is an address too; its network counts as well.
        yield IPv4Network(int(value)) if value.version == 4 else IPv6Network(int(value))
        network = getattr(value, "network", None)
        if isinstance(network, IPv4Network | IPv6Network):
            yield network
    elif isinstance(value, Range):
        if isinstance(value.first, IPv4Address | IPv6Address) and isinstance(value.last, IPv4Address | IPv6Address):
            yield from _between(int(value.first), int(value.last), EVERYTHING[value.first.version])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _prefixes_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for inner in fields(value):
            if inner.name != "provenance":
                yield from _prefixes_in(getattr(value, inner.name))
