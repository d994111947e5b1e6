"""The flows a person follows through a run: which they are, and how each fares in every stage."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from lab.errors import Place
from lab.explain.agreement.witnesses import Witnesses
from lab.explain.prediction import flow_of
from lab.forwarding import trace
from lab.probe import Outcome
from lab.scenario.result import Finding, Lost, PhaseResult, ScenarioResult, StageResult, Status, Verdict
from lab.scenario.story import Story, stories
from tests.scenario.outcomes import cast, ping, tcp, unreachable

PLACE = Place("x.yaml", 1)


def lost(outcome: Outcome, phase: str) -> Lost:
    flow = flow_of(outcome.request)
    assert flow is not None
    witnesses = Witnesses(trace(cast(phase).state, flow), outcome, (), ())
    return Lost("c1-w1-a", "c2-w1-a", PLACE, None, witnesses, None, 1)


def tried(phase: str, *outcomes: Outcome) -> PhaseResult:
    findings = tuple(Finding("x", Status.HELD, "", outcome) for outcome in outcomes)
    return PhaseResult(phase, "", (Verdict(phase, "", "ping", "", PLACE, None, findings),), 1)


def run(*losses: Lost, **outcomes: Outcome) -> ScenarioResult:
    """A run of some phases of the flagship, with what one probe met in each; the losses are those of the broken one."""
    phases = tuple(tried(phase, outcome) for phase, outcome in outcomes.items())
    stages = tuple(StageResult(phase, "", cast(phase).state, losses if phase == "broken" else ()) for phase in outcomes)
    return ScenarioResult("s", "", "x.yaml", (), phases, None, None, 1, rootless=False, sees_drops=True, stages=stages)


@cache
def told() -> tuple[Story, ...]:
    broken = ping("unreachable", **unreachable())
    return stories(run(lost(broken, "broken"), healthy=ping(), broken=broken, fixed=ping()))


def test_a_flow_that_was_lost_is_followed_through_every_stage() -> None:
    (story,) = told()
    assert story.name == "ping c1-w1-a -> c2-w1-a"
    assert [scene.stage.phase for scene in story.scenes] == ["healthy", "broken", "fixed"]
    assert [scene.conversation.outcome.kind for scene in story.scenes if scene.conversation] == ["reply", "error", "reply"]


def test_beside_the_model_stands_what_was_seen_there() -> None:
    (story,) = told()
    assert [scene.outcome.result for scene in story.scenes if scene.outcome] == ["reply", "unreachable", "reply"]


def test_only_the_stage_where_it_was_lost_says_so() -> None:
    (story,) = told()
    assert [scene.lost is not None for scene in story.scenes] == [False, True, False]


def test_what_was_lost_twice_is_one_story() -> None:
    broken = ping("unreachable", **unreachable())
    twice = lost(broken, "broken"), replace(lost(broken, "broken"), probes=2)
    assert len(stories(run(*twice, broken=broken))) == 1


def test_another_service_of_the_same_pods_is_another_story() -> None:
    losses = lost(ping("silence"), "broken"), lost(tcp("silence"), "broken")
    assert [story.kind for story in stories(run(*losses, broken=ping("silence")))] == ["ping", "tcp/8080"]


def test_a_run_without_any_loss_follows_what_it_tried_most() -> None:
    (story,) = stories(run(healthy=tcp(), fixed=tcp()))
    assert (story.name, story.losses) == ("tcp/8080 c1-w1-a -> c2-w1-a", ())


def test_a_stage_without_the_target_has_no_conversation() -> None:
    result = run(healthy=ping(), fixed=ping())
    first, second = result.stages
    namespaces = {name: namespace for name, namespace in second.state.namespaces.items() if name != "c2-w1-a"}
    without = replace(second, state=replace(second.state, namespaces=namespaces))
    (story,) = stories(replace(result, stages=(first, without)))
    assert [scene.conversation is None for scene in story.scenes] == [False, True]


def test_a_run_whose_stages_were_not_kept_has_no_stories() -> None:
    assert stories(replace(run(healthy=tcp()), stages=())) == ()
