"""Drops that are no loss: the kernel throws these packets away on a network in perfect health."""

from __future__ import annotations

from typing import Final

from lab.kernel.bpf.events import DropEvent, decode
from lab.kernel.packet import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Icmpv6, IPv6

ECHO_REPLY: Final = 0
LINK_MULTICAST: Final = bytes((224, 0, 0))
MULTICAST_LISTENERS: Final = frozenset({130, 131, 132, 143})
"""ICMPv6 queries and reports of who listens to which multicast group (RFC 2710, RFC 3810)."""
NEIGHBOUR_DISCOVERY: Final = frozenset(range(133, 138))
"""ICMPv6 router and neighbour discovery (RFC 4861)."""


def noise(drop: DropEvent) -> str | None:
    """Return why a drop is no loss, or None when it may be one.

    - The reply to a ping that was sent through a raw socket: the socket has a copy, the original finds no ping socket (net/ipv4/ping.c:
      ping_rcv) and is dropped as NO_SOCKET.
    - The link's own multicast, 224.0.0.0/24 (RFC 5771, section 4): membership reports, which a host sends as soon as it forwards, and which
      end at every host that is no multicast router.
    - IPv6's own talk, multicast listener reports and neighbour discovery, which devices send as soon as they are up and which ends at hosts
      that are not asked (net/ipv6/ip6_input.c: ip6_mc_input).
    """
    if drop.protocol == ETHERTYPE_IPV6:
        packet = decode(drop)
        address, message = packet.inner(IPv6), packet.inner(Icmpv6)
        if message is not None and message.type in MULTICAST_LISTENERS:
            return "IPv6 multicast listener report"
        if message is not None and message.type in NEIGHBOUR_DISCOVERY:
            return "IPv6 neighbour discovery"
        if address is not None and address.destination.is_multicast:
            return "IPv6 multicast"
    elif drop.protocol == ETHERTYPE_IPV4 and _destination(drop).startswith(LINK_MULTICAST):
        return "multicast of the link's own"
    if drop.reason == "NO_SOCKET":
        echo = decode(drop).inner(Icmp)
        if echo is not None and echo.type == ECHO_REPLY:
            return "reply to a ping through a raw socket, which has its copy"
    return None


def _destination(drop: DropEvent) -> bytes:
    """Return the destination address of an IPv4 packet as it stands in its header; cheaper than reading all headers."""
    at = 30 if drop.link_header else 16
    return drop.data[at : at + 4]
