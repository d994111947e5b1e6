"""The tunnel device, and the routes of blocks and pods.

Source: Calico felix/dataplane/linux/{vxlan_mgr,int_dataplane}.go, felix/calc/{vxlan_resolver,l3_route_resolver}.go and
felix/routetable/route_table.go at v3.26; for the mode without encapsulation, confd's BIRD templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from lab.cluster.calico.nat import VXLAN_DEVICE
from lab.cluster.calico.policy import VXLAN_PORT
from lab.cluster.names import vtep_mac
from lab.cluster.world import ClusterFacts, NodeFacts
from lab.spec.check_cluster import VXLAN_OVERHEAD
from lab.state.objects import FdbEntry, Link, Neighbour, Network, Protocol, Route, Vxlan
from lab.state.provenance import Provenance

COMPONENT: Final = "felix"
VNI: Final = 4096


def pod_mtu(node: NodeFacts, *, vxlan: bool) -> int:
    """Return the MTU of pods' devices: the smallest of all encapsulations in use."""
    return node.mtu - VXLAN_OVERHEAD if vxlan else node.mtu


def tunnel_device(node: NodeFacts, why: Provenance) -> Link:
    """Return a node's vxlan.calico."""
    kind = Vxlan(VNI, VXLAN_PORT, local=node.address, device=node.device, learning=False)
    return Link(VXLAN_DEVICE, kind, mtu=node.mtu - VXLAN_OVERHEAD, mac=vtep_mac(node.name), provenance=why)


def own_block_routes(node: NodeFacts, cluster: ClusterFacts) -> Iterator[Route]:
    """Yield blackholes for the node's own blocks: what no pod there has must not leave by the default route."""
    protocol = Protocol.FELIX if cluster.vxlan else Protocol.BIRD
    yield from _blackholes(node, node.blocks, protocol)
    yield from _blackholes(node, node.blocks6, Protocol.BIRD)


def _blackholes(node: NodeFacts, blocks: Iterable[Network], protocol: int) -> Iterator[Route]:
    for block in blocks:
        if block.prefixlen < block.max_prefixlen:
            why = Provenance(COMPONENT, f"own block {block}", because=(node.provenance,))
            yield Route(block, type="blackhole", protocol=protocol, provenance=why)


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a node makes every other node of its cluster program."""

    routes: tuple[Route, ...]
    vtep: tuple[Neighbour, FdbEntry] | None
    """The MAC address of its tunnel end point, and where packets to that go; there is none without VXLAN."""


def advertisement(node: NodeFacts, cluster: ClusterFacts) -> Advertisement:
    """Return what the others learn of a node: it is the same for all of them, since a cluster's nodes share one segment."""
    why = Provenance(COMPONENT, f"tunnel end point of node {node.name}", because=(node.provenance,))
    vtep: tuple[Neighbour, FdbEntry] | None = None
    if node.tunnel is not None:
        mac = vtep_mac(node.name)
        vtep = (
            Neighbour(VXLAN_DEVICE, node.tunnel, mac, provenance=why),
            FdbEntry(VXLAN_DEVICE, mac, destination=node.address, provenance=why),
        )
    return Advertisement((*_block_routes(node, cluster), *_block_routes6(node, cluster)), vtep)


def _block_routes(node: NodeFacts, cluster: ClusterFacts) -> Iterator[Route]:
    """Yield the others' routes to a node's blocks and borrowed addresses: through the tunnel, or straight where the mode allows that.

    Where BGP is spoken, that tells them.
    """
    if cluster.spec.cni.bgp is not None:
        return
    for block, why in (*_own_blocks(node), *_borrowed(node)):
        if cluster.spec.cni.mode == "vxlan":
            yield Route(block, via=node.tunnel, device=VXLAN_DEVICE, onlink=True, protocol=Protocol.BOOT, provenance=why)
        elif cluster.spec.cni.mode == "vxlan-cross-subnet":
            yield Route(block, via=node.address, device=node.device, onlink=True, protocol=Protocol.FELIX, provenance=why)
        else:
            yield Route(block, via=node.address, device=node.device, protocol=Protocol.BIRD, provenance=why)


def _block_routes6(node: NodeFacts, cluster: ClusterFacts) -> Iterator[Route]:
    """Yield the others' routes to a node's IPv6 blocks and borrowed addresses, which BIRD has of the node itself.

    Where BGP is spoken, that tells them.
    """
    if node.address6 is None or cluster.spec.cni.bgp is not None:
        return
    lent = ((IPv6Network(pod.address6), pod) for pod in node.pods if pod.address6 and not any(pod.address6 in b for b in node.blocks6))
    reasons = [(block, Provenance(COMPONENT, f"block {block} of node {node.name}", because=(node.provenance,))) for block in node.blocks6]
    reasons += [(net, Provenance(COMPONENT, f"{net[0]}, borrowed by pod {pod.name}", because=(pod.provenance,))) for net, pod in lent]
    for network, why in reasons:
        yield Route(network, via=node.address6, device=node.device, protocol=Protocol.BIRD, provenance=why)


def _own_blocks(node: NodeFacts) -> Iterator[tuple[IPv4Network, Provenance]]:
    for block in node.blocks:
        yield block, Provenance(COMPONENT, f"block {block} of node {node.name}", because=(node.provenance,))


def _borrowed(node: NodeFacts) -> Iterator[tuple[IPv4Network, Provenance]]:
    """Yield the addresses that pods of a node have from other nodes' blocks: each is told of by itself."""
    for pod in node.pods:
        if not any(pod.address in block for block in node.blocks):
            yield IPv4Network(pod.address), Provenance(COMPONENT, f"{pod.address}, borrowed by pod {pod.name}", because=(pod.provenance,))
