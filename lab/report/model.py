"""What a report holds: the one definition behind report.json, its published schema, the page and the summary."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lab.errors import printable

FORMAT: Final = "lab-report"
VERSION: Final = 1
"""Grows when a key changes its meaning or goes; new keys may come at any time."""
VARIES: Final = "varies"
"""In the schema, marks what may differ between two runs of the same files on the same kernel."""

_differs = Field(json_schema_extra={VARIES: True})
VaryingInt = Annotated[int, _differs]
VaryingFloat = Annotated[float, _differs]
VaryingText = Annotated[str, _differs]
VaryingTexts = Annotated[tuple[str, ...], _differs]
StatusName = Literal["held", "failed", "undecided"]


class Part(BaseModel):
    """Base of everything in a report. Characters that no format takes, or that drive a terminal, are escaped in all of its texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @field_validator("*")
    @classmethod
    def _printable(cls, value: Any) -> Any:
        if isinstance(value, str):
            return printable(value)
        if isinstance(value, tuple):
            return tuple(printable(item) if isinstance(item, str) else item for item in value)
        return value


class Source(Part):
    """A position in a file that a person wrote."""

    file: str
    """The file, as the report's own copy of it is called."""
    line: int
    """Counted from 1."""
    column: int
    """Counted from 1."""
    text: str = ""
    """The line as it stands there."""


class Origin(Part):
    """One link of the chain from an object of a network back to what a person wrote."""

    component: str
    """Who acted."""
    reason: str
    """From what input, and by which rule."""
    source: Source | None = None
    """Where the chain reaches a line of a file."""


class Entry(Part):
    """An object of a namespace that decided, or that nearly did, and why it is there."""

    kind: str
    """``route``, ``rule``, ``sysctl``, ``nft rule``, ``link``, ..."""
    where: str
    """The namespace."""
    text: str
    """As its own tool prints it."""
    absent: bool = False
    """Whether it is to blame for not being there."""
    origins: tuple[Origin, ...] = ()
    """Who put it there, because of what, and so on back to a line of a file; the nearest first."""


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
    packets: Annotated[tuple[Packet, ...], _differs] = ()
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


class Found(Part):
    """One thing an expectation was checked on."""

    subject: str
    """A probe from one sender to one target, or a node."""
    status: StatusName
    """What became of it."""
    detail: VaryingText
    """What was seen, and where it differs from what was expected."""


class Expectation(Part):
    """What became of one entry of `expect`."""

    kind: str
    """Its key: ``ping``, ``route``, ..."""
    expected: str
    """The entry in words."""
    because: str = ""
    """Why, in the words of the scenario."""
    status: StatusName
    """Failed when anything failed; undecided when something could not be found out."""
    source: Source
    """Where it stands."""
    found: tuple[Found, ...]
    """All it was checked on."""


class Step(Part):
    """A phase, or a further step of one: what was done, and what was expected then."""

    title: str
    """One line for people."""
    done: tuple[str, ...]
    """Events and changes, as the scenario has them."""
    expectations: tuple[Expectation, ...]
    """What had to be seen."""


class Phase(Part):
    """A phase of the run."""

    name: str
    """Its name."""
    title: str
    """One line for people."""
    duration_ms: VaryingFloat
    """How long it took."""
    probes: int
    """How many probes were sent, those of the comparison included."""
    steps: tuple[Step, ...]
    """The phase itself, then its further steps."""


class Cell(Part):
    """What became of some probes of a kind of flow."""

    count: VaryingInt
    """How many."""
    text: str
    """What their senders saw."""
    answered: bool
    """Whether that is an answer."""


class Row(Part):
    """What became of a kind of flow in each stage."""

    flow: str
    """``ping: pods of cluster-1 -> pods of cluster-2``."""
    cells: tuple[tuple[Cell, ...], ...]
    """One entry for each stage; empty where it was not tried."""


class Behaviour(Part):
    """What became of every kind of flow in every stage."""

    stages: tuple[str, ...]
    """The heading of each column."""
    rows: tuple[Row, ...]
    """A row for each kind of flow."""


class Difference(Part):
    """A flow that behaves differently in two phases that should be the same."""

    flow: str
    """Who sends what to whom."""
    first: str
    """How it behaves in the first phase."""
    second: str
    """How it behaves in the second."""


class Same(Part):
    """Whether two phases behave the same."""

    first: str
    """A phase."""
    second: str
    """The phase that is compared with it."""
    flows: int
    """How many flows were compared: every pair of pods, and every service from every pod."""
    differences: tuple[Difference, ...]
    """Those that differ."""


class Commands(Part):
    """What is typed on one node."""

    node: str
    """Its name; empty for what is done outside of all nodes."""
    commands: tuple[str, ...]
    """In working order."""
    diff: tuple[str, ...]
    """The node's configuration before and after, as a unified diff of the commands that make it."""


class Correction(Part):
    """What leads from one phase to another."""

    first: str
    """The phase before."""
    second: str
    """The phase after."""
    done: tuple[str, ...]
    """What the scenario does to get there: the cause of it all, set right."""
    nodes: tuple[Commands, ...]
    """What that comes to on each node."""


class Machine(Part):
    """The machine the run was made on, and who bore witness."""

    kernel: str
    """Its release."""
    architecture: str
    """Of the processor."""
    system: str
    """The distribution, as it calls itself."""
    python: str
    """The version of Python."""
    lab: str
    """The version of the lab."""
    user: Literal["root", "ordinary user"]
    """Who ran it."""
    witnesses: tuple[str, ...]
    """What was known from whom."""


class File(Part):
    """A file that the run was made from."""

    name: str
    """As the report calls it."""
    role: Literal["scenario", "topology"]
    """What it is."""
    sha256: str
    """Of its bytes."""


class Verdict(Part):
    """What the run as a whole shows."""

    exit_code: Literal[0, 1, 4]
    """0: all expectations hold; 1: one does not; 4: something could not be found out."""
    conclusion: str
    """One sentence."""
    held: int
    """How many expectations hold."""
    failed: int
    """How many do not."""
    undecided: int
    """How many could not be decided."""
    probes: int
    """How many probes were sent."""


class Report(Part):
    """A run of a scenario: what was done, what was seen, why, and what corrects it.

    Two runs of the same files on the same kernel give the same report, apart from what its schema marks with `varies`.
    """

    format: Literal["lab-report"] = FORMAT
    """What this file is."""
    version: Literal[1] = VERSION
    """Of the format."""
    scenario: str
    """The scenario's name."""
    title: str
    """One line for people."""
    description: str
    """What happens, and why."""
    links: tuple[str, ...]
    """Where to read more."""
    started: VaryingText
    """When the run began, ISO 8601, UTC."""
    duration_ms: VaryingFloat
    """How long it took."""
    verdict: Verdict
    """What it shows."""
    machine: Machine
    """Where it ran."""
    files: tuple[File, ...]
    """What it was made from."""
    phases: tuple[Phase, ...]
    """What happened, one after the other."""
    behaviour: Behaviour | None
    """All that was tried, at a glance."""
    same: Same | None
    """Whether two phases behave the same, where the scenario asks."""
    correction: Correction | None
    """What leads from one phase to another, where the scenario asks."""
    stories: tuple[Story, ...]
    """One flow for each kind of loss, through all stages."""
