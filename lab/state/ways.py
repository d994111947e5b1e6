"""Where a route leads: by itself, by a list of next hops, or by a nexthop object."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from lab.state.objects import NextHop, NextHopObject, Route

Objects = Mapping[int, NextHopObject]
"""Nexthop objects by their numbers."""


def ways_of(route: Route, objects: Objects) -> tuple[NextHop, ...]:
    """Return the ways out of a route, groups taken apart; none for a route that leads nowhere or to a blackhole."""
    if route.nexthop is not None:
        return tuple(_ways_of_object(route.nexthop, objects))
    if route.hops or (route.device is None and route.via is None):
        return route.hops
    return (NextHop(route.via, route.device, onlink=route.onlink),)


def _ways_of_object(number: int, objects: Objects) -> Iterator[NextHop]:
    found = objects.get(number)
    if found is None:
        return
    if not found.group:
        if not found.blackhole:
            yield NextHop(found.via, found.device, onlink=found.onlink)
        return
    for member in found.group:
        one = objects.get(member.id)
        if one is not None and one.device is not None:
            yield NextHop(one.via, one.device, member.weight, one.onlink)


def leaves_of(number: int, objects: Objects) -> frozenset[int]:
    """Return the nexthop objects that a number stands for: those of a group, or itself."""
    found = objects.get(number)
    return frozenset(member.id for member in found.group) if found is not None and found.group else frozenset({number})


def leads_into_blackhole(number: int, objects: Objects) -> bool:
    """Whether a nexthop object is a blackhole, or a group of one (`nexthop_is_blackhole`)."""
    found = objects.get(number)
    while found is not None and len(found.group) == 1:
        found = objects.get(found.group[0].id)
    return found is not None and found.blackhole


def without_lost(objects: Iterable[NextHopObject], lost: Collection[str]) -> tuple[NextHopObject, ...]:
    """Return the nexthop objects that stay when some devices are lost: groups lose members, and go when they have none left."""
    given = tuple(objects)
    gone = {thing.id for thing in given if thing.device in lost}
    if not gone:
        return given
    kept = []
    for thing in given:
        members = tuple(member for member in thing.group if member.id not in gone)
        if thing.id not in gone and (members or not thing.group):
            kept.append(replace(thing, group=members))
    return tuple(kept)
