"""Pings from many namespaces at once, one packet each, from raw sockets of this process."""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address

from lab.kernel.sandbox import Sandbox

_SOL_RAW, _ICMP_FILTER = 255, 1
_ONLY_ECHO_REPLIES = struct.pack("=I", 0xFFFF_FFFE)
_QUIET = 5.0
"""Seconds without any answer after which those that are missing count as lost."""


def unanswered(sandbox: Sandbox, sources: Collection[str], targets: Mapping[str, IPv4Address]) -> list[tuple[str, str]]:
    """Ping every target once from every source (not from itself); return the pairs without an answer."""
    waiting: dict[str, set[bytes]] = {}
    with selectors.DefaultSelector() as selector:
        for number, source in enumerate(sources):
            opened = sandbox.socket_in(source, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            opened.setsockopt(_SOL_RAW, _ICMP_FILTER, _ONLY_ECHO_REPLIES)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            opened.setblocking(False)
            request = _echo_request(number)
            waiting[source] = {address.packed for target, address in targets.items() if target != source}
            for target, address in targets.items():
                if target != source:
                    opened.sendto(request, (str(address), 0))
            _receive(opened, waiting[source])
            selector.register(opened, selectors.EVENT_READ, waiting[source])
        while any(waiting.values()):
            ready = selector.select(_QUIET)
            if not ready:
                break
            for key, _ in ready:
                _receive(key.fileobj, key.data)
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    return [(source, target) for source in sources for target, address in targets.items() if address.packed in waiting[source]]


def _receive(opened: object, waiting: set[bytes]) -> None:
    """Take all answers that are there; each names in its IP header whom it comes from."""
    assert isinstance(opened, socket.socket)
    while True:
        try:
            packet = opened.recv(256)
        except BlockingIOError:
            return
        waiting.discard(packet[12:16])


def _echo_request(number: int) -> bytes:
    """An ICMP echo request (RFC 792) without data; `number` is its identifier."""
    body = struct.pack(">HH", number, 1)
    total = 0x0800 + number + 1
    return struct.pack(">BBH", 8, 0, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + body
