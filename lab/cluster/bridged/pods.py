"""A pod's namespace and its port on the node's bridge.

Source: containernetworking/plugins, plugins/main/bridge/bridge.go and plugins/ipam/host-local.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from typing import Final

from lab.cluster.bridged.ranges import first_host, node_range
from lab.cluster.devices import add_device
from lab.cluster.emulation import Emulation
from lab.cluster.names import local_mac
from lab.cluster.pods import add_pod_namespace
from lab.cluster.world import UPLINK, ClusterFacts, NodeFacts, PodFacts
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
