"""nft rule sets as commands: one transaction for each namespace, where nft has words for all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lab.state.commands.command import Command
from lab.state.nft import Chain, NftMap, NftSet, NftTable
from lab.state.nft_difference import RuleEdit, TableDifference
from lab.state.nftables import has_text, rule_text, scripts_of, table_text
from lab.state.nftables.stateful import object_lines
from lab.state.nftables.text import block_text, chain_header, container_text, elements_text, map_header, set_header
from lab.state.provenance import UNKNOWN


def change_tables(namespace: str, found: Sequence[TableDifference]) -> Iterator[Command]:
    """Yield what turns one rule set into another: as text in one transaction; a table for which nft(8) lacks words is made anew."""
    worded = [one for one in found if one.after is None or has_text(one.after)]
    if worded:
        lines = [line for one in worded for line in table_script(one)]
        yield Command(namespace, ("nft", "-f", "-"), "\n".join(lines) + "\n", _why(worded))
    wordless = [one for one in found if one not in worded]
    made = [one.after for one in wordless if one.after is not None]
    gone = [one.before for one in wordless if one.before is not None]
    for script in scripts_of(made, gone) if made else ():
        if isinstance(script, str):
            yield Command(namespace, ("nft", "-f", "-"), script, _why(wordless))
        else:
            yield Command(namespace, ("nft", "-j", "-f", "-"), json.dumps({"nftables": script}, indent=1), _why(wordless))


def _why(found: Sequence[TableDifference]) -> Any:
    table = found[0].after or found[0].before
    return table.provenance if table is not None else UNKNOWN


# -- text ----------------------------------------------------------------------------------------------------------


def table_script(found: TableDifference) -> Iterator[str]:
    """Yield the lines of an `nft -f` script that turns one table into another.

    Only what differs is touched, so that counters of other rules live on. A rule is deleted by its handle where that is
    known; otherwise its chain is written anew. A set whose type differs cannot be changed while rules use it, nor can a stateful
    object: then the whole table is replaced.
    """
    where = f"{found.family} {found.name}"
    if found.before is None or found.after is None or _retyped(found) or found.changed_objects:
        if found.before is not None:
            yield f"delete table {where}"
        if found.after is not None:
            yield from table_text(found.after).splitlines()
        return
    if found.added_objects:
        yield from block_text(found.after, map(object_lines, found.added_objects)).splitlines()
    rewritten = {after.name: after for before, after in found.rebased if not _same_hook(before, after)}
    for name, chain in rewritten.items():
        yield f"flush chain {where} {name}"
        yield f"delete chain {where} {name}"
        yield f"add chain {where} {name} {{ {chain_header(chain)} }}"
    for chain in (*found.added_chains, *(after for _, after in found.rebased if after.name not in rewritten)):
        yield f"add chain {where} {chain.name}" + (f" {{ {chain_header(chain)} }}" if chain.hook else "")
    for container in found.added_sets:
        yield from _added_set(where, container)
    for before, after in found.changed_sets:
        yield from _changed_elements(where, before, after)
    for chain in (*found.added_chains, *rewritten.values()):
        yield from (f"add rule {where} {chain.name} {rule_text(rule, found.family)}" for rule in chain.rules)
    yield from _edited_rules(found, where, skip=set(rewritten))
    yield from (f"flush chain {where} {chain.name}" for chain in found.removed_chains)
    for gone in found.removed_sets:
        yield f"delete {_word(gone)} {where} {gone.name}"
    yield from (f"delete {thing.kind} {where} {thing.name}" for thing in found.removed_objects)
    yield from (f"delete chain {where} {chain.name}" for chain in found.removed_chains)


def _same_hook(before: Chain, after: Chain) -> bool:
    """Whether a base chain is called at the same place: then its policy can be changed as it stands."""
    return (before.type, before.hook, before.priority, before.devices) == (after.type, after.hook, after.priority, after.devices)


def _retyped(found: TableDifference) -> bool:
    """Whether a set is to be another kind of set, or a map, under the name it has."""
    removed, added = ({container.name for container in containers} for containers in (found.removed_sets, found.added_sets))
    return bool(removed & added) or any(_declaration(before) != _declaration(after) for before, after in found.changed_sets)


def _declaration(container: NftSet | NftMap) -> tuple[object, ...]:
    options = replace(container.options, lifetimes=())
    flags = {*container.flags, *([] if options.timeout is None else ["timeout"])}
    return type(container), container.key, getattr(container, "value", None), flags, options


def _word(container: NftSet | NftMap) -> str:
    return "set" if isinstance(container, NftSet) else "map"


def _added_set(where: str, container: NftSet | NftMap) -> Iterator[str]:
    header = set_header(container) if isinstance(container, NftSet) else map_header(container)
    yield f"add {_word(container)} {where} {container.name} {{ {' '.join(f'{line};' for line in header)} }}"
    if container.elements:
        yield f"add element {where} {container.name} {container_text(container)}"


def _changed_elements(where: str, before: NftSet | NftMap, after: NftSet | NftMap) -> Iterator[str]:
    """Yield what changes the elements of a set. One that joins its intervals is filled anew: what it holds may be joined."""
    if isinstance(before, NftSet) and isinstance(after, NftSet) and not (before.auto_merge or after.auto_merge):
        had, has = ({one.element: one.timeout for one in side.options.lifetimes} for side in (before, after))
        gone = tuple(e for e in before.elements if e not in after.elements or had.get(e) != has.get(e))
        come = tuple(e for e in after.elements if e in gone or e not in before.elements)
        if gone:
            yield f"delete element {where} {after.name} {elements_text(gone, after.key)}"
        if come:
            yield f"add element {where} {after.name} {container_text(replace(after, elements=come))}"
        return
    if before.elements:
        yield f"flush {_word(after)} {where} {after.name}"
    if after.elements:
        yield f"add element {where} {after.name} {container_text(after)}"


def _edited_rules(found: TableDifference, where: str, skip: set[str]) -> Iterator[str]:
    edited: dict[str, list[RuleEdit]] = {}
    for edit in found.rules:
        if edit.chain not in skip:
            edited.setdefault(edit.chain, []).append(edit)
    before, after = _chains(found.before), _chains(found.after)
    for name, edits in edited.items():
        removed = [edit.rule for edit in edits if not edit.added]
        added = [edit for edit in edits if edit.added]
        appended = not added or added[0].position == len(before[name].rules) - len(removed)
        if removed and (any(rule.handle is None for rule in removed) or not appended):
            yield f"flush chain {where} {name}"
            yield from (f"add rule {where} {name} {rule_text(rule, found.family)}" for rule in after[name].rules)
            continue
        yield from (f"delete rule {where} {name} handle {rule.handle}" for rule in removed)
        for edit in added:
            # `add ... index N` adds behind the rule at N, which counts from 0; the rules added before count as well.
            place = "insert rule" if edit.position == 0 else "add rule"
            index = "" if appended or edit.position == 0 else f" index {edit.position - 1}"
            yield f"{'add rule' if appended else place} {where} {name}{index} {rule_text(edit.rule, found.family)}"


def _chains(table: NftTable | None) -> dict[str, Chain]:
    return {chain.name: chain for chain in table.chains} if table is not None else {}
