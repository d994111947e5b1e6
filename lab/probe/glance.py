"""A quick look at a captured packet: just what tells whose it is, without making an object of every header.

A run of the flagship sees tens of thousands of packets; `lab.kernel.decode` reads those a person wants to see, this reads all of them.
Offsets: RFC 791 (IPv4), RFC 8200 (IPv6), RFC 826 (ARP), RFC 768 (UDP), RFC 9293 (TCP), RFC 792 (ICMP), RFC 7348 (VXLAN).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from lab.kernel.packet import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
)

VXLAN_PORTS: Final = frozenset({4500, 4789, 4800, 8472})
"""UDP ports whose datagrams are looked into: Submariner's cable, Calico and IANA, vx-submariner, Linux's old default."""
ETHERNET: Final = 14
_VXLAN: Final = 8 + 8
"""Lengths of the UDP and the VXLAN header."""
_VXLAN_FLAGS: Final = b"\x08\0\0\0"
"""How a VXLAN header begins (RFC 7348, section 5): a client may have one of these ports by chance, and what it gets is no VXLAN."""


class Glance(NamedTuple):
    """What a quick look at the innermost packet gives; addresses as their bytes, four or sixteen."""

    protocol: int
    """IP protocol; ETHERTYPE_ARP for ARP."""
    source: bytes
    destination: bytes
    start: int
    """Where the innermost transport header (or the ARP message) begins in the data."""
    encapsulated: bool
    fragment: bytes = b""
    """Of a packet that travels in pieces, or inside one that does, what its pieces have in common; empty for a whole packet."""
    later: bool = False
    """Whether it is a piece without the header that tells whose it is."""


def glance(data: bytes, start: int, ethertype: int) -> Glance | None:
    """Look at a packet whose network header, of the given EtherType, begins at `start`; None when it is neither IP nor ARP, or is cut."""
    encapsulated, fragment = False, b""
    try:
        while ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            look = (_glance4 if ethertype == ETHERTYPE_IPV4 else _glance6)(data, start, encapsulated, fragment)
            if look.protocol != PROTOCOL_UDP or look.later or not _is_vxlan(data, look.start):
                return look
            encapsulated, fragment = True, look.fragment
            start = look.start + _VXLAN + ETHERNET
            ethertype = data[start - 2] << 8 | data[start - 1]
    except IndexError:
        return None
    if ethertype == ETHERTYPE_ARP and len(data) >= start + 28:
        return Glance(ETHERTYPE_ARP, data[start + 14 : start + 18], data[start + 24 : start + 28], start, encapsulated)
    return None


def _is_vxlan(data: bytes, start: int) -> bool:
    """Whether the datagram whose UDP header begins at `start` bears a frame."""
    if (data[start + 2] << 8 | data[start + 3]) not in VXLAN_PORTS:
        return False
    return len(data) >= start + _VXLAN + ETHERNET and data[start + 8 : start + 12] == _VXLAN_FLAGS


def _glance4(data: bytes, start: int, encapsulated: bool, fragment: bytes) -> Glance:
    """Look at an IPv4 packet; `fragment` is what it has of the packet around it."""
    protocol = data[start + 9]
    later = data[start + 6] & 0x1F or data[start + 7]
    if later or data[start + 6] & 0x20:
        fragment = data[start + 4 : start + 6] + data[start + 9 : start + 10] + data[start + 12 : start + 20]
    transport = start + (data[start] & 0x0F) * 4
    return Glance(protocol, data[start + 12 : start + 16], data[start + 16 : start + 20], transport, encapsulated, fragment, bool(later))


def _glance6(data: bytes, start: int, encapsulated: bool, fragment: bytes) -> Glance:
    """Look at an IPv6 packet; of extension headers only that of a fragment is passed over."""
    protocol, transport, later = data[start + 6], start + 40, False
    if protocol == _FRAGMENT:
        offset = data[transport + 2] << 8 | data[transport + 3]
        fragment, later = data[transport + 4 : transport + 8] + data[start + 8 : start + 40], bool(offset & 0xFFF8)
        protocol, transport = data[transport], transport + 8
    return Glance(protocol, data[start + 8 : start + 24], data[start + 24 : start + 40], transport, encapsulated, fragment, later)


_FRAGMENT: Final = 44


def is_arp_request(data: bytes, look: Glance) -> bool:
    """Whether an ARP message asks; else it answers."""
    return data[look.start + 7] == 1


def quoted(data: bytes, look: Glance) -> Glance | None:
    """Look at the packet that an ICMP error quotes; None when the packet is no ICMP error, or quotes none that can be read."""
    if len(data) <= look.start:
        return None
    if look.protocol == PROTOCOL_ICMP and data[look.start] in (3, 4, 5, 11, 12):
        return glance(data, look.start + 8, ETHERTYPE_IPV4)
    if look.protocol == PROTOCOL_ICMPV6 and data[look.start] < 128:
        return glance(data, look.start + 8, ETHERTYPE_IPV6)
    return None


def is_echo_request(data: bytes, look: Glance) -> bool | None:
    """Whether an ICMP message is an echo request (True) or an echo reply (False); None for anything else."""
    if len(data) <= look.start:
        return None
    return (_ECHO if look.protocol == PROTOCOL_ICMP else _ECHO_V6).get(data[look.start])


_ECHO: Final = {8: True, 0: False}
_ECHO_V6: Final = {128: True, 129: False}


def marks(data: bytes, look: Glance) -> tuple[int, int]:
    """Return what NAT may change beside the addresses: the ports, or the identifier of an echo, twice."""
    at = look.start
    if look.protocol not in (PROTOCOL_ICMP, PROTOCOL_ICMPV6):
        return ports(data, look)
    if is_echo_request(data, look) is None or len(data) < at + 6:
        return 0, 0
    identifier = data[at + 4] << 8 | data[at + 5]
    return identifier, identifier


def ports(data: bytes, look: Glance) -> tuple[int, int]:
    """Return source and destination port of a TCP segment or UDP datagram; zeros when they are cut off or it is neither."""
    at = look.start
    if look.protocol not in (PROTOCOL_TCP, PROTOCOL_UDP) or len(data) < at + 4:
        return 0, 0
    return data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]


def timestamps(data: bytes, look: Glance) -> tuple[int, int] | None:
    """Return a TCP segment's timestamp and the one it echoes (RFC 7323, section 3.2); None when it bears none or is cut."""
    at, end = look.start + 20, look.start + (data[look.start + 12] >> 4) * 4 if len(data) > look.start + 12 else 0
    while at + 1 < min(end, len(data)):
        kind, size = data[at], data[at + 1]
        if kind == 1:  # no operation
            at += 1
        elif kind == 8 and at + 10 <= len(data):
            return int.from_bytes(data[at + 2 : at + 6], "big"), int.from_bytes(data[at + 6 : at + 10], "big")
        elif kind == 0 or size < 2:
            return None
        else:
            at += size
    return None
