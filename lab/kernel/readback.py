"""Reading back what the kernel holds: all links, addresses, routes, rules, neighbours, FDB entries, sysctls and rule sets of namespaces.

Everything is read in this process, over the sockets the engine keeps. The result says what is there, whoever put it there; what it was for
is told by `lab.kernel.recognition`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lab.forwarding.sysctls import decisive_sysctls
from lab.kernel.handles import Handles
from lab.kernel.impairments import recognised
from lab.kernel.netlink.addresses import IFADDRMSG
from lab.kernel.netlink.channel import Channel
from lab.kernel.netlink.found import DUMP_LINKS, IPV4_CONF, IPV6_CONF, FoundLink, found_links
from lab.kernel.netlink.neighbours import NDMSG, NTF_PROXY
from lab.kernel.netlink.nexthops import NHMSG, read_nexthop
from lab.kernel.netlink.policies import has_policies, read_policies
from lab.kernel.netlink.qdiscs import DUMP_QDISCS, RTM_GETQDISC, read_qdisc
from lab.kernel.netlink.routes import RTMSG
from lab.kernel.netlink.rules import FIB_RULE_HDR
from lab.kernel.netlink.tables import is_cloned, read_address, read_fdb_entry, read_neighbour, read_route, read_rule
from lab.kernel.netlink.wire import (
    AF_BRIDGE,
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETNEXTHOP,
    RTM_GETROUTE,
    RTM_GETRULE,
)
from lab.kernel.rulesets import read as read_tables
from lab.kernel.sysctl import read_sysctls
from lab.state import AddressEntry, FdbEntry, Link, Namespace, Neighbour, NextHopObject, Route, Rule, State, Veth, Vxlan
from lab.state.objects import Address

Indexes = Mapping[str, Mapping[str, int]]

_OF_ANY_LINK: Final = "*"
GENERAL_SYSCTLS: Final = (
    "net/ipv4/ip_no_pmtu_disc",
    "net/ipv4/icmp_msgs_per_sec",
    "net/ipv4/conf/all/log_martians",
    *sorted(path for path in decisive_sysctls(_OF_ANY_LINK) if f"/{_OF_ANY_LINK}/" not in path),
)
"""Sysctls that decide what becomes of packets; read whether a state states them or not. Those of single links come with the links."""

_FAMILIES: Final = (AF_INET, AF_INET6)


@dataclass(frozen=True, slots=True)
class Found:
    """What was read: the namespaces, and the interface index of every link."""

    namespaces: Mapping[str, Namespace]
    indexes: Indexes


def read_namespaces(handles: Handles, stated: State) -> Found:
    """Read all namespaces of a lab. Besides the sysctls that matter to packets, those that `stated` states are read."""
    names = handles.sandbox.namespaces
    links = {name: found_links(handles.channel(name).dump(RTM_GETLINK, DUMP_LINKS)) for name in names}
    links = with_peers(links)
    knows_policies = has_policies(handles.procfs.visit())
    namespaces = {}
    for name in names:
        known = stated.namespaces.get(name, Namespace(name))
        namespaces[name] = _read_namespace(handles, known, links[name], knows_policies=knows_policies)
    indexes = {name: {found.link.name: found.index for found in links[name]} for name in names}
    return Found(recognised(namespaces), indexes)


def _read_namespace(handles: Handles, stated: Namespace, links: Sequence[FoundLink], *, knows_policies: bool) -> Namespace:
    channel = handles.channel(stated.name)
    names = {found.index: found.link.name for found in links}
    with handles.sandbox.enter(stated.name):
        policies = read_policies() if knows_policies else ()
        tables = read_tables(handles.nftables(stated.name))
        paths = dict.fromkeys((*GENERAL_SYSCTLS, *stated.sysctls))
        sysctls = _sysctls_of_links(links)
        sysctls |= read_sysctls(handles.procfs.visit(), (path for path in paths if path not in sysctls))
    return replace(
        stated,
        links=_impaired(channel, links),
        addresses=tuple(_addresses(channel, names)),
        nexthops=tuple(_nexthops(channel, names)),
        routes=tuple(_routes(channel, names)),
        rules=tuple(_rules(channel)),
        neighbours=tuple(_neighbours(channel, names)),
        fdb=tuple(_fdb(channel, names, [found.link for found in links])),
        sysctls=sysctls,
        tables=tables,
        policies=policies,
    )


def _impaired(channel: Channel, links: Sequence[FoundLink]) -> tuple[Link, ...]:
    """Links with what their queueing disciplines do to packets."""
    impairments = dict(found for body in channel.dump(RTM_GETQDISC, DUMP_QDISCS) if (found := read_qdisc(body)) is not None)
    return tuple(replace(found.link, impairment=impairments.get(found.index)) for found in links)


def _addresses(channel: Channel, names: Mapping[int, str]) -> list[AddressEntry]:
    """Addresses by link, IPv4 before IPv6, each link's in the order of their configuration."""
    read = [(body, read_address(body, names)) for body in channel.dump(RTM_GETADDR, IFADDRMSG.pack(AF_UNSPEC, 0, 0, 0, 0))]
    entries = [(IFADDRMSG.unpack_from(body), entry) for body, entry in read if entry is not None]
    # The kernel keeps the IPv6 addresses of a link by scope and lists the newest of a scope first (ipv6_link_dev_addr).
    return [entry for _, entry in sorted(entries, key=lambda item: (item[0][4], item[0][0]))]


def _routes(channel: Channel, names: Mapping[int, str]) -> list[Route]:
    routes = []
    for family in _FAMILIES:
        for body in channel.dump(RTM_GETROUTE, RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
            route = None if is_cloned(body) else read_route(body, names)
            if route is not None:
                routes.append(route)
    return routes


def _nexthops(channel: Channel, names: Mapping[int, str]) -> list[NextHopObject]:
    read = (read_nexthop(body, names) for body in channel.dump(RTM_GETNEXTHOP, NHMSG.pack(AF_UNSPEC, 0, 0, 0)))
    return [thing for thing in read if thing is not None]


def _rules(channel: Channel) -> list[Rule]:
    bodies = (body for family in _FAMILIES for body in channel.dump(RTM_GETRULE, FIB_RULE_HDR.pack(family, 0, 0, 0, 0, 0, 0)))
    return [rule for rule in map(read_rule, bodies) if rule is not None]


def _neighbours(channel: Channel, names: Mapping[int, str]) -> list[Neighbour]:
    """Neighbours, then proxy entries, which have a table of their own."""
    found = []
    for flags in (0, NTF_PROXY):
        for family in _FAMILIES:
            for body in channel.dump(RTM_GETNEIGH, NDMSG.pack(family, 0, 0, flags, 0)):
                neighbour = read_neighbour(body, names)
                if neighbour is not None:
                    found.append(neighbour)
    return found


def _fdb(channel: Channel, names: Mapping[int, str], links: Iterable[Link]) -> list[FdbEntry]:
    vxlans: dict[str, Address | None] = {link.name: link.kind.remote for link in links if isinstance(link.kind, Vxlan)}
    own = frozenset(link.mac for link in links if link.mac is not None)
    if not vxlans and not any(link.master for link in links):
        return []
    bodies = channel.dump(RTM_GETNEIGH, NDMSG.pack(AF_BRIDGE, 0, 0, 0, 0))
    entries = (read_fdb_entry(body, names, vxlans, own) for body in bodies)
    return list(dict.fromkeys(entry for entry in entries if entry is not None))


def _sysctls_of_links(links: Iterable[FoundLink]) -> dict[str, str]:
    """The settings of each link, which its dump brought along.

    The longest IPv6 packet is told only where somebody has set it: else it is the MTU of the link, and changes with that
    (NETDEV_CHANGEMTU in addrconf_notify).
    """
    found: dict[str, str] = {}
    for one in links:
        name, settings, settings6 = one.link.name, one.ipv4_conf, one.ipv6_conf
        found |= {f"net/ipv4/conf/{name}/{key}": str(settings[place - 1]) for key, place in IPV4_CONF.items() if place <= len(settings)}
        found |= {f"net/ipv6/conf/{name}/{key}": str(settings6[place]) for key, place in IPV6_CONF.items() if place < len(settings6)}
        mtu = f"net/ipv6/conf/{name}/mtu"
        if found.get(mtu) == str(one.link.mtu):
            del found[mtu]
    return found


def with_peers(links: Mapping[str, Sequence[FoundLink]]) -> dict[str, list[FoundLink]]:
    """Match the ends of veth pairs: each says the index of the other, and whether it is in another namespace.

    Indexes are unique in a lab, as far as the lab gave them out. Where several ends would fit, because somebody made pairs of their own,
    none is named: such a link stays one of a kind the lab does not know.
    """
    ends: dict[tuple[int, int], list[tuple[str, FoundLink]]] = {}
    for namespace, founds in links.items():
        for found in founds:
            if _is_veth(found):
                ends.setdefault((found.index, found.below), []).append((namespace, found))
    return {namespace: [_matched(namespace, found, ends) for found in founds] for namespace, founds in links.items()}


def _matched(namespace: str, found: FoundLink, ends: Mapping[tuple[int, int], Sequence[tuple[str, FoundLink]]]) -> FoundLink:
    if not _is_veth(found):
        return found
    there = [end for end in ends.get((found.below, found.index), ()) if (end[0] != namespace) == found.below_elsewhere]
    if len(there) != 1:
        return found
    peer_namespace, peer = there[0]
    return replace(found, link=replace(found.link, kind=Veth(peer_namespace, peer.link.name)))


def _is_veth(found: FoundLink) -> bool:
    return found.kind == "veth"
