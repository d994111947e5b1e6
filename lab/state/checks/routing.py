"""What is wrong with routes, policy rules, neighbours and FDB entries."""

from __future__ import annotations

from collections.abc import Iterator

from lab.state.checks.mistake import MAC, Mistake, missing_link, repeated
from lab.state.network import Namespace
from lab.state.objects import NextHopObject, Route, Rule, Vxlan

WITHOUT_WAY = ("blackhole", "unreachable", "prohibit", "throw")
"""Types of routes that lead nowhere."""


def nexthop_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the nexthop objects of a namespace, and with routes that name one (net/ipv4/nexthop.c)."""
    objects = {thing.id: thing for thing in namespace.nexthops}
    for thing in repeated(namespace.nexthops, lambda thing: thing.id):
        yield Mistake(f"nexthop {thing.id} is there twice", thing.provenance)
    for thing in namespace.nexthops:
        if thing.device is not None:
            yield from missing_link(namespace, thing.device, f"nexthop {thing.id}", thing.provenance)
        problem = _nexthop_mistake(namespace, thing, objects)
        if problem is not None:
            yield Mistake(f"nexthop {thing.id} {problem}", thing.provenance)
    for route in namespace.routes:
        if route.nexthop is not None and (problem := _naming_mistake(route, objects)) is not None:
            yield Mistake(f"{_named(route)} {problem}", route.provenance)


def _nexthop_mistake(namespace: Namespace, thing: NextHopObject, objects: dict[int, NextHopObject]) -> str | None:
    if not 0 < thing.id < 1 << 32:
        return "has no number that a nexthop can have"
    if sum((thing.device is not None, thing.blackhole, bool(thing.group))) != 1 or (thing.via is not None and thing.device is None):
        return "is neither a way out over a device, nor a blackhole, nor a group"
    link = namespace.link(thing.device) if thing.device is not None else None
    if link is not None and not link.up:
        return f"leads out by {link.name}, which is down: the kernel keeps none there"
    members = [member.id for member in thing.group]
    if len(set(members)) < len(members):
        return "has a member twice"
    for member in thing.group:
        other = objects.get(member.id)
        if other is None:
            return f"has the member {member.id}, which is not there"
        if other.group:
            return f"has the member {member.id}, which is a group itself"
        if other.blackhole and len(members) > 1:
            return f"has the member {member.id}, a blackhole, beside others"
        if not 1 <= member.weight <= 256:
            return f"gives the member {member.id} the weight {member.weight}, which is not between 1 and 256"
    return None


def _naming_mistake(route: Route, objects: dict[int, NextHopObject]) -> str | None:
    thing = objects.get(route.nexthop or 0)
    if thing is None:
        return f"names nexthop {route.nexthop}, which is not there"
    parts = [objects[member.id] for member in thing.group if member.id in objects] or [thing]
    if route.destination.version == 6 and any(part.version == 4 for part in parts):
        return f"names nexthop {thing.id}, which is one of IPv4"
    return None


def route_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the routes of a namespace."""
    for route in repeated(namespace.routes, lambda route: route):
        yield Mistake(f"{_named(route)} is there twice", route.provenance)
    for route in namespace.routes:
        for device in (route.device, *(hop.device for hop in route.hops)):
            if device is not None:
                yield from missing_link(namespace, device, _named(route), route.provenance)
        problem = _way_mistake(route)
        if problem is not None:
            yield Mistake(f"{_named(route)} {problem}", route.provenance)


def _named(route: Route) -> str:
    return f"the route to {route.destination} in table {int(route.table)}"


def _way_mistake(route: Route) -> str | None:
    single = route.via is not None or route.device is not None
    if sum((bool(route.hops), single, route.nexthop is not None)) > 1:
        return "has next hops and a way of its own"
    if len(route.hops) == 1:
        return "has one next hop in a list of them"
    if route.type in WITHOUT_WAY and (route.hops or route.via is not None or route.nexthop is not None):
        return f"is of type {route.type} and leads somewhere"
    if route.type not in WITHOUT_WAY and not route.hops and not single and route.nexthop is None:
        return "leads nowhere"
    if not 0 < route.table < 1 << 32:
        return "is in no table"
    if any(via is not None and via.version != route.destination.version == 6 for via in (route.via, *(h.via for h in route.hops))):
        return "leads through a gateway of IPv4"
    return None


def rule_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the policy rules of a namespace. That a table is empty is no mistake."""
    for rule in repeated(namespace.rules, lambda rule: rule):
        yield Mistake(f"rule {rule.priority} is there twice", rule.provenance)
    for rule in namespace.rules:
        problem = _rule_mistake(namespace, rule)
        if problem is not None:
            yield Mistake(f"rule {rule.priority} {problem}", rule.provenance)


def _rule_mistake(namespace: Namespace, rule: Rule) -> str | None:
    if rule.action == "lookup" and rule.table is None and not rule.l3mdev:
        return "looks up no table"
    if rule.action == "goto":
        if rule.goto is None or rule.goto <= rule.priority:
            return "goes backwards or nowhere: fib_nl_newrule takes a goto only to a rule behind it"
        if not any(other.priority == rule.goto and other.family == rule.family for other in namespace.rules):
            return f"goes to {rule.goto}, where there is no rule"
    for selector in (rule.source, rule.destination):
        if selector is not None and selector.version != rule.family:
            return f"is one of IPv{rule.family} and selects {selector}"
    return None


def neighbour_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the neighbour entries of a namespace."""
    for entry in repeated(namespace.neighbours, lambda n: (n.device, n.address, n.proxy)):
        yield Mistake(f"neighbour {entry.address} on {entry.device} is there twice", entry.provenance)
    for entry in namespace.neighbours:
        yield from missing_link(namespace, entry.device, f"neighbour {entry.address}", entry.provenance)
        if entry.mac is not None and not MAC.fullmatch(entry.mac):
            yield Mistake(f"neighbour {entry.address} on {entry.device}: {entry.mac!r} is no MAC address", entry.provenance)


def fdb_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the FDB entries of a namespace."""
    for entry in repeated(namespace.fdb, lambda e: (e.device, e.mac, e.destination, e.port, e.vni, e.via, e.master)):
        yield Mistake(f"FDB entry {entry.mac} on {entry.device} is there twice", entry.provenance)
    for entry in namespace.fdb:
        what = f"FDB entry {entry.mac} on {entry.device}"
        yield from missing_link(namespace, entry.device, what, entry.provenance)
        link = namespace.link(entry.device)
        if not MAC.fullmatch(entry.mac):
            yield Mistake(f"{what}: this is no MAC address", entry.provenance)
        if link is None:
            continue
        if entry.destination is not None and not isinstance(link.kind, Vxlan):
            yield Mistake(f"{what} names a remote VTEP, and {entry.device} is no VXLAN device", entry.provenance)
        elif entry.destination is not None and isinstance(link.kind, Vxlan) and entry.destination.version != link.kind.version:
            message = f"{what} names the VTEP {entry.destination}, and {entry.device} is a tunnel over IPv{link.kind.version}"
            yield Mistake(message, entry.provenance)
        if entry.master and link.master is None:
            yield Mistake(f"{what} belongs to a bridge, and {entry.device} is no port of one", entry.provenance)
