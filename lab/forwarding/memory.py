"""What a network remembers of earlier packets: connections, neighbours, learned MACs, path MTUs.

It is kept apart from the state and passed along explicitly: an empty memory is a network after a flush.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address

from lab.forwarding.fib import Exit
from lab.forwarding.netfilter.conntrack import Conntrack
from lab.forwarding.packet import Address
from lab.state.objects import Network

Lot = tuple[str, int, Network, tuple[Exit, ...], tuple[int, ...]]
"""Namespace, table and destination of the route, its ways, and what is hashed of a packet."""


@dataclass(slots=True)
class Memory:
    """Everything that packets leave behind. A trace works on a copy, so what it was given stays as it was."""

    conntrack: dict[str, Conntrack] = field(default_factory=dict)
    """By namespace."""
    neighbours: dict[tuple[str, str, int], str] = field(default_factory=dict)
    """Namespace, device, IPv4 address: MAC, or nothing for an entry whose resolution failed: it is there, and listens."""
    neighbours6: dict[tuple[str, str, IPv6Address], str] = field(default_factory=dict)
    """Namespace, device, IPv6 address: MAC, or nothing for an entry whose resolution failed."""
    bridge_fdb: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Namespace, bridge, MAC: port."""
    vxlan_fdb: dict[tuple[str, str, str], Address] = field(default_factory=dict)
    """Namespace, VXLAN device, inner MAC: remote VTEP."""
    vxlan_sent: dict[tuple[str, str, str], Address] = field(default_factory=dict)
    """Namespace, VXLAN device, inner MAC: the remote VTEP a learned entry first sent to, whose way the kernel keeps with the entry."""
    path_mtu: dict[tuple[str, int, int, Exit], int] = field(default_factory=dict)
    """Namespace, destination, table and next hop: bytes. The kernel keeps it with the next hop, so another table forgets it.

    A nexthop object is in no table, which is 0 here.
    """
    mtus: dict[tuple[str, int], frozenset[int]] = field(default_factory=dict)
    """Namespace and number of a nexthop object: the MTUs, 0 for none, of the routes by it that were in use, one of which it keeps."""
    lots: dict[Lot, int] = field(default_factory=dict)
    """Which of several ways the hash of a flow chose. Its seed is drawn once, at boot, so a flow keeps its way."""
    conversations: int = 0
    """How many there were, this one included."""
    undecided: dict[int, int] = field(default_factory=dict)
    """Address of a conversation that was not followed to its end: bytes of its longest packet, of which somebody may have been told."""

    def leave_open(self, address: Address, size: int) -> None:
        """Remember that a packet of so many bytes to or from an address was not followed to its end."""
        self.undecided[int(address)] = max(size, self.undecided.get(int(address), 0))

    def copy(self) -> Memory:
        """Return a memory that can be written without changing this one."""
        return Memory(
            {name: dict(entries) for name, entries in self.conntrack.items()},
            dict(self.neighbours),
            dict(self.neighbours6),
            dict(self.bridge_fdb),
            dict(self.vxlan_fdb),
            dict(self.vxlan_sent),
            dict(self.path_mtu),
            dict(self.mtus),
            dict(self.lots),
            self.conversations,
            dict(self.undecided),
        )

    def ways(self) -> Memory:
        """Return a copy of what decides where packets go, without connections and what is the same for every packet of a flow."""
        return replace(self.copy(), conntrack={}, mtus={}, lots={})

    def without_lots(self) -> Memory:
        """Return a copy in which every hash is open again."""
        return replace(self.copy(), lots={})
