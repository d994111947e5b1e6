"""A segment that belongs to a connection and lies far outside its window, as a delayed or mangled packet does."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address
from typing import Final

from lab.kernel.packet import PROTOCOL_TCP, TcpFlags
from lab.kernel.sandbox import Sandbox
from lab.probe.clients import internet_checksum
from lab.probe.outcome import Sighting

FAR: Final = 1 << 30
"""How far beyond the window it lies: half of what sequence numbers can tell apart is the past (RFC 9293, 3.4)."""
_PAYLOAD: Final = b"stray"
_HEADER: Final = struct.Struct("!HHIIBBHHH")


def send_stray(sandbox: Sandbox, answer: Sighting) -> None:
    """Send one data segment from where a SYN-ACK was sent, to where it went; `answer` is that SYN-ACK as it left its server.

    It goes out by a raw socket, so that it takes the same way through the same NAT. Raises OSError when the kernel refuses it.
    """
    look = answer.frame.look()
    assert look is not None
    segment = _segment(answer.frame.data[look.start :], answer)
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, PROTOCOL_TCP, 0, _octets(answer.source), _octets(answer.destination)
    )  # the kernel fills in length, identification and check sum (raw(7))
    with sandbox.socket_in(answer.namespace, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(header + segment, (str(answer.destination), 0))


def _segment(syn_ack: bytes, answer: Sighting) -> bytes:
    source, destination, sequence, acknowledged = struct.unpack_from("!HHII", syn_ack)
    fields = [source, destination, (sequence + 1 + FAR) & 0xFFFFFFFF, acknowledged, 5 << 4, int(TcpFlags.PSH | TcpFlags.ACK), 512, 0, 0]
    bare = _HEADER.pack(*fields) + _PAYLOAD
    pseudo = _octets(answer.source) + _octets(answer.destination) + struct.pack("!HH", PROTOCOL_TCP, len(bare))
    fields[7] = internet_checksum(pseudo + bare)
    return _HEADER.pack(*fields) + _PAYLOAD


def _octets(address: object) -> bytes:
    assert isinstance(address, IPv4Address)
    return address.packed
