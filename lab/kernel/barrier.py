"""The link barrier: what follows from links being up has happened before the first packet is sent.

Setting a link up and getting the kernel's word for it is not yet forwarding: the end of a pair that came up first has a queue that drops
everything until the linkwatch worker has looked at it, and that worker waits for the RTNL lock. Asking a device for its link state
(ETHTOOL_GLINK) does the work at once (linkwatch_sync_dev in net/core/link_watch.c), needs no privilege and takes microseconds.
"""

from __future__ import annotations

import errno
import fcntl
import select
import socket
import struct
from array import array
from collections.abc import Collection, Iterable
from typing import Final

from lab.errors import InconclusiveError
from lab.kernel.netlink.addresses import IFA_ADDRESS, IFA_F_TENTATIVE, IFA_FLAGS, IFA_LOCAL, IFADDRMSG
from lab.kernel.netlink.attributes import number, read_attributes
from lab.kernel.netlink.channel import Channel
from lab.kernel.netlink.routes import RTA_DST, RTMSG, TYPES
from lab.kernel.netlink.wire import AF_INET6, RTM_GETADDR, RTM_GETROUTE

_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_GLINK: Final = 0x0000_000A
_RTMGRP_IPV6_IFADDR: Final = 0x100
_RTMGRP_IPV6_ROUTE: Final = 0x400
_ALL_ADDRESSES: Final = IFADDRMSG.pack(AF_INET6, 0, 0, 0, 0)
_ALL_ROUTES: Final = RTMSG.pack(AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)
_SECONDS: Final = 10.0
_DETECTION_SECONDS: Final = 3.0


def await_links(sock: socket.socket, names: Iterable[str]) -> set[str]:
    """Make the kernel finish what links that went up have left to do; returns those that have a carrier.

    `sock` is any socket of their namespace.
    """
    answer = array("I", (_ETHTOOL_GLINK, 0))
    place, _ = answer.buffer_info()
    connected: set[str] = set()
    for name in names:
        answer[0] = _ETHTOOL_GLINK
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("16sP16x", name.encode(), place))
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.ENODEV}:
                raise
        else:
            if answer[1]:
                connected.add(name)
    return connected


def await_addresses(channel: Channel, listener: socket.socket, namespace: str, links: Collection[int]) -> None:
    """Wait until the IPv6 addresses on these `links` (their indexes) are at work: until each has its route in the table local.

    A worker of the kernel sees to it within milliseconds, if the link has a carrier (addrconf_dad_work in net/ipv6/addrconf.c). `listener`
    is a netlink socket of the namespace, not yet bound; it hears of every new route. Raises InconclusiveError when one does not come.
    """
    listener.bind((0, _RTMGRP_IPV6_ROUTE))
    while _have_no_route(channel, links):
        ready, _, _ = select.select([listener], [], [], _SECONDS)
        if not ready:
            raise InconclusiveError(f"{namespace}: an IPv6 address has no local route: the kernel does not finish setting it up")
        listener.recv(65536)


def await_detection(channel: Channel, listener: socket.socket) -> None:
    """Wait until nobody looks for duplicates of the IPv6 addresses of a namespace any more: a second or two (RFC 4862, section 5.4).

    Where a link has no carrier that does not begin; after some seconds without news nothing more is waited for. `listener` is a netlink
    socket of the namespace, not yet bound; it hears of every address that changes.
    """
    listener.bind((0, _RTMGRP_IPV6_IFADDR | _RTMGRP_IPV6_ROUTE))
    while _tentative(channel) or _have_no_route(channel, None):
        ready, _, _ = select.select([listener], [], [], _DETECTION_SECONDS)
        if not ready:
            return
        listener.recv(65536)


def _tentative(channel: Channel) -> bool:
    """Whether any address is still looked for elsewhere."""
    bodies = channel.dump(RTM_GETADDR, _ALL_ADDRESSES)
    return any(number(read_attributes(body, IFADDRMSG.size)[IFA_FLAGS]) & IFA_F_TENTATIVE for body in bodies)


def _have_no_route(channel: Channel, links: Collection[int] | None) -> set[bytes]:
    """The addresses that are configured, past duplicate address detection, but not yet at work."""
    addresses: set[bytes] = set()
    for body in channel.dump(RTM_GETADDR, _ALL_ADDRESSES):
        attributes = read_attributes(body, IFADDRMSG.size)
        if (links is None or IFADDRMSG.unpack_from(body)[4] in links) and not number(attributes[IFA_FLAGS]) & IFA_F_TENTATIVE:
            addresses.add(attributes.get(IFA_LOCAL, attributes[IFA_ADDRESS]))
    local = {
        read_attributes(body, RTMSG.size).get(RTA_DST, b"")
        for body in channel.dump(RTM_GETROUTE, _ALL_ROUTES)
        if RTMSG.unpack_from(body)[7] == TYPES["local"]
    }
    return addresses - local
