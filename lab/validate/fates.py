"""What becomes of every packet of everybody: asked once in full, and after a change only where the change can matter.

A conversation is decided by the namespaces it comes by, and in them, if nothing but routes and rules changes, by the answers to the
lookups that were made. Both are noted. After a change only those are asked again that came by a namespace that is different, and for
which a lookup there now has another answer: everything else is as it was, exactly and not by estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from lab.forwarding import Dropped, Flow, Reason, trace
from lab.forwarding.fib import Fib, Journal, Lookup
from lab.forwarding.memory import Memory
from lab.forwarding.reach.classes import Nesting, distinctions, nest, own_part, representative
from lab.forwarding.reach.matrix import SPECIAL, answer_of, is_special, reason_of, without
from lab.forwarding.reach.sizes import SizeLimit, size_limit
from lab.forwarding.rules import Version, only_default_rules
from lab.forwarding.watched import Tables, WatchedNetwork
from lab.state import Namespace, State, Table, Veth
from lab.state.objects import Address, Network
from lab.validate.endpoints import endpoints, own_addresses

Answer = Literal["reply", "lost", "one-way", "depends", "unknown"]
VERSIONS: tuple[Version, ...] = (4, 6)


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """A kind of packet: a protocol and, unless it is ICMP, a port."""

    protocol: Literal["icmp", "tcp", "udp"] = "icmp"
    port: int = 0

    def __str__(self) -> str:
        return self.protocol if self.protocol == "icmp" else f"{self.protocol}/{self.port}"


ICMP = Kind()


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A question: one sender, one kind of packet, one class of addresses."""

    source: str
    kind: Kind
    number: int
    """The number of the class's prefix in the nesting."""
    version: Version = 4
    """The version of IP, each of which has a nesting of its own."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What a sender experiences with a class of addresses, and what that rests on."""

    answer: Answer
    outcome: str
    notices: str
    """How the conversation ends for the sender: reply, refused, error, local error, silence or unknown."""
    reason: str = ""
    cause: Reason | None = None
    place: str = ""
    """The namespace in which the packet, or its answer, was lost."""
    path: tuple[str, ...] = ()
    path_back: tuple[str, ...] = ()
    came_by: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    asked: Mapping[Tables, Journal] = field(default_factory=dict, compare=False, repr=False)

    @property
    def works(self) -> bool:
        """Whether the sender gets its answer, however the lots fall."""
        return self.answer == "reply"

    @property
    def loops(self) -> bool:
        """Whether a packet circulated until its time to live ran out."""
        return self.cause is Reason.TTL

    def __str__(self) -> str:
        if self.works:
            return f"answered by way of {' '.join(self.path)}" + (f", back {' '.join(self.path_back)}" if self._returns_otherwise else "")
        if self.answer == "depends":
            return f"answered or not as lots fall; {self.reason}"
        return f"{self.outcome}; {self.reason}" if self.reason else self.outcome

    @property
    def _returns_otherwise(self) -> bool:
        return self.path_back != tuple(reversed(self.path))


@dataclass(frozen=True, slots=True)
class Asked:
    """The answers to all questions in one state."""

    network: WatchedNetwork
    fates: Mapping[Key, Fate]

    @property
    def state(self) -> State:
        """The state that was asked about."""
        return self.network.state

    def __getitem__(self, key: Key) -> Fate:
        return self.fates[key]


class Survey:
    """Every question that one may ask of some states: senders, kinds of packets, and the addresses that any of the states tells apart.

    IPv6 is asked about where somebody has an address of it that means something beyond its link.
    """

    def __init__(self, states: Iterable[State], *, also: Iterable[Network] = (), kinds: Iterable[tuple[Kind, Network]] = ()) -> None:
        states, also = tuple(states), tuple(also)
        wanted = {pair: None for state in states for pair in endpoints(state)}
        wanted |= dict.fromkeys(kinds)
        self._parts: dict[Version, _Part] = {}
        for version in VERSIONS:
            sources = tuple(dict.fromkeys(name for state in states for name in _speakers(state, version)))
            if sources:
                told_apart = [network for network in (*also, *(network for _, network in wanted)) if network.version == version]
                prefixes = dict.fromkeys(prefix for state in states for prefix in distinctions(state, version))
                nesting = nest((*prefixes, *SPECIAL[version], *told_apart), version)
                self._parts[version] = _Part(sources, nesting, _numbers(nesting, [pair for pair in wanted if pair[1].version == version]))

    @property
    def keys(self) -> Iterator[Key]:
        """Every question."""
        for version, part in self._parts.items():
            for source in part.sources:
                for kind, numbers in part.numbers.items():
                    yield from (Key(source, kind, number, version) for number in numbers)

    def prefix(self, key: Key) -> Network:
        """Return the smallest prefix around the addresses of a question."""
        return self._parts[key.version].nesting.prefixes[key.number]

    def address(self, key: Key) -> Address:
        """Return one of the addresses of a question: the one that is asked about for all."""
        found = representative(self._parts[key.version].nesting, key.number)
        assert found is not None
        return found

    def addresses(self, key: Key) -> tuple[Network, ...]:
        """Return all addresses of a question."""
        return own_part(self._parts[key.version].nesting, key.number)

    def flow(self, key: Key) -> Flow:
        """Return a question as the model takes it."""
        return Flow(key.source, self.address(key), key.kind.protocol, key.kind.port)

    def ask(self, state: State, known: Asked | None = None, only: Iterable[Key] | None = None) -> Asked:
        """Ask every question, or only some, in a state. What is `known` of another state is kept where the difference cannot matter."""
        network = WatchedNetwork(state)
        stale = _Stale(known, network) if known is not None else None
        fates = {}
        for key in self.keys if only is None else only:
            old = known.fates.get(key) if known is not None else None
            fates[key] = old if old is not None and stale is not None and not stale.is_stale(old) else self._ask(network, key)
        return Asked(network, fates)

    def _ask(self, network: WatchedNetwork, key: Key) -> Fate:
        if key.source not in network.state.namespaces:
            return _ABSENT
        address = self.address(key)
        drop: Dropped | None = None
        found, came_by, asked = network.watched(self.flow(key))
        if found.outcome.kind != "reply":
            drop = next((one.verdict for one in found.traces if isinstance(one.verdict, Dropped)), None)
        reply = found.reply
        return Fate(
            answer_of(found),
            without(str(found.outcome), address, "it"),
            found.outcome.kind,
            without(reason_of(found), address, "it"),
            drop.reason if drop is not None else None,
            drop.namespace if drop is not None else "",
            found.request.path,
            reply.path if reply is not None else (),
            came_by,
            asked,
        )

    def limit(self, asked: Asked, key: Key) -> SizeLimit | None:
        """Return up to which size packets are answered, None where the sender's own link is the limit. For what is answered at all."""
        found = trace(asked.network, self.flow(key), memory=Memory())
        limit = size_limit(asked.network, found)
        return None if limit is None else replace(limit, beyond=without(limit.beyond, self.address(key), "it"))


_ABSENT = Fate("lost", "there is no such sender", "silence")


@dataclass(frozen=True, slots=True)
class _Part:
    """The questions about one version of IP."""

    sources: tuple[str, ...]
    nesting: Nesting[Network]
    numbers: Mapping[Kind, list[int]]
    """By kind of packet the prefixes that are asked about, by their numbers in the nesting."""


def _numbers(nesting: Nesting[Network], wanted: Iterable[tuple[Kind, Network]]) -> dict[Kind, list[int]]:
    """Return what is asked about: by ping everything, by other packets what is `wanted`."""

    def can_be_asked(number: int) -> bool:
        return not is_special(nesting.prefixes[number]) and representative(nesting, number) is not None

    numbers = nesting.numbers()
    found = {ICMP: [number for number in range(len(nesting.prefixes)) if can_be_asked(number)]}
    for kind, network in wanted:
        first = numbers[network]
        inside = [number for number in range(first, nesting.ends[first]) if can_be_asked(number)]
        found[kind] = list(dict.fromkeys((*found.get(kind, ()), *inside)))
    return found


def _speakers(state: State, version: Version) -> Iterator[str]:
    """Yield the namespaces that have an address of a version of IP to send from."""
    return (namespace.name for namespace in state if own_addresses(namespace, version))


class _Stale:
    """Which answers of one state may be different in another one."""

    def __init__(self, known: Asked, network: WatchedNetwork) -> None:
        self._old, self._new = known.network, network
        before, after = known.state, network.state
        changed = {name for name in (*before.namespaces, *after.namespaces) if before.namespaces.get(name) != after.namespaces.get(name)}
        self._everything = [_names(before), _names(after)][0] != _names(after)
        self._routes_only = {name for name in changed if _differ_in_routes_only(before.namespaces.get(name), after.namespaces.get(name))}
        self._dirty = frozenset(changed - self._routes_only) | frozenset(_neighbours_of_flaps(before, after, changed))
        self._same: dict[tuple[Tables, object], bool] = {}

    def is_stale(self, fate: Fate) -> bool:
        """Whether an answer has to be asked for again."""
        if self._everything or not self._dirty.isdisjoint(fate.came_by):
            return True
        return any(not self._unmoved(tables, journal) for tables, journal in fate.asked.items() if tables[0] in self._routes_only)

    def _unmoved(self, tables: Tables, journal: Journal) -> bool:
        """Whether a namespace's tables still answer as they did."""
        return all(self._still(tables, query) for query in journal.queries) and all(self._still(tables, kind) for kind in journal.kinds)

    def _still(self, tables: Tables, question: tuple[object, object]) -> bool:
        found = self._same.get((tables, question))
        if found is None:
            name, version = tables
            old, new = (network.node(name).fib_of(version) for network in (self._old, self._new))
            found = self._same[tables, question] = _said(old, question) == _said(new, question)
        return found


def _said(fib: Fib, question: tuple[object, object]) -> object:
    first, second = question
    if isinstance(first, int):
        return fib.local_type(first, second if isinstance(second, str) else None)
    answer: Lookup = fib.lookup(first, ignore_linkstate=bool(second))  # type: ignore[arg-type]
    return answer.type, answer.error, answer.rule if answer.error else None, answer.route, answer.exits


def _names(state: State) -> list[tuple[str, tuple[str, ...]]]:
    return [(namespace.name, tuple(link.name for link in namespace.links)) for namespace in state]


def _differ_in_routes_only(before: Namespace | None, after: Namespace | None) -> bool:
    """Whether two forms of a namespace differ in routes and rules alone, and not in what decides about more than lookups."""
    if before is None or after is None or replace(before, routes=after.routes, rules=after.rules) != after:
        return False
    local = [[route for route in one.routes if route.table == Table.LOCAL] for one in (before, after)]
    return local[0] == local[1] and all(_rules_of_one_kind(before, after, version) for version in VERSIONS)


def _rules_of_one_kind(before: Namespace, after: Namespace, version: Version) -> bool:
    """Whether two forms of a namespace have the same rules of a version of IP, or others than the kernel's own both of them."""
    rules = [[rule for rule in one.rules if rule.family == version] for one in (before, after)]
    return rules[0] == rules[1] or not any(only_default_rules(some, version) for some in rules)


def _neighbours_of_flaps(before: State, after: State, changed: Iterable[str]) -> Iterator[str]:
    """Yield the namespaces at the other end of links that went up or down: their carrier came or went."""
    for name in changed:
        old = {link.name: link.up for link in before.namespaces[name].links} if name in before.namespaces else {}
        for link in after.namespaces[name].links if name in after.namespaces else ():
            if isinstance(link.kind, Veth) and old.get(link.name) != link.up:
                yield link.kind.peer_namespace
