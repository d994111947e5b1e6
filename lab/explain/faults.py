"""Several faults at once: the one that a packet met, and what it would meet next.

Both are tried in the model: with the one thing repaired, the same conversation is followed again. What ends it then is told as what comes
next, and nothing is said of faults that it would not meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lab.explain.death import Death
from lab.explain.down import forgotten
from lab.explain.explanation import Responsible
from lab.explain.neighbours import own_death
from lab.forwarding import Conversation, Dropped, Flow, Network, Trace, trace
from lab.state import Link, Route, State, complete
from lab.state.nft import NftRule
from lab.state.state_builder import StateBuilder

_TAKES: Final = ("blackhole", "unreachable", "prohibit")
"""Types of routes that end a packet's way by being there."""


@dataclass(frozen=True, slots=True)
class Met:
    """What ended a packet."""

    death: Death
    next: str | None = None
    """What would end the conversation if that were repaired."""
    then: Responsible | None = None
    """The object that would."""


def death_of(network: Network, found: Trace) -> Death:
    """Say what a dropped packet died of: a link that is down where it was led astray, or what it met at the place of its death."""
    return forgotten(network, found) or own_death(network, found)


def first_lost(conversation: Conversation) -> Trace | None:
    """Return the packet whose death ended the conversation: the first that died, errors about others aside."""
    return next((found for found in conversation.traces if isinstance(found.verdict, Dropped) and found.purpose != "error"), None)


def met(network: Network, flow: Flow, lost: Trace) -> Met:
    """Say what a packet died of, and what would be next.

    A packet that a down link left to a default route may end at what it would have come to with the link up as well: then that is what it
    met, and the link comes next.
    """
    diverted = forgotten(network, lost)
    again = _again(network, flow, diverted)
    if diverted is not None and (again is None or not _same_end(lost, again.lost)):
        return _met(diverted, again)
    death = own_death(network, lost)
    again = _again(network, flow, death)
    tells = again is not None and (_is_down(death) or _is_down(again.death))
    return _met(death, again if tells else None)


@dataclass(frozen=True, slots=True)
class _Again:
    """What becomes of a conversation in which something is repaired: the packet that is lost all the same, and of what."""

    lost: Trace
    death: Death


def _again(network: Network, flow: Flow, death: Death | None) -> _Again | None:
    """Follow a conversation with what a packet died of repaired; None where everything gets through then, or nobody can tell."""
    repaired = _repaired(network.state, death.object) if death is not None and death.object is not None else None
    if repaired is None:
        return None
    there = Network(repaired)
    lost = first_lost(trace(there, flow))
    return None if lost is None else _Again(lost, death_of(there, lost))


def _same_end(one: Trace, other: Trace) -> bool:
    first, second = one.verdict, other.verdict
    assert isinstance(first, Dropped)
    assert isinstance(second, Dropped)
    return (first.namespace, first.reason, first.subject) == (second.namespace, second.reason, second.subject)


def _is_down(death: Death) -> bool:
    subject = death.object.subject if death.object is not None else None
    return isinstance(subject, Link) and not subject.up


def _met(death: Death, again: _Again | None) -> Met:
    """Tell what ended a packet, and what comes once that is repaired."""
    if again is None:
        return Met(death)
    end, then = again.lost.verdict, again.death.object
    assert isinstance(end, Dropped)
    where = f"{end.namespace}:{end.device}" if end.device else end.namespace
    link = death.object if _is_down(death) else None
    repaired = f"with {death.needed}" if link is not None else "without that"
    routeless = link is not None and then is not None and then.absent and (then.kind, then.namespace) == ("route", link.namespace)
    routes = f"; one by {link.text.split()[0]} would be gone with it" if link is not None and routeless else ""
    return Met(death, f"{repaired}, the {again.lost.purpose} ends at {where}: {again.death.text}{routes}", then)


def _repaired(state: State, thing: Responsible) -> State | None:
    """Return the state with a link up that is down, or without a rule or route that ends a packet's way; None for anything else."""
    builder = StateBuilder(state)
    here = builder[thing.namespace]
    match thing.subject:
        case Link(up=False, name=name):
            here.change_link(name, up=True)
            return complete(builder.freeze(), state)
        case Route(type=kind) as route if kind in _TAKES:
            here.routes = [other for other in here.routes if other is not route]
            return builder.freeze()
        case NftRule() as rule:
            for table in here.tables.values():
                for chain in table.chains.values():
                    chain.rules = [other for other in chain.rules if other is not rule]
            return builder.freeze()
    return None
