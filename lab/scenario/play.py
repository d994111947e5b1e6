"""Play a scenario: bring the lab from phase to phase, probe, judge, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lab.explain.cause import ANOTHER_END, explain
from lab.explain.evidence import Testimony
from lab.explain.explanation import Explanation
from lab.explain.journey import Journey, journey_of
from lab.forwarding import Network
from lab.kernel.sandbox import Sandbox, run_in_sandbox
from lab.probe import Outcome
from lab.scenario.asking import Findings, find_out
from lab.scenario.cast import Cast
from lab.scenario.check import check_states
from lab.scenario.compare import compare_behaviour, compare_commands
from lab.scenario.inquiry import settled
from lab.scenario.losses import Asked, losses
from lab.scenario.phases import Stage, live
from lab.scenario.questions import Memory
from lab.scenario.record import Recorder, Write
from lab.scenario.result import Finding, Lost, PhaseResult, ScenarioResult, StageResult, Status, Verdict
from lab.scenario.stage import EngineName, RunningLab
from lab.scenario.survey import Survey
from lab.scenario.witness import foresight, heard_about
from lab.scenario.words import in_words
from lab.spec import Loaded, Scenario, Topology, topology_of
from lab.spec.expectations import Expectation
from lab.state import State

_SERVER_ERROR: Final = 500
"""The first HTTP status by which a server, or a proxy, says that it failed (RFC 9110, 15.6)."""
_BY_CHANCE: Final = "the next one may end otherwise, it depends on {}: of one probe nothing follows, `series` sends many"
_OTHERS_TAUGHT: Final = "sent by itself it ends as the model predicts: those that are sent together teach the kernel things for each other"


@dataclass(frozen=True, slots=True)
class Progress:
    """What is going on: a phase that begins, a verdict, a phase that is over."""

    phase: str
    title: str
    message: str
    verdict: Verdict | None = None


Listen = Callable[[Progress], None]
End = tuple[str, str, str, str]
"""How and where a probe ended: phase, result, kind of probe, interface."""


def run_scenario(
    scenario: Loaded[Scenario],
    topology: Loaded[Topology],
    *,
    listen: Listen = lambda _: None,
    bpf: bool | None = None,
    keep_stages: bool = False,
    engine: EngineName = "lab",
    record: Write | None = None,
) -> ScenarioResult:
    """Play a scenario in a sandbox of its own and return what was found.

    `listen` is called with progress as it comes; `bpf` demands or forbids BPF as the witness of packets; `keep_stages` brings along the
    state of every stage and what all witnesses say of every kind of loss, of which pictures are made; `engine` says who makes nodes and
    cables; `record` is given every packet, as pieces of a pcapng file. Raises MachineError when this machine cannot run it, InputError when
    a change cannot be made.
    """

    def work(sandbox: Sandbox, report: Callable[[object], None]) -> ScenarioResult:
        with RunningLab(sandbox, bpf=bpf, engine=engine) as lab:
            lab.recorder = Recorder(report) if record is not None else None
            return Play(lab, scenario, topology, report, keep_stages=keep_stages).run()

    def hear(message: object) -> None:
        if isinstance(message, Progress):
            listen(message)
        elif isinstance(message, bytes) and record is not None:
            record(message)

    return run_in_sandbox(work, on_report=hear)


@dataclass(slots=True)
class _Judged:
    """What one stage gave."""

    verdicts: list[Verdict]
    probes: int
    state: State
    """What the kernel held when the stage was judged, with the control plane beside it."""
    lost: tuple[Lost, ...]


@dataclass(slots=True)
class Play:
    """One run of a scenario in a running lab."""

    lab: RunningLab
    scenario: Loaded[Scenario]
    topology: Loaded[Topology]
    report: Callable[[object], None]
    keep_stages: bool = False
    _memory: Memory = field(default_factory=Memory)
    _behaviour: dict[str, dict[str, str]] = field(default_factory=dict)
    _computed: dict[str, State] = field(default_factory=dict)
    _ends: set[End] = field(default_factory=set)
    """Where probes ended that were explained already, by phase."""
    _witnessed: set[End] = field(default_factory=set)
    """Where probes ended about which all witnesses were heard."""

    _testimony: Testimony = field(default_factory=Testimony)
    """What the kernel had to say about the stage that is judged."""

    def run(self) -> ScenarioResult:
        """Go through every phase, then compare. Raises InputErrors, before anything is built, for what is named and is nowhere."""
        started = time.monotonic_ns()
        model = self.scenario.model
        results: dict[str, PhaseResult] = {}
        stages: list[StageResult] = []
        compared = set(model.compare.same or ())
        for stage, state in check_states(self.scenario, self.topology):
            began = time.monotonic_ns()
            self.report(Progress(stage.phase, stage.title, "begins"))
            judged = self._stage(stage, state)
            if stage.path == ("phases", stage.phase):
                self._computed[stage.phase] = state
            if stage.path == ("phases", stage.phase) and stage.phase in compared:
                judged.probes += self._survey(stage.phase, judged.state)
            self.lab.record(stage.phase)
            if self.keep_stages:
                stages.append(StageResult(stage.phase, stage.title, judged.state, judged.lost))
            results[stage.phase] = _joined(results.get(stage.phase), stage, judged, time.monotonic_ns() - began)
        same, commands = model.compare.same, model.compare.commands
        return ScenarioResult(
            scenario=model.scenario,
            title=model.title,
            file=self.scenario.document.file,
            links=model.links,
            phases=tuple(results.values()),
            same=compare_behaviour(*((name, self._behaviour[name]) for name in same)) if same else None,
            commands=compare_commands(*((name, self._computed[name]) for name in commands), with_diffs=self.keep_stages)
            if commands
            else None,
            duration_ns=time.monotonic_ns() - started,
            rootless=self.lab.sandbox.rootless,
            sees_drops=self.lab.sees_drops,
            fixed_phases=same[1:] if same else (),
            description=model.description,
            stages=tuple(stages),
        )

    def _stage(self, stage: Stage, state: State) -> _Judged:
        self.lab.reach(state, live(self.topology, self.scenario, stage), keep_connections=stage.keep_connections)
        topology = topology_of(self.topology, self.scenario, stage.phase).model
        expectations = list(enumerate(stage.source.expect))
        placed = [(item.body, self.scenario.place(*stage.path, "expect", index)) for index, item in expectations]
        found = find_out(self.lab, placed, Cast.of(state, topology), self._memory)
        network = Network(settled(found.held))
        self._testimony = Testimony(
            ask=self.lab.engine.route_get,
            moved=found.moved,
            neighbours={namespace.name: namespace.neighbours for namespace in found.held},
        )
        verdicts = []
        for index, item in expectations:
            verdict = self._verdict(stage, index, item, list(found.of[index]), network)
            verdicts.append(verdict)
            self.report(Progress(stage.phase, stage.title, "judged", verdict))
        lost = tuple(losses(self.lab, network, self._asked(stage, found))) if self.keep_stages else ()
        return _Judged(verdicts, found.probes, found.held, lost)

    def _asked(self, stage: Stage, found: Findings) -> Iterator[Asked]:
        """Yield every probe of a stage with what came of it and the expectation that asked."""
        for index, (questions, findings) in enumerate(zip(found.asked, found.of, strict=True)):
            place, because = self.scenario.place(*stage.path, "expect", index), stage.source.expect[index].because
            for question, finding in zip(questions, findings, strict=False):
                if finding.outcome is not None:
                    yield Asked(question, finding.outcome, place, because)

    def _survey(self, phase: str, state: State) -> int:
        """Try every flow of the network, to be compared with another phase; returns how many probes that took."""
        survey = Survey(Cast.of(state, topology_of(self.topology, self.scenario, phase).model), self.lab.probe)
        self._behaviour[phase] = survey.behaviour(next(iter(self._behaviour.values()), None))
        return survey.probes

    def _explained(self, stage: Stage, findings: tuple[Finding, ...], network: Network) -> Explanation | None:
        """Explain the first probe that was not answered, unless one that ended in the same place was explained in this phase."""
        outcome = _lost(findings)
        if outcome is None:
            return None
        end = _end_of(stage, outcome)
        if end in self._ends:
            return None
        self._ends.add(end)
        return explain(network, outcome, self._testimony)

    def _contradicted(self, stage: Stage, findings: Iterable[Finding], network: Network) -> Iterator[Finding]:
        """Hear the model, the kernel's lookup and the packet about every probe that failed or surprised, and yield where they disagree.

        A surprise is what was not expected, and what the model does not predict. Of other probes that were lost, and ended in the same
        place, one is enough; of those that were answered as expected, the model is asked about the first of each expectation.
        """
        answered = False
        for finding in findings:
            outcome = finding.outcome
            if outcome is None:
                continue
            end = _end_of(stage, outcome)
            if finding.status is Status.HELD:
                replied = outcome.result == "reply"
                if replied and answered:
                    continue
                answered |= replied
                foreseen = foresight(network, outcome)
                if foreseen.lots:
                    yield Finding(finding.subject, Status.UNDECIDED, _BY_CHANCE.format(" and ".join(foreseen.lots)))
                if (replied or end in self._witnessed) and not foreseen.surprised:
                    continue
            self._witnessed.add(end)
            witnesses = heard_about(self.lab, network, outcome)
            for sentence in witnesses.disagreements if witnesses is not None else ():
                yield Finding(finding.subject, Status.FAILED, f"the witnesses disagree: {sentence}")

    def _verdict(self, stage: Stage, index: int, item: Expectation, findings: list[Finding], network: Network) -> Verdict:
        place = self.scenario.place(*stage.path, "expect", index)
        if not findings:
            findings = [Finding("nobody", Status.UNDECIDED, "none of those it is about is there in this phase")]
        contradictions = tuple(self._contradicted(stage, findings, network))
        judged = (*findings, *contradictions)
        why = self._explained(stage, judged, network)
        if why is not None and not contradictions:
            doubts = (_OTHERS_TAUGHT if doubt.startswith(ANOTHER_END) else doubt for doubt in why.doubts)
            why = replace(why, doubts=tuple(doubts))
        return Verdict(
            stage.phase,
            stage.title,
            item.kind,
            in_words(item.body),
            place,
            item.because,
            tuple(map(_lightened, judged)),
            why,
            _journey(judged),
        )


def _lost(findings: Sequence[Finding]) -> Outcome | None:
    """Return the first probe that was not answered, or whose answer is that there is no such name, or a server's failure."""
    outcomes = (finding.outcome for finding in findings if finding.outcome is not None)
    return next((o for o in outcomes if o.result != "reply" or o.rcode == "NXDOMAIN" or (o.status or 0) >= _SERVER_ERROR), None)


def _journey(findings: Sequence[Finding]) -> Journey | None:
    """Return the way of the first probe that was not answered, or of the first one."""
    asked = [finding.outcome for finding in findings if finding.outcome is not None]
    return journey_of(_lost(findings) or asked[0]) if asked else None


def _end_of(stage: Stage, outcome: Outcome) -> End:
    return stage.title, outcome.result, type(outcome.request).__name__, outcome.loss.interface if outcome.loss else ""


def _lightened(finding: Finding) -> Finding:
    """Let go of the packets of a probe that went as expected: nobody asks to see them, and they are most of what a run has to tell."""
    if finding.status is not Status.HELD or finding.outcome is None:
        return finding
    return replace(finding, outcome=finding.outcome.without_sightings())


def _joined(before: PhaseResult | None, stage: Stage, judged: _Judged, duration_ns: int) -> PhaseResult:
    """Add what a stage gave to what its phase has so far."""
    if before is None:
        return PhaseResult(stage.phase, stage.title, tuple(judged.verdicts), duration_ns, judged.probes)
    verdicts = (*before.verdicts, *judged.verdicts)
    return PhaseResult(before.name, before.title, verdicts, before.duration_ns + duration_ns, before.probes + judged.probes)
