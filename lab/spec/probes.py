"""Probes that a phase sends, and what each must find.

`from` and `to` name namespaces; ``*`` and ``?`` stand for any characters (``c1-*-a``). `to` may also be an address, or
``service/NAME`` for a service's ClusterIP, that of IPv4 unless a probe says `ipv6`. Every pair is probed (a namespace is not paired with
itself). An interface is written ``NAMESPACE:DEVICE``, with the same wildcards.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lab.spec.values import AnyAddress, DnsName, Hop, InterfaceName, Line, Many, Model, Name, Pair, Port, Selector, Url

Result = Literal["reply", "refused", "unreachable", "stalled", "silence", "error"]
IcmpCode = Literal[
    "net-unreachable",
    "host-unreachable",
    "port-unreachable",
    "protocol-unreachable",
    "fragmentation-needed",
    "admin-prohibited",
    "host-prohibited",
    "net-prohibited",
    "ttl-exceeded",
    "no-route",
    "addr-unreachable",
    "policy-fail",
    "reject-route",
    "packet-too-big",
]
SeenAs = Literal["sender", "node", "another"] | AnyAddress | InterfaceName
"""The source address that the receiver sees: the sender's own, its node's, any but the sender's, a given one, or an interface's."""
Selectors = Annotated[Many[Selector], Field(min_length=1)]


class CounterChange(Model):
    """By how much a counter of a namespace moves while the probe runs alone."""

    node: Selector
    """The namespace, by its name."""
    name: Line
    """The counter, as nstat(8) calls it: `IcmpOutDestUnreachs`; before `IPReversePathFilter` its `TcpExt` may be left out."""
    change: int
    """By how much it moves."""


class ProbeExpectation(Model):
    """What all probes have: who sends, to whom, and what must be seen."""

    source: Selectors = Field(alias="from")
    """Who sends: namespaces, in which `*` and `?` stand for any characters."""
    to: Selectors
    """To whom: namespaces, addresses, or services as `service/NAME`. Every pair is probed."""
    ipv6: bool = False
    """Whether namespaces and services are reached at their IPv6 address."""
    result: Result = "reply"
    """What the sender gets."""
    icmp_source: AnyAddress | None = None
    """Who sends the ICMP error."""
    icmp: IcmpCode | None = None
    """Which ICMP error the sender gets."""
    crosses: Many[InterfaceName] = ()
    """Interfaces, as `NAMESPACE:DEVICE`, that the request is seen on, in an outer or an inner header; all of them. For the namespace
    may stand {node}, {peer_node}, {gateway} or {peer_gateway}: the sender's or the target's node, or the gateway of its cluster."""
    never_crosses: Many[InterfaceName] = ()
    """Interfaces that nothing of the probe is seen on. Counts only where such a probe was seen in another phase, and this one left."""
    reply_crosses: Many[InterfaceName] = ()
    """Interfaces that the answer is seen on, all of them."""
    seen_as: SeenAs | None = None
    """The source address of the request where it was received last: the sender's own, its node's, any but the sender's, a given
    address, or an interface's (`NAMESPACE:DEVICE`)."""
    lost_at: InterfaceName | None = None
    """The interface where request or answer ends."""
    counter: CounterChange | None = None
    """A counter that moves. The probe is sent alone."""

    @model_validator(mode="after")
    def _agrees_with_its_result(self) -> ProbeExpectation:
        if self.result == "reply":
            for key in ("icmp", "icmp_source", "lost_at"):
                if getattr(self, key) is not None:
                    raise ValueError(f"a probe that gets its reply has no `{key}`; `result` says what it gets instead")
        return self


class Ping(ProbeExpectation):
    """ICMP echo."""

    ttl: Annotated[int, Field(ge=1, le=255)] | None = None
    """The TTL of the answer as the sender gets it."""
    size: Annotated[int, Field(ge=0, le=65507)] = 56
    """Bytes of data in the request."""
    df: bool = False
    """Whether routers may not fragment it."""


class Tcp(ProbeExpectation):
    """A TCP connection, and one request and its answer over it."""

    port: Port = 8080
    """The port to connect to."""
    bytes: Annotated[int, Field(ge=1, le=100000)] | None = None
    """How many bytes of answer are asked for. `stalled` is a connection that is open and whose data do not come. By default a few hundred;
    from 1500 on they are segments of full size."""
    keep: Name | None = None
    """Keeps each connection open under this name after the probe, for `over` in a later phase or step."""
    over: Name | None = None
    """Asks over the connections that an earlier `tcp` keeps under this name, between the same pairs, instead of opening new ones. An answer
    is a `reply`, a reset is `refused`, and `stalled` is when neither comes."""
    stray: bool = False
    """Whether the server's kernel, once the connection is open, is made to send one segment that lies far outside the window."""
    errno: Literal["ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EINVAL"] | None = None
    """What connect(2) fails with."""

    @model_validator(mode="after")
    def _is_one_connection(self) -> Tcp:
        if self.keep is not None and self.result != "reply":
            raise ValueError("a connection that is kept has to be open: `keep` goes with `result: reply`")
        if self.stray and self.over is not None:
            raise ValueError("`stray` is sent when a connection opens, and that of `over` is open")
        _keeps_or_goes_on(self)
        return self


class Udp(ProbeExpectation):
    """A UDP datagram and its echo."""

    port: Port = 8080
    """The port to send to."""
    size: Annotated[int, Field(ge=8, le=65507)] = 32
    """Bytes of data in the datagram."""
    df: bool = False
    """Whether routers may not fragment it."""
    keep: Name | None = None
    """Keeps each sender's socket, and with it the port it sends from, under this name, for `over` in a later phase or step. Whether an
    answer came does not matter."""
    over: Name | None = None
    """Sends from the sockets that an earlier `udp` keeps under this name, between the same pairs: to every machine on the way it is the
    same flow. By default each datagram comes from a port of its own."""

    @model_validator(mode="after")
    def _is_one_flow(self) -> Udp:
        _keeps_or_goes_on(self)
        return self


def _keeps_or_goes_on(probe: Tcp | Udp) -> None:
    if probe.keep is not None and probe.over is not None:
        raise ValueError("either `keep` or `over`: what a probe goes `over` stays kept")


class Http(Model):
    """An HTTP request by curl's rules: through the proxy of the sender's environment, where NO_PROXY does not exempt it."""

    source: Selectors = Field(alias="from")
    """Who asks: namespaces, in which `*` and `?` stand for any characters."""
    url: Url
    """What is asked for."""
    status: Annotated[int, Field(ge=100, le=599)] | None = 200
    """The status of the answer; null: no answer comes."""
    ipv6: bool = False
    """Whether the name is resolved to IPv6 addresses (`curl -6`), in place of IPv4 ones."""
    use_environment: bool = True
    """Whether the sender heeds its HTTP_PROXY and NO_PROXY."""
    via_proxy: bool | None = None
    """Whether it is a proxy that the sender talks to."""
    seen_as: SeenAs | None = None
    """The client address that the server sees: the sender's own, its node's, any but the sender's, a given address, or an interface's."""


class Dns(Model):
    """A DNS query to the server of the sender's resolv.conf."""

    source: Selectors = Field(alias="from")
    """Who asks: namespaces, in which `*` and `?` stand for any characters."""
    name: DnsName
    """The name whose address is asked for."""
    type: Literal["A", "AAAA"] = "A"
    """The type of record: IPv4 addresses are A, IPv6 addresses AAAA."""
    answers: Many[Selector] | None = None
    """What the answer holds, in any order: addresses, or services as `service/NAME`; empty: nothing. By default anything."""
    rcode: Literal["NOERROR", "NXDOMAIN", "REFUSED", "SERVFAIL"] | None = "NOERROR"
    """The response code; null: no answer comes."""


class Traceroute(Model):
    """Probes with growing TTL, as traceroute(8) sends them."""

    source: Selectors = Field(alias="from")
    """Who sends: namespaces, in which `*` and `?` stand for any characters."""
    to: Selectors
    """To whom: namespaces, addresses, or services as `service/NAME`. Every pair is probed."""
    ipv6: bool = False
    """Whether namespaces and services are reached at their IPv6 address."""
    hops: Many[Hop] = Field(min_length=1)
    """The addresses that answer, in order; `*` where nobody does."""


class Series(Model):
    """Many pings from one to another at once: how many are not answered, and how long the answers take at least."""

    source: Selectors = Field(alias="from")
    """Who sends: namespaces, in which `*` and `?` stand for any characters."""
    to: Selectors
    """To whom: namespaces, addresses, or services as `service/NAME`. Every pair is probed."""
    ipv6: bool = False
    """Whether namespaces and services are reached at their IPv6 address."""
    count: Annotated[int, Field(ge=2, le=200)]
    """How many pings."""
    size: Annotated[int, Field(ge=0, le=1400)] = 56
    """Bytes of data in each echo request."""
    lost: Pair[Annotated[int, Field(ge=0, le=200)]]
    """How many of them may be without an answer: at least, and at most. What chance decides has to have room here."""
    fastest: Annotated[int, Field(ge=0, le=60_000)] = 0
    """How many milliseconds the quickest answer takes at least."""
    slowest: Annotated[int, Field(ge=0, le=60_000)] = 0
    """How many milliseconds the slowest answer takes at least, as where they have to wait for each other."""

    @model_validator(mode="after")
    def _can_be(self) -> Series:
        if not self.lost[0] <= self.lost[1] <= self.count:
            raise ValueError(f"`lost` is at least and at most, of {self.count} pings")
        if self.lost[0] == self.count and (self.fastest or self.slowest):
            raise ValueError("where none is answered, no answer takes its time")
        return self
