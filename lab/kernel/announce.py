"""Announcing an address: a gratuitous ARP, or an unsolicited neighbour advertisement, as whoever takes over an address sends it.

A neighbour that has an entry for the address takes the new MAC address from it (`arp_process`, `ndisc_recv_na`); one that has none makes
one if its `arp_accept`, or `accept_untracked_na`, says so. With `arp_notify` a kernel announces addresses by itself when a device gets
another MAC address or comes up. Sources: RFC 5227, RFC 4861 (7.2.6), arping(8) `-U`, net/ipv4/arp.c.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from lab.errors import InputError
from lab.kernel.handles import Namespaces
from lab.kernel.packet import ETHERTYPE_ARP, ETHERTYPE_IPV6
from lab.kernel.stillness import queued

AF_PACKET: Final = 17
_PATIENCE: Final = 1_000_000_000
"""Nanoseconds in which the queues of a machine empty for a moment, or it never rests."""
_EVERYBODY: Final = b"\xff" * 6
_ALL_NODES: Final = IPv6Address("ff02::1")
_ALL_NODES_MAC: Final = bytes.fromhex("333300000001")
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
"""Hardware type, protocol type, their lengths, operation, sender's MAC and IP address, target's."""
_ETHERNET, _REQUEST, _IPV4 = 1, 1, 0x0800
_ICMPV6, _ADVERTISEMENT, _OVERRIDE, _TARGET_MAC = 58, 136, 0x2000_0000, 2


def announce(sandbox: Namespaces, namespace: str, device: str, address: IPv4Address | IPv6Address) -> None:
    """Say on a device's link, once, that an address is at the device's MAC address.

    When it returns, whoever hears it has heard it, unless the machine is too busy to empty its queues. Raises InputError where
    there is no such device, or it is down.
    """
    try:
        with sandbox.socket_in(namespace, AF_PACKET, socket.SOCK_RAW) as opened:
            opened.bind((device, 0))
            mac: bytes = opened.getsockname()[4]
            opened.send(_arp(mac, address) if isinstance(address, IPv4Address) else _advertisement(mac, address))
    except OSError as error:
        raise InputError(f"{namespace}:{device} cannot announce {address}: {error.strerror}", hint="is it there, and up?") from None
    deadline = time.monotonic_ns() + _PATIENCE
    while queued() and time.monotonic_ns() < deadline:
        os.sched_yield()


def _arp(mac: bytes, address: IPv4Address) -> bytes:
    """A request in which sender and target are the same, as the kernel's own announcements are (`inetdev_send_gratuitous_arp`)."""
    message = _ARP.pack(_ETHERNET, _IPV4, 6, 4, _REQUEST, mac, address.packed, bytes(6), address.packed)
    return _EVERYBODY + mac + struct.pack("!H", ETHERTYPE_ARP) + message


def _advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """An advertisement that nobody asked for and that overrides what is known, to all nodes."""
    bare = struct.pack("!BBHI16sBB6s", _ADVERTISEMENT, 0, 0, _OVERRIDE, address.packed, _TARGET_MAC, 1, mac)
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!II", len(bare), _ICMPV6)
    message = bare[:2] + struct.pack("!H", _checksum(pseudo + bare)) + bare[4:]
    header = struct.pack("!IHBB16s16s", 6 << 28, len(message), _ICMPV6, 255, address.packed, _ALL_NODES.packed)
    return _ALL_NODES_MAC + mac + struct.pack("!H", ETHERTYPE_IPV6) + header + message


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
