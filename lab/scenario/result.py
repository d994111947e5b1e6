"""What a run of a scenario found: plain data that reports render and scripts read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from lab.errors import ExitCode, Place
from lab.explain.explanation import Explanation
from lab.explain.journey import Journey
from lab.probe import Outcome
from lab.state import State

if TYPE_CHECKING:  # what hears witnesses needs Linux, and a result only bears what they said
    from lab.explain.agreement.witnesses import Witnesses


class Status(Enum):
    """What became of an expectation."""

    HELD = "held"
    FAILED = "failed"
    UNDECIDED = "undecided"
    """It could not be found out; never counted as held."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing an expectation was checked on: a probe from one sender to one target, a route of one node, ..."""

    subject: str
    status: Status
    detail: str
    """What was seen, and where it differs from what was expected."""
    outcome: Outcome | None = None
    flow: str = ""
    """Of a probe, what it has in common with others: `ping: pods of cluster-1 -> pods of cluster-2`."""

    @staticmethod
    def of(subject: str, held: bool, seen: str, expected: str) -> Finding:
        """Say what was seen, and, where it does not hold, what was expected."""
        return Finding(subject, Status.HELD if held else Status.FAILED, seen if held else f"{seen}; {expected}".rstrip("; "))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one entry of `expect`."""

    phase: str
    title: str
    kind: str
    expected: str
    """The entry in words."""
    place: Place
    because: str | None
    findings: tuple[Finding, ...]
    explanation: Explanation | None = None
    """Why the first of its probes that was not answered ended as it did; once for all verdicts of a phase whose probes ended alike."""
    journey: Journey | None = None
    """The way of the probe that is explained, else of the first one."""

    @property
    def explained(self) -> tuple[str, ...]:
        """The explanation as lines; one that begins with spaces is a detail of the line above, for those who want to know all."""
        return () if self.explanation is None else self.explanation.lines()

    @property
    def status(self) -> Status:
        """Failed when any finding failed, undecided when any is undecided, else held."""
        found = {finding.status for finding in self.findings}
        return Status.FAILED if Status.FAILED in found else Status.UNDECIDED if Status.UNDECIDED in found else Status.HELD


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """What happened in one phase."""

    name: str
    title: str
    verdicts: tuple[Verdict, ...]
    duration_ns: int
    probes: int = 0
    """How many probes were sent, those of the comparison included."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A kind of loss that a stage knows, told by one probe that met it."""

    source: str
    target: str
    """As the scenario names it: a namespace, ``service/NAME``, or an address."""
    place: Place
    """The expectation that asked."""
    because: str | None
    witnesses: Witnesses
    """What the model, the kernel's lookups and the packet say of that probe."""
    explanation: Explanation | None
    probes: int
    """How many probes of the stage ended the same way."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """A phase, or a further step of one, as it was when it was judged."""

    phase: str
    title: str
    state: State
    """What the kernel held, with the control plane beside it."""
    lost: tuple[Lost, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One flow that behaves differently in two phases that should be the same."""

    flow: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class SameResult:
    """Whether two phases behave the same for every pod pair and service."""

    first: str
    second: str
    flows: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class CommandsResult:
    """The commands that lead from one phase's state to another's, node by node."""

    first: str
    second: str
    commands: tuple[tuple[str, str], ...]
    """Namespace and command."""
    diffs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """For each namespace that differs, what makes it before and after, as the lines of a unified diff; kept on demand."""


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What a whole run found."""

    scenario: str
    title: str
    file: str
    links: tuple[str, ...]
    phases: tuple[PhaseResult, ...]
    same: SameResult | None
    commands: CommandsResult | None
    duration_ns: int
    rootless: bool
    sees_drops: bool
    fixed_phases: tuple[str, ...] = field(default=())
    """Phases that the scenario compares with the healthy one: what fails there is a fix that fails."""
    description: str = ""
    stages: tuple[StageResult, ...] = ()
    """What pictures and stories are made of; kept on demand."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every verdict of every phase."""
        return tuple(verdict for phase in self.phases for verdict in phase.verdicts)

    @property
    def exit_code(self) -> ExitCode:
        """0 when all holds, 1 when anything fails, 4 when something stayed undecided."""
        statuses = {verdict.status for verdict in self.verdicts}
        if Status.FAILED in statuses or (self.same is not None and self.same.differences):
            return ExitCode.EXPECTATION
        return ExitCode.INCONCLUSIVE if Status.UNDECIDED in statuses else ExitCode.OK

    @property
    def conclusion(self) -> str:
        """One sentence: what the run as a whole shows."""
        failed = {verdict.phase for verdict in self.verdicts if verdict.status is Status.FAILED}
        if not failed and self.same is not None and self.same.differences:
            return f"{self.same.second} does not behave as {self.same.first} does"
        if not self.verdicts and self.same is None:
            return "nothing was expected"
        if not failed:
            return "all expectations hold" if self.exit_code is ExitCode.OK else "something could not be found out"
        first = next(phase.name for phase in self.phases if phase.name in failed)
        if first in self.fixed_phases:
            return f"the fix failed: {first} is not as expected"
        if self.same is not None and first == self.same.first:
            return f"something else is broken: {first}, before anything was changed, is not as expected"
        return f"the symptom was not reproduced: {first} is not as expected"


def names_of(results: Sequence[ScenarioResult]) -> list[str]:
    """Return what tells runs apart: the name of each scenario, with its file where others have the same name."""
    counts = Counter(result.scenario for result in results)
    return [result.scenario if counts[result.scenario] == 1 else f"{result.scenario} ({result.file})" for result in results]
