"""From a run to its report: what happened, in the words and the order in which it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import yaml

from lab.report import model
from lab.report.behaviour import behaviour_of
from lab.report.explaining import explanation_of
from lab.report.journey import packets
from lab.report.machine import machine_of
from lab.report.saying import observed, typed
from lab.report.sources import Sources
from lab.scenario.phases import Stage, stages
from lab.scenario.result import CommandsResult, Lost, PhaseResult, ScenarioResult, Status, Verdict
from lab.scenario.story import Scene, Story
from lab.spec import Loaded, Scenario
from lab.spec.document import Document, Path


def report_of(
    result: ScenarioResult, told: Sequence[Story], scenario: Loaded[Scenario], sources: Sources, started: datetime
) -> model.Report:
    """Return the report of a run whose stages were kept. `told` are its stories, `started` is when it began."""
    counts = {status: sum(verdict.status is status for verdict in result.verdicts) for status in Status}
    return model.Report(
        scenario=result.scenario,
        title=result.title,
        description=result.description.strip(),
        links=result.links,
        started=started.isoformat(timespec="seconds"),
        duration_ms=_milliseconds(result.duration_ns),
        verdict=model.Verdict(
            exit_code=int(result.exit_code),
            conclusion=result.conclusion,
            held=counts[Status.HELD],
            failed=counts[Status.FAILED],
            undecided=counts[Status.UNDECIDED],
            probes=sum(phase.probes for phase in result.phases),
        ),
        machine=machine_of(result),
        files=sources.listed(),
        phases=tuple(_phase(phase, scenario, sources) for phase in result.phases),
        behaviour=_behaviour(result),
        same=_same(result),
        correction=None if result.commands is None else _correction(result.commands, scenario),
        stories=tuple(_story(number, story, sources) for number, story in enumerate(told, 1)),
    )


def _milliseconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)


# -- phases --------------------------------------------------------------------------------------------------------


def _phase(phase: PhaseResult, scenario: Loaded[Scenario], sources: Sources) -> model.Phase:
    steps = [stage for stage in stages(scenario.model) if stage.phase == phase.name]
    return model.Phase(
        name=phase.name,
        title=phase.title,
        duration_ms=_milliseconds(phase.duration_ns),
        probes=phase.probes,
        steps=tuple(_step(step, phase, scenario.document, sources) for step in steps),
    )


def _step(stage: Stage, phase: PhaseResult, document: Document, sources: Sources) -> model.Step:
    verdicts = [
        verdict for verdict in phase.verdicts if document.place(*stage.path).line <= verdict.place.line and _belongs(verdict, stage)
    ]
    return model.Step(
        title=stage.title,
        done=tuple(_done(document, stage.path)),
        expectations=tuple(_expectation(verdict, sources) for verdict in verdicts),
    )


def _belongs(verdict: Verdict, stage: Stage) -> bool:
    return (verdict.phase, verdict.title) == (stage.phase, stage.title)


def _done(document: Document, path: Path) -> Iterator[str]:
    """Yield the events and changes at a place of a scenario, each on one line, as YAML."""
    for key in ("events", "changes"):
        node = document.node(*path, key)
        for item in node.content if node is not None and isinstance(node.content, tuple) else ():
            yield yaml.safe_dump(item.plain(), default_flow_style=None, sort_keys=False, width=10_000, allow_unicode=True).strip()


def _expectation(verdict: Verdict, sources: Sources) -> model.Expectation:
    return model.Expectation(
        kind=verdict.kind,
        expected=verdict.expected,
        because=verdict.because or "",
        status=verdict.status.value,
        source=sources.at(verdict.place),
        found=tuple(
            model.Found(subject=finding.subject, status=finding.status.value, detail=sources.text(finding.detail))
            for finding in verdict.findings
        ),
    )


# -- at a glance ---------------------------------------------------------------------------------------------------


def _behaviour(result: ScenarioResult) -> model.Behaviour | None:
    found = behaviour_of(result)
    if not found.rows:
        return None
    rows = tuple(
        model.Row(
            flow=flow,
            cells=tuple(
                tuple(model.Cell(count=count, text=text, answered=answered) for (text, answered), count in cell.most_common())
                for cell in cells
            ),
        )
        for flow, cells in found.rows
    )
    return model.Behaviour(stages=found.columns, rows=rows)


def _same(result: ScenarioResult) -> model.Same | None:
    same = result.same
    if same is None:
        return None
    return model.Same(
        first=same.first,
        second=same.second,
        flows=same.flows,
        differences=tuple(model.Difference(flow=d.flow, first=d.before, second=d.after) for d in same.differences),
    )


def _correction(commands: CommandsResult, scenario: Loaded[Scenario]) -> model.Correction:
    diffs = dict(commands.diffs)
    names = dict.fromkeys((*(name for name, _ in commands.commands), *diffs))
    return model.Correction(
        first=commands.first,
        second=commands.second,
        done=tuple(_done(scenario.document, ("phases", commands.second))),
        nodes=tuple(
            model.Commands(node=name, commands=tuple(text for owner, text in commands.commands if owner == name), diff=diffs.get(name, ()))
            for name in names
        ),
    )


# -- stories -------------------------------------------------------------------------------------------------------


def _story(number: int, story: Story, sources: Sources) -> model.Story:
    return model.Story(
        id=f"story-{number}",
        name=story.name,
        sender=story.source,
        target=story.target,
        scenes=tuple(_scene(label, scene, sources) for label, scene in zip(_labels(story.scenes), story.scenes, strict=True)),
    )


def _labels(scenes: Sequence[Scene]) -> Iterator[str]:
    """Yield what each stage is called: its phase, and of further steps of a phase that they come then."""
    seen: Counter[str] = Counter()
    for scene in scenes:
        seen[scene.stage.phase] += 1
        later = seen[scene.stage.phase] - 1
        yield scene.stage.phase + (", then" if later else "") + (f" ({later})" if later > 1 else "")


def _scene(label: str, scene: Scene, sources: Sources) -> model.Scene:
    stage, conversation, outcome, lost = scene.stage, scene.conversation, scene.outcome, scene.lost
    witnesses = lost.witnesses if lost is not None else None
    return model.Scene(
        label=label,
        phase=stage.phase,
        title=stage.title,
        answered=outcome.result == "reply" if outcome is not None else conversation.must if conversation is not None else None,
        predicted="" if conversation is None else str(conversation.outcome),
        observed="" if outcome is None else observed(outcome),
        command="" if conversation is None else typed(conversation.flow),
        seen_on=() if outcome is None else outcome.interfaces(),
        lost=None if lost is None else _lost(lost, sources),
        disagreements=witnesses.disagreements if witnesses is not None else (),
        packets=() if conversation is None else tuple(packets(conversation, stage.state, sources, outcome, witnesses)),
    )


def _lost(lost: Lost, sources: Sources) -> model.Lost:
    return model.Lost(
        source=sources.at(lost.place),
        because=lost.because or "",
        probes=lost.probes,
        explanation=None if lost.explanation is None else explanation_of(lost.explanation, sources),
    )
