"""Which routes speakers learn of each other, once nothing changes any more.

Source: RFC 4271, sections 5.1.3 and 9.1 (next hops, choice), and RFC 4456 (reflection). What is chosen between equal paths does not
matter here: a prefix has one node behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lab.state.bgp import BgpSession, BgpSpeaker, Version
from lab.state.network import State
from lab.state.objects import Address, Network

Routes = dict[Network, "Learned"]


@dataclass(frozen=True, slots=True)
class Learned:
    """A speaker's best route to a prefix. `next_hop` is None for what it has by itself; `by` is who told it."""

    next_hop: Address | None
    path: tuple[int, ...] = ()
    source: Literal["own", "client", "internal", "external"] = "own"
    by: str = ""
    origin: str = ""
    """Who has it by itself."""

    @property
    def rank(self) -> tuple[bool, int, bool, int]:
        """What is least in the best of several."""
        return (self.source != "own", len(self.path), self.source != "external", int(self.next_hop or 0))


@dataclass(frozen=True, slots=True)
class _Side:
    """A speaker's side of an established session, and the other's name and side."""

    session: BgpSession
    peer: str
    theirs: BgpSession


def learned(speakers: Mapping[str, BgpSpeaker], down: Collection[str] = ()) -> dict[str, Routes]:
    """Return by speaker what it ends up with, when those that are `down` do not run; theirs is nothing."""
    running = {name: speaker for name, speaker in speakers.items() if name not in down}
    sides = {name: tuple(_established(name, running)) for name in running}
    tables: dict[str, Routes] = {name: {} for name in running}
    for _ in range(len(running) + 2):
        told = {name: _table(name, running, sides[name], tables) for name in running}
        if told == tables:
            break
        tables = told
    return tables


def speaking(state: State, version: Version = 4) -> dict[str, BgpSpeaker]:
    """Return the speakers of a state over a version of IP, by namespace."""
    spoken = ((namespace.name, program.speaker) for namespace in state for program in namespace.programs)
    return {name: speaker for name, speaker in spoken if speaker is not None and speaker.version == version}


def ways(speakers: Mapping[str, BgpSpeaker], down: Collection[str] = ()) -> dict[str, set[tuple[Network, Address | None]]]:
    """Return by speaker where the routes lead that it puts into its kernel, and by which next hop; its own blocks by none."""
    return {
        name: {(prefix, route.next_hop) for prefix, route in routes.items() if route.next_hop is not None or _is_block(prefix)}
        for name, routes in learned(speakers, down).items()
    }


def _is_block(prefix: Network) -> bool:
    """Whether a prefix is more than an address by itself, whose pod is there."""
    return prefix.prefixlen < prefix.max_prefixlen


def without_daemons(state: State) -> State:
    """Return a state in which nobody speaks, and the routes that would be learned are there all the same."""
    silent = {
        name: replace(ns, programs=tuple(program for program in ns.programs if program.speaker is None))
        for name, ns in state.namespaces.items()
    }
    return replace(state, namespaces=silent)


def _established(name: str, speakers: Mapping[str, BgpSpeaker]) -> Iterator[_Side]:
    for session in speakers[name].sessions:
        for peer, speaker in speakers.items():
            for theirs in speaker.sessions:
                ends = (theirs.local, theirs.peer, theirs.peer_as, session.peer_as)
                if peer != name and ends == (session.peer, session.local, speakers[name].asn, speaker.asn):
                    yield _Side(session, peer, theirs)


def _table(name: str, speakers: Mapping[str, BgpSpeaker], sides: tuple[_Side, ...], tables: Mapping[str, Routes]) -> Routes:
    speaker = speakers[name]
    best: Routes = {prefix: Learned(None, origin=name) for prefix in speaker.announces}
    for side in sides:
        for prefix, route in tables[side.peer].items():
            said = _said(route, name, side, speakers)
            if said is None or speaker.asn in said.path or any(prefix in refusal for refusal in speaker.refuses):
                continue
            if prefix not in best or said.rank < best[prefix].rank:
                best[prefix] = said
    return best


def _said(route: Learned, to: str, side: _Side, speakers: Mapping[str, BgpSpeaker]) -> Learned | None:
    """Return a peer's route as it tells it to a speaker, None where it does not."""
    peer = speakers[side.peer]
    if to in (route.by, route.origin):
        return None
    next_hop = route.next_hop or side.theirs.local
    if peer.asn != speakers[to].asn:
        return replace(route, next_hop=next_hop, path=(peer.asn, *route.path), source="external", by=side.peer)
    if route.source == "internal" and not side.theirs.client:
        return None
    source: Literal["client", "internal"] = "client" if side.session.client else "internal"
    return replace(route, next_hop=next_hop, source=source, by=side.peer)
