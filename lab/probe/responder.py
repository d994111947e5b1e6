"""Serve the listeners of a state: sockets in many namespaces, one thread.

The sockets live in their namespaces, so that ``ss -ltn`` there shows them; what answers is this thread.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final

from lab.kernel.sandbox import Sandbox
from lab.state import Listener

BACKLOG: Final = 128
MAX_REQUEST: Final = 64 * 1024
LONGEST_ANSWER: Final = 100_000
"""Bytes of an answer's body at most: what a socket takes at once."""
IP_PKTINFO: Final = 8
"""linux/in.h; the socket module lacks it."""
_PKTINFO: Final = struct.Struct("=i4s4s")
"""Index of the link, the local address (to send from, or received on), the address in the header."""

Key = tuple[str, str]
"""Namespace and name of a listener."""


@dataclass(slots=True)
class Responder:
    """The thread that answers, and the sockets it answers on. `start` begins, `close` ends it."""

    sandbox: Sandbox
    listening: dict[Key, tuple[Listener, tuple[socket.socket, ...]]] = field(default_factory=dict)
    accepted: dict[Key, set[socket.socket]] = field(default_factory=dict)
    """The connections of TCP listeners. They end with the listener, as they do when a server's process ends."""
    _selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    _wake: tuple[socket.socket, socket.socket] = field(default_factory=socket.socketpair)
    _thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Begin to answer."""
        self._wake[0].setblocking(False)
        self._selector.register(self._wake[0], selectors.EVENT_READ, self._drain)
        self._thread = threading.Thread(target=self._serve, name="responder", daemon=True)
        self._thread.start()

    def listen(self, namespace: str, listener: Listener, *, ipv6: bool = False) -> None:
        """Open a listener's sockets: that of its address, or, where it has none, one for each version of IP that is there.

        Raises OSError when its port is taken.
        """
        if listener.address is not None:
            families = [socket.AF_INET6 if isinstance(listener.address, IPv6Address) else socket.AF_INET]
        else:
            families = [socket.AF_INET, socket.AF_INET6] if ipv6 else [socket.AF_INET]
        if (namespace, listener.name) in self.listening:
            if len(self.listening[namespace, listener.name][1]) == len(families):
                return
            self.silence(namespace, listener.name)
        servers: list[socket.socket] = []
        self.listening[namespace, listener.name] = (listener, ())
        for family in families:
            servers.append(self._open(namespace, listener, family))
            self.listening[namespace, listener.name] = (listener, tuple(servers))

    def _open(self, namespace: str, listener: Listener, family: socket.AddressFamily) -> socket.socket:
        kind = socket.SOCK_STREAM if listener.protocol == "tcp" else socket.SOCK_DGRAM
        server = self.sandbox.socket_in(namespace, family, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.setblocking(False)
        server.bind((str(listener.address) if listener.address else "", listener.port))
        if listener.protocol == "tcp":
            server.listen(BACKLOG)
            answer: Callable[[socket.socket], None] = _Accepting(self, namespace, listener)
        else:
            note = (socket.IPPROTO_IP, IP_PKTINFO) if family == socket.AF_INET else (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)
            server.setsockopt(*note, 1)
            answer = _Datagrams(listener)
        self._register(server, answer)
        return server

    def silence(self, namespace: str, name: str) -> None:
        """Close a listener's sockets, and the connections it has accepted."""
        _, servers = self.listening.pop((namespace, name), (None, ()))
        for opened in (*servers, *self.accepted.pop((namespace, name), ())):
            self._unregister(opened)

    def close(self) -> None:
        """Stop answering and close every socket."""
        for namespace, name in list(self.listening):
            self.silence(namespace, name)
        self._wake[1].close()
        if self._thread is not None:
            self._thread.join()
        self._wake[0].close()
        self._selector.close()

    def _serve(self) -> None:
        while self._wake[1].fileno() >= 0:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _drain(self, wake: socket.socket) -> None:
        wake.recv(4096)

    def _register(self, opened: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        with self._lock:
            self._selector.register(opened, selectors.EVENT_READ, answer)
        self._wake[1].send(b"!")

    def _unregister(self, opened: socket.socket) -> None:
        self._end(opened)
        self._wake[1].send(b"!")

    def _end(self, opened: socket.socket) -> None:
        """Close a socket. The thread that answers calls this itself, and must not wait for itself to take note."""
        with self._lock:
            if opened.fileno() >= 0:
                self._selector.unregister(opened)
                opened.close()


@dataclass(slots=True)
class _Accepting:
    """Takes connections of a TCP listener."""

    responder: Responder
    namespace: str
    listener: Listener

    def __call__(self, server: socket.socket) -> None:
        try:
            connection, client = server.accept()
        except OSError:  # the client was faster to leave
            return
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_ANSWER * 4)  # the kernel counts more than the bytes
        with self.responder._lock:
            connections = self.responder.accepted.setdefault((self.namespace, self.listener.name), set())
            connections.add(connection)
            answer = _Conversation(self.responder, self.namespace, self.listener.behaviour, client[:2], connections)
            self.responder._selector.register(connection, selectors.EVENT_READ, answer)


@dataclass(slots=True)
class _Conversation:
    """One TCP connection: answers what it gets until the client closes."""

    responder: Responder
    namespace: str
    behaviour: str
    client: tuple[str, int]
    connections: set[socket.socket]
    """Those of its listener, of which it is one until it ends."""
    received: bytearray = field(default_factory=bytearray)

    def __call__(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
            if data:
                self._answer(connection, data)
                return
        except BlockingIOError:
            return
        except OSError:  # reset by the client, or the way back is gone: there is nobody to tell
            pass
        self.connections.discard(connection)
        self.responder._end(connection)

    def _answer(self, connection: socket.socket, data: bytes) -> None:
        if self.behaviour == "echo":
            connection.send(data)
        elif self.behaviour == "http":
            self.received += data
            if len(self.received) > MAX_REQUEST:
                self.received.clear()
            while (end := self.received.find(b"\r\n\r\n")) >= 0:
                head = bytes(self.received[:end])
                del self.received[: end + 4]
                connection.send(http_answer(self.namespace, self.client, head))


@dataclass(slots=True)
class _Datagrams:
    """Answers the datagrams of a UDP listener, from the address they were sent to: its client takes them from no other."""

    listener: Listener

    def __call__(self, server: socket.socket) -> None:
        try:
            data, notes, _, client = server.recvmsg(65536, 256)
            if self.listener.behaviour != "sink":
                server.sendmsg([data], _from_there(notes), 0, client)
        except OSError:  # an ICMP error about an earlier answer
            return


def _from_there(notes: Sequence[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Turn the note of where a datagram was sent to into the wish to answer from there (struct in_pktinfo, ip(7); RFC 3542, section 4)."""
    wishes = []
    for level, kind, note in notes:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            wishes.append((level, kind, _PKTINFO.pack(0, note[4:8], bytes(4))))
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            wishes.append((level, kind, note[:16] + bytes(4)))
    return wishes


def http_answer(namespace: str, client: tuple[str, int], head: bytes) -> bytes:
    """Return the HTTP answer of a listener: who answers, and whom it saw."""
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    said = {"served_by": namespace, "client": client[0], "client_port": client[1], "request": lines[0], "host": headers.get("host", "")}
    body = json.dumps(said).encode() + b"\n"
    asked = re.search(r"[?&]bytes=(\d{1,6})\b", lines[0])
    if asked:
        body = body.ljust(min(int(asked[1]), LONGEST_ANSWER))
    close = headers.get("connection", "").lower() == "close"
    connection = "close" if close else "keep-alive"
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n".encode()
        + body
    )
