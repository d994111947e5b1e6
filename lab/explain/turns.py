"""The decisions on a packet's way without which it would have gone elsewhere.

A packet that falls to a default route has lost its way when no default route leads to its destination: to a pod or a service, or to any
namespace that the packet did not come to. What matters then is the route that should have taken it: the nearest that misses it, if that is
one for the range the destination is of, else that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from lab.explain.down import gone_with, link_behind
from lab.explain.explanation import Responsible, Turn
from lab.explain.objects import missing, responsible
from lab.explain.ranges import overlay_range
from lab.explain.told import explain_untold
from lab.explain.translation import changed_sources, one_way
from lab.forwarding import Dropped, Flow, Hop, Network, Packet, Reason, Step, Trace, trace
from lab.forwarding.packet import Address
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.forwarding.why import NearMiss, describe_route
from lab.spec.findings import within as lies_within
from lab.state import Namespace, Route, Rule, State
from lab.state.objects import Network as Subnet

_FILTERS: Final = (Reason.NETFILTER, Reason.REJECTED)
_NOT_FORWARDING: Final = (Reason.NOT_FORWARDING, Reason.NOT_FORWARDING_V6)
_BEYOND: Final = (*_FILTERS, *_NOT_FORWARDING, Reason.TTL, Reason.NEIGHBOUR, Reason.NO_ROUTE, Reason.UNREACHABLE, Reason.BLACKHOLE)
"""Ways to die that a packet on the wrong way meets."""
_SERVED: Final = ("node", "router")
_REFUSED: Final = re.compile(r"\bDst: (?P<network>\S+) .*\bGw: (?P<via>\S+)")
"""A route in the words of Go's netlink package, as agents log one that the kernel refused."""


def turns_of(network: Network, flow: Flow, found: Trace) -> tuple[Turn, ...]:
    """Return the turns of a packet that was dropped, in order."""
    astray = _astray(network, flow, found)
    return (*((astray,) if astray is not None else ()), *(turn for _, turn in changed_sources(network, found)))


def _astray(network: Network, flow: Flow, found: Trace) -> Turn | None:
    verdict = found.verdict
    if not isinstance(verdict, Dropped) or verdict.reason not in _BEYOND or not isinstance(found.packet, Packet):
        return None
    falls = [
        (hop, step, route)
        for number, hop in enumerate(found.hops)
        for step in hop.steps
        if (route := _default_taken(network, hop, step)) is not None and not _led_there(network, found.hops[number + 1 :], step)
    ]
    if not falls:
        return None
    destination = _destination(falls[-1][1])
    unanswerable = one_way(network, found, destination) or next(filter(None, (_refused(network, *fall) for fall in falls)), None)
    unanswerable = unanswerable or next(filter(None, (explain_untold(network, *fall, _destination(fall[1])) for fall in falls)), None)
    if unanswerable is not None:
        return unanswerable
    overlay = overlay_range(network.state, destination)
    owner = network.state.owner(destination)
    if overlay is None and (owner is None or verdict.reason is Reason.NO_ROUTE):
        return None
    on_nodes = [fall for fall in falls if network.state[fall[0].namespace].role == "node"]
    hop, step, default = on_nodes[0] if overlay is not None and on_nodes else falls[-1]
    if hop.namespace == verdict.namespace and verdict.reason not in _FILTERS:
        return None
    if _arrives_without(network, flow, found, verdict):
        return None
    destination = _destination(step)
    near = _nearest(step, destination, overlay or _own_range(network.state, destination))
    down = link_behind(network, hop.namespace, destination)
    if near is None and down is not None:
        text = f"no route covers {destination} but {describe_route(default)}: {down.name} is down, and with it went its routes"
        return Turn(hop.namespace, step.stage, text, responsible(network, hop.namespace, down), missed=True)
    if near is None:
        text = f"no route covers {destination} but {describe_route(default)}{gone_with(network, hop.namespace)}"
        return Turn(hop.namespace, step.stage, text, missing(hop.namespace, "route", f"to {destination}"), missed=True)
    bits = near.destination.prefixlen - _common_bits(near, destination)
    text = (
        f"no route covers {destination}: the nearest, {describe_route(near)}, misses it by {bits} bit{'s' if bits > 1 else ''}, "
        f"so it leaves by {describe_route(default)}"
    )
    return Turn(hop.namespace, step.stage, text, responsible(network, hop.namespace, near), missed=True)


def another_way(network: Network, request: Trace, answer: Trace) -> Turn | None:
    """Say where an answer was left to a default route by another device than the request came in by: it meets filters that know neither."""
    came: dict[str, str] = {}
    for hop in request.hops:
        if hop.arrived_by is not None:
            came.setdefault(hop.namespace, hop.arrived_by)
    for hop in answer.hops:
        for step in hop.steps:
            route, device = _default_taken(network, hop, step), came.get(hop.namespace)
            if route is not None and device not in (None, *(way.device for way in network.state[hop.namespace].ways(route))):
                text = f"the {answer.purpose} leaves by {describe_route(route)}, though the request came in by {device}"
                return Turn(hop.namespace, step.stage, text, responsible(network, hop.namespace, route), missed=True)
    return None


def _refused(network: Network, hop: Hop, step: Step, default: Route) -> Turn | None:
    """Return the route that an agent of a node says it could not make, where the packet was left to a default route for lack of it."""
    destination = _destination(step)
    for line in network.state.control.logs:
        found = _REFUSED.search(line.text) if line.node == hop.namespace and line.level == "error" else None
        if found is None or destination not in ip_network(found["network"]):
            continue
        text = f"no route covers {destination} but {describe_route(default)}; {line.component} logged: {line.text}"
        route = Responsible(hop.namespace, "route", f"{found['network']} via {found['via']}", line.provenance, absent=True)
        return Turn(hop.namespace, step.stage, text, route, missed=True)
    return None


def _default_taken(network: Network, hop: Hop, step: Step) -> Route | None:
    """Return the default route that a routing decision of a node or router was left to."""
    if not isinstance(step.decision, InputRoute | OutputRoute) or step.decision.lookup is None:
        return None
    route = step.decision.lookup.route
    if route is None or route.destination.prefixlen or route.type != "unicast" or network.state[hop.namespace].role not in _SERVED:
        return None
    return route


def _led_there(network: Network, later: Sequence[Hop], step: Step) -> bool:
    """Whether a packet came to where the decision sent it, as the outer packet of a tunnel does: then it was right."""
    owner = network.state.owner(_destination(step))
    return owner is not None and any(hop.namespace == owner.name for hop in later)


def _destination(step: Step) -> Address:
    assert isinstance(step.decision, InputRoute | OutputRoute)
    assert step.decision.lookup is not None
    return step.decision.lookup.destination


def _own_range(state: State, address: Address) -> Subnet | None:
    """Return the subnet an address is configured in."""
    found = (entry.interface.network for namespace in state for entry in namespace.addresses if entry.interface.ip == address)
    return next(found, None)


def _nearest(step: Step, destination: Address, within: Subnet | None) -> Route | None:
    """Return the route that has most bits in common with the destination among those for a part of its range."""
    found = [
        detail.subject
        for detail in step.details
        if isinstance(detail, NearMiss) and isinstance(detail.subject, Route) and within is not None
    ]
    wanted = [route for route in found if within is not None and lies_within(route.destination, within)]
    return max(wanted, key=lambda route: _common_bits(route, destination), default=None)


def _common_bits(route: Route, destination: Address) -> int:
    return destination.max_prefixlen - (int(route.destination.network_address) ^ int(destination)).bit_length()


def _arrives_without(network: Network, flow: Flow, found: Trace, verdict: Dropped) -> bool:
    """Whether the packet would have come to its addressee but for what decided: then it was on its way, and that is all that is wrong."""
    here = _pardoned(network.state[verdict.namespace], verdict)
    if here is None:
        return False
    state = replace(network.state, namespaces={**network.state.namespaces, verdict.namespace: here})
    for other in trace(Network(state), flow).traces:
        if other.purpose == found.purpose and other.origin == found.origin:
            return other.delivered
    return False


def _pardoned(namespace: Namespace, verdict: Dropped) -> Namespace | None:
    """Return a namespace without what decided about a packet in it; None where that is nothing that could be left out."""
    match verdict.subject:
        case _ if verdict.reason in _FILTERS:
            return replace(namespace, tables=())
        case Route() as route if route.destination.prefixlen:
            return replace(namespace, routes=tuple(other for other in namespace.routes if other is not route))
        case Rule() as rule:
            return replace(namespace, rules=tuple(other for other in namespace.rules if other is not rule))
    if verdict.reason in _NOT_FORWARDING and namespace.role in _SERVED:
        forwarding = {path: "1" for path in namespace.sysctls if path.endswith("/forwarding") or path == "net/ipv4/ip_forward"}
        return replace(namespace, sysctls={**namespace.sysctls, **forwarding})
    return None
