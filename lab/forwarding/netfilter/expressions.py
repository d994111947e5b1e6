"""nft expressions, compiled to functions of a packet in transit.

A function returns a canonical value (`lab.forwarding.netfilter.values`) or None where the packet has no such thing: nft
then ends the rule (NFT_BREAK). After net/netfilter/nft_payload.c, nft_meta.c, nft_ct.c, nft_fib.c and
net/ipv4/netfilter/nft_fib_ipv4.c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from lab.forwarding.fib import ROUTING_TOS, Query
from lab.forwarding.netfilter.conntrack import CtState
from lab.forwarding.netfilter.frames import of_frame
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.netfilter.values import Members, Value, canonical
from lab.forwarding.packet import ICMP, ICMPV6, IPV6_HEADER, TCP, TCP_HEADER, UDP, FlowKey, Packet
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

Evaluate = Callable[[Transit], Value | None]
"""An expression, compiled."""


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
            return _payload(expression)
        case Meta():
            return _meta(expression)
        case Ct():
            return _ct(expression)
        case Fib():
            return _fib(expression)
        case Numgen():
            return _numgen(expression)
        case TcpOption("maxseg", "size"):
            return lambda t: t.packet.mss
        case RoutingMtu():
            return _routing_mtu
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
            return _undecided(f"the expression {text} is not modelled", expression)
        case _:
            return _undecided(f"the expression {type(expression).__name__} is not modelled here", expression)


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
        return _undecided(unknown.why, unknown.subject)
    return lambda t: fixed


def _undecided(why: str, subject: object) -> Evaluate:
    def ask(t: Transit) -> Value | None:
        raise Undecided(why, subject)

    return ask


def _all(compiled: list[Evaluate], t: Transit) -> Value | None:
    values = []
    for evaluate in compiled:
        value = evaluate(t)
        if value is None:
            return None
        values.append(value)
    return tuple(values)


# -- the packet ----------------------------------------------------------------------------------------------------


def _payload(expression: Payload) -> Evaluate:
    protocol, name = expression.protocol, expression.field
    match protocol, name:
        case (("ip" | "ip6"), _) if (protocol, name) in _IP_FIELDS:
            read, version = _IP_FIELDS[protocol, name], 4 if protocol == "ip" else 6
            return lambda t: read(t.packet) if t.packet.version == version else None
        case (("tcp" | "udp" | "th"), ("sport" | "dport")):
            protocols = {"tcp": (TCP,), "udp": (UDP,)}.get(protocol, (TCP, UDP))
            return lambda t: _port(t, protocols, name)
        case "tcp", "flags":
            return lambda t: None if t.packet.protocol != TCP or t.later_fragment else int(t.packet.tcp)
        case (("icmp" | "icmpv6"), ("type" | "code" | "id" | "mtu")):
            wanted = ICMP if protocol == "icmp" else ICMPV6
            return lambda t: _icmp(t, name) if t.packet.protocol == wanted else None
        case _:
            return _undecided(f"the header field {protocol} {name} is not modelled", expression)


_IP_FIELDS: dict[tuple[str, str], Callable[[Packet], int]] = {
    ("ip", "saddr"): lambda packet: int(packet.source),
    ("ip", "daddr"): lambda packet: int(packet.destination),
    ("ip", "protocol"): lambda packet: packet.protocol,
    ("ip", "ttl"): lambda packet: packet.ttl,
    ("ip", "dscp"): lambda packet: packet.tos >> 2,
    ("ip", "length"): lambda packet: packet.size,
    ("ip6", "saddr"): lambda packet: int(packet.source),
    ("ip6", "daddr"): lambda packet: int(packet.destination),
    ("ip6", "nexthdr"): lambda packet: packet.protocol,
    ("ip6", "hoplimit"): lambda packet: packet.ttl,
    ("ip6", "dscp"): lambda packet: packet.tos >> 2,
    ("ip6", "length"): lambda packet: packet.size - IPV6_HEADER,
}

_PAYLOAD = -1
"""What rules read where a later fragment has data instead of a transport header: no port and no type that anybody would ask for.

The kernel's fast way of loading a field of up to four bytes does not look at the fragment's offset (`nft_payload_fast_eval` in
net/netfilter/nf_tables_core.c), so `udp dport != 53` holds for such a piece.
"""


def _port(t: Transit, protocols: tuple[int, ...], name: str) -> Value | None:
    packet = t.packet
    if packet.protocol not in protocols:
        return None
    if t.later_fragment:
        return _PAYLOAD
    return packet.source_port if name == "sport" else packet.destination_port


def _icmp(t: Transit, name: str) -> Value | None:
    icmp = t.packet.icmp
    if icmp is None:
        return None
    if t.later_fragment:
        return _PAYLOAD
    return {"type": icmp.type, "code": icmp.code, "id": icmp.identifier, "mtu": icmp.mtu}[name]


def _meta(expression: Meta) -> Evaluate:
    match expression.key:
        case "iifname" | "iif":
            return lambda t: t.iif or ""
        case "oifname" | "oif":
            return lambda t: t.oif or ""
        case "mark":
            return lambda t: t.packet.mark
        case "l4proto":
            return lambda t: t.packet.protocol
        case "nfproto":
            return lambda t: "ipv4" if t.packet.version == 4 else "ipv6"
        case "protocol":
            return lambda t: "ip" if t.packet.version == 4 else "ip6"
        case "length":
            return lambda t: t.packet.length
        case "pkttype":
            return lambda t: t.link_type
        case "skuid":
            return lambda t: t.uid if t.made_here and t.hook in ("output", "postrouting") else None
        case key:
            return _undecided(f"meta {key} is not modelled", expression)


def _routing_mtu(t: Transit) -> Value | None:
    """`rt mtu` is the maximum segment size that fits the route (`get_tcpmss`, net/netfilter/nft_rt.c)."""
    if t.route_mtu is None:
        return None
    mtu = min(t.route_mtu, t.world.mtu_towards(t.node, t.packet.source))
    return mtu - t.packet.header - TCP_HEADER


# -- its connection ------------------------------------------------------------------------------------------------


def _ct(expression: Ct) -> Evaluate:
    key = expression.key.removeprefix("ip ")
    if key == "state":
        return lambda t: int(CtState.INVALID if t.tracked is None else t.tracked.state)
    if key == "mark":
        return lambda t: None if t.tracked is None or t.tracked.connection is None else t.tracked.connection.mark
    if key == "direction" and expression.direction is None:
        return lambda t: None if t.tracked is None or t.tracked.connection is None else int(t.tracked.direction == "reply")
    if key == "status":
        return lambda t: None if t.tracked is None or t.tracked.connection is None else int(t.tracked.connection.status) & 0x7F
    read = _KEY_FIELDS.get(key)
    direction = expression.direction
    if read is None or direction is None:
        return _undecided(f"ct {expression.key} is not modelled", expression)

    def of_key(t: Transit) -> Value | None:
        if t.tracked is None or t.tracked.connection is None:
            return None
        return read(t.tracked.connection.key(direction))

    return of_key


_KEY_FIELDS: dict[str, Callable[[FlowKey], int]] = {
    "saddr": lambda key: key.source,
    "daddr": lambda key: key.destination,
    "protocol": lambda key: key.protocol,
    "proto-src": lambda key: key.source_port,
    "proto-dst": lambda key: 0 if key.protocol in (ICMP, ICMPV6) else key.destination_port,
}


# -- lookups made by rules -----------------------------------------------------------------------------------------


def _fib(expression: Fib) -> Evaluate:
    flags = frozenset(expression.flags)
    if expression.result == "type":

        def address_type(t: Transit) -> Value | None:
            address = int(t.packet.destination if "daddr" in flags else t.packet.source)
            device = t.oif if "oif" in flags else t.iif if "iif" in flags else None
            return t.node.fib_of(t.packet.version).local_type(address, device)

        return address_type

    def device_towards(t: Transit) -> Value | None:
        packet = t.packet
        if t.hook in ("prerouting", "input") and t.iif == "lo":
            return "lo"
        iif = "lo"
        if "daddr" in flags:
            to, source = packet.destination, packet.source
        else:
            to, source = packet.source, packet.destination
            if t.hook == "forward" and "iif" in flags and t.oif is not None:
                iif = t.oif
        mark = packet.mark if "mark" in flags else 0
        query = Query(int(to), int(source), iif, None, mark, packet.tos & ROUTING_TOS, packet.protocol)
        answer = t.node.fib_of(packet.version).lookup(query, ignore_linkstate=True)
        if answer.error is not None or answer.type == "local":
            return ""
        wanted = t.oif if "oif" in flags else t.iif if "iif" in flags else None
        if wanted is not None:
            return wanted if any(way.device == wanted for way in answer.exits) else ""
        return answer.exits[0].device if answer.exits else ""

    return device_towards


def _numgen(expression: Numgen) -> Evaluate:
    if expression.modulus > _FEW:
        return _undecided(f"a random number below {expression.modulus} decides", expression)
    meanings = tuple(str(expression.offset + number) for number in range(expression.modulus))

    def draw(t: Transit) -> Value | None:
        key = (t.node.name, id(expression), t.packet.key)
        return expression.offset + t.world.chooser.choose(key, f"a number drawn in {t.node.name}", meanings)

    return draw


_FEW = 32
"""Up to so many numbers each is a world of its own; a comparison of a larger one is split in two, see `statements`."""


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
