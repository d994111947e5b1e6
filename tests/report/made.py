"""Reports without a kernel: a run of the flagship as the model sees it, and reports that hold nothing but hostile text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from lab.explain.agreement.witnesses import Witnesses
from lab.explain.cause import explain
from lab.explain.prediction import flow_of
from lab.forwarding import Network, trace
from lab.probe import IcmpError, Outcome, PingRequest
from lab.report.collect import report_of
from lab.report.model import Report
from lab.report.page import report_html
from lab.report.pictures import Pictures, pictures_of
from lab.report.sources import Sources
from lab.scenario.cast import Cast
from lab.scenario.compare import compare_commands
from lab.scenario.phases import compile_stage, find_stage
from lab.scenario.result import Finding, Lost, PhaseResult, SameResult, ScenarioResult, StageResult, Status, Verdict
from lab.scenario.story import Story, stories
from lab.scenario.words import in_words
from lab.spec import open_scenario
from lab.state import State
from tests.scenario.outcomes import ping, unreachable

OUTCOMES = {"healthy": ping(ttl=60), "broken": ping("unreachable", **unreachable()), "fixed": ping(ttl=60)}


Run = tuple[ScenarioResult, tuple[Story, ...]]


@cache
def told() -> Run:
    """A run of three phases of the flagship in which one ping was sent, and its story."""
    return _run("calico-24-mismatch", OUTCOMES, ("healthy", "fixed"), ("broken", "fixed"))


@cache
def looping() -> tuple[Report, Pictures]:
    """The report of a run in which a ping goes round until its time to live runs out, as the model has it."""
    request = PingRequest("a", ip_address("192.0.2.130"))
    error = IcmpError(11, 0, ip_address("192.0.2.1"))
    outcomes = {"healthy": Outcome(request, "reply", 1, ttl=62), "looping": Outcome(request, "unreachable", 1, icmp=error)}
    return _report(_run(LOOP, outcomes, ("healthy", "looping"), ("healthy", "looping")), LOOP)


LOOP = str(Path(__file__).with_name("round-and-round.yaml"))


def _run(name: str, outcomes: Mapping[str, Outcome], same: tuple[str, str], commands: tuple[str, str]) -> Run:
    """A run of a scenario in which one ping of each phase came to this; where it was lost, the model says why."""
    scenario, topology = open_scenario(name)
    phases, stages = [], []
    for phase, outcome in outcomes.items():
        stage = find_stage(scenario.model, phase)
        entry = next(item for item in stage.source.expect if item.ping is not None)
        place = scenario.place("phases", phase, "expect", stage.source.expect.index(entry))
        cast = Cast.of(compile_stage(topology, scenario, stage), topology.model)
        source, target = outcome.request.source, cast.state.owner(outcome.request.target)  # type: ignore[union-attr]
        assert target is not None
        flow = f"ping: {cast.kind_of(source)} -> {cast.kind_of(target.name)}"
        finding = Finding(f"{source} -> {target.name}", Status.HELD, "", outcome, flow)
        verdict = Verdict(phase, stage.title, "ping", in_words(entry.body), place, entry.because, (finding,))
        phases.append(PhaseResult(phase, stage.title, (verdict,), 1_000_000, 1))
        lost = () if outcome.result == "reply" else (_lost(outcome, cast.state, source, target.name, verdict),)
        stages.append(StageResult(phase, stage.title, cast.state, lost))
    states = {stage.phase: stage.state for stage in stages}
    result = ScenarioResult(
        scenario.model.scenario,
        scenario.model.title,
        scenario.document.file,
        scenario.model.links,
        tuple(phases),
        SameResult(*same, 156, ()),
        compare_commands(*((phase, states[phase]) for phase in commands), with_diffs=True),
        3_000_000,
        rootless=True,
        sees_drops=False,
        description=scenario.model.description,
        stages=tuple(stages),
    )
    return result, stories(result)


def _lost(outcome: Outcome, state: State, source: str, target: str, verdict: Verdict) -> Lost:
    flow, network = flow_of(outcome.request), Network(state)
    assert flow is not None
    witnesses = Witnesses(trace(network, flow), outcome, (), ())
    return Lost(source, target, verdict.place, verdict.because, witnesses, explain(network, outcome), 1)


@cache
def report() -> tuple[Report, Pictures]:
    """The report of the flagship's run."""
    return _report(told(), "calico-24-mismatch")


def _report(run: Run, name: str) -> tuple[Report, Pictures]:
    result, found = run
    made = report_of(result, found, open_scenario(name)[0], Sources.of(*open_scenario(name)), _WHEN)
    return made, pictures_of(made, found)


_WHEN = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def page(**changes: Any) -> str:
    """The page of the flagship's report, some of its parts replaced."""
    made, pictures = report()
    return report_html(made.model_copy(update=changes), pictures, [("lab run FILE", "again")])


def full_of(text: str) -> Report:
    """A report in which every text that may be anything is this one, and every list has one entry."""
    filled: Report = _value(Report, text)
    return filled


def _value(annotation: Any, text: str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _value(next(option for option in arguments if option is not type(None)), text)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return (_value(arguments[0], text),)
    if hasattr(annotation, "__metadata__"):
        return _value(arguments[0], text)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation(**{name: _value(field.annotation, text) for name, field in annotation.model_fields.items()})
    return {str: text, int: 1, float: 1.0, bool: False}[annotation]


def written(folder: Path, **changes: Any) -> Path:
    """That page in a file."""
    path = folder / "report.html"
    path.write_text(page(**changes), encoding="utf-8")
    return path
