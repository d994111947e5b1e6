"""Random questions to a network."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random
from typing import Literal

from lab.forwarding.flow import Flow
from lab.forwarding.generate.shape import PORT
from lab.state import Namespace, State


def random_flows(random: Random, state: State, count: int) -> tuple[Flow, ...]:
    """Return flows between random places, each with a port or identifier of its own."""
    own = {namespace.name: [a for a in _addresses(namespace) if not a.is_loopback] for namespace in state}
    everybody = [address for addresses in own.values() for address in addresses]
    sources = [name for name, addresses in own.items() if addresses]
    return tuple(_flow(random, random.choice(sources), own, everybody, 20_000 + number) for number in range(count))


def all_pairs(random: Random, state: State) -> tuple[Flow, ...]:
    """Return a ping from every namespace that has an address to every other one, in random order."""
    own = {namespace.name: [a for a in _addresses(namespace) if not a.is_loopback] for namespace in state}
    pairs = [(one, other) for one in own for other in own if one != other and own[one] and own[other]]
    random.shuffle(pairs)
    return tuple(Flow(one, random.choice(own[other]), source_port=20_000 + number) for number, (one, other) in enumerate(pairs))


def _addresses(namespace: Namespace) -> list[IPv4Address]:
    return [entry.interface.ip for entry in namespace.addresses if isinstance(entry.interface.ip, IPv4Address)]


def _flow(random: Random, source: str, own: dict[str, list[IPv4Address]], everybody: list[IPv4Address], port: int) -> Flow:
    destination = random.choice(everybody)
    if random.random() < 0.06:
        destination = IPv4Address(int(destination) ^ 64)
    protocols: tuple[Literal["icmp", "tcp", "udp"], ...] = ("icmp", "icmp", "udp", "tcp")
    protocol = random.choice(protocols)
    return Flow(
        source,
        destination,
        protocol,
        destination_port=0 if protocol == "icmp" else PORT if random.random() < 0.9 else PORT + 1,
        source_port=port,
        size=random.choice((84, 84, 84, 600, 950, 1100, 1350, 1420, 1480, 1500)),
        df=random.choice((None, None, True, False)) if protocol != "tcp" else None,
        ttl=random.choice((None, None, None, None, 1, 2, 3)) if protocol != "tcp" else None,
        mark=random.choice((0, 0, 0, 1, 2)),
        tos=random.choice((0, 0, 0, 0x10)),
        source_address=random.choice(own[source]) if random.random() < 0.25 else None,
    )
