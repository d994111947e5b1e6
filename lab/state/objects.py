"""The objects of one network namespace: links, addresses, routes, rules, neighbours and FDB entries.

All of them are frozen; `provenance` never takes part in a comparison, so that two states are equal when the kernel could
not tell them apart. Addresses and networks are those of `ipaddress`, so every type holds IPv4 and IPv6 alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final, Literal

from lab.state.provenance import UNKNOWN, Provenance

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

# -- links ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loopback:
    """The `lo` device every namespace is born with."""


@dataclass(frozen=True, slots=True)
class Veth:
    """One end of a veth pair; the other end is the link `peer_name` of the namespace `peer_namespace`."""

    peer_namespace: str
    peer_name: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """A software bridge, without spanning tree (stp_state 0, forward_delay 0)."""

    ageing_time: int = 300
    """Seconds after which a learned FDB entry is forgotten."""


VXLAN_OVERHEAD: Final[Mapping[int, int]] = {4: 20 + 8 + 8 + 14, 6: 40 + 8 + 8 + 14}
"""Bytes of IP, UDP, VXLAN and inner Ethernet headers, by version of IP (RFC 7348, section 5; vxlan_headroom)."""


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN tunnel end point, RFC 7348; option names as in ip-link(8).

    It sends over one version of IP only: that of `local` and `remote`, or IPv4 where it has neither (vxlan_config_validate).
    """

    vni: int
    port: int
    """UDP destination port."""
    local: Address | None = None
    remote: Address | None = None
    """Default destination ("group"); the kernel keeps it as an all-zero FDB entry."""
    device: str | None = None
    """Parent device, where outer packets are bound to one."""
    learning: bool = True
    ttl: int = 0
    """Outer TTL or hop limit; 0 is "auto", which sends 64 to unicast destinations."""
    df: bool = False
    """Whether the outer packet may not be fragmented. Over IPv6 it never is, whatever this says."""
    udp_checksum: bool = True
    """Over IPv6 a device without it sends none and takes datagrams that have none; with it, it drops those (RFC 6935)."""

    @property
    def version(self) -> Literal[4, 6]:
        """The version of IP that its outer packets are of."""
        end = self.local if self.local is not None else self.remote
        return 4 if end is None else end.version

    @property
    def overhead(self) -> int:
        """Bytes that it puts around an inner IP packet."""
        return VXLAN_OVERHEAD[self.version]


@dataclass(frozen=True, slots=True)
class Macvlan:
    """A macvlan device on `device`."""

    device: str
    mode: Literal["private", "vepa", "bridge", "passthru"] = "bridge"


@dataclass(frozen=True, slots=True)
class Tun:
    """A tun or tap device, held open by a process of the lab."""

    tap: bool = False


@dataclass(frozen=True, slots=True)
class OtherKind:
    """A device this lab does not model: packets through it end in an unknown verdict."""

    name: str


LinkKind = Loopback | Veth | Bridge | Vxlan | Macvlan | Tun | OtherKind


@dataclass(frozen=True, slots=True)
class BridgePort:
    """The settings of a link as a port of the bridge it is enslaved to; see bridge(8)."""

    hairpin: bool = False
    isolated: bool = False
    learning: bool = True
    flood: bool = True
    neigh_suppress: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: how many bytes it lets through at once, and how many may wait for it; tc-tbf(8)."""

    burst: int
    limit: int


@dataclass(frozen=True, slots=True)
class Impairment:
    """What happens by chance, or by slowness, to what a device sends: a queueing discipline at its root, as tc-netem(8)."""

    loss: int = 0
    """How many of ten thousand packets are lost."""
    corruption: int = 0
    """How many of ten thousand packets are damaged, so that whoever looks at them next discards them."""
    delay: int = 0
    """Milliseconds each packet waits."""
    rate: int = 0
    """Kilobits per second that are sent at most; 0 is without limit."""
    bucket: Bucket | None = None
    """Of a rate that is all there is, how it is kept, where that is not how a lab does it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network device of a namespace. The order of links in a namespace is the order of their interface indexes."""

    name: str
    kind: LinkKind
    mtu: int = 1500
    mac: str | None = None
    """Lower-case, colon separated; None leaves the choice to the kernel."""
    up: bool = True
    arp: bool = True
    """Off (`NOARP`), the kernel asks for no neighbour here and answers nobody who asks."""
    master: str | None = None
    port: BridgePort | None = None
    impairment: Impairment | None = None
    foreign: tuple[str, ...] = ()
    """What was read of it and is not modelled, by the names that ip-link(8) and bridge(8) give it: frames that meet it are unknown."""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


# -- addresses -----------------------------------------------------------------------------------------------------

Scope = Literal["global", "site", "link", "host", "nowhere"]


@dataclass(frozen=True, slots=True)
class AddressEntry:
    """An address on a device, in the order of configuration (the first of a subnet is its primary address)."""

    device: str
    interface: Interface
    scope: Scope = "global"
    broadcast: Address | None = None
    peer: Interface | None = None
    """The other end of a point-to-point address, if there is one."""
    no_prefix_route: bool = False
    """`noprefixroute`: the kernel makes no connected route for it."""
    deprecated: bool = False
    """`preferred_lft 0`: of IPv6 a source of new conversations only where there is no other (RFC 4862, section 5.5.4)."""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


# -- routes --------------------------------------------------------------------------------------------------------


class Table(IntEnum):
    """The routing tables with a name of their own; see rt_tables in iproute2."""

    DEFAULT = 253
    MAIN = 254
    LOCAL = 255


class Protocol(IntEnum):
    """Who made a route; see rt_protos in iproute2. 80 is Felix, where it does not say 3."""

    UNSPEC = 0
    REDIRECT = 1
    KERNEL = 2
    BOOT = 3
    STATIC = 4
    BIRD = 12
    FELIX = 80


RouteType = Literal["unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw"]


@dataclass(frozen=True, slots=True)
class NextHop:
    """One way out of a multipath route (ECMP)."""

    via: Address | None = None
    device: str | None = None
    weight: int = 1
    onlink: bool = False


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A nexthop object as a member of a group, and how large its share of the flows is."""

    id: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class NextHopObject:
    """A next hop that stands by itself, and that routes name by its number; ip-nexthop(8).

    It is a way out over a `device`, perhaps by a gateway; or a `group` of others; or a blackhole. The kernel makes none over a device that
    has no carrier, and removes it when the device loses it: from groups as well, and with it the routes that name it or a group that is
    left without members (net/ipv4/nexthop.c).
    """

    id: int
    via: Address | None = None
    device: str | None = None
    onlink: bool = False
    blackhole: bool = False
    group: tuple[GroupMember, ...] = ()
    family: Literal[4, 6] = 4
    """Of routes that may name it, where it has no gateway that tells."""
    protocol: int = Protocol.UNSPEC
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    @property
    def version(self) -> int:
        """4 or 6; a group has no version of its own."""
        return self.family if self.via is None else self.via.version


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of a routing table; attribute names as in ip-route(8).

    A route has either `via`/`device`, or `hops` with two or more entries, or the number of a `nexthop` object, or a type that
    needs no way out. Routes the kernel makes by itself (connected, local and broadcast ones) carry protocol 2 and are part of the
    state as well.
    """

    destination: Network
    type: RouteType = "unicast"
    via: Address | None = None
    device: str | None = None
    table: int = Table.MAIN
    metric: int = 0
    source: Address | None = None
    """Preferred source address (`src`)."""
    protocol: int = Protocol.BOOT
    scope: Scope = "global"
    tos: int = 0
    onlink: bool = False
    mtu: int | None = None
    mtu_locked: bool = False
    """`mtu lock`: no path MTU is learned in its place, and nothing sent by it forbids fragments of itself."""
    advmss: int | None = None
    hoplimit: int | None = None
    """TTL or hop limit of packets made here that go by it; those that pass by keep theirs."""
    hops: tuple[NextHop, ...] = ()
    nexthop: int | None = None
    """The nexthop object it names (`nhid`)."""
    foreign: tuple[str, ...] = ()
    """What was read of it and is not modelled, as ip-route(8) names it: packets for its destination are unknown."""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    @property
    def key(self) -> tuple[int, Network, int, int]:
        """What makes a route unique in the kernel: table, destination, TOS and metric."""
        return (self.table, self.destination, self.tos, self.metric)


# -- policy rules --------------------------------------------------------------------------------------------------

RuleAction = Literal["lookup", "goto", "nop", "blackhole", "unreachable", "prohibit"]


@dataclass(frozen=True, slots=True)
class PortRange:
    """An inclusive range of transport ports."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy routing rule; selectors as in ip-rule(8). None selects everything."""

    priority: int
    action: RuleAction = "lookup"
    table: int | None = None
    goto: int | None = None
    source: Network | None = None
    destination: Network | None = None
    iif: str | None = None
    oif: str | None = None
    mark: int | None = None
    mask: int = 0xFFFFFFFF
    tos: int = 0
    ip_protocol: int | None = None
    source_ports: PortRange | None = None
    destination_ports: PortRange | None = None
    uid_first: int | None = None
    uid_last: int | None = None
    l3mdev: bool = False
    inverted: bool = False
    """`not`: the rule applies when its selectors do not match."""
    suppress_prefix_length: int | None = None
    suppress_group: int | None = None
    family: Literal[4, 6] = 4
    protocol: int = Protocol.UNSPEC
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


# -- neighbours and forwarding database ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A static ARP or NDP entry, or a proxy entry (`mac` is None then)."""

    device: str
    address: Address
    mac: str | None
    state: Literal["permanent", "noarp", "reachable", "stale", "failed", "incomplete"] = "permanent"
    proxy: bool = False
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """An entry of the forwarding database of a VXLAN device (`destination` set, flag self) or of a bridge (flag master)."""

    device: str
    mac: str
    destination: Address | None = None
    """Remote VTEP of a VXLAN entry."""
    port: int | None = None
    vni: int | None = None
    via: str | None = None
    master: bool = False
    permanent: bool = True
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)


# -- IPsec ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class XfrmPolicy:
    """An XFRM policy that somebody has set by hand; ip-xfrm(8). The lab sets none, and what one does is not modelled."""

    direction: Literal["in", "out", "fwd"]
    source: Network
    destination: Network
    ip_protocol: int | None = None
    action: Literal["allow", "block"] = "allow"
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)
