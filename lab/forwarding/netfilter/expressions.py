"""nft expressions, compiled to functions of a packet in transit.

A function returns a canonical value (`lab.forwarding.netfilter.values`) or None where the packet has no such thing: nft
then ends the rule (NFT_BREAK).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from lab.forwarding.netfilter.frames import of_frame
from lab.forwarding.netfilter.readings import Evaluate, ct_of, fib_of, meta_of, number_of, payload_of, routing_mtu, undecided
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.netfilter.values import Members, Value, canonical
from lab.forwarding.unknown import Undecided
from lab.state.nft import (
    AnonymousMap,
    BinaryOperation,
    Concat,
    Ct,
    Expression,
    Fib,
    MapLookup,
    Meta,
    NftMap,
    NftSet,
    Numgen,
    OpaqueExpression,
    Payload,
    RoutingMtu,
    SetRef,
    TcpOption,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The names a rule may refer to: the sets and maps of its table."""

    sets: Mapping[str, NftSet]
    maps: Mapping[str, NftMap]
    frames: bool = False
    """Whether the rules of the table see frames."""


@dataclass(frozen=True, slots=True)
class CompiledMap:
    """A map: which element holds a key, and what belongs to it."""

    members: Members
    values: tuple[Expression | Verdict, ...]


def kind_of(expression: Expression) -> str:
    """Return nft's name for the type of an expression; it says what its symbolic values mean."""
    match expression:
        case Payload(protocol, name):
            return _PAYLOAD_KINDS.get((protocol, name), "integer")
        case Meta(key):
            return _META_KINDS.get(key, "integer")
        case Ct(key):
            return _CT_KINDS.get(key.removeprefix("ip "), "integer")
        case Fib(result):
            return "fib_addrtype" if result == "type" else "ifname"
        case Concat(parts):
            return " . ".join(kind_of(part) for part in parts)
        case BinaryOperation(_, left, _):
            return kind_of(left)
        case _:
            return "integer"


_PAYLOAD_KINDS = {
    ("ip", "saddr"): "ipv4_addr",
    ("ip", "daddr"): "ipv4_addr",
    ("ip", "protocol"): "inet_proto",
    ("ip", "dscp"): "dscp",
    ("ip6", "saddr"): "ipv6_addr",
    ("ip6", "daddr"): "ipv6_addr",
    ("ip6", "nexthdr"): "inet_proto",
    ("ip6", "dscp"): "dscp",
    ("icmpv6", "type"): "icmpv6_type",
    ("icmpv6", "code"): "icmpv6_code",
    ("icmp", "type"): "icmp_type",
    ("icmp", "code"): "icmp_code",
    ("tcp", "flags"): "tcp_flag",
    ("ether", "saddr"): "ether_addr",
    ("ether", "daddr"): "ether_addr",
    ("ether", "type"): "ether_type",
    ("arp", "saddr ether"): "ether_addr",
    ("arp", "daddr ether"): "ether_addr",
    ("arp", "saddr ip"): "ipv4_addr",
    ("arp", "daddr ip"): "ipv4_addr",
    ("arp", "operation"): "arp_op",
    ("arp", "ptype"): "ether_type",
    **{(protocol, port): "inet_service" for protocol in ("tcp", "udp", "th") for port in ("sport", "dport")},
}
_META_KINDS = {
    **dict.fromkeys(("iifname", "oifname", "iif", "oif", "ibrname", "obrname"), "ifname"),
    "l4proto": "inet_proto",
    "nfproto": "nf_proto",
    "protocol": "ether_type",
    "pkttype": "pkt_type",
}
_CT_KINDS = {
    "state": "ct_state",
    "status": "ct_status",
    "direction": "ct_dir",
    "saddr": "ipv4_addr",
    "daddr": "ipv4_addr",
    "protocol": "inet_proto",
    "proto-src": "inet_service",
    "proto-dst": "inet_service",
}


def compile_expression(expression: Expression, scope: Scope, kind: str = "integer") -> Evaluate:
    """Compile an expression; `kind` says what a symbolic constant in it means."""
    compiled = _compile(expression, scope, kind)
    return of_frame(expression, compiled) if scope.frames else compiled


def _compile(expression: Expression, scope: Scope, kind: str) -> Evaluate:
    match expression:
        case Payload():
            return payload_of(expression)
        case Meta():
            return meta_of(expression)
        case Ct():
            return ct_of(expression)
        case Fib():
            return fib_of(expression)
        case Numgen():
            return number_of(expression)
        case TcpOption("maxseg", "size"):
            return lambda t: t.packet.mss
        case RoutingMtu():
            return routing_mtu
        case Concat(parts):
            kinds = kind.split(" . ")
            compiled = [compile_expression(p, scope, kinds[i] if i < len(kinds) else "integer") for i, p in enumerate(parts)]
            return lambda t: _all(compiled, t)
        case BinaryOperation(operator, left, right):
            meant = kind if kind_of(left) == "integer" else kind_of(left)
            return _binary(operator, compile_expression(left, scope, meant), compile_expression(right, scope, meant))
        case MapLookup(key, found):
            return _map_lookup(compile_expression(key, scope), compile_map(found, kind_of(key), scope), scope, kind)
        case bool() | int() | str() | IPv4Address() | IPv6Address():
            return _constant(expression, kind)
        case OpaqueExpression(text):
            return undecided(f"the expression {text} is not modelled", expression)
        case _:
            return undecided(f"the expression {type(expression).__name__} is not modelled here", expression)


def compile_map(found: SetRef | AnonymousMap, kind: str, scope: Scope) -> CompiledMap:
    """Compile a named map or one written in place."""
    if isinstance(found, AnonymousMap):
        elements = found.elements
    else:
        named = scope.maps.get(found.name)
        if named is None:
            raise Undecided(f"the map @{found.name} is not in the table", found)
        elements = named.elements
        kind = " . ".join(_named_kind(part) for part in named.key)
    return CompiledMap(Members([key for key, _ in elements], kind), tuple(value for _, value in elements))


def compile_members(right: Expression, kind: str, scope: Scope) -> Members:
    """Compile what stands right of a comparison: a named set, a set in place, a prefix, a range or one value."""
    if isinstance(right, SetRef):
        named = scope.sets.get(right.name)
        if named is None:
            raise Undecided(f"the set @{right.name} is not in the table", right)
        return Members(named.elements, " . ".join(_named_kind(part) for part in named.key))
    return Members([right], kind)


def _named_kind(name: str) -> str:
    return {"iface_index": "ifname"}.get(name, name)


def _constant(value: object, kind: str) -> Evaluate:
    try:
        fixed = canonical(value, kind)
    except Undecided as unknown:
        return undecided(unknown.why, unknown.subject)
    return lambda t: fixed


def _all(compiled: list[Evaluate], t: Transit) -> Value | None:
    values = []
    for evaluate in compiled:
        value = evaluate(t)
        if value is None:
            return None
        values.append(value)
    return tuple(values)


# -- what is made of them -----------------------------------------------------------------------------------------------


def _binary(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    def compute(t: Transit) -> Value | None:
        first, second = left(t), right(t)
        if not isinstance(first, int) or not isinstance(second, int):
            return None
        match operator:
            case "&":
                return first & second
            case "|":
                return first | second
            case "^":
                return first ^ second
            case "<<":
                return first << second & 0xFFFFFFFF
            case _:
                return first >> second

    return compute


def _map_lookup(key: Evaluate, found: CompiledMap, scope: Scope, kind: str) -> Evaluate:
    values = [None if isinstance(value, Verdict) else compile_expression(value, scope, kind) for value in found.values]

    def look_up(t: Transit) -> Value | None:
        value = key(t)
        number = None if value is None else found.members.find(value)
        evaluate = None if number is None else values[number]
        return None if evaluate is None else evaluate(t)

    return look_up
