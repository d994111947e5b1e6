"""Only what is lost on a healthy network too is left out."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from lab.kernel.bpf import DropEvent, noise
from lab.kernel.packet import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6


def drop(reason: str, protocol: int, data: bytes) -> DropEvent:
    return DropEvent(1, 2, 3, 3, reason, "somewhere", 4, 0, len(data), protocol, False, data)


def ipv4(protocol: int, after: bytes, destination: str = "10.0.0.2") -> bytes:
    first = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(after), 1, 0, 64, protocol, 0)
    return first + ip_address("10.0.0.1").packed + ip_address(destination).packed + after


def ipv6(protocol: int, destination: str, after: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(after), protocol, 255) + ip_address("fe80::1").packed + ip_address(destination).packed + after


def icmp(kind: int) -> bytes:
    return bytes((kind, 0, 0, 0, 0, 7, 0, 1))


UDP = struct.pack("!HHHH", 1000, 9, 8, 0)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(drop("NO_SOCKET", ETHERTYPE_IPV4, ipv4(1, icmp(0))), id="echo reply whose copy went to a raw socket"),
        pytest.param(drop("NOT_SPECIFIED", ETHERTYPE_IPV4, ipv4(2, bytes(8), "224.0.0.22")), id="IPv4 membership report"),
        pytest.param(drop("NOT_SPECIFIED", ETHERTYPE_IPV6, ipv6(58, "ff02::16", icmp(143))), id="multicast listener report"),
        pytest.param(drop("NOT_SPECIFIED", ETHERTYPE_IPV6, ipv6(58, "ff02::2", icmp(133))), id="router solicitation"),
        pytest.param(drop("NOT_SPECIFIED", ETHERTYPE_IPV6, ipv6(58, "fe80::2", icmp(136))), id="neighbour advertisement"),
        pytest.param(drop("NOT_SPECIFIED", ETHERTYPE_IPV6, ipv6(17, "ff02::fb", UDP)), id="multicast nobody asked for"),
    ],
)
def test_what_a_healthy_network_drops_is_noise(event: DropEvent) -> None:
    assert noise(event)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(drop("NO_SOCKET", ETHERTYPE_IPV4, ipv4(17, UDP)), id="UDP to a closed port"),
        pytest.param(drop("NO_SOCKET", ETHERTYPE_IPV4, ipv4(17, UDP, "239.1.1.1")), id="UDP to a group beyond the link"),
        pytest.param(drop("NO_SOCKET", ETHERTYPE_IPV4, ipv4(1, icmp(8))), id="echo request"),
        pytest.param(drop("IP_RPFILTER", ETHERTYPE_IPV4, ipv4(1, icmp(0))), id="echo reply refused on its way"),
        pytest.param(drop("NO_SOCKET", ETHERTYPE_IPV6, ipv6(17, "fd00::2", UDP)), id="UDP over IPv6 to a closed port"),
        pytest.param(drop("NOT_SPECIFIED", ETHERTYPE_IPV6, ipv6(58, "fd00::2", icmp(128))), id="IPv6 echo request"),
        pytest.param(drop("NOT_SPECIFIED", ETHERTYPE_ARP, b""), id="an ARP request cut to nothing"),
        pytest.param(drop("NO_SOCKET", ETHERTYPE_IPV4, b"\x45"), id="a packet cut to its first byte"),
    ],
)
def test_what_may_be_a_loss_is_kept(event: DropEvent) -> None:
    assert noise(event) is None
