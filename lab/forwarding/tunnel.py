"""VXLAN: a frame becomes the payload of UDP packets to other tunnel end points (RFC 7348).

After `vxlan_xmit` and `vxlan_xmit_one` in drivers/net/vxlan/vxlan_core.c. A frame whose MAC has no entry goes to every
default destination; where there is none it is dropped, and nobody is told. The outer packet inherits the mark, so rules in
the same namespace can route it by what the inner one was. A device sends over one version of IP; over IPv6 its packets are
20 bytes longer, and those too long for the way are dropped where over IPv4 they are cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from lab.forwarding.causes import Reason
from lab.forwarding.journey import Journey, Receive, SendOuter, Transmit, Visit
from lab.forwarding.network import Node
from lab.forwarding.packet import (
    BY_THE_WAY,
    LEAST_MTU_V6,
    LEAST_PATH_MTU,
    TCP,
    UDP,
    ZERO_MAC,
    Address,
    Arp,
    Frame,
    Packet,
    Tunnel,
)
from lab.forwarding.results import Detail, Plain, Stage
from lab.forwarding.routing import OutputRoute, route_output
from lab.forwarding.routing6 import route_output6
from lab.forwarding.unknown import Undecided
from lab.forwarding.world import World
from lab.state import FdbEntry, Link, Vxlan

FIRST_PORT, LAST_PORT = 32768, 60999
"""Between which the outer source port lies (`net.ipv4.ip_local_port_range`, `udp_flow_src_port`)."""


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """A frame wrapped for one remote tunnel end point."""

    link: Link
    frame: Frame
    outer: Packet
    entry: FdbEntry | None
    """The FDB entry that named the remote one; None where it was learned."""
    copies: int = 1

    @property
    def sentence(self) -> str:
        """What was decided."""
        outer = self.outer
        why = "learned" if self.entry is None else "default destination" if self.entry.mac == ZERO_MAC else "FDB entry"
        of = f", one of {self.copies} copies" if self.copies > 1 else ""
        vni = outer.tunnel.vni if outer.tunnel is not None else 0
        sent = f"VNI {vni}, port {outer.destination_port}, {outer.size} bytes"
        return f"MAC {self.frame.destination} is behind {outer.destination} ({why}{of}): {sent}"

    @property
    def subject(self) -> object | None:
        """The FDB entry, or the device."""
        return self.entry or self.link

    @property
    def details(self) -> tuple[Detail, ...]:
        """Nothing more."""
        return ()


@dataclass(frozen=True, slots=True)
class Decapsulation:
    """A frame taken out of a VXLAN packet."""

    outer: Packet
    link: Link
    frame: Frame
    details: tuple[Detail, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """What was decided."""
        return f"{self.link.name} takes a frame for {self.frame.destination} out of the packet of VTEP {self.outer.source}"

    @property
    def subject(self) -> object | None:
        """The VXLAN device."""
        return self.link


def encapsulate(journey: Journey, task: Transmit) -> None:
    """Put a frame on a VXLAN device."""
    visit, node, world = task.visit, task.visit.node, journey.world
    link = node.links[task.device]
    kind = link.kind
    assert isinstance(kind, Vxlan)
    targets = _targets(world, node, link, task.frame.destination)
    if not targets:
        text = f"{link.name} has no FDB entry for MAC {task.frame.destination} and no default destination"
        journey.drop(visit, Stage.ENCAPSULATION, link.name, Reason.NO_FDB_ENTRY, link, text)
        return
    for remote, entry in targets:
        four = kind.version == 4
        outer = Packet(
            kind.local or (IPv4Address(0) if four else IPv6Address(0)),
            remote,
            UDP,
            ttl=kind.ttl or BY_THE_WAY,
            df=kind.df and four,
            size=task.frame.size + kind.overhead,
            source_port=_source_port(world, task.frame),
            destination_port=(entry.port if entry is not None and entry.port else kind.port),
            tunnel=Tunnel((entry.vni if entry is not None and entry.vni else kind.vni), task.frame, not (four or kind.udp_checksum)),
            mark=task.mark,
            train=isinstance(task.frame.payload, Packet) and task.frame.payload.train,
        )
        _send(journey, visit, link, kind, outer, entry, len(targets))


def _source_port(world: World, frame: Frame) -> int:
    """Return what stands for the hash of the inner flow. Which one it is nobody can tell, but other flows have others.

    The hash of what a TCP or UDP socket sends is drawn when it connects (`sk_set_txhash`), that of everything else is one of addresses.
    """
    inner = frame.payload
    if isinstance(inner, Arp):
        flow = tuple(sorted((int(inner.sender), int(inner.target))))
    else:
        flow = (*inner.key, world.memory.conversations if inner.protocol in (TCP, UDP) else 0)
    return FIRST_PORT + hash(flow) % (LAST_PORT + 1 - FIRST_PORT)


def _targets(world: World, node: Node, link: Link, mac: str) -> list[tuple[Address, FdbEntry | None]]:
    stated = node.vxlan_fdb.get((link.name, mac), ())
    if not stated:
        learned = world.memory.vxlan_fdb.get((node.name, link.name, mac))
        if learned is not None:
            return [(learned, None)]
        stated = node.vxlan_fdb.get((link.name, ZERO_MAC), ())
    return [(entry.destination, entry) for entry in stated if entry.destination is not None]


def _way_of(world: World, node: Node, link: Link, outer: Packet, via: str | None) -> OutputRoute:
    """Find the way of an outer packet, `via` a device or any (`udp_tunnel_dst_lookup`, `udp_tunnel6_dst_lookup`).

    Over IPv6 the device's own address need not be there, and where it states one the device is no demand (`ip6_route_output_flags`).
    """
    if outer.destination.is_multicast:
        raise Undecided("a VXLAN group address needs multicast, which is not modelled", link)
    if outer.version == 4:
        return route_output(world, node, outer, device=via)
    if any(end.is_link_local for end in (outer.source, outer.destination)):
        raise Undecided("VXLAN between link-local addresses is not modelled", link)
    if via is None or outer.source.is_unspecified:
        return route_output6(world, node, outer, device=via, any_source=True)
    if any(rule.oif is not None for rule in node.fib6.rules):
        raise Undecided(f"rules that ask for the device a tunnel over IPv6 prefers, {via}, are not modelled", link)
    return route_output6(world, node, outer, any_source=True)


def _send(journey: Journey, visit: Visit, link: Link, kind: Vxlan, outer: Packet, entry: FdbEntry | None, copies: int) -> None:
    """Send an outer packet on its way; without one it is dropped in silence."""
    node, world = visit.node, journey.world
    via = entry.via if entry is not None else None
    way = _way_of(world, node, link, outer, via)
    if way.errno is not None or way.exit is None:
        journey.drop(
            visit,
            Stage.ENCAPSULATION,
            link.name,
            Reason.TUNNEL_NO_ROUTE,
            way.subject,
            f"no way to VTEP {outer.destination}: {way.sentence}",
        )
        return
    if way.exit.device == link.name:
        text = f"the way to VTEP {outer.destination} leads into {link.name} itself"
        journey.drop(visit, Stage.ENCAPSULATION, link.name, Reason.TUNNEL_NO_ROUTE, way.subject, text)
        return
    if way.to_self:
        _bypass(journey, visit, link, outer, entry)
        return
    if entry is None and outer.tunnel is not None and not outer.mark:
        _demand_own_way(world, node, link, outer, way)
    ttl = outer.ttl or world.hop_limit(node, outer.version, way.found, way.exit.device)
    outer = outer._replace(source=way.source or outer.source, ttl=ttl)
    visit.note(Stage.ENCAPSULATION, Encapsulation(link, outer.tunnel.frame, outer, entry, copies), link.name, None, outer)  # type: ignore[union-attr]
    visit.note(Stage.OUTPUT_ROUTING, way, way.exit.device)
    world.demand_known_mtu(outer)
    mtu = world.way_mtu(node, outer.destination, way.found, way.exit, outer.size)
    _tell_inner(world, node, link, outer, mtu - kind.overhead)
    journey.add(SendOuter(visit, outer, way.exit.device, way.exit.via or outer.destination, mtu))


def _demand_own_way(world: World, node: Node, link: Link, outer: Packet, way: OutputRoute) -> None:
    """Raise Undecided for a learned entry that has moved to a VTEP which is reached another way than the one it was learned with.

    Each processor keeps the way it has looked up for an entry (`dst_cache`), and learning anew does not make it look again (`vxlan_snoop`).
    """
    assert outer.tunnel is not None
    first = world.memory.vxlan_sent.setdefault((node.name, link.name, outer.tunnel.frame.destination), outer.destination)
    if first == outer.destination:
        return
    before = _way_of(world, node, link, outer._replace(destination=first), None)
    if (before.exit, before.source) != (way.exit, way.source):
        raise Undecided("the VTEP of a learned MAC has moved, and whether the way to the old one is still kept is not modelled", link)


def _bypass(journey: Journey, visit: Visit, link: Link, outer: Packet, entry: FdbEntry | None) -> None:
    """A destination in this very namespace: the frame goes straight to the device there (`encap_bypass_if_local`).

    That one is not found where the entry is bound to a device, as no socket of a tunnel is.
    """
    node, tunnel = visit.node, outer.tunnel
    assert tunnel is not None
    there = node.vxlan_devices.get((outer.version, outer.destination_port, tunnel.vni))
    text = f"VTEP {outer.destination} is this namespace itself"
    if there is None or (entry is not None and entry.via is not None):
        why = f"no device has VNI {tunnel.vni}" if there is None else "it is sought behind a device"
        journey.drop(visit, Stage.ENCAPSULATION, link.name, Reason.UNKNOWN_VNI, entry, f"{text}, and {why}")
        return
    visit.note(Stage.ENCAPSULATION, Plain(f"{text}: the frame goes straight to {there.name}", entry), link.name)
    if isinstance(there.kind, Vxlan) and there.kind.learning:
        journey.world.memory.vxlan_fdb[node.name, there.name, tunnel.frame.source] = _LOOPBACK[outer.version]
    journey.add(Receive(visit, there.name, tunnel.frame, outer.mark, to_host=True))


_LOOPBACK: dict[int, Address] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}


def _tell_inner(world: World, node: Node, link: Link, outer: Packet, room: int) -> None:
    """A packet too long for the underlay lowers the path MTU of its own way, for the next one (`skb_tunnel_check_pmtu`).

    Of IPv4 no path MTU is taken to be below 552 bytes; of IPv6 one below 1280 is not believed at all (`__ip6_rt_update_pmtu`).
    """
    tunnel = outer.tunnel
    if tunnel is None or not isinstance(tunnel.frame.payload, Packet) or tunnel.frame.size <= room:
        return
    inner = tunnel.frame.payload
    if link.master is not None and (inner.version == 6 or inner.df):
        raise Undecided("what a VXLAN device in a bridge answers to a packet too long for its way is not modelled", link)
    if tunnel.frame.source in {node.mac(name) for name in node.links} and (inner.version == 4 or room >= LEAST_MTU_V6):
        world.learn_path_mtu(node, inner, max(room, LEAST_PATH_MTU))
