"""Whether a well-formed scenario makes sense with its topology: phases, events and changes that lead somewhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from lab.errors import InputError, InputErrors, Place, did_you_mean, quoted
from lab.spec.changes import PROGRAMS, ChangeItem
from lab.spec.check_expectation import check_expectation
from lab.spec.check_kept import check_kept
from lab.spec.document import Path
from lab.spec.events import AgentRestart, Detect, Event, EventItem, Join, NodeAdded, OperatorRestart
from lab.spec.findings import dangling, sysctl_name, sysctl_value
from lab.spec.load import Loaded
from lab.spec.scenario import Phase, Scenario, Step
from lab.spec.scene import Mistakes, Scene
from lab.spec.selectors import Names
from lab.spec.topology import Topology


def check_scenario(loaded: Loaded[Scenario], topologies: Mapping[str, Topology]) -> None:
    """Raise InputErrors with everything in the scenario that contradicts itself or its topology, each at its place.

    `topologies` is the topology of every phase.
    """
    mistakes = [*_phases(loaded, topologies), *check_kept(loaded, topologies), *_comparison(loaded)]
    if mistakes:
        raise InputErrors(mistakes)


def phases_without_expectations(loaded: Loaded[Scenario]) -> Iterator[tuple[str, Place]]:
    """Yield every phase, and its place, in which nothing can fail: it expects nothing, and is neither compared nor where another begins."""
    scenario = loaded.model
    used = {*(scenario.compare.same or ()), *(scenario.compare.commands or ()), *(phase.after for phase in scenario.phases.values())}
    for name, phase in scenario.phases.items():
        if name not in used and not phase.expect and not any(step.expect for step in phase.then):
            yield name, loaded.key_place("phases", name)


def _phases(loaded: Loaded[Scenario], topologies: Mapping[str, Topology]) -> Mistakes:
    scenario = loaded.model
    gone_after: dict[str, frozenset[str]] = {}
    for name, phase in scenario.phases.items():
        path: Path = ("phases", name)
        scene = Scene(loaded, topologies[name], Names.of(topologies[name]))
        gone = frozenset(phase.absent)
        if phase.after is not None:
            if phase.after not in gone_after:
                yield _not_earlier(phase.after, name, scenario, list(gone_after), scene.place((*path, "after")))
            gone = gone_after.get(phase.after, frozenset())
        here = replace(scene, gone=gone)
        for index, node in enumerate(phase.absent):
            yield from here.known("node", node, here.names.nodes, (*path, "absent", index))
        steps: list[tuple[Phase | Step, Path]] = [(step, (*path, "then", index)) for index, step in enumerate(phase.then)]
        for stage, stage_path in [(phase, path), *steps]:
            mistakes, here = _stage(here, stage, stage_path)
            yield from mistakes
        gone_after[name] = here.gone


def _not_earlier(after: str, phase: str, scenario: Scenario, earlier: Sequence[str], place: Place) -> InputError:
    if after == phase:
        return InputError(f"the phase {phase!r} cannot come after itself", place=place)
    if after in scenario.phases:
        return InputError(f"the phase {after!r} comes later in the file", place=place, hint="a phase continues one above it")
    return InputError(f"there is no phase {quoted(after)}", place=place, hint=did_you_mean(after, earlier, "earlier phase"))


def _comparison(loaded: Loaded[Scenario]) -> Mistakes:
    scenario = loaded.model
    for key, pair in (("same", scenario.compare.same), ("commands", scenario.compare.commands)):
        for index, phase in enumerate(pair or ()):
            if phase not in scenario.phases:
                yield dangling("phase", phase, scenario.phases, loaded.place("compare", key, index))


def _stage(scene: Scene, stage: Phase | Step, path: Path) -> tuple[list[InputError], Scene]:
    """Return the mistakes of a phase or step, and the scene after it."""
    mistakes: list[InputError] = []
    for index, item in enumerate(stage.events):
        mistakes += _event(scene, item, (*path, "events", index, item.kind))
        if isinstance(item.happening, NodeAdded):
            scene = replace(scene, gone=scene.gone - {item.happening.node})
    for index, entry in enumerate(stage.changes):
        mistakes += _change(scene, entry, (*path, "changes", index, entry.kind))
    for index, expectation in enumerate(stage.expect):
        mistakes += check_expectation(scene, expectation, (*path, "expect", index, expectation.kind))
    return mistakes, scene


def _event(scene: Scene, item: EventItem, path: Path) -> Mistakes:
    event, topology = item.happening, scene.topology
    name: str | None = getattr(event, "cluster", None)
    if name is not None:
        yield from scene.known("cluster", name, scene.names.clusters, (*path, "cluster"))
    if isinstance(event, Join | Detect | AgentRestart | OperatorRestart) and topology.submariner is None:
        said = "this topology has no Submariner to join" if item.join is not None else "this topology has no Submariner"
        yield InputError(said, place=scene.loaded.key_place(*path))
    cluster = topology.clusters.get(name) if name is not None else None
    for key, node in _named_nodes(event):
        known = cluster.nodes if cluster is not None else scene.names.nodes
        yield from scene.known("node", node, known, (*path, *key))
        if not isinstance(event, NodeAdded):
            yield from scene.present(node, (*path, *key))
        elif node in scene.names.nodes and node not in scene.gone:
            hint = f"name it in `absent` of the first phase: absent: [{node}]"
            yield InputError(f"{node!r} cannot join, it is there already", place=scene.place((*path, *key)), hint=hint)
    if item.export is not None and cluster is not None:
        yield from scene.known("service", item.export.service, cluster.services, (*path, "service"))


def _named_nodes(event: Event) -> Iterator[tuple[Path, str]]:
    """Yield every node an event names, with the path of the name within the event."""
    node: str | None = getattr(event, "node", None)
    if node is not None:
        yield ("node",), node
    for index, name in enumerate(getattr(event, "nodes", ())):
        yield ("nodes", index), name


def _change(scene: Scene, entry: ChangeItem, path: Path) -> Mistakes:
    on = entry.change.on
    mistakes = list(scene.selected(on, (*path, "on")))
    yield from mistakes or scene.all_present(on, (*path, "on"))
    if entry.sysctl is not None:
        yield from sysctl_name(entry.sysctl.name, scene.place((*path, "name")))
        yield from sysctl_value(entry.sysctl.name, entry.sysctl.value, scene.place((*path, "value")))
    for number, command in enumerate(entry.run.commands if entry.run else ()):
        yield from _command(command, scene.place((*path, "commands", number)))


def _command(command: str, place: Place) -> Mistakes:
    try:
        words = shlex.split(command)
    except ValueError as error:
        yield InputError(f"this is no command: {str(error).lower()}", place=place)
        return
    if not words:
        yield InputError("this command is empty", place=place)
    elif words[0] not in PROGRAMS:
        hint = did_you_mean(words[0], sorted(PROGRAMS), "program")
        yield InputError(f"{quoted(words[0])} is none of the programs a scenario may run", place=place, hint=hint)
