"""What only the states of its phases can tell of a scenario: interfaces, programs, objects and checks that are nowhere.

An expectation that something is not there holds of everything that is misspelt, so that what it names has to be in some phase.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from lab.cluster.diagnose import CHECKS
from lab.errors import InputError, InputErrors, Place, did_you_mean, quoted
from lab.scenario.cast import Cast
from lab.scenario.phases import Stage, compile_stages
from lab.spec import Loaded, Names, Scenario, Topology, topology_of
from lab.spec.changes import ProcessChange, RunChange
from lab.spec.document import Path
from lab.spec.expectations import (
    AnyExpectation,
    DiagnoseExpectation,
    Dns,
    Http,
    ObjectExpectation,
    ProbeExpectation,
    ProgramLogExpectation,
    RouteExpectation,
    Series,
    TableExpectation,
    Traceroute,
)
from lab.spec.selectors import matching
from lab.state import State

ALL_CHECKS = ("*", *(name for name, _, _ in CHECKS))


def check_states(scenario: Loaded[Scenario], topology: Loaded[Topology]) -> None:
    """Compute every state of a scenario, and raise InputErrors with every expectation that names what is in none of them."""
    compiled = list(compile_stages(topology, scenario))
    there = {phase: topology_of(topology, scenario, phase).model for phase in scenario.model.phases}
    commanded = [
        Names.of(there[stage.phase]).expand(placed.change.on)
        for stage, _ in compiled
        for placed in stage.past.changes
        if isinstance(placed.change, RunChange)
    ]
    everywhere = _Everywhere([state for _, state in compiled], frozenset(name for on in commanded for name in on))
    mistakes = [mistake for stage, state in compiled for mistake in _stage(scenario, stage, Cast.of(state, there[stage.phase]), everywhere)]
    mistakes += [mistake for stage, state in compiled for mistake in _processes(scenario, stage, Names.of(there[stage.phase]), state)]
    if mistakes:
        raise InputErrors(mistakes)


@dataclass(frozen=True, slots=True)
class _Everywhere:
    """What there is in any phase."""

    states: list[State]
    commanded: frozenset[str]
    """Namespaces in which commands are run, which may make anything."""

    def devices(self, namespaces: Iterable[str]) -> set[str] | None:
        """Return the devices of some namespaces, or None where there may be any."""
        here = set(namespaces)
        if here & self.commanded:
            return None
        return {link.name for state in self.states for name in here if name in state.namespaces for link in state[name].links}


def _stage(scenario: Loaded[Scenario], stage: Stage, cast: Cast, everywhere: _Everywhere) -> Iterator[InputError]:
    for index, item in enumerate(stage.source.expect):
        path: Path = (*stage.path, "expect", index, item.kind)
        yield from _addresses(item.body, cast, scenario.place(*path))
        for key, what, name, known in _named(item.body, cast, everywhere):
            if known is not None and not matching(name, known):
                place = scenario.place(*path, *key)
                yield InputError(
                    f"there is no {what} {quoted(name)} in any phase", place=place, hint=did_you_mean(name, sorted(known), what)
                )


def _processes(scenario: Loaded[Scenario], stage: Stage, names: Names, state: State) -> Iterator[InputError]:
    """Yield a mistake for every process of a stage's own changes that a namespace has not."""
    for index, item in enumerate(stage.source.changes):
        if not isinstance(change := item.change, ProcessChange):
            continue
        for name in names.expand(change.on):
            there = state.namespaces.get(name)
            here = [*(p.name for p in there.programs), *(p.name for p in there.listeners)] if there else []
            if change.name not in here:
                place = scenario.place(*stage.path, "changes", index, item.kind, "name")
                said = f"nothing called {quoted(change.name)} runs in {quoted(name)}"
                yield InputError(said, place=place, hint=did_you_mean(change.name, here, "process"))


def _addresses(body: AnyExpectation, cast: Cast, place: Place) -> Iterator[InputError]:
    """Yield a mistake where probes go out from or to a namespace that has lost its address."""
    try:
        for name in cast.probed(body.source) if isinstance(body, ProbeExpectation | Traceroute | Series | Http | Dns) else ():
            cast.address(name)
            if getattr(body, "ipv6", False):
                cast.address(name, 6)
        if isinstance(body, ProbeExpectation | Traceroute | Series):
            cast.targets(body.to, version=6 if body.ipv6 else 4)
        if isinstance(body, Dns) and body.answers is not None:
            cast.targets(body.answers, version=4 if body.type == "A" else 6)
    except InputError as error:
        yield error.at(place)


def _named(body: AnyExpectation, cast: Cast, everywhere: _Everywhere) -> Iterator[tuple[Path, str, str, Collection[str] | None]]:
    """Yield what an expectation names: the path of the name, what it is a name of, the name, and the names that there are."""
    match body:
        case ProbeExpectation():
            for key in ("crosses", "never_crosses", "reply_crosses"):
                for index, interface in enumerate(getattr(body, key)):
                    yield from _interface((key, index), interface, cast, everywhere)
            yield from _interface(("lost_at",), body.lost_at, cast, everywhere)
            yield from _interface(("seen_as",), body.seen_as, cast, everywhere)
        case Http():
            yield from _interface(("seen_as",), body.seen_as, cast, everywhere)
        case RouteExpectation(device=str(device)) | TableExpectation(device=str(device)):
            yield ("device",), "device", device, everywhere.devices(cast.names.expand(body.on))
        case ProgramLogExpectation():
            here = cast.names.expand(body.on)
            programs = {p.name for state in everywhere.states for name in here if name in state.namespaces for p in state[name].programs}
            yield ("program",), "program", body.program, programs
        case ObjectExpectation():
            kinds = {item.kind for state in everywhere.states for item in state.control.objects if item.cluster == body.cluster}
            yield ("kind",), "kind of object", body.kind, kinds
        case DiagnoseExpectation() if body.check != "*":
            yield ("check",), "check", body.check, ALL_CHECKS


def _interface(
    key: Path, interface: object, cast: Cast, everywhere: _Everywhere
) -> Iterator[tuple[Path, str, str, Collection[str] | None]]:
    if isinstance(interface, str) and ":" in interface:
        namespace, _, device = interface.partition(":")
        here = cast.names.nodes if namespace.startswith("{") else cast.names.expand((namespace,))
        yield key, "device", device, everywhere.devices(here)
