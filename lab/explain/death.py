"""A packet's death in terms of the model: where it was bound, by which route it left, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lab.explain.explanation import Responsible
from lab.explain.objects import responsible
from lab.forwarding import Hop, Network, Packet, Reason, Trace
from lab.forwarding.link import Bridging
from lab.forwarding.packet import Address
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.state import Route


@dataclass(frozen=True, slots=True)
class Death:
    """A packet's death, told of the object that decided."""

    text: str
    object: Responsible | None
    needed: str | None = None
    by: Responsible | None = None
    """What decided, where that is not what is to blame."""


FILTERS: Final = (Reason.NETFILTER, Reason.REJECTED, Reason.NAT)
CABLES: Final = (Reason.LINK_DOWN, Reason.NO_CARRIER)


def last_destination(found: Trace) -> Address | None:
    """Return where a packet was bound to when it died: what NAT had made of its destination by then."""
    packet = found.packet
    for _, step in found.steps:
        after = step.after if isinstance(step.after, Packet) else None
        if after is not None and after.tunnel is None:
            packet = after
    return packet.destination if isinstance(packet, Packet) else None


def last_hop(found: Trace, namespace: str) -> Hop | None:
    """Return the last visit of a packet to a namespace."""
    return next((hop for hop in reversed(found.hops) if hop.namespace == namespace), None)


def route_taken(hop: Hop | None, destination: Address | None = None) -> Route | None:
    """Return the route by which a packet, or just one that is bound for `destination`, left a namespace."""
    for step in reversed(hop.steps if hop is not None else ()):
        decision = step.decision
        if isinstance(decision, InputRoute | OutputRoute) and isinstance(decision.subject, Route):
            lookup = decision.lookup
            if destination is None or (lookup is not None and lookup.destination == destination):
                return decision.subject
    return None


def spared(network: Network, found: Trace, owner: str | None) -> Death | None:
    """Return the port of a bridge that kept a frame from the one it was for: an isolated one, or one that takes no flooded frames."""
    for hop, step in reversed(found.steps):
        for port, why in step.decision.spared if isinstance(step.decision, Bridging) else ():
            peer = network.peer(port)
            if peer is not None and peer[0].name == owner:
                needed = f"port {port.name} of {hop.namespace} without that setting"
                return Death(f"{hop.namespace} keeps it from {owner}: {why}", responsible(network, hop.namespace, port), needed)
    return None
