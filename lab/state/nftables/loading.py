"""How tables get into a kernel: as JSON, as text, or as both, since nft 1.0.6 reads neither all of the one nor all of the other.

As JSON it makes no map whose values are concatenated (`nft` ends by a fault), no chain of several devices, no set that packets add to, and
not every stateful object.
As text there is nothing for a statement this lab has no class for, nor for a name that is a word of the language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lab.state.nft import NftTable, OpaqueStatement
from lab.state.nftables.ruleset import rule_object, table_objects
from lab.state.nftables.text import declarations_have_text, has_text, table_text

Script = str | list[dict[str, Any]]
"""What nft reads as one transaction: text, or commands as JSON."""


def scripts_of(tables: Sequence[NftTable], deleted: Sequence[NftTable]) -> Iterator[Script]:
    """Yield what deletes tables and then makes others where they are not: one transaction wherever one will do."""
    if all(map(_has_json, tables)):
        yield [*_deletions(deleted), *({"add": thing} for table in tables for thing in table_objects(table))]
        return
    mixed = [table for table in tables if not has_text(table)]
    lines = [f"delete table {table.family} {table.name}\n" for table in deleted]
    yield "".join([*lines, *(table_text(table if has_text(table) else _without_rules(table)) for table in tables if _is_declared(table))])
    if mixed:
        yield [{"add": thing} for table in mixed for thing in (_rules(table) if _is_declared(table) else table_objects(table))]


def _is_declared(table: NftTable) -> bool:
    """Whether all of a table but rules goes in as text."""
    return declarations_have_text(table)


def _deletions(deleted: Sequence[NftTable]) -> Iterator[dict[str, Any]]:
    yield from ({"delete": {"table": {"family": table.family, "name": table.name}}} for table in deleted)


def _has_json(table: NftTable) -> bool:
    several = any(len(chain.devices) > 1 for chain in table.chains)
    dynamic = any("dynamic" in flags for flags in (*(s.flags for s in table.sets), *(m.flags for m in table.maps)))
    worded = any(
        isinstance(s, OpaqueStatement) and s.json.startswith('"') for c in table.chains for rule in c.rules for s in rule.statements
    )
    return not (several or dynamic or worded or table.objects or any(" . " in nft_map.value for nft_map in table.maps))


def _without_rules(table: NftTable) -> NftTable:
    return replace(table, chains=tuple(replace(chain, rules=()) for chain in table.chains))


def _rules(table: NftTable) -> Iterator[dict[str, Any]]:
    yield from (rule_object(table, chain.name, rule) for chain in table.chains for rule in chain.rules)
