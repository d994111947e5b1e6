"""What validation found: plain data that reports render and scripts read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lab.errors import ExitCode, Place
from lab.state.objects import Network
from lab.validate.change import Step


class Status(Enum):
    """What became of a check."""

    HELD = "held"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Finding:
    """Some senders to whom the same happens with the same addresses."""

    sources: tuple[str, ...]
    kind: str
    """The kind of packet: icmp, tcp/80."""
    addresses: tuple[Network, ...]
    """Of one version of IP."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Check:
    """An intent, or a default intent, and what became of it."""

    name: str
    title: str
    status: Status
    findings: tuple[Finding, ...] = ()
    place: Place | None = None
    because: str | None = None
    note: str = ""
    """What is no failure and worth knowing: what was so before the change already."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step of the change breaks for as long as the next ones are not made."""

    step: Step
    interrupted: tuple[Finding, ...] = ()
    """What works before the change and after it, and not now."""
    opened: tuple[Finding, ...] = ()
    """What is closed before the change and after it, and open now."""
    loops: tuple[Finding, ...] = ()
    """What circulates now and did not before."""

    @property
    def hurts(self) -> bool:
        """Whether anything is broken that is whole before and after."""
        return bool(self.interrupted or self.opened or self.loops)


@dataclass(frozen=True, slots=True)
class Order:
    """Another order of the steps, and what it breaks on the way."""

    steps: tuple[int, ...]
    """The numbers of the steps, from 0, in the order in which they are best made."""
    broken: int
    """How many questions have a worse answer on the way, summed over the steps."""
    given_broken: int
    """The same for the order that was given."""
    tried: int
    """In how many intermediate states questions were asked."""
    complete: bool
    """Whether no better order exists; else the best that was found."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What one thing that fails costs, before the change and after it."""

    what: str
    newly_cut: tuple[Finding, ...]
    """What the change takes the reserve from: it survived this failure, and does not any more."""
    cut: int
    """How many of the questions that are answered after the change are not, when this fails."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The commands that lead back, and whether they were seen to."""

    commands: tuple[tuple[str, str], ...]
    """Node and command."""
    proved: bool
    """Whether carrying them out gave the state before the change."""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Emulated:
    """What real packets said."""

    probes: int
    differences: tuple[str, ...]
    """Where the kernel, or a packet, differed from what was predicted."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Validation:
    """All that was found about a change."""

    file: str
    change: str
    steps: tuple[StepResult, ...]
    checks: tuple[Check, ...]
    questions: int
    changed: tuple[Finding, ...]
    """Everything that fares differently after the change, intended or not."""
    undo: Undo
    stepped: bool = False
    order: Order | None = None
    failures: tuple[Failure, ...] | None = None
    emulated: Emulated | None = None
    seconds: float = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """0 when all holds, 1 when anything does not, 4 when something could not be found out."""
        statuses = {check.status for check in self.checks}
        failed = Status.FAILED in statuses or (self.stepped and any(step.hurts for step in self.steps))
        if failed or any(failure.newly_cut for failure in self.failures or ()) or (self.emulated and self.emulated.differences):
            return ExitCode.EXPECTATION
        return ExitCode.INCONCLUSIVE if Status.UNDECIDED in statuses else ExitCode.OK

    @property
    def conclusion(self) -> str:
        """One sentence: whether the change may be made."""
        failed = [check.title for check in self.checks if check.status is Status.FAILED]
        if failed:
            return f"do not make this change: {failed[0]}" + (f", and {len(failed) - 1} more" if len(failed) > 1 else "")
        if self.emulated is not None and self.emulated.differences:
            return "real packets contradict the prediction"
        if any(failure.newly_cut for failure in self.failures or ()):
            return "the change takes a reserve away: something now depends on a single part"
        if self.stepped and any(step.hurts for step in self.steps):
            better = self.order is not None and self.order.broken < self.order.given_broken
            return "the end is as intended, but the way there breaks something" + ("; another order breaks less" if better else "")
        undecided = [check.title for check in self.checks if check.status is Status.UNDECIDED]
        return f"it could not be found out whether {undecided[0]}" if undecided else "the change does what is intended, and nothing else"


def worst(statuses: Sequence[Status]) -> Status:
    """Return the worst of some: failed, undecided, held."""
    return Status.FAILED if Status.FAILED in statuses else Status.UNDECIDED if Status.UNDECIDED in statuses else Status.HELD
