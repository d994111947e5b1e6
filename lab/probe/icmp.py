"""The raw ICMP sockets of a namespace: they send its echo requests, and hand replies and errors to the probes they are for."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass, field
from typing import Final, Literal

from lab.kernel.capture import make_room
from lab.kernel.decode import decode_network
from lab.kernel.packet import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Icmpv6, IPv4, IPv6
from lab.probe.client import READ, Client, Context, discover_path_mtu, limit_hops
from lab.probe.glance import glance
from lab.probe.outcome import IcmpError
from lab.probe.request import Address

ECHO_REPLY: Final = 0
ECHO_REPLY_V6: Final = 129
_BUFFER: Final = 1 << 20
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("@9I")
"""What SO_MEMINFO tells; the last number is of messages that found the buffer full (SK_MEMINFO_DROPS, linux/sock_diag.h)."""


@dataclass(slots=True)
class IcmpSocket:
    """Opened on creation, because what it is for happens at once; raw ICMP sockets get every ICMP message that reaches the namespace."""

    context: Context
    namespace: str
    version: Literal[4, 6] = 4
    _socket: socket.socket = field(init=False)
    _mark: int = 0
    _clients: dict[int, Client] = field(default_factory=dict)
    _strangers: list[bytes] = field(default_factory=list)
    """Messages that were nobody's when they came: a connection is known by what the observer has yet to report."""

    def __post_init__(self) -> None:
        family, protocol = (socket.AF_INET, socket.IPPROTO_ICMP) if self.version == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
        opened = self.context.sandbox.socket_in(self.namespace, family, socket.SOCK_RAW, protocol)
        opened.setblocking(False)
        make_room(opened, _BUFFER)
        if self.version == 6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        self.context.selector.register(opened, READ, self)
        self._socket = opened

    @property
    def lost(self) -> int:
        """How many messages found the socket's buffer full: of what they told nobody knows."""
        *_, drops = _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        return int(drops)

    def expect(self, client: Client) -> None:
        """Hand to this client what is about its packets."""
        self._clients[client.number] = client

    def send(self, target: Address, message: bytes, *, ttl: int | None, df: bool, mark: int) -> None:
        """Send an ICMP message. Raises OSError when the kernel refuses it."""
        discover_path_mtu(self._socket, df=df)
        limit_hops(self._socket, ttl)
        if mark != self._mark:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            self._mark = mark
        self._socket.sendto(message, (str(target), 0))

    def ready(self, events: int) -> None:
        """Read everything that came and hand it over; what is still nobody's is tried again the next time."""
        while True:
            try:
                self._strangers.append(self._receive())
            except BlockingIOError:
                break
            except OSError:  # an error about an earlier message, which comes as a message of its own as well
                continue
        self._strangers = [message for message in self._strangers if not self._hand_over(message)]

    def _receive(self) -> bytes:
        """Read a message behind its IP header, which has to be made again for IPv6: the kernel gives the message alone (RFC 3542)."""
        if self.version == 4:
            return self._socket.recv(65536)
        data, notes, _, sender = self._socket.recvmsg(65536, 64)
        hops = next((int.from_bytes(note, sys.byteorder) for _, kind, note in notes if kind == socket.IPV6_HOPLIMIT), 0)
        source = socket.inet_pton(socket.AF_INET6, sender[0].partition("%")[0])
        return b"\x60\0\0\0" + struct.pack("!HBB", len(data), socket.IPPROTO_ICMPV6, hops) + source + bytes(16) + data

    def close(self, context: Context) -> None:
        """Close the socket."""
        context.selector.unregister(self._socket)
        self._socket.close()

    def _hand_over(self, data: bytes) -> bool:
        """Tell the client that a message is for; False when it is for none of them."""
        ethertype = ETHERTYPE_IPV4 if self.version == 4 else ETHERTYPE_IPV6
        look = glance(data, 0, ethertype)
        match = self.context.tracker.identify(self.namespace, data, look) if look else None
        client = self._clients.get(match[0]) if match else None
        if client is None:
            return False
        packet = decode_network(data, ethertype)
        message = packet.inner(Icmp) or packet.inner(Icmpv6)
        header = packet.outer(IPv4) or packet.outer(IPv6)
        assert message is not None
        assert header is not None
        if packet.quoted is not None:
            too_big = (message.type, message.code) == ((3, 4) if self.version == 4 else (2, 0))
            client.icmp(IcmpError(message.type, message.code, header.source, message.mtu if too_big else None), packet.quoted)
        elif message.type == (ECHO_REPLY if self.version == 4 else ECHO_REPLY_V6):
            client.echo(packet, header.ttl if isinstance(header, IPv4) else header.hop_limit)
        return True
