"""Tunnels of IPv4 over IPv6: beside a network of IPv4, with whatever is wrong in it, the same of IPv6, for its tunnels to use.

Each address becomes one of fd00::/96 that ends in it, each route and rule one of such prefixes. What IPv6 does not have (routes for a TOS)
or would refuse (a gateway on no subnet of its device) is left out; links shorter than its least MTU have none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from random import Random

from lab.forwarding.packet import LEAST_MTU_V6, ZERO_MAC
from lab.state import AddressEntry, Bridge, FdbEntry, Link, Namespace, Neighbour, NextHop, Route, Rule, State, Veth, Vxlan
from lab.state.nft import Chain, Counter, Mangle, Match, Meta, NftRule, NftTable, Payload, Prefix, Statement, Verdict
from lab.state.objects import Address, Network

_BASE = int(IPv6Address("fd00::"))
_NEAR = int(IPv6Address("fe80::"))
_SYSCTLS = {
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv6/icmp/ratelimit": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
}
_NEIGHBOUR_SYSCTLS = {"retrans_time_ms": "10", "mcast_solicit": "2", "delay_first_probe_time": "60"}
_ROUTE_MTU = 1300
"""In the place of one that is stated of a route of IPv4, which may be less than IPv6 allows."""


def with_tunnels_over_ipv6(state: State, random: Random) -> State:
    """Return a network whose VXLAN devices send over IPv6, and which has that."""
    return replace(
        state, namespaces={name: _Six(one, number, random).namespace() for number, (name, one) in enumerate(state.namespaces.items())}
    )


def with_bound_tunnels(state: State, random: Random) -> State:
    """Return a network in which VXLAN devices have a lower device, and flood by a default destination, which alone is bound to it."""
    return replace(state, namespaces={name: _bound(one, random) for name, one in state.namespaces.items()})


def _bound(namespace: Namespace, random: Random) -> Namespace:
    cables = [link.name for link in namespace.links if isinstance(link.kind, Veth) and link.master is None]
    for link in namespace.links:
        if isinstance(link.kind, Vxlan) and cables:
            namespace = _on(namespace, link, link.kind, random.choice(cables))
    return namespace


def _on(namespace: Namespace, link: Link, kind: Vxlan, lower: str) -> Namespace:
    """Give a VXLAN device a lower device, and make the first of the ends it floods to its default destination."""
    flood = next((entry for entry in namespace.fdb if entry.device == link.name and entry.mac == ZERO_MAC), None)
    kind = replace(kind, device=lower, remote=None if flood is None else flood.destination)
    links = tuple(replace(one, kind=kind) if one is link else one for one in namespace.links)
    return replace(namespace, links=links, fdb=tuple(entry for entry in namespace.fdb if entry is not flood))


def _address(address: Address | None) -> IPv6Address | None:
    return IPv6Address(_BASE | int(address)) if isinstance(address, IPv4Address) else None


def _network(network: IPv4Network) -> IPv6Network:
    return IPv6Network((_BASE | int(network.network_address), 96 + network.prefixlen)) if network.prefixlen else IPv6Network("::/0")


class _Six:
    """One namespace, on its way to what it has of IPv6."""

    def __init__(self, before: Namespace, number: int, random: Random) -> None:
        self._before = before
        self._random = random
        self._devices = [link.name for link in before.links if self._may_have_it(link)]
        self._near = {name: _NEAR | number << 8 | place for place, name in enumerate(self._devices, start=1)}
        self._addresses = tuple(self._own_addresses())

    @staticmethod
    def _may_have_it(link: Link) -> bool:
        return isinstance(link.kind, Veth | Bridge) and link.master is None and link.mtu >= LEAST_MTU_V6

    def _own_addresses(self) -> Iterator[AddressEntry]:
        for device, number in self._near.items():
            yield AddressEntry(device, IPv6Interface((number, 64)))
        for entry in self._before.addresses:
            if isinstance(entry.interface, IPv4Interface) and entry.device in (*self._devices, "lo"):
                yield AddressEntry(entry.device, IPv6Interface((_BASE | int(entry.interface.ip), 96 + entry.interface.network.prefixlen)))

    def namespace(self) -> Namespace:
        """Return the namespace with IPv6."""
        before = self._before
        sysctls = {**before.sysctls, **_SYSCTLS}
        for device in self._devices:
            sysctls[f"net/ipv6/conf/{device}/disable_ipv6"] = "0"
            sysctls |= {f"net/ipv6/neigh/{device}/{key}": value for key, value in _NEIGHBOUR_SYSCTLS.items()}
        tables = before.tables if self._random.random() < 0.7 else (*before.tables, self._filter())
        made = replace(
            before,
            links=tuple(self._tunnel(link) for link in before.links),
            addresses=(*before.addresses, *self._addresses),
            routes=(*before.routes, *self._routes()),
            rules=(*before.rules, *self._rules()),
            neighbours=(*before.neighbours, *self._neighbours()),
            fdb=tuple(map(self._entry, before.fdb)),
            sysctls=sysctls,
            tables=tables,
        )
        # A bridge loses its IPv6 while a port makes it shorter than the least MTU, which may be just when the kernel looks.
        cables = [link.name for link in before.links if link.name in self._devices and isinstance(link.kind, Veth)]
        for link in made.links:
            if isinstance(link.kind, Vxlan) and cables and self._random.random() < 0.3:
                made = _on(made, link, link.kind, self._random.choice(cables))
        return made

    def _tunnel(self, link: Link) -> Link:
        kind = link.kind
        if not isinstance(kind, Vxlan):
            return link
        kind = replace(kind, local=_address(kind.local), udp_checksum=self._random.random() > 0.04)
        return replace(link, kind=kind, mtu=link.mtu - self._random.choice((0, 20, 20)))

    def _entry(self, entry: FdbEntry) -> FdbEntry:
        return entry if entry.destination is None else replace(entry, destination=_address(entry.destination))

    # -- routes and rules ------------------------------------------------------------------------------------------

    def _routes(self) -> Iterator[Route]:
        seen: set[object] = set()
        for route in self._before.routes:
            if not isinstance(route.destination, IPv4Network) or route.tos or route.nexthop is not None or route.type == "local":
                continue
            hops = tuple(NextHop(_address(hop.via), hop.device, hop.weight) for hop in route.hops)
            own = _address(route.source)
            made = Route(
                _network(route.destination),
                route.type,
                _address(route.via),
                route.device,
                route.table,
                route.metric,
                own if self._has(own) else None,
                mtu=None if route.mtu is None else _ROUTE_MTU,
                hops=hops,
            )
            ways = hops or (NextHop(made.via, made.device),)
            # The kernel would take a second route with the same key for another way of the first.
            if made.key not in seen and (made.type != "unicast" or all(map(self._is_possible, ways))):
                seen.add(made.key)
                yield made

    def _has(self, address: IPv6Address | None) -> bool:
        return any(entry.interface.ip == address for entry in self._addresses)

    def _is_possible(self, way: NextHop) -> bool:
        link = self._before.link(way.device or "")
        if way.device not in self._devices or link is None or not link.up:
            return False
        if way.via is None:
            return True
        subnets = [entry.interface.network for entry in self._addresses if entry.device == way.device]
        return not self._has(way.via if isinstance(way.via, IPv6Address) else None) and any(way.via in subnet for subnet in subnets)

    def _rules(self) -> Iterator[Rule]:
        for rule in self._before.rules:
            if rule.family == 4 and not rule.tos:
                length = rule.suppress_prefix_length
                yield replace(
                    rule,
                    family=6,
                    source=self._selector(rule.source),
                    destination=self._selector(rule.destination),
                    suppress_prefix_length=length and 96 + length,
                )

    @staticmethod
    def _selector(network: Network | None) -> IPv6Network | None:
        return _network(network) if isinstance(network, IPv4Network) else None

    def _neighbours(self) -> Iterator[Neighbour]:
        for entry in self._before.neighbours:
            address = _address(entry.address)
            if entry.device in self._devices and address is not None:
                yield replace(entry, address=address)

    # -- rule sets -------------------------------------------------------------------------------------------------

    def _filter(self) -> NftTable:
        hook = self._random.choice(("prerouting", "input", "forward", "output", "postrouting"))
        rules = tuple(NftRule((*self._conditions(), Counter(), self._consequence())) for _ in range(self._random.randint(1, 3)))
        kind = "route" if hook == "output" else "filter"
        return NftTable("ip6", "six", (Chain(hook, rules, kind, hook, -150, "accept"),))  # type: ignore[arg-type]

    def _conditions(self) -> Iterator[Statement]:
        prefixes = [entry.interface.network for entry in self._addresses if not entry.interface.ip.is_link_local]
        if prefixes and self._random.random() < 0.5:
            side = self._random.choice(("saddr", "daddr"))
            prefix = self._random.choice(prefixes)
            alone = prefix.prefixlen == prefix.max_prefixlen
            yield Match(Payload("ip6", side), prefix.network_address if alone else Prefix(prefix))
        else:
            yield Match(Meta("l4proto"), self._random.choice(("udp", "udp", "icmpv6")))

    def _consequence(self) -> Statement:
        return self._random.choice((Verdict("drop"), Verdict("accept"), Mangle(Meta("mark"), 1), Mangle(Meta("mark"), 2)))


def has_tunnels(state: State) -> bool:
    """Whether a network has VXLAN devices."""
    return any(isinstance(link.kind, Vxlan) for namespace in state for link in namespace.links)
