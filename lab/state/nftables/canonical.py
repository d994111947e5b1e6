"""One form for every rule set the kernel could not tell apart.

nft rewrites what it is given: it drops matches that a later one implies (``meta l4proto tcp tcp dport 22``), joins header
fields that lie side by side and lists them by offset, merges intervals, turns sets of one element into that element and
numbers into names. Two rule sets are equal when their canonical forms are: `canonical` of what was sent and of what
``nft -j list ruleset`` gives back are the same. The form is a fixed point of these rules, each of them observed with nft
1.0.6 on Linux 6.18; it is no different in meaning from the original.

Conditions that only look at the packet may change places, since all of them must hold. Within each run of such conditions
the order becomes: everything else as written, IP header fields by offset, transport header fields by offset.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from lab.state.nft import (
    PLAIN_SET,
    Chain,
    Expression,
    Family,
    Limit,
    Mangle,
    Match,
    Nat,
    NftMap,
    NftRule,
    NftSet,
    NftTable,
    SetOptions,
    Statement,
    VerdictMap,
)
from lab.state.nftables.conditions import ordered_conditions
from lab.state.nftables.datatypes import datatypes
from lab.state.nftables.statements import DEFAULT_BURST, nat_family
from lab.state.nftables.values import canonical_elements, canonical_expression, canonical_map, canonical_match, canonical_pairs

NAT_FLAGS = ("random", "fully-random", "persistent")


def canonical(table: NftTable) -> NftTable:
    """Return the canonical form of a table."""
    return replace(
        table,
        chains=tuple(canonical_chain(chain, table.family) for chain in table.chains),
        sets=tuple(sorted((_set(nft_set) for nft_set in table.sets), key=lambda s: s.name)),
        maps=tuple(sorted((_map(nft_map) for nft_map in table.maps), key=lambda m: m.name)),
        objects=tuple(sorted(table.objects, key=lambda thing: (thing.kind, thing.name))),
    )


def canonical_chain(chain: Chain, family: Family) -> Chain:
    """Return the canonical form of a chain in a table of `family`."""
    rules = tuple(canonical_rule(rule, family) for rule in chain.rules)
    if chain.hook is None:
        return replace(chain, rules=rules)
    devices = tuple(sorted(set(chain.devices)))  # as the kernel lists them
    return replace(chain, rules=rules, priority=chain.priority or 0, policy=chain.policy or "accept", devices=devices)


def canonical_rule(rule: NftRule, family: Family) -> NftRule:
    """Return the canonical form of a rule in a table of `family`; what its counters count is no part of it."""
    return replace(rule, statements=_canonical_statements(rule.statements, family))


@lru_cache(maxsize=8192)
def _canonical_statements(statements: tuple[Statement, ...], family: Family) -> tuple[Statement, ...]:
    """Worked out once for equal rules: the nodes of a cluster have nearly the same ones, and have them in every phase."""
    return ordered_conditions(tuple(_statement(statement, family) for statement in statements), family)


def _statement(statement: Statement, family: Family) -> Statement:
    match statement:
        case Match():
            return canonical_match(statement)
        case VerdictMap(key, where):
            return VerdictMap(canonical_expression(key), canonical_map(where, datatypes(key)))
        case Mangle(key, value):
            return Mangle(key, canonical_expression(value, datatypes(key)))
        case Nat():
            return _nat(statement, family)
        case Limit():
            return replace(statement, burst=statement.burst or DEFAULT_BURST)
        case _:
            return statement


def _nat(nat: Nat, family: Family) -> Nat:
    return replace(
        nat,
        address=None if nat.address is None else canonical_expression(nat.address),
        port=None if nat.port is None else canonical_expression(nat.port),
        flags=tuple(sorted(set(nat.flags), key=NAT_FLAGS.index)),
        family=nat_family(nat, family) if family == "inet" else None,
    )


def _set(nft_set: NftSet) -> NftSet:
    """The kernel keeps the elements of a set; how they were merged when they were added is not part of it."""
    elements = canonical_elements(nft_set.elements, nft_set.key, merge=nft_set.auto_merge)
    options = _options(nft_set.options, nft_set.key, set(elements))
    return replace(nft_set, elements=elements, flags=_flags(nft_set.flags, options), options=options)


def _map(nft_map: NftMap) -> NftMap:
    pairs = canonical_pairs(nft_map.elements, nft_map.key, tuple(nft_map.value.split(" . ")))
    options = _options(nft_map.options, nft_map.key, {key for key, _ in pairs})
    return replace(nft_map, elements=pairs, flags=_flags(nft_map.flags, options), options=options)


def _flags(flags: tuple[str, ...], options: SetOptions) -> tuple[str, ...]:
    """Return the flags of a set in one order; nft says `timeout` of one that has a timeout."""
    return tuple(sorted({*flags, *([] if options.timeout is None else ["timeout"])}))


def _options(options: SetOptions, kinds: tuple[str, ...], elements: set[Expression]) -> SetOptions:
    """Return options in which only those elements have a lifetime that are there, and that say one of their own."""
    if options == PLAIN_SET:
        return options
    named = (replace(one, element=canonical_expression(one.element, kinds)) for one in options.lifetimes if one.timeout is not None)
    lifetimes = tuple(sorted((one for one in named if one.element in elements), key=lambda one: str(one.element)))
    return replace(options, lifetimes=lifetimes)
