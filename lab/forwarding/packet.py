"""Packets as meaning, not as bytes: what decides their way, and nothing else. All of it is immutable.

A packet that a VXLAN device wrapped carries the inner frame in `Packet.tunnel`, so a packet is its own header stack. An
ICMP error carries the packet it speaks about in `Icmp.quoted`, as the router that complained saw it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

Address = IPv4Address | IPv6Address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
"""IP protocol numbers (IANA)."""
PROTOCOLS = {"icmp": ICMP, "tcp": TCP, "udp": UDP}
PROTOCOL_NAMES = {**{number: name for name, number in PROTOCOLS.items()}, ICMPV6: "icmpv6"}

BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
ZERO_MAC = "00:00:00:00:00:00"

IP_HEADER, UDP_HEADER, TCP_HEADER, ICMP_HEADER, ETHERNET_HEADER, VXLAN_HEADER = 20, 8, 20, 8, 14, 8
"""Bytes. Ethernet is counted without its check sum, as the kernel does."""
IPV6_HEADER = 40
ARP_SIZE = 28
BY_THE_WAY = 0
"""The TTL or hop limit of a packet that is still to be made, where its way decides: see `World.hop_limit`."""
ICMP_ERROR_LIMIT = 576
"""Bytes an ICMP error may have in all (RFC 1812, 4.3.2.3; `__icmp_send` in net/ipv4/icmp.c)."""

LEAST_PATH_MTU = 552
"""`net.ipv4.route.min_pmtu` where nobody changed it; IPv6 believes nothing below its own least MTU."""
LEAST_MTU_V6 = 1280
"""Every IPv6 link takes as much, and an ICMPv6 error has no more (RFC 8200, section 5; RFC 4443, section 2.4)."""

ECHO_REPLY, UNREACHABLE, REDIRECT, ECHO_REQUEST, TIME_EXCEEDED, PARAMETER_PROBLEM = 0, 3, 5, 8, 11, 12
"""ICMP types (RFC 792)."""
NET, HOST, PROTOCOL, PORT, FRAGMENTATION_NEEDED, NET_PROHIBITED, HOST_PROHIBITED, FILTERED = 0, 1, 2, 3, 4, 9, 10, 13
"""Codes of "destination unreachable" (RFC 792, RFC 1122, RFC 1812)."""

ICMP_ERRORS = frozenset((UNREACHABLE, 4, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM))
"""The types that report an error and are never answered with another one."""

UNREACHABLE_V6, TOO_BIG_V6, TIME_EXCEEDED_V6, PARAMETER_PROBLEM_V6, ECHO_REQUEST_V6, ECHO_REPLY_V6, SOLICITATION, ADVERTISEMENT = (
    1,
    2,
    3,
    4,
    128,
    129,
    135,
    136,
)
"""ICMPv6 types (RFC 4443), those of neighbour discovery with them (RFC 4861)."""
NO_ROUTE_V6, PROHIBITED_V6, NOT_NEIGHBOUR_V6, ADDRESS_V6, PORT_V6, UNKNOWN_HEADER_V6 = 0, 1, 2, 3, 4, 1
"""Codes of ICMPv6 "destination unreachable", and the one of "parameter problem" for an unknown next header."""

CODE_NAMES_V6 = {
    (UNREACHABLE_V6, NO_ROUTE_V6): "no route",
    (UNREACHABLE_V6, PROHIBITED_V6): "administratively prohibited",
    (UNREACHABLE_V6, NOT_NEIGHBOUR_V6): "beyond the scope of the source",
    (UNREACHABLE_V6, ADDRESS_V6): "address unreachable",
    (UNREACHABLE_V6, PORT_V6): "port unreachable",
    (UNREACHABLE_V6, 5): "source address failed policy",
    (UNREACHABLE_V6, 6): "reject route",
    (TOO_BIG_V6, 0): "packet too big",
    (TIME_EXCEEDED_V6, 0): "hop limit exceeded",
    (PARAMETER_PROBLEM_V6, UNKNOWN_HEADER_V6): "unknown next header",
}

CODE_NAMES = {
    (UNREACHABLE, NET): "net unreachable",
    (UNREACHABLE, HOST): "host unreachable",
    (UNREACHABLE, PROTOCOL): "protocol unreachable",
    (UNREACHABLE, PORT): "port unreachable",
    (UNREACHABLE, FRAGMENTATION_NEEDED): "fragmentation needed",
    (UNREACHABLE, NET_PROHIBITED): "net prohibited",
    (UNREACHABLE, HOST_PROHIBITED): "host prohibited",
    (UNREACHABLE, FILTERED): "packet filtered",
    (TIME_EXCEEDED, 0): "time exceeded",
}


def ip_header(address: Address) -> int:
    """Return the bytes of the IP header of a packet to such an address."""
    return IP_HEADER if address.version == 4 else IPV6_HEADER


class TcpFlags(IntFlag):
    """The flags of a TCP segment that decide anything here."""

    FIN = 1
    SYN = 2
    RST = 4
    PSH = 8
    ACK = 16


_NO_FLAGS = TcpFlags(0)


class FlowKey(NamedTuple):
    """What tells one flow from another, as connection tracking and sockets see it.

    Addresses are numbers (this is a dictionary key on the hot path). For ICMP queries `source_port` is the identifier and
    `destination_port` is type x 256 + code, as in `struct nf_conntrack_tuple`.
    """

    source: int
    destination: int
    protocol: int
    source_port: int
    destination_port: int

    def inverted(self) -> FlowKey:
        """Return the key of the answer (`nf_ct_invert_tuple`)."""
        if self.protocol in (ICMP, ICMPV6):
            answer = _ANSWERS[self.protocol].get(self.destination_port, self.destination_port)
            return FlowKey(self.destination, self.source, self.protocol, self.source_port, answer)
        return FlowKey(self.destination, self.source, self.protocol, self.destination_port, self.source_port)


_ANSWERS = {
    ICMP: {ECHO_REQUEST << 8: ECHO_REPLY << 8, ECHO_REPLY << 8: ECHO_REQUEST << 8},
    ICMPV6: {ECHO_REQUEST_V6 << 8: ECHO_REPLY_V6 << 8, ECHO_REPLY_V6 << 8: ECHO_REQUEST_V6 << 8},
}


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP or ICMPv6 message, with the numbers of its own protocol.

    `identifier` for echo, `mtu` for "fragmentation needed" and "packet too big", `quoted` for errors, `target` for neighbour discovery.
    """

    type: int
    code: int = 0
    identifier: int = 0
    mtu: int | None = None
    quoted: Packet | None = None
    version: Literal[4, 6] = 4
    target: IPv6Address | None = None

    @property
    def is_error(self) -> bool:
        """Whether this reports an error."""
        return self.type in ICMP_ERRORS if self.version == 4 else self.type < ECHO_REQUEST_V6

    @property
    def asks(self) -> bool:
        """Whether this is an echo request."""
        return self.type == (ECHO_REQUEST if self.version == 4 else ECHO_REQUEST_V6)

    @property
    def answers(self) -> bool:
        """Whether this is an echo reply."""
        return self.type == (ECHO_REPLY if self.version == 4 else ECHO_REPLY_V6)

    @property
    def discovers(self) -> bool:
        """Whether this is a message of neighbour discovery."""
        return self.version == 6 and self.type in (SOLICITATION, ADVERTISEMENT)

    @property
    def too_big(self) -> bool:
        """Whether this tells of a smaller MTU."""
        return (self.type, self.code) == (UNREACHABLE, FRAGMENTATION_NEEDED) if self.version == 4 else self.type == TOO_BIG_V6

    @property
    def refuses(self) -> bool:
        """Whether this says that nobody listens there."""
        if self.version == 4:
            return self.type == UNREACHABLE and self.code in (PORT, PROTOCOL)
        return (self.type, self.code) in ((UNREACHABLE_V6, PORT_V6), (PARAMETER_PROBLEM_V6, UNKNOWN_HEADER_V6))

    @property
    def name(self) -> str:
        """What a person calls it."""
        if self.asks or self.answers:
            return "echo request" if self.asks else "echo reply"
        if self.discovers:
            return f"neighbour {'solicitation' if self.type == SOLICITATION else 'advertisement'} for {self.target}"
        names = CODE_NAMES if self.version == 4 else CODE_NAMES_V6
        name = names.get((self.type, self.code), f"type {self.type} code {self.code}")
        return f"{name} (mtu {self.mtu})" if self.mtu is not None else name


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP message (RFC 826)."""

    operation: Literal["request", "reply"]
    sender_mac: str
    sender: Address
    target_mac: str
    target: Address


class Frame(NamedTuple):
    """An Ethernet frame."""

    source: str
    destination: str
    payload: Packet | Arp

    @property
    def size(self) -> int:
        """Bytes behind the Ethernet header."""
        return self.payload.length if isinstance(self.payload, Packet) else ARP_SIZE


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What a VXLAN packet carries behind its UDP header."""

    vni: int
    frame: Frame
    unchecked: bool = False
    """The datagram has no check sum."""
    translated: bool = False
    """Some namespace on the way has rewritten the outer packet."""


class Packet(NamedTuple):
    """An IP packet, with the mark that the kernel keeps beside it while it stays in one namespace.

    A tuple, because a packet is copied at every hop for its TTL, its mark, its addresses.
    """

    source: Address
    destination: Address
    protocol: int
    ttl: int = 64
    tos: int = 0
    df: bool = False
    size: int = 84
    """Bytes of the whole datagram, IP header included, also while it travels in fragments."""
    source_port: int = 0
    destination_port: int = 0
    tcp: TcpFlags = _NO_FLAGS
    mss: int | None = None
    """The maximum segment size a SYN announces."""
    icmp: Icmp | None = None
    tunnel: Tunnel | None = None
    mark: int = 0
    fragment: int | None = None
    """Bytes of its largest fragment, or None while it is whole."""
    alone: bool = False
    """Its other pieces are lost: the first travels on, may be the reason for an error, and is never put together again."""
    checked: bool = False
    """Connection tracking verified the check sum of the whole while it was put together, and its first fragment is still known for it."""
    train: bool = False
    """Several TCP segments of this size travel as one (GSO), which a veth or a bridge lets pass whatever its MTU.

    In a tunnel packet that a bridge sends by itself they are taken apart.
    """

    @property
    def length(self) -> int:
        """Bytes of the largest piece that travels: what an MTU is compared with."""
        return self.fragment or self.size

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.destination.version

    @property
    def header(self) -> int:
        """Bytes of its IP header."""
        return ip_header(self.destination)

    @property
    def key(self) -> FlowKey:
        """The flow this belongs to; for an ICMP error it is meaningless, see `Icmp.quoted`."""
        icmp = self.icmp
        if icmp is not None:
            return FlowKey(int(self.source), int(self.destination), self.protocol, icmp.identifier, icmp.type << 8 | icmp.code)
        return FlowKey(int(self.source), int(self.destination), self.protocol, self.source_port, self.destination_port)

    @property
    def is_error(self) -> bool:
        """Whether this is an ICMP error, which is never answered by another one."""
        return self.icmp is not None and self.icmp.is_error

    def __str__(self) -> str:
        if self.icmp is not None:
            what = f"{'ICMP' if self.icmp.version == 4 else 'ICMPv6'} {self.icmp.name}"
        elif self.tunnel is not None:
            what = f"VXLAN {self.tunnel.vni}"
        else:
            what = PROTOCOL_NAMES.get(self.protocol, f"protocol {self.protocol}").upper()
            flags = "-".join(flag.name or "" for flag in (TcpFlags.SYN, TcpFlags.ACK, TcpFlags.FIN, TcpFlags.RST) if flag in self.tcp)
            what = f"{what} {flags}" if flags else what
        ports = self.protocol in (TCP, UDP)
        source, destination = (f"[{address}]" if ports and address.version == 6 else str(address) for address in self[:2])
        if ports:
            source, destination = f"{source}:{self.source_port}", f"{destination}:{self.destination_port}"
        return f"{what} {source} > {destination}, {self.size} bytes"
