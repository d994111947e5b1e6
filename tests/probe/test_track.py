"""Whose packet is it? The tracker tells by what NAT and tunnels leave alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from lab.kernel.packet import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from lab.probe.glance import glance, timestamps
from lab.probe.outcome import Part
from lab.probe.track import Tracker, cookie

ETHERNET = bytes(12) + b"\x08\x00"
addresses = st.integers(1, 2**32 - 2).map(IPv4Address)
ports = st.integers(1024, 65535)
numbers = st.integers(1, 2**32 - 1)
words = st.integers(0, 2**32 - 1)
SYN, ACK, RST = 2, 16, 4


def ip(source: IPv4Address, destination: IPv4Address, protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet (RFC 791); nobody here looks at its checksum."""
    header = bytes((0x45, 0)) + (20 + len(payload)).to_bytes(2, "big") + bytes((0, 0, 0, 0, 64, protocol, 0, 0))
    return header + source.packed + destination.packed + payload


def icmp(kind: int, identifier: int, sequence: int, data: bytes) -> bytes:
    return bytes((kind, 0, 0, 0)) + identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big") + data


def udp(source: int, destination: int, data: bytes) -> bytes:
    return source.to_bytes(2, "big") + destination.to_bytes(2, "big") + (8 + len(data)).to_bytes(2, "big") + bytes(2) + data


def tcp(source: int, destination: int, sequence: int, acknowledgement: int, flags: int, clocks: tuple[int, int] | None) -> bytes:
    """A TCP segment (RFC 9293), with timestamps (RFC 7323) behind some other options, or without any."""
    options = b"\x02\x04\x05\xb4\x01\x01\x08\x0a" + b"".join(clock.to_bytes(4, "big") for clock in clocks) if clocks else b""
    head = source.to_bytes(2, "big") + destination.to_bytes(2, "big") + sequence.to_bytes(4, "big") + acknowledgement.to_bytes(4, "big")
    return head + bytes(((20 + len(options)) // 4 << 4, flags)) + bytes(6) + options


def in_vxlan(packet: bytes) -> bytes:
    """The packet inside of a VXLAN packet (RFC 7348) of vx-submariner."""
    header = b"\x08\0\0\0" + (100).to_bytes(3, "big") + b"\0"
    return ip(IPv4Address("172.18.1.3"), IPv4Address("172.18.1.2"), 17, udp(50000, 4800, header + ETHERNET + packet))


def in_vxlan_over_ipv6(packet: bytes) -> bytes:
    """The packet inside of a packet of vxlan-v6.calico (RFC 8200: the header has no check sum and a fixed length)."""
    data = udp(50000, 4789, b"\x08\0\0\0" + (4096).to_bytes(3, "big") + b"\0" + ETHERNET + packet)
    ends = IPv6Address("fd00:18::3").packed + IPv6Address("fd00:18::2").packed
    return b"\x60\0\0\0" + len(data).to_bytes(2, "big") + bytes((17, 64)) + ends + data


def too_big(packet: bytes) -> bytes:
    """The ICMPv6 error of a router whose next link is too small for a packet (RFC 4443, section 3.2)."""
    data = bytes((2, 0, 0, 0)) + (1400).to_bytes(4, "big") + packet
    ends = IPv6Address("fd00:18::1").packed + IPv6Address("fd00:18::3").packed
    return b"\x60\0\0\0" + len(data).to_bytes(2, "big") + bytes((58, 64)) + ends + data


def about(packet: bytes) -> bytes:
    """The ICMP error that a router would send about a packet: it quotes at least eight bytes behind the header (RFC 792)."""
    return ip(IPv4Address("10.128.11.126"), IPv4Address("172.18.1.3"), 1, bytes((3, 1)) + bytes(6) + packet)


def owner(tracker: Tracker, packet: bytes, namespace: str = "n") -> tuple[int, Part] | None:
    look = glance(packet, 0, ETHERTYPE_IPV6 if packet[:1] and packet[0] >> 4 == 6 else ETHERTYPE_IPV4)
    return tracker.identify(namespace, packet, look) if look else None


@given(numbers, addresses, addresses, words.map(lambda word: word & 0xFFFF), words.map(lambda word: word & 0xFFFF))
def test_an_echo_is_known_by_its_cookie_whatever_nat_makes_of_it(
    number: int, source: IPv4Address, destination: IPv4Address, identifier: int, sequence: int
) -> None:
    tracker = Tracker(frozenset())
    tracker.echo(number, 1, 2)
    for kind, part in ((8, "request"), (0, "answer")):
        packet = ip(source, destination, 1, icmp(kind, identifier, sequence, cookie(number) + b"\xaa" * 48))
        assert owner(tracker, packet) == (number, part)
        assert owner(tracker, in_vxlan(packet)) == (number, part)
        assert owner(tracker, in_vxlan_over_ipv6(packet)) == (number, part)
        assert owner(tracker, too_big(in_vxlan_over_ipv6(packet))) == (number, "icmp-error")
        assert owner(tracker, about(packet)) == (number, "icmp-error")


@given(numbers, addresses, addresses)
def test_an_echo_too_short_for_a_cookie_is_known_by_its_numbers(number: int, source: IPv4Address, destination: IPv4Address) -> None:
    tracker = Tracker(frozenset())
    tracker.echo(number, 0x4C00, 7)
    assert owner(tracker, ip(source, destination, 1, icmp(8, 0x4C00, 7, b""))) == (number, "request")
    assert owner(tracker, ip(source, destination, 1, icmp(8, 0x4C00, 8, b""))) is None


@given(st.lists(numbers, min_size=2, max_size=20, unique=True), ports, st.data())
def test_datagrams_are_told_apart_and_ask_or_answer_by_their_port(probes: list[int], client: int, data: st.DataObject) -> None:
    tracker = Tracker(frozenset({8080}))
    for number in probes:
        tracker.datagram(number, (80,))
    number = data.draw(st.sampled_from(probes))
    a, b = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    payload = cookie(number) + b"\xaa" * 24
    assert owner(tracker, ip(a, b, 17, udp(client, 80, payload))) == (number, "request")
    assert owner(tracker, ip(a, b, 17, udp(client, 8080, payload))) == (number, "request")  # behind a service's DNAT
    assert owner(tracker, ip(b, a, 17, udp(80, client if client != 8080 else 9, payload))) == (number, "answer")
    assert owner(tracker, about(ip(a, b, 17, udp(client, 80, payload)))) == (number, "icmp-error")


def test_a_client_may_have_the_port_of_a_tunnel_by_chance() -> None:
    tracker = Tracker(frozenset())
    tracker.datagram(1, (80,))
    answer = ip(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1"), 17, udp(80, 4800, cookie(1) + bytes(24)))
    assert owner(tracker, answer) == (1, "answer")


@given(words, words, st.integers(0, 2000), st.integers(0, 2**20 - 1), ports, ports, addresses, addresses)
def test_a_connection_is_known_by_its_sequence_from_its_syn_on(
    sequence: int, clock: int, sent: int, later: int, port: int, masqueraded: int, client: IPv4Address, server: IPv4Address
) -> None:
    tracker = Tracker(frozenset())
    tracker.connection(5, "a", port)
    syn = tcp(port, 80, sequence, 0, SYN, (clock, 0))
    assert owner(tracker, ip(client, server, 6, syn), namespace="elsewhere") is None
    assert owner(tracker, ip(client, server, 6, syn), namespace="a") == (5, "request")
    now, here = (clock + later) % 2**32, (sequence + sent) % 2**32
    segment = tcp(masqueraded, 8080, here, 77, ACK, (now, 3))
    answer = tcp(8080, masqueraded, 12345, (here + 1) % 2**32, ACK, (3, now))
    assert owner(tracker, ip(client, server, 6, segment)) == (5, "request")
    assert owner(tracker, in_vxlan(ip(client, server, 6, segment))) == (5, "request")
    assert owner(tracker, in_vxlan_over_ipv6(ip(client, server, 6, segment))) == (5, "request")
    assert owner(tracker, about(ip(client, server, 6, segment)[:28])) == (5, "icmp-error")
    if owner(tracker, ip(server, client, 6, tcp(8080, masqueraded, 12345, 0, 0, None))) is None:  # not by chance its own sequence
        assert owner(tracker, ip(server, client, 6, answer)) == (5, "answer")
        assert owner(tracker, ip(server, client, 6, tcp(80, port, 12345, (here + 1) % 2**32, ACK | RST, None))) == (5, "answer")


@given(words, words, st.integers(0, 2000))
def test_a_strangers_connection_nearby_is_not_taken_for_it(sequence: int, clock: int, distance: int) -> None:
    a, b = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    tracker = Tracker(frozenset())
    tracker.connection(5, "a", 4000)
    owner(tracker, ip(a, b, 6, tcp(4000, 80, sequence, 0, SYN, (clock, 0))), namespace="a")
    near, another = (sequence + distance) % 2**32, (clock + 2**31) % 2**32
    assert owner(tracker, ip(b, a, 6, tcp(4001, 80, near, 0, SYN, (another, 0)))) is None
    assert owner(tracker, ip(b, a, 6, tcp(4001, 80, (sequence + 2**31) % 2**32, (near + 1) % 2**32, ACK, (7, another)))) is None


@given(st.binary(max_size=120))
def test_nothing_that_comes_makes_it_stumble(data: bytes) -> None:
    tracker = Tracker(frozenset({53}))
    tracker.echo(1, 2, 3)
    tracker.connection(2, "n", 80)
    owner(tracker, data)
    owner(tracker, b"\x45" + data)
    owner(tracker, ip(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), 6, data))
    owner(tracker, in_vxlan(data))
    owner(tracker, in_vxlan_over_ipv6(data))
    owner(tracker, b"\x60" + data)
    owner(tracker, about(data))


@given(st.binary(max_size=60))
def test_options_that_make_no_sense_bear_no_timestamps(options: bytes) -> None:
    segment = tcp(1, 2, 3, 4, ACK, None)[:12] + b"\xf0" + bytes(7) + options
    packet = ip(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), 6, segment)
    look = glance(packet, 0, ETHERTYPE_IPV4)
    assert look is not None
    found = timestamps(packet, look)
    assert found is None or len(options) >= 10
