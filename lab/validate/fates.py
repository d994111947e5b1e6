"""What becomes of every packet of everybody: asked once in full, and after a change only where the change can matter.

A conversation is decided by the namespaces it comes by, and in them, if nothing but routes and rules changes, by the answers to the
lookups that were made. Both are noted. After a change only those are asked again that came by a namespace that is different, and for
which a lookup there now has another answer: everything else is as it was, exactly and not by estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, TypeAlias

from lab.forwarding import Dropped, Flow, Reason, trace
from lab.forwarding.fib import Fib, Journal, Lookup
from lab.forwarding.memory import Memory
from lab.forwarding.reach.classes import Nesting, distinctions, nest, own_part, representative
from lab.forwarding.reach.matrix import SPECIAL_4, answer_of, reason_of
from lab.forwarding.reach.sizes import SizeLimit, size_limit
from lab.forwarding.watched import WatchedNetwork
from lab.state import Namespace, State, Table, Veth
from lab.validate.endpoints import endpoints

Answer = Literal["reply", "lost", "one-way", "depends", "unknown"]
Queries: TypeAlias = frozenset[object]


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
    asked: Mapping[str, Journal] = field(default_factory=dict, compare=False, repr=False)

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
    """Every question that one may ask of some states: senders, kinds of packets, and the addresses that any of the states tells apart."""

    def __init__(
        self, states: Iterable[State], *, also: Iterable[IPv4Network] = (), kinds: Iterable[tuple[Kind, IPv4Network]] = ()
    ) -> None:
        states = tuple(states)
        prefixes = dict.fromkeys(prefix for state in states for prefix in distinctions(state))
        wanted = {pair: None for state in states for pair in endpoints(state)}
        wanted |= dict.fromkeys(kinds)
        self.nesting: Nesting[IPv4Network] = nest((*prefixes, *SPECIAL_4, *also, *(network for _, network in wanted)))
        numbers = self.nesting.numbers()
        self._numbers: dict[Kind, list[int]] = {ICMP: [n for n in range(len(self.nesting.prefixes)) if self._can_be_asked(n)]}
        for kind, network in wanted:
            first = numbers[network]
            inside = [n for n in range(first, self.nesting.ends[first]) if self._can_be_asked(n)]
            self._numbers[kind] = list(dict.fromkeys((*self._numbers.get(kind, ()), *inside)))
        self._sources = tuple(dict.fromkeys(name for state in states for name in _speakers(state)))

    def _can_be_asked(self, number: int) -> bool:
        prefix = self.nesting.prefixes[number]
        special = any(prefix.subnet_of(one) for one in SPECIAL_4)
        return not special and representative(self.nesting, number) is not None

    @property
    def keys(self) -> Iterator[Key]:
        """Every question."""
        return (Key(source, kind, number) for source in self._sources for kind, numbers in self._numbers.items() for number in numbers)

    def prefix(self, key: Key) -> IPv4Network:
        """Return the smallest prefix around the addresses of a question."""
        return self.nesting.prefixes[key.number]

    def address(self, key: Key) -> IPv4Address:
        """Return one of the addresses of a question: the one that is asked about for all."""
        found = representative(self.nesting, key.number)
        assert isinstance(found, IPv4Address)
        return found

    def addresses(self, key: Key) -> tuple[IPv4Network, ...]:
        """Return all addresses of a question."""
        return own_part(self.nesting, key.number)

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
        address = str(self.address(key))
        drop: Dropped | None = None
        found, came_by, asked = network.watched(self.flow(key))
        if found.outcome.kind != "reply":
            drop = next((one.verdict for one in found.traces if isinstance(one.verdict, Dropped)), None)
        reply = found.reply
        return Fate(
            answer_of(found),
            str(found.outcome).replace(address, "it"),
            found.outcome.kind,
            reason_of(found).replace(address, "it"),
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
        return None if limit is None else replace(limit, beyond=limit.beyond.replace(str(self.address(key)), "it"))


_ABSENT = Fate("lost", "there is no such sender", "silence")


def _speakers(state: State) -> Iterator[str]:
    """Yield the namespaces that have an address to send from."""
    for namespace in state:
        if any(entry.interface.version == 4 and entry.device != "lo" for entry in namespace.addresses):
            yield namespace.name


class _Stale:
    """Which answers of one state may be different in another one."""

    def __init__(self, known: Asked, network: WatchedNetwork) -> None:
        self._old, self._new = known.network, network
        before, after = known.state, network.state
        changed = {name for name in (*before.namespaces, *after.namespaces) if before.namespaces.get(name) != after.namespaces.get(name)}
        self._everything = [_names(before), _names(after)][0] != _names(after)
        self._routes_only = {name for name in changed if _differ_in_routes_only(before.namespaces.get(name), after.namespaces.get(name))}
        self._dirty = frozenset(changed - self._routes_only) | frozenset(_neighbours_of_flaps(before, after, changed))
        self._same: dict[tuple[str, object], bool] = {}

    def is_stale(self, fate: Fate) -> bool:
        """Whether an answer has to be asked for again."""
        if self._everything or not self._dirty.isdisjoint(fate.came_by):
            return True
        return any(not self._unmoved(name, fate.asked[name]) for name in self._routes_only if name in fate.asked)

    def _unmoved(self, name: str, journal: Journal) -> bool:
        """Whether a namespace's tables still answer as they did."""
        return all(self._still(name, query) for query in journal.queries) and all(self._still(name, kind) for kind in journal.kinds)

    def _still(self, name: str, question: tuple[object, object]) -> bool:
        found = self._same.get((name, question))
        if found is None:
            found = self._same[name, question] = _said(self._old.node(name).fib, question) == _said(self._new.node(name).fib, question)
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
    return local[0] == local[1] and (before.rules == after.rules or (len(before.rules) > 3 and len(after.rules) > 3))


def _neighbours_of_flaps(before: State, after: State, changed: Iterable[str]) -> Iterator[str]:
    """Yield the namespaces at the other end of links that went up or down: their carrier came or went."""
    for name in changed:
        old = {link.name: link.up for link in before.namespaces[name].links} if name in before.namespaces else {}
        for link in after.namespaces[name].links if name in after.namespaces else ():
            if isinstance(link.kind, Veth) and old.get(link.name) != link.up:
                yield link.kind.peer_namespace
