"""Routes (ip-route(8), include/uapi/linux/rtnetlink.h).

The common route, one next hop on one device, is most of what a lab consists of; a hundred meshed nodes have ten thousand of them.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from lab.kernel.netlink.links import Indexes
from lab.kernel.netlink.wire import (
    AF_INET,
    AF_INET6,
    CREATE,
    REMOVE,
    REPLACE,
    RTM_DELROUTE,
    RTM_NEWROUTE,
    SCOPES,
    address,
    attribute,
    family_of,
    message,
    u32,
)
from lab.state import NextHop, Route

RTA_DST: Final = 1
RTA_SRC: Final = 2
RTA_IIF: Final = 3
RTA_OIF: Final = 4
RTA_GATEWAY: Final = 5
RTA_PRIORITY: Final = 6
RTA_PREFSRC: Final = 7
RTA_METRICS: Final = 8
RTA_MULTIPATH: Final = 9
RTA_CACHEINFO: Final = 12
RTA_TABLE: Final = 15
RTA_MARK: Final = 16
RTA_VIA: Final = 18
RTA_UID: Final = 25
RTA_IP_PROTO: Final = 27
RTA_SPORT: Final = 28
RTA_DPORT: Final = 29
RTA_NH_ID: Final = 30

RTAX_LOCK: Final = 1
RTAX_MTU: Final = 2
RTAX_ADVMSS: Final = 8
RTAX_HOPLIMIT: Final = 10

RTNH_F_ONLINK: Final = 4

TYPES: Final = {
    "unicast": 1,
    "local": 2,
    "broadcast": 3,
    "anycast": 4,
    "multicast": 5,
    "blackhole": 6,
    "unreachable": 7,
    "prohibit": 8,
    "throw": 9,
}

RTMSG: Final = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, lengths of destination and source prefix, TOS, table, protocol, scope, type, flags."""
RTNEXTHOP: Final = struct.Struct("=HBBi")
"""rtnexthop: length, flags, weight - 1, index."""
_VIA: Final = struct.Struct("=H")


def new_route(route: Route, indexes: Indexes) -> bytes:
    """Add a route; refused when its table has one with the same destination, TOS and metric."""
    return message(RTM_NEWROUTE, CREATE, _body(route, indexes))


def replace_route(route: Route, indexes: Indexes) -> bytes:
    """Add a route, or put it in the place of the one with the same destination, TOS and metric."""
    return message(RTM_NEWROUTE, REPLACE, _body(route, indexes))


def delete_route(route: Route, indexes: Indexes) -> bytes:
    """Remove a route."""
    return message(RTM_DELROUTE, REMOVE, _body(route, indexes))


def _body(route: Route, indexes: Indexes) -> bytes:
    destination = route.destination
    family = AF_INET if destination.version == 4 else AF_INET6
    length = destination.prefixlen
    table = route.table
    body = RTMSG.pack(
        family,
        length,
        0,
        route.tos,
        table if table < 256 else 0,
        route.protocol,
        SCOPES[route.scope],
        TYPES[route.type],
        RTNH_F_ONLINK if route.onlink else 0,
    )
    if length:
        body += address(RTA_DST, destination.network_address)
    via = route.via
    if via is not None:
        body += address(RTA_GATEWAY, via) if via.version == destination.version else _gateway(via, family)
    if route.device is not None:
        body += u32(RTA_OIF, indexes[route.device])
    if table > 255:
        body += u32(RTA_TABLE, table)
    if route.metric:
        body += u32(RTA_PRIORITY, route.metric)
    if route.source is not None:
        body += address(RTA_PREFSRC, route.source)
    if route.mtu is not None or route.advmss is not None or route.hoplimit is not None:
        lock = 1 << RTAX_MTU if route.mtu_locked else None
        metrics = ((RTAX_LOCK, lock), (RTAX_MTU, route.mtu), (RTAX_ADVMSS, route.advmss), (RTAX_HOPLIMIT, route.hoplimit))
        body += attribute(RTA_METRICS, b"".join(u32(kind, value) for kind, value in metrics if value is not None))
    if route.nexthop is not None:
        body += u32(RTA_NH_ID, route.nexthop)
    if route.hops:
        body += attribute(RTA_MULTIPATH, b"".join(_hop(hop, family, indexes) for hop in route.hops))
    return body


def _gateway(via: IPv4Address | IPv6Address, family: int) -> bytes:
    """A next hop's address; one of the other family has an attribute of its own (IPv4 routes over IPv6, RFC 5549)."""
    if family_of(via) == family:
        return address(RTA_GATEWAY, via)
    return attribute(RTA_VIA, _VIA.pack(family_of(via)) + via.packed)


def _hop(hop: NextHop, family: int, indexes: Indexes) -> bytes:
    gateway = b"" if hop.via is None else _gateway(hop.via, family)
    index = 0 if hop.device is None else indexes[hop.device]
    return RTNEXTHOP.pack(RTNEXTHOP.size + len(gateway), RTNH_F_ONLINK if hop.onlink else 0, hop.weight - 1, index) + gateway
