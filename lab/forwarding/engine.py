"""The parts of the model put together: which part takes which task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.forwarding.ip import send
from lab.forwarding.ip6 import send6
from lab.forwarding.journey import Arrive, Journey, Receive, Send, Sending, SendOuter, Transmit, TurnBack
from lab.forwarding.link import arrive, take_again, transmit, turn_back
from lab.forwarding.outer import send_outer
from lab.forwarding.results import Trace
from lab.forwarding.world import World

_HANDLERS: dict[type, Callable[[Journey, Any], None]] = {
    Send: lambda journey, task: (send if task.sending.packet.version == 4 else send6)(journey, task),
    SendOuter: send_outer,
    Transmit: transmit,
    Arrive: arrive,
    Receive: take_again,
    TurnBack: turn_back,
}


def travel(world: World, sending: Sending) -> tuple[Trace, tuple[Sending, ...]]:
    """Make a packet and follow it and its copies; return the trace and what others send because of it."""
    journey = Journey(world, _HANDLERS)
    visit = journey.visit(world.network.node(sending.namespace))
    journey.add(Send(visit, sending))
    journey.run()
    return journey.trace(sending.purpose, journey.made or sending.packet, sending.namespace), tuple(journey.answers)
