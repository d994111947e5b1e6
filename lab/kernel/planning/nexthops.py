"""The steps that configure nexthop objects, and the routes that name them.

They come last, since the kernel makes none over a device without a carrier, and a carrier needs both ends. What a change of any link may
have taken away, here or at the other end, is sent again in a form that also suits when it has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lab.kernel.netlink.nexthops import delete_nexthop, replace_nexthop
from lab.kernel.netlink.routes import delete_route, replace_route
from lab.kernel.planning.addresses import address_changes
from lab.kernel.planning.batch import Batch
from lab.kernel.planning.changes import NamespaceChange
from lab.kernel.planning.steps import Phase, SendBatch, Verb
from lab.kernel.planning.tables import add_rule, rule_changes, rules_are_last
from lab.state import Namespace, NextHopObject, Route
from lab.state.commands.nexthops import made_anew

Key = tuple[int, object, int, int]


def without_named(change: NamespaceChange) -> NamespaceChange:
    """Return a change without the routes that are left to `nexthop_steps`."""
    keys = _named_keys(change)
    if not keys:
        return change
    return replace(change, before=_without(change.before, keys), after=_without(change.after, keys))


def nexthop_steps(change: NamespaceChange, *, shaken: bool) -> Iterator[SendBatch]:
    """Yield what changes nexthop objects and the routes of the keys they are named under; `shaken`: some link somewhere changes."""
    before, after = change.before, change.after
    if not before.nexthops and not after.nexthops:
        return
    batch = Batch(after.name, change.indexes)
    shaken = shaken or bool(address_changes(change, change.disturbed)[0])
    anew = made_anew(before.nexthops, after.nexthops)
    unsure = {thing.id for thing in anew}
    known = set() if shaken else {thing for thing in before.nexthops if not _rests_on(thing, unsure)}
    coming = [thing for thing in after.nexthops if thing not in known]
    removed, sent = _routes(change, shaken=shaken, gone={thing.id for thing in before.nexthops if _rests_on(thing, unsure)})
    batch.many(Verb.DELETE, anew, delete_nexthop)
    batch.many(Verb.DELETE, removed, delete_route)
    batch.many(Verb.REPLACE, [thing for thing in coming if not thing.group], replace_nexthop)
    batch.many(Verb.REPLACE, [thing for thing in coming if thing.group], replace_nexthop)
    batch.many(Verb.REPLACE, sent, replace_route)
    wanted = {thing.id for thing in after.nexthops}
    going = [thing for thing in before.nexthops if thing.id not in wanted]
    batch.many(Verb.DELETE, sorted(going, key=lambda thing: not thing.group), delete_nexthop)
    if rules_are_last(change):
        batch.many(Verb.ADD, rule_changes(before, after)[1], add_rule)
    yield from batch.steps(Phase.NEXTHOPS)


def _rests_on(thing: NextHopObject, numbers: set[int]) -> bool:
    return thing.id in numbers or any(member.id in numbers for member in thing.group)


def _routes(change: NamespaceChange, *, shaken: bool, gone: set[int]) -> tuple[list[Route], list[Route]]:
    """Routes that are removed and that are sent, where the nexthop objects of some numbers go and take their routes along."""
    keys = _named_keys(change)
    old = [route for route in change.before.routes if route.key in keys]
    new = [route for route in change.after.routes if route.key in keys]
    there = set() if shaken else {route for route in old if route.nexthop not in gone}
    wanted = {route.key for route in new}
    return [route for route in old if route.key not in wanted], [route for route in new if route not in there]


def _named_keys(change: NamespaceChange) -> set[Key]:
    """The keys of routes of which some name a nexthop object, before or after."""
    sides = [side for side in (change.before, change.after) if side.nexthops]
    return {route.key for side in sides for route in side.routes if route.nexthop is not None}


def _without(namespace: Namespace, keys: set[Key]) -> Namespace:
    return replace(namespace, routes=tuple(route for route in namespace.routes if route.key not in keys))
