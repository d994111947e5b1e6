"""Links that are down: what they no longer carry, and the routes that the kernel forgets with them."""

from __future__ import annotations

from lab.explain.death import Death
from lab.explain.explanation import Responsible
from lab.explain.objects import missing, responsible
from lab.forwarding import Dropped, Network, Reason, Trace
from lab.forwarding.packet import Address
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.forwarding.why import describe_route
from lab.state import Link


def downed(network: Network, here: str, destination: Address | None) -> Link | None:
    """Return the device that is down on whose subnet an address is.

    The kernel forgets routes through a device that goes down, and nothing else tells of them but the addresses left on it.
    """
    for entry in network.state[here].addresses:
        link = network.state[here].link(entry.device)
        if link is not None and not link.up and destination in entry.interface.network:
            return link
    return None


def forgotten(network: Network, found: Trace) -> Death | None:
    """Return the death of a packet that was left to a default route, because the device of its own subnet is down."""
    for hop, step in found.steps:
        lookup = step.decision.lookup if isinstance(step.decision, InputRoute | OutputRoute) else None
        if lookup is None or lookup.route is None or lookup.route.destination.prefixlen:
            continue
        link = downed(network, hop.namespace, lookup.destination)
        if link is not None:
            way = f"{hop.namespace} sends {lookup.destination} by {describe_route(lookup.route)}"
            return Death(
                f"{way}: {link.name}, on whose subnet it is, is down", responsible(network, hop.namespace, link), f"{link.name} up"
            )
    return None


def link_behind(network: Network, here: str, destination: Address) -> Link | None:
    """Return the device that is down by which a namespace would reach an address: that of its subnet, or that of its peers.

    Peers are what does the same job in the same cluster: a route of theirs by a device of that name says whose routes are missing here.
    """
    node = network.state[here]
    down = {link.name: link for link in node.links if not link.up}
    by_subnet = downed(network, here, destination)
    if by_subnet is not None or not down or node.cluster is None:
        return by_subnet
    peers = (other for other in network.state if other.name != here and (other.cluster, other.role) == (node.cluster, node.role))
    routes = (route for peer in peers for route in peer.routes if route.destination.prefixlen and destination in route.destination)
    return next((down[route.device] for route in routes if route.device in down), None)


def cable(network: Network, verdict: Dropped, thing: Responsible | None) -> Death:
    """Say which end of a link that carries nothing is down."""
    if verdict.reason is Reason.NO_CARRIER and isinstance(verdict.subject, Link):
        own = network.node(verdict.namespace).links.get(verdict.device or "")
        peer = network.peer(own) if own is not None else None
        if peer is not None:
            return Death(verdict.text, responsible(network, peer[0].name, peer[1]), f"{peer[0].name}:{peer[1].name} up")
    if thing is None:
        thing = missing(verdict.namespace, "link", verdict.device or "")
    return Death(verdict.text or verdict.reason.text, thing, f"{verdict.namespace}:{verdict.device} up")


def gone_with(network: Network, here: str) -> str:
    """Say which devices with addresses are down where no route was found: whatever led out by them, the kernel has forgotten."""
    node = network.state[here]
    down = [link.name for link in node.links if not link.up and any(e.device == link.name for e in node.addresses)]
    if not down:
        return ""
    are, them = ("is", "it") if len(down) == 1 else ("are", "them")
    return f"; {', '.join(down)} {are} down there, and routes by {them} are forgotten"
