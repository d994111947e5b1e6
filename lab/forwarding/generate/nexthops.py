"""Nexthop objects in the place of what routes say themselves."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Literal

from lab.state import GroupMember, Namespace, NextHop, NextHopObject, Protocol, Route, State
from lab.state.lost import has_carrier
from lab.state.ways import ways_of


def with_nexthops(state: State, random: Random) -> State:
    """Return a network in some of whose namespaces routes name nexthop objects: single ones, groups, groups of one, blackholes."""
    namespaces = {name: _renamed(one, state, random) if random.random() < 0.6 else one for name, one in state.namespaces.items()}
    return replace(state, namespaces=namespaces)


def _renamed(namespace: Namespace, state: State, random: Random) -> Namespace:
    objects: list[NextHopObject] = []
    routes = tuple(_with_object(route, namespace, state, objects, random) if random.random() < 0.7 else route for route in namespace.routes)
    return replace(namespace, routes=routes, nexthops=tuple(objects))


def _with_object(route: Route, namespace: Namespace, state: State, objects: list[NextHopObject], random: Random) -> Route:
    if route.protocol == Protocol.KERNEL:
        return route
    plain = replace(route, via=None, device=None, onlink=False, hops=())
    if route.type == "blackhole":
        return replace(plain, type="unicast", nexthop=_id_of(objects, NextHopObject(0, blackhole=True, family=_version(route))))
    ways = ways_of(route, {})
    if route.type != "unicast" or not all(_is_possible(way, namespace, state) for way in ways):
        return route
    single = (NextHopObject(0, way.via, way.device, way.onlink, family=4 if way.via is not None else _version(route)) for way in ways)
    members = [_id_of(objects, thing) for thing in single]
    if len(members) == 1 and random.random() < 0.7:
        return replace(plain, nexthop=members[0])
    group = tuple(GroupMember(member, random.choice((1, 1, 5))) for member in dict.fromkeys(members))
    return replace(plain, nexthop=_id_of(objects, NextHopObject(0, group=group)))


def _version(route: Route) -> Literal[4, 6]:
    return 4 if route.destination.version == 4 else 6


def _is_possible(way: NextHop, namespace: Namespace, state: State) -> bool:
    """Whether the kernel takes a way as a nexthop object, which has no table of its own to look for its gateway in."""
    link = namespace.link(way.device or "")
    if link is None or not has_carrier(link, namespace, state.namespaces):
        return False
    via = way.via
    if via is None or way.onlink:
        return True
    subnets = [entry.interface.network for entry in namespace.addresses if entry.device == way.device and via in entry.interface.network]
    if via.version == 4 or not subnets:
        return bool(subnets)
    # For IPv6 a route to a part of the subnet decides about the gateway as about anybody else (`ip6_route_check_nh`).
    longest = max(subnet.prefixlen for subnet in subnets)
    return not any(via in route.destination and route.destination.prefixlen > longest for route in namespace.routes)


def _id_of(objects: list[NextHopObject], wanted: NextHopObject) -> int:
    """Return the number of an object, made if there is none like it."""
    for known in objects:
        if replace(known, id=0) == wanted:
            return known.id
    objects.append(replace(wanted, id=len(objects) + 1))
    return len(objects)
