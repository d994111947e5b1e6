"""Bytes to headers (`lab.kernel.packet`), in a few microseconds and without ever raising.

Where the bytes end too early or make no sense, `Packet.problem` says what and where, and the headers before that place stand. Checksums are
not verified, because a packet captured on its sender carries unfinished ones (offload).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Final

from lab.kernel.packet import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    Arp,
    Ethernet,
    Header,
    Icmp,
    Icmpv6,
    IPv4,
    IPv6,
    Packet,
    Tcp,
    TcpFlags,
    Udp,
    Vxlan,
)


def decode_ethernet(frame: bytes, *, vxlan_ports: Collection[int] = ()) -> Packet:
    """Decode bytes that begin with an Ethernet header; UDP to one of `vxlan_ports` is opened as VXLAN."""
    return _decode(frame, "Ethernet", vxlan_ports)


def decode_network(packet: bytes, ethertype: int | None = None, *, vxlan_ports: Collection[int] = ()) -> Packet:
    """Decode bytes that begin with a network header; without `ethertype` the version nibble tells IPv4 from IPv6."""
    if ethertype is None:
        ethertype = {4: ETHERTYPE_IPV4, 6: ETHERTYPE_IPV6}.get(packet[0] >> 4 if packet else 0, 0)
        if ethertype == 0:
            return Packet((), packet, problem="neither IPv4 nor IPv6")
    return _decode(packet, _BY_ETHERTYPE.get(ethertype), vxlan_ports)


class _Malformed(Exception):
    """The bytes do not hold the header they should; the message names it. Never leaves this module."""


_Step = tuple[Header, str | None, int, int]
"""A header, the name of the next one (None: payload), where that begins, and where the packet ends by what is known now."""


def _decode(data: bytes, layer: str | None, vxlan_ports: Collection[int], *, inside_error: bool = False) -> Packet:
    headers: list[Header] = []
    quoted: Packet | None = None
    problem: str | None = None
    at, end = 0, len(data)
    while layer is not None:
        try:
            header, layer, at, end = _READERS[layer](data, at, end)
        except _Malformed as malformed:
            problem = str(malformed)
            break
        headers.append(header)
        if isinstance(header, Udp) and header.destination_port in vxlan_ports:
            layer = "VXLAN"
        # An ICMP error is never about another ICMP error (RFC 1122, section 3.2.2), which also bounds the recursion.
        elif isinstance(header, Icmp | Icmpv6) and header.is_error and not inside_error:
            quoted = _decode(data[at:end], "IPv4" if isinstance(header, Icmp) else "IPv6", vxlan_ports, inside_error=True)
    return Packet(tuple(headers), data[at : min(end, len(data))], quoted, end > len(data), problem)


_ETHERNET = Struct("!6s6sH")
_ARP = Struct("!HHBBH6s4s6s4s")
_IPV4 = Struct("!BBHHHBBH4s4s")
_IPV6 = Struct("!IHBB16s16s")
_PORTS = Struct("!HHI")
_UDP = Struct("!HHHH")
_TCP = Struct("!HHIIBBHHH")
_ICMP = Struct("!BBHI")
_VXLAN = Struct("!B3xI")
_EXTENSION = Struct("!BBHI")
_U16 = Struct("!H")


def _need(data: bytes, at: int, end: int, size: int, name: str) -> None:
    """Demand `size` bytes at `at`, inside both the captured bytes and what the header before allowed."""
    here = min(len(data), end) - at
    if here < size:
        raise _Malformed(f"{name} header cut: {max(here, 0)} of {size} bytes")


def _ethernet(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 14, "Ethernet")
    destination, source, ethertype = _ETHERNET.unpack_from(data, at)
    return Ethernet(source.hex(":"), destination.hex(":"), ethertype), _BY_ETHERTYPE.get(ethertype), at + 14, end


def _arp(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 28, "ARP")
    hardware, protocol, hardware_size, protocol_size, operation, sender_mac, sender, target_mac, target = _ARP.unpack_from(data, at)
    if (hardware, protocol, hardware_size, protocol_size) != (1, ETHERTYPE_IPV4, 6, 4):
        raise _Malformed("ARP not for IPv4 over Ethernet")
    header = Arp(operation, sender_mac.hex(":"), IPv4Address(sender), target_mac.hex(":"), IPv4Address(target))
    return header, None, at + 28, at + 28


def _ipv4(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 20, "IPv4")
    first, tos, length, identification, fragment, ttl, protocol, _, source, destination = _IPV4.unpack_from(data, at)
    size = (first & 0x0F) * 4
    if first >> 4 != 4 or size < 20:
        raise _Malformed(f"IPv4 header of version {first >> 4} and {size} bytes")
    # A packet that is still to be segmented may carry length 0 on its sender (Linux, include/linux/ip.h: iph_totlen).
    if length and length < size:
        raise _Malformed(f"IPv4 packet of {length} bytes with a header of {size}")
    _need(data, at, end, size, "IPv4")
    offset = (fragment & 0x1FFF) * 8
    header = IPv4(
        IPv4Address(source),
        IPv4Address(destination),
        protocol,
        ttl,
        identification,
        length,
        tos,
        bool(fragment & 0x4000),
        bool(fragment & 0x2000),
        offset,
    )
    return header, None if offset else _BY_PROTOCOL.get(protocol), at + size, at + length if length else end


def _ipv6(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 40, "IPv6")
    first, length, protocol, hop_limit, source, destination = _IPV6.unpack_from(data, at)
    if first >> 28 != 6:
        raise _Malformed(f"IPv6 header of version {first >> 28}")
    at += 40
    end = at + length if length else end
    identification, offset, more = 0, 0, False
    # Hop-by-hop, routing, fragment and destination options: each begins with the next header's number and its own length (RFC 8200, 4).
    while protocol in (0, 43, 44, 60) and not offset:
        _need(data, at, end, 8, "IPv6 extension")
        following, units, fragment, word = _EXTENSION.unpack_from(data, at)
        if protocol == 44:
            identification, offset, more = word, fragment & 0xFFF8, bool(fragment & 1)
            units = 0
        _need(data, at, end, 8 + 8 * units, "IPv6 extension")
        protocol, at = following, at + 8 + 8 * units
    header = IPv6(
        IPv6Address(source),
        IPv6Address(destination),
        protocol,
        hop_limit,
        length,
        first >> 20 & 0xFF,
        first & 0xFFFFF,
        identification,
        more,
        offset,
    )
    return header, None if offset else _BY_PROTOCOL.get(protocol), at, end


def _udp(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 8, "UDP")
    source_port, destination_port, length, _ = _UDP.unpack_from(data, at)
    return Udp(source_port, destination_port, length), None, at + 8, end


def _tcp(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 8, "TCP")
    if min(len(data), end) - at < 20:
        source_port, destination_port, sequence = _PORTS.unpack_from(data, at)
        return Tcp(source_port, destination_port, sequence, 0, TcpFlags(0), 0), None, min(len(data), end), end
    source_port, destination_port, sequence, acknowledgement, size, flags, window, _, _ = _TCP.unpack_from(data, at)
    size = (size >> 4) * 4
    if size < 20:
        raise _Malformed(f"TCP header of {size} bytes")
    options = data[at + 20 : min(at + size, end)]
    header = Tcp(source_port, destination_port, sequence, acknowledgement, TcpFlags(flags), window, _mss(options) if options else None)
    return header, None, at + size, end


def _mss(options: bytes) -> int | None:
    """Return the maximum segment size among TCP options (RFC 9293, section 3.2: kind 2, length 4)."""
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:  # no-operation, a single byte
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2:
            return None
        if options[at] == 2 and options[at + 1] == 4 and at + 4 <= len(options):
            return int(_U16.unpack_from(options, at + 2)[0])
        at += options[at + 1]
    return None


def _icmp(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 8, "ICMP")
    type_, code, _, rest = _ICMP.unpack_from(data, at)
    return Icmp(type_, code, rest), None, at + 8, end


def _icmpv6(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 8, "ICMPv6")
    type_, code, _, rest = _ICMP.unpack_from(data, at)
    return Icmpv6(type_, code, rest), None, at + 8, end


def _vxlan(data: bytes, at: int, end: int) -> _Step:
    _need(data, at, end, 8, "VXLAN")
    flags, word = _VXLAN.unpack_from(data, at)
    if not flags & 0x08:
        raise _Malformed("VXLAN header without a network identifier")
    return Vxlan(word >> 8), "Ethernet", at + 8, end


_READERS: Final[dict[str, Callable[[bytes, int, int], _Step]]] = {
    "Ethernet": _ethernet,
    "ARP": _arp,
    "IPv4": _ipv4,
    "IPv6": _ipv6,
    "UDP": _udp,
    "TCP": _tcp,
    "ICMP": _icmp,
    "ICMPv6": _icmpv6,
    "VXLAN": _vxlan,
}
_BY_ETHERTYPE: Final = {ETHERTYPE_IPV4: "IPv4", ETHERTYPE_ARP: "ARP", ETHERTYPE_IPV6: "IPv6"}
_BY_PROTOCOL: Final = {PROTOCOL_ICMP: "ICMP", PROTOCOL_TCP: "TCP", PROTOCOL_UDP: "UDP", PROTOCOL_ICMPV6: "ICMPv6"}
