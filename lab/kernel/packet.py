"""What a captured packet says: its headers, from the outermost to the innermost (`lab.kernel.decode` reads them from bytes).

A packet is a flat tuple of headers, outermost first, so that a VXLAN packet reads
`(Ethernet, IPv4, Udp, Vxlan, Ethernet, IPv4, Icmp)`. The packet an ICMP error quotes is a packet of its own (`Packet.quoted`): it was not
sent, it is spoken about.

Sources: IEEE 802.3, RFC 826 (ARP), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 768 (UDP), RFC 9293 (TCP), RFC 792 and RFC 1191 (ICMP),
RFC 4443 (ICMPv6), RFC 7348 (VXLAN).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeVar

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_ARP: Final = 0x0806
ETHERTYPE_IPV6: Final = 0x86DD

PROTOCOL_ICMP: Final = 1
PROTOCOL_TCP: Final = 6
PROTOCOL_UDP: Final = 17
PROTOCOL_ICMPV6: Final = 58


class TcpFlags(IntFlag):
    """The control bits of a TCP header (RFC 9293, section 3.1)."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20
    ECE = 0x40
    CWR = 0x80


@dataclass(frozen=True, slots=True)
class Ethernet:
    """An Ethernet header; addresses are lower-case and colon-separated."""

    source: str
    destination: str
    ethertype: int


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP message for IPv4 over Ethernet; `operation` is 1 for a request and 2 for a reply."""

    operation: int
    sender_mac: str
    sender: IPv4Address
    target_mac: str
    target: IPv4Address


@dataclass(frozen=True, slots=True)
class IPv4:
    """An IPv4 header. `length` is the whole packet's and `fragment_offset` this fragment's place, both in bytes."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    ttl: int
    identification: int
    length: int
    tos: int
    dont_fragment: bool
    more_fragments: bool
    fragment_offset: int


@dataclass(frozen=True, slots=True)
class IPv6:
    """An IPv6 header with its extension headers passed over.

    `protocol` is what follows the last extension header; `length` counts the bytes after the fixed header. The fragment fields come from a
    fragment header and stay 0 and False without one.
    """

    source: IPv6Address
    destination: IPv6Address
    protocol: int
    hop_limit: int
    length: int
    traffic_class: int
    flow_label: int
    identification: int = 0
    more_fragments: bool = False
    fragment_offset: int = 0


@dataclass(frozen=True, slots=True)
class Udp:
    """A UDP header; `length` counts header and payload in bytes."""

    source_port: int
    destination_port: int
    length: int


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP header; `mss` is the maximum segment size option (it comes with SYN) or None.

    Of a header cut after eight bytes, as old routers quote it, ports and sequence number are real and the rest is empty.
    """

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: TcpFlags
    window: int
    mss: int | None = None


@dataclass(frozen=True, slots=True)
class _Message:
    """What ICMP headers of both versions have in common; `rest` is the second 32-bit word, read through properties."""

    type: int
    code: int
    rest: int

    @property
    def identifier(self) -> int:
        """Return the identifier of an echo request or reply."""
        return self.rest >> 16

    @property
    def sequence(self) -> int:
        """Return the sequence number of an echo request or reply."""
        return self.rest & 0xFFFF


@dataclass(frozen=True, slots=True)
class Icmp(_Message):
    """An ICMP header."""

    @property
    def mtu(self) -> int:
        """Return the next hop's MTU in bytes out of "fragmentation needed" (RFC 1191)."""
        return self.rest & 0xFFFF

    @property
    def is_error(self) -> bool:
        """Tell whether the message is about another packet, which it then quotes."""
        return self.type in (3, 4, 5, 11, 12)


@dataclass(frozen=True, slots=True)
class Icmpv6(_Message):
    """An ICMPv6 header."""

    @property
    def mtu(self) -> int:
        """Return the MTU in bytes out of "packet too big"."""
        return self.rest

    @property
    def is_error(self) -> bool:
        """Tell whether the message is about another packet, which it then quotes (types below 128)."""
        return self.type < 128


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN header; an Ethernet frame follows."""

    vni: int


Header = Ethernet | Arp | IPv4 | IPv6 | Udp | Tcp | Icmp | Icmpv6 | Vxlan
H = TypeVar("H", Ethernet, Arp, IPv4, IPv6, Udp, Tcp, Icmp, Icmpv6, Vxlan)


@dataclass(frozen=True, slots=True)
class Packet:
    """A decoded packet.

    `payload` is what follows the last header, without Ethernet padding. `quoted` is the packet an ICMP error speaks about. `truncated` says
    that fewer bytes were captured than the headers announce. `problem` says why decoding stopped at a header it should have read.
    """

    headers: tuple[Header, ...]
    payload: bytes
    quoted: Packet | None = None
    truncated: bool = False
    problem: str | None = None

    def outer(self, kind: type[H]) -> H | None:
        """Return the outermost header of one kind."""
        return next((header for header in self.headers if isinstance(header, kind)), None)

    def inner(self, kind: type[H]) -> H | None:
        """Return the innermost header of one kind: for a packet in VXLAN, that of the packet inside."""
        return next((header for header in reversed(self.headers) if isinstance(header, kind)), None)
