"""What a topology file says of Kubernetes clusters: nodes, pods, services, their network and what joins them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from lab.spec.bgp import Bgp
from lab.spec.site import ClusterDns, Firewall, HostBridge, Serve, StaticNexthop, StaticRoute
from lab.spec.values import (
    Address,
    Address6,
    AnyNetwork,
    Exemption,
    IpFamily,
    Line,
    Many,
    Model,
    Mtu,
    Name,
    Network,
    Network6,
    Port,
    Sysctls,
    Url,
)


class Pod(Model):
    """A pod, on the node it is listed under."""

    address: Address | None = None
    """Its address, asked of Calico IPAM. By default the next free one of its node's blocks."""
    address6: Address6 | None = None
    """Its IPv6 address, in a dual-stack cluster. By default the next free one of its node's IPv6 blocks."""
    namespace: Name = "default"
    """Its Kubernetes namespace."""
    global_egress: bool = False
    """With Globalnet: whether a GlobalEgressIP selects it. What it sends to other clusters bears that address; none leads to it."""
    global_ingress: bool = False
    """With Globalnet: whether a headless service with it is exported. Then it has a GlobalIngressIP, which leads to it."""
    serves: Many[Serve] = (Serve(port=8080), Serve(port=8080, protocol="udp", behaviour="echo"))
    """What it serves. By default HTTP on TCP port 8080, and an echo on UDP port 8080."""


class Node(Model):
    """A cluster's node."""

    address: Address
    """Its address on its segment, its InternalIP."""
    segment: Name | None = None
    """The segment it is on, as `eth0`. By default the cluster's."""
    interfaces: dict[Name, Address] = Field(default_factory=dict)
    """Its addresses on further segments, by the segment's name: `eth1`, `eth2` and so on, in this order."""
    ipv6: dict[Name, Address6] = Field(default_factory=dict)
    """Its IPv6 addresses, by the segment's name, where they are not to be the derived ones."""
    bridges: dict[Name, HostBridge] = Field(default_factory=dict)
    """Its own bridges, by device name."""
    routes: Many[StaticRoute] = ()
    """Its static routes; one to `default` takes the place of the cluster's."""
    nexthops: Many[StaticNexthop] = ()
    """Its nexthop objects; members of a group before the group."""
    gateway: bool = False
    """Whether it has the label submariner.io/gateway=true."""
    pods: dict[Name, Pod] = Field(default_factory=dict)
    """The pods on it, by name. A pod's name is unique in the whole topology."""
    blocks: Many[Network] = ()
    """Its Calico IPAM blocks. By default chosen by the hash of its name, scattered over the pool as Calico scatters them."""
    blocks6: Many[Network6] = ()
    """Its blocks of the IPv6 pool, in a dual-stack cluster. By default chosen likewise."""
    pod_cidr: Network | None = None
    """Its spec.podCIDR, which Calico does not use. By default the next free /24 of the cluster's pod CIDR, in the order of nodes."""
    firewall: Firewall | None = None
    """Its firewall, in place of its cluster's."""
    sysctls: Sysctls = Field(default_factory=dict)
    """Settings of this node, over those of its cluster."""


class Service(Model):
    """A ClusterIP service."""

    namespace: Name = "default"
    """Its Kubernetes namespace."""
    port: Port = 80
    """The port of its ClusterIP."""
    target_port: Port = 8080
    """The port of its pods."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """The transport protocol."""
    pods: Many[Name]
    """The pods behind it, of the same cluster."""
    address: Address | None = None
    """Its ClusterIP. By default the next free one of the service CIDR, from its 100th address on."""
    address6: Address6 | None = None
    """Its IPv6 ClusterIP, where IPv6 is among its families. By default the next free one of the cluster's `service_cidr6`, likewise."""
    families: Annotated[Many[IpFamily], Field(min_length=1, max_length=2)] = ("IPv4",)
    """The IP versions it has a ClusterIP of (spec.ipFamilies): both is what ipFamilyPolicy RequireDualStack gives, and the first one's is
    its spec.clusterIP. By default IPv4 alone, Kubernetes' SingleStack."""
    external: Many[Address] = ()
    """Addresses outside the cluster that lead to it as well: a load balancer's, or spec.externalIPs. Who brings packets for them to a node
    is the network's business."""
    keep_source: bool = False
    """Whether clients from outside keep their address and are served by pods of the node they come to (externalTrafficPolicy: Local)."""
    export: bool = False
    """Whether there is a ServiceExport for it from the beginning."""

    @model_validator(mode="after")
    def _has_its_families(self) -> Service:
        if len(set(self.families)) < len(self.families):
            raise ValueError(f"`families` holds {self.families[0]} twice")
        if "IPv4" not in self.families:
            for key in ("address", "external", "export"):
                if getattr(self, key):
                    raise ValueError(f"`{key}` needs IPv4 among the service's `families`")
        if self.address6 is not None and "IPv6" not in self.families:
            raise ValueError("`address6` needs IPv6 among the service's `families`")
        return self


_CNI_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "calico": frozenset(
        {"mode", "mode6", "block_size", "block_size6", "nat_outgoing", "nat_outgoing6", "strict_affinity", "api_server", "bgp"}
    ),
    "flannel": frozenset({"mode", "nat_outgoing", "hairpin", "mtu", "interface"}),
    "bridge": frozenset({"nat_outgoing", "hairpin", "mtu"}),
}
"""What each network plug-in can be told."""
_CNI_MODES: Final[Mapping[str, tuple[str, ...]]] = {
    "calico": ("vxlan", "vxlan-cross-subnet", "none"),
    "flannel": ("vxlan", "host-gw"),
}


class Cni(Model):
    """A cluster's network plug-in: Calico 3.26, flannel, or the bridge plug-in alone, whose ranges `routes` of routers lead to."""

    plugin: Literal["calico", "flannel", "bridge"] = "calico"
    """The plug-in. Calico's pods have a /32 each; those of the others are on a bridge, with addresses of their node's podCIDR."""
    mode: Literal["vxlan", "vxlan-cross-subnet", "none", "host-gw"] = "vxlan"
    """How pods' packets go between nodes: encapsulated always, between subnets only (Calico), or never (`none` of Calico, `host-gw` of
    flannel). The bridge plug-in has no mode."""
    mode6: Literal["vxlan", "vxlan-cross-subnet", "none"] = "none"
    """Calico: the same of IPv6 packets (CALICO_IPV6POOL_VXLAN); never where nobody says so. Encapsulated, they go from node to node by
    IPv6 as well, through a device of their own, vxlan-v6.calico."""
    block_size: Annotated[int, Field(ge=20, le=32)] = 26
    """Calico: the prefix length of an IPAM block."""
    block_size6: Annotated[int, Field(ge=116, le=128)] = 122
    """Calico: the prefix length of a block of the IPv6 pool."""
    nat_outgoing: bool = True
    """Whether packets from pods to addresses that are no pod's (Calico: in no pool) leave with their node's address."""
    nat_outgoing6: bool = False
    """Calico: the same of IPv6 packets; off where nobody says so (CALICO_IPV6POOL_NAT_OUTGOING)."""
    strict_affinity: bool = True
    """Calico: whether no node uses addresses of another node's block. If not, a pod may ask for one: it is borrowed, a /32 leads to it."""
    bgp: Bgp | None = None
    """Calico without encapsulation: BGP, by which nodes learn of each other's pods. By default they know of them by themselves."""
    api_server: bool = True
    """Calico: whether the projectcalico.org/v3 API server runs, which Submariner needs to make IPPools."""
    hairpin: bool = True
    """Bridges: whether a pod's port sends back what came in by it (`hairpinMode`)."""
    mtu: Mtu | None = None
    """Bridges: the MTU of pods. By default flannel's, which makes room for its encapsulation; 1500 with the bridge plug-in."""
    interface: Name | None = None
    """flannel: the segment whose address a node tells the others (`--iface`). By default that of its default route."""

    @model_validator(mode="after")
    def _is_of_its_plugin(self) -> Cni:
        for key in sorted(self.model_fields_set - {"plugin"} - _CNI_KEYS[self.plugin]):
            if getattr(self, key) != type(self).model_fields[key].default:  # as `lab show --as spec` prints it
                raise ValueError(f"`{key}` says nothing with `plugin: {self.plugin}`")
        modes = _CNI_MODES.get(self.plugin)
        if modes is not None and self.mode not in modes:
            raise ValueError(f"{self.plugin} has no mode {self.mode!r}: it is {', '.join(modes[:-1])} or {modes[-1]}")
        if self.bgp is not None and self.mode != "none":
            raise ValueError(f"`bgp` says nothing with `mode: {self.mode}`: it goes with `mode: none`")
        if self.bgp is not None and self.mode6 != "none":
            raise ValueError(f"`bgp` says nothing with `mode6: {self.mode6}`: it goes with `mode6: none`")
        return self


class NetworkPolicy(Model):
    """A Calico GlobalNetworkPolicy on all pods: some networks are denied, everything else passes."""

    name: Name
    """Its name."""
    deny_from: Many[AnyNetwork] = ()
    """Sources whose packets pods do not get."""
    deny_to: Many[AnyNetwork] = ()
    """Destinations to which pods may not send."""


class ProxyEnvironment(Model):
    """HTTP_PROXY, HTTPS_PROXY and NO_PROXY of a cluster's nodes and pods."""

    http: Url
    """HTTP_PROXY."""
    https: Url | None = None
    """HTTPS_PROXY. By default the same."""
    no_proxy: Many[Exemption] = ()
    """NO_PROXY, besides what the distribution adds (RKE2 and k3s: .svc, the cluster's domain, its own pod and service CIDR)."""


class Cluster(Model):
    """A Kubernetes cluster."""

    pod_cidr: Network
    """The network of its pods: Calico's default pool."""
    service_cidr: Network
    """The network of its services' ClusterIPs."""
    pod_cidr6: Network6 | None = None
    """The IPv6 network of its pods, which makes it dual stack: Calico's IPv6 pool, or flannel's. The segments of its nodes have IPv6
    networks, and all nodes are on one, unless pods' IPv6 packets are encapsulated always (`mode6` of `cni`; flannel's `mode`)."""
    service_cidr6: Network6 | None = None
    """The network of its services' IPv6 ClusterIPs, in a dual-stack cluster."""
    segment: Name
    """The segment its nodes are on."""
    gateway: Address | None = None
    """Next hop of its nodes' default route. By default the first router on their segment."""
    distribution: Literal["rke2", "kubeadm", "k3s"] = "rke2"
    """Decides where the components' flags stand: kubeadm in `command`, rke2 in `args`, k3s has no such pods."""
    kubernetes: Line = "v1.27.9"
    """Its version, as `kubectl version` shows it."""
    cni: Cni = Field(default_factory=Cni)
    """Its network plug-in."""
    nodes: dict[Name, Node] = Field(min_length=1)
    """Its nodes, by name. A node's name is unique in the whole topology."""
    services: dict[Name, Service] = Field(default_factory=dict)
    """Its services, by name."""
    policies: Many[NetworkPolicy] = ()
    """Its network policies."""
    proxy: ProxyEnvironment | None = None
    """The proxy its nodes and pods are told to use."""
    dns: ClusterDns = Field(default_factory=ClusterDns)
    """Its DNS."""
    firewall: Firewall | None = None
    """The firewall of its nodes. Without one, everything passes."""
    dns_node: Name | None = None
    """The node its DNS pod runs on. By default the first."""
    sysctls: Sysctls = Field(default_factory=dict)
    """Settings of every node, by path below /proc/sys, or as `rp_filter` (of all interfaces and of new ones) and `icmp_ratelimit`."""


class Submariner(Model):
    """Submariner between the clusters. With which flags they join is in the scenario; this is what does not change."""

    version: Literal["0.15.0", "0.17.0", "0.19.0"] = "0.17.0"
    """Its version, which decides how it discovers a cluster's networks."""
    cable: Literal["vxlan", "libreswan"] = "vxlan"
    """The cable driver. `libreswan` imitates its IPsec policies by selector-exact policy routing, since a kernel may have no ESP."""
    workers: Literal["overlay", "next-hop"] = "overlay"
    """How workers reach their gateway: by vx-submariner, or, as before there was one, with the gateway node's own address as next hop."""
    discovery: Literal["stock", "improved"] = "stock"
    """`improved` reads IPPools, blocks and tunnel addresses, and refuses when they disagree."""
    globalnet: Network | None = None
    """The range of global addresses (--globalnet-cidr-range), of which each cluster gets a /16. With it, clusters' own ranges may overlap.
    By default there is no Globalnet."""
    broker: Name | None = None
    """The host that serves the broker's API."""
