"""A conversation hop by hop, as a report tells it: what was decided where, by which entry, and which witness saw it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lab.explain.agreement.witnesses import Testimony, Witnesses
from lab.explain.journey import Journey, journey_of
from lab.forwarding import Conversation, Dropped, Hop, Step, Trace
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.forwarding.why import NearMiss
from lab.probe import Outcome, Part
from lab.report import model
from lab.report.sources import Sources
from lab.state import State

TOLD = ("request", "reply", "error", "reset")
"""The packets that are always told; of a TCP connection's others only one that was lost."""
PARTS: Mapping[str, Part] = {"reply": "answer", "answer": "answer", "reset": "answer", "error": "icmp-error"}
"""What a probe calls the packets of a conversation; all others are its request."""


def packets(
    conversation: Conversation, state: State, sources: Sources, outcome: Outcome | None, witnesses: Witnesses | None
) -> Iterator[model.Packet]:
    """Yield the packets of a conversation that a report tells. Witnesses are those of this conversation, where they were heard."""
    teller = _Teller(conversation, state, sources, outcome, witnesses, None if outcome is None else journey_of(outcome))
    for number, trace in enumerate(conversation.traces):
        if trace.purpose in TOLD or isinstance(trace.verdict, Dropped):
            yield teller.packet(number, trace)


@dataclass(frozen=True, slots=True)
class _Teller:
    conversation: Conversation
    state: State
    sources: Sources
    outcome: Outcome | None
    witnesses: Witnesses | None
    journey: Journey | None

    def packet(self, number: int, trace: Trace) -> model.Packet:
        heard = self._heard(trace)
        return model.Packet(
            number=number,
            purpose=trace.purpose,
            headers=str(trace.packet),
            hops=tuple(self._hop(trace, visit, heard.get(visit)) for visit in range(len(trace.hops))),
            end=self.sources.text(str(trace.verdict)),
            delivered=trace.delivered,
        )

    def _heard(self, trace: Trace) -> dict[int, Testimony]:
        """Return what was heard about each hop of a trace: the testimonies of its purpose, in order."""
        testimonies = self.witnesses.testimonies if self.witnesses is not None else ()
        mine = [testimony for testimony in testimonies if testimony.purpose == trace.purpose]
        found: dict[int, Testimony] = {}
        for number, hop in enumerate(trace.hops):
            if mine and (mine[0].namespace, mine[0].arrived_by) == (hop.namespace, hop.arrived_by):
                found[number] = mine.pop(0)
        return found

    def _hop(self, trace: Trace, number: int, heard: Testimony | None) -> model.Hop:
        hop = trace.hops[number]
        dropped = isinstance(trace.verdict, Dropped) and number == len(trace.hops) - 1
        return model.Hop(
            number=number,
            namespace=hop.namespace,
            role=self.state[hop.namespace].role,
            arrived_by=hop.arrived_by or "",
            left_by=hop.left_by,
            decisions=tuple(self._decision(step, ends=dropped and step is hop.steps[-1]) for step in hop.steps),
            seen=tuple(self._seen(PARTS.get(trace.purpose, "request"), hop)),
            lookups=heard.kernel if heard is not None else (),
        )

    def _decision(self, step: Step, *, ends: bool) -> model.Decision:
        provenance = step.provenance
        place = next(iter(provenance.places()), None) if provenance is not None else None
        return model.Decision(
            stage=step.stage.value,
            device=step.device or "",
            text=self.sources.text(step.sentence),
            near_misses=() if self.conversation.outcome.kind == "reply" else _near_misses(step),
            entry="" if provenance is None else self.sources.text(f"{provenance.component}: {provenance.reason}"),
            source=None if place is None else self.sources.at(place),
            ends=ends,
        )

    def _seen(self, part: Part, hop: Hop) -> Iterator[model.Sight]:
        """Yield where this packet was seen in a hop, and how, if that was kept."""
        if self.outcome is None or self.journey is None:
            return
        devices = [hop.arrived_by, *hop.left_by, *(step.device for step in hop.steps)]
        crossed, passages = self.outcome.interfaces(part), self.journey.of(part)
        for device in dict.fromkeys(device for device in devices if device):
            interface = f"{hop.namespace}:{device}"
            if interface in crossed:
                headers = next((passage.sentence for passage in passages if passage.interface == interface), "")
                yield model.Sight(device=device, packet=headers.partition(" / ")[2])


def _near_misses(step: Step) -> tuple[str, ...]:
    """Return the entries that would have decided instead of a default route. To find them takes a lookup for each."""
    if not isinstance(step.decision, InputRoute | OutputRoute) or step.decision.lookup is None:
        return ()
    route = step.decision.lookup.route
    if route is None or route.destination.prefixlen:
        return ()
    return tuple(detail.text for detail in step.details if isinstance(detail, NearMiss))
