"""The kernel's own route lookup, asked without sending a packet (RTM_GETROUTE; inet_rtm_getroute in net/ipv4/route.c).

With `iif` the question is about a packet that arrives there, source check (rp_filter) included: a packet the kernel would not let in is
answered by an error. The errno is a hint, not an explanation: newer kernels say EINVAL for every refusal on input.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lab.errors import InputError, did_you_mean
from lab.kernel.netlink import routes as nr
from lab.kernel.netlink.attributes import ip_address, read_attributes
from lab.kernel.netlink.channel import Channel, Refusal
from lab.kernel.netlink.tables import read_route
from lab.kernel.netlink.wire import AF_INET, AF_INET6, NLM_F_REQUEST, RTM_GETROUTE, address, be16, message, u8, u32
from lab.state import Route
from lab.state.objects import Address

_RTM_F_LOOKUP_TABLE: Final = 0x1000
_RTM_F_FIB_MATCH: Final = 0x2000
_CACHEINFO: Final = struct.Struct("=IIiIIIII")


@dataclass(frozen=True, slots=True)
class RouteQuery:
    """A question to the routing tables: what is done with a packet like this?"""

    destination: Address
    source: Address | None = None
    iif: str | None = None
    """The link it arrives on; None for a packet of the namespace's own."""
    oif: str | None = None
    mark: int = 0
    tos: int = 0
    ip_protocol: int | None = None
    source_port: int | None = None
    destination_port: int | None = None
    uid: int | None = None
    fibmatch: bool = False
    """Ask for the entry of the table that decides, not for the route made of it. The source check is left out then."""


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """What the kernel says. Either `error` is set, or `route`."""

    error: str | None = None
    """The name of an errno, as ENETUNREACH."""
    message: str = ""
    """The kernel's own words, where it has some."""
    route: Route | None = None
    """With `fibmatch` the entry of the table, as it is in a state; otherwise the resolved route to this one destination."""
    source: Address | None = None
    """The source address a packet of the namespace's own would get."""
    mtu: int | None = None
    expires: int | None = None
    """Seconds (USER_HZ ticks / 100) until a learned path MTU or redirect is forgotten."""

    def __bool__(self) -> bool:
        return self.route is not None


def route_get(channel: Channel, indexes: Mapping[str, int], query: RouteQuery) -> RouteAnswer:
    """Ask the routing tables of a namespace. `indexes` gives the numbers of its links.

    Raises InputError when the question names a link that is not there.
    """
    answer = channel.request(message(RTM_GETROUTE, NLM_F_REQUEST, _question(indexes, query)))
    if isinstance(answer, Refusal):
        return RouteAnswer(error=errno.errorcode.get(answer.error, str(answer.error)), message=answer.text)
    _, body = answer
    names = {index: name for name, index in indexes.items()}
    route = read_route(body, names)
    attributes = read_attributes(body, nr.RTMSG.size)
    cache = attributes.get(nr.RTA_CACHEINFO, b"")
    expires = _CACHEINFO.unpack_from(cache)[2] if len(cache) >= _CACHEINFO.size else 0
    source = attributes.get(nr.RTA_PREFSRC)
    if route is not None and not query.fibmatch:
        # The table that decided is in the attribute; the scope and protocol of a resolved route say nothing.
        route = replace(route, source=None)
    return RouteAnswer(
        route=route,
        source=None if source is None else ip_address(source),
        mtu=None if route is None else route.mtu,
        expires=expires // 100 if expires else None,
    )


def _question(indexes: Mapping[str, int], query: RouteQuery) -> bytes:
    destination = query.destination
    family = AF_INET if destination.version == 4 else AF_INET6
    length = destination.max_prefixlen
    flags = _RTM_F_LOOKUP_TABLE | (_RTM_F_FIB_MATCH if query.fibmatch else 0)
    body = nr.RTMSG.pack(family, length, 0 if query.source is None else length, query.tos, 0, 0, 0, 0, flags)
    body += address(nr.RTA_DST, destination)
    if query.source is not None:
        body += address(nr.RTA_SRC, query.source)
    if query.iif is not None:
        body += u32(nr.RTA_IIF, _index(indexes, query.iif))
    if query.oif is not None:
        body += u32(nr.RTA_OIF, _index(indexes, query.oif))
    if query.mark:
        body += u32(nr.RTA_MARK, query.mark)
    if query.uid is not None:
        body += u32(nr.RTA_UID, query.uid)
    if query.ip_protocol is not None:
        body += u8(nr.RTA_IP_PROTO, query.ip_protocol)
    for kind, port in ((nr.RTA_SPORT, query.source_port), (nr.RTA_DPORT, query.destination_port)):
        if port is not None:
            body += be16(kind, port)
    return body


def _index(indexes: Mapping[str, int], link: str) -> int:
    try:
        return indexes[link]
    except KeyError:
        raise InputError(f"there is no link {link}", hint=did_you_mean(link, list(indexes), "link")) from None
