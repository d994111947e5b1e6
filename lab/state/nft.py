"""nftables rule sets as data: tables, chains, sets, maps and rules with typed expressions and statements.

The shapes follow libnftables-json(5), one class per JSON object, so that the kernel room can send and read them without
loss, the forwarding model can evaluate them and a person can read them as nft(8) text. What has no class here is kept as
`Opaque`: it survives a round trip, and a packet that meets it gets an unknown verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lab.state.objects import Address, Network
from lab.state.provenance import UNKNOWN, Provenance

Family = Literal["ip", "ip6", "inet", "arp", "bridge", "netdev"]

# -- expressions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Payload:
    """A header field: ``ip saddr``, ``tcp dport``, ``icmp type``; `protocol` may be ``th`` for any transport."""

    protocol: str
    field: str


@dataclass(frozen=True, slots=True)
class Meta:
    """Data about the packet: ``iifname``, ``oifname``, ``mark``, ``l4proto``, ``pkttype``, ..."""

    key: str


@dataclass(frozen=True, slots=True)
class Ct:
    """Connection tracking: ``state``, ``mark``, ``direction``, ``status``, or a tuple member with a direction."""

    key: str
    direction: Literal["original", "reply"] | None = None
    family: Literal["ip", "ip6"] | None = None


@dataclass(frozen=True, slots=True)
class Fib:
    """A routing lookup made by the rule set: `flags` among saddr, daddr, mark, iif, oif; `result` oif, oifname or type."""

    result: Literal["oif", "oifname", "type"]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Numgen:
    """A random or counting number in [offset, offset + modulus)."""

    mode: Literal["random", "inc"]
    modulus: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class TcpOption:
    """A TCP option field, as ``tcp option maxseg size``."""

    option: str
    field: str


@dataclass(frozen=True, slots=True)
class RoutingMtu:
    """``rt mtu``: the MTU of the route as a TCP maximum segment size."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """An address prefix as a value."""

    network: Network


@dataclass(frozen=True, slots=True)
class Range:
    """An inclusive range of values."""

    first: int | Address
    last: int | Address


@dataclass(frozen=True, slots=True)
class SetRef:
    """A named set or map: ``@name``."""

    name: str


@dataclass(frozen=True, slots=True)
class AnonymousSet:
    """A set written in place: ``{ 22, 80 }``."""

    elements: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Concat:
    """Several values joined: ``ip saddr . tcp dport``."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class BinaryOperation:
    """A bitwise operation, as ``meta mark & 0x4000``."""

    operator: Literal["&", "|", "^", "<<", ">>"]
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class MapLookup:
    """``key map @name`` or ``key map { ... }``: the value a map holds for a key."""

    key: Expression
    map: SetRef | AnonymousMap


@dataclass(frozen=True, slots=True)
class AnonymousMap:
    """A map or verdict map written in place."""

    elements: tuple[tuple[Expression, Expression | Verdict], ...]


@dataclass(frozen=True, slots=True)
class OpaqueExpression:
    """An expression this lab has no class for, as canonical JSON text."""

    json: str


Expression = (
    int
    | str
    | bool
    | Address
    | Payload
    | Meta
    | Ct
    | Fib
    | Numgen
    | TcpOption
    | RoutingMtu
    | Prefix
    | Range
    | SetRef
    | AnonymousSet
    | Concat
    | BinaryOperation
    | MapLookup
    | OpaqueExpression
)

# -- statements ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    """A condition; the rest of the rule is evaluated only when it holds. ``in`` tests flags (``ct state``)."""

    left: Expression
    right: Expression
    operator: Literal["==", "!=", "<", ">", "<=", ">=", "in"] = "=="


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts packets and bytes; the numbers are no part of what makes two rules equal."""

    packets: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class NamedCounter:
    """Counts in a counter that has a name, and that several rules may share."""

    name: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """accept, drop, continue, return, or jump and goto with the chain they lead to."""

    kind: Literal["accept", "drop", "continue", "return", "jump", "goto"]
    chain: str | None = None


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """``key vmap @name`` or ``key vmap { ... }``."""

    key: Expression
    map: SetRef | AnonymousMap


@dataclass(frozen=True, slots=True)
class Mangle:
    """Sets packet data: ``meta mark set ...``, ``ct mark set ...``, ``tcp option maxseg size set rt mtu``."""

    key: Meta | Ct | Payload | TcpOption
    value: Expression


@dataclass(frozen=True, slots=True)
class Nat:
    """snat, dnat, masquerade or redirect; `address` and `port` as their kind allows."""

    kind: Literal["snat", "dnat", "masquerade", "redirect"]
    address: Expression | None = None
    port: Expression | None = None
    flags: tuple[str, ...] = ()
    """random, fully-random, persistent."""
    family: Literal["ip", "ip6"] | None = None
    """Which addresses are meant, in a table of family inet."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuses a packet: an ICMP error of the named code (``host-unreachable``), or a TCP reset. None is the default."""

    type: Literal["icmp", "icmpv6", "icmpx", "tcp reset"] | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """Writes a line to the kernel log."""

    prefix: str | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """Holds while a rate is not exceeded (`over`: while it is)."""

    rate: int
    per: Literal["second", "minute", "hour", "day", "week"]
    burst: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class NoTrack:
    """Leaves a packet out of connection tracking."""


@dataclass(frozen=True, slots=True)
class OpaqueStatement:
    """A statement this lab has no class for, as canonical JSON text."""

    json: str


Statement = Match | Counter | NamedCounter | Verdict | VerdictMap | Mangle | Nat | Reject | Log | Limit | NoTrack | OpaqueStatement

# -- rule sets -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NftRule:
    """One rule: its statements are evaluated from left to right until a match fails or a verdict is reached."""

    statements: tuple[Statement, ...]
    comment: str | None = None
    handle: int | None = field(default=None, compare=False)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; a base chain has `type`, `hook` and `priority`, and `policy` decides what reaches its end."""

    name: str
    rules: tuple[NftRule, ...] = ()
    type: Literal["filter", "nat", "route"] | None = None
    hook: Literal["prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"] | None = None
    priority: int | None = None
    policy: Literal["accept", "drop"] | None = None
    devices: tuple[str, ...] = ()
    """At the hooks ingress and egress, whose frames it sees."""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an element of a set stays in it, in seconds."""

    element: Expression
    timeout: int | None = None
    """None where it is that of the set."""
    expires: int | None = field(default=None, compare=False)
    """When it was read, how long it had left; like what a counter has counted this is no part of what makes two sets equal."""


@dataclass(frozen=True, slots=True)
class SetOptions:
    """What a named set or map is made with, besides types and flags; nft(8), SETS."""

    size: int | None = None
    """How many elements it may hold."""
    timeout: int | None = None
    """Seconds an element stays in it, where nothing is said of the element."""
    gc_interval: int | None = None
    """Seconds between two removals of elements whose time is up."""
    statements: tuple[Statement, ...] = ()
    """What is done for each element that a packet has: a counter of its own, or a limit."""
    lifetimes: tuple[Lifetime, ...] = ()
    """Of the elements that have one; compared without order."""


PLAIN_SET = SetOptions()


@dataclass(frozen=True, slots=True)
class NftSet:
    """A named set; `key` lists the types of a concatenated key (``ipv4_addr``, ``inet_service``, ...)."""

    name: str
    key: tuple[str, ...]
    elements: tuple[Expression, ...] = ()
    """Compared without order."""
    flags: tuple[str, ...] = ()
    """constant, interval, timeout, dynamic."""
    auto_merge: bool = field(default=False, compare=False)
    """Join intervals that touch when elements are added; the kernel keeps only the result, so this is not compared."""
    options: SetOptions = PLAIN_SET
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NftMap:
    """A named map; `value` is the type of its values, or ``verdict``."""

    name: str
    key: tuple[str, ...]
    value: str
    elements: tuple[tuple[Expression, Expression | Verdict], ...] = ()
    flags: tuple[str, ...] = ()
    options: SetOptions = PLAIN_SET
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


ObjectKind = Literal["counter", "quota", "limit", "ct helper", "ct timeout", "ct expectation", "synproxy", "secmark"]


@dataclass(frozen=True, slots=True)
class StatefulObject:
    """A counter, quota, limit or the like that has a name, for rules to use by it; nft(8), STATEFUL OBJECTS."""

    kind: ObjectKind
    name: str
    json: str = "{}"
    """What it is made with, as canonical JSON text, without what it has counted."""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NftTable:
    """A table with its chains, sets, maps and stateful objects, in the order they were made."""

    family: Family
    name: str
    chains: tuple[Chain, ...] = ()
    sets: tuple[NftSet, ...] = ()
    maps: tuple[NftMap, ...] = ()
    objects: tuple[StatefulObject, ...] = ()
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)
