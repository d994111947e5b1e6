"""Who has which address of a node's podCIDR: flannel's tunnel the first, the bridge the second, pods those that follow."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network

from lab.cluster.world import NodeFacts
from lab.errors import InputError


def node_range(node: NodeFacts) -> IPv4Network:
    """Return a node's podCIDR; raises InputError where none is left for it."""
    if node.pod_cidr is None:
        places = node.provenance.places()
        raise InputError(f"no podCIDR is left for node {node.name}", place=places[0] if places else None, hint="enlarge the pod CIDR")
    return node.pod_cidr


def node_range6(node: NodeFacts) -> IPv6Network:
    """Return the same of IPv6, in a dual-stack cluster."""
    assert node.pod_cidr6 is not None  # what is left for it was looked at when addresses were handed out
    return node.pod_cidr6


def first_host(network: IPv4Network) -> IPv4Address:
    """Return the node's own address on its bridge."""
    return network.network_address + 1
