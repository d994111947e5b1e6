"""A pod's namespace and its port on the node's bridge.

Source: containernetworking/plugins, plugins/main/bridge/bridge.go and plugins/ipam/host-local.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

from lab.cluster.bridged.ranges import first_host, node_range, node_range6
from lab.cluster.devices import add_device
from lab.cluster.emulation import Emulation
from lab.cluster.names import link_local, local_mac
from lab.cluster.pods import add_pod_namespace
from lab.cluster.sysctls import IPV6_ON, conf6
from lab.cluster.world import UPLINK, ClusterFacts, NodeFacts, PodFacts
from lab.state.builder import NamespaceBuilder
from lab.state.objects import AddressEntry, BridgePort, Link, Protocol, Route, Veth
from lab.state.provenance import Provenance

BRIDGE: Final = "cni0"


def add_pod(lab: Emulation, cluster: ClusterFacts, node: NodeFacts, pod: PodFacts, mtu: int) -> None:
    """Make a pod on a node that is there; its default route leads to the node's address on the bridge."""
    cni = cluster.spec.cni
    why = Provenance("bridge cni", f"pod {pod.namespace}/{pod.name} on {node.name}", because=(pod.provenance,))
    namespace = add_pod_namespace(lab, cluster, node, pod, why)
    port = BridgePort(hairpin=cni.hairpin)
    host = lab.builder[node.name]
    mac = local_mac(node.name, pod.host_device)
    configured = lab.world.written("clusters", cluster.name, "cni", "hairpin")
    attached = Provenance("bridge cni", f"hairpinMode {str(cni.hairpin).lower()} for {pod.name}", because=(pod.provenance, configured))
    add_device(host, Link(pod.host_device, Veth(pod.name, UPLINK), mtu=mtu, mac=mac, master=BRIDGE, port=port, provenance=attached))
    add_device(namespace, Link(UPLINK, Veth(node.name, pod.host_device), mtu=mtu, mac=local_mac(pod.name, UPLINK), provenance=why))
    network = node_range(node)
    address = IPv4Interface(f"{pod.address}/{network.prefixlen}")
    namespace.add_address(AddressEntry(UPLINK, address, broadcast=network.broadcast_address, provenance=why))
    default = IPv4Network("0.0.0.0/0")
    namespace.add_route(Route(default, via=first_host(network), device=UPLINK, protocol=Protocol.BOOT, provenance=why))
    if pod.address6 is not None:
        _add_ipv6(namespace, node_range6(node), pod.address6, why)


def _add_ipv6(namespace: NamespaceBuilder, network: IPv6Network, own: IPv6Address, why: Provenance) -> None:
    """Give a pod its second address; its next hop is the node's on the bridge."""
    namespace.sysctls |= {**IPV6_ON, conf6("all", "forwarding"): "0", conf6(UPLINK, "accept_dad"): "0"}
    mac = namespace.links[UPLINK].mac
    assert mac is not None
    namespace.add_address(AddressEntry(UPLINK, IPv6Interface((int(own), network.prefixlen)), provenance=why))
    namespace.add_address(AddressEntry(UPLINK, link_local(mac), "link", provenance=why))
    via = network.network_address + 1
    namespace.add_route(Route(IPv6Network("::/0"), via=via, device=UPLINK, protocol=Protocol.BOOT, provenance=why))
