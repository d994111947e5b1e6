"""The steps that make links go, come and change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from lab.kernel.delays import WAITING_ROOM, is_near_end
from lab.kernel.netlink import links as nl
from lab.kernel.netlink.qdiscs import delete_qdisc, replace_qdisc
from lab.kernel.planning.batch import Batch
from lab.kernel.planning.changes import Changes, NamespaceChange
from lab.kernel.planning.steps import CloseTun, Indexes, OpenTun, Phase, Step, Verb
from lab.state import Bridge, BridgePort, Impairment, Link, Macvlan, Namespace, State, Tun, Veth, Vxlan

_VXLAN_OVERHEAD: Final = 70
"""Bytes around an inner frame, over IPv6, which is the larger: Ethernet 14, IP 40, UDP 8, VXLAN 8 (vxlan_change_mtu)."""


def removals(changes: Changes, former: Indexes) -> Iterator[Step]:
    """Delete what goes. Links that go with another one (a second end, what is built on top) need no step."""
    for change in changes.namespaces:
        here = change.before.name
        batch = Batch(here, former.get(here, {}))
        going = [link for link in change.deleted if not isinstance(link.kind, Tun)]
        yield from (CloseTun(here, link) for link in change.deleted if isinstance(link.kind, Tun))
        if going:
            messages = nl.delete_links([batch.indexes[link.name] for link in going])
            for link, message in zip((*going, *going[:1]), messages, strict=False):
                batch.one(Verb.DELETE, link, message)
        yield from batch.steps(Phase.REMOVAL)


def foundations(changes: Changes, after: State) -> Iterator[Step]:
    """Create what is built on nothing: bridges, veth pairs (from the end that comes first), tun devices."""
    far_ends = changes.far_ends
    for change in changes.namespaces:
        here = change.after.name
        batch = Batch(here, change.indexes)
        for link in change.fresh:
            index = change.indexes[link.name]
            match link.kind:
                case Veth(there, name):
                    peer = after[there].link(name)
                    if (here, link.name) in far_ends or peer is None:
                        continue
                    batch.veth(link, nl.new_veth(link, index, change.indexes, peer, changes.indexes[there][name]), there)
                case Tun():
                    yield OpenTun(here, link, index)
                case Vxlan() | Macvlan():
                    continue
                case _:
                    batch.one(Verb.ADD, link, nl.new_link(link, index, change.indexes))
        yield from batch.steps(Phase.LINKS)


def stacks_and_settings(changes: Changes) -> Iterator[Step]:
    """Change links that stay, so that others can be built on them; then create these, and set what could not be set on creation."""
    far_ends = changes.far_ends
    for change in changes.namespaces:
        batch = Batch(change.after.name, change.indexes)
        for old, new in change.altered:
            _alter(batch, change.after, old, new)
        for link in change.fresh:
            if isinstance(link.kind, Vxlan | Macvlan):
                with _room_below(batch, change.after, link):
                    batch.one(Verb.ADD, link, nl.new_link(link, batch.indexes[link.name], batch.indexes))
            elif link.master is not None and (isinstance(link.kind, Tun) or (change.after.name, link.name) in far_ends):
                batch.one(Verb.MASTER, link, nl.set_master(batch.indexes[link.name], batch.indexes[link.master]))
            if isinstance(link.kind, Tun):
                _set_hardware(batch, link)
            if not link.arp:
                batch.one(Verb.ARP, link, nl.set_arp(batch.indexes[link.name], on=False))
            if is_near_end(link.name):
                batch.one(Verb.OPTIONS, link, nl.set_one_segment(batch.indexes[link.name]))
            _set_queue(batch, None, link)
        _set_ports(batch, change)
        yield from batch.steps(Phase.STACKED_LINKS)


def _set_hardware(batch: Batch, link: Link) -> None:
    batch.one(Verb.MTU, link, nl.set_mtu(batch.indexes[link.name], link.mtu))
    if link.mac is not None:
        batch.one(Verb.MAC, link, nl.set_mac(batch.indexes[link.name], link.mac))


def _alter(batch: Batch, namespace: Namespace, old: Link, new: Link) -> None:
    """Change a link in place. Whether it is up is left to the configuration phase."""
    index = batch.indexes[new.name]
    if new.mac is not None and old.mac != new.mac:
        batch.one(Verb.MAC, new, nl.set_mac(index, new.mac))
    if old.arp != new.arp:
        batch.one(Verb.ARP, new, nl.set_arp(index, on=new.arp))
    if old.master != new.master:
        batch.one(Verb.MASTER, new, nl.set_master(index, 0 if new.master is None else batch.indexes[new.master]))
    if old.mtu != new.mtu:
        with _room_below(batch, namespace, new):
            batch.one(Verb.MTU, new, nl.set_mtu(index, new.mtu))
    _set_queue(batch, old.impairment, new)
    if isinstance(new.kind, Bridge) and old.kind != new.kind:
        batch.one(Verb.OPTIONS, new, nl.set_bridge(index, new.kind))


def _set_queue(batch: Batch, old: Impairment | None, link: Link) -> None:
    """Give a link the queueing discipline of its impairment; what waits in the relay waits in none."""
    if old == link.impairment or batch.namespace == WAITING_ROOM:
        return
    if old is not None:
        # One kind of discipline does not turn into another.
        batch.one(Verb.DELETE, link, delete_qdisc(batch.indexes[link.name]))
    if link.impairment is not None:
        batch.one(Verb.QUEUE, link, replace_qdisc(batch.indexes[link.name], link.impairment))


@contextmanager
def _room_below(batch: Batch, namespace: Namespace, link: Link) -> Iterator[None]:
    """Give the device below a VXLAN device for a moment the MTU that the kernel demands when a VXLAN device is given its own.

    It does not demand it later: an underlay whose MTU was lowered under a tunnel is a state to be reached, and a classic to be explained.
    """
    below = namespace.link(link.kind.device) if isinstance(link.kind, Vxlan) and link.kind.device is not None else None
    needed = link.mtu + _VXLAN_OVERHEAD
    # A bridge has the MTU of its smallest port until it is told otherwise, which is done last.
    short = below is not None and (below.mtu < needed or isinstance(below.kind, Bridge))
    if below is not None and short:
        batch.one(Verb.MTU, replace(below, mtu=needed), nl.set_mtu(batch.indexes[below.name], needed))
    yield
    if below is not None and short:
        batch.one(Verb.MTU, below, nl.set_mtu(batch.indexes[below.name], below.mtu))


def _set_ports(batch: Batch, change: NamespaceChange) -> None:
    """Set what ports are told by their bridge, and the MTU of bridges whose ports would lower it (br_mtu_auto_adjust)."""
    before: Mapping[str, Link] = {old.name: old for old, _ in change.altered}
    touched = [*change.fresh, *(new for _, new in change.altered)]
    for link in touched:
        if link.master is None or link.port is None:
            continue
        old = before.get(link.name)
        there = old.port if old is not None and old.master == link.master else BridgePort()
        if link.port != (there or BridgePort()):
            batch.one(Verb.PORT, link, nl.set_port(batch.indexes[link.name], link.port))
    bridges = {link.master for link in touched} | {link.name for link in touched}
    for link in change.after.links:
        if isinstance(link.kind, Bridge) and link.name in bridges:
            ports = [other.mtu for other in change.after.links if other.master == link.name]
            if ports and min(ports) != link.mtu:
                batch.one(Verb.MTU, link, nl.set_mtu(batch.indexes[link.name], link.mtu))
