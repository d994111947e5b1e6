"""What a person wants to follow through a run: one flow that was lost, and how the same flow fares in every stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lab.errors import InputError
from lab.explain.prediction import flow_of
from lab.forwarding import Conversation, Flow, Network, trace
from lab.probe import Outcome, Request
from lab.scenario.lookup import find_address
from lab.scenario.result import Lost, ScenarioResult, StageResult


@dataclass(frozen=True, slots=True)
class Scene:
    """How a story's flow fares in one stage."""

    stage: StageResult
    conversation: Conversation | None
    """In the model; None where its sender or its target is not there."""
    outcome: Outcome | None = None
    """On the kernel; None where nobody tried."""
    lost: Lost | None = None
    """The kind of loss it stands for here, with what all witnesses say of it."""


@dataclass(frozen=True, slots=True)
class Story:
    """One flow through all stages of a run."""

    source: str
    target: str
    """As the scenario names it: a namespace, ``service/NAME``, or an address."""
    kind: str
    """``ping``, ``tcp/80``, ``udp/53 over IPv6``."""
    scenes: tuple[Scene, ...]
    """Of the first story of a run one for each stage; of the others the run's first stage, and those where the flow was lost."""

    @property
    def name(self) -> str:
        """Who sends what to whom."""
        return f"{self.kind} {self.source} -> {self.target}"

    @property
    def losses(self) -> tuple[Lost, ...]:
        """The kinds of loss it stands for; none of a flow that nothing befell."""
        return tuple(scene.lost for scene in self.scenes if scene.lost is not None)


def stories(result: ScenarioResult) -> tuple[Story, ...]:
    """Return the flows that stand for the kinds of loss in a run, in the order in which they were met; stages must have been kept.

    A run without any loss has the story of the flow that it tried most; one that sent nothing that the model knows has none.
    """
    tried = _tried(result)
    heroes = list({hero.name: hero for hero in _lost(result)}.values()) or list(_tried_most(result, tried))[:1]
    networks = [Network(stage.state) for stage in result.stages] if heroes else []
    stages = list(zip(result.stages, networks, tried, strict=True))
    return tuple(
        Story(
            *hero.name, tuple(_scene(hero, *there) for there in stages if hero is heroes[0] or there is stages[0] or hero.lost_in(there[0]))
        )
        for hero in heroes
    )


@dataclass(frozen=True, slots=True)
class _Hero:
    """The flow of a story, as it was where it was lost."""

    source: str
    target: str
    flow: Flow
    backend: str | None = None
    """Who got it there: of a service, one of several."""

    @property
    def name(self) -> tuple[str, str, str]:
        """What tells one story from another."""
        kind = "ping" if self.flow.protocol == "icmp" else f"{self.flow.protocol}/{self.flow.destination_port}"
        return self.source, self.target, kind if self.flow.destination.version == 4 else f"{kind} over IPv6"

    def lost_in(self, stage: StageResult) -> Lost | None:
        """Return the kind of loss it stands for in a stage."""
        return next((lost for lost in stage.lost if _hero(lost).name == self.name), None)


def _hero(lost: Lost) -> _Hero:
    conversation = lost.witnesses.conversation
    return _Hero(lost.source, lost.target, conversation.flow, conversation.seen.namespace if conversation.seen is not None else None)


def _lost(result: ScenarioResult) -> Iterator[_Hero]:
    return (_hero(lost) for stage in result.stages for lost in stage.lost)


def _scene(hero: _Hero, stage: StageResult, network: Network, tried: dict[Request, Outcome]) -> Scene:
    lost = hero.lost_in(stage)
    if lost is not None:
        return Scene(stage, lost.witnesses.conversation, lost.witnesses.outcome, lost)
    try:
        flow = replace(hero.flow, destination=find_address(stage.state, hero.target, hero.flow.destination.version))
        conversation = trace(network, flow)
    except InputError:  # somebody is not there
        return Scene(stage, None)
    # Of the backends that a service may pick, the one it picked where the flow was lost: so the ways can be compared.
    like = (world for world in conversation.worlds if world.seen is not None and world.seen.namespace == hero.backend)
    outcome = next((outcome for request, outcome in tried.items() if flow_of(request) == flow), None)
    return Scene(stage, next(like, conversation), outcome)


def _tried(result: ScenarioResult) -> tuple[dict[Request, Outcome], ...]:
    """Return what came of every probe, by stage."""
    found: dict[tuple[str, str], dict[Request, Outcome]] = {}
    for verdict in result.verdicts:
        for finding in verdict.findings:
            if finding.outcome is not None:
                found.setdefault((verdict.phase, verdict.title), {}).setdefault(finding.outcome.request, finding.outcome)
    return tuple(found.get((stage.phase, stage.title), {}) for stage in result.stages)


def _tried_most(result: ScenarioResult, tried: tuple[dict[Request, Outcome], ...]) -> Iterator[_Hero]:
    for request, _ in Counter(request for requests in tried for request in requests).most_common():
        flow = flow_of(request)
        if flow is not None:
            owner = result.stages[0].state.owner(flow.destination)
            yield _Hero(request.source, owner.name if owner else str(flow.destination), flow)
