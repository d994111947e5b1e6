"""nft expressions to and from the JSON of libnftables-json(5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from functools import reduce
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    BinaryOperation,
    Concat,
    Ct,
    Expression,
    Fib,
    MapLookup,
    Meta,
    Numgen,
    OpaqueExpression,
    Payload,
    Prefix,
    Range,
    RoutingMtu,
    SetRef,
    TcpOption,
    Verdict,
)
from lab.state.objects import Address

VERDICTS = ("accept", "drop", "continue", "return", "jump", "goto")
OPERATORS = ("&", "|", "^", "<<", ">>")


def canonical_json(value: Any) -> str:
    """Return the one text that stands for a JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


# -- encoding ------------------------------------------------------------------------------------------------------


def encode_expression(expression: Expression) -> Any:
    """Return the JSON value that libnftables reads as this expression."""
    match expression:
        case bool() | int() | str():
            return expression
        case IPv4Address() | IPv6Address():
            return str(expression)
        case Payload(protocol, field):
            return {"payload": {"protocol": protocol, "field": field}}
        case Meta(key):
            return {"meta": {"key": key}}
        case Ct():
            return {"ct": _encode_ct(expression)}
        case Fib(result, flags):
            return {"fib": {"result": result, "flags": list(flags)}}
        case Numgen(mode, modulus, offset):
            return {"numgen": {"mode": mode, "mod": modulus, "offset": offset}}
        case TcpOption(option, field):
            return {"tcp option": {"name": option, "field": field}}
        case RoutingMtu():
            return {"rt": {"key": "mtu"}}
        case Prefix(network):
            return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
        case Range(first, last):
            return {"range": [encode_expression(first), encode_expression(last)]}
        case SetRef(name):
            return f"@{name}"
        case AnonymousSet(elements):
            return {"set": [encode_expression(element) for element in elements]}
        case Concat(parts):
            return {"concat": [encode_expression(part) for part in parts]}
        case BinaryOperation(operator, left, right):
            return {operator: [encode_expression(left), encode_expression(right)]}
        case MapLookup(key, where):
            return {"map": {"key": encode_expression(key), "data": encode_map(where)}}
        case OpaqueExpression(text):
            return json.loads(text)


def encode_map(where: SetRef | AnonymousMap) -> Any:
    """Return the JSON of what a `map` or `vmap` looks into."""
    if isinstance(where, SetRef):
        return f"@{where.name}"
    return {"set": [encode_pair(key, value) for key, value in where.elements]}


def encode_pair(key: Expression, value: Expression | Verdict) -> list[Any]:
    """Return the JSON of one element of a map."""
    return [encode_expression(key), encode_verdict(value) if isinstance(value, Verdict) else encode_expression(value)]


def encode_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return the JSON of a verdict, which is a statement as well as a value of a verdict map."""
    return {verdict.kind: None if verdict.chain is None else {"target": verdict.chain}}


def _encode_ct(ct: Ct) -> dict[str, Any]:
    key = f"{ct.family} {ct.key}" if ct.family else ct.key
    return {"key": key, "dir": ct.direction} if ct.direction else {"key": key}


# -- decoding ------------------------------------------------------------------------------------------------------


def decode_expression(value: Any) -> Expression:
    """Return the expression a JSON value stands for; `OpaqueExpression` where this lab has no class for it."""
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return SetRef(value[1:]) if value.startswith("@") else decode_word(value)
    if isinstance(value, list) and value:
        return any_of(tuple(decode_expression(item) for item in value))
    if isinstance(value, dict) and len(value) == 1:
        ((kind, body),) = value.items()
        decode = _DECODERS.get(kind)
        expression = decode(body) if decode else None
        if expression is not None:
            return expression
    return OpaqueExpression(canonical_json(value))


def any_of(flags: tuple[Expression, ...]) -> Expression:
    """Return flags joined by `|`, as in ``tcp flags & (syn | rst)``."""
    return reduce(lambda left, right: BinaryOperation("|", left, right), flags)


def decode_word(word: str) -> str | Address:
    """Return an address where the word is one, the word itself otherwise."""
    if not word[:1].isdigit() and ":" not in word:
        return word
    try:
        return ip_address(word)
    except ValueError:
        return word


def decode_map(data: Any) -> SetRef | AnonymousMap | None:
    """Return what a `map` or `vmap` looks into, None where it is of a shape this lab has no class for."""
    if isinstance(data, str) and data.startswith("@"):
        return SetRef(data[1:])
    if not (isinstance(data, dict) and data.keys() == {"set"} and isinstance(data["set"], list)):
        return None
    pairs = [decode_pair(item) for item in data["set"]]
    known = tuple(pair for pair in pairs if pair is not None)
    return AnonymousMap(known) if len(known) == len(pairs) else None


def decode_pair(item: Any) -> tuple[Expression, Expression | Verdict] | None:
    """Return key and value of one element of a map, None where it is no such element."""
    if not (isinstance(item, list) and len(item) == 2):
        return None
    key, value = item
    return decode_expression(key), decode_verdict(value) or decode_expression(value)


def decode_verdict(value: Any) -> Verdict | None:
    """Return a verdict, None where the value is none."""
    if not (isinstance(value, dict) and len(value) == 1):
        return None
    ((kind, body),) = value.items()
    if kind not in VERDICTS:
        return None
    return Verdict(kind, body["target"] if isinstance(body, dict) else None)


def _has(body: Any, required: Set[str], optional: Set[str] = frozenset()) -> bool:
    """Whether a JSON object has these keys and no key that would be lost."""
    return isinstance(body, dict) and required <= body.keys() <= required | optional


def _payload(body: Any) -> Expression | None:
    return Payload(body["protocol"], body["field"]) if _has(body, {"protocol", "field"}) else None


def _meta(body: Any) -> Expression | None:
    return Meta(body["key"]) if _has(body, {"key"}) else None


def _ct(body: Any) -> Expression | None:
    if not _has(body, {"key"}, {"dir"}):
        return None
    family, space, key = body["key"].rpartition(" ")
    return Ct(key, body.get("dir"), family if space else None)


def _fib(body: Any) -> Expression | None:
    if not _has(body, {"result", "flags"}):
        return None
    flags = body["flags"]
    return Fib(body["result"], tuple(flags) if isinstance(flags, list) else (flags,))


def _numgen(body: Any) -> Expression | None:
    return Numgen(body["mode"], body["mod"], body.get("offset", 0)) if _has(body, {"mode", "mod"}, {"offset"}) else None


def _tcp_option(body: Any) -> Expression | None:
    return TcpOption(body["name"], body["field"]) if _has(body, {"name", "field"}) else None


def _rt(body: Any) -> Expression | None:
    return RoutingMtu() if body == {"key": "mtu"} else None


def _prefix(body: Any) -> Expression | None:
    if not _has(body, {"addr", "len"}):
        return None
    address, length = body["addr"], body["len"]
    if isinstance(address, int):
        return Range(address, address | (1 << _PREFIXED_NUMBER - length) - 1)
    return Prefix(ip_network((address, length), strict=False)) if isinstance(address, str) else None


_PREFIXED_NUMBER: Final = 32
"""Bits of the numbers whose intervals nft lists as prefixes in a set: marks, realms and device groups (DTYPE_F_PREFIX in nftables/src)."""


def _range(body: Any) -> Expression | None:
    if not (isinstance(body, list) and len(body) == 2):
        return None
    first, last = decode_expression(body[0]), decode_expression(body[1])
    return Range(first, last) if isinstance(first, _BOUND) and isinstance(last, _BOUND) else None


_BOUND = (int, IPv4Address, IPv6Address)


def _set(body: Any) -> Expression | None:
    items = body if isinstance(body, list) else [body]
    return AnonymousSet(tuple(decode_expression(item) for item in items))


def _concat(body: Any) -> Expression | None:
    return Concat(tuple(decode_expression(part) for part in body)) if isinstance(body, list) else None


def _map(body: Any) -> Expression | None:
    where = decode_map(body["data"]) if _has(body, {"key", "data"}) else None
    return None if where is None else MapLookup(decode_expression(body["key"]), where)


def _elem(body: Any) -> Expression | None:
    """Unwrap an element that carries a counter, a comment or a timeout: only the value makes it what it is."""
    return decode_expression(body["val"]) if isinstance(body, dict) and "val" in body else None


def _binary(operator: str) -> Callable[[Any], Expression | None]:
    """Return the decoder of an operator; releases of nft after 1.0.6 give it more than two operands."""

    def decode(body: Any) -> Expression | None:
        if not (isinstance(body, list) and len(body) >= 2):
            return None
        operands = [decode_expression(item) for item in body]
        return reduce(lambda left, right: BinaryOperation(operator, left, right), operands)  # type: ignore[arg-type]

    return decode


_DECODERS: dict[str, Callable[[Any], Expression | None]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _ct,
    "fib": _fib,
    "numgen": _numgen,
    "tcp option": _tcp_option,
    "rt": _rt,
    "prefix": _prefix,
    "range": _range,
    "set": _set,
    "concat": _concat,
    "map": _map,
    "elem": _elem,
    **{operator: _binary(operator) for operator in OPERATORS},
}
