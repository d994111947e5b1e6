"""nft rule sets as nft(8) text, the form an operator reads and pastes.

What has no class in this lab (`OpaqueStatement`, `OpaqueExpression`) has a text only where it uses a stateful object by its name,
limits bytes, or writes to a set: `has_text` says so beforehand, and `rule_text` shows any other such part as its JSON in angle
brackets, which a person can read and nft refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    BinaryOperation,
    Chain,
    Concat,
    Counter,
    Ct,
    Expression,
    Family,
    Fib,
    Lifetime,
    Limit,
    Log,
    Mangle,
    MapLookup,
    Match,
    Meta,
    NamedCounter,
    Nat,
    NftMap,
    NftRule,
    NftSet,
    NftTable,
    NoTrack,
    Numgen,
    OpaqueExpression,
    OpaqueStatement,
    Payload,
    Prefix,
    Range,
    Reject,
    RoutingMtu,
    SetRef,
    StatefulObject,
    Statement,
    TcpOption,
    Verdict,
    VerdictMap,
)
from lab.state.nftables.datatypes import FLAGS, datatypes
from lab.state.nftables.expressions import decode_expression
from lab.state.nftables.stateful import USES, limit_text, object_lines
from lab.state.nftables.statements import DEFAULT_BURST, decode_statement, nat_family
from lab.state.nftables.words import is_name

UNQUALIFIED = ("iif", "oif", "iifname", "oifname")
"""Keys of meta that are written without the word."""

QUOTED = ("ifname", "iface_index", "string")
"""Data types whose values are written in quotes."""

PLAIN = ("integer",)

# -- tables --------------------------------------------------------------------------------------------------------


def table_text(table: NftTable) -> str:
    """Return a table as a block that ``nft -f`` loads, without counters' values."""
    chains = (_chain_lines(chain, table.family) for chain in table.chains)
    return block_text(table, [*map(object_lines, table.objects), *map(_set_lines, table.sets), *map(_map_lines, table.maps), *chains])


def block_text(table: NftTable, parts: Iterable[Iterable[str]]) -> str:
    """Return a block that adds some parts to a table, or makes the table with them."""
    body = "\n\n".join("\n".join(f"\t{line}" for line in lines) for lines in parts)
    return f"table {table.family} {table.name} {{\n{body}\n}}\n" if body else f"table {table.family} {table.name} {{\n}}\n"


def _chain_lines(chain: Chain, family: Family) -> list[str]:
    head = [f"\t{chain_header(chain)}"] if chain.hook else []
    return [f"chain {chain.name} {{", *head, *(f"\t{rule_text(rule, family)}" for rule in chain.rules), "}"]


def chain_header(chain: Chain) -> str:
    """Return type, hook, priority and policy of a base chain."""
    device = (
        f' device "{chain.devices[0]}"'
        if len(chain.devices) == 1
        else f" devices = {{ {', '.join(chain.devices)} }}"
        if chain.devices
        else ""
    )
    return f"type {chain.type} hook {chain.hook}{device} priority {chain.priority or 0}; policy {chain.policy or 'accept'};"


def _set_lines(nft_set: NftSet) -> list[str]:
    lines = [f"set {nft_set.name} {{", *(f"\t{line}" for line in set_header(nft_set))]
    if nft_set.elements:
        lines.append(f"\telements = {container_text(nft_set)}")
    return [*lines, "}"]


def _map_lines(nft_map: NftMap) -> list[str]:
    lines = [f"map {nft_map.name} {{", *(f"\t{line}" for line in map_header(nft_map))]
    if nft_map.elements:
        lines.append(f"\telements = {container_text(nft_map)}")
    return [*lines, "}"]


def set_header(nft_set: NftSet) -> Iterator[str]:
    """Yield the lines that declare a set: type, flags, merging."""
    yield f"type {' . '.join(nft_set.key)}"
    yield from _options_lines(nft_set)
    if nft_set.auto_merge:
        yield "auto-merge"


def map_header(nft_map: NftMap) -> Iterator[str]:
    """Yield the lines that declare a map: types, flags."""
    yield f"type {' . '.join(nft_map.key)} : {nft_map.value}"
    yield from _options_lines(nft_map)


def _options_lines(container: NftSet | NftMap) -> Iterator[str]:
    options = container.options
    if options.size is not None:
        yield f"size {options.size}"
    if container.flags:
        yield f"flags {','.join(container.flags)}"
    if options.timeout is not None:
        yield f"timeout {options.timeout}s"
    if options.gc_interval is not None:
        yield f"gc-interval {options.gc_interval}s"
    yield from (statement_text(statement, "inet") for statement in options.statements)


def container_text(container: NftSet | NftMap) -> str:
    """Return the elements of a set or map with their lifetimes, in braces."""
    lifetimes = {one.element: _lifetime_text(one) for one in container.options.lifetimes}
    if isinstance(container, NftSet):
        return f"{{ {', '.join(expression_text(e, container.key) + lifetimes.get(e, '') for e in container.elements)} }}"
    values = tuple(container.value.split(" . "))
    pairs = (
        (expression_text(key, container.key) + lifetimes.get(key, ""), _value_text(value, values)) for key, value in container.elements
    )
    return f"{{ {', '.join(f'{key} : {value}' for key, value in pairs)} }}"


def _lifetime_text(lifetime: Lifetime) -> str:
    timeout = f" timeout {lifetime.timeout}s" if lifetime.timeout else ""
    return timeout + (f" expires {lifetime.expires}s" if lifetime.expires else "")


def elements_text(elements: Iterable[Expression], kinds: tuple[str, ...]) -> str:
    """Return elements of a set whose key has these data types, in braces."""
    return f"{{ {', '.join(expression_text(element, kinds) for element in elements)} }}"


def pairs_text(pairs: Iterable[tuple[Expression, Expression | Verdict]], kinds: tuple[str, ...], values: tuple[str, ...] = PLAIN) -> str:
    """Return elements of a map with keys and values of these data types, in braces."""
    return f"{{ {', '.join(f'{expression_text(key, kinds)} : {_value_text(value, values)}' for key, value in pairs)} }}"


def _value_text(value: Expression | Verdict, kinds: tuple[str, ...]) -> str:
    return verdict_text(value) if isinstance(value, Verdict) else expression_text(value, kinds)


# -- rules and statements ------------------------------------------------------------------------------------------


def rule_text(rule: NftRule, family: Family) -> str:
    """Return one rule of a table of `family`."""
    words = [statement_text(statement, family) for statement in rule.statements]
    if rule.comment is not None:
        words.append(f'comment "{rule.comment}"')
    return " ".join(words)


def statement_text(statement: Statement, family: Family) -> str:
    """Return one statement of a rule in a table of `family`."""
    match statement:
        case Match():
            return _match_text(statement)
        case Counter():
            return "counter"
        case NamedCounter(name):
            return f'counter name "{name}"'
        case Verdict():
            return verdict_text(statement)
        case VerdictMap(key, where):
            return f"{expression_text(key)} vmap {_map_text(where, datatypes(key))}"
        case Mangle(key, value):
            return f"{expression_text(key)} set {expression_text(value, datatypes(key))}"
        case Nat():
            return _nat_text(statement, family)
        case Reject():
            return _reject_text(statement)
        case Log(prefix, group):
            return "log" + (f' prefix "{prefix}"' if prefix is not None else "") + (f" group {group}" if group is not None else "")
        case Limit():
            over = "over " if statement.over else ""
            return f"limit rate {over}{statement.rate}/{statement.per} burst {statement.burst or DEFAULT_BURST} packets"
        case NoTrack():
            return "notrack"
        case OpaqueStatement(text):
            return _opaque_text(text, family)


def _opaque_text(text: str, family: Family) -> str:
    """Return a statement for which there is no class. Where nft has no JSON either, its text stands in the JSON of the rule."""
    statement = json.loads(text)
    if isinstance(statement, str):
        return statement
    ((kind, body),) = statement.items()
    if kind in USES and (isinstance(body, str) or (isinstance(body, dict) and "map" in body)):
        name = f'"{body}"' if isinstance(body, str) else expression_text(decode_expression(body))
        return f"{USES[kind]} {name}"
    if kind == "limit":
        return f"limit {limit_text(body)}"
    if kind == "set":
        return _set_statement_text(body, family)
    return f"<{text}>"


def _set_statement_text(body: dict[str, Any], family: Family) -> str:
    """Return what adds an element to a set of a packet's values, or takes it out; nft(8), SET STATEMENT."""
    element = body["elem"]
    options = element["elem"] if isinstance(element, dict) and "elem" in element else {}
    words = [expression_text(decode_expression(options.get("val", element)))]
    words += [f"timeout {options['timeout']}s"] if "timeout" in options else []
    words += [statement_text(decode_statement(statement), family) for statement in body.get("stmt", ())]
    return f"{body['op']} {body['set']} {{ {' '.join(words)} }}"


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict, with the chain it leads to."""
    return verdict.kind if verdict.chain is None else f"{verdict.kind} {verdict.chain}"


def _match_text(match: Match) -> str:
    kinds = datatypes(match.left)
    left = expression_text(match.left)
    if match.operator == "in":
        flags = match.right.elements if isinstance(match.right, AnonymousSet) else (match.right,)
        return f"{left} {','.join(expression_text(flag, kinds) for flag in flags)}"
    if isinstance(match.right, bool):
        return f"{left} {'exists' if match.right is (match.operator == '==') else 'missing'}"
    return f"{left} {_operator(match, kinds)}{expression_text(match.right, kinds)}"


def _operator(match: Match, kinds: tuple[str, ...]) -> str:
    """Return the operator where it must be written: flags without one would be tested with ``in``."""
    needed = match.operator != "==" or kinds[0] in FLAGS or isinstance(match.left, BinaryOperation | Numgen)
    return f"{match.operator} " if needed else ""


def _nat_text(nat: Nat, family: Family) -> str:
    words: list[str] = [nat.kind]
    told = nat_family(nat, family)
    if told is not None:
        words.append(told)
    if nat.address is not None or nat.port is not None:
        words += ["to", _nat_target(nat)]
    if nat.flags:
        words.append(",".join(nat.flags))
    return " ".join(words)


def _nat_target(nat: Nat) -> str:
    address = "" if nat.address is None else expression_text(nat.address)
    if nat.port is None:
        return address
    bracketed = f"[{address}]" if isinstance(nat.address, IPv6Address) else address
    return f"{bracketed}:{expression_text(nat.port)}"


def _reject_text(reject: Reject) -> str:
    if reject.type is None:
        return "reject"
    if reject.type == "tcp reset":
        return "reject with tcp reset"
    return f"reject with {reject.type} type {reject.code or 'port-unreachable'}"


# -- expressions ---------------------------------------------------------------------------------------------------

_PRECEDENCE = {"|": 1, "^": 2, "&": 3, "<<": 4, ">>": 4}


def expression_text(expression: Expression, kinds: tuple[str, ...] = PLAIN) -> str:
    """Return an expression that is compared with, or assigned to, something of these data types."""
    match expression:
        case bool():
            return "exists" if expression else "missing"
        case int():
            return f"0x{expression:x}" if kinds[0] == "mark" else str(expression)
        case str():
            return f'"{expression}"' if kinds[0] in QUOTED else expression
        case IPv4Address() | IPv6Address():
            return str(expression)
        case Prefix(network):
            return str(network)
        case Range(first, last):
            return f"{expression_text(first, kinds)}-{expression_text(last, kinds)}"
        case SetRef(name):
            return f"@{name}"
        case AnonymousSet(elements):
            return elements_text(elements, kinds)
        case Concat(parts):
            padded = kinds if len(kinds) == len(parts) else PLAIN * len(parts)
            return " . ".join(expression_text(part, (kind,)) for part, kind in zip(parts, padded, strict=True))
        case BinaryOperation(operator, left, right):
            strength = _PRECEDENCE[operator]
            inner = kinds if kinds != PLAIN else datatypes(left)
            return f"{_operand(left, inner, strength)} {operator} {_operand(right, inner, strength + 1)}"
        case MapLookup(key, where):
            return f"{expression_text(key)} map {_map_text(where, datatypes(key), kinds)}"
        case _:
            return _key_text(expression)


def _operand(expression: Expression, kinds: tuple[str, ...], strength: int) -> str:
    text = expression_text(expression, kinds)
    return f"({text})" if isinstance(expression, BinaryOperation) and _PRECEDENCE[expression.operator] < strength else text


def _map_text(where: SetRef | AnonymousMap, kinds: tuple[str, ...], values: tuple[str, ...] = PLAIN) -> str:
    return f"@{where.name}" if isinstance(where, SetRef) else pairs_text(where.elements, kinds, values)


def _key_text(key: Payload | Meta | Ct | Fib | Numgen | TcpOption | RoutingMtu | OpaqueExpression) -> str:
    match key:
        case Payload(protocol, field):
            return f"{protocol} {field}"
        case Meta(name):
            return name if name in UNQUALIFIED else f"meta {name}"
        case Ct(name, direction, family):
            return " ".join(word for word in ("ct", direction, family, name) if word)
        case Fib(result, flags):
            return f"fib {' . '.join(flags)} {result}"
        case Numgen(mode, modulus, offset):
            return f"numgen {mode} mod {modulus}" + (f" offset {offset}" if offset else "")
        case TcpOption(option, field):
            return f"tcp option {option} {field}"
        case RoutingMtu():
            return "rt mtu"
        case OpaqueExpression(text):
            return f"<{text}>"


# -- what has a text -----------------------------------------------------------------------------------------------


def has_text(table: NftTable) -> bool:
    """Whether nft accepts the text of a table: nothing opaque is in it, no word of the language is a name, no quotation is broken."""
    return declarations_have_text(table) and all(_rule_has_text(rule) for chain in table.chains for rule in chain.rules)


def declarations_have_text(table: NftTable) -> bool:
    """Whether nft accepts the text of a table without its rules."""
    named: Iterable[Chain | NftSet | NftMap | StatefulObject] = (*table.chains, *table.sets, *table.maps, *table.objects)
    names = (table.name, *(thing.name for thing in named))
    written = [*map(_set_lines, table.sets), *map(_map_lines, table.maps), *map(object_lines, table.objects)]
    return all(map(is_name, names)) and not any("<{" in line for lines in written for line in lines)


def _rule_has_text(rule: NftRule) -> bool:
    quoted = (rule.comment or "", *(s.prefix or "" for s in rule.statements if isinstance(s, Log)))
    return not any('"' in text for text in quoted) and "<{" not in " ".join(statement_text(s, "inet") for s in rule.statements)
