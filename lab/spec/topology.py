"""The topology file: clusters, the corporate network between them, and the software that programs their routes.

Everything that can be derived has a default (None here); `lab show FILE --as spec` prints what is written with its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from lab.spec.bgp import Bgp
from lab.spec.links import Impairment, SegmentPort
from lab.spec.values import (
    Address,
    Address6,
    AnyAddress,
    AnyNetwork,
    Destination,
    DeviceName,
    DnsName,
    Exemption,
    Interface,
    Line,
    Many,
    Model,
    Mtu,
    Name,
    Network,
    Network6,
    NexthopId,
    Port,
    Selector,
    Sysctls,
    Url,
)

IcmpType = Literal["echo-request", "echo-reply", "destination-unreachable", "time-exceeded"]
IpFamily = Literal["IPv4", "IPv6"]
Rejection = Literal["net-unreachable", "host-unreachable", "port-unreachable", "admin-prohibited", "host-prohibited", "tcp-reset"]


class StaticRoute(Model):
    """A route of a router or a host."""

    to: Destination
    """Where it leads: a network, or `default` for 0.0.0.0/0."""
    via: AnyAddress | None = None
    """The next hop, on one of its own segments. Only a unicast route has one."""
    nexthop: NexthopId | None = None
    """The nexthop object it names instead, one of the machine's `nexthops`."""
    type: Literal["unicast", "blackhole", "unreachable", "prohibit"] = "unicast"
    """What happens to a packet: it goes to the next hop, or is dropped in silence, or with an ICMP error (ip-route(8))."""


class StaticNexthop(Model):
    """A nexthop object of a router or a host, which its routes name by its number (ip-nexthop(8))."""

    id: NexthopId
    """Its number."""
    via: Address | None = None
    """The next hop, on one of its own segments."""
    group: Many[NexthopId] = ()
    """Other nexthop objects, among which the hash of a flow chooses (ECMP)."""
    blackhole: bool = False
    """Whether packets are dropped in silence."""

    @model_validator(mode="after")
    def _is_something(self) -> StaticNexthop:
        if sum((self.via is not None, bool(self.group), self.blackhole)) != 1:
            raise ValueError("a nexthop is exactly one of: `via`, a `group`, a `blackhole`")
        return self


class FilterRule(Model):
    """A line of a packet filter. The first that matches decides."""

    name: Name | None = None
    """What its counter is called, in `counter` as `rule/NAME`. By default line-1, line-2, ..."""
    source: Many[Network] = ()
    """Networks of which one holds the source address."""
    destination: Many[Network] = ()
    """Networks of which one holds the destination address."""
    protocol: Literal["icmp", "tcp", "udp"] | None = None
    """The transport protocol."""
    ports: Many[Port] = ()
    """Destination ports, of TCP and UDP unless `protocol` says which."""
    icmp: Many[IcmpType] = ()
    """ICMP types, with `protocol: icmp`."""
    established: bool = False
    """Only packets of connections seen before (conntrack established or related)."""
    action: Literal["accept", "drop", "reject"]
    """What becomes of the packet; `drop` is silent, `reject` tells the sender."""
    reject_with: Rejection = "host-unreachable"
    """What a rejected sender is told: an ICMP destination unreachable of this code, or a TCP reset."""

    @model_validator(mode="after")
    def _makes_sense(self) -> FilterRule:
        if self.ports and self.protocol == "icmp":
            raise ValueError("ICMP has no ports")
        if self.icmp and self.protocol != "icmp":
            raise ValueError("ICMP types need `protocol: icmp`")
        if self.reject_with == "tcp-reset" and self.protocol != "tcp":
            raise ValueError("a TCP reset needs `protocol: tcp`")
        if self.action != "reject" and self.reject_with != "host-unreachable":
            raise ValueError(f"`reject_with` says nothing with `action: {self.action}`")
        return self


class RouterRule(FilterRule):
    """A line of a router's forwarding policy. The first that matches decides; what matches none passes."""

    into: Name | None = None
    """The segment a packet comes from."""
    out_of: Name | None = None
    """The segment a packet leaves to."""


class HostRule(FilterRule):
    """A line of a host's own firewall. The first that matches decides; what matches none is left to the policy, or to other software."""

    into: DeviceName | None = None
    """The device a packet comes in by, as `eth0`; `cni*` for all that begin so."""
    out_of: DeviceName | None = None
    """The device a packet leaves by. Packets to the host itself have none."""


class Firewall(Model):
    """The firewall of a machine, as firewalld, ufw or Docker leave it behind: iptables' filter table before other software adds to it."""

    input: Many[HostRule] = ()
    """What may come to the machine itself."""
    input_policy: Literal["accept", "drop"] = "accept"
    """What becomes of packets to the machine that no rule decides about."""
    forward: Many[HostRule] = ()
    """What may be forwarded."""
    forward_policy: Literal["accept", "drop"] = "accept"
    """What becomes of forwarded packets that no rule decides about (`iptables -P FORWARD`)."""


class Segment(Model):
    """A layer 2 segment of the corporate network: two members are joined by a cable, more of them by a switch."""

    cidr: Network
    """The segment's network."""
    cidr6: Network6 | None = None
    """Its IPv6 network. Whoever is on the segment then has an address there as well; by default the one in the same place as its IPv4
    address: 192.0.2.7 of 192.0.2.0/24 has 2001:db8:1::7 of 2001:db8:1::/64."""
    private: bool = False
    """Whether its network means something on it alone, so that other segments may use the same, as behind routers that translate."""
    host_prefix: Literal[32] | None = None
    """The length of the prefix that hosts and nodes have there. By default that of the segment; with 32, as in clouds that switch nothing,
    they reach everybody by their gateway."""
    mtu: Mtu = 1500
    """MTU of every interface on it, in bytes."""
    policy: Many[FilterRule] = ()
    """What its switch carries, as a cloud's security groups or a filtering switch decide. Without one, everything."""
    ports: dict[Selector, SegmentPort] = Field(default_factory=dict)
    """How its switch treats ports, by the member's name; `*` and `?` stand for any characters, and the first that matches counts. A segment
    with ports has a switch even where two members could do with a cable."""
    impairment: Impairment | None = None
    """What becomes of packets that its members send to it, each one of them."""


class HttpProxyServer(Model):
    """A forward HTTP proxy (tinyproxy) on a host."""

    port: Port = 3128
    """The TCP port it listens on."""
    connect_ports: Many[Port] = (443, 6443)
    """Ports a client may CONNECT to."""


class DnsServer(Model):
    """A DNS server (dnsmasq) on a host. It knows the names of all hosts, and these."""

    records: dict[DnsName, Many[Address]] = Field(default_factory=dict)
    """Further names with their addresses."""
    wildcards: dict[DnsName, Address] = Field(default_factory=dict)
    """Domains of which every name that is not known has this address."""


class ClusterDns(Model):
    """The DNS of a cluster: what its server, CoreDNS, is configured to do, and what pods are told."""

    upstream: Name | None = None
    """The host that is asked for names the cluster does not know. It has a DNS server. By default nobody is: they do not exist."""
    forward: dict[DnsName, Address] = Field(default_factory=dict)
    """Zones that are forwarded to other servers: blocks of the Corefile."""
    lighthouse: Address | None = None
    """The ClusterIP of Lighthouse's own server for clusterset.local. By default the cluster's server answers for it."""
    imports: bool = True
    """Whether the Corefile imports the other keys of its ConfigMap. On RKE2 Submariner's operator writes the zone of Lighthouse there."""
    search: Many[DnsName] = ()
    """Search domains of the nodes, which their pods inherit after the cluster's."""


class Serve(Model):
    """A socket that a host or a pod serves."""

    port: Port
    """The port."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """The transport protocol."""
    behaviour: Literal["http", "echo", "sink"] = "http"
    """What answers: an HTTP server that says who asked, an echo, or nothing (the connection is accepted)."""


class Router(Model):
    """A router of the corporate network."""

    interfaces: dict[Name, Address]
    """Its address on each of its segments, by the segment's name."""
    ipv6: dict[Name, Address6] = Field(default_factory=dict)
    """Its IPv6 addresses, by the segment's name, where they are not to be the derived ones."""
    routes: Many[StaticRoute] = ()
    """Its static routes, besides those of its own segments."""
    nexthops: Many[StaticNexthop] = ()
    """Its nexthop objects; members of a group before the group."""
    policy: Many[RouterRule] = ()
    """What it forwards. Without one, everything."""
    masquerade: Many[Name] = ()
    """Segments to which packets leave with the router's own address there (source NAT)."""
    sysctls: Sysctls = Field(default_factory=dict)
    """Settings that differ from a router's: forwarding, no reverse path check, no redirects."""


class HostBridge(Model):
    """A bridge of a machine's own, as Docker makes one for containers; nothing is attached to it."""

    address: Interface
    """The machine's address on it, with the length of its prefix."""


class Host(Model):
    """A host of the corporate network or outside."""

    segment: Name
    """The segment it is on."""
    address: Address
    """Its address there."""
    gateway: Address | None = None
    """Next hop of its default route. Without one it has none."""
    interfaces: dict[Name, Address] = Field(default_factory=dict)
    """Its addresses on further segments, by the segment's name: `eth1`, `eth2` and so on, in this order."""
    ipv6: dict[Name, Address6] = Field(default_factory=dict)
    """Its IPv6 addresses, by the segment's name, where they are not to be the derived ones."""
    bridges: dict[Name, HostBridge] = Field(default_factory=dict)
    """Its own bridges, by device name."""
    routes: Many[StaticRoute] = ()
    """Its static routes."""
    nexthops: Many[StaticNexthop] = ()
    """Its nexthop objects; members of a group before the group."""
    serves: Many[Serve] = ()
    """What it serves."""
    http_proxy: HttpProxyServer | None = None
    """A forward HTTP proxy on it."""
    dns: DnsServer | None = None
    """A DNS server on it."""
    firewall: Firewall | None = None
    """Its firewall. Without one, everything passes."""
    names: Many[DnsName] = ()
    """DNS names that every cluster resolves to this host, through its upstream server."""
    sysctls: Sysctls = Field(default_factory=dict)
    """Settings that differ from the kernel's defaults."""


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
    "calico": frozenset({"mode", "block_size", "block_size6", "nat_outgoing", "nat_outgoing6", "strict_affinity", "api_server", "bgp"}),
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
    """The IPv6 network of its pods, which makes it dual stack: Calico's IPv6 pool. Its packets are not encapsulated (vxlanMode Never), so
    all nodes are on one segment, which has an IPv6 network."""
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


class Topology(Model):
    """A topology file: segments, what is on them, the clusters and the software between them."""

    topology: Name
    """The topology's name."""
    title: Line = ""
    """One line for people."""
    description: str = ""
    """What it is like, and why."""
    segments: dict[Name, Segment] = Field(min_length=1)
    """The layer 2 segments of the corporate network, by name."""
    routers: dict[Name, Router] = Field(default_factory=dict)
    """The routers between segments, by name."""
    hosts: dict[Name, Host] = Field(default_factory=dict)
    """Other hosts, by name: proxies, API servers, what is outside."""
    clusters: dict[Name, Cluster] = Field(default_factory=dict)
    """The Kubernetes clusters, by name; none in a network of hosts and routers alone."""
    submariner: Submariner | None = None
    """Submariner between the clusters. Without it they do not know each other."""
