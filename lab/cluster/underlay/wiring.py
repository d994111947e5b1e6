"""Cables and switches: two members of a segment are joined by a veth pair, more of them by a bridge in a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from lab.cluster.devices import add_device, add_namespace
from lab.cluster.names import device_name, local_mac
from lab.cluster.sysctls import IPV6_OFF
from lab.cluster.underlay.policy import TABLE, add_forwarding_policy, let_neighbours_be_found
from lab.cluster.underlay.ports import add_port_checks, impairment_of, port_of, written_port
from lab.cluster.world import UPLINK, World
from lab.spec.selectors import switch_name
from lab.state.objects import Bridge, BridgePort, Link, Veth
from lab.state.provenance import Provenance
from lab.state.state_builder import StateBuilder

BRIDGE: Final = "br0"
CALL_IPTABLES: Final = "net/bridge/bridge-nf-call-iptables"
CALL_IP6TABLES: Final = "net/bridge/bridge-nf-call-ip6tables"
SWITCH_SYSCTLS: Final = {"net/ipv4/ip_forward": "0", CALL_IPTABLES: "0", **IPV6_OFF}
"""A switch has no addresses to speak of: settings of devices decide about nothing. Without a policy it does not filter either."""


@dataclass(frozen=True, slots=True)
class Member:
    """One end of a segment: a device of a namespace."""

    namespace: str
    device: str


def members(world: World, segment: str) -> Iterator[Member]:
    """Yield all members a segment has in the file: routers, hosts, nodes."""
    topology = world.topology
    for name, router in topology.routers.items():
        if segment in router.interfaces:
            yield Member(name, device_name(segment))
    for name, host in topology.hosts.items():
        yield from (Member(name, device) for device, on in devices(host.segment, host.interfaces) if on == segment)
    for cluster in world.clusters.values():
        for node in cluster.nodes.values():
            yield from (Member(node.name, device) for device, on in devices(node.segment, node.written.interfaces) if on == segment)


def devices(first: str, others: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield a machine's devices, each with the segment it is on: eth0, eth1 and so on."""
    return ((f"{UPLINK[:-1]}{number}", segment) for number, segment in enumerate((first, *others)))


def wire(world: World, builder: StateBuilder, segment: str) -> None:
    """Join the members of a segment that have a namespace by now.

    A node that is absent at first would leave the other end of a cable without a device, so then there is a switch.
    """
    ends = tuple(members(world, segment))
    here = tuple(end for end in ends if end.namespace in builder)
    policy = world.topology.segments[segment].policy
    if len(ends) == 2 and here == ends and not policy and not world.topology.segments[segment].ports:
        cable(builder, ends[0], ends[1], world.topology.segments[segment].mtu, world.written("segments", segment))
        _impair(world, builder, segment, here)
        return
    why = world.written("segments", segment)
    name, mtu = switch_name(segment), world.topology.segments[segment].mtu
    switch = add_namespace(builder, name, "switch", SWITCH_SYSCTLS, why)
    if policy:
        because = world.written("segments", segment, "policy")
        add_forwarding_policy(switch, policy, str, because, ipv6=world.topology.segments[segment].cidr6 is not None)
        let_neighbours_be_found(switch, because)
        for family, path in ("ip", CALL_IPTABLES), ("ip6", CALL_IP6TABLES):
            if (family, TABLE) in switch.tables:
                switch.sysctl(path, 1)
    add_device(switch, Link(BRIDGE, Bridge(), mtu=mtu, mac=local_mac(name, BRIDGE), provenance=why))
    for end in here:
        plug_in(world, builder, segment, end)


def plug_in(world: World, builder: StateBuilder, segment: str, end: Member) -> None:
    """Join one more member to a segment's switch."""
    why = world.written("segments", segment)
    port = Member(switch_name(segment), device_name(end.namespace))
    cable(builder, end, port, world.topology.segments[segment].mtu, why, master=BRIDGE)
    _impair(world, builder, segment, (end,))
    written = written_port(world.topology.segments[segment].ports, end.namespace)
    if written is not None:
        key, settings = written
        because = world.written("segments", segment, "ports", key)
        impairment = impairment_of(settings.impairment)
        builder[port.namespace].change_link(port.device, port=port_of(settings), impairment=impairment, provenance=because)


def check_sources(world: World, builder: StateBuilder, segment: str, end: Member) -> None:
    """Let a member's port check what comes in by it, where it is to. The member has its addresses by now."""
    written = written_port(world.topology.segments[segment].ports, end.namespace)
    if written is None:
        return
    key, settings = written
    member = builder[end.namespace]
    addresses = tuple(entry for entry in member.addresses if entry.device == end.device)
    why = world.written("segments", segment, "ports", key)
    add_port_checks(builder[switch_name(segment)], device_name(end.namespace), settings, member.links[end.device].mac, addresses, why)


def _impair(world: World, builder: StateBuilder, segment: str, ends: Iterable[Member]) -> None:
    """Impair what members send to a segment."""
    impairment = impairment_of(world.topology.segments[segment].impairment)
    for end in ends if impairment is not None else ():
        because = world.written("segments", segment, "impairment")
        builder[end.namespace].change_link(end.device, impairment=impairment, provenance=because)


def cable(builder: StateBuilder, one: Member, other: Member, mtu: int, why: Provenance, master: str | None = None) -> None:
    """Join two devices by a veth pair; `master` is the bridge the other end belongs to."""
    for end, far, bridge in ((one, other, None), (other, one, master)):
        mac = local_mac(end.namespace, end.device)
        kind = Veth(far.namespace, far.device)
        port = None if bridge is None else BridgePort()
        add_device(builder[end.namespace], Link(end.device, kind, mtu=mtu, mac=mac, master=bridge, port=port, provenance=why))
