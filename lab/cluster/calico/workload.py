"""A pod's namespace and the veth pair to its node, as Calico's CNI plug-in makes and Felix keeps them.

Source: Calico cni-plugin/pkg/dataplane/linux/dataplane_linux.go, felix/dataplane/linux/endpoint_mgr.go.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

from lab.cluster.calico.routes import pod_mtu
from lab.cluster.devices import add_device
from lab.cluster.emulation import Emulation
from lab.cluster.names import link_local, local_mac
from lab.cluster.pods import add_pod_namespace
from lab.cluster.sysctls import IPV6_ON, conf, conf6
from lab.cluster.world import UPLINK, ClusterFacts, NodeFacts, PodFacts
from lab.state.builder import NamespaceBuilder
from lab.state.objects import AddressEntry, Link, Protocol, Route, Veth
from lab.state.provenance import Provenance

LINK_LOCAL_GATEWAY: Final = IPv4Address("169.254.1.1")
"""The next hop of every pod. Nobody has this address: the node answers ARP for it, since it has a route towards it."""
HOST_MAC: Final = "ee:ee:ee:ee:ee:ee"


def add_pod(lab: Emulation, cluster: ClusterFacts, node: NodeFacts, pod: PodFacts) -> None:
    """Make a pod on a node that is there."""
    why = Provenance("calico cni", f"pod {pod.namespace}/{pod.name} on {node.name}", because=(pod.provenance,))
    namespace = add_pod_namespace(lab, cluster, node, pod, why)
    host = lab.builder[node.name]
    mtu = pod_mtu(node, cluster)
    add_device(host, Link(pod.host_device, Veth(pod.name, UPLINK), mtu=mtu, mac=HOST_MAC, provenance=why))
    add_device(namespace, Link(UPLINK, Veth(node.name, pod.host_device), mtu=mtu, mac=local_mac(pod.name, UPLINK), provenance=why))
    for name, value in {"route_localnet": "1", "proxy_arp": "1", "forwarding": "1"}.items():
        host.sysctl(conf(pod.host_device, name), value)
    host.sysctl(f"net/ipv4/neigh/{pod.host_device}/proxy_delay", "0")
    address = IPv4Interface(f"{pod.address}/32")
    host.add_route(Route(address.network, device=pod.host_device, scope="link", protocol=Protocol.BOOT, provenance=why))
    namespace.add_address(AddressEntry(UPLINK, address, provenance=why))
    gateway = IPv4Network(f"{LINK_LOCAL_GATEWAY}/32")
    namespace.add_route(Route(gateway, device=UPLINK, scope="link", protocol=Protocol.BOOT, provenance=why))
    namespace.add_route(Route(IPv4Network("0.0.0.0/0"), via=LINK_LOCAL_GATEWAY, device=UPLINK, protocol=Protocol.BOOT, provenance=why))
    if pod.address6 is not None:
        _add_ipv6(host, namespace, pod.host_device, pod.address6, why)


def _add_ipv6(host: NamespaceBuilder, namespace: NamespaceBuilder, device: str, own: IPv6Address, why: Provenance) -> None:
    """Give a pod its second address. Its next hop is the link-local address of the veth's other end, the same on every veth of every node.

    That is a real address, so nobody has to answer in its place: proxy_ndp has nothing to do, and is on all the same.
    """
    for name, value in {"accept_dad": "0", "accept_ra": "0", "disable_ipv6": "0", "forwarding": "1", "proxy_ndp": "1"}.items():
        host.sysctl(conf6(device, name), value)
    namespace.sysctls |= {**IPV6_ON, conf6("all", "forwarding"): "0", conf6(UPLINK, "accept_dad"): "0"}
    gateway = link_local(HOST_MAC)
    host.add_address(
        AddressEntry(device, gateway, "link", provenance=Provenance("kernel", f"link-local address of {device}", because=(why,)))
    )
    host.add_route(Route(IPv6Network(own), device=device, protocol=Protocol.BOOT, provenance=why))
    mac = namespace.links[UPLINK].mac
    assert mac is not None
    namespace.add_address(AddressEntry(UPLINK, IPv6Interface(f"{own}/128"), provenance=why))
    namespace.add_address(AddressEntry(UPLINK, link_local(mac), "link", provenance=why))
    namespace.add_route(Route(IPv6Network("::/0"), via=gateway.ip, device=UPLINK, protocol=Protocol.BOOT, provenance=why))
