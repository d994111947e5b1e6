"""The output hook of a packet made here, and the new way it may get there."""

from __future__ import annotations

from lab.forwarding.fib import Exit
from lab.forwarding.hooks import pass_hook
from lab.forwarding.journey import Journey, Visit
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.packet import Packet
from lab.forwarding.results import Stage
from lab.forwarding.routing import OutputRoute, as_rerouted, route_output
from lab.forwarding.routing6 import route_output6


def pass_output(journey: Journey, visit: Visit, t: Transit, way: Exit, mtu: int) -> tuple[Exit, int] | None:
    """Pass the output hook. Rules may send the packet elsewhere (`ip_route_me_harder`, `ip6_route_me_harder`).

    Returns the way of the packet then and its MTU in bytes, None if it is lost. A new way has an MTU of its own, even where it has the same
    next hop: what was learned of one destination is not known of another.
    """
    looked: list[OutputRoute] = []

    def reroute(packet: Packet) -> bool:
        look = route_output if packet.version == 4 else route_output6
        again = look(journey.world, visit.node, as_rerouted(visit.node, packet), device=t.bound_device, any_source=True)
        looked.append(again)
        return again.errno is None and again.exit is not None

    t.reroute = reroute
    if not pass_hook(journey, visit, t, "output", iif=None, oif=way.device, was_local=way.device == "lo", arrived_by=None):
        return None
    for again in looked:
        visit.note(Stage.REROUTING, again, again.exit.device if again.exit else None)
        if again.errno is not None or again.exit is None:
            journey.drop(visit, Stage.REROUTING, None, again.reason, again.subject, again.sentence)
            return None
        way = again.exit
        mtu = journey.world.way_mtu(visit.node, t.packet.destination, again.found, way, t.packet.size)
    return way, mtu
