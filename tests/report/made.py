"""Reports without a kernel: a run of the flagship as the model sees it, and reports that hold nothing but hostile text."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from lab.explain.agreement.witnesses import Witnesses
from lab.explain.cause import explain
from lab.explain.prediction import flow_of
from lab.forwarding import Network, trace
from lab.probe import Outcome
from lab.report.collect import report_of
from lab.report.model import Report
from lab.report.page import report_html
from lab.report.pictures import Pictures, pictures_of
from lab.report.sources import Sources
from lab.scenario.compare import compare_commands
from lab.scenario.phases import find_stage
from lab.scenario.result import Finding, Lost, PhaseResult, SameResult, ScenarioResult, StageResult, Status, Verdict
from lab.scenario.story import Story, stories
from lab.scenario.words import in_words
from lab.spec import open_scenario
from tests.scenario.outcomes import cast, ping, unreachable

PHASES = ("healthy", "broken", "fixed")
OUTCOMES = {"healthy": ping(ttl=60), "broken": ping("unreachable", **unreachable()), "fixed": ping(ttl=60)}


@cache
def told() -> tuple[ScenarioResult, tuple[Story, ...]]:
    """A run of three phases of the flagship in which one ping was sent, and its story."""
    scenario, _ = open_scenario("calico-24-mismatch")
    phases, stages = [], []
    for name in PHASES:
        stage = find_stage(scenario.model, name)
        entry = next(item for item in stage.source.expect if item.ping is not None)
        place = scenario.place("phases", name, "expect", stage.source.expect.index(entry))
        outcome, state = OUTCOMES[name], cast(name).state
        finding = Finding("c1-w1-a -> c2-w1-a", Status.HELD, "", outcome, "ping: pods of cluster-1 -> pods of cluster-2")
        verdict = Verdict(name, stage.title, "ping", in_words(entry.body), place, entry.because, (finding,))
        phases.append(PhaseResult(name, stage.title, (verdict,), 1_000_000, 1))
        stages.append(StageResult(name, stage.title, state, (_lost(outcome, name, verdict),) if name == "broken" else ()))
    states = {stage.phase: stage.state for stage in stages}
    result = ScenarioResult(
        scenario.model.scenario,
        scenario.model.title,
        scenario.document.file,
        scenario.model.links,
        tuple(phases),
        SameResult("healthy", "fixed", 156, ()),
        compare_commands(("broken", states["broken"]), ("fixed", states["fixed"]), with_diffs=True),
        3_000_000,
        rootless=True,
        sees_drops=False,
        description=scenario.model.description,
        stages=tuple(stages),
    )
    return result, stories(result)


def _lost(outcome: Outcome, phase: str, verdict: Verdict) -> Lost:
    flow, network = flow_of(outcome.request), Network(cast(phase).state)
    assert flow is not None
    witnesses = Witnesses(trace(network, flow), outcome, (), ())
    return Lost("c1-w1-a", "c2-w1-a", verdict.place, verdict.because, witnesses, explain(network, outcome), 1)


@cache
def report() -> tuple[Report, Pictures]:
    """The report of that run."""
    result, found = told()
    made = report_of(result, found, open_scenario("calico-24-mismatch")[0], Sources.of(*open_scenario("calico-24-mismatch")), _WHEN)
    return made, pictures_of(made, found)


_WHEN = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def page(**changes: Any) -> str:
    """The page of that report, some of its parts replaced."""
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
