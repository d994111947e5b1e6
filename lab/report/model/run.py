"""A run: its verdict, its phases and what was expected in them, what was compared, and the machine it ran on."""

from __future__ import annotations

from typing import Literal

from lab.report.model.base import FORMAT, VERSION, Part, Source, StatusName, VaryingFloat, VaryingInt, VaryingText
from lab.report.model.story import Story


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
    probes: VaryingInt
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
    probes: VaryingInt
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
