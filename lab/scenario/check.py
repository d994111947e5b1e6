"""What only the states of its phases can tell of a scenario: interfaces, programs, counters, objects and checks that are nowhere.

An expectation that something is not there holds of everything that is misspelt, so that what it names has to be in some phase.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.errors import InputError, InputErrors, Place, did_you_mean, quoted
from lab.scenario.cast import Cast
from lab.scenario.everywhere import Compiled, Everywhere
from lab.scenario.named import Named, named_in_change, named_in_expectation
from lab.scenario.phases import Stage, compile_stages
from lab.spec import Loaded, Names, Scenario, Topology, topology_of
from lab.spec.changes import ProcessChange, RuleChange
from lab.spec.document import Path
from lab.spec.expectations import AnyExpectation, Dns, Http, ProbeExpectation, Series, Traceroute
from lab.state import State, Table
from lab.state import mistakes as mistakes_of


def check_states(scenario: Loaded[Scenario], topology: Loaded[Topology]) -> Compiled:
    """Compute every state of a scenario, and return them with their stages, in order.

    Raises InputErrors with every change that cannot be made, and with everything that is named and is in none of the states; or else with
    what no kernel would take of them.
    """
    mistakes: list[InputError] = []
    compiled = list(compile_stages(topology, scenario, refused=mistakes.append))
    there = {phase: topology_of(topology, scenario, phase).model for phase in scenario.model.phases}
    everywhere = Everywhere(compiled, there)
    for stage, state in compiled:
        cast = Cast.of(state, there[stage.phase])
        mistakes += _expectations(scenario, stage, cast, everywhere)
        mistakes += _changes(scenario, stage, cast.names, state, everywhere)
    if not mistakes:  # those have better places
        mistakes += [mistake for _, state in compiled for mistake in mistakes_of(state)]
    if mistakes:  # what is wrong with a change is wrong in all the phases that follow from it
        raise InputErrors(list({(mistake.place, mistake.message): mistake for mistake in mistakes}.values()))
    return compiled


def rules_into_nothing(scenario: Loaded[Scenario], topology: Loaded[Topology], compiled: Compiled) -> Iterator[tuple[str, Place]]:
    """Yield, with its place, every rule that a change adds and that looks up a table in which no phase has a route.

    It is no mistake (`ip rule` takes it, and such a packet goes on to the next rule), and mostly not meant. Where commands are run nobody
    knows what they fill.
    """
    there = {phase: topology_of(topology, scenario, phase).model for phase in scenario.model.phases}
    commanded = Everywhere(compiled, there).commanded
    for stage, state in compiled:
        names = Cast.of(state, there[stage.phase]).names
        for index, item in enumerate(stage.source.changes):
            change = item.change
            if not isinstance(change, RuleChange) or change.action != "add" or change.type != "lookup" or change.table is None:
                continue
            for name in names.expand(change.on):
                here = [state[name] for _, state in compiled if name in state.namespaces]
                filled = {int(route.table) for namespace in here for route in namespace.routes}
                if name not in commanded and change.table not in filled:
                    nearest = min(filled - {Table.LOCAL}, key=lambda table: abs(table - int(change.table or 0)), default=Table.MAIN)
                    said = f"table {int(change.table)} of {name!r} has no routes in any phase; the nearest that has some is {int(nearest)}"
                    yield said, scenario.place(*stage.path, "changes", index, item.kind, "table")


def _mistakes(scenario: Loaded[Scenario], path: Path, named: Iterable[Named]) -> Iterator[InputError]:
    for name in named:
        mistake = name.mistake((scenario.key_place if name.is_key else scenario.place)(*path, *name.path))
        if mistake is not None:
            yield mistake


def _expectations(scenario: Loaded[Scenario], stage: Stage, cast: Cast, everywhere: Everywhere) -> Iterator[InputError]:
    for index, item in enumerate(stage.source.expect):
        path: Path = (*stage.path, "expect", index, item.kind)
        yield from _addresses(item.body, cast, scenario.place(*path))
        yield from _mistakes(scenario, path, named_in_expectation(item.body, cast, everywhere))


def _changes(scenario: Loaded[Scenario], stage: Stage, names: Names, state: State, everywhere: Everywhere) -> Iterator[InputError]:
    for index, item in enumerate(stage.source.changes):
        path: Path = (*stage.path, "changes", index, item.kind)
        on = names.expand(item.change.on)
        yield from _mistakes(scenario, path, named_in_change(item.change, on, everywhere))
        if isinstance(item.change, ProcessChange):
            yield from _process(item.change, on, state, scenario.place(*path, "name"))


def _process(change: ProcessChange, on: Iterable[str], state: State, place: Place) -> Iterator[InputError]:
    """Yield a mistake for every namespace that has no process of that name."""
    for name in on:
        there = state.namespaces.get(name)
        here = [*(p.name for p in there.programs), *(p.name for p in there.listeners)] if there else []
        if change.name not in here:
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
