"""What the model is told of what only a running lab can do to get to a phase: literal commands, scripts of nft, stopped programs."""

from __future__ import annotations

from collections.abc import Iterable

from lab.errors import InputError, Place
from lab.scenario.changes import Live
from lab.spec.changes import AnnounceChange, NftChange, ProcessChange
from lab.state import Provenance, State
from lab.state.nft import NftRule, OpaqueStatement
from lab.state.nft_builder import BaseChain
from lab.state.state_builder import StateBuilder
from lab.validate.change import Step, make
from lab.validate.change_file import steps_of_change

_FIRST = -500
"""A priority before all that the kernel has of its own: whatever passes is met by what nobody could read."""


def foreseen(state: State, actions: Iterable[Live]) -> State:
    """Return the state that actions lead to, as far as they can be read.

    What cannot be read may have done anything where it was done: there the model is to know nothing. So the namespace gets a rule set
    of which it cannot tell what it does.
    """
    found = state
    for action in actions:
        if isinstance(action.change, AnnounceChange):
            continue  # what it makes others forget is in the state already
        if isinstance(action.change, ProcessChange) and action.change.action == "start":
            found = _started(found, state, action.on, action.change.name)
            continue
        try:
            for step in steps_of_change(action.change, action.on, action.place):
                found = _made(found, step)
        except InputError:  # a command that `validate` takes from nobody
            for name in action.on:
                found = _unread(found, name, "nft -f -" if isinstance(action.change, NftChange) else "a command", action.place)
    return found


def _made(state: State, step: Step) -> State:
    assert step.node is not None
    try:
        return make(state, step)
    except InputError:
        return _unread(state, step.node, step.text.partition("\n")[0], step.place)


def _unread(state: State, name: str, text: str, place: Place) -> State:
    """Return a state in which nobody can tell what a namespace does with packets of IP."""
    builder = StateBuilder(state)
    if name not in builder:
        return state
    why = Provenance("operator", f"the change at {place}", place)
    table = builder[name].table("inet", "unread", why)
    for hook in ("prerouting", "output"):
        chain = table.chain(hook, BaseChain("filter", hook, _FIRST), why)
        chain.insert(NftRule((OpaqueStatement(f"`{text}` at {place}"),)), len(chain.rules), why)
    return builder.freeze()


def _started(state: State, before: State, names: Iterable[str], process: str) -> State:
    """Return a state in which a stopped listener or program runs as it did before anything was done."""
    builder = StateBuilder(state)
    for name in names:
        here, there = builder[name], StateBuilder(before)[name]
        if process in there.listeners:
            here.listeners[process] = there.listeners[process]
        if process in there.programs:
            here.programs[process] = there.programs[process]
    return builder.freeze()
