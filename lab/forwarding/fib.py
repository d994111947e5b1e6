"""The routing tables and policy rules of one namespace, compiled, and the lookup the kernel makes in them.

The order of everything is the kernel's: `fib_rules_lookup` (net/core/fib_rules.c), `fib4_rule_match`, `fib4_rule_action`
and `fib4_rule_suppress` (net/ipv4/fib_rules.c), `fib_table_lookup` (net/ipv4/fib_trie.c); for IPv6 `fib6_rule_action`
(net/ipv6/fib6_rules.c) and `fib6_table_lookup` (net/ipv6/route.c). A lookup answers only; why each rule and route did or did
not match is told by `lab.forwarding.why`, on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

from lab.forwarding.rules import ROUTING_TOS, Version, mismatch, only_default_rules, table_of
from lab.forwarding.unknown import Undecided
from lab.state import NextHop, NextHopObject, Route, Rule, Table
from lab.state.objects import RouteType
from lab.state.ways import leads_into_blackhole, leaves_of, ways_of, without_lost

Errno = Literal["ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL", "EADDRNOTAVAIL"]

_ROUTE_ERRORS: dict[str, Errno] = {"blackhole": "EINVAL", "unreachable": "EHOSTUNREACH", "prohibit": "EACCES"}
"""`fib_props` in net/ipv4/fib_semantics.c."""
_RULE_ERRORS: dict[str, Errno] = {"blackhole": "EINVAL", "unreachable": "ENETUNREACH", "prohibit": "EACCES"}
"""`fib4_rule_action`: an unreachable rule is no unreachable route."""

SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}
"""rtnetlink's numbers: the larger, the nearer."""


class Query(NamedTuple):
    """What a lookup is made for (`struct flowi4`). A tuple, because it is a dictionary key on the hot path."""

    destination: int
    source: int = 0
    iif: str = "lo"
    """The device the packet came in by; `lo` for packets made here."""
    oif: str | None = None
    mark: int = 0
    tos: int = 0
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    uid: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """One way out of a route: where the packet goes next."""

    device: str
    via: IPv4Address | IPv6Address | None
    weight: int = 1
    usable: bool = True
    """False: the device is down, so the kernel has removed the route or marked this way dead."""
    carrier: bool = True

    @property
    def direct(self) -> bool:
        """Whether the destination itself is on the link."""
        return self.via is None


@dataclass(frozen=True, slots=True)
class Entry:
    """A route, ready for comparison with a query."""

    route: Route
    network: int
    mask: int
    tos: int
    error: Errno | None
    exits: tuple[Exit, ...]
    type: RouteType = "unicast"
    """That of the route, or blackhole where the nexthop object it names is one."""

    @property
    def length(self) -> int:
        """The prefix length."""
        return self.route.destination.prefixlen


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer to a query, with the rule and the route that gave it.

    `type` is the type of the route found, or ``none`` when no table had one. `error` is what the kernel's lookup returns
    in that case; `exits` are the ways that can be taken, several for ECMP.
    """

    query: Query
    type: RouteType | Literal["none"]
    error: Errno | None
    rule: Rule | None
    route: Route | None
    exits: tuple[Exit, ...]
    fib: Fib = field(compare=False, repr=False)

    @property
    def destination(self) -> IPv4Address | IPv6Address:
        """What was looked up."""
        return self.fib.address(self.query.destination)

    @property
    def source(self) -> IPv4Address | IPv6Address:
        """The source it was looked up for; unspecified where there was none."""
        return self.fib.address(self.query.source)

    @property
    def found(self) -> bool:
        """Whether there is a route that leads somewhere."""
        return self.error is None


@dataclass(slots=True)
class Journal:
    """What a routing table was asked: lookups, and of which kind an address is."""

    queries: set[tuple[Query, bool]] = field(default_factory=set)
    kinds: set[tuple[int, str | None]] = field(default_factory=set)


class TableIndex:
    """One routing table: a dictionary for each prefix length, longest first."""

    __slots__ = ("entries", "lengths", "number")

    def __init__(self, number: int, entries: Iterable[Entry], bits: int = 32) -> None:
        self.number = number
        self.entries = tuple(entries)
        by_length: dict[int, dict[int, list[Entry]]] = {}
        for entry in self.entries:
            by_length.setdefault(entry.length, {}).setdefault(entry.network, []).append(entry)
        self.lengths: tuple[tuple[int, dict[int, tuple[Entry, ...]]], ...] = tuple(
            (mask_of(length, bits), {network: tuple(sorted(same, key=_alias_order)) for network, same in by_length[length].items()})
            for length in sorted(by_length, reverse=True)
        )

    def matching(self, destination: int) -> Iterator[Entry]:
        """Yield the entries whose prefix covers `destination`, in the order the kernel tries them."""
        for mask, prefixes in self.lengths:
            same = prefixes.get(destination & mask)
            if same is not None:
                yield from same


def mask_of(length: int, bits: int = 32) -> int:
    """Return the netmask of a prefix length as a number, for addresses of so many bits."""
    return (1 << bits) - (1 << (bits - length))


def _alias_order(entry: Entry) -> tuple[int, int, int]:
    """The order of routes to one prefix: `fib_find_alias`. The table counts only where local and main share a trie."""
    return (-entry.route.table, -entry.tos, entry.route.metric)


class Fib:
    """All tables and rules of a namespace, for one version of IP."""

    def __init__(
        self,
        routes: Iterable[Route],
        rules: Iterable[Rule],
        devices: Mapping[str, Device],
        version: Version = 4,
        nexthops: Iterable[NextHopObject] = (),
    ) -> None:
        self.version: Version = version
        # The kernel has removed nexthop objects over devices without a carrier, and the routes that name them.
        self._nexthops = without_lost(nexthops, {name for name, device in devices.items() if not (device.up and device.carrier)})
        self.objects = {thing.id: thing for thing in self._nexthops}
        self.bits = 32 if version == 4 else 128
        self._devices = devices
        self._given = tuple(routes)
        self.rules = tuple(sorted((rule for rule in rules if rule.family == version), key=lambda rule: rule.priority))
        entries = [
            _compile(route, devices, self.objects)
            for route in self._given
            if route.destination.version == version and (route.nexthop is None or route.nexthop in self.objects)
        ]
        self.custom_rules = not only_default_rules(self.rules, version)
        self.dissects = any(r.iif != "lo" and (r.ip_protocol or r.source_ports or r.destination_ports) for r in self.rules)
        """Whether lookups for packets on their way are told protocol and ports."""
        by_table: dict[int, list[Entry]] = {}
        for entry in entries:
            by_table.setdefault(entry.route.table, []).append(entry)
        self.tables = {number: TableIndex(number, found, self.bits) for number, found in by_table.items()}
        self.custom_local_routes = any(route.type == "local" and route.protocol != 2 for route in self._routes(Table.LOCAL))
        # Until the first rule is added, local and main share one trie, and the longest prefix of both wins
        # (`fib_new_table` and `fib_trie_unmerge`, net/ipv4/fib_frontend.c).
        shared = [*by_table.get(Table.LOCAL, ()), *by_table.get(Table.MAIN, ())]
        self._shared = None if self.custom_rules or version == 6 else TableIndex(Table.MAIN, shared)
        self._ignore_linkdown = frozenset(name for name, device in devices.items() if device.ignore_linkdown)
        self._answers: dict[tuple[Query, bool], Lookup] = {}
        self._mtus: dict[int, frozenset[int]] = {}
        self.journal: Journal | None = None
        """Where lookups are noted, for whoever wants to know what an answer rests on."""

    def address(self, number: int) -> IPv4Address | IPv6Address:
        """Return an address of this version of IP from its number."""
        return IPv4Address(number) if self.version == 4 else IPv6Address(number)

    def _routes(self, table: int) -> Sequence[Route]:
        index = self.tables.get(table)
        return [] if index is None else [entry.route for entry in index.entries]

    def mtus_beside(self, route: Route) -> frozenset[int]:
        """Return the MTUs, 0 for none, of all routes that share a nexthop object with a route; its own is among them."""
        assert route.nexthop is not None
        found = self._mtus.get(route.nexthop)
        if found is None:
            found = self._mtus[route.nexthop] = frozenset(other.mtu or 0 for other in self._beside(route.nexthop))
        return found

    def hop_limits_beside(self, route: Route) -> frozenset[int]:
        """Return the hop limits, 0 for none, of the same routes."""
        assert route.nexthop is not None
        return frozenset(other.hoplimit or 0 for other in self._beside(route.nexthop))

    def _beside(self, nexthop: int) -> Iterator[Route]:
        """Yield the routes that share a nexthop object with those that name this one."""
        mine = leaves_of(nexthop, self.objects)
        for other in self._given:
            if other.nexthop is not None and other.destination.version == self.version and leaves_of(other.nexthop, self.objects) & mine:
                yield other

    def with_route(self, old: Route, new: Route) -> Fib:
        """Return the same tables with one route replaced."""
        return Fib((new if route is old else route for route in self._given), self.rules, self._devices, self.version, self._nexthops)

    def with_rule(self, old: Rule, new: Rule) -> Fib:
        """Return the same tables with one rule replaced."""
        rules = (new if rule is old else rule for rule in self.rules)
        return Fib(self._given, rules, self._devices, self.version, self._nexthops)

    def lookup(self, query: Query, *, ignore_linkstate: bool = False) -> Lookup:
        """Answer a query as `fib_lookup` does (include/net/ip_fib.h). Raises Undecided at an l3mdev rule."""
        key = (query, ignore_linkstate)
        if self.journal is not None:
            self.journal.queries.add(key)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._by_rules(query, ignore_linkstate) if self.custom_rules else self._without_rules(query, ignore_linkstate)
            if len(self._answers) > _CACHE:
                self._answers.clear()
            self._answers[key] = answer
        return answer

    def _without_rules(self, query: Query, ignore_linkstate: bool) -> Lookup:
        error: Lookup | None = None
        if self.version == 6:
            tables = (self.tables.get(Table.LOCAL), self.tables.get(Table.MAIN))
        else:
            tables = (self._shared, self.tables.get(Table.DEFAULT))
        for table in tables:
            if table is None:
                continue
            answer = self.in_table(table, query, None, ignore_linkstate)
            if answer is not None and (answer.error is None or self.version == 6):
                return answer
            # What table default says replaces what main said, if only "nothing here".
            error = answer
        return error or self._nothing(query)

    def _by_rules(self, query: Query, ignore_linkstate: bool) -> Lookup:
        for rule in self.walk(query):
            if rule.action != "lookup":
                return Lookup(query, "none", _RULE_ERRORS[rule.action], rule, None, (), self)
            table = self.tables.get(table_of(rule))
            answer = None if table is None else self.in_table(table, query, rule, ignore_linkstate)
            if answer is not None and not suppressed(rule, answer):
                return answer
        return self._nothing(query)

    def _nothing(self, query: Query) -> Lookup:
        return Lookup(query, "none", "ENETUNREACH", None, None, (), self)

    def walk(self, query: Query) -> Iterator[Rule]:
        """Yield the rules that match and act, in order, following goto. Stops when the caller is content."""
        position = 0
        rules = self.rules
        while position < len(rules):
            rule = rules[position]
            position += 1
            if rule.action == "nop" or mismatch(rule, query) is not None:
                continue
            if rule.action == "goto":
                # An unresolved target makes the rule a no-op; a target at or before it is refused by the kernel.
                target = next((i for i, other in enumerate(rules) if other.priority == rule.goto and i >= position), None)
                position = position if target is None else target
                continue
            yield rule

    def in_table(self, table: TableIndex, query: Query, rule: Rule | None, ignore_linkstate: bool) -> Lookup | None:
        """Return what a table says, or None where it has nothing (or says throw), so that the search goes on."""
        tos = query.tos & ROUTING_TOS
        missed: int | None = None
        for entry in table.matching(query.destination):
            if (entry.tos and entry.tos != tos) or entry.network == missed:
                continue
            route = entry.route
            if route.foreign:
                raise Undecided(f"{' and '.join(route.foreign)} of a route is not modelled", route)
            if route.type == "throw":
                return None
            if entry.error is not None:
                return Lookup(query, entry.type, entry.error, rule, route, (), self)
            exits = self.usable(entry, query, ignore_linkstate)
            if exits:
                return Lookup(query, route.type, None, rule, route, exits, self)
            if route.nexthop is not None and self.version == 4:
                # `fib_table_lookup` leaves the whole leaf then, in which routes to other prefixes of this address are as well.
                missed = entry.network
        return None

    def usable(self, entry: Entry, query: Query, ignore_linkstate: bool) -> tuple[Exit, ...]:
        """Return the ways out of a route that the kernel would take (`fib_lookup_good_nhc`)."""
        exits = entry.exits
        if len(exits) == 1 and query.oif is None and exits[0].usable and (exits[0].carrier or not self._ignore_linkdown):
            return exits
        return tuple(
            way
            for way in exits
            if way.usable
            and (query.oif is None or way.device == query.oif)
            and (way.carrier or ignore_linkstate or way.device not in self._ignore_linkdown)
        )

    def takes_turns(self, answer: Lookup) -> bool:
        """Whether a packet made here may take another default route of the table, by what is known of gateways (`fib_select_default`).

        A default route with a larger metric is none of those, unless it is for another TOS.
        """
        route = answer.route
        if self.version == 6 or route is None or route.destination.prefixlen or answer.type != "unicast":
            return False
        if len(ways_of(route, self.objects)) != 1 or answer.exits[0].via is None:
            return False
        tos = answer.query.tos & ROUTING_TOS
        defaults = [e for e in self.tables[route.table].matching(answer.query.destination) if not e.length and e.tos in (0, tos)]
        behind = defaults[[entry.route for entry in defaults].index(route) + 1 :]
        return any(
            (entry.tos != route.tos or entry.route.metric <= route.metric)
            and entry.type == "unicast"
            and entry.route.scope == route.scope
            and any(way.via is not None for way in entry.exits[:1])
            for entry in behind
        )

    def devices_of(self, route: Route) -> tuple[str | None, ...]:
        """Return the devices a route may lead out by, usable or not (`fib_info_nh_uses_dev`)."""
        return tuple(hop.device for hop in ways_of(route, self.objects))

    def local_type(self, address: int, device: str | None = None) -> str:
        """Return what kind of address this is here, by the local table alone (`inet_dev_addr_type`)."""
        if self.journal is not None:
            self.journal.kinds.add((address, device))
        if self.version == 4 and (address >> 24 == 0 or address == 0xFFFFFFFF):
            return "broadcast"
        if (address >> 28 == 0xE) if self.version == 4 else (address >> 120 == 0xFF):
            return "multicast"
        table = self._shared or self.tables.get(Table.LOCAL)
        if table is not None:
            for entry in table.matching(address):
                if device is None or any(way.device == device for way in entry.exits):
                    return entry.route.type
                return "unicast"
        return "unicast"


_CACHE = 100_000


class Device(NamedTuple):
    """What routing needs to know of a link."""

    up: bool
    carrier: bool
    ignore_linkdown: bool


def _compile(route: Route, devices: Mapping[str, Device], objects: Mapping[int, NextHopObject]) -> Entry:
    """Prepare a route."""
    destination = route.destination
    sunk = route.nexthop is not None and leads_into_blackhole(route.nexthop, objects)
    kind: RouteType = "blackhole" if sunk else route.type
    exits = tuple(_exit(hop, route, devices) for hop in ways_of(route, objects) if hop.device is not None)
    return Entry(route, int(destination.network_address), int(destination.netmask), route.tos, _ROUTE_ERRORS.get(kind), exits, kind)


def _exit(hop: NextHop, route: Route, devices: Mapping[str, Device]) -> Exit:
    device = devices.get(hop.device or "", _ABSENT)
    # Local routes survive their device going down (`fib_sync_down_dev` spares next hops of scope nowhere).
    usable = device.up or route.type == "local"
    return Exit(hop.device or "", hop.via, hop.weight, usable, device.carrier or route.type == "local")


_ABSENT = Device(up=False, carrier=False, ignore_linkdown=False)


def suppressed(rule: Rule, answer: Lookup) -> bool:
    """Whether a rule's `suppress_prefixlength` or `suppress_ifgroup` refuses what its table found (`fib4_rule_suppress`)."""
    if answer.error is not None or answer.route is None:
        return False
    if rule.suppress_prefix_length is not None and answer.route.destination.prefixlen <= rule.suppress_prefix_length:
        return True
    # Links of a state are all in the default group, 0.
    return rule.suppress_group == 0
