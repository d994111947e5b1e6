"""The tunnel device, and the routes of blocks and pods.

Source: Calico felix/dataplane/linux/{vxlan_mgr,int_dataplane}.go, felix/calc/{vxlan_resolver,l3_route_resolver}.go and
felix/routetable/route_table.go at v3.26; for the mode without encapsulation, confd's BIRD templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from lab.cluster.calico.nat import TUNNELS, Version
from lab.cluster.calico.policy import VXLAN_PORT
from lab.cluster.names import vtep_mac
from lab.cluster.world import ClusterFacts, NodeFacts
from lab.spec.check_cluster import VXLAN_OVERHEAD
from lab.state.objects import Address, FdbEntry, Link, Neighbour, Network, Protocol, Route, Vxlan
from lab.state.provenance import Provenance

COMPONENT: Final = "felix"
VNI: Final = 4096


def pod_mtu(node: NodeFacts, cluster: ClusterFacts) -> int:
    """Return the MTU of pods' devices: the smallest of all encapsulations in use."""
    used: dict[Version, bool] = {4: cluster.vxlan, 6: cluster.vxlan6}
    return node.mtu - max(VXLAN_OVERHEAD[version] if is_used else 0 for version, is_used in used.items())


def tunnel_device(node: NodeFacts, version: Version, why: Provenance) -> Link:
    """Return a node's vxlan.calico, or vxlan-v6.calico: both have the same VNI and port, which versions of IP keep apart."""
    kind = Vxlan(VNI, VXLAN_PORT, local=node.address if version == 4 else node.address6, device=node.device, learning=False)
    mtu = node.mtu - VXLAN_OVERHEAD[version]
    return Link(TUNNELS[version], kind, mtu=mtu, mac=vtep_mac(node.name, version), provenance=why)


def own_block_routes(node: NodeFacts, cluster: ClusterFacts) -> Iterator[Route]:
    """Yield blackholes for the node's own blocks: what no pod there has must not leave by the default route."""
    yield from _blackholes(node, node.blocks, Protocol.FELIX if cluster.vxlan else Protocol.BIRD)
    yield from _blackholes(node, node.blocks6, Protocol.FELIX if cluster.vxlan6 else Protocol.BIRD)


def _blackholes(node: NodeFacts, blocks: Iterable[Network], protocol: int) -> Iterator[Route]:
    for block in blocks:
        if block.prefixlen < block.max_prefixlen:
            why = Provenance(COMPONENT, f"own block {block}", because=(node.provenance,))
            yield Route(block, type="blackhole", protocol=protocol, provenance=why)


@dataclass(frozen=True, slots=True)
class Vtep:
    """What others know of a tunnel end point: its MAC address, and where packets to that go."""

    neighbour: Neighbour
    fdb: FdbEntry
    host: Address
    """The node's own address."""


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a node makes every other node of its cluster program."""

    routes: tuple[Route, ...]
    vteps: tuple[Vtep, ...]
    """Its tunnel end points; there are none without VXLAN."""


def advertisement(node: NodeFacts, cluster: ClusterFacts) -> Advertisement:
    """Return what the others learn of a node: it is the same for all of them, since a cluster's nodes share one segment."""
    return Advertisement((*_block_routes(node, cluster), *_block_routes6(node, cluster)), tuple(_vteps(node)))


def _vteps(node: NodeFacts) -> Iterator[Vtep]:
    why = Provenance(COMPONENT, f"tunnel end point of node {node.name}", because=(node.provenance,))
    ends: tuple[tuple[Version, Address | None, Address | None], ...] = ((4, node.tunnel, node.address), (6, node.tunnel6, node.address6))
    for version, tunnel, host in ends:
        if tunnel is not None and host is not None:
            device, mac = TUNNELS[version], vtep_mac(node.name, version)
            entry = FdbEntry(device, mac, destination=host, provenance=why)
            yield Vtep(Neighbour(device, tunnel, mac, provenance=why), entry, host)


def _block_routes(node: NodeFacts, cluster: ClusterFacts) -> Iterator[Route]:
    """Yield the others' routes to a node's blocks and borrowed addresses: through the tunnel, or straight where the mode allows that.

    Where BGP is spoken, that tells them.
    """
    if cluster.spec.cni.bgp is not None:
        return
    for block, why in (*_own_blocks(node), *_borrowed(node)):
        if cluster.spec.cni.mode == "vxlan":
            yield Route(block, via=node.tunnel, device=TUNNELS[4], onlink=True, protocol=Protocol.BOOT, provenance=why)
        elif cluster.spec.cni.mode == "vxlan-cross-subnet":
            yield Route(block, via=node.address, device=node.device, onlink=True, protocol=Protocol.FELIX, provenance=why)
        else:
            yield Route(block, via=node.address, device=node.device, protocol=Protocol.BIRD, provenance=why)


def _block_routes6(node: NodeFacts, cluster: ClusterFacts) -> Iterator[Route]:
    """Yield the others' routes to a node's IPv6 blocks and borrowed addresses: through the tunnel, or what BIRD has of the node itself.

    Where BGP is spoken, that tells them.
    """
    if node.address6 is None or cluster.spec.cni.bgp is not None:
        return
    lent = ((IPv6Network(pod.address6), pod) for pod in node.pods if pod.address6 and not any(pod.address6 in b for b in node.blocks6))
    reasons = [(block, Provenance(COMPONENT, f"block {block} of node {node.name}", because=(node.provenance,))) for block in node.blocks6]
    reasons += [(net, Provenance(COMPONENT, f"{net[0]}, borrowed by pod {pod.name}", because=(pod.provenance,))) for net, pod in lent]
    for network, why in reasons:
        if cluster.spec.cni.mode6 == "vxlan":
            yield Route(network, via=node.tunnel6, device=TUNNELS[6], onlink=True, protocol=Protocol.BOOT, provenance=why)
        elif cluster.spec.cni.mode6 == "vxlan-cross-subnet":
            yield Route(network, via=node.address6, device=node.device, onlink=True, protocol=Protocol.FELIX, provenance=why)
        else:
            yield Route(network, via=node.address6, device=node.device, protocol=Protocol.BIRD, provenance=why)


def _own_blocks(node: NodeFacts) -> Iterator[tuple[IPv4Network, Provenance]]:
    for block in node.blocks:
        yield block, Provenance(COMPONENT, f"block {block} of node {node.name}", because=(node.provenance,))


def _borrowed(node: NodeFacts) -> Iterator[tuple[IPv4Network, Provenance]]:
    """Yield the addresses that pods of a node have from other nodes' blocks: each is told of by itself."""
    for pod in node.pods:
        if not any(pod.address in block for block in node.blocks):
            yield IPv4Network(pod.address), Provenance(COMPONENT, f"{pod.address}, borrowed by pod {pod.name}", because=(pod.provenance,))
