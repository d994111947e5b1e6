"""Rule and table choice: the model's answer and the kernel's own (RTM_GETROUTE), for random packets in random networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from random import Random

from lab.forwarding import Network, Packet, Reason
from lab.forwarding.choice import Chooser
from lab.forwarding.memory import Memory
from lab.forwarding.network import Node
from lab.forwarding.packet import ICMP, TCP, UDP
from lab.forwarding.routing import InputRoute, OutputRoute, route_input, route_output
from lab.forwarding.unknown import Undecided
from lab.forwarding.world import World
from lab.kernel.engine import Engine
from lab.kernel.oracle import RouteAnswer, RouteQuery
from lab.state import Route, State, Table


@dataclass(frozen=True, slots=True)
class RouteDisagreement:
    """One lookup the two answer differently."""

    namespace: str
    query: RouteQuery
    predicted: str
    observed: str


@dataclass(frozen=True, slots=True)
class RouteComparison:
    """What came of comparing lookups in one network."""

    compared: int
    unknown: int
    """Lookups the model could not decide."""
    disagreements: tuple[RouteDisagreement, ...]


def compare_routes(engine: Engine, state: State, random: Random, count: int) -> RouteComparison:
    """Ask the model and the kernel about `count` random packets in a state that was applied; tell where they differ."""
    network = Network(state)
    world = World(network, Memory(), Chooser())
    addresses = [entry.interface.ip for namespace in state for entry in namespace.addresses if isinstance(entry.interface.ip, IPv4Address)]
    names = list(state.namespaces)
    found, unknown = [], 0
    for _ in range(count):
        node = network.node(random.choice(names))
        query = _query(random, node, addresses)
        predicted = _predicted(world, node, query)
        if predicted is None:
            unknown += 1
            continue
        observed = observed_entry(partial(engine.route_get, node.name), query)
        if predicted != observed:
            found.append(RouteDisagreement(node.name, query, predicted, observed))
    return RouteComparison(count - unknown, unknown, tuple(found))


def _query(random: Random, node: Node, addresses: list[IPv4Address]) -> RouteQuery:
    def address() -> IPv4Address:
        chosen = random.choice(addresses)
        return chosen if random.random() < 0.7 else IPv4Address(int(chosen) ^ random.choice((1, 2, 64, 128, 1 << 9, 1 << 16)))

    own = [a.address for assigned in node.addresses.values() for a in assigned]
    protocol = random.choice((None, ICMP, TCP, UDP))
    ports = (random.choice((5000, 53)), random.choice((5000, 80, 53))) if protocol in (TCP, UDP) else (None, None)
    devices = [name for name, link in node.links.items() if link.up and name != "lo"]
    arriving = bool(devices) and random.random() < 0.5
    return RouteQuery(
        address(),
        source=address() if arriving else random.choice((None, random.choice(own) if own else None)),
        iif=random.choice(devices) if arriving else None,
        oif=random.choice(devices) if devices and not arriving and random.random() < 0.1 else None,
        mark=random.choice((0, 0, 1, 2, 3)),
        tos=random.choice((0, 0, 0x10, 0x08)),
        ip_protocol=protocol,
        source_port=ports[0],
        destination_port=ports[1],
        uid=None if arriving else random.choice((None, None, 0, 500, 1000, 1500, 3000)),
    )


def _packet(query: RouteQuery) -> Packet:
    source, destination = query.source, query.destination
    assert isinstance(destination, IPv4Address)
    return Packet(
        source if isinstance(source, IPv4Address) else IPv4Address(0),
        destination,
        # Without a protocol the kernel asks as for UDP.
        query.ip_protocol or UDP,
        tos=query.tos,
        mark=query.mark,
        source_port=query.source_port or 0,
        destination_port=query.destination_port or 0,
    )


def _predicted(world: World, node: Node, query: RouteQuery) -> str | None:
    packet = _packet(query)
    try:
        if query.iif is not None:
            return predicted_entry(route_input(world, node, packet, query.iif))
        return predicted_entry(route_output(world, node, packet, device=query.oif, uid=query.uid or 0))
    except Undecided:
        return None


def predicted_entry(decision: InputRoute | OutputRoute) -> str:
    """Return a decision of the model in the words of `observed_entry`: the entry of a table that was chosen, or an errno."""
    return _input(decision) if isinstance(decision, InputRoute) else _output(decision)


def _input(route: InputRoute) -> str:
    if route.kind == "refused":
        # Of IPv6 it is asked after the lookup, by `ip6_forward`, whether the namespace forwards at all.
        if route.reason is Reason.NOT_FORWARDING_V6 and route.lookup is not None:
            return _entry(route.lookup.route)
        return "EINVAL"
    if route.kind == "error":
        if route.reason is not None and route.reason.name == "NOT_FORWARDING":
            return "EHOSTUNREACH"
        return route.lookup.error or "" if route.lookup is not None else ""
    return _entry(route.lookup.route if route.lookup is not None else None)


def _output(route: OutputRoute) -> str:
    if route.errno is not None:
        return route.errno
    return _entry(route.lookup.route if route.lookup is not None else None)


def _entry(route: Route | None) -> str:
    if route is None:
        return "no entry"
    # Where local and main share a trie the kernel takes main for the table of both.
    table = Table.MAIN if route.table == Table.LOCAL else route.table
    tos, metric = f" tos {route.tos:#x}" if route.tos else "", f" metric {route.metric}" if route.metric else ""
    return f"{route.type} {route.destination} table {'main' if table == Table.MAIN else table}{tos}{metric}"


def observed_entry(ask: Callable[[RouteQuery], RouteAnswer], query: RouteQuery) -> str:
    """Ask the kernel twice: whether the packet may pass at all, source check included, and which entry decides about it."""
    plain = ask(query)
    if plain.error is not None:
        return plain.error
    entry = ask(replace(query, fibmatch=True))
    return "no entry" if entry.error is not None else _entry(entry.route)
