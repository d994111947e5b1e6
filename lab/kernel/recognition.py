"""What was read from the kernel, seen in the light of what was meant: provenance, and the form in which both can be compared."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from lab.kernel.planning.addresses import by_link
from lab.kernel.planning.sysctls import same_value
from lab.state import (
    AddressEntry,
    FdbEntry,
    Link,
    Namespace,
    Neighbour,
    NextHop,
    NextHopObject,
    Provenance,
    Route,
    Rule,
    State,
    without_bare_ipv6,
)
from lab.state.nft import Chain, NftRule, NftTable
from lab.state.nftables import canonical, canonical_rule

T = TypeVar("T", Link, AddressEntry, NextHopObject, Route, Rule, Neighbour, FdbEntry)


def with_provenance(read: State, target: State) -> State:
    """Give what was read the provenance of what was meant, where both are the same; what nobody meant keeps `UNKNOWN`."""
    namespaces = {
        name: _recognised(namespace, target[name]) if name in target.namespaces else namespace
        for name, namespace in read.namespaces.items()
    }
    return replace(read, namespaces=namespaces)


def _recognised(read: Namespace, meant: Namespace) -> Namespace:
    return replace(
        read,
        links=_links(read.links, {link.name: link for link in meant.links}),
        addresses=_equal(read.addresses, meant.addresses),
        nexthops=_equal(read.nexthops, meant.nexthops),
        routes=_equal(read.routes, meant.routes),
        rules=_equal(read.rules, meant.rules),
        neighbours=_equal(read.neighbours, meant.neighbours),
        fdb=_equal(read.fdb, meant.fdb),
        tables=_tables(read.tables, meant.tables),
        provenance=meant.provenance,
    )


def _equal(read: tuple[T, ...], meant: Iterable[T]) -> tuple[T, ...]:
    """Provenance is no part of equality: what was read as it was meant is what was meant."""
    known = {thing: thing for thing in meant}
    return tuple(known.get(thing, thing) for thing in read)


def _links(read: tuple[Link, ...], meant: Mapping[str, Link]) -> tuple[Link, ...]:
    """A link is known by its name; what somebody changed about it since is said."""
    return tuple(replace(link, provenance=_of_link(link, meant[link.name])) if link.name in meant else link for link in read)


def _of_link(link: Link, meant: Link) -> Provenance:
    changes = [f"mtu {link.mtu}, not {meant.mtu}"] if link.mtu != meant.mtu else []
    changes += [f"mac {link.mac}, not {meant.mac}"] if meant.mac not in (None, link.mac) else []
    changes += ["up" if link.up else "down"] if link.up != meant.up else []
    changes += [f"arp {'on' if link.arp else 'off'}"] if link.arp != meant.arp else []
    changes += [f"impairment {link.impairment or 'none'}"] if link.impairment != meant.impairment else []
    changes += link.foreign
    if not changes:
        return meant.provenance
    return Provenance("unknown", f"changed since it was made: {', '.join(changes)}", because=(meant.provenance,))


def _tables(read: tuple[NftTable, ...], meant: tuple[NftTable, ...]) -> tuple[NftTable, ...]:
    known = {(table.family, table.name): table for table in meant}
    return tuple(_table(table, known[table.family, table.name]) if (table.family, table.name) in known else table for table in read)


def _table(read: NftTable, meant: NftTable) -> NftTable:
    chains = {chain.name: chain for chain in meant.chains}
    return replace(
        read,
        chains=tuple(_chain(read, chain, chains[chain.name]) if chain.name in chains else chain for chain in read.chains),
        provenance=meant.provenance,
    )


def _chain(table: NftTable, read: Chain, meant: Chain) -> Chain:
    """Rules are told by what they do, not by where they stand: others may have been put between them. Of equal ones each is found once."""
    waiting: dict[NftRule, list[NftRule]] = {}
    for rule in meant.rules:
        waiting.setdefault(canonical_rule(rule, table.family), []).append(rule)
    rules = []
    for rule in read.rules:
        same = waiting.get(canonical_rule(rule, table.family))
        rules.append(replace(rule, provenance=same.pop(0).provenance) if same else rule)
    return replace(read, rules=tuple(rules), provenance=meant.provenance)


def as_stated(read: State, target: State) -> State:
    """What was read, in the terms of what was meant: `as_stated(read, target) == target` when the kernel holds the target.

    The kernel says more than a state does: MAC addresses it chose itself, sysctls nobody stated, neighbours it learned, the device of a
    route that only names its gateway, IPv6 where nobody speaks of it. And it has an order of its own. What is left is what differs.
    """
    namespaces = {
        name: _in_terms_of(namespace, target[name]) if name in target.namespaces else namespace
        for name, namespace in read.namespaces.items()
    }
    order = {name: position for position, name in enumerate(target.namespaces)}
    ordered = dict(sorted(namespaces.items(), key=lambda item: order.get(item[0], len(order))))
    return replace(read, namespaces=ordered, control=target.control)


def _in_terms_of(read: Namespace, meant: Namespace) -> Namespace:
    read = without_learned(without_bare_ipv6(read), meant)
    links = {link.name: link for link in meant.links}
    routes = {route.key: route for route in meant.routes}
    return replace(
        read,
        links=_in_order(tuple(_link(link, links.get(link.name)) for link in read.links), meant.links, lambda link: link.name),
        addresses=_addresses_in_order(read.addresses, meant.addresses),
        nexthops=_in_order(read.nexthops, meant.nexthops, lambda thing: thing.id),
        routes=_in_order(tuple(_route(route, routes.get(route.key)) for route in read.routes), meant.routes, lambda route: route),
        rules=_in_order(read.rules, meant.rules, lambda rule: rule),
        neighbours=_in_order(read.neighbours, meant.neighbours, lambda entry: entry),
        fdb=_in_order(read.fdb, meant.fdb, lambda entry: entry),
        sysctls=_sysctls(read.sysctls, meant.sysctls),
        tables=_tables_as_stated(read.tables, meant.tables),
    )


def _link(read: Link, meant: Link | None) -> Link:
    if meant is None:
        return read
    mac = None if meant.mac is None else read.mac
    return replace(read, mac=mac, port=None if meant.port is None else read.port)


def _route(read: Route, meant: Route | None) -> Route:
    if meant is None:
        return read
    if meant.device is None and meant.via is not None and meant.via == read.via:
        return replace(read, device=None)
    if len(meant.hops) == len(read.hops):
        pairs = zip(read.hops, meant.hops, strict=True)
        return replace(
            read, hops=tuple(NextHop(hop.via, hop.device if said.device else None, hop.weight, hop.onlink) for hop, said in pairs)
        )
    return read


def without_learned(read: Namespace, meant: Namespace) -> Namespace:
    """Return what was read of a namespace without the neighbours and FDB entries that it learned, but for those that were meant."""
    return replace(
        read,
        neighbours=_only_meant(read.neighbours, meant.neighbours, _is_learned),
        fdb=_only_meant(read.fdb, meant.fdb, lambda entry: not entry.permanent),
    )


def _is_learned(neighbour: Neighbour) -> bool:
    return not neighbour.proxy and neighbour.state not in {"permanent", "noarp"}


def _only_meant(read: tuple[T, ...], meant: tuple[T, ...], is_learned: Callable[[T], bool]) -> tuple[T, ...]:
    return tuple(thing for thing in read if thing in meant or not is_learned(thing))


def _in_order(read: tuple[T, ...], meant: tuple[T, ...], key: Callable[[T], Hashable]) -> tuple[T, ...]:
    """The same objects in the order in which the state has them; others behind."""
    order = {key(thing): position for position, thing in enumerate(meant)}
    return tuple(sorted(read, key=lambda thing: order.get(key(thing), len(order))))


def _addresses_in_order(read: tuple[AddressEntry, ...], meant: tuple[AddressEntry, ...]) -> tuple[AddressEntry, ...]:
    """As stated, where each link has its addresses in the order that follows from what is stated; otherwise as read."""
    return meant if by_link(read) == by_link(meant) else read


def _sysctls(read: Mapping[str, str], meant: Mapping[str, str]) -> dict[str, str]:
    return {path: value if same_value(read[path], value) else read[path] for path, value in meant.items() if path in read}


def _tables_as_stated(read: tuple[NftTable, ...], meant: tuple[NftTable, ...]) -> tuple[NftTable, ...]:
    """A table, chain, set or map that means what was stated is shown as it was stated."""
    known = {(table.family, table.name): table for table in meant}
    shown = []
    for table in read:
        stated = known.get((table.family, table.name))
        if stated is not None:
            table = stated if canonical(stated) == canonical(table) else _parts_as_stated(table, stated)
        shown.append(table)
    order = {name: position for position, name in enumerate(known)}
    return tuple(sorted(shown, key=lambda table: order.get((table.family, table.name), len(order))))


def _parts_as_stated(read: NftTable, meant: NftTable) -> NftTable:
    forms, stated_forms = canonical(read), canonical(meant)

    def as_stated_of(kind: str) -> tuple[object, ...]:
        form, stated_form = ({part.name: part for part in getattr(table, kind)} for table in (forms, stated_forms))
        stated = {part.name: part for part in getattr(meant, kind)}
        return tuple(stated[part.name] if form[part.name] == stated_form.get(part.name) else part for part in getattr(read, kind))

    return replace(read, **{kind: as_stated_of(kind) for kind in ("chains", "sets", "maps")})  # type: ignore[arg-type]
