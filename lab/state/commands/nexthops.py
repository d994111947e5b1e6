"""Nexthop objects as commands: ip-nexthop(8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.state.commands.command import Command, command
from lab.state.commands.routing import protocol_text
from lab.state.objects import NextHopObject, Protocol


def change_nexthops(namespace: str, before: Sequence[NextHopObject], after: Sequence[NextHopObject]) -> Iterator[Command]:
    """Yield what makes the nexthop objects of `after`: single ones before the groups they are members of.

    One of another nature cannot take the place of a group, nor a group its place, nor a blackhole that of a member
    (`replace_nexthop` in net/ipv4/nexthop.c); nor a gateway the place of a mere device while a route of link scope names it
    (`nexthop_check_scope`). Such a one is removed first, and the kernel removes with it the routes that name it.
    """
    anew = made_anew(before, after)
    gone = {thing.id for thing in anew}
    old = {thing.id: thing for thing in before if thing.id not in gone and all(member.id not in gone for member in thing.group)}
    for thing in anew:
        yield command(namespace, f"ip nexthop del id {thing.id}", thing.provenance)
    for thing in sorted(after, key=lambda thing: bool(thing.group)):
        if old.get(thing.id) != thing:
            yield command(namespace, f"ip {_family(thing)}nexthop replace {nexthop_text(thing)}", thing.provenance)


def remove_nexthops(namespace: str, before: Sequence[NextHopObject], after: Sequence[NextHopObject]) -> Iterator[Command]:
    """Yield what removes nexthop objects that no route and no group needs any more, groups first."""
    wanted = {thing.id for thing in after}
    for thing in sorted(before, key=lambda thing: not thing.group):
        if thing.id not in wanted:
            yield command(namespace, f"ip nexthop del id {thing.id}", thing.provenance)


def made_anew(before: Sequence[NextHopObject], after: Sequence[NextHopObject]) -> list[NextHopObject]:
    """Return the nexthop objects that something of another nature follows."""
    new = {thing.id: thing for thing in after}
    return [thing for thing in before if thing.id in new and _nature(thing) != _nature(new[thing.id])]


def _nature(thing: NextHopObject) -> tuple[object, ...]:
    return bool(thing.group), thing.blackhole, thing.via is None, None if thing.group else thing.version


def nexthop_text(thing: NextHopObject) -> str:
    """Return a nexthop object as `ip nexthop` reads it."""
    words = [f"id {thing.id}"]
    words += ["blackhole"] if thing.blackhole else []
    words += [f"via {thing.via}"] if thing.via is not None else []
    words += [f"dev {thing.device}"] if thing.device is not None else []
    words += ["onlink"] if thing.onlink else []
    members = "/".join(f"{member.id},{member.weight}" if member.weight > 1 else str(member.id) for member in thing.group)
    words += [f"group {members}"] if members else []
    words += [f"proto {protocol_text(thing.protocol)}"] if thing.protocol != Protocol.UNSPEC else []
    return " ".join(words)


def _family(thing: NextHopObject) -> str:
    return "-6 " if thing.version == 6 and not thing.group else ""
