"""Rule sets while they are written: tables, chains, sets and maps that grow and shrink by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from lab.errors import InputError, did_you_mean
from lab.state.nft import Chain, Expression, Family, NftMap, NftRule, NftSet, NftTable, StatefulObject, Statement, Verdict
from lab.state.provenance import UNKNOWN, Provenance


@dataclass(frozen=True, slots=True)
class BaseChain:
    """What makes a chain a base chain: where the kernel calls it, in which order, and what becomes of the rest."""

    type: Literal["filter", "nat", "route"]
    hook: Literal["prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"]
    priority: int = 0
    policy: Literal["accept", "drop"] = "accept"
    devices: tuple[str, ...] = ()


Matching = NftRule | Callable[[NftRule], bool]
"""Which rules are meant: those equal to one (provenance and counters aside), or those a predicate holds for."""


@dataclass(slots=True)
class ChainBuilder:
    """A chain and its rules, first to last."""

    name: str
    base: BaseChain | None = None
    rules: list[NftRule] = field(default_factory=list)
    provenance: Provenance = UNKNOWN

    def append(self, rule: NftRule, provenance: Provenance = UNKNOWN) -> None:
        """Add a rule at the end."""
        self.rules.append(_said(rule, provenance))

    def add(self, *statements: Statement, comment: str | None = None, provenance: Provenance = UNKNOWN) -> None:
        """Add a rule of these statements at the end."""
        self.rules.append(NftRule(statements, comment, provenance=provenance))

    def insert(self, rule: NftRule, at: int = 0, provenance: Provenance = UNKNOWN) -> None:
        """Add a rule before the one at position `at`."""
        self.rules.insert(at, _said(rule, provenance))

    def insert_unique(self, rule: NftRule, at: int = 0, provenance: Provenance = UNKNOWN) -> None:
        """Have a rule at position `at` and nowhere else."""
        self.delete(rule)
        self.insert(rule, at, provenance)

    def append_unique(self, rule: NftRule, provenance: Provenance = UNKNOWN) -> None:
        """Have a rule in the chain: at the end if it is not there yet."""
        if rule not in self.rules:
            self.append(rule, provenance)

    def delete(self, matching: Matching) -> int:
        """Remove the rules that are meant and return how many they were."""
        before = len(self.rules)
        self.rules = [rule for rule in self.rules if not _is_meant(rule, matching)]
        return before - len(self.rules)

    def flush(self) -> None:
        """Remove every rule."""
        self.rules.clear()

    def freeze(self) -> Chain:
        """Return the chain as it is now."""
        rules = tuple(self.rules)
        if self.base is None:
            return Chain(self.name, rules, provenance=self.provenance)
        base = self.base
        return Chain(self.name, rules, base.type, base.hook, base.priority, base.policy, base.devices, self.provenance)


@dataclass(slots=True)
class SetBuilder:
    """A named set; elements keep the order in which they came."""

    declared: NftSet
    elements: dict[Expression, None] = field(default_factory=dict)

    def add(self, *elements: Expression) -> None:
        """Have these elements in the set."""
        self.elements.update(dict.fromkeys(elements))

    def remove(self, *elements: Expression) -> None:
        """Have these elements no longer in the set."""
        for element in elements:
            self.elements.pop(element, None)

    def replace(self, elements: Iterable[Expression]) -> None:
        """Have these elements in the set and no others."""
        self.elements = dict.fromkeys(elements)

    def freeze(self) -> NftSet:
        """Return the set as it is now."""
        return replace(self.declared, elements=tuple(self.elements))


@dataclass(slots=True)
class MapBuilder:
    """A named map; elements keep the order in which they came."""

    declared: NftMap
    elements: dict[Expression, Expression | Verdict] = field(default_factory=dict)

    def put(self, key: Expression, value: Expression | Verdict) -> None:
        """Have this value for a key."""
        self.elements[key] = value

    def remove(self, key: Expression) -> None:
        """Have no value for a key."""
        self.elements.pop(key, None)

    def freeze(self) -> NftMap:
        """Return the map as it is now."""
        return replace(self.declared, elements=tuple(self.elements.items()))


@dataclass(slots=True)
class TableBuilder:
    """A table with its chains, sets and maps, each made when it is first asked for with what makes it; stateful objects stay."""

    family: Family
    name: str
    provenance: Provenance = UNKNOWN
    chains: dict[str, ChainBuilder] = field(default_factory=dict)
    sets: dict[str, SetBuilder] = field(default_factory=dict)
    maps: dict[str, MapBuilder] = field(default_factory=dict)
    objects: tuple[StatefulObject, ...] = ()

    @classmethod
    def opened(cls, table: NftTable) -> TableBuilder:
        """Return a builder that starts from a table."""
        return cls(
            table.family,
            table.name,
            table.provenance,
            {chain.name: _opened_chain(chain) for chain in table.chains},
            {s.name: SetBuilder(s, dict.fromkeys(s.elements)) for s in table.sets},
            {m.name: MapBuilder(m, dict(m.elements)) for m in table.maps},
            table.objects,
        )

    def chain(self, name: str, base: BaseChain | None = None, provenance: Provenance = UNKNOWN) -> ChainBuilder:
        """Return a chain, made if need be. A base chain keeps the policy it has, and cannot become another one: InputError."""
        chain = self.chains.get(name)
        if chain is None:
            chain = self.chains[name] = ChainBuilder(name, base, provenance=provenance)
        elif base is not None and (chain.base is None or replace(base, policy=chain.base.policy) != chain.base):
            raise InputError(f"chain {self._path(name)} is {_describe(chain.base)}, it cannot be {_describe(base)} as well")
        return chain

    def delete_chain(self, name: str) -> None:
        """Remove a chain. InputError when it is not there, or when a rule or map still leads to it."""
        if name not in self.chains:
            raise InputError(f"there is no chain {self._path(name)}", hint=did_you_mean(name, list(self.chains), "chain"))
        users = [chain.name for chain in self.chains.values() if chain.name != name and leads_to(chain.rules, name)]
        if users:
            raise InputError(f"chain {self._path(name)} is still the target of a rule in chain {users[0]}")
        del self.chains[name]

    def set(
        self, name: str, key: tuple[str, ...], *, flags: tuple[str, ...] = (), auto_merge: bool = False, provenance: Provenance = UNKNOWN
    ) -> SetBuilder:
        """Return a named set, made if need be. InputError when it is there with another type of key."""
        found = self.sets.get(name)
        if found is None:
            found = self.sets[name] = SetBuilder(NftSet(name, key, (), flags, auto_merge, provenance=provenance))
        elif found.declared.key != key:
            raise InputError(f"set {self._path(name)} holds {' . '.join(found.declared.key)}, not {' . '.join(key)}")
        return found

    def map(
        self, name: str, key: tuple[str, ...], value: str, *, flags: tuple[str, ...] = (), provenance: Provenance = UNKNOWN
    ) -> MapBuilder:
        """Return a named map, made if need be. InputError when it is there with other types."""
        found = self.maps.get(name)
        if found is None:
            found = self.maps[name] = MapBuilder(NftMap(name, key, value, (), flags, provenance=provenance))
        elif (found.declared.key, found.declared.value) != (key, value):
            raise InputError(f"map {self._path(name)} is there with other types")
        return found

    def freeze(self) -> NftTable:
        """Return the table as it is now."""
        return NftTable(
            self.family,
            self.name,
            tuple(chain.freeze() for chain in self.chains.values()),
            tuple(s.freeze() for s in self.sets.values()),
            tuple(m.freeze() for m in self.maps.values()),
            self.objects,
            self.provenance,
        )

    def _path(self, name: str) -> str:
        return f"{self.family} {self.name} {name}"


def leads_to(rules: Iterable[NftRule], chain: str) -> bool:
    """Whether one of the rules jumps or goes to a chain by its name."""
    return any(isinstance(s, Verdict) and s.chain == chain for rule in rules for s in rule.statements)


def _opened_chain(chain: Chain) -> ChainBuilder:
    base = None
    if chain.type is not None and chain.hook is not None:
        base = BaseChain(chain.type, chain.hook, chain.priority or 0, chain.policy or "accept", chain.devices)
    return ChainBuilder(chain.name, base, list(chain.rules), chain.provenance)


def _is_meant(rule: NftRule, matching: Matching) -> bool:
    return rule == matching if isinstance(matching, NftRule) else matching(rule)


def _said(rule: NftRule, provenance: Provenance) -> NftRule:
    return rule if provenance is UNKNOWN else replace(rule, provenance=provenance)


def _describe(base: BaseChain | None) -> str:
    return "no base chain" if base is None else f"a {base.type} chain at {base.hook}, priority {base.priority}"
