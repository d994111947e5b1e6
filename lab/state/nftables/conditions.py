"""The canonical order of the conditions of a rule, without those that others imply."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    BinaryOperation,
    Concat,
    Expression,
    Family,
    Mangle,
    MapLookup,
    Match,
    Meta,
    Nat,
    Numgen,
    OpaqueExpression,
    Payload,
    Reject,
    Statement,
    VerdictMap,
)
from lab.state.nftables.datatypes import TRANSPORTS, WITH_PORTS, protocol_name

OFFSETS = {
    ("ip", "length"): 16,
    ("ip", "id"): 32,
    ("ip", "frag-off"): 48,
    ("ip", "ttl"): 64,
    ("ip", "protocol"): 72,
    ("ip", "checksum"): 80,
    ("ip6", "length"): 32,
    ("ip6", "nexthdr"): 48,
    ("ip6", "hoplimit"): 56,
    ("tcp", "sport"): 0,
    ("tcp", "dport"): 16,
    ("tcp", "flags"): 104,
    ("tcp", "window"): 112,
    ("tcp", "checksum"): 128,
    ("tcp", "urgptr"): 144,
    ("udp", "length"): 32,
    ("udp", "checksum"): 48,
    ("icmp", "type"): 0,
    ("icmp", "code"): 8,
    ("icmp", "checksum"): 16,
    ("icmp", "id"): 32,
    ("icmp", "sequence"): 48,
    ("icmpv6", "type"): 0,
    ("icmpv6", "code"): 8,
    ("icmpv6", "checksum"): 16,
    ("icmpv6", "id"): 32,
    ("icmpv6", "sequence"): 48,
}
"""Bit offsets of header fields short enough for nft to load two that lie side by side at once; it lists them in this order."""

ECHO = AnonymousSet(("echo-reply", "echo-request"))
"""The ICMP types that have an identifier and a sequence number: nft adds this condition to a match on either."""


def ordered_conditions(statements: Iterable[Statement], family: Family) -> tuple[Statement, ...]:
    """Return the statements of a rule with the conditions of each run in canonical order, implied ones left out."""
    result: list[Statement] = []
    run: list[Match] = []
    for statement in _with_reject_conditions(list(_named_transports(_split_ports(statements), family)), family):
        if isinstance(statement, Match) and not _counts(statement.left):
            run.append(statement)
        else:
            result += _ordered(run, statement, family)
            result.append(statement)
            run = []
    return (*result, *_ordered(run, None, family))


def _split_ports(statements: Iterable[Statement]) -> Iterator[Statement]:
    """Take apart what nft lists as ``@th,0,32`` when two ports were matched without a protocol it knew."""
    for statement in statements:
        match statement:
            case Match(OpaqueExpression(text), int() as value, "==") if json.loads(text) == _BOTH_PORTS:
                yield Match(Payload("th", "sport"), value >> 16)
                yield Match(Payload("th", "dport"), value & 0xFFFF)
            case _:
                yield statement


_BOTH_PORTS = {"payload": {"base": "th", "offset": 0, "len": 32}}


def _named_transports(statements: Iterable[Statement], family: Family) -> Iterator[Statement]:
    """Name the transport protocol wherever the conditions before leave one possible, and what a reject answers with."""
    network, transport = _fixed_network(family), None
    for statement in statements:
        if transport in WITH_PORTS:
            statement = _rename(statement, transport)
        if isinstance(statement, Reject):
            statement = _reject(statement, family, network)
        else:
            network = _network_of(statement) or network
            transport = _transport_of(statement, family) or transport
        yield statement


def _with_reject_conditions(statements: list[Statement], family: Family) -> list[Statement]:
    """Put first what nft puts first for the sake of a reject: its kind of answer needs that protocol."""
    needed: list[Statement] = []
    network, transport = _fixed_network(family), None
    for statement in statements:
        if not isinstance(statement, Reject):
            network = _network_of(statement) or network
            transport = _transport_of(statement, family) or transport
        elif statement.type == "tcp reset" and transport != "tcp":
            needed.append(Match(Meta("l4proto"), "tcp"))
        elif statement.type in ("icmp", "icmpv6") and network is None:
            needed.append(Match(Meta("nfproto"), "ipv4" if statement.type == "icmp" else "ipv6"))
    return needed + statements


def _fixed_network(family: Family) -> str | None:
    return family if family in ("ip", "ip6") else None


def _rename(statement: Statement, transport: str) -> Statement:
    match statement:
        case Match(left):
            return replace(statement, left=_renamed(left, transport))
        case VerdictMap(key):
            return replace(statement, key=_renamed(key, transport))
        case Mangle(key, value):
            new_key = _renamed(key, transport)
            return Mangle(new_key if isinstance(new_key, Payload) else key, _renamed(value, transport))
        case Nat():
            address = None if statement.address is None else _renamed(statement.address, transport)
            port = None if statement.port is None else _renamed(statement.port, transport)
            return replace(statement, address=address, port=port)
        case _:
            return statement


def _renamed(expression: Expression, transport: str) -> Expression:
    match expression:
        case Payload("th", field):
            return Payload(transport, field)
        case Concat(parts):
            return Concat(tuple(_renamed(part, transport) for part in parts))
        case BinaryOperation(operator, left, right):
            return BinaryOperation(operator, _renamed(left, transport), right)
        case MapLookup(key, where):
            return MapLookup(_renamed(key, transport), where)
        case _:
            return expression


def _network_of(statement: Statement) -> str | None:
    """The network protocol of a packet that comes past a statement: as it says, or by the headers it reads."""
    if isinstance(statement, Match) and statement.left == Meta("nfproto"):
        return {"ipv4": "ip", "ipv6": "ip6"}.get(str(statement.right)) if statement.operator == "==" else None
    used = set(_headers_of(statement))
    return "ip" if used & {"ip", "icmp"} else "ip6" if used & {"ip6", "icmpv6"} else None


def _transport_of(statement: Statement, family: Family) -> str | None:
    if isinstance(statement, Match) and _is_protocol(statement.left, family):
        return protocol_name(statement.right) if statement.operator == "==" else None
    return next((header for header in _headers_of(statement) if header in TRANSPORTS and header != "th"), None)


def _is_protocol(key: Expression, family: Family) -> bool:
    """Whether a key holds the transport protocol, whatever the network protocol is in this family of tables."""
    return (
        key == Meta("l4proto")
        or (family == "ip" and key == Payload("ip", "protocol"))
        or (family == "ip6" and key == Payload("ip6", "nexthdr"))
    )


def _reject(reject: Reject, family: Family, network: str | None) -> Reject:
    """Leave out what is the default; in `inet` the default error is icmpx, or that of the protocol if it is known."""
    if reject.type == "tcp reset":
        return Reject("tcp reset")
    error = {"ip": "icmp", "ip6": "icmpv6"}.get(network or "", "icmpx")
    if reject.type in (None, "icmpx", error) and reject.code in (None, "port-unreachable"):
        return Reject() if family in ("ip", "ip6") or error == "icmpx" else Reject(error, "port-unreachable")  # type: ignore[arg-type]
    return reject


# -- one run of conditions -----------------------------------------------------------------------------------------


def _ordered(run: list[Match], end: Statement | None, family: Family) -> list[Match]:
    """Order a run of conditions that stands before the statement `end`, and leave out what it implies by itself."""
    used = {header for match in run for header in _headers(match.left)} | set(_headers_of(end))
    kept = [match for match in run if not _implied(match, used, run, family)]
    return sorted(kept, key=_position)


def _implied(match: Match, used: set[str], run: list[Match], family: Family) -> bool:
    if match.operator not in ("==", "in"):
        return False
    if _is_protocol(match.left, family):
        return protocol_name(match.right) in used
    if match.left == Meta("nfproto") and family == "inet":
        return bool(used & {"ipv4": {"ip", "icmp"}, "ipv6": {"ip6", "icmpv6"}}.get(str(match.right), set()))
    if isinstance(match.left, Payload) and match.left.field == "type" and match.right == ECHO:
        numbered = (Payload(match.left.protocol, "id"), Payload(match.left.protocol, "sequence"))
        return any(other.left in numbered for other in run)
    return False


def _position(match: Match) -> tuple[int, int]:
    """Return where a condition stands in its run; conditions of equal position keep their order."""
    left = match.left
    headers = set(_headers(left))
    layer = 2 if headers & set(TRANSPORTS) else 0
    if not isinstance(left, Payload) or match.operator not in ("==", "!=") or not isinstance(match.right, int | str):
        return layer, -1
    ports = {"sport": 0, "dport": 16}
    offset = OFFSETS.get((left.protocol, left.field), ports.get(left.field))
    if offset is None:
        return layer, -1
    return layer or 1, offset


def _headers(expression: Expression | None) -> Iterator[str]:
    """Yield the headers an expression reads."""
    match expression:
        case Payload(protocol):
            yield protocol
        case Concat(parts):
            for part in parts:
                yield from _headers(part)
        case BinaryOperation(_, left, right):
            yield from _headers(left)
            yield from _headers(right)
        case MapLookup(key):
            yield from _headers(key)
        case _:
            return


def _headers_of(statement: Statement | None) -> Iterator[str]:
    """Yield the headers for whose sake nft adds a condition before a statement."""
    match statement:
        case Match(key) | VerdictMap(key):
            yield from _headers(key)
        case Mangle(key, value):
            yield from _headers(key)
            yield from _headers(value)
        case Nat():
            yield from _headers(statement.address)
        case Reject("tcp reset"):
            yield "tcp"
        case Reject("icmp"):
            yield "ip"
        case Reject("icmpv6"):
            yield "ip6"
        case _:
            return


def _counts(expression: Expression) -> bool:
    """Whether evaluating an expression changes what it yields next time, so that it must not change places."""
    match expression:
        case Numgen("inc"):
            return True
        case BinaryOperation(_, left, right):
            return _counts(left) or _counts(right)
        case MapLookup(key, where):
            return _counts(key) or (isinstance(where, AnonymousMap) and any(_counts(k) for k, _ in where.elements))
        case Concat(parts):
            return any(_counts(part) for part in parts)
        case _:
            return False
