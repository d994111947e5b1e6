"""Probes by real programs and protocols: curl for HTTP, DNS messages as a stub resolver sends them."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random
from typing import Final

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype

from lab.kernel.packet import Packet
from lab.probe.client import READ, Answer, Context, IcmpPort, failed, icmp_result
from lab.probe.outcome import IcmpError
from lab.probe.request import Address, DnsRequest, HttpRequest
from lab.state.resolv import ResolvConf

CURL_PORTS: Final = 20_000
"""Local ports of curl begin here, below the kernel's ephemeral range (32768), so that each probe has some of its own."""
CURL_PORTS_EACH: Final = 4
CURL_TIMEOUT: Final = 5
"""Seconds after which curl gives up by itself; the prober ends it earlier when its packets are lost."""
_WRITE_OUT: Final = "\n%{http_code} %{remote_ip} %{remote_port}"


@dataclass(slots=True)
class HttpClient:
    """One run of curl(1) in the source's view."""

    number: int
    request: HttpRequest
    answer: Answer = field(default_factory=Answer)
    status: int | None = None
    peer: tuple[str, int] | None = None
    body: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _output: bytearray = field(default_factory=bytearray)

    def start(self, context: Context, port: IcmpPort) -> None:
        """Start curl from local ports of which the tracker knows."""
        first = CURL_PORTS + self.number % 2000 * CURL_PORTS_EACH
        for local in range(first, first + CURL_PORTS_EACH):
            context.tracker.connection(self.number, self.request.source, local)
        environment = () if self.request.use_environment else ("--noproxy", "*")
        self._process = context.sandbox.spawn(
            self.request.source,
            [
                "curl",
                "--silent",
                "--ipv6" if self.request.ipv6 else "--ipv4",
                "--globoff",  # which would take the brackets of an IPv6 address for a range
                "--max-time",
                str(CURL_TIMEOUT),
                "--local-port",
                f"{first}-{first + CURL_PORTS_EACH - 1}",
                "--write-out",
                _WRITE_OUT,
                *environment,
                "--",
                self.request.url,
            ],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        context.selector.register(self._process.stdout, READ, self)

    def ready(self, events: int) -> None:
        """Collect what curl says; at its end, understand it."""
        assert self._process is not None
        assert self._process.stdout is not None
        data = os.read(self._process.stdout.fileno(), 65536)
        if data:
            self._output += data
            return
        code = self._process.wait()
        text, _, summary = self._output.decode(errors="replace").rpartition("\n")
        status, address, port = (*summary.split(" "), "", "")[:3]
        if address:
            self.peer = (address, int(port))
        if code == 0 and status.isdigit():
            self.answer.result, self.status, self.body = "reply", int(status), text
        elif self.answer.result is None:
            refused = code == 7 and self.answer.icmp is None
            self.answer.result = "refused" if refused else "unreachable" if self.answer.icmp else "silence" if code == 28 else "error"

    def echo(self, packet: Packet, ttl: int) -> None:
        """No echo reply is for curl."""

    def icmp(self, error: IcmpError, quoted: Packet) -> None:
        """Note who said it; that the transfer failed, curl says."""
        self.answer.icmp = self.answer.icmp or error

    def close(self, context: Context) -> None:
        """End curl if it still waits."""
        if self._process is None:
            return
        assert self._process.stdout is not None
        context.selector.unregister(self._process.stdout)
        self._process.stdout.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process = None


@dataclass(slots=True)
class DnsClient:
    """The queries of a stub resolver for one name, one after the other, until a name has such addresses.

    One that exists without any is remembered: then the answer is that, whatever comes of the names after it (res_search of the C library).
    """

    number: int
    request: DnsRequest
    view: ResolvConf
    random: Random
    answer: Answer = field(default_factory=Answer)
    answers: tuple[Address, ...] = ()
    rcode: str | None = None
    _exists: bool = False
    _queries: Iterator[str] = field(default_factory=lambda: iter(()))
    _identifier: int = -1
    _context: Context | None = None
    _socket: socket.socket | None = None

    def start(self, context: Context, port: IcmpPort) -> None:
        """Ask for the first name."""
        self._context = context
        self._queries = self.view.queries(self.request.name)
        if not self.view.servers:
            self.answer = Answer("error")
            return
        self._socket = context.open(self, self.request.source, self.view.servers[0], socket.SOCK_DGRAM)
        try:
            self._socket.connect((str(self.view.servers[0]), 53))
            self._ask()
        except OSError as error:
            self.answer = failed(error)

    def ready(self, events: int) -> None:
        """Take an answer; ask for the next name when this one does not exist."""
        assert self._socket is not None
        try:
            message = dns.message.from_wire(self._socket.recv(65536))
        except (BlockingIOError, dns.exception.DNSException):
            return
        except OSError as error:
            if self.answer.result is None:
                self.answer = failed(error)
            return
        if message.id != self._identifier:
            return
        self.rcode = dns.rcode.to_text(message.rcode())
        wanted = dns.rdatatype.from_text(self.request.type)
        self.answers = tuple(ip_address(record.address) for rrset in message.answer if rrset.rdtype == wanted for record in rrset)
        self._exists = self._exists or self.rcode == "NOERROR"
        if (self.rcode == "NXDOMAIN" or not self.answers) and self._ask():
            return
        if self._exists and self.rcode == "NXDOMAIN":
            self.rcode = "NOERROR"
        self.answer = Answer("reply")

    def echo(self, packet: Packet, ttl: int) -> None:
        """No echo reply is for a resolver."""

    def icmp(self, error: IcmpError, quoted: Packet) -> None:
        """Somebody says why there is no answer."""
        if self.answer.result is None:
            self.answer = Answer(icmp_result(error), icmp=error)

    def close(self, context: Context) -> None:
        """Close the socket."""
        if self._socket is not None:
            context.selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _ask(self) -> bool:
        """Send the next query; False when there is none left."""
        name = next(self._queries, None)
        if name is None:
            return False
        assert self._socket is not None
        assert self._context is not None
        query = dns.message.make_query(name, self.request.type, id=self.random.randrange(1 << 16))
        self._identifier = query.id
        self._context.tracker.transaction(self.number, query.id)
        self._socket.send(query.to_wire())
        return True
