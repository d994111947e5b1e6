"""A whole conversation: the question, the answer, every error and reset, each traced; and what both sides notice."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from lab.forwarding.choice import Choice, Chooser, worlds
from lab.forwarding.endpoints import Progress, Seen, acknowledgement, react, time_out
from lab.forwarding.engine import travel
from lab.forwarding.flow import Flow, first_sending, size_of
from lab.forwarding.memory import Memory
from lab.forwarding.network import Network
from lab.forwarding.packet import Packet
from lab.forwarding.results import Dropped, Outcome, Trace
from lab.forwarding.world import World
from lab.state import State

MOST_PACKETS = 40
"""How many packets of one conversation are followed."""
_ACKNOWLEDGED: Final = ("data", "answer")
"""What TCP repeats soon; a lost SYN takes a second."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One way the conversation can go.

    `outcome` is what the sender notices, `seen` what the receiver did, if the question arrived. `choices` are the lots
    drawn in this world; `alternatives` are the other worlds, none where nothing is left to chance.
    """

    flow: Flow
    traces: tuple[Trace, ...]
    outcome: Outcome
    seen: Seen | None
    choices: tuple[Choice, ...] = ()
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)
    """What the network remembers afterwards."""
    alternatives: tuple[Conversation, ...] = ()
    incomplete: bool = False
    """More worlds exist than were looked at."""

    @property
    def request(self) -> Trace:
        """The first packet."""
        return self.traces[0]

    @property
    def reply(self) -> Trace | None:
        """The packet that answered it, whether or not it came home."""
        return next((trace for trace in self.traces[1:] if trace.purpose in ("reply", "answer", "handshake")), None)

    @property
    def worlds(self) -> tuple[Conversation, ...]:
        """This world and the others."""
        return (self, *self.alternatives)

    @property
    def must(self) -> bool:
        """Whether the sender gets its answer however the lots fall."""
        return not self.incomplete and all(world.outcome.kind == "reply" for world in self.worlds)

    @property
    def may(self) -> bool:
        """Whether the sender gets its answer in some world."""
        return any(world.outcome.kind == "reply" for world in self.worlds)

    @property
    def lots(self) -> tuple[str, ...]:
        """The lots on which it depends how it ends for the sender; none where every world ends alike."""
        if len({world.outcome.kind for world in self.worlds}) == 1:
            return ()
        return tuple(dict.fromkeys(choice.what for world in self.worlds for choice in world.choices))


def trace(where: State | Network, flow: Flow, *, memory: Memory | None = None) -> Conversation:
    """Predict a conversation. `memory` is what the network remembers of earlier ones; it is not changed.

    Raises InputError for a source that does not exist.
    """
    network = where if isinstance(where, Network) else Network(where)
    first_sending(flow, network)
    found: list[Conversation] = []
    incomplete = False
    for conversation, stopped in worlds(lambda chooser: _converse(network, flow, memory or Memory(), chooser)):
        found.append(conversation)
        incomplete = incomplete or stopped
    return replace(found[0], alternatives=tuple(found[1:]), incomplete=incomplete)


def _converse(network: Network, flow: Flow, memory: Memory, chooser: Chooser) -> Conversation:
    sending, client = first_sending(flow, network)
    world = World(network, memory.copy(), chooser, (client,))
    world.memory.conversations += 1
    progress = Progress(flow, world, client)
    waiting = deque([sending])
    traces: list[Trace] = []
    while len(traces) < MOST_PACKETS:
        if not waiting:
            waiting.extend(time_out(progress))
        if not waiting:
            break
        sending = waiting.popleft()
        known = world.memory.ways() if sending.purpose in _ACKNOWLEDGED and not sending.probe else None
        traced, answers = travel(world, sending)
        if not traces:
            _learn_source(progress, traced)
        traces.append(traced)
        waiting.extend(answers)
        waiting.extend(react(progress, sending, traced))
        waiting.extendleft(acknowledgement(progress, sending, traced, known))
        if sending.purpose == "data" and not sending.probe:
            progress.asked = sending
        if known is not None and isinstance(traced.verdict, Dropped):
            progress.lost = (sending, known)
    outcome = _conclude(progress, traces)
    if outcome.kind == "unknown":
        _remember_undecided(world.memory, flow, traces)
    told = tuple(_say(traced, outcome) for traced in traces)
    return Conversation(flow, told, outcome, progress.seen, tuple(chooser.made), world.memory)


def _remember_undecided(memory: Memory, flow: Flow, traces: list[Trace]) -> None:
    """Remember between whom packets went of which the model does not know what became, and how long they were at most."""
    packets = [traced.packet for traced in traces if isinstance(traced.packet, Packet)]
    longest = max(size_of(flow), flow.answer_size or 0, *(packet.size for packet in packets))
    for address in {address for packet in packets for address in (packet.source, packet.destination)}:
        memory.leave_open(address, longest)


def _say(traced: Trace, outcome: Outcome) -> Trace:
    """Put what the sender of the question sees into each death."""
    if isinstance(traced.verdict, Dropped):
        return replace(traced, verdict=replace(traced.verdict, sender_sees=str(outcome)))
    return traced


def _learn_source(progress: Progress, traced: Trace) -> None:
    """The socket's address is the source its first packet was made with, before any rule rewrote it."""
    if isinstance(traced.packet, Packet):
        progress.client = replace(progress.client, address=traced.packet.source)
        progress.world.sockets = (progress.client,)


# -- the end -------------------------------------------------------------------------------------------------------


def _conclude(progress: Progress, traces: list[Trace]) -> Outcome:
    if progress.outcome is not None:
        return progress.outcome
    if progress.unknown is not None:
        return Outcome("unknown", connected=progress.connected, why=str(progress.unknown))
    if len(traces) >= MOST_PACKETS:
        return Outcome("unknown", why="the conversation does not come to an end")
    return Outcome("silence", connected=progress.connected)
