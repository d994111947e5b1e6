"""What the senders of probes have in common: the protocol by which they are driven, what they share, and their sockets.

A client is driven by the prober: `start` sends, `ready` is called when a file of it is readable or writable, `icmp` when an ICMP error
about its packet reaches the namespace. It never blocks.
"""

from __future__ import annotations

import errno
import selectors
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from lab.kernel.packet import Packet
from lab.kernel.sandbox import Sandbox
from lab.probe.kept import Kept
from lab.probe.outcome import IcmpError, Result
from lab.probe.request import Address, Request, TcpRequest, UdpRequest
from lab.probe.track import Tracker

IP_MTU_DISCOVER: Final = 10
IP_PMTUDISC_DONT: Final = 0
IP_PMTUDISC_DO: Final = 2
IPV6_DONTFRAG: Final = 62
UNREACHABLE_ERRNOS: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.ENONET})
READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE


@dataclass(slots=True)
class Answer:
    """What a sender has seen so far; `result` is None while it has seen nothing."""

    result: Result | None = None
    icmp: IcmpError | None = None
    errno: int | None = None
    ttl: int | None = None


class IcmpPort(Protocol):
    """The raw ICMP sockets of a namespace."""

    def send(self, target: Address, message: bytes, *, ttl: int | None, df: bool, mark: int) -> None:
        """Send an ICMP message. Raises OSError when the kernel refuses it."""


@dataclass(slots=True)
class Context:
    """What clients share: the sandbox, the tracker, the selector their files are registered with (data: who is told, by `ready`)."""

    sandbox: Sandbox
    tracker: Tracker
    selector: selectors.DefaultSelector
    kept: Kept = field(default_factory=Kept)
    """The conversations that go on after their probes."""

    def open(self, client: Client, namespace: str, target: Address, kind: int) -> socket.socket:
        """Open a non-blocking socket in a namespace for talking to `target`, registered for reading by `client`."""
        opened = self.sandbox.socket_in(namespace, family_of(target), kind)
        opened.setblocking(False)
        self.selector.register(opened, READ, client)
        return opened

    def resume(self, client: Client, request: TcpRequest | UdpRequest) -> socket.socket | None:
        """Go on with the conversation that a request names, registered for reading by `client`; None when there is none."""
        conversation = self.kept.take(request)
        if conversation is None:
            return None
        with suppress(OSError):  # nothing has come, or the connection's end has: whoever reads next is told
            while conversation.socket.recv(65536, socket.MSG_PEEK):
                conversation.socket.recv(65536)
        self.tracker.resume(client.number, conversation.openings)
        self.selector.register(conversation.socket, READ, client)
        return conversation.socket


def family_of(target: Address) -> socket.AddressFamily:
    """Return the address family of a socket that talks to an address."""
    return socket.AF_INET if target.version == 4 else socket.AF_INET6


class Client(Protocol):
    """One probe under way."""

    answer: Answer

    @property
    def number(self) -> int:
        """The number no other probe of the lab has."""

    @property
    def request(self) -> Request:
        """What it asks."""

    def start(self, context: Context, port: IcmpPort) -> None:
        """Send the request."""

    def ready(self, events: int) -> None:
        """Read or write what can be read or written."""

    def echo(self, packet: Packet, ttl: int) -> None:
        """Take an echo reply that reached the sender."""

    def icmp(self, error: IcmpError, quoted: Packet) -> None:
        """Take an ICMP error that reached the sender."""

    def close(self, context: Context) -> None:
        """Close all files."""


def failed(error: OSError) -> Answer:
    """Return what a sender sees whose packet its own kernel refuses."""
    number = error.errno or errno.EIO
    return Answer("unreachable" if number in UNREACHABLE_ERRNOS else "error", errno=number)


def discover_path_mtu(opened: socket.socket, *, df: bool) -> None:
    """Forbid fragments, or let the kernel make them (ip(7), IP_MTU_DISCOVER; ipv6(7), IPV6_DONTFRAG)."""
    if opened.family == socket.AF_INET:
        opened.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO if df else IP_PMTUDISC_DONT)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, int(df))


def limit_hops(opened: socket.socket, ttl: int | None) -> None:
    """Set the TTL, or hop limit, of what a socket sends; None is what the namespace has by default (`ip_default_ttl`, `hop_limit`)."""
    ttl = -1 if ttl is None else ttl
    if opened.family == socket.AF_INET:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)


def mark_packets(opened: socket.socket, mark: int) -> None:
    """Let a socket's packets bear a firewall mark (socket(7), SO_MARK)."""
    if mark:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)


def icmp_result(error: IcmpError) -> Result:
    """Return how a sender calls an ICMP error: a closed port refuses, everything else is out of reach."""
    return "refused" if error.refuses else "unreachable"
