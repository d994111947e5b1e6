"""What must be seen in a phase: probes (`lab.spec.probes`), and facts about routes, rules, sysctls, objects and logs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lab.spec.probes import (
    CounterChange,
    Dns,
    Http,
    Ping,
    ProbeExpectation,
    SeenAs,
    Selectors,
    Series,
    Tcp,
    Traceroute,
    Udp,
)
from lab.spec.values import (
    AnyAddress,
    AnyNetwork,
    Destination,
    DeviceName,
    Line,
    Many,
    Model,
    Name,
    NexthopId,
    OneOf,
    Selector,
    SysctlPath,
    SysctlValue,
    TableId,
    Unsigned,
)

__all__ = [
    "AnyExpectation",
    "ChainExpectation",
    "CounterChange",
    "CounterExpectation",
    "DiagnoseExpectation",
    "Dns",
    "Expectation",
    "Http",
    "LogExpectation",
    "ObjectExpectation",
    "Ping",
    "ProbeExpectation",
    "ProgramLogExpectation",
    "RouteExpectation",
    "RuleExpectation",
    "SeenAs",
    "Series",
    "SetExpectation",
    "SysctlExpectation",
    "TableExpectation",
    "Tcp",
    "Traceroute",
    "Udp",
]

Family = Literal["ip", "ip6", "inet", "arp", "bridge"]


class FactExpectation(Model):
    """What all facts about namespaces have."""

    on: Selectors
    """The namespaces it is true of, every one; `*` and `?` stand for any characters."""


class RouteExpectation(FactExpectation):
    """A route of a table is there (with what is stated of it), or is not."""

    to: Destination
    """Where it leads: a network, or `default`."""
    table: TableId = 254
    """Its table; 254 is main."""
    device: DeviceName | None = None
    """Its device. By default any."""
    via: AnyAddress | None = None
    """Its next hop. By default any."""
    nexthop: NexthopId | None = None
    """The nexthop object it names. By default any or none."""
    source: AnyAddress | None = None
    """Its preferred source address. By default any."""
    present: bool = True
    """Whether there is such a route."""


class TableExpectation(FactExpectation):
    """A routing table leads to exactly these destinations, in any order."""

    table: TableId = 254
    """The table; 254 is main."""
    device: DeviceName | None = None
    """Only routes through this device count. By default all."""
    destinations: Many[Destination]
    """Where it leads; `[]`: nowhere, the table is empty."""


class RuleExpectation(FactExpectation):
    """A policy routing rule is there (with what is stated of it), or is not."""

    priority: Unsigned
    """Its priority."""
    table: TableId | None = None
    """The table it looks in. By default any."""
    source: AnyNetwork | None = None
    """The network of the source address. By default any."""
    destination: AnyNetwork | None = None
    """The network of the destination address. By default any."""
    present: bool = True
    """Whether there is such a rule."""


class ChainExpectation(FactExpectation):
    """A chain of nft rules holds exactly these, in this order."""

    family: Family = "ip"
    """The family of its table."""
    table: Line
    """Its table."""
    chain: Line
    """Its name."""
    rules: Many[Line]
    """The rules as nft(8) writes them, without counters and comments."""


class SetExpectation(FactExpectation):
    """A named nft set (in a cluster's terms, an ipset) holds exactly these elements."""

    family: Family = "ip"
    """The family of its table."""
    table: Line
    """Its table."""
    name: Line
    """Its name."""
    elements: Many[Line]
    """The elements, in any order."""


class SysctlExpectation(FactExpectation):
    """A sysctl has a value."""

    name: SysctlPath
    """Its path below /proc/sys, as `net/ipv4/conf/vxlan.calico/rp_filter`."""
    value: SysctlValue
    """Its value."""


class LogExpectation(Model):
    """A component of a cluster logged a line that contains a text, or did not."""

    cluster: Name
    """The cluster."""
    node: Selector | None = None
    """The node; with `*` and `?` for any characters, every node that matches. By default any node."""
    component: Line | None = None
    """Who logged it, as `submariner-routeagent`. By default anybody."""
    contains: Line
    """A part of the line."""
    present: bool = True
    """Whether there is such a line."""


class ProgramLogExpectation(FactExpectation):
    """In this phase a program of the lab wrote a line that contains a text; or it wrote lines, and none of them does."""

    program: Line
    """The program, as `tinyproxy`."""
    file: Line
    """The name of its log, as `access.log`."""
    contains: Line
    """A part of the line."""
    present: bool = True
    """Whether there is such a line."""


class ObjectExpectation(Model):
    """An object of an API server is there, with at least what is stated, or is not."""

    cluster: Name
    """The cluster whose API server has it."""
    kind: Line
    """Its kind, as `Endpoint`."""
    name: Selector
    """Its name; `*` and `?` stand for any characters."""
    has: dict[str, object] = Field(default_factory=dict)
    """What it holds, as `{spec: {subnets: [10.45.0.0/16]}}`; a list is compared entry by entry."""
    present: bool = True
    """Whether there is such an object."""


class DiagnoseExpectation(Model):
    """What a check of `lab diagnose` says."""

    cluster: Name
    """The cluster that is diagnosed."""
    check: Line
    """The check, by its name; `*` is every check that subctl has too."""
    status: Literal["pass", "fail", "warn", "skip", "not-fail"]
    """What it says."""
    contains: Line | None = None
    """A part of its reason."""


class CounterExpectation(FactExpectation):
    """By how much a counter moves over all probes of the phase."""

    name: Line
    """A counter as nstat(8) calls it (before `IPReversePathFilter` its `TcpExt` may be left out), or `rule/NAME` for a line of a
    forwarding policy."""
    change: int | Literal["some"]
    """By how much it moves; `some` is any number but 0."""


AnyExpectation = (
    Ping
    | Tcp
    | Udp
    | Http
    | Dns
    | Traceroute
    | Series
    | RouteExpectation
    | TableExpectation
    | RuleExpectation
    | ChainExpectation
    | SetExpectation
    | SysctlExpectation
    | LogExpectation
    | ProgramLogExpectation
    | ObjectExpectation
    | DiagnoseExpectation
    | CounterExpectation
)


class Expectation(OneOf):
    """Something that must be seen in a phase: exactly one of these, and why."""

    what: ClassVar[str] = "kind of expectation"
    beside: ClassVar[frozenset[str]] = frozenset({"because"})

    ping: Ping | None = None
    """Pings, and what comes of them."""
    tcp: Tcp | None = None
    """TCP connections, and what comes of them."""
    udp: Udp | None = None
    """UDP datagrams, and what comes of them."""
    http: Http | None = None
    """HTTP requests, and what comes of them."""
    dns: Dns | None = None
    """DNS queries, and what comes of them."""
    traceroute: Traceroute | None = None
    """The routers on the way."""
    series: Series | None = None
    """Many pings at once: how many are lost, and how long answers take."""
    route: RouteExpectation | None = None
    """A route is there, or not."""
    table: TableExpectation | None = None
    """Where a routing table leads."""
    rule: RuleExpectation | None = None
    """A policy routing rule is there, or not."""
    chain: ChainExpectation | None = None
    """The rules of an nft chain."""
    set: SetExpectation | None = None
    """The elements of an nft set."""
    sysctl: SysctlExpectation | None = None
    """The value of a sysctl."""
    log: LogExpectation | None = None
    """What a cluster's component logged."""
    program_log: ProgramLogExpectation | None = None
    """What a program of the lab logged."""
    object: ObjectExpectation | None = None
    """An object of an API server."""
    diagnose: DiagnoseExpectation | None = None
    """What a check of `lab diagnose` says."""
    counter: CounterExpectation | None = None
    """By how much a counter moves."""
    because: Annotated[Line, Field(min_length=1)] | None = None
    """Why it is expected, or what it shows: one line for the report."""

    @property
    def body(self) -> AnyExpectation:
        """What the entry expects."""
        value: AnyExpectation = getattr(self, self.kind)
        return value
