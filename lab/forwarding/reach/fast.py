"""All fates at once: where a packet from every namespace to every class of addresses ends, by arrays instead of walks.

This is the second implementation on purpose: it knows plain routing only (one table, no policy rules, no rule sets, veth
pairs, one way per route, neighbours that let themselves be asked for), and says unknown of everything else, which the
explainer then settles. The two must agree.

Longest prefixes for all classes at once go down the nesting: a namespace without a route for a prefix inherits what it does
with the prefix around it. Fates come by pointer doubling: following the next namespace's next namespace, and so on, until
everybody has arrived or turns in a circle.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network

import numpy as np
from numpy.typing import NDArray

from lab.forwarding.network import Network, Node
from lab.forwarding.reach.classes import Nesting, nest
from lab.forwarding.rules import only_default_rules
from lab.state import Loopback, State, Table, Veth

Codes = NDArray[np.int32]


class Fate(IntEnum):
    """What becomes of a packet in a namespace, as far as routing goes; the numbers of ports are all larger."""

    DELIVERED = -1
    NO_ROUTE = -2
    BLACKHOLE = -3
    UNREACHABLE = -4
    PROHIBIT = -5
    NOT_FORWARDING = -6
    NO_NEIGHBOUR = -7
    REVERSE_PATH = -8
    LOOP = -9
    UNKNOWN = -10


_SPECIAL = {"local": Fate.DELIVERED, "blackhole": Fate.BLACKHOLE, "unreachable": Fate.UNREACHABLE, "prohibit": Fate.PROHIBIT}
_INHERIT = np.int32(-(2**31))


@dataclass(frozen=True, slots=True)
class Ports:
    """Every device of every namespace, numbered."""

    numbers: dict[tuple[str, str], int]
    namespace: Codes
    """Which namespace a port is in."""
    peer: Codes
    """The port at the other end of the cable, or -1."""
    strict: NDArray[np.bool_]
    loose: NDArray[np.bool_]


@dataclass(slots=True)
class FastReach:
    """A network as arrays, a row for each class and a column for each namespace: what belongs to one class lies together.

    `out` holds the port to leave by, or a `Fate`.
    """

    names: tuple[str, ...]
    nesting: Nesting[IPv4Network]
    numbers: dict[IPv4Network, int]
    """The class of each prefix."""
    starts: tuple[int, ...]
    """The first address of each prefix."""
    ports: Ports
    own: Codes
    """What each namespace has a route for itself."""
    out: Codes
    transit: NDArray[np.bool_]
    """Which namespaces forward."""
    plain: NDArray[np.bool_]
    """Which namespaces this engine may speak about."""
    fate: Codes
    place: Codes
    """How a packet ends, and in which namespace."""

    def class_of(self, address: IPv4Address) -> int:
        """Return the class of an address: the number of the longest prefix that covers it."""
        wanted = int(address)
        number = bisect_right(self.starts, wanted) - 1
        while int(self.nesting.prefixes[number].broadcast_address) < wanted:
            number = self.nesting.parents[number]
        return number

    def fate_of(self, namespace: str, address: IPv4Address) -> tuple[Fate, str]:
        """Return how a packet of a namespace to an address ends, and where; without regard to its source."""
        row, column = self.class_of(address), self.names.index(namespace)
        return Fate(int(self.fate[row, column])), self.names[int(self.place[row, column])]

    def change_route(self, namespace: str, destination: IPv4Network, code: int | None) -> None:
        """Replace what a namespace does with a known prefix (None: it loses its route) and refresh what follows from it."""
        number = self.numbers[destination]
        self.own[number, self.names.index(namespace)] = _INHERIT if code is None else code
        rows = slice(number, self.nesting.ends[number])
        _inherit(self.out, self.own, self.nesting, rows)
        self.fate[rows], self.place[rows] = _fates(self.out[rows], self.ports, self.transit)


def compile_reach(where: State | Network) -> FastReach:
    """Turn a network into arrays and find all fates."""
    network = where if isinstance(where, Network) else Network(where)
    names = tuple(network.state.namespaces)
    nodes = [network.node(name) for name in names]
    ports = _ports(nodes)
    plain = np.array([_is_plain(node) for node in nodes])
    entries = _entries([node for row, node in enumerate(nodes) if plain[row]], nodes, ports)
    nesting = nest(entries.prefixes)
    numbers = nesting.numbers()
    own = np.full((len(nesting.prefixes), len(names)), _INHERIT, dtype=np.int32)
    own[0] = Fate.NO_ROUTE
    renumbered = np.array([numbers[prefix] for prefix in entries.prefixes], dtype=np.int32)
    if len(entries.codes):
        own[renumbered[entries.places], entries.columns] = entries.codes
    for column, prefix, port in entries.on_link:
        _answer_on_link(own[:, column], nesting, numbers, numbers[prefix], port, nodes[ports.namespace[ports.peer[port]]])
    own[:, ~plain] = Fate.UNKNOWN
    out = own.copy()
    _inherit(out, own, nesting, slice(0, len(nesting.prefixes)))
    transit = np.array([all(node.settings_of(name).forwarding for name in node.links if name != "lo") for node in nodes])
    fate, place = _fates(out, ports, transit)
    starts = tuple(int(prefix.network_address) for prefix in nesting.prefixes)
    return FastReach(names, nesting, numbers, starts, ports, own, out, transit, plain, fate, place)


@dataclass(slots=True)
class _Entries:
    """All routes of all namespaces, those that decide last."""

    prefixes: tuple[IPv4Network, ...]
    places: Codes
    """For each route the number of its prefix among `prefixes`."""
    columns: Codes
    codes: Codes
    on_link: list[tuple[int, IPv4Network, int]]
    """Connected routes: namespace, prefix, port."""


def _entries(plain: list[Node], nodes: list[Node], ports: Ports) -> _Entries:
    columns_of = {node.name: column for column, node in enumerate(nodes)}
    prefixes: dict[IPv4Network, int] = {}
    found: list[tuple[int, int, int, int]] = []
    on_link = []
    for node in plain:
        column = columns_of[node.name]
        ways: dict[tuple[str, int], int] = {}
        for route in node.namespace.routes:
            destination = route.destination
            if not isinstance(destination, IPv4Network):
                continue
            place = prefixes.setdefault(destination, len(prefixes))
            # Table local decides before main, and the smaller metric before the larger: what decides is written last.
            rank = 1 << 32 if route.table == _LOCAL else -route.metric
            if route.type != "unicast" or route.device is None:
                found.append((rank, place, column, _SPECIAL.get(route.type, Fate.UNKNOWN)))
                continue
            way = (route.device, int(route.via) if route.via is not None else -1)
            code = ways.get(way)
            if code is None:
                code = ways[way] = _code(node, way, nodes, ports)
            found.append((rank, place, column, code))
            if route.via is None and (port := ports.numbers.get((node.name, route.device), -1)) >= 0 and ports.peer[port] >= 0:
                on_link.append((column, destination, port))
    table = np.array(found, dtype=np.int64).reshape(-1, 4)
    table = table[np.argsort(table[:, 0], kind="stable")]
    places, columns, codes = (table[:, field].astype(np.int32) for field in (1, 2, 3))
    return _Entries(tuple(prefixes), places, columns, codes, on_link)


_LOCAL = int(Table.LOCAL)


def _code(node: Node, way: tuple[str, int], nodes: list[Node], ports: Ports) -> int:
    """Return the port of a way out, or that nobody answers there. Addresses on the link itself are added afterwards."""
    port = ports.numbers.get((node.name, way[0]), -1)
    far = int(ports.peer[port]) if port >= 0 else -1
    return port if far >= 0 and way[1] in nodes[ports.namespace[far]].own_addresses else Fate.NO_NEIGHBOUR


def _answer_on_link(
    own: Codes, nesting: Nesting[IPv4Network], numbers: dict[IPv4Network, int], prefix: int, port: int, other: Node
) -> None:
    """On a link itself, what the other end has is answered for, and nothing else."""
    for address in other.own_addresses:
        host = numbers.get(IPv4Network(address))
        if host is not None and _decided_by(own, nesting, host) == prefix:
            own[host] = port


def _decided_by(own: Codes, nesting: Nesting[IPv4Network], number: int) -> int:
    """Return the prefix whose route decides about a prefix in one namespace."""
    while own[number] == _INHERIT:
        number = nesting.parents[number]
    return number


def _is_plain(node: Node) -> bool:
    """Whether plain routing is all that happens in a namespace."""
    rules = not only_default_rules(node.namespace.rules) or node.ruleset.of(4).registers or node.ruleset.sees_frames
    odd_routes = node.namespace.nexthops or any(
        route.hops or route.tos or route.type == "throw" or route.table == Table.DEFAULT for route in node.namespace.routes
    )
    odd_links = any(
        not isinstance(link.kind, Veth | Loopback) or link.master or link.impairment or not (link.up and link.arp)
        for link in node.namespace.links
    )
    forwarding = {node.settings_of(name).forwarding for name in node.links if name != "lo"}
    return not (rules or odd_routes or odd_links or len(forwarding) > 1 or node.namespace.neighbours)


def _ports(nodes: list[Node]) -> Ports:
    numbers = {(node.name, name): 0 for node in nodes for name in node.links}
    numbers = {key: number for number, key in enumerate(numbers)}
    rows = {node.name: row for row, node in enumerate(nodes)}
    namespace = np.array([rows[name] for name, _ in numbers], dtype=np.int32)
    peer = np.full(len(numbers), -1, dtype=np.int32)
    modes = np.zeros(len(numbers), dtype=np.int8)
    for node in nodes:
        for link in node.namespace.links:
            number = numbers[node.name, link.name]
            modes[number] = node.settings_of(link.name).rp_filter
            if isinstance(link.kind, Veth):
                peer[number] = numbers.get((link.kind.peer_namespace, link.kind.peer_name), -1)
    return Ports(numbers, namespace, peer, modes == 1, modes == 2)


def _inherit(out: Codes, own: Codes, nesting: Nesting[IPv4Network], rows: slice) -> None:
    """Fill `out` for some classes: own routes, else what is done with the prefix around."""
    depths = np.array(nesting.depths[rows])
    parents = np.array(nesting.parents)
    numbers = np.arange(rows.start, rows.stop)
    for depth in range(int(depths.min()), int(depths.max()) + 1):
        level = numbers[depths == depth]
        if len(level):
            mine = own[level]
            out[level] = np.where(mine == _INHERIT, out[parents[level]], mine)


def _fates(out: Codes, ports: Ports, transit: NDArray[np.bool_]) -> tuple[Codes, Codes]:
    """Follow everybody to the end: pointer doubling over (class, namespace), some classes at a time."""
    fate, place = np.empty_like(out), np.empty_like(out)
    for first in range(0, len(out), _TOGETHER):
        rows = slice(first, first + _TOGETHER)
        fate[rows], place[rows] = _fates_of(out[rows], ports, transit)
    return fate, place


_TOGETHER = 64
"""So many classes stay in the processor's cache."""


def _fates_of(out: Codes, ports: Ports, transit: NDArray[np.bool_]) -> tuple[Codes, Codes]:
    here = np.arange(out.shape[1], dtype=np.int32)[None, :]
    moving = out >= 0
    following = np.where(moving, ports.namespace[ports.peer[np.where(moving, out, 0)]], here)
    # A namespace that does not forward ends what is not for it; its own packets it sends all the same.
    step = np.where(moving & transit[None, :], following, here)
    reached = following
    for _ in range(_DOUBLINGS):
        further = np.take_along_axis(step, reached, axis=1)
        if np.array_equal(further, reached):
            break
        reached = further
        step = np.take_along_axis(step, step, axis=1)
    final = np.take_along_axis(out, reached, axis=1)
    ends_there = np.where(final >= 0, np.int32(Fate.LOOP), final)
    refused = ~transit[reached] & (final != Fate.DELIVERED) & (final != Fate.UNKNOWN)
    fate = np.where(refused, np.int32(Fate.NOT_FORWARDING), ends_there)
    return np.where(moving, fate, out), np.where(moving, reached, here)


_DOUBLINGS = 6
"""2 to the 6th: as many hops as the usual TTL."""


def host_pairs(reach: FastReach, sources: list[tuple[str, IPv4Address]], destinations: list[IPv4Address]) -> NDArray[np.int8]:
    """Return the fate of a packet from every source to every destination, source checks included.

    A packet that a check refuses has the fate REVERSE_PATH. Rows are sources, columns destinations.
    """
    rows = np.array([reach.names.index(name) for name, _ in sources], dtype=np.int32)
    back = np.array([reach.class_of(address) for _, address in sources], dtype=np.int32)
    ahead = np.array([reach.class_of(address) for address in destinations], dtype=np.int32)
    current = np.repeat(rows, len(ahead))
    back_class, ahead_class = np.repeat(back, len(ahead)), np.tile(ahead, len(rows))
    result = reach.fate[ahead_class, current].astype(np.int8)
    alive = np.flatnonzero(reach.out[ahead_class, current] >= 0)
    for _ in range(2**_DOUBLINGS):
        if not len(alive):
            break
        out = reach.out[ahead_class[alive], current[alive]]
        arrival = reach.ports.peer[out]
        there = reach.ports.namespace[arrival]
        ahead_out = reach.out[ahead_class[alive], there]
        checked = (ahead_out == Fate.DELIVERED) | ((ahead_out >= 0) & reach.transit[there])
        way_back = reach.out[back_class[alive], there]
        wrong = reach.ports.strict[arrival] & (way_back != arrival) | reach.ports.loose[arrival] & (way_back < 0)
        wrong |= way_back == Fate.DELIVERED
        refused = checked & wrong & reach.plain[there]
        result[alive[refused]] = Fate.REVERSE_PATH
        current[alive] = there
        goes_on = (ahead_out >= 0) & reach.transit[there] & ~refused
        alive = alive[goes_on]
    return result.reshape(len(rows), len(ahead))
