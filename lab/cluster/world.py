"""What a topology means for its clusters: every node, pod and service with the addresses it has or would have (`lab.cluster.addressing`).

Nothing here depends on events. A node that joins later has the same blocks and pods as if it had been there from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from lab.cluster.names import bridged_device, workload_device
from lab.errors import InputError, Place, did_you_mean
from lab.spec.cluster import Cluster, Node, Service
from lab.spec.site import Serve
from lab.spec.topology import Topology
from lab.state.objects import Address, Network
from lab.state.provenance import Provenance

Places = Callable[..., Place | None]
"""Where in a file something stands: ``place("clusters", "cluster-1", "pod_cidr")``."""

UPLINK = "eth0"
"""A node's device on the underlay, a host's as well, and a pod's only one."""
LIGHTHOUSE_NAMESPACE = "submariner-operator"


def nowhere(*path: str) -> Place | None:
    """Say that nothing stands in any file."""
    return None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod; its veth on the node is `host_device`."""

    name: str
    namespace: str
    cluster: str
    node: str
    address: IPv4Address
    serves: tuple[Serve, ...]
    bridged: bool
    """Whether it is on a bridge of its node."""
    provenance: Provenance
    address6: IPv6Address | None = None
    """Its IPv6 address, in a dual-stack cluster."""

    @property
    def host_device(self) -> str:
        """The node's end of the pod's veth pair."""
        return (bridged_device if self.bridged else workload_device)(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node. `tunnel` is the address of its vxlan.calico, the first of its first block; None without VXLAN.

    `tunnel6` is that of its vxlan-v6.calico.
    """

    name: str
    cluster: str
    segment: str
    """The segment of its first device."""
    interface: IPv4Interface
    gateway: bool
    """Labelled submariner.io/gateway=true."""
    mtu: int
    """Of the uplink."""
    default_gateway: IPv4Address | None
    pod_cidr: IPv4Network | None
    """node.spec.podCIDR, which Calico does not use."""
    blocks: tuple[IPv4Network, ...]
    tunnel: IPv4Address | None
    pods: tuple[PodFacts, ...]
    sysctls: Mapping[str, str]
    """Full paths below /proc/sys that the file sets."""
    written: Node
    """What the file says of it."""
    provenance: Provenance
    device: str = UPLINK
    address6: IPv6Address | None = None
    """Its second InternalIP, in a dual-stack cluster."""
    blocks6: tuple[IPv6Network, ...] = ()
    pod_cidr6: IPv6Network | None = None
    """The IPv6 one of node.spec.podCIDRs, which Calico does not use either."""
    tunnel6: IPv6Address | None = None

    @property
    def address(self) -> IPv4Address:
        """The node's InternalIP."""
        return self.interface.ip


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A ClusterIP service of the file. It has one or both of the addresses, as its families say."""

    name: str
    namespace: str
    cluster: str
    address: IPv4Address | None
    address6: IPv6Address | None
    spec: Service
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A cluster, its nodes in the order of the file."""

    name: str
    spec: Cluster
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    nodes: Mapping[str, NodeFacts]
    services: Mapping[str, ServiceFacts]
    api_address: IPv4Address
    dns_address: IPv4Address
    dns_pod: str
    lighthouse_pod: str | None
    """The pod of Lighthouse's own server, where it has one."""
    provenance: Provenance
    pod_cidr_written: Provenance
    """Where the file says what the pod CIDR is."""
    pod_cidr6_written: Provenance
    domain: str = "cluster.local"
    pod_cidr6: IPv6Network | None = None
    """There is one in a dual-stack cluster."""
    service_cidr6: IPv6Network | None = None

    @property
    def pods(self) -> Iterator[PodFacts]:
        """All pods, node by node."""
        return (pod for node in self.nodes.values() for pod in node.pods)

    @property
    def vxlan(self) -> bool:
        """Whether its nodes have a vxlan.calico."""
        return self.calico and self.spec.cni.mode != "none"

    @property
    def vxlan6(self) -> bool:
        """Whether its nodes have a vxlan-v6.calico."""
        return self.calico and self.pod_cidr6 is not None and self.spec.cni.mode6 != "none"

    @property
    def calico(self) -> bool:
        """Whether Calico is its network plug-in."""
        return self.spec.cni.plugin == "calico"


@dataclass(frozen=True, slots=True)
class World:
    """All clusters of a topology, and where in the file everything stands."""

    topology: Topology
    clusters: Mapping[str, ClusterFacts]
    place: Places

    def node(self, name: str) -> NodeFacts:
        """Return a node of any cluster; raises InputError where there is none."""
        nodes = {n.name: n for cluster in self.clusters.values() for n in cluster.nodes.values()}
        if name not in nodes:
            raise InputError(f"there is no node {name!r}", hint=did_you_mean(name, list(nodes), "node"))
        return nodes[name]

    def written(self, *path: str) -> Provenance:
        """Return the end of a chain of reasons: what a person wrote, and where."""
        return Provenance("topology", ".".join(path), place=self.place(*path))


def address6_on(topology: Topology, segment: str, address: Address, written: Mapping[str, IPv6Address]) -> IPv6Address | None:
    """Return the IPv6 address that goes with a machine's address on a segment: the `written` one, else that in the same place of the
    segment's IPv6 network; None without such a network."""
    found = topology.segments[segment]
    if found.cidr6 is None:
        return None
    return written.get(segment, found.cidr6.network_address + (int(address) - int(found.cidr.network_address)))


def v4(address: IPv4Address | IPv6Address, place: Place | None = None) -> IPv4Address:
    """Return an IPv4 address; raises InputError for another one."""
    if not isinstance(address, IPv4Address):
        raise InputError(f"{address}: networks are emulated with IPv4 only", place=place)
    return address


def v4_network(network: IPv4Network | IPv6Network, place: Place | None = None) -> IPv4Network:
    """Return an IPv4 network; raises InputError for another one."""
    if not isinstance(network, IPv4Network):
        raise InputError(f"{network}: networks are emulated with IPv4 only", place=place)
    return network


def v6(address: Address) -> IPv6Address:
    """Return an IPv6 address, which it is."""
    assert isinstance(address, IPv6Address)
    return address


def v6_network(network: Network) -> IPv6Network:
    """Return an IPv6 network, which it is."""
    assert isinstance(network, IPv6Network)
    return network


def v4_interface(interface: IPv4Interface | IPv6Interface, place: Place | None = None) -> IPv4Interface:
    """Return an IPv4 address with its prefix; raises InputError for another one."""
    if not isinstance(interface, IPv4Interface):
        raise InputError(f"{interface}: networks are emulated with IPv4 only", place=place)
    return interface
