"""Bytes are read as the standards write them: packets built here by hand, independent of the reader, are read back field by field."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kernel.decode import decode_ethernet, decode_network
from lab.kernel.packet import Arp, Ethernet, Header, Icmp, Icmpv6, IPv4, IPv6, Packet, Tcp, TcpFlags, Udp, Vxlan

U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
V4 = U32.map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address)
VXLAN_PORT = 4789
PORTS = U16.filter(lambda port: port != VXLAN_PORT)


# Building: from the innermost header outwards, with the standards' field order written a second time.


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


def _build_ipv4(header: IPv4, after: bytes) -> bytes:
    fragment = header.dont_fragment << 14 | header.more_fragments << 13 | header.fragment_offset // 8
    first = struct.pack(">BBHHHBBH", 0x45, header.tos, header.length, header.identification, fragment, header.ttl, header.protocol, 0xBEEF)
    return first + header.source.packed + header.destination.packed + after


def _build_ipv6(header: IPv6, after: bytes) -> bytes:
    word = 6 << 28 | header.traffic_class << 20 | header.flow_label
    first = struct.pack(">IHBB", word, header.length, header.protocol, header.hop_limit)
    return first + header.source.packed + header.destination.packed + after


def _build_tcp(header: Tcp, after: bytes) -> bytes:
    options = b"" if header.mss is None else b"\x01\x01\x03\x03\x07\x02\x04" + header.mss.to_bytes(2, "big") + b"\x00\x00\x00"
    size = (20 + len(options)) // 4 << 4
    ports = struct.pack(">HHII", header.source_port, header.destination_port, header.sequence, header.acknowledgement)
    return ports + struct.pack(">BBHHH", size, header.flags, header.window, 0, 0) + options + after


def build(headers: tuple[Header, ...], payload: bytes) -> bytes:
    data = payload
    for header in reversed(headers):
        match header:
            case Ethernet():
                data = _mac(header.destination) + _mac(header.source) + header.ethertype.to_bytes(2, "big") + data
            case Arp():
                ends = _mac(header.sender_mac) + header.sender.packed + _mac(header.target_mac) + header.target.packed
                data = struct.pack(">HHBBH", 1, 0x0800, 6, 4, header.operation) + ends + data
            case IPv4():
                data = _build_ipv4(header, data)
            case IPv6():
                data = _build_ipv6(header, data)
            case Udp():
                data = struct.pack(">HHHH", header.source_port, header.destination_port, header.length, 0) + data
            case Tcp():
                data = _build_tcp(header, data)
            case Icmp() | Icmpv6():
                data = struct.pack(">BBHI", header.type, header.code, 0, header.rest) + data
            case Vxlan():
                data = bytes((8, 0, 0, 0)) + (header.vni << 8).to_bytes(4, "big") + data
    return data


# Whole packets that are consistent: each header announces what follows it.

ECHO = st.builds(Icmp, st.sampled_from([0, 8]), st.just(0), U32)
TCP = st.builds(Tcp, PORTS, PORTS, U32, U32, U8.map(TcpFlags), U16, st.none() | U16)
Stack = tuple[tuple[Header, ...], bytes]


@st.composite
def _udp(draw: st.DrawFn, payload: bytes) -> Udp:
    return Udp(draw(PORTS), draw(PORTS), 8 + len(payload))


@st.composite
def ip_packets(draw: st.DrawFn) -> Stack:
    payload = draw(st.binary(max_size=64))
    transport: Header = draw(st.one_of(ECHO, TCP, _udp(payload)))
    protocol = {Icmp: 1, Tcp: 6, Udp: 17}[type(transport)]
    after = len(build((transport,), payload))
    if draw(st.booleans()) and not isinstance(transport, Icmp):
        six = IPv6(draw(V6), draw(V6), protocol, draw(U8), after, draw(U8), draw(st.integers(0, 0xFFFFF)))
        return (six, transport), payload
    four = IPv4(
        draw(V4), draw(V4), protocol, draw(U8), draw(U16), 20 + after, draw(U8), draw(st.booleans()), draw(st.booleans()), fragment_offset=0
    )
    return (four, transport), payload


@st.composite
def frames(draw: st.DrawFn, depth: int = 2) -> Stack:
    """Ethernet frames: ARP, an IP packet, or VXLAN with another frame inside."""
    source, destination = draw(MACS), draw(MACS)
    kind = draw(st.sampled_from(["arp", "ip", "vxlan"] if depth else ["arp", "ip"]))
    if kind == "arp":
        arp = Arp(draw(U16), draw(MACS), draw(V4), draw(MACS), draw(V4))
        return (Ethernet(source, destination, 0x0806), arp), b""
    if kind == "ip":
        headers, payload = draw(ip_packets())
        return (Ethernet(source, destination, 0x0800 if isinstance(headers[0], IPv4) else 0x86DD), *headers), payload
    inner, payload = draw(frames(depth - 1))
    size = len(build(inner, payload))
    udp = Udp(draw(U16), VXLAN_PORT, 16 + size)
    vxlan = Vxlan(draw(st.integers(0, 0xFFFFFF)))
    if draw(st.booleans()):
        six = IPv6(draw(V6), draw(V6), 17, draw(U8), 16 + size, draw(U8), 0)
        return (Ethernet(source, destination, 0x86DD), six, udp, vxlan, *inner), payload
    ip = IPv4(draw(V4), draw(V4), 17, draw(U8), draw(U16), 36 + size, draw(U8), draw(st.booleans()), False, 0)
    return (Ethernet(source, destination, 0x0800), ip, udp, vxlan, *inner), payload


@given(frames())
def test_what_was_built_is_read_back(stack: Stack) -> None:
    headers, payload = stack
    assert decode_ethernet(build(headers, payload), vxlan_ports={VXLAN_PORT}) == Packet(headers, payload)


@given(ip_packets())
def test_a_packet_without_ethernet_header_is_told_by_its_version(stack: Stack) -> None:
    headers, payload = stack
    assert decode_network(build(headers, payload)) == Packet(headers, payload)


@given(ip_packets(), st.sampled_from([3, 4, 5, 11, 12]), U8, U32)
def test_an_icmp_error_quotes_the_packet_it_is_about(stack: Stack, type_: int, code: int, rest: int) -> None:
    headers, payload = stack
    if not isinstance(headers[0], IPv4):
        return
    quoted = build(headers, payload)
    error = Icmp(type_, code, rest)
    carrier = IPv4(IPv4Address("10.128.11.126"), headers[0].source, 1, 61, 7, 28 + len(quoted), 0xC0, False, False, 0)
    assert decode_network(build((carrier, error), quoted)) == Packet((carrier, error), quoted, quoted=Packet(headers, payload))


@given(frames(), st.integers(1, 60))
def test_ethernet_padding_is_not_payload(stack: Stack, padding: int) -> None:
    headers, payload = stack
    assert decode_ethernet(build(headers, payload) + bytes(padding), vxlan_ports={VXLAN_PORT}).payload == payload


@given(frames(), st.data())
def test_cut_bytes_keep_the_headers_before_the_cut_and_are_said_to_be_cut(stack: Stack, data: st.DataObject) -> None:
    headers, payload = stack
    frame = build(headers, payload)
    cut = decode_ethernet(frame[: data.draw(st.integers(0, len(frame) - 1))], vxlan_ports={VXLAN_PORT})
    whole = [replace(h, mss=None) if isinstance(h, Tcp) else h for h in headers]
    read = [replace(h, mss=None) if isinstance(h, Tcp) else h for h in cut.headers]
    if read and isinstance(read[-1], Tcp) and read[-1] != whole[len(read) - 1]:  # only its first eight bytes were there
        last = read.pop()
        original = whole[len(read)]
        assert isinstance(last, Tcp)
        assert isinstance(original, Tcp)
        assert (last.source_port, last.sequence) == (original.source_port, original.sequence)
    assert read == whole[: len(read)]
    assert cut.truncated or cut.problem


@given(st.binary(max_size=200), st.sampled_from([None, 0x0800, 0x0806, 0x86DD, 0x88CC]))
def test_no_bytes_make_the_reader_raise(data: bytes, ethertype: int | None) -> None:
    decode_ethernet(data, vxlan_ports={VXLAN_PORT})
    decode_network(data, ethertype, vxlan_ports={VXLAN_PORT})


@given(frames(), st.data())
def test_no_changed_byte_makes_the_reader_raise(stack: Stack, data: st.DataObject) -> None:
    frame = bytearray(build(*stack))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(U8)
    decode_ethernet(bytes(frame), vxlan_ports={VXLAN_PORT})


def test_vxlan_nested_a_thousand_times_is_read_without_recursion() -> None:
    ethernet = Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02", 0x0800)
    data = b""
    for _ in range(1200):
        ip = IPv4(IPv4Address(1), IPv4Address(2), 17, 64, 0, min(36 + len(data), 0xFFFF), 0, False, False, 0)
        data = build((ethernet, ip, Udp(1, VXLAN_PORT, 0), Vxlan(1)), data)
    assert len(decode_ethernet(data, vxlan_ports={VXLAN_PORT}).headers) >= 4 * 1200


def test_an_error_about_an_error_is_not_followed_further() -> None:
    ip = IPv4(IPv4Address(1), IPv4Address(2), 1, 64, 0, 0, 0, False, False, 0)
    data = b""
    for _ in range(2000):
        data = build((ip, Icmp(3, 1, 0)), data)
    packet = decode_network(data)
    assert packet.quoted is not None
    assert packet.quoted.quoted is None


def test_outer_and_inner_tell_the_carrier_from_what_it_carries() -> None:
    nodes = IPv4(IPv4Address("172.18.0.2"), IPv4Address("172.18.0.3"), 17, 64, 0, 0, 0, False, False, 0)
    pods = IPv4(IPv4Address("10.42.0.2"), IPv4Address("10.42.1.2"), 1, 63, 0, 0, 0, False, False, 0)
    ethernet = Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02", 0x0800)
    frame = build((ethernet, nodes, Udp(40000, 4800, 0), Vxlan(100), ethernet, pods, Icmp(8, 0, 0x00070002)), b"")
    packet = decode_ethernet(frame, vxlan_ports={4800})
    assert (packet.outer(IPv4), packet.inner(IPv4), packet.inner(Vxlan)) == (nodes, pods, Vxlan(100))
    echo = packet.inner(Icmp)
    assert echo is not None
    assert (echo.identifier, echo.sequence) == (7, 2)
    assert packet.inner(Tcp) is None
    assert decode_ethernet(frame).inner(IPv4) == nodes, "a port nobody declared to be VXLAN is plain UDP"


def test_a_later_fragment_has_no_transport_header() -> None:
    ip = IPv4(IPv4Address(1), IPv4Address(2), 17, 64, 9, 28, 0, False, True, 1480)
    assert decode_network(build((ip,), b"abcdefgh")) == Packet((ip,), b"abcdefgh")


def test_ip_options_are_passed_over() -> None:
    data = bytearray(build((IPv4(IPv4Address(1), IPv4Address(2), 17, 64, 9, 34, 0, True, False, 0),), b"\x01\x01\x01\x00"))
    data[0] = 0x46
    packet = decode_network(bytes(data) + struct.pack(">HHHH", 53, 54, 10, 0) + b"ok")
    assert packet.inner(Udp) == Udp(53, 54, 10)
    assert packet.payload == b"ok"


def test_ipv6_extension_headers_are_passed_over_and_a_fragment_is_told() -> None:
    hop_by_hop = bytes((44, 0)) + bytes(6)
    fragment = struct.pack(">BBHI", 58, 0, 1, 0xABCD)
    header = IPv6(IPv6Address(1), IPv6Address(2), 0, 64, 24, 0, 0)
    packet = decode_network(build((header,), hop_by_hop + fragment) + build((Icmpv6(128, 0, 5),), b""))
    assert packet.headers == (replace(header, protocol=58, identification=0xABCD, more_fragments=True), Icmpv6(128, 0, 5))


def test_mtu_of_fragmentation_needed_and_packet_too_big() -> None:
    assert Icmp(3, 4, 1000).mtu == 1000
    assert Icmpv6(2, 0, 70000).mtu == 70000
    assert not Icmpv6(129, 0, 0).is_error


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "neither IPv4 nor IPv6"),
        (b"\x45" + bytes(10), "IPv4 header cut: 11 of 20 bytes"),
        (b"\x43" + bytes(30), "IPv4 header of version 4 and 12 bytes"),
        (b"\x45\x00\x00\x10" + bytes(30), "IPv4 packet of 16 bytes with a header of 20"),
        (b"\x60" + bytes(20), "IPv6 header cut: 21 of 40 bytes"),
    ],
)
def test_a_problem_names_the_header_and_the_number(data: bytes, problem: str) -> None:
    assert decode_network(data).problem == problem


def test_vxlan_without_network_identifier_is_a_problem() -> None:
    ip = IPv4(IPv4Address(1), IPv4Address(2), 17, 64, 0, 0, 0, False, False, 0)
    assert decode_network(build((ip, Udp(1, 2, 0)), bytes(8)), vxlan_ports={2}).problem == "VXLAN header without a network identifier"
