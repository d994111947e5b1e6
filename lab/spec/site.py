"""What a topology file says of the corporate network: segments, routers, hosts, and what filters and serves there."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from lab.spec.links import Impairment, SegmentPort
from lab.spec.values import (
    Address,
    Address6,
    AnyAddress,
    AnyNetwork,
    Destination,
    DeviceName,
    DnsName,
    Interface,
    IpFamily,
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
)

IcmpType = Literal[
    "echo-request",
    "echo-reply",
    "destination-unreachable",
    "time-exceeded",
    "packet-too-big",
    "parameter-problem",
    "nd-router-solicit",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
]
Rejection = Literal[
    "net-unreachable",
    "host-unreachable",
    "port-unreachable",
    "admin-prohibited",
    "host-prohibited",
    "tcp-reset",
    "no-route",
    "addr-unreachable",
    "policy-fail",
    "reject-route",
]
ICMPV6_ALONE: Final = frozenset(("packet-too-big", "nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert"))
"""Types that ICMP has not (RFC 4443, RFC 4861)."""
REJECTIONS_OF_IPV6: Final = frozenset(("no-route", "addr-unreachable", "policy-fail", "reject-route"))
"""Codes that ICMP has not, by the names they have there (RFC 4443)."""
FAMILIES: Final[dict[IpFamily, Literal[4, 6]]] = {"IPv4": 4, "IPv6": 6}


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
    """A line of a packet filter. The first that matches decides.

    It speaks about both versions of IP, unless its `family`, its networks or `protocol: icmp` or `icmpv6` say which one.
    """

    name: Name | None = None
    """What its counter is called, in `counter` as `rule/NAME`. By default line-1, line-2, ..."""
    family: IpFamily | None = None
    """The version of IP it speaks about. By default that of its networks, or both."""
    source: Many[AnyNetwork] = ()
    """Networks of which one holds the source address."""
    destination: Many[AnyNetwork] = ()
    """Networks of which one holds the destination address."""
    protocol: Literal["icmp", "icmpv6", "tcp", "udp"] | None = None
    """The transport protocol."""
    ports: Many[Port] = ()
    """Destination ports, of TCP and UDP unless `protocol` says which."""
    icmp: Many[IcmpType] = ()
    """ICMP types, with `protocol: icmp` or `icmpv6`. Those named `nd-` and `packet-too-big` are ICMPv6's."""
    established: bool = False
    """Only packets of connections seen before (conntrack established or related)."""
    action: Literal["accept", "drop", "reject"]
    """What becomes of the packet; `drop` is silent, `reject` tells the sender."""
    reject_with: Rejection = "host-unreachable"
    """What a rejected sender is told: an ICMP destination unreachable of this code, or a TCP reset. Over IPv6 it is the code that stands
    for it there: no-route for net-unreachable, addr-unreachable for host-unreachable, admin-prohibited for both prohibitions. `no-route`,
    `addr-unreachable`, `policy-fail` and `reject-route` are ICMPv6's own."""

    @model_validator(mode="after")
    def _makes_sense(self) -> FilterRule:
        if self.ports and self.protocol in ("icmp", "icmpv6"):
            raise ValueError(f"{_IN_WORDS[self.protocol]} has no ports")
        if self.icmp and self.protocol not in ("icmp", "icmpv6"):
            raise ValueError("ICMP types need `protocol: icmp` or `protocol: icmpv6`")
        alone = [kind for kind in self.icmp if kind in ICMPV6_ALONE]
        if alone and self.protocol == "icmp":
            raise ValueError(f"{alone[0]} is a type of ICMPv6: it needs `protocol: icmpv6`")
        if self.reject_with == "tcp-reset" and self.protocol != "tcp":
            raise ValueError("a TCP reset needs `protocol: tcp`")
        if self.action != "reject" and self.reject_with != "host-unreachable":
            raise ValueError(f"`reject_with` says nothing with `action: {self.action}`")
        if not self.versions:
            said = ", ".join(f"{what} {_VERSIONS[versions]}" for what, versions in self._said() if len(versions) == 1)
            raise ValueError(f"no packet is like this: {said}")
        if self.reject_with in REJECTIONS_OF_IPV6 and 4 in self.versions:
            raise ValueError(f"{self.reject_with} is a code of ICMPv6, and the line speaks about IPv4 too: add `family: IPv6`")
        return self

    @property
    def versions(self) -> frozenset[int]:
        """The versions of IP it speaks about: 4, 6 or both."""
        return frozenset((4, 6)).intersection(*(versions for _, versions in self._said()))

    def _said(self) -> tuple[tuple[str, frozenset[int]], ...]:
        """Return what says about which versions it speaks: which key, and which they are."""
        return (
            *((("`family` says", frozenset((FAMILIES[self.family],))),) if self.family is not None else ()),
            *((("`source` is", frozenset(network.version for network in self.source)),) if self.source else ()),
            *((("`destination` is", frozenset(network.version for network in self.destination)),) if self.destination else ()),
            *((("`protocol` is of", frozenset((4 if self.protocol == "icmp" else 6,))),) if self.protocol in _IN_WORDS else ()),
        )


_IN_WORDS = {"icmp": "ICMP", "icmpv6": "ICMPv6"}
_VERSIONS = {frozenset((4,)): "IPv4", frozenset((6,)): "IPv6"}


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
    """The firewall of a machine, as firewalld, ufw or Docker leave it behind: iptables' filter table before other software adds to it, and
    that of ip6tables where the machine has IPv6.

    Neighbour discovery is ICMPv6: a machine that takes none of `nd-neighbor-solicit` and `nd-neighbor-advert` has no IPv6.
    """

    families: Annotated[Many[IpFamily], Field(min_length=1, max_length=2)] = ("IPv4", "IPv6")
    """The versions of IP that have it. With `[IPv4]` IPv6 passes, as where nobody thought of ip6tables."""
    input: Many[HostRule] = ()
    """What may come to the machine itself."""
    input_policy: Literal["accept", "drop"] = "accept"
    """What becomes of packets to the machine that no rule decides about."""
    forward: Many[HostRule] = ()
    """What may be forwarded."""
    forward_policy: Literal["accept", "drop"] = "accept"
    """What becomes of forwarded packets that no rule decides about (`iptables -P FORWARD`)."""

    @model_validator(mode="after")
    def _lines_are_of_its_families(self) -> Firewall:
        versions = {FAMILIES[family] for family in self.families}
        for line in (*self.input, *self.forward):
            if versions.isdisjoint(line.versions):
                raise ValueError(f"a line of it is about IPv{min(line.versions)} alone, which is not among its `families`")
        return self


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
