"""What a BGP speaker is told: its sessions, and what it announces.

The program that is told so is real; this is what the rest of the lab reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from lab.state.objects import Address, Network, Protocol, Route, Table

Version = Literal[4, 6]
"""Of IP."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Prefixes that are not taken: those inside `network` whose length is between the two `lengths`."""

    network: Network
    lengths: tuple[int, int]

    def __contains__(self, prefix: Network) -> bool:
        inside = prefix.version == self.network.version and prefix.network_address in self.network
        return inside and max(self.lengths[0], self.network.prefixlen) <= prefix.prefixlen <= self.lengths[1]


@dataclass(frozen=True, slots=True)
class BgpSession:
    """One side of a session (RFC 4271): it is established where the other side has one the other way round."""

    name: str
    local: Address
    peer: Address
    peer_as: int
    client: bool = False
    """Whether the peer is a client of this speaker, which is a route reflector (RFC 4456)."""


@dataclass(frozen=True, slots=True)
class BgpSpeaker:
    """What a speaker knows by its configuration. It speaks over one version of IP, and about that alone; for the other there is another."""

    identifier: IPv4Address
    asn: int
    sessions: tuple[BgpSession, ...] = ()
    announces: tuple[Network, ...] = ()
    """What it has by itself: its blocks, and single addresses of others' blocks."""
    refuses: tuple[Refusal, ...] = ()
    """What it does not take from anybody."""
    version: Version = 4


def is_learned(route: Route, version: Version) -> bool:
    """Whether a route is one that a speaker of this version of IP puts into its kernel: a block of its own, or what it has been told."""
    return route.protocol == Protocol.BIRD and route.table == Table.MAIN and route.destination.version == version
