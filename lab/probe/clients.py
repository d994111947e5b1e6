"""The senders of probes: each sends its request, tells the tracker its marks, and notes what its sender sees."""

from __future__ import annotations

import errno
import selectors
import socket
from dataclasses import dataclass, field
from typing import Final

from lab.kernel.packet import Packet
from lab.probe.client import READ, WRITE, Answer, Context, IcmpPort, discover_path_mtu, failed, icmp_result, limit_hops, mark_packets
from lab.probe.kept import Conversation
from lab.probe.outcome import IcmpError
from lab.probe.request import PingRequest, TcpRequest, TracerouteRequest, UdpRequest
from lab.probe.track import cookie

_REFUSED: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOPROTOOPT, errno.EPIPE})
"""What a connection fails with whose other end has sent a reset; EPIPE is for who writes after it has been read."""
TRACEROUTE_PORT: Final = 33434


@dataclass(slots=True)
class PingClient:
    """One ICMP echo request (RFC 792)."""

    number: int
    request: PingRequest
    answer: Answer = field(default_factory=Answer)

    def start(self, context: Context, port: IcmpPort) -> None:
        """Send the echo request."""
        # An identifier of its own, as each run of ping(8) has: to connection tracking it is no other ping's flow.
        identifier, sequence = self.number & 0xFFFF, (self.number >> 16) & 0xFFFF
        context.tracker.echo(self.number, identifier, sequence)
        payload = cookie(self.number).ljust(self.request.size, b"\xaa")[: self.request.size]
        kind = 8 if self.request.target.version == 4 else 128  # whose check sum the kernel makes
        header = bytes((kind, 0, 0, 0)) + identifier.to_bytes(2, "big") + sequence.to_bytes(2, "big")
        checksum = internet_checksum(header + payload)
        message = header[:2] + checksum.to_bytes(2, "big") + header[4:] + payload
        try:
            port.send(self.request.target, message, ttl=self.request.ttl, df=self.request.df, mark=self.request.mark)
        except OSError as error:
            self.answer = failed(error)

    def ready(self, events: int) -> None:
        """Do nothing: the namespace's ICMP socket reads for all its pings."""

    def echo(self, packet: Packet, ttl: int) -> None:
        """The reply is here."""
        self.answer = Answer("reply", ttl=ttl)

    def icmp(self, error: IcmpError, quoted: Packet) -> None:
        """Somebody says why there is no reply."""
        if self.answer.result is None:
            self.answer = Answer(icmp_result(error), icmp=error)

    def close(self, context: Context) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class TcpClient:
    """A TCP connection, one HTTP request over it, and the first bytes of an answer, or as many as are asked for."""

    number: int
    request: TcpRequest
    answer: Answer = field(default_factory=Answer)
    connected: bool = False
    strayed: bool = False
    asked: bool = False
    received: int = 0
    _socket: socket.socket | None = None
    _selector: selectors.DefaultSelector | None = None

    def start(self, context: Context, port: IcmpPort) -> None:
        """Send the SYN from a port of which the tracker knows, or the request over a connection that is open."""
        if self.request.over:
            self._socket = context.resume(self, self.request)
            if self._socket is None:
                self.answer = Answer("error")
                return
            self.connected = True
            self.ask()
            return
        opened = context.open(self, self.request.source, self.request.target, socket.SOCK_STREAM)
        self._socket, self._selector = opened, context.selector
        context.selector.modify(opened, WRITE, self)
        mark_packets(opened, self.request.mark)
        opened.bind(("", 0))
        context.tracker.connection(self.number, self.request.source, opened.getsockname()[1])
        code = opened.connect_ex((str(self.request.target), self.request.port))
        if code not in (0, errno.EINPROGRESS):
            self._fail(code)

    def ready(self, events: int) -> None:
        """Write the request once connected, then read."""
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(code)
            return
        try:
            if events & WRITE:
                assert self._selector is not None
                self.connected = True
                self._selector.modify(self._socket, READ, self)
                if not self.request.stray:
                    self.ask()
            elif data := self._socket.recv(65536):
                self.received += len(data)
                if self.received >= self.request.answer:
                    self.answer.result = "reply"
            else:
                self._fail(errno.ECONNRESET)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error.errno or errno.EIO)

    def ask(self) -> None:
        """Send the request over the open connection."""
        assert self._socket is not None
        self.asked = True
        query = b"/?bytes=%d" % self.request.answer if self.request.answer else b"/"
        then = b"keep-alive" if self.request.keep or self.request.over else b"close"
        try:
            self._socket.send(b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n" % (query, str(self.request.target).encode(), then))
        except OSError as error:
            self._fail(error.errno or errno.EIO)

    def echo(self, packet: Packet, ttl: int) -> None:
        """No echo reply is for a connection."""

    def icmp(self, error: IcmpError, quoted: Packet) -> None:
        """Note who said it; that the connection failed, the socket says."""
        if self.answer.icmp is None:
            self.answer.icmp = error

    def close(self, context: Context) -> None:
        """Close the connection, with a reset rather than a farewell that the next probes would see, unless it is to be kept."""
        if self._socket is not None:
            context.selector.unregister(self._socket)
            if (self.request.keep or self.request.over) and self.connected:
                context.kept.put(self.request, Conversation(self._socket, context.tracker.openings(self.number)))
                self._socket = None
                return
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self._socket.close()
            self._socket = None

    def _fail(self, code: int) -> None:
        if self.answer.result is None:
            self.answer.result = "refused" if code in _REFUSED else failed(OSError(code, "")).result
            self.answer.errno = code


@dataclass(slots=True)
class UdpClient:
    """One UDP datagram and its echo."""

    number: int
    request: UdpRequest
    answer: Answer = field(default_factory=Answer)
    _socket: socket.socket | None = None

    def start(self, context: Context, port: IcmpPort) -> None:
        """Send the datagram, from a new port or from that of a conversation."""
        context.tracker.datagram(self.number, (self.request.port,))
        payload = cookie(self.number).ljust(self.request.size, b"\xaa")
        if self.request.over:
            self._socket = context.resume(self, self.request)
            if self._socket is None:
                self.answer = Answer("error")
                return
        else:
            self._socket = context.open(self, self.request.source, self.request.target, socket.SOCK_DGRAM)
            discover_path_mtu(self._socket, df=self.request.df)
            mark_packets(self._socket, self.request.mark)
        try:
            if not self.request.over:
                self._socket.connect((str(self.request.target), self.request.port))
            self._socket.send(payload)
        except OSError as error:
            self.answer = failed(error)

    def ready(self, events: int) -> None:
        """Take the echo, or the error the socket got."""
        assert self._socket is not None
        try:
            self._socket.recv(65536)
            self.answer = Answer("reply")
        except BlockingIOError:
            return
        except OSError as error:
            if self.answer.result is None:
                self.answer.result = "refused" if error.errno == errno.ECONNREFUSED else failed(error).result
            self.answer.errno = error.errno

    def echo(self, packet: Packet, ttl: int) -> None:
        """No echo reply is for a datagram."""

    def icmp(self, error: IcmpError, quoted: Packet) -> None:
        """Somebody says why there is no answer."""
        if self.answer.result != "reply":
            self.answer.result, self.answer.icmp = icmp_result(error), error

    def close(self, context: Context) -> None:
        """Close the socket, unless it is to be kept."""
        if self._socket is not None:
            context.selector.unregister(self._socket)
            if self.request.keep or self.request.over:
                context.kept.put(self.request, Conversation(self._socket))
            else:
                self._socket.close()
            self._socket = None


@dataclass(slots=True)
class TracerouteClient:
    """UDP datagrams of growing TTL; the answers are ICMP errors, told apart by the port they quote."""

    number: int
    request: TracerouteRequest
    answer: Answer = field(default_factory=Answer)
    hops: dict[int, IcmpError] = field(default_factory=dict)
    _socket: socket.socket | None = None

    def start(self, context: Context, port: IcmpPort) -> None:
        """Send all datagrams."""
        self._socket = context.open(self, self.request.source, self.request.target, socket.SOCK_DGRAM)
        context.tracker.datagram(self.number, range(TRACEROUTE_PORT, TRACEROUTE_PORT + self.request.max_hops + 1))
        try:
            for ttl in range(1, self.request.max_hops + 1):
                limit_hops(self._socket, ttl)
                self._socket.sendto(cookie(self.number).ljust(32, b"\xaa"), (str(self.request.target), TRACEROUTE_PORT + ttl))
        except OSError as error:
            self.answer = failed(error)

    def ready(self, events: int) -> None:
        """Discard what a listener on such a port might say."""
        assert self._socket is not None
        try:
            self._socket.recv(65536)
        except OSError:
            return

    def echo(self, packet: Packet, ttl: int) -> None:
        """No echo reply is for a datagram."""

    def icmp(self, error: IcmpError, quoted: Packet) -> None:
        """A hop answers."""
        datagram = quoted.headers[-1]
        ttl = getattr(datagram, "destination_port", 0) - TRACEROUTE_PORT
        self.hops.setdefault(ttl, error)
        last = min((hop for hop, said in self.hops.items() if not said.in_transit), default=None)
        if last is not None and all(hop in self.hops for hop in range(1, last)):
            self.answer = Answer("reply" if self.hops[last].refuses else icmp_result(self.hops[last]), icmp=self.hops[last])

    def close(self, context: Context) -> None:
        """Close the socket."""
        if self._socket is not None:
            context.selector.unregister(self._socket)
            self._socket.close()
            self._socket = None


def internet_checksum(data: bytes) -> int:
    """Return the Internet checksum of a message (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
