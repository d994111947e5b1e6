"""VXLAN: a frame becomes the payload of UDP packets to other tunnel end points (RFC 7348).

After `vxlan_xmit` and `vxlan_xmit_one` in drivers/net/vxlan/vxlan_core.c. A frame whose MAC has no entry goes to every
default destination; where there is none it is dropped, and nobody is told. The outer packet inherits the mark, so rules in
the same namespace can route it by what the inner one was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address

from lab.forwarding.causes import Reason
from lab.forwarding.journey import Journey, Receive, SendOuter, Transmit, Visit
from lab.forwarding.network import Node
from lab.forwarding.packet import (
    ETHERNET_HEADER,
    IP_HEADER,
    TCP,
    UDP,
    UDP_HEADER,
    VXLAN_HEADER,
    VXLAN_OVERHEAD,
    ZERO_MAC,
    Address,
    Arp,
    Frame,
    Packet,
    Tunnel,
)
from lab.forwarding.results import Detail, Plain, Stage
from lab.forwarding.routing import OutputRoute, route_output
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
        inner = task.frame.size
        outer = Packet(
            kind.local if isinstance(kind.local, IPv4Address) else IPv4Address(0),
            remote,
            UDP,
            ttl=kind.ttl or node.settings.default_ttl,
            df=kind.df,
            size=inner + ETHERNET_HEADER + VXLAN_HEADER + UDP_HEADER + IP_HEADER,
            source_port=_source_port(world, task.frame),
            destination_port=(entry.port if entry is not None and entry.port else kind.port),
            tunnel=Tunnel((entry.vni if entry is not None and entry.vni else kind.vni), task.frame),
            mark=task.mark,
            train=isinstance(task.frame.payload, Packet) and task.frame.payload.train,
        )
        _send(journey, visit, link, outer, entry, len(targets), entry.via if entry is not None else None)


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


def _send(journey: Journey, visit: Visit, link: Link, outer: Packet, entry: FdbEntry | None, copies: int, via: str | None) -> None:
    """Find the outer packet's way (`udp_tunnel_dst_lookup`) and send it; without a way it is dropped in silence."""
    node, world = visit.node, journey.world
    kind = link.kind
    assert isinstance(kind, Vxlan)
    if outer.version == 6:
        raise Undecided("VXLAN over IPv6 is not modelled", link)
    if int(outer.destination) >> 28 == 0xE:
        raise Undecided("a VXLAN group address needs multicast, which is not modelled", link)
    way = route_output(world, node, outer, device=via or kind.device)
    if way.errno is not None or way.exit is None or way.lookup is None:
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
    outer = outer._replace(source=way.source or outer.source)
    visit.note(Stage.ENCAPSULATION, Encapsulation(link, outer.tunnel.frame, outer, entry, copies), link.name, None, outer)  # type: ignore[union-attr]
    visit.note(Stage.OUTPUT_ROUTING, way, way.exit.device)
    world.demand_known_mtu(outer)
    mtu = world.route_mtu(node, way.lookup.route, way.exit.device, outer.size)
    mtu = world.path_mtu(node, outer.destination, way.lookup.route, way.exit, mtu)
    _tell_inner(world, node, outer, mtu - VXLAN_OVERHEAD)
    journey.add(SendOuter(visit, outer, way.exit.device, way.exit.via or outer.destination, mtu))


def _demand_own_way(world: World, node: Node, link: Link, outer: Packet, way: OutputRoute) -> None:
    """Raise Undecided for a learned entry that has moved to a VTEP which is reached another way than the one it was learned with.

    Each processor keeps the way it has looked up for an entry (`dst_cache`), and learning anew does not make it look again (`vxlan_snoop`).
    """
    assert outer.tunnel is not None
    first = world.memory.vxlan_sent.setdefault((node.name, link.name, outer.tunnel.frame.destination), outer.destination)
    if first == outer.destination:
        return
    before = route_output(world, node, outer._replace(destination=first), device=link.kind.device if isinstance(link.kind, Vxlan) else None)
    if (before.exit, before.source) != (way.exit, way.source):
        raise Undecided("the VTEP of a learned MAC has moved, and whether the way to the old one is still kept is not modelled", link)


def _bypass(journey: Journey, visit: Visit, link: Link, outer: Packet, entry: FdbEntry | None) -> None:
    """A destination in this very namespace: the frame goes straight to the device there (`vxlan_encap_bypass`)."""
    node, tunnel = visit.node, outer.tunnel
    assert tunnel is not None
    there = node.vxlan_devices.get((outer.destination_port, tunnel.vni))
    text = f"VTEP {outer.destination} is this namespace itself"
    if there is None:
        journey.drop(visit, Stage.ENCAPSULATION, link.name, Reason.UNKNOWN_VNI, entry, f"{text}, and no device has VNI {tunnel.vni}")
        return
    visit.note(Stage.ENCAPSULATION, Plain(f"{text}: the frame goes straight to {there.name}", entry), link.name)
    if isinstance(there.kind, Vxlan) and there.kind.learning:
        journey.world.memory.vxlan_fdb[node.name, there.name, tunnel.frame.source] = _LOOPBACK
    journey.add(Receive(visit, there.name, tunnel.frame, outer.mark, to_host=True))


_LOOPBACK = IPv4Address("127.0.0.1")


def _tell_inner(world: World, node: Node, outer: Packet, room: int) -> None:
    """A packet too long for the underlay lowers the path MTU of its own way, for the next one (`skb_tunnel_check_pmtu`)."""
    tunnel = outer.tunnel
    if tunnel is None or not isinstance(tunnel.frame.payload, Packet) or tunnel.frame.size <= room:
        return
    inner = tunnel.frame.payload
    if tunnel.frame.source in {node.mac(name) for name in node.links}:
        world.learn_path_mtu(node, inner, room)
