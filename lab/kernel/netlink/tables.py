"""Addresses, routes, rules, neighbours and FDB entries out of the bodies of a dump, as objects of the state.

`names` gives the name of every interface index of the namespace. What a dump says of an interface that is not among them (it went away
between two dumps) is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_network
from typing import Final, Literal, cast

from lab.kernel.netlink import addresses as na
from lab.kernel.netlink import neighbours as nn
from lab.kernel.netlink import routes as nr
from lab.kernel.netlink import rules as nu
from lab.kernel.netlink.attributes import Attributes, ip_address, mac_address, number, read_attributes, string
from lab.kernel.netlink.foreign import foreign_of_route
from lab.kernel.netlink.wire import AF_INET, SCOPES
from lab.state import UNKNOWN, AddressEntry, FdbEntry, Neighbour, NextHop, PortRange, Provenance, Route, Rule
from lab.state.objects import Address, Interface, Network, RouteType, RuleAction, Scope

Names = Mapping[int, str]

_SCOPE_NAMES: Final = cast(dict[int, Scope], {number: name for name, number in SCOPES.items()})
_TYPE_NAMES: Final = cast(dict[int, RouteType], {number: name for name, number in nr.TYPES.items()})
_ACTION_NAMES: Final = cast(dict[int, RuleAction], {number: name for name, number in nu.ACTIONS.items()})
_RTM_F_CLONED: Final = 0x200
_UNSET: Final = 0xFFFF_FFFF
_NO_WAY_OUT: Final = frozenset({"blackhole", "unreachable", "prohibit", "throw"})


def read_address(body: bytes, names: Names) -> AddressEntry | None:
    """An address on a link (ifaddrmsg)."""
    _, length, short_flags, scope, index = na.IFADDRMSG.unpack_from(body)
    device = names.get(index)
    if device is None:
        return None
    attributes = read_attributes(body, na.IFADDRMSG.size)
    far = attributes[na.IFA_ADDRESS]
    local = attributes.get(na.IFA_LOCAL, far)
    broadcast = attributes.get(na.IFA_BROADCAST)
    flags = number(attributes[na.IFA_FLAGS]) if na.IFA_FLAGS in attributes else short_flags
    return AddressEntry(
        device=device,
        interface=_interface(local, length),
        scope=_SCOPE_NAMES.get(scope, "global"),
        broadcast=None if broadcast is None else ip_address(broadcast),
        peer=None if far == local else _interface(far, length),
        no_prefix_route=bool(flags & na.IFA_F_NOPREFIXROUTE),
        deprecated=bool(flags & na.IFA_F_DEPRECATED),
    )


def read_route(body: bytes, names: Names) -> Route | None:
    """An entry of a routing table, or the answer to a lookup (rtmsg)."""
    family, length, source_length, tos, table, protocol, scope, kind, flags = nr.RTMSG.unpack_from(body)
    attributes = read_attributes(body, nr.RTMSG.size)
    type_name = _TYPE_NAMES.get(kind)
    index = number(attributes.get(nr.RTA_OIF, b""))
    if type_name is None or (index and index not in names):
        return None
    source = attributes.get(nr.RTA_PREFSRC)
    metrics = read_attributes(attributes.get(nr.RTA_METRICS, b""))
    # Linux gives IPv6 routes that lead nowhere the device lo (ip6_route_info_create); a person does not write it.
    device = None if family != AF_INET and type_name in _NO_WAY_OUT else names.get(index)
    nexthop = _optional_number(attributes, nr.RTA_NH_ID)
    if nexthop is not None:
        # The kernel tells where a nexthop object leads as if the route itself did (net.ipv4.nexthop_compat_mode).
        attributes = {kind: data for kind, data in attributes.items() if kind not in (nr.RTA_GATEWAY, nr.RTA_VIA, nr.RTA_MULTIPATH)}
        device, flags, type_name = None, 0, "unicast" if type_name == "blackhole" else type_name
    return Route(
        destination=_network(family, attributes.get(nr.RTA_DST), length),
        type=type_name,
        via=_gateway(attributes),
        device=device,
        table=number(attributes[nr.RTA_TABLE]) if nr.RTA_TABLE in attributes else table,
        metric=number(attributes.get(nr.RTA_PRIORITY, b"")),
        source=None if source is None else ip_address(source),
        protocol=protocol,
        scope=_SCOPE_NAMES.get(scope, "global"),
        tos=tos,
        onlink=bool(flags & nr.RTNH_F_ONLINK),
        mtu=number(metrics[nr.RTAX_MTU]) if nr.RTAX_MTU in metrics else None,
        mtu_locked=bool(number(metrics.get(nr.RTAX_LOCK, b"")) & 1 << nr.RTAX_MTU),
        advmss=number(metrics[nr.RTAX_ADVMSS]) if nr.RTAX_ADVMSS in metrics else None,
        hoplimit=number(metrics[nr.RTAX_HOPLIMIT]) if nr.RTAX_HOPLIMIT in metrics else None,
        hops=_hops(attributes.get(nr.RTA_MULTIPATH, b""), names),
        nexthop=nexthop,
        foreign=foreign_of_route(attributes, _sources(family, attributes, source_length)),
    )


def is_cloned(body: bytes) -> bool:
    """Whether a route is a cached copy, with a path MTU learned, and no entry of a table."""
    return bool(nr.RTMSG.unpack_from(body)[8] & _RTM_F_CLONED)


def read_rule(body: bytes) -> Rule | None:
    """A policy routing rule (fib_rule_hdr)."""
    family, destination_length, source_length, tos, table, action, flags = nu.FIB_RULE_HDR.unpack_from(body)
    attributes = read_attributes(body, nu.FIB_RULE_HDR.size)
    action_name = _ACTION_NAMES.get(action)
    if action_name is None:
        return None
    l3mdev = bool(number(attributes.get(nu.FRA_L3MDEV, b"")))
    looks_up = action_name == "lookup" and not l3mdev
    marked = nu.FRA_FWMARK in attributes or nu.FRA_FWMASK in attributes
    uids = nu.UIDS.unpack(attributes[nu.FRA_UID_RANGE]) if nu.FRA_UID_RANGE in attributes else None
    return Rule(
        priority=number(attributes.get(nu.FRA_PRIORITY, b"")),
        action=action_name,
        table=number(attributes.get(nu.FRA_TABLE, bytes([table]))) if looks_up else None,
        goto=_optional_number(attributes, nu.FRA_GOTO),
        source=_optional_network(family, attributes.get(nu.FRA_SRC), source_length),
        destination=_optional_network(family, attributes.get(nu.FRA_DST), destination_length),
        iif=_optional_string(attributes, nu.FRA_IIFNAME),
        oif=_optional_string(attributes, nu.FRA_OIFNAME),
        mark=number(attributes.get(nu.FRA_FWMARK, b"")) if marked else None,
        mask=number(attributes.get(nu.FRA_FWMASK, b"\xff\xff\xff\xff")),
        tos=tos,
        ip_protocol=_optional_number(attributes, nu.FRA_IP_PROTO),
        source_ports=_ports(attributes.get(nu.FRA_SPORT_RANGE)),
        destination_ports=_ports(attributes.get(nu.FRA_DPORT_RANGE)),
        uid_first=uids[0] if uids else None,
        uid_last=None if uids is None or uids[1] >= nu.UID_MAX else uids[1],
        l3mdev=l3mdev,
        inverted=bool(flags & nu.FIB_RULE_INVERT),
        suppress_prefix_length=_unless_unset(attributes, nu.FRA_SUPPRESS_PREFIXLEN),
        suppress_group=_unless_unset(attributes, nu.FRA_SUPPRESS_IFGROUP),
        family=4 if family == AF_INET else 6,
        protocol=number(attributes.get(nu.FRA_PROTOCOL, b"")),
    )


def read_neighbour(body: bytes, names: Names) -> Neighbour | None:
    """A neighbour that says something: not those the kernel makes of itself for groups, for broadcast and on lo (arp_constructor)."""
    _, index, state, flags, _ = nn.NDMSG.unpack_from(body)
    attributes = read_attributes(body, nn.NDMSG.size)
    device = names.get(index)
    if device is None or nn.NDA_DST not in attributes:
        return None
    address = ip_address(attributes[nn.NDA_DST])
    if flags & nn.NTF_PROXY:
        return Neighbour(device=device, address=address, mac=None, proxy=True)
    hardware = attributes.get(nn.NDA_LLADDR, b"")
    if state & nn.NUD_NOARP and (len(hardware) != 6 or hardware[0] & 1 or hardware == bytes(6)):
        return None
    name = _NEIGHBOUR_STATES.get(state)
    if name is None:
        return None
    mac = mac_address(hardware) if len(hardware) == 6 else None
    provenance = UNKNOWN if name == "permanent" else _LEARNED
    return Neighbour(device=device, address=address, mac=mac, state=name, provenance=provenance)


_LEARNED: Final = Provenance("kernel", "learned from what was heard on the link")
_NeighbourState = Literal["permanent", "noarp", "reachable", "stale", "failed", "incomplete"]
_NEIGHBOUR_STATES: Final[dict[int, _NeighbourState]] = {
    nn.NUD_PERMANENT: "permanent",
    nn.NUD_NOARP: "noarp",
    nn.NUD_REACHABLE: "reachable",
    nn.NUD_STALE: "stale",
    nn.NUD_DELAY: "stale",
    nn.NUD_PROBE: "stale",
    nn.NUD_FAILED: "failed",
    nn.NUD_INCOMPLETE: "incomplete",
}


def read_fdb_entry(body: bytes, names: Names, vxlans: Mapping[str, Address | None], own: frozenset[str]) -> FdbEntry | None:
    """An FDB entry of a VXLAN device or a bridge that is no mere consequence of a link.

    Left out are the addresses of the namespace's own links (`own`), group addresses that devices listen to, and the default destination
    of a VXLAN device, which is the link's own (`vxlans`: each VXLAN device with it).
    """
    _, index, state, flags, _ = nn.NDMSG.unpack_from(body)
    attributes = read_attributes(body, nn.NDMSG.size)
    device = names.get(index)
    hardware = attributes.get(nn.NDA_LLADDR, b"")
    if device is None or len(hardware) != 6:
        return None
    mac = mac_address(hardware)
    if flags & nn.NTF_MASTER or (nn.NDA_MASTER in attributes and device not in vxlans):
        if mac in own or hardware[0] & 1:
            return None
        return FdbEntry(device, mac, master=True, permanent=bool(state & (nn.NUD_NOARP | nn.NUD_PERMANENT)))
    if device not in vxlans or nn.NDA_DST not in attributes:
        return None
    destination = ip_address(attributes[nn.NDA_DST])
    if mac == nn.ALL_ZERO and destination == vxlans[device]:
        return None
    return FdbEntry(
        device,
        mac,
        destination=destination,
        port=int.from_bytes(attributes[nn.NDA_PORT], "big") if nn.NDA_PORT in attributes else None,
        vni=_optional_number(attributes, nn.NDA_VNI),
        via=names.get(number(attributes.get(nn.NDA_IFINDEX, b""))),
        permanent=bool(state & (nn.NUD_NOARP | nn.NUD_PERMANENT)),
    )


def _sources(family: int, attributes: Attributes, length: int) -> str | None:
    return str(_network(family, attributes.get(nr.RTA_SRC), length)) if length and nr.RTA_SRC in attributes else None


def _network(family: int, data: bytes | None, length: int) -> Network:
    if family == AF_INET:
        return IPv4Network((data or bytes(4), length))
    return IPv6Network((data or bytes(16), length))


def _optional_network(family: int, data: bytes | None, length: int) -> Network | None:
    return None if data is None else ip_network((ip_address(data), length), strict=False)


def _interface(data: bytes, length: int) -> Interface:
    return IPv4Interface((data, length)) if len(data) == 4 else IPv6Interface((data, length))


def _gateway(attributes: Attributes) -> Address | None:
    if nr.RTA_GATEWAY in attributes:
        return ip_address(attributes[nr.RTA_GATEWAY])
    return ip_address(attributes[nr.RTA_VIA][2:]) if nr.RTA_VIA in attributes else None


def _hops(data: bytes, names: Names) -> tuple[NextHop, ...]:
    hops: list[NextHop] = []
    at = 0
    while at + nr.RTNEXTHOP.size <= len(data):
        length, flags, weight, index = nr.RTNEXTHOP.unpack_from(data, at)
        attributes = read_attributes(data[at + nr.RTNEXTHOP.size : at + length])
        hops.append(NextHop(_gateway(attributes), names.get(index), weight + 1, bool(flags & nr.RTNH_F_ONLINK)))
        at += (length + 3) & ~3
    return tuple(hops)


def _ports(data: bytes | None) -> PortRange | None:
    return None if data is None else PortRange(*struct.unpack("=HH", data))


def _optional_number(attributes: Attributes, kind: int) -> int | None:
    return number(attributes[kind]) if kind in attributes else None


def _optional_string(attributes: Attributes, kind: int) -> str | None:
    return string(attributes[kind]) if kind in attributes else None


def _unless_unset(attributes: Attributes, kind: int) -> int | None:
    value = number(attributes.get(kind, b"\xff\xff\xff\xff"))
    return None if value == _UNSET else value
