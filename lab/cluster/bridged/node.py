"""A node whose pods are on a bridge: what its agent programs when it joins, and what the others learn of it.

Source: flannel pkg/backend/{vxlan/vxlan,vxlan/device,hostgw/hostgw}.go, and as in `pods` and `nat`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from lab.cluster.bridged.nat import FLANNEL, FORWARD, agent_chain, agent_jump, flannel_chain, forward_chain
from lab.cluster.bridged.pods import BRIDGE, add_pod
from lab.cluster.bridged.ranges import first_host, node_range
from lab.cluster.devices import add_device
from lab.cluster.emulation import Emulation
from lab.cluster.names import local_mac
from lab.cluster.rules import built_in, jump, put_chain, rule
from lab.cluster.underlay.wiring import CALL_IPTABLES, devices
from lab.cluster.world import ClusterFacts, NodeFacts, v4
from lab.errors import InputError
from lab.state.builder import NamespaceBuilder
from lab.state.control import LogLine
from lab.state.objects import AddressEntry, Bridge, FdbEntry, Link, Neighbour, Protocol, Route, Vxlan
from lab.state.provenance import Provenance

TUNNEL: Final = "flannel.1"
VNI: Final = 1
PORT: Final = 8472
VXLAN_OVERHEAD: Final = 50
FLANNELD: Final = "flanneld"


def join(lab: Emulation, node: NodeFacts) -> None:
    """Program a node that has just joined, and let it and the nodes that are there learn of each other."""
    cluster, namespace = lab.world.clusters[node.cluster], lab.builder[node.name]
    cni = cluster.spec.cni
    namespace.sysctls.setdefault(CALL_IPTABLES, "1")
    if cni.plugin == "flannel" and cni.mode == "vxlan":
        _add_tunnel(lab, node, namespace)
    _add_bridge(lab, cluster, node, namespace)
    for pod in node.pods:
        add_pod(lab, cluster, node, pod, _pod_mtu(lab, cluster, node))
    _put_rules(cluster, node, namespace)
    if cni.plugin == "flannel":
        for peer in lab.present(cluster):
            if peer.name != node.name:
                _learn(lab, cluster, namespace, peer)
                _learn(lab, cluster, lab.builder[peer.name], node)


def external(lab: Emulation, node: NodeFacts) -> tuple[str, IPv4Address]:
    """Return the device that flannel takes for a node's way out, and its address: that of `--iface`, else of the default route.

    Source: flannel pkg/ip/iface.go, LookupExtIface. Raises InputError where there is none.
    """
    cluster = lab.world.clusters[node.cluster]
    wanted, namespace = cluster.spec.cni.interface, lab.builder[node.name]
    by_segment = {segment: device for device, segment in devices(node.segment, node.written.interfaces)}
    default = next((route.device for route in namespace.routes if route.destination.prefixlen == 0), None)
    device = by_segment.get(wanted) if wanted else default
    address = next((entry.interface.ip for entry in namespace.addresses if entry.device == device), None)
    if device is None or address is None:
        why = f"is not on segment {wanted}" if wanted else "has no default route"
        place = lab.world.place("clusters", node.cluster, "cni")
        raise InputError(f"flannel finds no interface on {node.name}, which {why}", place=place, hint="name a segment as `interface`")
    return device, v4(address)


def _mac(node: NodeFacts) -> str:
    return local_mac(node.name, TUNNEL)


def _pod_mtu(lab: Emulation, cluster: ClusterFacts, node: NodeFacts) -> int:
    cni = cluster.spec.cni
    if cni.mtu is not None:
        return cni.mtu
    if cni.plugin == "bridge":
        return 1500
    below = lab.builder[node.name].links[external(lab, node)[0]].mtu
    return below - VXLAN_OVERHEAD if cni.mode == "vxlan" else below


def _add_tunnel(lab: Emulation, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    device, address = external(lab, node)
    why = Provenance(FLANNELD, f"VXLAN on {device} with {address}", because=(node.provenance,))
    kind = Vxlan(VNI, PORT, local=address, device=device, learning=False)
    mtu = namespace.links[device].mtu - VXLAN_OVERHEAD
    add_device(namespace, Link(TUNNEL, kind, mtu=mtu, mac=_mac(node), provenance=why))
    own = IPv4Interface(f"{node_range(node).network_address}/32")
    namespace.add_address(AddressEntry(TUNNEL, own, provenance=why))


def _add_bridge(lab: Emulation, cluster: ClusterFacts, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    why = Provenance("bridge cni", f"bridge for {node.pod_cidr}", because=(node.provenance,))
    network = node_range(node)
    mtu = _pod_mtu(lab, cluster, node)
    add_device(namespace, Link(BRIDGE, Bridge(), mtu=mtu, mac=local_mac(node.name, BRIDGE), provenance=why))
    address = IPv4Interface(f"{first_host(network)}/{network.prefixlen}")
    namespace.add_address(AddressEntry(BRIDGE, address, broadcast=network.broadcast_address, provenance=why))


def _put_rules(cluster: ClusterFacts, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    cni, own = cluster.spec.cni, node_range(node)
    agent = FLANNELD if cni.plugin == "flannel" else "ip-masq-agent"
    why = Provenance(agent, f"outgoing NAT of {cluster.pod_cidr}", because=(cluster.pod_cidr_written,))
    if cni.plugin == "flannel":
        put_chain(namespace, "filter", forward_chain(cluster.pod_cidr, why))
        built_in(namespace, "filter", "FORWARD", why).append_unique(rule(then=jump(FORWARD), why=why))
    if not cni.nat_outgoing:
        return
    chain = flannel_chain(cluster.pod_cidr, own, why) if cni.plugin == "flannel" else agent_chain(cluster.pod_cidr, why)
    put_chain(namespace, "nat", chain)
    to_it = rule(then=jump(FLANNEL), why=why) if cni.plugin == "flannel" else agent_jump(why)
    built_in(namespace, "nat", "POSTROUTING", why).append_unique(to_it)


def _learn(lab: Emulation, cluster: ClusterFacts, namespace: NamespaceBuilder, peer: NodeFacts) -> None:
    """Tell a node of a peer: by which route, and with VXLAN behind which end point, its pods are reached."""
    network = node_range(peer)
    device, address = external(lab, peer)
    why = Provenance(FLANNELD, f"subnet {network} of node {peer.name}, public IP {address} of {device}", because=(peer.provenance,))
    if cluster.spec.cni.mode == "host-gw":
        out = next((e.device for e in namespace.addresses if address in e.interface.network), None)
        if out is None:
            text = f"Error adding route to {network} via {address}: network is unreachable"
            lab.builder.log(LogLine(cluster.name, namespace.name, FLANNELD, "error", text, why))
            return
        namespace.replace_route(Route(network, via=address, device=out, protocol=Protocol.BOOT, provenance=why))
        return
    via = network.network_address
    namespace.replace_route(Route(network, via=via, device=TUNNEL, onlink=True, protocol=Protocol.BOOT, provenance=why))
    namespace.replace_neighbour(Neighbour(TUNNEL, via, _mac(peer), provenance=why))
    namespace.replace_fdb(FdbEntry(TUNNEL, _mac(peer), destination=address, provenance=why))
