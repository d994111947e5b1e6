"""Namespaces that no packet can tell apart: they differ in prefixes only, and not in which of the network's addresses these hold.

A packet bears addresses that somebody has, or that a route, a neighbour or a rule set names, and no others. So it makes no difference
whether a route or a condition says 10.42.0.0/18 or 10.42.0.0/19 where all those addresses are in both or in neither, and where the same
longer prefixes go before it. Everything else has to be equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network
from itertools import zip_longest
from typing import Final

from lab.state import Namespace, Route, State
from lab.state.nft import BinaryOperation, Chain, Match, NftRule, NftSet, NftTable, Prefix, SetRef

_ALWAYS: Final = (IPv4Address(0), IPv4Address("127.0.0.1"), IPv4Address("255.255.255.255"))
"""Addresses that packets bear though nobody has them."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """Of which kind each namespace of a state is: those of one kind do the same with every packet."""

    shape: int
    """Which namespaces there are, and which links in them: what they have in common."""
    of: Mapping[str, int]

    def among(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return what decides about packets that come by no namespaces but these."""
        return (self.shape, *(self.of.get(name, -1) for name in names))


class Lookalikes:
    """Numbers the kinds of namespaces, state after state. A number is never given again, and means the same for ever."""

    def __init__(self) -> None:
        self._addresses = frozenset(map(int, _ALWAYS))
        self._kinds: dict[str, list[tuple[Namespace, int]]] = {}
        self._shapes: dict[object, int] = {}
        self._count = 0

    def kinds(self, state: State, also: Iterable[IPv4Address] = ()) -> Kinds:
        """Return the kinds of a state's namespaces; `also` are further addresses that packets bear."""
        self._know(map(int, also))
        shape = tuple((namespace.name, tuple(link.name for link in namespace.links)) for namespace in state)
        found = None
        while found is None:
            found = self._all(state)
        return Kinds(self._shapes.setdefault(shape, len(self._shapes)), found)

    def _all(self, state: State) -> dict[str, int] | None:
        """Return the kind of each namespace, None where one brought an address that is new, so that all have to be looked at again."""
        found = {}
        for namespace in state:
            known = self._kinds.setdefault(namespace.name, [])
            number = next((number for one, number in known if _alike(one, namespace, self._addresses)), None)
            if number is None:
                if self._know(_addresses_in(namespace, known[-1][0] if known else None)):
                    return None
                number = self._count
                self._count += 1
                known.append((namespace, number))
            found[namespace.name] = number
        return found

    def _know(self, addresses: Iterable[int]) -> bool:
        """Take in addresses. Where one is new, what could not be told apart so far perhaps can: begin again."""
        more = self._addresses.union(addresses)
        if len(more) == len(self._addresses):
            return False
        self._addresses = more
        self._kinds.clear()
        return True


def _addresses_in(value: object, known: object = None) -> Iterator[int]:
    """Yield every single address in a part of a state, and every prefix that is one; what is as in a `known` part is left out."""
    if value == known:
        return
    if isinstance(value, IPv4Network):
        if value.prefixlen == value.max_prefixlen:
            yield int(value.network_address)
    elif isinstance(value, IPv4Address):
        yield int(value)
    elif isinstance(value, Mapping):
        yield from _addresses_in(tuple(value.values()))
    elif isinstance(value, tuple):
        others = known if isinstance(known, tuple) else ()
        for item, other in zip_longest(value, others[: len(value)]):
            yield from _addresses_in(item, other)
    elif is_dataclass(value) and not isinstance(value, type):
        for name in _compared(value.__class__):
            yield from _addresses_in(getattr(value, name), getattr(known, name, None))


@cache
def _compared(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind) if one.compare)


# -- comparison ----------------------------------------------------------------------------------------------------


_ELSE: Final = tuple(sorted(set(_compared(Namespace)) - {"routes", "tables"}, key=lambda name: name != "sysctls"))
"""What has to be equal in every way; first what a sweep changes most."""


def _alike(one: Namespace, other: Namespace, addresses: frozenset[int]) -> bool:
    if one == other:
        return True
    if any(getattr(one, name) != getattr(other, name) for name in _ELSE):
        return False
    if len(one.routes) != len(other.routes) or len(one.tables) != len(other.tables):
        return False
    return _routes_alike(one.routes, other.routes, addresses) and all(
        _tables_alike(*pair, addresses) for pair in zip(one.tables, other.tables, strict=True)
    )


def _members(network: object, addresses: frozenset[int]) -> frozenset[int] | None:
    if not isinstance(network, IPv4Network):
        return None
    return _held(int(network.network_address), int(network.netmask), addresses)


@lru_cache(maxsize=4096)
def _held(base: int, mask: int, addresses: frozenset[int]) -> frozenset[int]:
    return frozenset(address for address in addresses if address & mask == base)


def _routes_alike(one: Sequence[Route], other: Sequence[Route], addresses: frozenset[int]) -> bool:
    """Whether routes differ in the length of prefixes only, and stand in the same order for every address."""
    touched: set[int] = set()
    for old, new in zip(one, other, strict=True):
        if old == new:
            continue
        here = _members(old.destination, addresses)
        if here is None or here != _members(new.destination, addresses) or replace(old, destination=new.destination) != new:
            return False
        touched |= here
    return all(_order(one, address) == _order(other, address) for address in touched)


def _order(routes: Sequence[Route], address: int) -> list[list[int]]:
    """Return the numbers of the routes for an address, the longest prefixes first, those of one length together."""
    found: dict[int, list[int]] = {}
    for number, route in enumerate(routes):
        network = route.destination
        if isinstance(network, IPv4Network) and address & int(network.netmask) == int(network.network_address):
            found.setdefault(network.prefixlen, []).append(number)
    return [found[length] for length in sorted(found, reverse=True)]


def _tables_alike(one: NftTable, other: NftTable, addresses: frozenset[int]) -> bool:
    if one == other:
        return True
    if replace(one, chains=other.chains, sets=other.sets) != other:
        return False
    if len(one.chains) != len(other.chains) or len(one.sets) != len(other.sets):
        return False
    return all(_chains_alike(*pair, addresses) for pair in zip(one.chains, other.chains, strict=True)) and all(
        old == new or (_sets_alike(old, new, addresses) and not _computed(one, old.name))
        for old, new in zip(one.sets, other.sets, strict=True)
    )


def _chains_alike(one: Chain, other: Chain, addresses: frozenset[int]) -> bool:
    if one == other:
        return True
    if len(one.rules) != len(other.rules) or replace(one, rules=other.rules) != other:
        return False
    return all(_rules_alike(*pair, addresses) for pair in zip(one.rules, other.rules, strict=True))


def _rules_alike(one: NftRule, other: NftRule, addresses: frozenset[int]) -> bool:
    if one == other:
        return True
    if len(one.statements) != len(other.statements) or one.comment != other.comment:
        return False
    return all(old == new or _matches_alike(old, new, addresses) for old, new in zip(one.statements, other.statements, strict=True))


def _matches_alike(one: object, other: object, addresses: frozenset[int]) -> bool:
    """Whether two conditions hold for the same addresses; only equality can be asked of a prefix."""
    if not isinstance(one, Match) or not isinstance(other, Match) or isinstance(one.left, BinaryOperation):
        return False
    if one.left != other.left or one.operator != other.operator or one.operator not in ("==", "!="):
        return False
    return _values_alike(one.right, other.right, addresses)


def _values_alike(one: object, other: object, addresses: frozenset[int]) -> bool:
    if one == other:
        return True
    if not isinstance(one, Prefix) or not isinstance(other, Prefix):
        return False
    here = _members(one.network, addresses)
    return here is not None and here == _members(other.network, addresses)


def _sets_alike(one: NftSet, other: NftSet, addresses: frozenset[int]) -> bool:
    if len(one.elements) != len(other.elements) or replace(one, elements=other.elements) != other:
        return False
    return all(_values_alike(*pair, addresses) for pair in zip(one.elements, other.elements, strict=True))


def _computed(table: NftTable, name: str) -> bool:
    """Whether a set is asked about something that is computed from an address, and may be none of the network's."""
    return any(
        isinstance(statement, Match) and statement.right == SetRef(name) and isinstance(statement.left, BinaryOperation)
        for chain in table.chains
        for rule in chain.rules
        for statement in rule.statements
    )
