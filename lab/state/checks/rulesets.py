"""What is wrong with nft rule sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from lab.errors import did_you_mean
from lab.state.checks.mistake import Mistake, repeated
from lab.state.network import Namespace
from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    BinaryOperation,
    Chain,
    Concat,
    Expression,
    Log,
    Mangle,
    MapLookup,
    Match,
    NamedCounter,
    Nat,
    NftMap,
    NftRule,
    NftSet,
    NftTable,
    SetRef,
    Statement,
    Verdict,
    VerdictMap,
)
from lab.state.provenance import Provenance

LONGEST_COMMENT = 128
"""NFTNL_UDATA_COMMENT_MAXLEN"""

NAT_HOOKS = ("prerouting", "input", "output", "postrouting")


def table_mistakes(namespace: Namespace) -> Iterator[Mistake]:
    """Yield what is wrong with the rule sets of a namespace."""
    for table in repeated(namespace.tables, lambda table: (table.family, table.name)):
        yield Mistake(f"nft table {table.family} {table.name} is there twice", table.provenance)
    for table in namespace.tables:
        yield from _named_once(table)
        yield from _loops(table)
        for chain in table.chains:
            yield from _based_well(table, chain)
            for rule in chain.rules:
                yield from _rule_mistakes(table, chain, rule)
        for container in table.maps:
            targets = (value for _, value in container.elements if isinstance(value, Verdict))
            for verdict in targets:
                yield from _leads_somewhere(table, verdict, f"map {container.name}", container.provenance)


def _named_once(table: NftTable) -> Iterator[Mistake]:
    where = f"nft table {table.family} {table.name}"
    for chain in repeated(table.chains, lambda chain: chain.name):
        yield Mistake(f"{where}: chain {chain.name} is there twice", chain.provenance)
    containers: tuple[NftSet | NftMap, ...] = (*table.sets, *table.maps)
    for container in repeated(containers, lambda container: container.name):
        yield Mistake(f"{where}: set or map {container.name} is there twice", container.provenance)
    for thing in repeated(table.objects, lambda thing: (thing.kind, thing.name)):
        yield Mistake(f"{where}: {thing.kind} {thing.name} is there twice", thing.provenance)


def _based_well(table: NftTable, chain: Chain) -> Iterator[Mistake]:
    where = f"nft chain {table.family} {table.name} {chain.name}"
    if (chain.type is None) != (chain.hook is None):
        yield Mistake(f"{where} has a type without a hook, or a hook without a type", chain.provenance)
    elif chain.hook is None and chain.policy is not None:
        yield Mistake(f"{where} has a policy and no hook", chain.provenance)
    if chain.type == "nat" and chain.hook not in NAT_HOOKS:
        yield Mistake(f"{where} is of type nat at {chain.hook}", chain.provenance, f"possible are {', '.join(NAT_HOOKS)}")
    if chain.type == "route" and chain.hook != "output":
        yield Mistake(f"{where} is of type route at {chain.hook}", chain.provenance, "possible is output")


def _rule_mistakes(table: NftTable, chain: Chain, rule: NftRule) -> Iterator[Mistake]:
    where = f"a rule in chain {chain.name}"
    known = [*(s.name for s in table.sets), *(m.name for m in table.maps)]
    for statement in rule.statements:
        for verdict in _verdicts(statement):
            yield from _leads_somewhere(table, verdict, where, rule.provenance)
        for name in _references(statement):
            if name not in known:
                hint = did_you_mean(name, known, "set or map")
                yield Mistake(f"nft table {table.family} {table.name}: {where} uses @{name}, which is not there", rule.provenance, hint)
    counters = [thing.name for thing in table.objects if thing.kind == "counter"]
    for statement in rule.statements:
        if isinstance(statement, NamedCounter) and statement.name not in counters:
            hint = did_you_mean(statement.name, counters, "counter")
            path = f"nft table {table.family} {table.name}: {where}"
            yield Mistake(f"{path} counts in {statement.name}, which is not there", rule.provenance, hint)
    texts = [rule.comment or "", *(s.prefix or "" for s in rule.statements if isinstance(s, Log))]
    if any('"' in text or "\n" in text for text in texts):
        yield Mistake(f"{where}: neither a comment nor a log prefix may contain a quotation mark or a line break", rule.provenance)
    if any(len(text.encode()) >= LONGEST_COMMENT for text in texts):
        yield Mistake(f"{where}: a comment or log prefix is longer than {LONGEST_COMMENT - 1} bytes", rule.provenance)


def _leads_somewhere(table: NftTable, verdict: Verdict, where: str, why: Provenance) -> Iterator[Mistake]:
    if verdict.kind not in ("jump", "goto"):
        return
    path = f"nft table {table.family} {table.name}: {where}"
    target = next((chain for chain in table.chains if chain.name == verdict.chain), None)
    if target is None:
        hint = did_you_mean(verdict.chain or "", [chain.name for chain in table.chains], "chain")
        yield Mistake(f"{path} leads to chain {verdict.chain}, which is not there", why, hint)
    elif target.hook is not None:
        yield Mistake(f"{path} leads to {verdict.chain}, which is a base chain", why)


def _loops(table: NftTable) -> Iterator[Mistake]:
    """A chain must not lead back to itself, be it through others or through a map (nf_tables_check_loops)."""
    maps = {m.name: [value for _, value in m.elements if isinstance(value, Verdict)] for m in table.maps}
    ways = {chain.name: {v.chain for rule in chain.rules for s in rule.statements for v in _verdicts(s, maps)} for chain in table.chains}
    try:
        TopologicalSorter(ways).prepare()
    except CycleError as error:
        circle = " to ".join(str(name) for name in reversed(error.args[1]))
        yield Mistake(f"nft table {table.family} {table.name}: chains lead in a circle, {circle}", table.provenance)


def _verdicts(statement: Statement, maps: Mapping[str, Sequence[Verdict]] | None = None) -> Iterator[Verdict]:
    """Yield the verdicts a statement can reach, those of named maps as well where these are given."""
    match statement:
        case Verdict():
            yield statement
        case VerdictMap(_, AnonymousMap(elements)):
            yield from (value for _, value in elements if isinstance(value, Verdict))
        case VerdictMap(_, SetRef(name)):
            yield from (maps or {}).get(name, ())
        case _:
            return


def _references(statement: Statement) -> Iterator[str]:
    """Yield the names of the sets and maps a statement uses."""
    match statement:
        case Match(left, right):
            yield from _names((left, right))
        case VerdictMap(key, where):
            yield from _names((key, *([where] if isinstance(where, SetRef) else [])))
        case Mangle(_, value):
            yield from _names((value,))
        case Nat():
            yield from _names(part for part in (statement.address, statement.port) if part is not None)
        case _:
            return


def _names(expressions: Iterable[Expression]) -> Iterator[str]:
    for expression in expressions:
        match expression:
            case SetRef(name):
                yield name
            case Concat(parts) | AnonymousSet(parts):
                yield from _names(parts)
            case BinaryOperation(_, left, right):
                yield from _names((left, right))
            case MapLookup(key, SetRef() as where):
                yield from _names((key, where))
            case _:
                continue
