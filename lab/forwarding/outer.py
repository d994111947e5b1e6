"""The outer packet of a tunnel, as it sets out."""

from __future__ import annotations

from lab.forwarding.fib import Exit
from lab.forwarding.ip import leave
from lab.forwarding.ip6 import leave6
from lab.forwarding.journey import Journey, SendOuter
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.output import pass_output


def send_outer(journey: Journey, task: SendOuter) -> None:
    """Send the outer packet of a tunnel; it passes output and postrouting like any packet made here."""
    visit = task.visit
    t = Transit(journey.world, visit.node, task.packet, made_here=True, route_mtu=task.mtu, next_hop=int(task.next_hop))
    via = None if task.next_hop == task.packet.destination else task.next_hop
    passed = pass_output(journey, visit, t, Exit(task.device, via), task.mtu)
    if passed is not None:
        (leave if task.packet.version == 4 else leave6)(journey, visit, t, *passed, arrived_by=None)
