"""A node whose pods are on a bridge: what its agent programs when it joins, and what the others learn of it.

Source: flannel pkg/backend/{vxlan/vxlan,vxlan/device,hostgw/hostgw}.go, and as in `pods` and `nat`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final

from lab.cluster.bridged.nat import FLANNEL, FORWARD, agent_chain, agent_jump, flannel_chain, forward_chain
from lab.cluster.bridged.pods import BRIDGE, add_pod
from lab.cluster.bridged.ranges import first_host, node_range, node_range6
from lab.cluster.devices import add_device
from lab.cluster.emulation import Emulation
from lab.cluster.names import link_local, local_mac
from lab.cluster.rules import IpTable, built_in, jump, put_chain, rule
from lab.cluster.sysctls import conf6
from lab.cluster.underlay.wiring import CALL_IP6TABLES, CALL_IPTABLES, devices
from lab.cluster.world import ClusterFacts, NodeFacts, v4
from lab.errors import InputError
from lab.state.builder import NamespaceBuilder
from lab.state.control import LogLine
from lab.state.objects import Address, AddressEntry, Bridge, FdbEntry, Link, Neighbour, Network, Protocol, Route, Vxlan
from lab.state.provenance import Provenance

TUNNEL: Final = "flannel.1"
TUNNEL6: Final = "flannel-v6.1"
VNI: Final = 1
PORT: Final = 8472
POD_OVERHEAD: Final = 50
"""What pods are told to leave room for, also where the packets around theirs are of IPv6, which is 20 bytes longer (`encapOverhead`)."""
FLANNELD: Final = "flanneld"


def join(lab: Emulation, node: NodeFacts) -> None:
    """Program a node that has just joined, and let it and the nodes that are there learn of each other."""
    cluster, namespace = lab.world.clusters[node.cluster], lab.builder[node.name]
    cni = cluster.spec.cni
    namespace.sysctls.setdefault(CALL_IPTABLES, "1")
    if cluster.pod_cidr6 is not None:
        namespace.sysctls.setdefault(CALL_IP6TABLES, "1")
    if cni.plugin == "flannel" and cni.mode == "vxlan":
        _add_tunnel(lab, node, namespace)
        if cluster.pod_cidr6 is not None:
            _add_tunnel6(lab, node, namespace)
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


def external6(lab: Emulation, node: NodeFacts) -> IPv6Address:
    """Return the IPv6 address that flannel tells the others: the first of its way out that means something beyond its link.

    Raises InputError where there is none.
    """
    device, _ = external(lab, node)
    own = (entry.interface.ip for entry in lab.builder[node.name].addresses if entry.device == device)
    found = next((address for address in own if isinstance(address, IPv6Address) and not address.is_link_local), None)
    if found is None:
        place = lab.world.place("clusters", node.cluster, "cni")
        hint = "its segment needs `cidr6`"
        raise InputError(f"flannel finds no IPv6 address on {device} of {node.name}", place=place, hint=hint)
    return found


def _mac(node: NodeFacts, device: str = TUNNEL) -> str:
    return local_mac(node.name, device)


def _pod_mtu(lab: Emulation, cluster: ClusterFacts, node: NodeFacts) -> int:
    cni = cluster.spec.cni
    if cni.mtu is not None:
        return cni.mtu
    if cni.plugin == "bridge":
        return 1500
    below = lab.builder[node.name].links[external(lab, node)[0]].mtu
    return below - POD_OVERHEAD if cni.mode == "vxlan" else below


def _add_tunnel(lab: Emulation, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    device, address = external(lab, node)
    why = Provenance(FLANNELD, f"VXLAN on {device} with {address}", because=(node.provenance,))
    kind = Vxlan(VNI, PORT, local=address, device=device, learning=False)
    mtu = namespace.links[device].mtu - kind.overhead
    add_device(namespace, Link(TUNNEL, kind, mtu=mtu, mac=_mac(node), provenance=why))
    own = IPv4Interface(f"{node_range(node).network_address}/32")
    namespace.add_address(AddressEntry(TUNNEL, own, provenance=why))


def _add_tunnel6(lab: Emulation, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    """Make the second device of a dual-stack cluster. flannel asks for the MTU of the first; the kernel gives what there is room for."""
    device, _ = external(lab, node)
    address = external6(lab, node)
    why = Provenance(FLANNELD, f"VXLAN on {device} with {address}", because=(node.provenance,))
    kind = Vxlan(VNI, PORT, local=address, device=device, learning=False)
    mtu = namespace.links[device].mtu - kind.overhead
    add_device(namespace, Link(TUNNEL6, kind, mtu=mtu, mac=_mac(node, TUNNEL6), provenance=why))
    namespace.add_address(AddressEntry(TUNNEL6, IPv6Interface((int(node_range6(node).network_address), 128)), provenance=why))


def _add_bridge(lab: Emulation, cluster: ClusterFacts, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    why = Provenance("bridge cni", f"bridge for {node.pod_cidr}", because=(node.provenance,))
    network = node_range(node)
    mtu = _pod_mtu(lab, cluster, node)
    add_device(namespace, Link(BRIDGE, Bridge(), mtu=mtu, mac=local_mac(node.name, BRIDGE), provenance=why))
    address = IPv4Interface(f"{first_host(network)}/{network.prefixlen}")
    namespace.add_address(AddressEntry(BRIDGE, address, broadcast=network.broadcast_address, provenance=why))
    if cluster.pod_cidr6 is not None:
        network6 = node_range6(node)
        namespace.sysctl(conf6(BRIDGE, "accept_dad"), "0")
        own6 = IPv6Interface((int(network6.network_address) + 1, network6.prefixlen))
        namespace.add_address(AddressEntry(BRIDGE, own6, provenance=why))
        namespace.add_address(AddressEntry(BRIDGE, link_local(local_mac(node.name, BRIDGE)), "link", provenance=why))


def _put_rules(cluster: ClusterFacts, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    cni = cluster.spec.cni
    if cni.plugin == "flannel":
        _put_flannel_rules(cluster, cluster.pod_cidr, node_range(node), cluster.pod_cidr_written, "ip", namespace)
        if cluster.pod_cidr6 is not None:
            _put_flannel_rules(cluster, cluster.pod_cidr6, node_range6(node), cluster.pod_cidr6_written, "ip6", namespace)
    elif cni.nat_outgoing:
        why = Provenance("ip-masq-agent", f"outgoing NAT of {cluster.pod_cidr}", because=(cluster.pod_cidr_written,))
        put_chain(namespace, "nat", agent_chain(cluster.pod_cidr, why))
        built_in(namespace, "nat", "POSTROUTING", why).append_unique(agent_jump(why))


def _put_flannel_rules(
    cluster: ClusterFacts, pods: Network, own: Network, written: Provenance, family: IpTable, namespace: NamespaceBuilder
) -> None:
    why = Provenance(FLANNELD, f"outgoing NAT of {pods}", because=(written,))
    put_chain(namespace, "filter", forward_chain(pods, why), family)
    built_in(namespace, "filter", "FORWARD", why, family).append_unique(rule(then=jump(FORWARD), why=why))
    if cluster.spec.cni.nat_outgoing:
        put_chain(namespace, "nat", flannel_chain(pods, own, why), family)
        built_in(namespace, "nat", "POSTROUTING", why, family).append_unique(rule(then=jump(FLANNEL), why=why))


def _learn(lab: Emulation, cluster: ClusterFacts, namespace: NamespaceBuilder, peer: NodeFacts) -> None:
    """Tell a node of a peer: by which route, and with VXLAN behind which end point, its pods are reached."""
    _, address = external(lab, peer)
    _lead_to(lab, cluster, namespace, peer, node_range(peer), address)
    if cluster.pod_cidr6 is not None:
        _lead_to(lab, cluster, namespace, peer, node_range6(peer), external6(lab, peer))


def _lead_to(
    lab: Emulation, cluster: ClusterFacts, namespace: NamespaceBuilder, peer: NodeFacts, network: Network, address: Address
) -> None:
    device, _ = external(lab, peer)
    why = Provenance(FLANNELD, f"subnet {network} of node {peer.name}, public IP {address} of {device}", because=(peer.provenance,))
    if cluster.spec.cni.mode == "host-gw":
        out = next((e.device for e in namespace.addresses if address in e.interface.network), None)
        if out is None:
            text = f"Error adding route to {network} via {address}: network is unreachable"
            lab.builder.log(LogLine(cluster.name, namespace.name, FLANNELD, "error", text, why))
            return
        namespace.replace_route(Route(network, via=address, device=out, protocol=Protocol.BOOT, provenance=why))
        return
    tunnel, via = TUNNEL if network.version == 4 else TUNNEL6, network.network_address
    mac = _mac(peer, tunnel)
    namespace.replace_route(Route(network, via=via, device=tunnel, onlink=True, protocol=Protocol.BOOT, provenance=why))
    namespace.replace_neighbour(Neighbour(tunnel, via, mac, provenance=why))
    namespace.replace_fdb(FdbEntry(tunnel, mac, destination=address, provenance=why))
