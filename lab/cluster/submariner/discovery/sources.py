"""Everything in a cluster that says something about its pod range.

Two kinds: *claims* (an IPPool, a flag, a node's podCIDR) say what the range is or contains, *evidence* (an IPAM block, a tunnel
address) shows where addresses really are. Improved discovery and the diagnosis of detected ranges both read from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from lab.cluster.submariner.discovery.flags import CONTROLLER_MANAGER, POD_FLAG, PROXY, look_for_flag
from lab.cluster.submariner.names import IP_POOL_LABEL
from lab.cluster.submariner.reading import network, of_kind, text, value
from lab.state.control import ApiObject
from lab.state.provenance import Provenance

TUNNEL_ANNOTATION = "projectcalico.org/IPv4VXLANTunnelAddr"
"""On a Node: the address of its vxlan.calico (Calico node/pkg/allocateip)."""


@dataclass(frozen=True, slots=True)
class Source:
    """One statement about addresses of pods; a single address is a /32."""

    name: str
    network: IPv4Network
    provenance: Provenance

    def __str__(self) -> str:
        return f"{self.name} {self.network.network_address if self.network.prefixlen == 32 else self.network}"


def local_pools(objects: Sequence[ApiObject]) -> Iterator[Source]:
    """Yield the IPPools pods get addresses from: enabled, and not made by Submariner for somebody else's range."""
    for pool in of_kind(objects, "IPPool"):
        found = network(text(pool, "spec", "cidr"))
        if found is not None and value(pool, "spec", "disabled") is not True and IP_POOL_LABEL not in pool.labels:
            yield Source(f"IPPool {pool.name}", found, pool.provenance)


def blocks(objects: Sequence[ApiObject]) -> Iterator[Source]:
    """Yield the IPAM blocks that nodes have claimed."""
    for block in of_kind(objects, "IPAMBlock"):
        found = network(text(block, "spec", "cidr"))
        if found is not None:
            affinity = text(block, "spec", "affinity").removeprefix("host:")
            yield Source(f"block of node {affinity}" if affinity else f"block {block.name}", found, block.provenance)


def tunnels(objects: Sequence[ApiObject]) -> Iterator[Source]:
    """Yield the addresses of the nodes' vxlan.calico devices."""
    for node in of_kind(objects, "Node"):
        found = network(text(node, "metadata", "annotations", TUNNEL_ANNOTATION))
        if found is not None:
            yield Source(f"tunnel address of node {node.name}", found, node.provenance)


def flags(objects: Sequence[ApiObject]) -> Iterator[Source]:
    """Yield what --cluster-cidr says, in `command` or `args`, of the components that have it."""
    for component in (CONTROLLER_MANAGER, PROXY):
        look = look_for_flag(objects, component, POD_FLAG, args=True)
        if look.found is not None and look.provenance is not None:
            yield Source(f"{POD_FLAG} of {component}", look.found, look.provenance)


def node_cidrs(objects: Sequence[ApiObject]) -> Iterator[Source]:
    """Yield every node's podCIDR."""
    for node in of_kind(objects, "Node"):
        found = network(text(node, "spec", "podCIDR"))
        if found is not None:
            yield Source(f"podCIDR of node {node.name}", found, node.provenance)
