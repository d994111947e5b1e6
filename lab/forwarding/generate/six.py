"""The same random network and questions in IPv6: addresses, routes, rules, rule sets and settings are carried over one by one.

What IPv6 does not have falls away: the source check by routes, the TOS of routes, the settings of ARP. What it has besides is put there:
link-local addresses, and MTUs that it works with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, Final

from lab.forwarding.flow import Flow
from lab.forwarding.packet import ZERO_MAC, Address
from lab.state import AddressEntry, Link, Namespace, Neighbour, Protocol, Route, Rule, State, Table, Vxlan, complete
from lab.state.nft import NftTable, Payload, Reject

LEAST_MTU: Final = 1280
"""A device with a smaller one has no IPv6 (RFC 8200, 5)."""
_ON_LINK: Final = 24
"""Of all subnets of a random network."""
_NETWORK: Final = int(IPv6Address("fd00::"))
_FIELDS: Final = {"ttl": "hoplimit", "protocol": "nexthdr"}
_REASONS: Final = {"net-unreachable": "no-route", "host-unreachable": "addr-unreachable"}
_SYSCTLS: Final = {
    "net/ipv6/conf/default/disable_ipv6": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv4/icmp_msgs_per_sec": "100000",
    "net/ipv4/icmp_msgs_burst": "10000",
    **{f"net/ipv6/conf/all/{key}": "0" for key in ("accept_ra", "accept_redirects", "router_solicitations")},
}
"""What keeps the network quiet and its errors from being rationed; the limits for all errors of a namespace are kept among IPv4's."""
_CARRIED: Final = {
    "net/ipv4/ip_forward": "net/ipv6/conf/all/forwarding",
    "net/ipv4/fwmark_reflect": "net/ipv6/fwmark_reflect",
    "net/ipv4/icmp_echo_ignore_all": "net/ipv6/icmp/echo_ignore_all",
    "net/ipv4/fib_multipath_hash_policy": "net/ipv6/fib_multipath_hash_policy",
    "net/bridge/bridge-nf-call-iptables": "net/bridge/bridge-nf-call-ip6tables",
}
_OF_DEVICES: Final = ("forwarding", "ignore_routes_with_linkdown")
_OF_NEIGHBOURS: Final = ("retrans_time_ms", "mcast_solicit", "delay_first_probe_time")


def in_ipv6(state: State) -> State:
    """Return a network of IPv4 as one of IPv6."""
    return complete(State({name: _namespace(_without_flooding(one, state)) for name, one in state.namespaces.items()}))


def asked_in_ipv6(flow: Flow) -> Flow:
    """Return a question to such a network as one to its twin."""
    return replace(flow, destination=_carried(flow.destination), source_address=_carried(flow.source_address))


def _without_flooding(one: Namespace, state: State) -> Namespace:
    """State who is where in a tunnel that would flood.

    Every device reports the groups it listens to (MLD), to all ends of such a tunnel, and so nobody knows who has learned of whom.
    """
    ends = {
        entry.interface.ip: (link, inner.interface.ip)
        for other in state
        for link in other.links
        if isinstance(link.kind, Vxlan)
        for inner in other.addresses_of(link.name)
        for entry in other.addresses
        if entry.interface.ip == link.kind.local
    }
    flooding = [entry for entry in one.fdb if entry.mac == ZERO_MAC]
    known = [(entry, *ends[entry.destination]) for entry in flooding if entry.destination in ends]
    found = {entry.address: entry for entry in one.neighbours}
    for entry, link, inner in known:
        found.setdefault(inner, Neighbour(entry.device, inner, link.mac))
    told = tuple(replace(entry, mac=link.mac or ZERO_MAC) for entry, link, _ in known)
    return replace(one, fdb=(*(entry for entry in one.fdb if entry not in flooding), *told), neighbours=tuple(found.values()))


def _namespace(one: Namespace) -> Namespace:
    gateways = {hop.via for route in one.routes for hop in one.ways(route) if hop.via is not None}
    routes = [
        _route(route)
        for route in one.routes
        if route.protocol != Protocol.KERNEL and not route.tos and not _hides(route, gateways) and _is_possible(route, one)
    ]
    rules = [_rule(rule) for rule in one.rules if rule.protocol != Protocol.KERNEL]
    return replace(
        one,
        links=tuple(replace(link, mtu=max(link.mtu, LEAST_MTU), kind=_carried(link.kind)) for link in one.links),
        addresses=tuple(_addresses(one)),
        routes=tuple(routes),
        nexthops=tuple(replace(_carried(thing), family=6) for thing in one.nexthops),
        rules=tuple(rules),
        neighbours=_carried(one.neighbours),
        fdb=_carried(one.fdb),
        tables=tuple(_table(table) for table in one.tables),
        sysctls=_sysctls(one),
    )


def _is_possible(route: Route, one: Namespace) -> bool:
    """Whether the kernel takes a route that says onlink: its gateway must not be on another link (`ip6_route_check_nh_onlink`)."""
    if route.via is None or (route.table == Table.MAIN and not route.onlink):
        return True
    holding = [entry for entry in one.addresses if route.via in entry.interface.network]
    nearest = max(holding, key=lambda entry: entry.interface.network.prefixlen, default=None)
    return nearest is None or (nearest.device == route.device and nearest.interface.ip != route.via)


def _hides(route: Route, gateways: set[Address]) -> bool:
    """Whether a gateway would no longer be on a link, which the kernel asks of it when a route is added (`ip6_validate_gw`)."""
    network = route.destination
    return network.prefixlen >= _ON_LINK and any(gateway in network for gateway in gateways)


def _addresses(one: Namespace) -> Iterator[AddressEntry]:
    for number, link in enumerate(one.links, start=1):
        if link.name != "lo" and link.master is None:
            yield AddressEntry(link.name, IPv6Interface(f"fe80::{_serial(link) or number:x}/64"))
    for entry in one.addresses:
        if not entry.interface.ip.is_loopback:
            yield AddressEntry(entry.device, _carried(entry.interface))


def _serial(link: Link) -> int:
    return int((link.mac or "0").replace(":", "")[-4:], 16)


def _route(route: Route) -> Route:
    mtu = None if route.mtu is None else max(route.mtu, LEAST_MTU)
    carried: Route = _carried(route)
    # The kernel looks for a gateway by all rules where another table than main is to have the route, and they may stand in the way.
    onlink = route.onlink or (route.table != Table.MAIN and route.via is not None)
    return replace(carried, mtu=mtu, scope="global", onlink=onlink)


def _rule(rule: Rule) -> Rule:
    carried: Rule = _carried(rule)
    return replace(carried, family=6)


def _table(table: NftTable) -> NftTable:
    carried: NftTable = _carried(table)
    return replace(carried, family="ip6" if table.family == "ip" else table.family)


def _sysctls(one: Namespace) -> Mapping[str, str]:
    found = dict(_SYSCTLS)
    for path, value in one.sysctls.items():
        parts = path.split("/")
        if path in _CARRIED:
            found[_CARRIED[path]] = value
        elif parts[:3] == ["net", "ipv4", "conf"] and parts[3] not in ("all", "default") and parts[4] in _OF_DEVICES:
            found[f"net/ipv6/conf/{parts[3]}/{parts[4]}"] = value
        elif parts[:3] == ["net", "ipv4", "neigh"] and parts[4] in _OF_NEIGHBOURS:
            found[f"net/ipv6/neigh/{parts[3]}/{parts[4]}"] = value
    return found


def _carried(thing: Any) -> Any:
    """Carry an object over with all that it is made of."""
    match thing:
        case IPv4Interface():
            return IPv6Interface(f"{_carried(thing.ip)}/{_length(thing.network)}")
        case IPv4Network():
            return IPv6Network((_carried(thing.network_address) if thing.prefixlen else "::", _length(thing)))
        case IPv4Address():
            return IPv6Address(_NETWORK | int(thing))
        case Payload("ip", name):
            return Payload("ip6", _FIELDS.get(name, name))
        case Payload("icmp", name):
            return Payload("icmpv6", name)
        case Reject("icmp", code):
            return Reject("icmpv6", _REASONS.get(code or "", code))
        case "icmp":
            return "ipv6-icmp"
        case tuple():
            return tuple(map(_carried, thing))
        case _ if is_dataclass(thing) and not isinstance(thing, type):
            changed = {one.name: _carried(getattr(thing, one.name)) for one in fields(thing) if one.init and one.name != "provenance"}
            return replace(thing, **changed)
    return thing


def _length(network: IPv4Network) -> int:
    return network.prefixlen + 96 if network.prefixlen else 0
