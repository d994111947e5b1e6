"""From a scenario's phases to network states: the events that lead to each, compiled, and the kernel-level changes on top."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lab.cluster import compile as compile_clusters
from lab.errors import InputError, did_you_mean
from lab.scenario.changes import Live, Ordered, apply_changes, live_changes
from lab.spec import Event, History, Loaded, Names, Scenario, Topology, topology_of
from lab.spec.changes import AnyChange
from lab.spec.document import Path
from lab.spec.scenario import Phase, Step
from lab.state import State


@dataclass(frozen=True, slots=True)
class PlacedChange:
    """A kernel-level change and where it stands in the scenario file."""

    change: AnyChange
    path: Path


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """An event and where it stands in the scenario file."""

    event: Event
    path: Path


@dataclass(frozen=True, slots=True)
class Past:
    """Everything that led to a state: who was absent at the beginning, and what happened and was changed since."""

    absent: tuple[str, ...]
    events: tuple[PlacedEvent, ...] = ()
    changes: tuple[PlacedChange, ...] = ()

    def followed_by(self, stage: Phase | Step, path: Path) -> Past:
        """Return this past with a phase's or step's own events and changes after it."""
        events = (PlacedEvent(item.happening, (*path, "events", index, item.kind)) for index, item in enumerate(stage.events))
        changes = (PlacedChange(item.change, (*path, "changes", index, item.kind)) for index, item in enumerate(stage.changes))
        return Past(self.absent, (*self.events, *events), (*self.changes, *changes))


@dataclass(frozen=True, slots=True)
class Stage:
    """A state to bring about and judge: a phase, or a further step of one."""

    phase: str
    title: str
    path: Path
    """Where it stands in the scenario file."""
    past: Past
    source: Phase | Step
    keep_connections: bool


def stages(scenario: Scenario) -> Iterator[Stage]:
    """Yield what a run goes through, in order: each phase, followed by its steps."""
    reached: dict[str, Past] = {}
    for name, phase in scenario.phases.items():
        path: Path = ("phases", name)
        past = reached[phase.after] if phase.after is not None else Past(phase.absent)
        if phase.undo_changes:
            past = replace(past, changes=())
        past = past.followed_by(phase, path)
        yield Stage(name, phase.title, path, past, phase, phase.keep_connections)
        for index, step in enumerate(phase.then):
            step_path = (*path, "then", index)
            past = past.followed_by(step, step_path)
            yield Stage(name, step.title, step_path, past, step, step.keep_connections)
        reached[name] = past


def find_stage(scenario: Scenario, phase: str | None) -> Stage:
    """Return the stage of a phase by its name, or the first one. Raises InputError when there is none of that name."""
    found = list(stages(scenario))
    if phase is None:
        return found[0]
    for stage in found:
        if stage.phase == phase:
            return stage
    raise InputError(f"the scenario {scenario.scenario!r} has no phase {phase!r}", hint=did_you_mean(phase, list(scenario.phases), "phase"))


def compile_stage(topology: Loaded[Topology], scenario: Loaded[Scenario], stage: Stage) -> State:
    """Compute the state of a stage: what the control planes make of its events, with its kernel-level changes on top.

    Changes that only a running kernel can make (literal commands, nft scripts, stopped processes) are left to `live`.
    """
    return apply_changes(_happened(topology, scenario, stage), ordered_changes(stage, scenario, topology))


def compile_stages(
    topology: Loaded[Topology], scenario: Loaded[Scenario], *, refused: Callable[[InputError], None] | None = None
) -> Iterator[tuple[Stage, State]]:
    """Yield every stage of a scenario with its state. What happened before several of them is computed once.

    Changes that cannot be made are left out where somebody wants to hear of them as `refused`; otherwise they are raised.
    """
    happened: list[tuple[Loaded[Topology], tuple[str, ...], tuple[PlacedEvent, ...], State]] = []
    for stage in stages(scenario.model):
        here, past = topology_of(topology, scenario, stage.phase), stage.past
        state = next((s for t, a, e, s in happened if t.document == here.document and (a, e) == (past.absent, past.events)), None)
        if state is None:
            state = _happened(topology, scenario, stage)
            happened.append((here, past.absent, past.events, state))
        yield stage, apply_changes(state, ordered_changes(stage, scenario, topology), refused)


def live(topology: Loaded[Topology], scenario: Loaded[Scenario], stage: Stage) -> tuple[Live, ...]:
    """Return the changes of a stage that only a running lab can make, in order."""
    return live_changes(ordered_changes(stage, scenario, topology))


def history_of(stage: Stage, scenario: Loaded[Scenario]) -> History:
    """Return what happened to the clusters up to a stage."""
    places = tuple(scenario.place(*placed.path) for placed in stage.past.events)
    return History(stage.past.absent, tuple(placed.event for placed in stage.past.events), places)


def _happened(topology: Loaded[Topology], scenario: Loaded[Scenario], stage: Stage) -> State:
    here = topology_of(topology, scenario, stage.phase)
    try:
        return compile_clusters(here.model, history_of(stage, scenario), place=here.place)
    except InputError as error:
        raise error.at(scenario.place(*stage.path)) from None


def ordered_changes(stage: Stage, scenario: Loaded[Scenario], topology: Loaded[Topology]) -> list[Ordered]:
    """Return the kernel-level changes that lead to a stage, in order, with the namespaces each is made in."""
    names = Names.of(topology_of(topology, scenario, stage.phase).model)
    return [Ordered(names.expand(placed.change.on), placed.change, scenario.place(*placed.path)) for placed in stage.past.changes]
