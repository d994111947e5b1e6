"""The nft tables of a namespace, compiled: base chains by hook, in the order in which the kernel calls them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal

from lab.forwarding.netfilter.expressions import Scope
from lab.forwarding.netfilter.outcomes import Execute
from lab.forwarding.netfilter.statements import compile_statement
from lab.forwarding.unknown import Undecided
from lab.state.nft import Chain, Ct, Nat, NftRule, NftTable

Hook = Literal["prerouting", "input", "forward", "output", "postrouting"]
HOOKS: tuple[Hook, ...] = ("prerouting", "input", "forward", "output", "postrouting")

CONNTRACK, DESTINATION_NAT, SOURCE_NAT, CONFIRM = -200, -100, 100, 2**31 - 1
"""Priorities of what the kernel itself does in a hook (include/uapi/linux/netfilter_ipv4.h)."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule and its statements as functions."""

    rule: NftRule
    statements: tuple[Execute, ...]
    positions: tuple[int, ...]
    """For each function the number of its statement in the rule."""


@dataclass(frozen=True, slots=True)
class CompiledChain:
    """A chain; chains that rules jump to are looked up in `chains`, which all chains of a table share."""

    chain: Chain
    table: NftTable
    rules: tuple[CompiledRule, ...]
    chains: Mapping[str, CompiledChain] = field(compare=False, repr=False)
    label: str
    """How people refer to the chain: family, table, name."""


@dataclass(frozen=True, slots=True)
class Registered:
    """One thing a hook calls: a base chain, or a part of the kernel."""

    priority: int
    what: Literal["chain", "conntrack", "nat", "confirm"]
    chain: CompiledChain | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """What packets of one version of IP meet: the chains of their own family and those of `inet`."""

    hooks: Mapping[Hook, tuple[Registered, ...]]
    nat_chains: Mapping[Hook, tuple[CompiledChain, ...]]
    """NAT chains run inside the kernel's own NAT hook, so their priority orders them only among themselves."""
    tracks: bool
    """Whether some rule needs connection tracking, which turns it on for this version of IP in the whole namespace."""

    @property
    def registers(self) -> bool:
        """Whether anything is registered in any hook."""
        return any(self.hooks.values())


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All a packet can meet in a namespace."""

    families: Mapping[int, Family]
    """What packets of IPv4 and of IPv6 meet."""
    bridge: Mapping[Hook, tuple[CompiledChain, ...]] = field(default_factory=dict)
    """What frames meet on their way through bridges, by hook."""
    arp: Mapping[Hook, tuple[CompiledChain, ...]] = field(default_factory=dict)
    """What ARP messages meet that the namespace itself takes or sends."""
    ingress: Mapping[str, tuple[CompiledChain, ...]] = field(default_factory=dict)
    """What frames meet that a device takes, by device."""
    egress: Mapping[str, tuple[CompiledChain, ...]] = field(default_factory=dict)
    """What frames meet that a device is to send."""

    @property
    def sees_frames(self) -> bool:
        """Whether any chain sees frames."""
        return bool(self.ingress or self.egress or any(self.bridge.values()) or any(self.arp.values()))

    def of(self, version: int) -> Family:
        """Return what a packet of that version of IP meets."""
        return self.families[version]


def compile_ruleset(tables: Iterable[NftTable]) -> Ruleset:
    """Compile the tables of a namespace."""
    tables = tuple(tables)
    mine = [table for table in tables if table.family in ("ip", "ip6", "inet")]
    families = {version: _family([table for table in mine if table.family in (own, "inet")]) for version, own in ((4, "ip"), (6, "ip6"))}
    bridge, arp = _by_hook(tables, "bridge"), _by_hook(tables, "arp")
    return Ruleset(families, bridge, arp, _by_device(tables, "ingress"), _by_device(tables, "egress"))


def _by_hook(tables: tuple[NftTable, ...], family: Literal["bridge", "arp"]) -> dict[Hook, tuple[CompiledChain, ...]]:
    chains = _seeing_frames([table for table in tables if table.family == family])
    return {hook: tuple(chain for chain in chains if chain.chain.hook == hook) for hook in HOOKS} if chains else {}


def _by_device(tables: tuple[NftTable, ...], hook: Literal["ingress", "egress"]) -> dict[str, tuple[CompiledChain, ...]]:
    """The chains of a device; a table of family inet may have some at ingress."""
    chains = [chain for chain in _seeing_frames([t for t in tables if t.family in ("netdev", "inet")]) if chain.chain.hook == hook]
    devices = dict.fromkeys(device for chain in chains for device in chain.chain.devices)
    return {device: tuple(chain for chain in chains if device in chain.chain.devices) for device in devices}


def _seeing_frames(tables: list[NftTable]) -> list[CompiledChain]:
    """The base chains of tables, in the order in which the kernel calls them; those that let everything pass left out."""
    compiled = [chain for table in tables for chain in _compile_table(table, frames=True).values() if chain.chain.hook is not None]
    calls = [chain for chain in reversed(compiled) if chain.rules or chain.chain.policy == "drop"]
    return sorted(calls, key=lambda chain: chain.chain.priority or 0)


def _family(tables: list[NftTable]) -> Family:
    base = [chain for table in tables for chain in _compile_table(table).values() if chain.chain.hook in HOOKS]
    nat_used = any(chain.chain.type == "nat" for chain in base)
    tracks = nat_used or any(isinstance(part, Ct | Nat) for table in tables for chain in table.chains for part in _parts(chain.rules))
    hooks: dict[Hook, tuple[Registered, ...]] = {}
    nat_chains: dict[Hook, tuple[CompiledChain, ...]] = {}
    for hook in HOOKS:
        # Of equal priorities the one registered last is called first (`nf_hook_entries_grow`, net/netfilter/core.c).
        chains = [chain for chain in reversed(base) if chain.chain.hook == hook]
        ordered = sorted(chains, key=lambda chain: chain.chain.priority or 0)
        nat_chains[hook] = tuple(chain for chain in ordered if chain.chain.type == "nat")
        called = [Registered(chain.chain.priority or 0, "chain", chain) for chain in ordered if chain.chain.type != "nat"]
        hooks[hook] = tuple(sorted([*_kernel_parts(hook, tracks, nat_used), *called], key=lambda part: part.priority))
    return Family(hooks, nat_chains, tracks)


def _kernel_parts(hook: Hook, tracks: bool, nat_used: bool) -> Iterator[Registered]:
    if tracks and hook in ("prerouting", "output"):
        yield Registered(CONNTRACK, "conntrack")
    if nat_used and hook in ("prerouting", "output"):
        yield Registered(DESTINATION_NAT, "nat")
    if nat_used and hook in ("input", "postrouting"):
        yield Registered(SOURCE_NAT, "nat")
    if tracks and hook in ("input", "postrouting"):
        yield Registered(CONFIRM, "confirm")


def _compile_table(table: NftTable, *, frames: bool = False) -> dict[str, CompiledChain]:
    scope = Scope({found.name: found for found in table.sets}, {found.name: found for found in table.maps}, frames)
    chains: dict[str, CompiledChain] = {}
    for chain in table.chains:
        label = f"{table.family} {table.name} {chain.name}"
        chains[chain.name] = CompiledChain(chain, table, tuple(_compile_rule(rule, scope) for rule in chain.rules), chains, label)
    return chains


def _compile_rule(rule: NftRule, scope: Scope) -> CompiledRule:
    statements: list[Execute] = []
    positions: list[int] = []
    for position, statement in enumerate(rule.statements):
        try:
            compiled = compile_statement(statement, rule.statements[position + 1 :], scope, rule)
        except Undecided as unknown:
            compiled = _fails(unknown, rule)
        if compiled is not None:
            statements.append(compiled)
            positions.append(position)
    return CompiledRule(rule, tuple(statements), tuple(positions))


def _fails(unknown: Undecided, rule: NftRule) -> Execute:
    def ask(t: object) -> None:
        raise Undecided(unknown.why, rule)

    return ask


def _parts(value: object) -> Iterator[object]:
    """Yield an nft object and everything inside it."""
    if isinstance(value, tuple):
        for item in value:
            yield from _parts(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield value
        for inner in fields(value):
            if inner.name != "provenance":
                yield from _parts(getattr(value, inner.name))
