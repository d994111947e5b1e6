"""What distinguishes two nft rule sets, down to the rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TypeVar

from lab.state.nft import Chain, Family, NftMap, NftRule, NftSet, NftTable, StatefulObject
from lab.state.nftables import canonical, canonical_chain

Named = TypeVar("Named", Chain, NftSet, NftMap, StatefulObject)


@dataclass(frozen=True, slots=True)
class RuleEdit:
    """A rule that is only in one of two chains of a name: at this position (from 0) of the chain it is in."""

    chain: str
    position: int
    rule: NftRule
    added: bool


@dataclass(frozen=True, slots=True)
class TableDifference:
    """What distinguishes a table before and after; one of the two is None where the table comes or goes as a whole.

    Chains, sets and maps that come or go do so with their rules and elements. A chain whose hook, type, priority or policy
    differs is in `rebased`; `rules` holds the rules in which chains of both sides differ, chain by chain, those to be
    removed in the order of the first chain and those to be added in the order of the second.
    """

    family: Family
    name: str
    before: NftTable | None
    after: NftTable | None
    removed_chains: tuple[Chain, ...] = ()
    added_chains: tuple[Chain, ...] = ()
    rebased: tuple[tuple[Chain, Chain], ...] = ()
    rules: tuple[RuleEdit, ...] = ()
    removed_sets: tuple[NftSet | NftMap, ...] = ()
    added_sets: tuple[NftSet | NftMap, ...] = ()
    changed_sets: tuple[tuple[NftSet | NftMap, NftSet | NftMap], ...] = ()
    removed_objects: tuple[StatefulObject, ...] = ()
    added_objects: tuple[StatefulObject, ...] = ()
    changed_objects: tuple[tuple[StatefulObject, StatefulObject], ...] = ()


def difference_of_tables(before: Sequence[NftTable], after: Sequence[NftTable]) -> tuple[TableDifference, ...]:
    """Return what distinguishes two rule sets, table by table; the order of tables means nothing to the kernel."""
    if before == after:
        return ()
    old = {(table.family, table.name): table for table in before}
    new = {(table.family, table.name): table for table in after}
    gone = [TableDifference(*key, table, None) for key, table in old.items() if key not in new]
    changed = (_difference(old[key], table) if key in old else TableDifference(*key, None, table) for key, table in new.items())
    return (*gone, *(found for found in changed if found is not None))


def _difference(before: NftTable, after: NftTable) -> TableDifference | None:
    """Return what distinguishes two tables of one name; None when they are equal in canonical form."""
    if before == after or canonical(before) == canonical(after):
        return None
    old, new = _by_name(before.chains), _by_name(after.chains)
    common = [(old[name], chain) for name, chain in new.items() if name in old]
    had, has = ({(thing.kind, thing.name): thing for thing in table.objects} for table in (before, after))
    edits = [edit for one, other in common for edit in _edits(one, other, after.family)]
    found = TableDifference(
        after.family,
        after.name,
        before,
        after,
        removed_chains=tuple(chain for name, chain in old.items() if name not in new),
        added_chains=tuple(chain for name, chain in new.items() if name not in old),
        rebased=tuple((one, other) for one, other in common if _base(one, after.family) != _base(other, after.family)),
        rules=tuple(edits),
        removed_sets=(*_only_in(before.sets, after.sets), *_only_in(before.maps, after.maps)),
        added_sets=(*_only_in(after.sets, before.sets), *_only_in(after.maps, before.maps)),
        changed_sets=(*_changed(before, after, "sets"), *_changed(before, after, "maps")),
        removed_objects=tuple(thing for key, thing in had.items() if key not in has),
        added_objects=tuple(thing for key, thing in has.items() if key not in had),
        changed_objects=tuple((had[key], thing) for key, thing in has.items() if key in had and had[key] != thing),
    )
    return found if _is_something(found) else None


def _is_something(found: TableDifference) -> bool:
    """Tables whose chains only stand in another order are equal: the kernel calls chains by hook and priority."""
    return bool(
        found.removed_chains
        or found.added_chains
        or found.rebased
        or found.rules
        or found.removed_sets
        or found.added_sets
        or found.changed_sets
        or found.removed_objects
        or found.added_objects
        or found.changed_objects
    )


def _base(chain: Chain, family: Family) -> Chain:
    return canonical_chain(replace(chain, rules=()), family)


def _edits(before: Chain, after: Chain, family: Family) -> Iterator[RuleEdit]:
    if before.rules == after.rules:
        return
    old, new = canonical_chain(before, family).rules, canonical_chain(after, family).rules
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for tag, i1, i2, _, _ in codes:
        if tag in ("delete", "replace"):
            yield from (RuleEdit(before.name, i, before.rules[i], added=False) for i in range(i1, i2))
    for tag, _, _, j1, j2 in codes:
        if tag in ("insert", "replace"):
            yield from (RuleEdit(after.name, j, after.rules[j], added=True) for j in range(j1, j2))


def _by_name(items: Sequence[Named]) -> dict[str, Named]:
    return {item.name: item for item in items}


def _only_in(these: Sequence[Named], those: Sequence[Named]) -> Iterator[Named]:
    names = _by_name(those)
    return (item for item in these if item.name not in names)


def _changed(before: NftTable, after: NftTable, kind: str) -> Iterator[tuple[NftSet | NftMap, NftSet | NftMap]]:
    """Yield sets or maps of both tables that differ in canonical form, as they were written."""
    old, new = _by_name(getattr(before, kind)), _by_name(getattr(after, kind))
    forms = _by_name(getattr(canonical(before), kind)), _by_name(getattr(canonical(after), kind))
    for name, item in new.items():
        if name in old and forms[0][name] != forms[1][name]:
            yield old[name], item
