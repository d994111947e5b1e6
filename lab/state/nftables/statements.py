"""nft statements to and from the JSON of libnftables-json(5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal

from lab.state.nft import (
    AnonymousSet,
    BinaryOperation,
    Counter,
    Ct,
    Expression,
    Family,
    Limit,
    Log,
    Mangle,
    MapLookup,
    Match,
    Meta,
    NamedCounter,
    Nat,
    NoTrack,
    OpaqueStatement,
    Payload,
    Prefix,
    Range,
    Reject,
    Statement,
    TcpOption,
    Verdict,
    VerdictMap,
)
from lab.state.nftables.datatypes import WIDTHS, datatypes
from lab.state.nftables.expressions import (
    canonical_json,
    decode_expression,
    decode_map,
    decode_verdict,
    encode_expression,
    encode_map,
    encode_verdict,
)

DEFAULT_BURST = 5
"""Packets a limit lets through at once where nothing is said; nft(8), LIMIT STATEMENT."""


# -- encoding ------------------------------------------------------------------------------------------------------


def encode_statement(statement: Statement, family: Family) -> Any:
    """Return the JSON object that libnftables reads as this statement in a table of `family`."""
    match statement:
        case Match():
            return {"match": _encode_match(statement)}
        case Counter(packets, octets):
            return {"counter": {"packets": packets, "bytes": octets}}
        case NamedCounter(name):
            return {"counter": name}
        case Verdict():
            return encode_verdict(statement)
        case VerdictMap(key, where):
            return {"vmap": {"key": encode_expression(key), "data": encode_map(where)}}
        case Mangle(key, value):
            return {"mangle": {"key": encode_expression(key), "value": encode_expression(value)}}
        case Nat():
            return {statement.kind: _encode_nat(statement, family)}
        case Reject(kind, code):
            members = {"type": kind, "expr": code}
            return {"reject": {k: v for k, v in members.items() if v is not None} or None}
        case Log(prefix, group):
            parts = {"prefix": prefix, "group": group}
            return {"log": {k: v for k, v in parts.items() if v is not None} or None}
        case Limit():
            return {"limit": _encode_limit(statement)}
        case NoTrack():
            return {"notrack": None}
        case OpaqueStatement(text):
            return json.loads(text)


def _encode_match(match: Match) -> dict[str, Any]:
    right = match.right
    if match.operator == "in" and isinstance(right, AnonymousSet):
        value: Any = [encode_expression(flag) for flag in right.elements]
    else:
        value = encode_expression(right)
    return {"op": match.operator, "left": encode_expression(match.left), "right": value}


def nat_family(nat: Nat, table: Family) -> Literal["ip", "ip6"] | None:
    """Return the address family that nft must be told: in `inet` always, elsewhere for an address that comes from a map."""
    if nat.address is None:
        return None
    if table == "inet":
        return nat.family or _family_of(nat.address)
    return table if table in ("ip", "ip6") and isinstance(nat.address, MapLookup) else None


def _family_of(address: Expression) -> Literal["ip", "ip6"] | None:
    """Return the family of an address, a prefix or a range of addresses."""
    match address:
        case IPv4Address() | Prefix(IPv4Network()) | Range(IPv4Address()):
            return "ip"
        case IPv6Address() | Prefix(IPv6Network()) | Range(IPv6Address()):
            return "ip6"
        case _:
            return None


def _encode_nat(nat: Nat, table: Family) -> dict[str, Any] | None:
    body: dict[str, Any] = {}
    family = nat_family(nat, table)
    if family is not None:
        body["family"] = family
    if nat.address is not None:
        body["addr"] = encode_expression(nat.address)
    if nat.port is not None:
        body["port"] = encode_expression(nat.port)
    if nat.flags:
        body["flags"] = list(nat.flags)
    return body or None


def _encode_limit(limit: Limit) -> dict[str, Any]:
    body: dict[str, Any] = {"rate": limit.rate, "per": limit.per, "burst": limit.burst or DEFAULT_BURST}
    return body | {"inv": True} if limit.over else body


# -- decoding ------------------------------------------------------------------------------------------------------


def decode_statement(value: Any) -> Statement:
    """Return the statement a JSON object stands for; `OpaqueStatement` where this lab has no class for it."""
    verdict = decode_verdict(value)
    if verdict is not None:
        return verdict
    if isinstance(value, dict) and len(value) == 1:
        ((kind, body),) = value.items()
        decode = _DECODERS.get(kind)
        statement = decode(body) if decode else None
        if statement is not None:
            return statement
    return OpaqueStatement(canonical_json(value))


def _match(body: Any) -> Statement | None:
    left, operator, right = decode_expression(body["left"]), body.get("op", "=="), body["right"]
    masked = _masked_number(left, right)
    if masked is not None:
        return Match(BinaryOperation("&", left, masked[0]), masked[1], operator)
    if operator == "!":  # `tcp flags ! syn`: none of these flags is set
        return Match(BinaryOperation("&", left, decode_expression(right)), 0)
    if operator == "in" and isinstance(right, list):
        return Match(left, AnonymousSet(tuple(decode_expression(flag) for flag in right)), "in")
    return Match(left, decode_expression(right), operator)


def _masked_number(left: Expression, right: Any) -> tuple[int, int] | None:
    """Return mask and value where nft lists ``mark & 0xffff0000 == 0x10000`` as a prefix of a number."""
    prefix = right.get("prefix") if isinstance(right, dict) else None
    bits = WIDTHS.get(datatypes(left)[0])
    if prefix is None or bits is None or not isinstance(prefix["addr"], int):
        return None
    return (1 << bits) - (1 << (bits - prefix["len"])), prefix["addr"]


def _counter(body: Any) -> Statement | None:
    if body is None:
        return Counter()
    if isinstance(body, str):
        return NamedCounter(body)
    return Counter(body["packets"], body["bytes"]) if isinstance(body, dict) and body.keys() == {"packets", "bytes"} else None


def _vmap(body: Any) -> Statement | None:
    where = decode_map(body["data"])
    return None if where is None else VerdictMap(decode_expression(body["key"]), where)


def _mangle(body: Any) -> Statement | None:
    key = decode_expression(body["key"])
    return Mangle(key, decode_expression(body["value"])) if isinstance(key, Meta | Ct | Payload | TcpOption) else None


def _nat(kind: str) -> Callable[[Any], Statement | None]:
    def decode(body: Any) -> Statement | None:
        if body is None:
            return Nat(kind)  # type: ignore[arg-type]
        if not body.keys() <= {"addr", "port", "flags", "family"}:
            return None
        flags = body.get("flags", ())
        return Nat(
            kind,  # type: ignore[arg-type]
            address=decode_expression(body["addr"]) if "addr" in body else None,
            port=decode_expression(body["port"]) if "port" in body else None,
            flags=(flags,) if isinstance(flags, str) else tuple(flags),
            family=body.get("family"),
        )

    return decode


def _reject(body: Any) -> Statement | None:
    if body is None:
        return Reject()
    return Reject(body.get("type"), body.get("expr")) if body.keys() <= {"type", "expr"} else None


def _log(body: Any) -> Statement | None:
    if body is None:
        return Log()
    return Log(body.get("prefix"), body.get("group")) if body.keys() <= {"prefix", "group"} else None


def _limit(body: Any) -> Statement | None:
    if not (isinstance(body, dict) and body.keys() <= {"rate", "per", "burst", "inv"}):  # one with a name; a rate in bytes has units
        return None
    return Limit(body["rate"], body["per"], body.get("burst", DEFAULT_BURST), body.get("inv", False))


def _notrack(body: Any) -> Statement | None:
    return NoTrack() if body is None else None


_DECODERS: dict[str, Callable[[Any], Statement | None]] = {
    "match": _match,
    "counter": _counter,
    "vmap": _vmap,
    "mangle": _mangle,
    "reject": _reject,
    "log": _log,
    "limit": _limit,
    "notrack": _notrack,
    **{kind: _nat(kind) for kind in ("snat", "dnat", "masquerade", "redirect")},
}
