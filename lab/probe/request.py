"""What a probe asks: one packet or one exchange, from a namespace to an address."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class PingRequest:
    """One ICMP echo request; `size` is its payload in bytes, `df` forbids fragmentation; without `ttl` it has its namespace's."""

    source: str
    target: Address
    size: int = 56
    df: bool = False
    ttl: int | None = None
    mark: int = 0
    """Firewall mark of the socket, here and below."""


@dataclass(frozen=True, slots=True)
class TcpRequest:
    """A TCP connection, a short request and its answer of at least `answer` bytes.

    `stray`: before the request, a segment far outside the window is sent where the server is. `keep`: the connection stays open under this
    name; `over`: the request goes over the connection that is kept under this name, between the same two and to the same port.
    """

    source: str
    target: Address
    port: int
    mark: int = 0
    answer: int = 0
    stray: bool = False
    keep: str = ""
    over: str = ""


@dataclass(frozen=True, slots=True)
class UdpRequest:
    """One UDP datagram of `size` bytes and its echo.

    `keep`: its socket, with the port it sends from, stays open under this name; `over`: it is sent from the socket that is kept so.
    """

    source: str
    target: Address
    port: int
    size: int = 32
    df: bool = False
    mark: int = 0
    keep: str = ""
    over: str = ""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP GET by curl, in the view of the source: its /etc/resolv.conf and, if wanted, its proxy variables.

    Names are resolved to addresses of one version of IP; whoever writes an IPv6 address in the URL wants IPv6.
    """

    source: str
    url: str
    use_environment: bool = True
    ipv6: bool = False


@dataclass(frozen=True, slots=True)
class DnsRequest:
    """A query for the addresses of a name as the source's stub resolver makes it: search list, ndots, name servers of its resolv.conf."""

    source: str
    name: str
    type: Literal["A", "AAAA"] = "A"


@dataclass(frozen=True, slots=True)
class TracerouteRequest:
    """UDP datagrams with growing TTL, all at once."""

    source: str
    target: Address
    max_hops: int = 12


Request = PingRequest | TcpRequest | UdpRequest | HttpRequest | DnsRequest | TracerouteRequest
