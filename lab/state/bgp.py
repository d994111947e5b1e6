"""What a BGP speaker is told: its sessions, and what it announces.

The program that is told so is real; this is what the rest of the lab reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.state.objects import Protocol, Route, Table


@dataclass(frozen=True, slots=True)
class Refusal:
    """Prefixes that are not taken: those inside `network` whose length is between the two `lengths`."""

    network: IPv4Network
    lengths: tuple[int, int]

    def __contains__(self, prefix: IPv4Network) -> bool:
        return prefix.subnet_of(self.network) and self.lengths[0] <= prefix.prefixlen <= self.lengths[1]


@dataclass(frozen=True, slots=True)
class BgpSession:
    """One side of a session (RFC 4271): it is established where the other side has one the other way round."""

    name: str
    local: IPv4Address
    peer: IPv4Address
    peer_as: int
    client: bool = False
    """Whether the peer is a client of this speaker, which is a route reflector (RFC 4456)."""


@dataclass(frozen=True, slots=True)
class BgpSpeaker:
    """What a speaker knows by its configuration."""

    identifier: IPv4Address
    asn: int
    sessions: tuple[BgpSession, ...] = ()
    announces: tuple[IPv4Network, ...] = ()
    """What it has by itself: its blocks, and single addresses of others' blocks."""
    refuses: tuple[Refusal, ...] = ()
    """What it does not take from anybody."""


def is_learned(route: Route) -> bool:
    """Whether a route is one that a speaker puts into its kernel: a block of its own, or what it has been told."""
    return route.protocol == Protocol.BIRD and route.table == Table.MAIN and isinstance(route.destination, IPv4Network)
