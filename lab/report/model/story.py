"""The story of a flow: what its sender saw in every phase, its packets hop by hop, and why they were lost."""

from __future__ import annotations

from typing import Annotated

from lab.report.model.base import DIFFERS, Entry, Part, Source, VaryingText, VaryingTexts


class Turn(Part):
    """A decision that the packet survived, and without which it would have gone elsewhere, or borne another address."""

    where: str
    """The namespace."""
    stage: str
    """Where in the namespace."""
    text: VaryingText
    """What was decided."""
    entry: Entry | None = None
    """What decided, or what nearly did."""
    missed: bool = False
    """Whether `entry` is what nearly decided."""


class Evidence(Part):
    """What a claim rests on."""

    grade: str
    """How sure that is, from a drop that the kernel reported down to what only the model says."""
    text: str
    """What was seen, counted, asked or read."""


class Cause(Part):
    """Where a packet ended, and what decided that."""

    packet: str
    """Which packet of the conversation."""
    where: str
    """``NAMESPACE:DEVICE``."""
    stage: str
    """Where in the namespace; empty where only the place is known."""
    text: str
    """What decided, in one line."""
    decided_by: Entry | None = None
    """What decided at the place itself, where the packet should never have come there."""
    entry: Entry | None = None
    """The object to look at first: what decided, or what should have and does not cover this packet."""
    needed: str = ""
    """What would have had to be there."""
    next: str = ""
    """What the packet would meet if that were repaired, where the network has another fault on its way."""
    evidence: tuple[Evidence, ...] = ()
    """What the claim rests on."""


class Explanation(Part):
    """Why a flow was lost."""

    turns: tuple[Turn, ...] = ()
    """The decisions that led there, in the order the packet met them."""
    cause: Cause | None = None
    """Where it ended."""
    sender: VaryingTexts = ()
    """What its sender could see of it, and why; it may name the one of a service's pods that the packet came to."""
    remedies: tuple[str, ...] = ()
    """What would cure it, where the lab knows."""
    doubts: tuple[str, ...] = ()
    """What speaks against this explanation."""


class Sight(Part):
    """The packet as it was seen on a device on the kernel."""

    device: str
    """The device."""
    packet: VaryingText = ""
    """Its headers, outermost first, where they were kept: of packets that were lost."""


class Decision(Part):
    """One decision about a packet in a namespace."""

    stage: str
    """Where in the namespace, in the kernel's order."""
    device: str = ""
    """The device it is about, where there is one."""
    text: str
    """What was decided."""
    near_misses: tuple[str, ...] = ()
    """Entries that nearly decided."""
    entry: str = ""
    """Who put the entry there that decided, and from what input."""
    source: Source | None = None
    """The line of a file behind it."""
    ends: bool = False
    """Whether the packet ended here."""


class Hop(Part):
    """The visit of a packet to a namespace."""

    number: int
    """Of the visit among all that the packet and its copies made."""
    namespace: str
    """Its name."""
    role: str
    """What it stands for: node, pod, router, switch, host or proxy."""
    arrived_by: str = ""
    """The device by which the packet came in; empty where it was made."""
    left_by: tuple[str, ...] = ()
    """The devices by which it went out."""
    decisions: tuple[Decision, ...]
    """What was decided here."""
    seen: tuple[Sight, ...] = ()
    """Where the packet was seen here on the kernel."""
    lookups: tuple[str, ...] = ()
    """What the kernel's own route lookup answered here, asked the same questions; empty where it was not asked."""


class Packet(Part):
    """One packet of a conversation, from where it was made to where it ended."""

    number: int
    """Among the packets of its conversation."""
    purpose: str
    """``request``, ``reply``, ``error`` (an ICMP error), ``reset``, ``data``, ``answer``."""
    headers: str
    """The packet as it was made, in one line."""
    hops: tuple[Hop, ...]
    """Its way."""
    end: str
    """How it ended."""
    delivered: bool
    """Whether it arrived."""


class Lost(Part):
    """A kind of loss, and the expectation that asked for it."""

    source: Source
    """The expectation."""
    because: str = ""
    """Why it was expected, in the words of the scenario."""
    probes: int
    """How many probes of the stage were lost in the same place."""
    explanation: Explanation | None
    """Why; None where the model cannot tell."""


class Scene(Part):
    """How a story's flow fared in one stage of the run."""

    label: str
    """What it is called: its phase, and of a further step of one ``PHASE, then``."""
    phase: str
    """The phase."""
    title: str
    """Of the phase, or of the step of it."""
    answered: bool | None
    """Whether its sender got an answer; None where it was not tried, and the model cannot tell."""
    predicted: str
    """What its sender notices, by the model."""
    observed: str = ""
    """What its sender did notice on the kernel; empty where nobody tried."""
    command: str = ""
    """What a person would type there to send it."""
    seen_on: VaryingTexts = ()
    """The interfaces on which it was seen, each once, in the kernel's order."""
    lost: Lost | None = None
    """The kind of loss it stands for here."""
    disagreements: tuple[str, ...] = ()
    """Where model, kernel and packet do not say the same."""
    packets: Annotated[tuple[Packet, ...], DIFFERS] = ()
    """Its packets, hop by hop; the first is the request. Through a service, the kernel picks the backend."""


class Story(Part):
    """One flow through the stages of a run."""

    id: str
    """``story-1``, ``story-2``, ..."""
    name: str
    """``ping c1-w1-a -> c2-w1-a``."""
    sender: str
    """The namespace that sends."""
    target: str
    """Whom it sends to, as the scenario names it."""
    scenes: tuple[Scene, ...]
    """Of the first story one for each stage of the run; of the others the first stage, and those where the flow was lost."""
