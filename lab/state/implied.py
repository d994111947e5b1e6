"""What the kernel adds by itself when links, addresses and rules are configured, and what it takes away again.

`complete` adds it to a state that says only what a person or a program would configure; given the state before, it does
what the kernel does on the way from one to the other. Sources: fib_add_ifaddr and fib_disable_ip in
net/ipv4/fib_frontend.c, __inet_insert_ifa in net/ipv4/devinet.c, net/ipv6/addrconf.c and fib_default_rules_init. The
network address of a subnet is an ordinary address since Linux 5.14. That the other end of a veth pair is down makes no
difference to routes.

An address that is at the same time the broadcast address of another subnet here is not what the kernel makes of it: it
refuses routes with such a source.

IPv6 is completed where a namespace states an IPv6 address, route or rule; `without_bare_ipv6` takes away what every
namespace has of it anyway. The multicast routes of links (ff00::/8) are no part of a state. The default destination of a
VXLAN device stays part of its link and is no FDB entry here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface
from typing import Literal

from lab.state.lost import surviving_neighbours, surviving_nexthops, surviving_routes, without_carrier
from lab.state.network import Namespace, State
from lab.state.objects import AddressEntry, Interface, Link, Loopback, Protocol, Route, Rule, Table
from lab.state.provenance import Provenance

KERNEL = "kernel"
"""The component that put what is implied."""

ZERO_NET = IPv4Network("0.0.0.0/8")
MULTICAST = IPv6Network("ff00::/8")
LOOPBACK_4 = ip_interface("127.0.0.1/8")
LOOPBACK_6 = ip_interface("::1/128")
CONNECTED_METRIC = 256
"""Metric of IPv6 routes to connected subnets (IP6_RT_PRIO_ADDRCONF)."""
USER_METRIC = 1024
"""Metric of IPv6 routes for which none is said (IP6_RT_PRIO_USER)."""

DEFAULT_RULES: dict[int, tuple[tuple[int, Table], ...]] = {
    4: ((0, Table.LOCAL), (32766, Table.MAIN), (32767, Table.DEFAULT)),
    6: ((0, Table.LOCAL), (32766, Table.MAIN)),
}


def complete(state: State, before: State | None = None) -> State:
    """Return the state with everything the kernel adds by itself.

    Without `before` the namespaces are new ones. With it, `state` is what became of a complete state by configuration:
    then routes that rest on an address or link that is gone go as well, and of what the kernel once added nothing comes
    back that somebody has removed since.
    """
    known = before.namespaces if before is not None else {}
    namespaces = {name: complete_namespace(namespace, known.get(name)) for name, namespace in state.namespaces.items()}
    return replace(state, namespaces=namespaces if before is None else without_carrier(namespaces))


def complete_namespace(namespace: Namespace, before: Namespace | None = None) -> Namespace:
    """Return one namespace with everything the kernel adds by itself; see `complete`."""
    if namespace is before:
        return namespace
    with_lo = replace(namespace, addresses=_with_loopback(namespace, before))
    if before is not None:
        with_lo = replace(with_lo, nexthops=surviving_nexthops(namespace, before))
    old = list(implied_routes(before)) if before is not None else []
    new = list(implied_routes(with_lo))
    stated = list(surviving_routes(with_lo, before, set(old) - set(new)) if before is not None else with_lo.routes)
    there = set(stated) | set(old)
    added = [route for route in dict.fromkeys(new) if route not in there]
    stated = list(map(_with_metric, stated))
    if before is None:
        return replace(with_lo, routes=(*added, *stated), rules=_with_default_rules(namespace))
    # The kernel appends: what it adds later comes behind a route of the same key.
    return replace(with_lo, routes=(*stated, *added), neighbours=surviving_neighbours(namespace, before))


def _with_metric(route: Route) -> Route:
    """In IPv6 no metric means one all the same."""
    unsaid = route.destination.version == 6 and route.metric == 0 and route.protocol != Protocol.KERNEL
    return replace(route, metric=USER_METRIC) if unsaid else route


# -- loopback addresses and rules ----------------------------------------------------------------------------------


def _with_loopback(namespace: Namespace, before: Namespace | None) -> tuple[AddressEntry, ...]:
    """`lo` gets its addresses when it is set up, not when they were removed later."""
    lo = namespace.link("lo")
    was = before.link("lo") if before is not None else None
    if lo is None or not lo.up or (was is not None and was.up):
        return namespace.addresses
    wanted: list[Interface] = [LOOPBACK_4, *([LOOPBACK_6] if states_ipv6(namespace) else [])]
    held = {entry.interface for entry in namespace.addresses_of("lo")}
    why = Provenance(KERNEL, "lo is up", because=(lo.provenance,))
    added = [AddressEntry("lo", interface, "host", provenance=why) for interface in wanted if interface not in held]
    return (*added, *namespace.addresses)


def _with_default_rules(namespace: Namespace) -> tuple[Rule, ...]:
    """Every namespace is born with these rules, which bear the kernel's mark: where one is there, the others were removed."""
    rules = list(namespace.rules)
    for version in (4, 6) if states_ipv6(namespace) else (4,):
        if not any(rule.protocol == Protocol.KERNEL and rule.family == version for rule in rules):
            rules += default_rules(version)
    return tuple(sorted(rules, key=lambda rule: (rule.family, rule.priority)))


def default_rules(version: Literal[4, 6]) -> list[Rule]:
    """Return the rules a namespace is born with."""
    why = Provenance(KERNEL, "every namespace has this rule from the start")
    tables = DEFAULT_RULES[version]
    return [Rule(priority, table=table, family=version, protocol=Protocol.KERNEL, provenance=why) for priority, table in tables]


def states_ipv6(namespace: Namespace) -> bool:
    """Whether a namespace states an IPv6 address, route or rule."""
    return (
        any(entry.interface.version == 6 for entry in namespace.addresses)
        or any(route.destination.version == 6 for route in namespace.routes)
        or any(rule.family == 6 for rule in namespace.rules)
    )


def ipv6_is_off(namespace: Namespace) -> bool:
    """Whether a state switches IPv6 off in a namespace: then lo has no ::1, which every other namespace has."""
    return any(namespace.sysctl(f"net/ipv6/conf/{place}/disable_ipv6") == "1" for place in ("all", "default"))


def without_bare_ipv6(namespace: Namespace) -> Namespace:
    """Return a namespace without the IPv6 objects every one has, if it has no others: the other way of `complete`."""
    namespace = without_multicast(namespace)
    bare = replace(
        namespace,
        addresses=tuple(entry for entry in namespace.addresses if entry.interface != LOOPBACK_6),
        routes=tuple(r for r in namespace.routes if r.protocol != Protocol.KERNEL or r.destination != LOOPBACK_6.network),
        rules=tuple(rule for rule in namespace.rules if rule.family != 6 or rule.protocol != Protocol.KERNEL),
    )
    return namespace if states_ipv6(bare) else bare


def without_multicast(namespace: Namespace) -> Namespace:
    """Return a namespace without the ff00::/8 routes of its links, which come when a link first has a carrier: no state has them."""
    routes = tuple(r for r in namespace.routes if r.protocol != Protocol.KERNEL or r.destination != MULTICAST)
    return namespace if len(routes) == len(namespace.routes) else replace(namespace, routes=routes)


def with_bare_ipv6(namespace: Namespace) -> Namespace:
    """Return a namespace with the IPv6 objects every one has, whether it states any or not."""
    why = Provenance(KERNEL, "every namespace has this from the start")
    addresses, routes, rules = list(namespace.addresses), list(namespace.routes), list(namespace.rules)
    lo = namespace.link("lo")
    if lo is not None and lo.up and not any(entry.interface == LOOPBACK_6 for entry in addresses):
        addresses.append(AddressEntry("lo", LOOPBACK_6, "host", provenance=why))
    bare = replace(namespace, addresses=tuple(entry for entry in addresses if entry.interface == LOOPBACK_6))
    for link in namespace.links:
        routes += (route for route in _routes_of_6(bare, link) if route not in routes)
    if not any(rule.family == 6 and rule.protocol == Protocol.KERNEL for rule in rules):
        rules += default_rules(6)
    return replace(namespace, addresses=tuple(addresses), routes=tuple(routes), rules=tuple(rules))


# -- routes --------------------------------------------------------------------------------------------------------


def implied_routes(namespace: Namespace) -> Iterator[Route]:
    """Yield the routes the kernel makes for the links and addresses of a namespace, in that order of both."""
    links = {link.name: link for link in namespace.links}
    for local in _locals(namespace.addresses):
        link = links.get(local.entry.device)
        if link is not None:
            yield from _routes_of_4(link, local)
    if states_ipv6(namespace):
        for link in links.values():
            yield from _routes_of_6(namespace, link)


@dataclass(frozen=True, slots=True)
class _Local:
    """An IPv4 address as the kernel sees it: its subnet is that of the peer, where there is one."""

    entry: AddressEntry
    address: IPv4Address
    network: IPv4Network
    primary: _Local | None

    @property
    def source(self) -> IPv4Address:
        return self.primary.address if self.primary is not None else self.address


def _locals(entries: Iterable[AddressEntry]) -> Iterator[_Local]:
    """Tell primary from secondary addresses: a second one of the same device, subnet and length is secondary to the first."""
    primaries: dict[tuple[str, IPv4Network], _Local] = {}
    for entry in entries:
        far = entry.peer or entry.interface
        if isinstance(entry.interface, IPv4Interface) and isinstance(far, IPv4Interface):
            key = entry.device, far.network
            local = _Local(entry, entry.interface.ip, far.network, primaries.get(key))
            primaries.setdefault(key, local)
            yield local


def _routes_of_4(link: Link, local: _Local) -> Iterator[Route]:
    """Yield what fib_add_ifaddr makes of an address of a link."""
    make = _Maker(link, local.entry, local.source)
    yield make.host(local.address)
    if not link.up:
        return
    broadcast = local.entry.broadcast
    if isinstance(broadcast, IPv4Address) and broadcast != IPv4Address("255.255.255.255"):
        yield make.broadcast(broadcast)
    network = local.network
    single = network.prefixlen == 32 and network.network_address == local.address
    if local.primary is not None or network.network_address in ZERO_NET or single:
        return
    if not local.entry.no_prefix_route:
        yield make.connected(network)
    if network.prefixlen < 31:
        yield make.broadcast(network.broadcast_address)


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the IPv4 routes of one address."""

    link: Link
    entry: AddressEntry
    source: IPv4Address

    def host(self, address: IPv4Address) -> Route:
        return self._route(_alone(address), "is an address of this host", "local", "host")

    def connected(self, network: IPv4Network) -> Route:
        if isinstance(self.link.kind, Loopback):
            return self._route(network, "is on lo, so all of it is this host", "local", "host")
        return Route(
            network,
            device=self.link.name,
            source=self.source,
            protocol=Protocol.KERNEL,
            scope="link",
            provenance=self._why("is the subnet of an address here"),
        )

    def broadcast(self, address: IPv4Address) -> Route:
        return self._route(_alone(address), "is the broadcast address of a subnet here", "broadcast", "link")

    def _route(self, network: IPv4Network, why: str, kind: Literal["local", "broadcast"], scope: Literal["host", "link"]) -> Route:
        return Route(
            network,
            kind,
            device=self.link.name,
            table=Table.LOCAL,
            source=self.source,
            protocol=Protocol.KERNEL,
            scope=scope,
            provenance=self._why(why),
        )

    def _why(self, rule: str) -> Provenance:
        return Provenance(KERNEL, f"{self.entry.interface} on {self.link.name}: this {rule}", because=(self.entry.provenance,))


def _alone(address: IPv4Address) -> IPv4Network:
    """Return the network of one address. From its number: the standard library would write the address out and read it again."""
    return IPv4Network((int(address), 32))


def _routes_of_6(namespace: Namespace, link: Link) -> Iterator[Route]:
    """Yield what addrconf makes of the addresses of a link."""
    anycast = _forwards_6(namespace, link)
    for entry in namespace.addresses_of(link.name):
        interface, peer = entry.interface, entry.peer
        if not isinstance(interface, IPv6Interface):
            continue
        why = Provenance(KERNEL, f"{interface} on {link.name}", because=(entry.provenance,))
        yield _route_6(IPv6Network(interface.ip), "local", link, Table.LOCAL, 0, why)
        network = interface.network
        if anycast and network.prefixlen < 127 and network.network_address != interface.ip:
            yield _route_6(IPv6Network(network.network_address), "anycast", link, Table.LOCAL, 0, why)
        if not link.up or entry.no_prefix_route or interface == LOOPBACK_6:
            continue
        yield _route_6(network, "unicast", link, Table.MAIN, CONNECTED_METRIC, why)
        if isinstance(peer, IPv6Interface):
            yield _route_6(IPv6Network(peer.ip), "unicast", link, Table.MAIN, CONNECTED_METRIC, why)


def _route_6(network: IPv6Network, kind: str, link: Link, table: int, metric: int, why: Provenance) -> Route:
    return Route(
        network,
        kind,  # type: ignore[arg-type]
        device=link.name,
        table=table,
        metric=metric,
        protocol=Protocol.KERNEL,
        provenance=why,
    )


def _forwards_6(namespace: Namespace, link: Link) -> bool:
    every = namespace.sysctl("net/ipv6/conf/all/forwarding")
    return namespace.sysctl(f"net/ipv6/conf/{link.name}/forwarding", every) == "1"
