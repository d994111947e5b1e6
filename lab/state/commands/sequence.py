"""The order of commands: what a command needs comes before it, in its own namespace and in others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lab.state.builder import LO
from lab.state.commands import links as link_commands
from lab.state.commands.command import Command, command, sysctl_command
from lab.state.commands.nexthops import change_nexthops, made_anew, remove_nexthops
from lab.state.commands.remade import remade
from lab.state.commands.routing import change_fdb, change_neighbours, change_routes, change_rules
from lab.state.commands.rulesets import change_tables
from lab.state.difference import Difference, NamespaceDifference, Setting, difference, difference_of_namespaces, subnet_of
from lab.state.implied import LOOPBACK_4, LOOPBACK_6, complete_namespace, default_rules, ipv6_is_off
from lab.state.network import Namespace, State
from lab.state.objects import AddressEntry, Bridge, Link, Network, Veth
from lab.state.ways import without_lost

NO_LINK_LOCAL = Setting("net/ipv6/conf/default/addr_gen_mode", "1")
"""Links made from now on get no IPv6 link-local address by themselves; Documentation/networking/ip-sysctl.rst."""

LEAST_MTU_6 = 1280
"""Bytes below which a link has no IPv6, nor settings of it; RFC 8200, section 5."""


def commands_of(wanted: State | Difference) -> tuple[Command, ...]:
    """Return what makes a state where there is nothing, or what leads from one state to another, in working order.

    Listeners, programs and files belong to the lab's own processes; they have no commands. A sysctl that is no longer
    stated keeps its value. InputError for a link no command can make.
    """
    found = difference(State(), wanted) if isinstance(wanted, State) else wanted
    fresh = [difference_of_namespaces(_fresh(namespace), namespace) for namespace in found.added]
    return tuple(_sequence(found, [*fresh, *found.changed]))


def _fresh(namespace: Namespace) -> Namespace:
    """Return what `ip netns add` makes: `lo`, down, and the default rules."""
    return replace(
        namespace,
        links=(replace(LO, up=False),),
        addresses=(),
        nexthops=(),
        routes=(),
        rules=tuple(default_rules(4)),
        neighbours=(),
        fdb=(),
        sysctls={},
        tables=(),
    )


def _sequence(found: Difference, changes: list[NamespaceDifference]) -> Iterator[Command]:
    yield from (command(None, f"ip netns del {namespace.name}", namespace.provenance) for namespace in found.removed)
    yield from (command(None, f"ip netns add {namespace.name}", namespace.provenance) for namespace in found.added)
    new = {namespace.name for namespace in found.added}
    steps = [_Step.of(change, is_new=change.name in new) for change in changes]
    gone_with_namespace = {namespace.name for namespace in found.removed}
    before = {step.name: step.kept for step in steps}
    after = {step.name: step.change.after for step in steps}
    for step in steps:
        yield from step.first(after)
    yield from link_commands.remove_links((s.name, link) for s in steps for link in s.unmade if not _went_along(link, gone_with_namespace))
    for namespace in found.added:
        yield _sysctl(namespace.name, NO_LINK_LOCAL)
    for step in steps:
        yield from (_sysctl(step.name, setting) for setting in step.sysctls if _link_of(setting) is None)
    yield from link_commands.make_links(before, after, {step.name: step.made for step in steps})
    for step in steps:
        yield from step.rest()
    # A next hop needs a carrier, so the other ends have to be up.
    for step in steps:
        yield from step.last(after)


def _is_down(cable: Veth, others: Mapping[str, Namespace]) -> bool:
    """Whether the other end of a cable is there and down."""
    there = others.get(cable.peer_namespace)
    end = there.link(cable.peer_name) if there is not None else None
    return end is not None and not end.up


def _went_along(link: Link, gone: set[str]) -> bool:
    peer = getattr(link.kind, "peer_namespace", None)
    return peer in gone


@dataclass(frozen=True, slots=True)
class _Step:
    """The change of one namespace, taken apart."""

    change: NamespaceDifference
    kept: Namespace
    """The namespace as it was, without the links that go."""
    unmade: list[Link]
    made: list[Link]
    is_new: bool
    """Whether the namespace is made as well."""

    @classmethod
    def of(cls, change: NamespaceDifference, *, is_new: bool) -> _Step:
        gone = {link.name for link in change.links.removed}
        gone |= {c.before.name for c in change.links.changed if c.before.kind != c.after.kind}
        unmade = link_commands.with_dependants(change.before.links, gone)
        names = {link.name for link in unmade}
        made = [link for link in change.after.links if link.name in names or change.before.link(link.name) is None]
        return cls(change, complete_namespace(_without(change.before, names), change.before), unmade, made, is_new)

    @property
    def name(self) -> str:
        return self.change.name

    @property
    def sysctls(self) -> list[Setting]:
        """Sysctls to write, in order: those that differ, all of a link that is made, and those that others reset."""
        delta, made = self.change.sysctls, {link.name for link in self.made}
        differing = {setting.name for setting in (*delta.added, *(c.after for c in delta.changed))}
        reset = {_family_of(name) for name in differing if name in FORWARDING}
        settings = (Setting(name, value) for name, value in self.change.after.sysctls.items())
        written = (
            s
            for s in settings
            if s.name in differing or _link_of(s) in made or (s.name.endswith("/forwarding") and _family_of(s.name) in reset)
        )
        return sorted(written, key=lambda setting: _rank(setting.name))

    def first(self, others: Mapping[str, Namespace]) -> Iterator[Command]:
        """Yield what removes the nexthop objects of devices that lose their carrier.

        The kernel would do it, but some time after the command that cuts the link (linkwatch), so that nobody could say whether to.
        """
        cut = self._cut(others)
        yield from (command(self.name, f"ip nexthop del id {x.id}", x.provenance) for x in self.kept.nexthops if x.device in cut)

    def _cut(self, others: Mapping[str, Namespace]) -> set[str]:
        """Devices without a carrier, for a time at least: whose other end is down, or a bridge whose ports are made anew."""
        links = self.kept.links
        bridges = {link.name for link in links if isinstance(link.kind, Bridge)} if self.made or self.unmade else set()
        return bridges | {link.name for link in links if isinstance(link.kind, Veth) and _is_down(link.kind, others)}

    def rest(self) -> Iterator[Command]:
        """Yield everything but what makes and removes links."""
        name, change = self.name, self.change
        yield from (_sysctl(name, setting) for setting in self.sysctls if _link_of(setting) is not None)
        pairs = list(self._pairs())
        for one, other in pairs:
            yield from link_commands.change_attributes(name, one, other)
            yield from link_commands.change_master(name, one, other)
        yield from link_commands.settle_bridges(name, pairs)
        yield from (c for one, other in pairs if one.name == "lo" for c in link_commands.change_state(name, one, other))
        gone, come = remade(self._addresses(), change.after.addresses, subnet_of)
        yield from (link_commands.remove_address(name, entry) for entry in reversed(gone))
        for one, other in pairs:
            if one.name != "lo":
                yield from self._without_own_choice(one, other)
                yield from link_commands.change_state(name, one, other)
        yield from (link_commands.add_address(name, entry) for entry in come)
        now = self._with_addresses(gone)
        left = difference_of_namespaces(now, change.after)
        yield from change_neighbours(name, left.neighbours)
        yield from change_fdb(name, left.fdb)
        keys = self._named_keys
        yield from change_routes(name, *([route for route in side.routes if route.key not in keys] for side in (now, change.after)))
        if not change.after.nexthops:
            yield from change_rules(name, now.rules, change.after.rules)
        yield from change_tables(name, change.tables)

    def _without_own_choice(self, before: Link, after: Link) -> Iterator[Command]:
        """Yield what keeps a link that goes up from choosing an IPv6 address by itself, as it does where nobody has said otherwise.

        A state says every address there is. In a namespace that is made for it, links are told as they are made.
        """
        rises = after.up and not before.up and after.mtu >= LEAST_MTU_6
        if rises and not self.is_new and not ipv6_is_off(self.change.after):
            yield command(self.name, f"ip link set dev {after.name} addrgenmode none", after.provenance)

    def last(self, others: Mapping[str, Namespace]) -> Iterator[Command]:
        """Yield what makes nexthop objects and the routes that name them, and then removes those that none of them needs any more.

        `others` are the namespaces that change, as they are to be.
        """
        name, after = self.name, self.change.after
        if not self.kept.nexthops and not after.nexthops:
            return
        now = self._settled(others)
        yield from change_nexthops(name, now.nexthops, after.nexthops)
        left = _without_objects(now, {thing.id for thing in made_anew(now.nexthops, after.nexthops)})
        keys = self._named_keys
        yield from change_routes(name, *([route for route in side.routes if route.key in keys] for side in (left, after)))
        yield from remove_nexthops(name, left.nexthops, after.nexthops)
        if after.nexthops:  # a rule may keep the kernel from finding the gateway of one
            yield from change_rules(name, now.rules, after.rules)

    @property
    def _named_keys(self) -> set[tuple[int, Network, int, int]]:
        """The keys of routes of which some name a nexthop object, before or after."""
        return {route.key for side in (self.kept, self.change.after) for route in side.routes if route.nexthop is not None}

    def _settled(self, others: Mapping[str, Namespace]) -> Namespace:
        """The namespace once links and addresses are as wanted."""
        now = self._with_addresses(remade(self._addresses(), self.change.after.addresses, subnet_of)[0])
        cut = self._cut(others)
        return _without_objects(now, {thing.id for thing in now.nexthops if thing.device in cut})

    def _pairs(self) -> Iterator[tuple[Link, Link]]:
        """Yield links of both sides, before and after; one that is made is down, nobody's port, and sends all it is given at first."""
        made = {link.name: link for link in self.made}
        old = {link.name: link for link in self.kept.links}
        for link in link_commands.in_order_of_need(self.change.after.links):
            if link.name in made:
                yield replace(link, up=False, master=None, port=None, impairment=None), link
            elif link.name in old:
                yield old[link.name], link

    def _addresses(self) -> tuple[AddressEntry, ...]:
        """The addresses before any is added or removed: with what `lo` gets by going up, without IPv6 on what goes down."""
        kept, after = self.kept, self.change.after
        down = {link.name for link in kept.links if link.up} - {link.name for link in after.links if link.up}
        return (*_come_with_lo(kept, after), *(e for e in kept.addresses if e.interface.version == 4 or e.device not in down))

    def _with_addresses(self, gone: list[AddressEntry]) -> Namespace:
        """The namespace once links and addresses are as wanted, with what the kernel adds and removes on each step there."""
        now, after = self.kept, self.change.after
        fewer = tuple(entry for entry in self._addresses() if entry not in gone)
        now = complete_namespace(replace(now, sysctls={**now.sysctls, **after.sysctls}), now)  # forwarding makes anycast addresses
        for step in (replace(now, addresses=fewer), replace(now, addresses=fewer, links=after.links), after):
            now = complete_namespace(replace(now, addresses=step.addresses, links=step.links), now)
        return now


def _come_with_lo(kept: Namespace, after: Namespace) -> tuple[AddressEntry, ...]:
    """Return the addresses that `lo` has by itself once it is up."""
    lo, was = after.link("lo"), kept.link("lo")
    if lo is None or not lo.up or (was is not None and was.up):
        return ()
    own = [LOOPBACK_4, *([LOOPBACK_6] if any(entry.interface == LOOPBACK_6 for entry in after.addresses) else [])]
    return tuple(AddressEntry("lo", interface, "host") for interface in own)


def _without(namespace: Namespace, gone: set[str]) -> Namespace:
    """Return a namespace after links were removed, and everything on them with them."""
    return replace(
        namespace,
        links=tuple(replace(x, master=None, port=None) if x.master in gone else x for x in namespace.links if x.name not in gone),
        addresses=tuple(entry for entry in namespace.addresses if entry.device not in gone),
        nexthops=without_lost(namespace.nexthops, gone),
        routes=tuple(r for r in namespace.routes if r.device not in gone and not any(hop.device in gone for hop in r.hops)),
        neighbours=tuple(entry for entry in namespace.neighbours if entry.device not in gone),
        fdb=tuple(entry for entry in namespace.fdb if entry.device not in gone and entry.via not in gone),
    )


def _without_objects(namespace: Namespace, gone: set[int]) -> Namespace:
    """Return a namespace after nexthop objects were removed, and what the kernel removes with them: groups of nothing else, and routes."""
    if not gone:
        return namespace
    groups = {thing.id for thing in namespace.nexthops if thing.group and all(member.id in gone for member in thing.group)}
    lost = gone | groups
    kept = (replace(x, group=tuple(m for m in x.group if m.id not in gone)) for x in namespace.nexthops if x.id not in lost)
    return replace(namespace, nexthops=tuple(kept), routes=tuple(r for r in namespace.routes if r.nexthop not in lost))


FORWARDING = ("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding")
"""Sysctls that give every link's `forwarding` their own value when they are written; ip-sysctl.rst."""


def _family_of(path: str) -> str:
    """Return the family whose links a sysctl is about: ``ipv4`` of ``net/ipv4/ip_forward``."""
    return path.split("/", 2)[1]


def _rank(path: str) -> int:
    if path in FORWARDING:
        return 0
    return 1 if "/all/" in path else 2 if "/default/" in path else 3


def _link_of(setting: Setting) -> str | None:
    """Return the link a sysctl belongs to: it is there only once the link is."""
    found = re.fullmatch(r"net/[^/]+/(?:conf|neigh)/([^/]+)/[^/]+", setting.name)
    return None if found is None or found[1] in ("all", "default") else found[1]


def _sysctl(namespace: str, setting: Setting) -> Command:
    return sysctl_command(namespace, setting.name, setting.value)
