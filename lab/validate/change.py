"""A change as steps, one after the other: commands, changes as scenarios have them, events of clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.cluster import compile as compile_clusters
from lab.errors import InputError, Place, did_you_mean, quoted
from lab.scenario.changes import Ordered, apply_changes
from lab.spec import History, Loaded, Topology
from lab.spec.changes import AnyChange, ProcessChange
from lab.spec.events import Event
from lab.state import State
from lab.state.state_builder import StateBuilder
from lab.state.typed import NotModelled, Word, carry_out


@dataclass(frozen=True, slots=True)
class Typed:
    """A command, with the lines it reads where it is `nft -f -`."""

    words: tuple[Word, ...]
    script: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a cluster, by the state that it leads to."""

    state: State


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a change, made on one node; an event is made on none."""

    node: str | None
    text: str
    place: Place
    does: Typed | AnyChange | Happened

    def __str__(self) -> str:
        first, more, _ = self.text.partition("\n")
        said = f"{first} ..." if more else first
        return f"{self.node}: {said}" if self.node else said


@dataclass(frozen=True, slots=True)
class Ground:
    """What a change is made on: a state, and, where clusters made it, what made it, so that something more can happen to them."""

    state: State
    topology: Loaded[Topology] | None = None
    history: History = field(default_factory=History)
    changes: tuple[Ordered, ...] = ()

    def after(self, events: Sequence[tuple[Event, Place]]) -> State:
        """Return the state after further events. Raises InputError where one cannot happen."""
        if self.topology is None:
            raise InputError("what happens to clusters can be said of a topology or scenario only", place=events[0][1])
        places = (*self.history.places, *(None,) * (len(self.history.events) - len(self.history.places)))
        happened = History(self.history.absent, (*self.history.events, *(e for e, _ in events)), (*places, *(place for _, place in events)))
        return apply_changes(compile_clusters(self.topology.model, happened, place=self.topology.place), self.changes)


Carry = Callable[[State, "Step"], State]
"""Makes a step whose effect only a kernel can tell."""


def make(state: State, step: Step, carry: Carry | None = None) -> State:
    """Return the state after a step. Raises InputError, at its line, where it cannot be made, and NotModelled where nobody can tell."""
    if isinstance(step.does, Happened):
        return step.does.state
    node = step.node
    assert node is not None
    try:
        if isinstance(step.does, Typed):
            return carry_out(state, node, step.does.words, step.does.script)
        if isinstance(step.does, ProcessChange):
            return _process(state, node, step.does, step.place)
        return apply_changes(state, [Ordered((node,), step.does, step.place)])
    except NotModelled as error:
        if carry is None:
            raise NotModelled(
                error.message,
                place=error.place,
                hint=error.hint or "on Linux, `--emulate` has a kernel carry it out in a sandbox and looks at what came of it",
            ) from None
        return carry(state, step)


def _process(state: State, node: str, change: ProcessChange, place: Place) -> State:
    """Stop a listener or program. What is started again is what the state had before, which it does not know."""
    builder = StateBuilder(state)
    here = builder[node]
    if change.action == "start":
        raise InputError("a program can be stopped by a change, not started", place=place)
    if here.listeners.pop(change.name, None) is None and here.programs.pop(change.name, None) is None:
        known = [*here.listeners, *here.programs]
        raise InputError(f"{node} runs no {quoted(change.name)}", place=place, hint=did_you_mean(change.name, known, "program"))
    return builder.freeze()
