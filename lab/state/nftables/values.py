"""Canonical forms of expressions: names for numbers, prefixes for ranges, merged intervals, sets in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range
from typing import Any

from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    BinaryOperation,
    Concat,
    Ct,
    Expression,
    Fib,
    MapLookup,
    Match,
    Meta,
    Prefix,
    Range,
    SetRef,
    Verdict,
)
from lab.state.nftables.datatypes import FLAGS, NAMES, NUMBERS, datatypes
from lab.state.nftables.expressions import decode_word
from lab.state.objects import Address, Network

ALL_BITS = 0xFFFFFFFF

# -- matches -------------------------------------------------------------------------------------------------------


def canonical_match(match: Match) -> Match:
    """Return the canonical form of a condition."""
    left = canonical_expression(match.left)
    kinds = datatypes(left)
    if kinds == ("ct_state",):
        return _state_match(replace(match, left=left))
    right = canonical_expression(match.right, kinds)
    if isinstance(right, AnonymousSet) and len(right.elements) == 1 and not isinstance(right.elements[0], Concat):
        right = right.elements[0]
    if isinstance(left, BinaryOperation) and left.operator == "&":
        if right == 0 and match.operator == "!=" and kinds[0] in FLAGS:
            return canonical_match(Match(left.left, _flag_set(left.right), "in"))
        network = _masked_network(left.right, right)
        if network is not None:
            return Match(left.left, canonical_expression(Prefix(network)), match.operator)
    if isinstance(left, Fib) and left.result != "type" and right in (0, "0"):
        right = False
    return Match(left, right, match.operator)


def _state_match(match: Match) -> Match:
    """A packet has exactly one connection state: being it, being in a set of one, and having that flag are the same."""
    right = match.right
    if isinstance(match.left, BinaryOperation):
        if match.left.operator == "&" and right == 0 and match.operator == "!=":
            return _state_match(Match(match.left.left, _flag_set(match.left.right), "in"))
        return match
    if isinstance(right, AnonymousSet):
        elements = canonical_elements(right.elements, ("ct_state",))
        right = elements[0] if len(elements) == 1 else AnonymousSet(elements)
    operator = "in" if match.operator == "==" else match.operator
    return Match(match.left, right, operator)


def _flag_set(flags: Expression) -> Expression:
    """Return flags joined by `|` as the set that ``in`` takes; a single flag stays itself."""
    if isinstance(flags, BinaryOperation) and flags.operator == "|":
        return AnonymousSet(tuple(_flags_of(flags)))
    return flags


def _flags_of(flags: Expression) -> Iterable[Expression]:
    if isinstance(flags, BinaryOperation) and flags.operator == "|":
        yield from _flags_of(flags.left)
        yield from _flags_of(flags.right)
    else:
        yield flags


def _masked_network(mask: Expression, value: Expression) -> Any:
    """Return the network that ``address & mask == value`` tests for, if mask and value make one."""
    if not (isinstance(mask, IPv4Address | IPv6Address) and isinstance(value, IPv4Address | IPv6Address)):
        return None
    host = int(mask) ^ ((1 << mask.max_prefixlen) - 1)
    if host & (host + 1) or int(value) & host:
        return None
    return ip_network((value, mask.max_prefixlen - host.bit_length()))


# -- expressions ---------------------------------------------------------------------------------------------------


def canonical_expression(expression: Expression, kinds: tuple[str, ...] = ("integer",)) -> Expression:
    """Return the canonical form of an expression that is compared with, or assigned to, something of these data types."""
    match expression:
        case Concat(parts):
            padded = kinds if len(kinds) == len(parts) else ("integer",) * len(parts)
            return Concat(tuple(canonical_expression(part, (kind,)) for part, kind in zip(parts, padded, strict=True)))
        case AnonymousSet(elements):
            return AnonymousSet(canonical_elements(elements, kinds))
        case MapLookup(key, where):
            return MapLookup(canonical_expression(key), canonical_map(where, datatypes(key)))
        case BinaryOperation("|") if kinds[0] in FLAGS or _is_flags(expression):
            return _joined(expression)
        case BinaryOperation():
            return _bitwise(expression)
        case Range(first, last):
            return _range(first, last)
        case Prefix(network):
            return network.network_address if network.prefixlen == network.max_prefixlen else expression
        case bool():
            return expression
        case int() | str():
            return _named(expression, kinds[0])
        case _:
            return expression


def _named(value: int | str, kind: str) -> Expression:
    """Return a value in the form nft lists it: numbers by their name where they have one."""
    if kind in ("ifname", "iface_index", "string"):
        return value
    names = NAMES.get(kind)
    if names is not None:
        number = NUMBERS[kind].get(value, value) if isinstance(value, str) else value
        return names.get(number, number) if isinstance(number, int) else number
    return decode_word(value) if isinstance(value, str) else value


def _range(first: int | Address, last: int | Address) -> Expression:
    if first == last:
        return first
    if isinstance(first, IPv4Address | IPv6Address):
        networks: list[Network] = list(summarize_address_range(first, ip_address(str(last))))
        if len(networks) == 1:
            return Prefix(networks[0])
    return Range(first, last)


def _is_flags(expression: Expression) -> bool:
    return all(isinstance(flag, str) for flag in _flags_of(expression))


def _joined(flags: BinaryOperation) -> Expression:
    """Return flags joined by `|` in one order."""
    first, *rest = sorted(dict.fromkeys(_flags_of(flags)), key=_order)
    joined: Expression = first
    for flag in rest:
        joined = BinaryOperation("|", joined, flag)
    return joined


def _bitwise(operation: BinaryOperation) -> Expression:
    """Return a bitwise operation; a chain of them with constants on a mark as one mask, one XOR and one OR.

    The kernel holds such a chain as ``(value & mask) ^ toggle`` (net/netfilter/nft_bitwise.c), so that is all that can be
    told apart. What the OR sets, the mask clears here.
    """
    chain = _mask_and_toggle(operation)
    if chain is None:
        return BinaryOperation(operation.operator, canonical_expression(operation.left), canonical_expression(operation.right))
    value, mask, toggle = chain
    sets = ~mask & toggle & ALL_BITS
    toggle &= ~sets
    if mask | sets == ALL_BITS:
        mask = ALL_BITS
    result = value
    for operator, operand, neutral in (("&", mask, ALL_BITS), ("^", toggle, 0), ("|", sets, 0)):
        if operand != neutral:
            result = BinaryOperation(operator, result, operand)  # type: ignore[arg-type]
    return result


def _mask_and_toggle(expression: Expression) -> tuple[Expression, int, int] | None:
    if isinstance(expression, Meta | Ct) and expression.key == "mark":
        return expression, ALL_BITS, 0
    if not (isinstance(expression, BinaryOperation) and isinstance(expression.right, int)):
        return None
    inner = _mask_and_toggle(expression.left)
    if inner is None:
        return None
    value, mask, toggle = inner
    operand = expression.right & ALL_BITS
    match expression.operator:
        case "&":
            return value, mask & operand, toggle & operand
        case "^":
            return value, mask, toggle ^ operand
        case "|":
            return value, mask & ~operand, (toggle & ~operand) | operand
        case _:
            return None


# -- sets and maps -------------------------------------------------------------------------------------------------


def canonical_elements(elements: Iterable[Expression], kinds: tuple[str, ...], *, merge: bool | None = None) -> tuple[Expression, ...]:
    """Return the elements of a set in one order.

    Values that overlap or touch become one interval where `merge` says so; None does what nft does in sets without a name,
    which merges as soon as one element is written as an interval, be it one of a single value.
    """
    written = tuple(elements)
    values = list(dict.fromkeys(canonical_expression(element, kinds) for element in written))
    if any(isinstance(element, Range | Prefix) for element in written) if merge is None else merge:
        values = _merged(values)
    return tuple(sorted(values, key=_order))


def canonical_map(where: SetRef | AnonymousMap, kinds: tuple[str, ...]) -> SetRef | AnonymousMap:
    """Return what a lookup looks into, its elements in one order."""
    return where if isinstance(where, SetRef) else AnonymousMap(canonical_pairs(where.elements, kinds))


def canonical_pairs(
    pairs: Iterable[tuple[Expression, Expression | Verdict]], kinds: tuple[str, ...], values: tuple[str, ...] = ("integer",)
) -> tuple[tuple[Expression, Expression | Verdict], ...]:
    """Return the elements of a map in the order of their keys."""
    named = (
        (canonical_expression(key, kinds), value if isinstance(value, Verdict) else canonical_expression(value, values))
        for key, value in pairs
    )
    return tuple(sorted(named, key=lambda pair: _order(pair[0])))


def _merged(values: list[Expression]) -> list[Expression]:
    """Join values and intervals of integers or addresses that overlap or touch."""
    bounds = sorted((bound for bound in map(_bounds, values) if bound is not None), key=lambda bound: bound[:3])
    rest = [value for value in values if _bounds(value) is None]
    joined: list[tuple[int, int, int, type[Any]]] = []
    for version, first, last, make in bounds:
        if joined and joined[-1][0] == version and first <= joined[-1][2] + 1:
            joined[-1] = (version, joined[-1][1], max(last, joined[-1][2]), make)
        else:
            joined.append((version, first, last, make))
    return rest + [_range(make(first), make(last)) for _, first, last, make in joined]


def _bounds(value: Expression) -> tuple[int, int, int, type[Any]] | None:
    """Return kind, first and last number of a value or an interval, and what makes a value of a number."""
    match value:
        case bool():
            return None
        case int():
            return 0, value, value, int
        case IPv4Address() | IPv6Address():
            return value.version, int(value), int(value), type(value)
        case Prefix(network):
            return network.version, int(network[0]), int(network[-1]), type(network.network_address)
        case Range(int() as first, int() as last):
            return 0, first, last, int
        case Range(IPv4Address() | IPv6Address() as first, last):
            return first.version, int(first), int(last), type(first)
        case _:
            return None


def _order(value: Expression) -> tuple[Any, ...]:
    """Return what elements are sorted by: numbers and addresses by value, everything else by its text."""
    if isinstance(value, Concat):
        return (2, *(_order(part) for part in value.parts))
    bounds = _bounds(value)
    return (0, *bounds[:3]) if bounds is not None else (1, str(value))
