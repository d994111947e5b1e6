"""What changes between two states, as far as whole namespaces and links are concerned.

Links come first because everything hangs on them: the kernel takes down with a link whatever refers to it, in this namespace and, with a
veth pair, in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lab.errors import InputError
from lab.kernel.planning.consistency import base_of, check_namespace
from lab.kernel.planning.steps import Indexes
from lab.state import AddressEntry, Bridge, Link, Loopback, Namespace, Protocol, Rule, State, Veth
from lab.state.implied import LOOPBACK_6, states_ipv6

FIRST_INDEX = 100
"""Where interface indexes begin. Kernels with tunnel modules put tunl0, gre0 and the like at 2 and up into each new namespace."""

NEW_LO = Link("lo", Loopback(), mtu=65536, mac="00:00:00:00:00:00", up=False)

NEW_LO_UP = replace(NEW_LO, up=True)

_KERNEL_RULES = (
    *(Rule(priority, table=table, family=4, protocol=Protocol.KERNEL) for priority, table in ((0, 255), (32766, 254), (32767, 253))),
    *(Rule(priority, table=table, family=6, protocol=Protocol.KERNEL) for priority, table in ((0, 255), (32766, 254))),
)
_LOOPBACK_IPV6 = AddressEntry("lo", LOOPBACK_6, "host")


def new_namespace(name: str) -> Namespace:
    """A namespace as the kernel makes it: lo, down, and the rules that ask the tables local, main and default."""
    return Namespace(name, links=(NEW_LO,), rules=_KERNEL_RULES)


def with_kernels_own(namespace: Namespace) -> Namespace:
    """The namespace with what every namespace has unless its state says otherwise: lo, up; the rules the kernel begins with; ::1.

    A state says otherwise by stating some lo; or, for a family, a rule that bears the kernel's mark: then the others were removed;
    or anything of IPv6.
    """
    families = {rule.family for rule in namespace.rules if rule.protocol == Protocol.KERNEL}
    lo = namespace.link("lo")
    missing_rules = tuple(rule for rule in _KERNEL_RULES if rule.family not in families)
    silent = (lo is None or lo.up) and not states_ipv6(namespace)
    if lo is not None and not missing_rules and not silent:
        return namespace
    return replace(
        namespace,
        links=namespace.links if lo is not None else (NEW_LO_UP, *namespace.links),
        addresses=(*namespace.addresses, _LOOPBACK_IPV6) if silent else namespace.addresses,
        rules=(*namespace.rules, *missing_rules),
    )


@dataclass(frozen=True, slots=True)
class NamespaceChange:
    """One namespace of the later state, and what of its links changes."""

    before: Namespace
    after: Namespace
    is_new: bool
    lost: frozenset[str]
    """Links that go, or go and come back."""
    deleted: tuple[Link, ...]
    """Those of `lost` that must be deleted; the others go with them."""
    fresh: tuple[Link, ...]
    """Links that are created, each after those it is built on."""
    altered: tuple[tuple[Link, Link], ...]
    """Links that stay but are set differently: as they are, as they shall be."""
    indexes: dict[str, int]
    disturbed: frozenset[str]
    """Links whose addresses, routes and neighbours may have gone: the kernel drops them when a link goes, comes, or changes."""
    rising: tuple[Link, ...]
    """Links that go up; what the kernel makes for a link that goes up, it makes for these."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changes in the whole lab."""

    namespaces: tuple[NamespaceChange, ...]
    removed: tuple[str, ...]
    indexes: Indexes

    @property
    def far_ends(self) -> set[tuple[str, str]]:
        """Of each new veth pair the end that comes second: the pair is created from the first one."""
        far_ends: set[tuple[str, str]] = set()
        for change in self.namespaces:
            for link in change.fresh:
                if isinstance(link.kind, Veth) and (change.after.name, link.name) not in far_ends:
                    far_ends.add((link.kind.peer_namespace, link.kind.peer_name))
        return far_ends


def changes_between(before: State, after: State, indexes: Indexes) -> Changes:
    """Find out which namespaces and links go, come and change, and give new links their indexes."""
    for namespace in after:
        check_namespace(namespace, after)
    lost = _lost_links(before, after)
    numbering = _numbered(after, indexes)
    deleted = _deleted(before, after, lost)
    changes = tuple(
        _change(namespace, before.namespaces.get(namespace.name), lost, deleted.get(namespace.name, ()), numbering[namespace.name])
        for namespace in after
    )
    removed = tuple(name for name in before.namespaces if name not in after.namespaces)
    return Changes(changes, removed, numbering)


def _change(
    after: Namespace, before: Namespace | None, lost: set[tuple[str, str]], deleted: tuple[Link, ...], indexes: dict[str, int]
) -> NamespaceChange:
    """What changes in one namespace, `before` being None when it is new."""
    old = before if before is not None else new_namespace(after.name)
    gone = frozenset(link.name for link in old.links if (after.name, link.name) in lost) if lost else frozenset()
    kept = {link.name: link for link in old.links if link.name not in gone}
    fresh = _in_order_of_building([link for link in after.links if link.name not in kept])
    altered = [(kept[link.name], link) for link in after.links if link.name in kept and _differs(kept[link.name], link)]
    set_differently = (*(new for _, new in altered), *fresh)
    return NamespaceChange(
        before=old,
        after=after,
        is_new=before is None,
        lost=gone,
        deleted=deleted,
        fresh=fresh,
        altered=tuple(altered),
        indexes=indexes,
        disturbed=gone.union(link.name for link in set_differently),
        rising=tuple(link for link in set_differently if link.up and not (link.name in kept and kept[link.name].up)),
    )


def _lost_links(before: State, after: State) -> set[tuple[str, str]]:
    """Links of `before` that do not survive, with all that go down with them."""
    waiting = [
        (namespace.name, link.name)
        for namespace in before
        for link in namespace.links
        if not isinstance(link.kind, Loopback) and not _survives(link, after.namespaces.get(namespace.name))
    ]
    lost: set[tuple[str, str]] = set()
    while waiting:
        where, name = waiting.pop()
        if (where, name) in lost:
            continue
        lost.add((where, name))
        link = before[where].link(name)
        if link is not None and isinstance(link.kind, Veth) and link.kind.peer_namespace in before.namespaces:
            waiting.append((link.kind.peer_namespace, link.kind.peer_name))
        waiting += [(where, other.name) for other in before[where].links if base_of(other) == name]
    return lost


def _differs(old: Link, new: Link) -> bool:
    """Whether a link is not yet what is stated of it. A MAC address or port settings that are not stated may be anything."""
    mac, port = new.mac or old.mac, new.port or old.port
    return old != new and old != replace(new, mac=mac, port=port if old.master == new.master else new.port)


def _survives(link: Link, there: Namespace | None) -> bool:
    later = None if there is None else there.link(link.name)
    return later is not None and (later.kind == link.kind or (isinstance(later.kind, Bridge) and isinstance(link.kind, Bridge)))


def _deleted(before: State, after: State, lost: set[tuple[str, str]]) -> dict[str, tuple[Link, ...]]:
    """Of the lost links those that must be deleted one by one: no second end of a pair, nothing that goes with its base.

    Links of a namespace that goes are left to it, except where the other end of a pair stays: its namespace goes when the kernel finds
    time, and the pair must be gone now.
    """
    deleted: dict[str, tuple[Link, ...]] = {}
    with_peer: set[tuple[str, str]] = set()
    for namespace in before:
        if namespace.name not in after.namespaces:
            continue
        here: list[Link] = []
        for link in namespace.links:
            at = (namespace.name, link.name)
            if at not in lost or at in with_peer or (namespace.name, base_of(link)) in lost:
                continue
            here.append(link)
            if isinstance(link.kind, Veth):
                with_peer.add((link.kind.peer_namespace, link.kind.peer_name))
        if here:
            deleted[namespace.name] = tuple(here)
    return deleted


def _in_order_of_building(links: list[Link]) -> tuple[Link, ...]:
    """The same links, each after those it is built on: bridges, then whatever stands alone, then stacks from below."""
    fresh = {link.name for link in links}
    bases = {link.name: base_of(link) for link in links}
    ordered = [link for link in links if isinstance(link.kind, Bridge)]
    ordered += [link for link in links if bases[link.name] not in fresh and not isinstance(link.kind, Bridge)]
    placed = {link.name for link in ordered}
    while len(ordered) < len(links):
        ready = [link for link in links if link.name not in placed and bases[link.name] in placed]
        if not ready:
            raise InputError(f"links are built on one another in a circle: {', '.join(sorted(fresh - placed))}")
        ordered += ready
        placed |= {link.name for link in ready}
    return tuple(ordered)


def _numbered(after: State, indexes: Indexes) -> dict[str, dict[str, int]]:
    """The indexes of all links. A link that comes back under its old name gets its old number, so the order of links stays the same.

    Numbers are unique in the whole lab. So the ends of a pair never have the same one, which would make linkwatch take its time over the
    carrier (up to a second), and a number alone tells which link was meant.
    """
    highest = max((number for known in indexes.values() for number in known.values()), default=0)
    following = max(FIRST_INDEX, highest + 1)
    numbering: dict[str, dict[str, int]] = {}
    for namespace in after:
        known: Mapping[str, int] = indexes.get(namespace.name, {})
        numbers = dict(known)
        numbers["lo"] = 1
        for link in namespace.links:
            if link.name not in numbers:
                numbers[link.name] = following
                following += 1
        numbering[namespace.name] = numbers
    return numbering
