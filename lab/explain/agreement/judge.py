"""Hold what the model says against what the kernel did. Needs no kernel: what it did may have been recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from lab.forwarding import Conversation, Delivered, Dropped, Flow, Memory, Network, Packet, Reason, Trace, trace
from lab.forwarding.generate.shape import SOLICITATIONS
from lab.forwarding.packet import TCP, Address
from lab.forwarding.routing import InputRoute
from lab.state import State


@dataclass(frozen=True, slots=True)
class Noticed:
    """What the sender noticed, and as whom the receiver saw it."""

    kind: str = "silence"
    source: Address | None = None
    icmp: tuple[int, int] | None = None
    mtu: int | None = None
    errno: str | None = None
    seen_in: str | None = None
    seen_source: Address | None = None
    seen_ttl: int | None = None

    def __str__(self) -> str:
        parts = [
            self.kind,
            *(f"{name}={value}" for name in ("source", "icmp", "mtu", "errno") if (value := getattr(self, name)) is not None),
        ]
        if self.seen_in is not None:
            parts.append(f"seen in {self.seen_in} as {self.seen_source} ttl {self.seen_ttl}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One question that the kernel answered otherwise than the model."""

    flow: Flow
    predicted: tuple[str, ...]
    """In each world the model allows."""
    observed: str
    conversation: Conversation = field(repr=False)
    number: int = 0

    def __str__(self) -> str:
        predicted = " or ".join(map(repr, self.predicted))
        return f"question {self.number}, {self.flow}: predicted {predicted}, observed {self.observed!r}"


@dataclass(slots=True)
class Tally:
    """What came of comparing."""

    probes: int = 0
    unknown: int = 0
    reasons: list[str] = field(default_factory=list)
    """Why the model could not say."""
    rationed: int = 0
    """Answers that may have been withheld by the kernel's rate limit for errors of routing, which no setting turns off."""
    listed: list[str] = field(default_factory=list)
    """Differences that are known, as lab/forwarding/limits.toml calls them."""
    disagreements: list[Disagreement] = field(default_factory=list)
    unrepeated: list[Disagreement] = field(default_factory=list)
    """Those that did not come again when the network was built anew (`lab.explain.agreement.repeat`)."""
    observations: list[str] = field(default_factory=list)
    """What was noticed, question by question."""
    open: list[bool] = field(default_factory=list)
    """Question by question, whether the model leaves more than one answer possible: by chance, or because it does not know."""

    def summary(self) -> Summary:
        """Return what counts of it, as text."""
        return Summary(
            self.probes,
            self.rationed,
            tuple(self.reasons),
            tuple(self.listed),
            tuple(map(str, self.disagreements)),
            tuple(map(str, self.unrepeated)),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """A tally in plain text, to be passed between processes."""

    probes: int
    rationed: int
    reasons: tuple[str, ...]
    listed: tuple[str, ...]
    disagreements: tuple[str, ...]
    unrepeated: tuple[str, ...]


Expected = Callable[[str], bool]
"""Whether an observation is what the model predicts in one of its worlds; where it cannot tell, everything is."""

Ask = Callable[[Flow, Expected], str]
"""Puts a question to the kernel, or to a record of what it said."""

Client = tuple[str, str]
"""A namespace, and a source of packets that routing refused there."""

ROUTE_ERRORS: Final = 5
"""How many errors of routing a client is told at once; then it is one a second (`ip_error` in net/ipv4/route.c, `ip_rt_error_burst`)."""


MOST_MEMORIES: Final = 8
"""In how many worlds at once the next question is asked, where what was noticed does not tell them apart."""


def judge(state: State, flows: Iterable[Flow], ask: Ask) -> Tally:
    """Put all questions to both, in turn; connections and neighbours are remembered on both sides."""
    tally = Tally()
    network, memories = Network(state), [Memory()]
    spent: Counter[Client] = Counter()
    for number, flow in enumerate(flows):
        conversations = [trace(network, flow, memory=memory) for memory in memories]
        memories = _judge(conversations, ask, tally, spent, number)
    return tally


def _judge(conversations: list[Conversation], ask: Ask, tally: Tally, spent: Counter[Client], number: int) -> list[Memory]:
    """Judge one question; returns what the network may remember afterwards, in each world that fits."""
    tally.probes += 1
    conversation = conversations[0]
    worlds = [(world, str(predicted(world))) for each in conversations for world in each.worlds]
    unknown = next((world.outcome.why for world, _ in worlds if world.outcome.kind == "unknown"), None)
    if unknown is not None:
        tally.unknown += 1
        tally.reasons.append(unknown)
    told = _refusals(conversation.traces)
    asked = [asked for traced in conversation.traces for asked in traced.resolutions]
    spent += told + _refusals(one for one in asked for _ in range(SOLICITATIONS if _in_vain(one) else 1))
    poor = any(spent[client] > ROUTE_ERRORS for client in told)

    def fitting(observed: str) -> list[Conversation]:
        return [world for world, notice in worlds if notice == _comparable(world, observed)]

    def may_be_withheld(observed: str) -> bool:
        return poor and observed.startswith(("silence", "local error"))

    observed = ask(conversation.flow, lambda noticed: unknown is not None or bool(fitting(noticed)) or may_be_withheld(noticed))
    tally.observations.append(observed)
    tally.open.append(len(worlds) > 1 or unknown is not None or poor)
    found = fitting(observed)
    if not found and may_be_withheld(observed):
        tally.rationed += 1
    elif not found and unknown is None and any(map(_asked_in_vain_but_not_in_silence, conversation.traces)):
        tally.listed.append(ASKED_IN_VAIN)
    elif not found and unknown is None:
        expected = tuple(dict.fromkeys(notice for _, notice in worlds))
        tally.disagreements.append(Disagreement(conversation.flow, expected, observed, conversation, number))
    memories = _distinct(world.memory for world in found or [conversation])
    return memories if len(memories) <= MOST_MEMORIES else _distinct(memory.without_lots() for memory in memories)[:MOST_MEMORIES]


def _distinct(memories: Iterable[Memory]) -> list[Memory]:
    distinct: list[Memory] = []
    for memory in memories:
        if memory not in distinct:
            distinct.append(memory)
    return distinct


ASKED_IN_VAIN: Final = "A neighbour that is asked for in vain through a tunnel"
"""What lab/forwarding/limits.toml calls a difference that is told apart here."""
_TOLD: Final = frozenset({Reason.CLOSED_PORT, Reason.NO_ROUTE, Reason.UNREACHABLE, Reason.PROHIBIT, Reason.REJECTED, Reason.TTL})
"""Deaths of a tunnel packet of which its sender is told."""


def _refusals(traces: Iterable[Trace]) -> Counter[Client]:
    """Return where routing refused a packet and told its source so, and what that costs of the account kept for that source.

    TCP says it again while nobody listens, so a refused segment counts as everything there is.
    """
    return Counter(
        client
        for traced in traces
        for hop, step in traced.steps
        if isinstance(step.decision, InputRoute) and step.decision.icmp_code is not None and isinstance(step.before, Packet)
        for client in repeat((hop.namespace, str(step.before.source)), ROUTE_ERRORS if step.before.protocol == TCP else 1)
    )


def _in_vain(asked: Trace) -> bool:
    """Whether a request for a neighbour reached nobody who answers."""
    return asked.purpose == "arp request" and not any(isinstance(end, Delivered) for end in (asked.verdict, *asked.others))


def _asked_in_vain_but_not_in_silence(traced: Trace) -> bool:
    """Whether a request for a neighbour died in a tunnel, and an error about it went home: that may make others ask back."""
    return any(
        isinstance(end, Dropped) and end.reason in _TOLD
        for asked in traced.resolutions
        if asked.purpose == "arp request"
        for end in (asked.verdict, *asked.others)
    )


def predicted(conversation: Conversation) -> Noticed:
    """Return what the model says both sides notice, in the words of an observation."""
    outcome, seen = conversation.outcome, conversation.seen
    tcp = conversation.flow.protocol == "tcp"
    if tcp and not any(t.delivered for t in conversation.traces if t.purpose in ("handshake", "data")):
        seen = None  # accept() hears of a connection when the handshake is complete
    if conversation.flow.protocol == "icmp" and seen is not None and seen.source_port != conversation.flow.source_port:
        seen = None  # nobody knows a ping again whose identifier was translated
    icmp = None if outcome.icmp_type is None else (outcome.icmp_type, outcome.icmp_code or 0)
    reset = outcome.kind == "refused" and icmp is None
    return Noticed(
        outcome.kind,
        outcome.source if not reset else conversation.flow.destination,
        icmp,
        outcome.mtu,
        outcome.errno,
        seen.namespace if seen is not None else None,
        seen.source if seen is not None else None,
        None if tcp or seen is None else seen.ttl,
    )


def _comparable(world: Conversation, observed: str) -> str:
    """A raw socket sees the echo requests that the namespace ignores; nobody else does."""
    verdict = world.request.verdict
    if isinstance(verdict, Dropped) and verdict.reason == Reason.IGNORED_ECHO:
        return observed.split(" seen in ")[0]
    return observed
