"""Three witnesses of one probe: what the model decides at each hop, what the kernel's own lookup answers there, and the packet seen.

They agree, or the disagreement is a finding: a defect of the model, or a kernel that does not hold what it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from lab.explain.agreement.routes import observed_entry, predicted_entry
from lab.explain.evidence import PARTS, route_question
from lab.explain.prediction import expected_result
from lab.forwarding import Conversation, Dropped, Hop, Network, Stage
from lab.forwarding.results import Purpose
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.kernel.oracle import RouteAnswer, RouteQuery
from lab.probe import Outcome, Part
from lab.state import Veth

AskRoute = Callable[[str, RouteQuery], RouteAnswer]
"""Asks the kernel's route lookup of a namespace."""

Crossing = tuple[str, str, str]
"""Namespace, device, and ``in`` or ``out``."""


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the three say about the visit of one packet to one namespace. Texts of the first two are equal where they agree."""

    purpose: Purpose
    namespace: str
    arrived_by: str | None
    model: tuple[str, ...]
    """The entry of the tables the model chose, for each of its routing decisions here."""
    kernel: tuple[str, ...]
    """The kernel's own answer to the same questions."""
    predicted: tuple[str, ...]
    """The cables on which the model says the packet is seen, as ``in DEVICE`` and ``out DEVICE``."""
    seen: tuple[str, ...]
    """Those of them on which it was seen."""

    @property
    def agree(self) -> bool:
        """Whether they say the same."""
        return self.model == self.kernel and self.predicted == self.seen


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What three witnesses say about a probe, hop by hop."""

    conversation: Conversation
    """The world of the model, of those that chance allows, that is nearest to what was seen; the others are its alternatives."""
    outcome: Outcome
    testimonies: tuple[Testimony, ...]
    disagreements: tuple[str, ...]
    """Each in a sentence; none where all three agree."""


def hear_witnesses(network: Network, conversation: Conversation, outcome: Outcome, ask: AskRoute) -> Witnesses:
    """Set the model's prediction of a probe beside the kernel's lookups and the packets seen.

    The network is what the kernel held, the conversation the model's prediction of the probe in it, and `ask` is answered by that kernel.
    Chance leaves several worlds possible: the one that contradicts what was seen least is taken.
    """
    seen = _seen(network, outcome)
    heard = [_hear(network, world, outcome, seen, ask) for world in conversation.worlds]
    nearest = min(heard, key=lambda witnesses: len(witnesses.disagreements))
    others = tuple(replace(world, alternatives=()) for world in conversation.worlds if world is not nearest.conversation)
    return replace(nearest, conversation=replace(nearest.conversation, alternatives=others, incomplete=conversation.incomplete))


def _hear(network: Network, world: Conversation, outcome: Outcome, seen: dict[Part, set[Crossing]], ask: AskRoute) -> Witnesses:
    testimonies = tuple(
        _testimony(network, hop, traced.purpose, seen, ask) for traced in world.traces if traced.purpose in PARTS for hop in traced.hops
    )
    disagreements = [*_about_the_end(world, outcome), *_about_routes(testimonies)]
    if world.outcome.kind != "unknown" and not outcome.incomplete:
        disagreements += _about_the_path(network, world, seen, rate_limited=outcome.rate_limited)
    return Witnesses(world, outcome, testimonies, tuple(dict.fromkeys(disagreements)))


def _testimony(network: Network, hop: Hop, purpose: Purpose, seen: dict[Part, set[Crossing]], ask: AskRoute) -> Testimony:
    model, kernel = [], []
    for step in hop.steps:
        decision = step.decision
        if step.stage is Stage.REROUTING or not isinstance(decision, InputRoute | OutputRoute) or decision.lookup is None:
            continue
        question = route_question(network.node(hop.namespace), decision.lookup)
        if question is not None:
            model.append(predicted_entry(decision))
            kernel.append(observed_entry(lambda query: ask(hop.namespace, query), question))
    predicted = tuple(dict.fromkeys(_crossings(network, hop)))
    here = seen[PARTS[purpose]]
    return Testimony(
        purpose,
        hop.namespace,
        hop.arrived_by,
        tuple(model),
        tuple(kernel),
        tuple(f"{way} {device}" for _, device, way in predicted),
        tuple(f"{crossing[2]} {crossing[1]}" for crossing in predicted if crossing in here),
    )


# -- what was seen -------------------------------------------------------------------------------------------------


def _seen(network: Network, outcome: Outcome) -> dict[Part, set[Crossing]]:
    """Return the ends of cables on which each part of the probe was seen; what goes on inside a namespace has no end."""
    found: dict[Part, set[Crossing]] = {"request": set(), "answer": set(), "icmp-error": set()}
    for sighting in outcome.sightings:
        if _is_cable(network, sighting.namespace, sighting.device):
            found[sighting.part].add((sighting.namespace, sighting.device, sighting.direction))
    return found


def _is_cable(network: Network, namespace: str, device: str) -> bool:
    if namespace not in network.state.namespaces:
        return False
    link = network.node(namespace).links.get(device)
    return link is not None and isinstance(link.kind, Veth)


def _crossings(network: Network, hop: Hop) -> Iterator[Crossing]:
    if hop.arrived_by is not None and _is_cable(network, hop.namespace, hop.arrived_by):
        yield hop.namespace, hop.arrived_by, "in"
    for device in hop.left_by:
        if _is_cable(network, hop.namespace, device):
            yield hop.namespace, device, "out"


# -- where they differ ---------------------------------------------------------------------------------------------


def _about_the_end(world: Conversation, outcome: Outcome) -> Iterator[str]:
    expected = expected_result(world)
    if expected is None or expected == outcome.result:
        return
    if not (outcome.rate_limited and outcome.result == "silence"):
        yield f"the model predicts {world.outcome}, and the sender sees {outcome.result}"
        return


def _about_routes(testimonies: Iterable[Testimony]) -> Iterator[str]:
    for testimony in testimonies:
        for model, kernel in zip(testimony.model, testimony.kernel, strict=True):
            if model != kernel:
                yield f"{testimony.namespace}, {testimony.purpose}: the model chooses {model}, and the kernel's lookup answers {kernel}"


def _about_the_path(network: Network, world: Conversation, seen: dict[Part, set[Crossing]], *, rate_limited: bool) -> Iterator[str]:
    predicted: dict[Part, set[Crossing]] = {"request": set(), "answer": set(), "icmp-error": set()}
    excused: set[Crossing] = set()
    for traced in world.traces:
        part = PARTS.get(traced.purpose)
        if part is None:
            continue
        predicted[part].update(crossing for hop in traced.hops for crossing in _crossings(network, hop))
        if isinstance(traced.verdict, Dropped) and traced.verdict.stage is Stage.TRANSMISSION and traced.verdict.device is not None:
            # The kernel reports a frame that is put on a device before the device throws it away.
            excused.add((traced.verdict.namespace, traced.verdict.device, "out"))
    for part, crossings in predicted.items():
        yield from (
            f"the {part} was seen {_at(crossing)}, which the model does not predict"
            for crossing in sorted(seen[part] - crossings - excused)
        )
        if part != "icmp-error" or not rate_limited:
            yield from (
                f"the {part} was not seen {_at(crossing)}, where the model predicts it" for crossing in sorted(crossings - seen[part])
            )


def _at(crossing: Crossing) -> str:
    namespace, device, way = crossing
    return f"{'coming in by' if way == 'in' else 'going out by'} {namespace}:{device}"
