"""Why a probe ended as it did: the decisions that led there, the cause, and what its sender could see of it. Plain data, and its lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.forwarding import Reason, Stage
from lab.forwarding.results import Purpose
from lab.probe import Grade, Request, Result
from lab.state import Provenance
from lab.state.provenance import UNKNOWN


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a claim rests on: a grade, and what was seen, counted, asked or read, in a sentence."""

    grade: Grade
    text: str


@dataclass(frozen=True, slots=True)
class Responsible:
    """The object of a namespace that decided, or that nearly did: a route, rule, sysctl, nft rule, link, neighbour, listener, ...

    `text` is the object as its own tool prints it; `provenance` says who put it there, down to the line of a file.
    """

    namespace: str
    kind: str
    """``route``, ``rule``, ``sysctl``, ``nft rule``, ``link``, ``address``, ``neighbour``, ``FDB entry``, ``listener``,
    ``IPPool``, ``DNS zone``, ``variable``, ``tracked connection``, ``BGP speaker``."""
    text: str
    provenance: Provenance | None = None
    subject: object | None = None
    """The object itself, where the state has one."""
    absent: bool = False
    """Whether it is to blame for not being there."""

    @property
    def chain(self) -> tuple[Provenance, ...]:
        """Who put it there, because of what, and so on back to the first cause."""
        return () if self.provenance is None else tuple(self.provenance.chain())

    def __str__(self) -> str:
        return f"{'no ' if self.absent else ''}{self.kind} {self.text} in {self.namespace}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A decision on the way that the packet survived, and without which it would have gone elsewhere, or borne another address."""

    namespace: str
    stage: Stage
    text: str
    responsible: Responsible | None = None
    missed: bool = False
    """Whether `responsible` is what nearly decided (a route that misses by some bits), not what did."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a packet ended and what decided that."""

    namespace: str
    device: str | None
    stage: Stage | None
    """Where in the namespace; None where only the place is known."""
    reason: Reason | None
    packet: Purpose
    """Which packet of the conversation it was."""
    text: str
    """What decided, in one line."""
    responsible: Responsible | None
    """The object to look at first: what decided, or the one that should have and does not cover this packet."""
    needed: str | None
    """What would have had to be there."""
    evidence: tuple[Evidence, ...] = ()
    """The surest first."""
    decided_by: Responsible | None = None
    """What decided at the place itself, where the packet should never have come there."""
    unread: str | None = None
    """What would have told of it and could not be read."""
    next: str | None = None
    """What the packet would meet if that were repaired, where the network has another fault on its way."""

    @property
    def place(self) -> str:
        """``NAMESPACE:DEVICE``, or the namespace where no device was involved."""
        return f"{self.namespace}:{self.device}" if self.device else self.namespace

    @property
    def chain(self) -> tuple[Provenance, ...]:
        """The chain of provenance behind the responsible object."""
        return () if self.responsible is None else self.responsible.chain

    @property
    def grade(self) -> Grade:
        """The surest evidence there is."""
        order = list(Grade)
        return min((piece.grade for piece in self.evidence), key=order.index, default=Grade.PREDICTED)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a probe ended as it did. A probe that was answered as it should has neither turns nor a cause."""

    request: Request
    result: Result
    turns: tuple[Turn, ...] = ()
    cause: Cause | None = None
    sender: tuple[str, ...] = ()
    """The sender's view: why this error from this address, or why silence."""
    remedies: tuple[str, ...] = ()
    """What would cure it, where the lab knows: a command, or a setting."""
    doubts: tuple[str, ...] = ()
    """What speaks against this explanation, or keeps it from being certain."""

    def lines(self) -> tuple[str, ...]:
        """Return it as lines of text; what belongs to the line above begins with two spaces."""
        return tuple(self._lines())

    def short(self) -> tuple[str, ...]:
        """Return what one of many losses is told by: what missed the packet, where it ended, where that comes from, what cures it."""
        return tuple(self._short())

    def __bool__(self) -> bool:
        return self.cause is not None or bool(self.doubts)

    def _short(self) -> Iterator[str]:
        yield from (f"{turn.namespace}: {turn.text}" for turn in self.turns if turn.missed)
        if self.cause is not None:
            yield self._end(self.cause)
            yield from _origin(self.cause.responsible)
            yield from (f"next: {text}" for text in (self.cause.next,) if text is not None)
        yield from (f"cure: {text}" for text in self.remedies[:1])
        yield from (f"but {text}" for text in self.doubts)

    @staticmethod
    def _end(cause: Cause) -> str:
        return f"the {cause.packet} ends at {cause.place}{f', {cause.stage}' if cause.stage else ''}: {cause.text}"

    def _lines(self) -> Iterator[str]:
        told: set[int] = set()
        for turn in self.turns:
            yield f"{turn.namespace}: {turn.text}"
            if turn.responsible is not None:
                yield from _chain(turn.responsible, told)
        if self.cause is not None:
            yield self._end(self.cause)
            by, behind = self.cause.decided_by, self.cause.responsible
            for thing in [thing for thing in (by if by != behind else None, behind) if thing is not None]:
                because = "because there is" if thing.absent else "because of" if thing is self.cause.responsible else "by"
                yield f"  {because} {thing}"
                yield from _chain(thing, told)
            if self.cause.needed is not None:
                yield f"  needed: {self.cause.needed}"
            yield from (f"  {piece.grade.name.lower().replace('_', ' ')}: {piece.text}" for piece in self.cause.evidence)
            if self.cause.unread is not None:
                yield f"  not read: {self.cause.unread}"
            yield from _origin(self.cause.responsible)
            yield from (f"next: {text}" for text in (self.cause.next,) if text is not None)
        yield from (f"sender: {text}" for text in self.sender)
        yield from (f"cure: {text}" for text in self.remedies)
        yield from (f"but {text}" for text in self.doubts)


def _origin(responsible: Responsible | None) -> Iterator[str]:
    """Say in one line where the chain of an object begins: the last that acted, on what, and the line of the file."""
    links = responsible.chain if responsible is not None else ()
    acted = [link for link in links if link.component not in ("topology", "kubernetes")] or list(links)
    if responsible is None or not links or acted[-1] == UNKNOWN:
        return
    known = [link.reason for link in links if link.component == "kubernetes"]
    reason = acted[-1].reason.partition(", after: ")[0]
    said = "; ".join([reason, *known[-1:]])
    place = next((str(link.place) for link in reversed(links) if link.place is not None), "")
    comes = "is missing, a matter of" if responsible.absent else "comes of"
    yield f"{responsible.text} {comes} {acted[-1].component}: {said}{f' ({place})' if place not in said else ''}"


def _chain(responsible: Responsible, told: set[int]) -> Iterator[str]:
    """Say once who put an object there, back to the line of a file."""
    for link in responsible.chain:
        if id(link) not in told:
            told.add(id(link))
            place = f" ({link.place})" if link.place else ""
            yield (
                "  put by hand, or by a program that the lab does not know"
                if link == UNKNOWN
                else f"  put by {link.component}: {link.reason}{place}"
            )
