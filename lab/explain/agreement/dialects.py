"""How a socket speaks either version of IP: the options it takes, and what its ICMP looks like.

Constants as in linux/in.h and linux/in6.h; the socket module lacks some of them.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

from lab.forwarding.packet import Address

_IP_MTU_DISCOVER, _IP_PKTINFO, _IP_RECVTTL = 10, 8, 12
_IPV6_UNICAST_HOPS, _IPV6_MTU_DISCOVER = 16, 23
_FRAGMENT_HEADER: Final = 44


@dataclass(frozen=True, slots=True)
class Heard:
    """An ICMP message as a raw socket got it."""

    source: Address
    ttl: int | None
    kind: int
    code: int
    identifier: int
    body: bytes
    """Behind its first eight bytes: for an error the packet it speaks of."""
    mtu: int


@dataclass(frozen=True, slots=True)
class Quoted:
    """The packet an ICMP error speaks of."""

    protocol: int
    source: bytes
    destination: bytes
    body: bytes
    """Behind its IP header."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version of IP at the socket interface."""

    version: Literal[4, 6]
    family: socket.AddressFamily
    everybody: str
    level: int
    discover: int
    """Option that says whether packets may be cut on their way."""
    hops: int
    tos: int
    tell_info: int
    """Option that has the address told that a datagram was sent to."""
    info: int
    tell_hops: int
    told_hops: int
    header: int
    """Bytes of an IP header."""
    icmp: int
    request: int
    reply: int
    unreachable: int
    exceeded: int
    too_big: tuple[int, int]
    refusals: tuple[int, ...]
    """Codes of an unreachable by which a host refuses."""

    def hear(self, raw: socket.socket) -> Heard | None:
        """Read a message from a raw socket; None where it is none that matters. Raises BlockingIOError when there is none left."""
        data, notes, _, sender = raw.recvmsg(4096, 256)
        if self.version == 4:
            source, ttl, message = data[12:16], data[8] if len(data) > 8 else None, data[20:]
        else:
            source = socket.inet_pton(self.family, sender[0].split("%")[0])
            ttl, message = self.hops_told(notes), data
        if len(message) < 8:
            return None
        mtu = int.from_bytes(message[6:8] if self.version == 4 else message[4:8], "big")
        return Heard(_address(source), ttl, message[0], message[1], int.from_bytes(message[4:6], "big"), message[8:], mtu)

    def hops_told(self, notes: list[tuple[int, int, bytes]]) -> int | None:
        """Return the TTL or hop limit a packet had on arrival, if it was told."""
        return next((note[0] for level, kind, note in notes if (level, kind) == (self.level, self.told_hops)), None)

    def quoted(self, body: bytes) -> Quoted | None:
        """Return what an error quotes."""
        if len(body) < self.header + 8:
            return None
        if self.version == 4:
            return Quoted(body[9], body[12:16], body[16:20], body[20:])
        protocol, rest = body[6], body[40:]
        if protocol == _FRAGMENT_HEADER:
            protocol, rest = rest[0], rest[8:]
        return Quoted(protocol, body[8:24], body[24:40], rest)

    def answer_from(self, notes: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
        """Return the note that has a datagram sent from the address that was asked."""
        told = next((note for level, kind, note in notes if (level, kind) == (self.level, self.info)), None)
        if told is None:
            return []
        # ipi_spec_dst of struct in_pktinfo; ipi6_addr of struct in6_pktinfo.
        note = struct.pack("=i4s4s", 0, told[8:12], bytes(4)) if self.version == 4 else struct.pack("=16si", told[:16], 0)
        return [(self.level, self.info, note)]

    def echo(self, identifier: int, length: int) -> bytes:
        """Return an echo request with `length` bytes of data. The check sum of ICMPv6 is the kernel's work."""
        message = struct.pack("!BBHHH", self.request, 0, 0, identifier, 1) + b"." * length
        if self.version == 6:
            return message
        padded = message + b"\0" * (len(message) % 2)
        total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        return message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]


def _address(packed: bytes) -> IPv4Address | IPv6Address:
    return ip_address(packed)


DIALECTS: Final = {
    4: Dialect(
        4,
        socket.AF_INET,
        "0.0.0.0",
        socket.IPPROTO_IP,
        discover=_IP_MTU_DISCOVER,
        hops=socket.IP_TTL,
        tos=socket.IP_TOS,
        tell_info=_IP_PKTINFO,
        info=_IP_PKTINFO,
        tell_hops=_IP_RECVTTL,
        told_hops=socket.IP_TTL,
        header=20,
        icmp=socket.IPPROTO_ICMP,
        request=8,
        reply=0,
        unreachable=3,
        exceeded=11,
        too_big=(3, 4),
        refusals=(2, 3),
    ),
    6: Dialect(
        6,
        socket.AF_INET6,
        "::",
        socket.IPPROTO_IPV6,
        discover=_IPV6_MTU_DISCOVER,
        hops=_IPV6_UNICAST_HOPS,
        tos=socket.IPV6_TCLASS,
        tell_info=socket.IPV6_RECVPKTINFO,
        info=socket.IPV6_PKTINFO,
        tell_hops=socket.IPV6_RECVHOPLIMIT,
        told_hops=socket.IPV6_HOPLIMIT,
        header=40,
        icmp=socket.IPPROTO_ICMPV6,
        request=128,
        reply=129,
        unreachable=1,
        exceeded=3,
        too_big=(2, 0),
        refusals=(4,),
    ),
}
"""By version."""
