"""Whole rule sets to and from the JSON of libnftables-json(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from lab.state.nft import (
    PLAIN_SET,
    Chain,
    Expression,
    Family,
    Lifetime,
    NftMap,
    NftRule,
    NftSet,
    NftTable,
    SetOptions,
    StatefulObject,
    Verdict,
)
from lab.state.nftables.expressions import decode_expression, decode_pair, encode_expression, encode_pair
from lab.state.nftables.stateful import KINDS, decode_object, encode_object
from lab.state.nftables.statements import decode_statement, encode_statement
from lab.state.nftables.values import canonical_elements

Container = TypeVar("Container", NftSet, NftMap)

FAMILIES: tuple[Family, ...] = ("ip", "ip6", "inet", "arp", "bridge", "netdev")

# -- encoding ------------------------------------------------------------------------------------------------------


def to_json(tables: Iterable[NftTable]) -> dict[str, Any]:
    """Return the commands that make these tables where none of them exists, as one libnftables document."""
    return {"nftables": [{"add": command} for table in tables for command in table_objects(table)]}


def table_objects(table: NftTable) -> Iterator[dict[str, Any]]:
    """Yield the objects of a table in the order in which they can be added: each after everything it refers to."""
    yield {"table": {"family": table.family, "name": table.name}}
    yield from (encode_object(table, thing) for thing in table.objects)
    yield from (chain_object(table, chain) for chain in table.chains)
    yield from (set_object(table, nft_set) for nft_set in table.sets)
    yield from (map_object(table, nft_map) for nft_map in table.maps)
    yield from (rule_object(table, chain.name, rule) for chain in table.chains for rule in chain.rules)


def chain_object(table: NftTable, chain: Chain) -> dict[str, Any]:
    """Return a chain without its rules."""
    body: dict[str, Any] = {"family": table.family, "table": table.name, "name": chain.name}
    if chain.hook is not None:
        body |= {"type": chain.type, "hook": chain.hook, "prio": chain.priority or 0, "policy": chain.policy or "accept"}
    if chain.devices:
        body["dev"] = chain.devices[0] if len(chain.devices) == 1 else list(chain.devices)
    return {"chain": body}


def rule_object(table: NftTable, chain: str, rule: NftRule) -> dict[str, Any]:
    """Return a rule, ready to be added to the end of a chain."""
    body: dict[str, Any] = {
        "family": table.family,
        "table": table.name,
        "chain": chain,
        "expr": [encode_statement(statement, table.family) for statement in rule.statements],
    }
    return {"rule": body | {"comment": rule.comment} if rule.comment is not None else body}


def set_object(table: NftTable, nft_set: NftSet) -> dict[str, Any]:
    """Return a named set with its elements, merged where that is wanted: nft 1.0.6 overlooks `auto-merge` in JSON."""
    body = _container(table, nft_set)
    elements = nft_set.elements
    if nft_set.auto_merge:
        body["auto-merge"] = True
        elements = canonical_elements(elements, nft_set.key, merge=True)
    if elements:
        body["elem"] = [_with_lifetime(nft_set, element) for element in elements]
    return {"set": body}


def map_object(table: NftTable, nft_map: NftMap) -> dict[str, Any]:
    """Return a named map with its elements.

    nft 1.0.6 reads no map whose values are concatenated as JSON, later releases do; as text all of them do.
    """
    parts = nft_map.value.split(" . ")
    body = _container(table, nft_map) | {"map": parts if len(parts) > 1 else nft_map.value}
    if nft_map.elements:
        body["elem"] = [[_with_lifetime(nft_map, key), encode_pair(key, value)[1]] for key, value in nft_map.elements]
    return {"map": body}


def _container(table: NftTable, container: NftSet | NftMap) -> dict[str, Any]:
    body: dict[str, Any] = {
        "family": table.family,
        "table": table.name,
        "name": container.name,
        "type": list(container.key) if len(container.key) > 1 else container.key[0],
    }
    if container.flags:
        body["flags"] = list(container.flags)
    options = container.options
    said = {"size": options.size, "timeout": options.timeout, "gc-interval": options.gc_interval}
    body |= {name: value for name, value in said.items() if value is not None}
    return body | {"stmt": [encode_statement(s, table.family) for s in options.statements]} if options.statements else body


def _with_lifetime(container: NftSet | NftMap, element: Expression) -> Any:
    value = encode_expression(element)
    lifetime = next((one for one in container.options.lifetimes if one.element == element), None)
    if lifetime is None:
        return value
    said = {"timeout": lifetime.timeout, "expires": lifetime.expires}
    return {"elem": {"val": value} | {name: seconds for name, seconds in said.items() if seconds}}


# -- decoding ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Table:
    """A table while its objects arrive."""

    family: Family
    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    rules: dict[str, list[NftRule]] = field(default_factory=dict)
    sets: list[NftSet] = field(default_factory=list)
    maps: list[NftMap] = field(default_factory=list)
    objects: list[StatefulObject] = field(default_factory=list)

    def done(self) -> NftTable:
        chains = tuple(replace(chain, rules=tuple(self.rules.get(chain.name, ()))) for chain in self.chains.values())
        return NftTable(self.family, self.name, chains, tuple(self.sets), tuple(self.maps), tuple(self.objects))


def from_json(document: dict[str, Any]) -> tuple[NftTable, ...]:
    """Return the tables of a document as ``nft -j list ruleset`` prints it, every part in the form the kernel gave.

    `canonical` turns them into the form in which two rule sets can be compared. Flow tables are left out; statements that
    use them are opaque.
    """
    tables: dict[tuple[str, str], _Table] = {}
    for item in document["nftables"]:
        item = item.get("add", item)
        ((kind, body),) = item.items()
        if kind == "table":
            tables[body["family"], body["name"]] = _Table(body["family"], body["name"])
        elif kind in KINDS:
            tables[body["family"], body["table"]].objects.append(decode_object(kind, body))
        elif kind in _READERS:
            _READERS[kind](tables[body["family"], body["table"]], body)
    return tuple(table.done() for table in tables.values())


def _read_chain(table: _Table, body: dict[str, Any]) -> None:
    device = body.get("dev", ())
    table.chains[body["name"]] = Chain(
        body["name"],
        type=body.get("type"),
        hook=body.get("hook"),
        priority=body.get("prio"),
        policy=body.get("policy"),
        devices=(device,) if isinstance(device, str) else tuple(device),
    )


def _read_rule(table: _Table, body: dict[str, Any]) -> None:
    statements = tuple(decode_statement(statement) for statement in body["expr"])
    table.rules.setdefault(body["chain"], []).append(NftRule(statements, body.get("comment"), body.get("handle")))


def _read_set(table: _Table, body: dict[str, Any]) -> None:
    elements = tuple(decode_expression(element) for element in body.get("elem", ()))
    flags, merged = tuple(body.get("flags", ())), body.get("auto-merge", False)
    table.sets.append(NftSet(body["name"], _key(body), elements, flags, merged, _options(body, body.get("elem", ()))))


def _read_map(table: _Table, body: dict[str, Any]) -> None:
    value = body["map"]
    pairs: list[tuple[Expression, Expression | Verdict]] = []
    for element in body.get("elem", ()):
        pair = decode_pair(element)
        if pair is not None:
            pairs.append(pair)
    name = value if isinstance(value, str) else " . ".join(value)
    options = _options(body, [element[0] for element in body.get("elem", ()) if isinstance(element, list)])
    table.maps.append(NftMap(body["name"], _key(body), name, tuple(pairs), tuple(body.get("flags", ())), options))


def _options(body: dict[str, Any], keys: Iterable[Any]) -> SetOptions:
    """Return the options of a set or map, and the lifetimes of those of its elements that have one."""
    limited = [key["elem"] for key in keys if isinstance(key, dict) and not {"timeout", "expires"}.isdisjoint(key.get("elem", ()))]
    if not limited and body.keys().isdisjoint({"size", "timeout", "gc-interval", "stmt"}):
        return PLAIN_SET
    return SetOptions(
        body.get("size"),
        body.get("timeout"),
        body.get("gc-interval"),
        tuple(decode_statement(statement) for statement in body.get("stmt", ())),
        tuple(Lifetime(decode_expression(one["val"]), one.get("timeout"), one.get("expires")) for one in limited),
    )


def _key(body: dict[str, Any]) -> tuple[str, ...]:
    kind = body["type"]
    return (kind,) if isinstance(kind, str) else tuple(kind)


_READERS = {"chain": _read_chain, "rule": _read_rule, "set": _read_set, "map": _read_map}


# -- what nft 1.0.6 says in text alone -----------------------------------------------------------------------------

_OPENING = re.compile(r"(table|chain|set|map) .*\{$")
_DEVICES = re.compile(r"type \S+ hook (?:ingress|egress) device(?:s = \{([^}]*)\}| (\S+)) priority")


def with_devices(tables: Iterable[NftTable], text: str) -> tuple[NftTable, ...]:
    """Return tables with the devices of their chains, which nft 1.0.6 leaves out of its JSON and prints in its `text`."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    where = {"table": "", "chain": ""}
    for line in map(str.strip, text.splitlines()):
        opening, devices = _OPENING.match(line), _DEVICES.match(line)
        if opening is not None:
            where[opening[1]] = line.removeprefix(opening[1]).removesuffix("{").strip()
        elif devices is not None:
            names = (devices[1] or devices[2]).split(",")
            found[where["table"], where["chain"]] = tuple(name.strip().strip('"') for name in names)
    return tuple(
        replace(
            table,
            chains=tuple(
                replace(chain, devices=chain.devices or found.get((f"{table.family} {table.name}", chain.name), ()))
                for chain in table.chains
            ),
        )
        for table in tables
    )


def with_dynamic(tables: Iterable[NftTable], text: str) -> tuple[NftTable, ...]:
    """Return tables with the flag `dynamic` of sets and maps, which nft 1.0.6 leaves out of its JSON and prints in its `text`.

    Packets may add elements only to those that have it.
    """
    found: set[tuple[str, str]] = set()
    table = name = ""
    for line in map(str.strip, text.splitlines()):
        opening = _OPENING.match(line)
        if opening is not None:
            said = line.removeprefix(opening[1]).removesuffix("{").strip()
            table, name = (said, "") if opening[1] == "table" else (table, said)
        elif line.startswith("flags ") and "dynamic" in line.removeprefix("flags ").split(","):
            found.add((table, name))
    if not found:
        return tuple(tables)
    return tuple(
        replace(t, sets=tuple(_dynamic(t, s, found) for s in t.sets), maps=tuple(_dynamic(t, m, found) for m in t.maps)) for t in tables
    )


def _dynamic(table: NftTable, container: Container, found: set[tuple[str, str]]) -> Container:
    is_told = (f"{table.family} {table.name}", container.name) in found and "dynamic" not in container.flags
    return replace(container, flags=("dynamic", *container.flags)) if is_told else container
