"""What a path picture says in words: in each namespace what decided there, and below the picture what became of the packet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.forwarding.why import describe_route
from lab.report.diagram.metrics import shown, wrapped
from lab.report.diagram.palette import WRITING
from lab.report.diagram.ways import View, Way, departure, near_miss, observed
from lab.state import Route, State, difference

Text = tuple[str, str]
"""The kind of writing, and a line."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Where a way leaves the one that is intended."""

    namespace: str
    taken: str
    intended: str
    near: str = ""


def leaving(way: Way, intended: Way | None) -> Leaving | None:
    """Return where a way leaves the intended one; None where it is the same as far as it goes, and for one that leads where it should."""
    if intended is None or way.end.kind == "delivered":
        return None
    common = departure(way, intended)
    if common >= len(way.stops) or common >= len(intended.stops):
        return None
    namespace = way.stops[common - 1].namespace if common else way.origin
    routes = [next((n.text for n in one.notes if n.namespace == namespace and n.kind == "route"), "") for one in (way, intended)]
    miss = near_miss(way, intended, namespace)
    near = ""
    if miss is not None and isinstance(miss.subject, Route):
        near = shown(miss.text.split(": as ")[0].replace(f" {describe_route(miss.subject)} ", f" {miss.subject.destination} "))
    return Leaving(namespace, routes[0] or "another device", routes[1] or "another device", near)


def notes_of(way: Way, intended: Way | None, namespace: str, room: float) -> list[Text]:
    """Return what is written in a namespace about a way, in lines of at most `room` pixels."""
    found: list[Text] = []

    def write(kind: str, text: str) -> None:
        style = WRITING[kind]
        found.extend((kind, line) for line in wrapped(text, room, style.size, fixed=style.fixed, bold=style.bold))

    here = dict.fromkeys(note for note in way.notes if note.namespace == namespace)  # a packet may come by more than once
    for note in sorted(here, key=lambda note: note.kind):
        write(f"note-{way.kind}", note.text)
    left = leaving(way, intended)
    if left is not None and left.namespace == namespace:
        write("note-leave", "leaves the intended path:")
        write("note-intended", left.intended)
    end = way.end
    if end.namespace == namespace and end.kind != "delivered":
        kind = "note-error" if way.kind == "error" else f"note-{end.kind}"
        write(kind, end.why)
        if end.matched:
            write(kind, end.matched)
    return found


def story(view: View, ways: Sequence[Way], intended: Sequence[Way]) -> Iterator[Text]:
    """Yield what became of the packets of a phase, sentence by sentence."""
    for way in ways:
        end = way.end
        goal = intended_for(way, intended)
        if end.kind == "drop":
            matched = f": {end.matched}" if end.matched else ""
            yield "story" if way.kind == "error" else "story-drop", f"The {way.kind} ends at {end.place}, {end.why}{matched}"
            if end.sentence and end.sentence != end.reason:
                yield "story-quiet", end.sentence
        elif end.kind == "unknown":
            yield "story-drop", f"The {way.kind} may end at {end.namespace}; the model cannot say: {end.sentence}"
        elif way.kind == "error":
            yield "story", f"{_error(way)} comes home to {end.namespace}"
        if way.loop is not None:
            yield "story", shown(f"The {way.kind} goes round: {way.loop.text}")
        left = leaving(way, goal)
        if left is not None:
            near = f" ({left.near})" if left.near else ""
            yield (
                "story-leave",
                f"At {left.namespace} the {way.kind} leaves the intended path: {left.taken} instead of {left.intended}{near}",
            )
    conversation = view.conversation
    seen = f"; the receiver {conversation.seen.namespace} sees {conversation.seen.source}" if conversation.seen is not None else ""
    yield "story", shown(f"The sender sees {_outcome(str(conversation.outcome))}{seen}")
    yield from _observed(view, ways)
    for choice in conversation.choices:
        yield "story-quiet", shown(f"left to chance, {choice.options} ways: {choice.what}, here {choice.meaning}")


def changes(before: State, after: State) -> Iterator[tuple[str, str]]:
    """Yield every namespace that differs between two states, with how many objects of which kinds do."""
    for one in difference(before, after):
        counts = {
            "link": len(one.links),
            "address": len(one.addresses),
            "route": len(one.routes),
            "rule": len(one.rules),
            "neighbour": len(one.neighbours),
            "FDB entry": len(one.fdb),
            "sysctl": len(one.sysctls),
            "nft table": len(one.tables),
            "process": len(one.listeners) + len(one.programs),
        }
        text = ", ".join(f"{count} {plural(what, count)}" for what, count in counts.items() if count)
        if text:
            yield one.name, text


def plural(word: str, count: int) -> str:
    """Return a word for that many."""
    if count == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}es" if word.endswith("s") else f"{word}s"


def _outcome(text: str) -> str:
    return text.removeprefix("error: ")


def _error(way: Way) -> str:
    return way.packet.split(", ")[0]


def _observed(view: View, ways: Sequence[Way]) -> Iterator[Text]:
    """Yield what observation says of the ways, where there was any: the picture shows what is predicted."""
    if not view.crossed:
        return
    found = {way.kind: observed(view, way) for way in ways}
    if any(missing for _, missing in found.values()):
        for kind, (_, missing) in found.items():
            if missing:
                yield "story-leave", f"Predicted, and not observed: the {kind} on {', '.join(missing)}"
        return
    yield "story", "Observed as predicted: " + ", ".join(f"the {kind} on {len(seen)} interfaces" for kind, (seen, _) in found.items())


def intended_for(way: Way, intended: Sequence[Way]) -> Way | None:
    """Return the way that a request or a reply should have taken; an error has none, nor has a reply from somebody else."""
    if way.kind == "error":
        return None
    return next((one for one in intended if (one.kind, one.forward, one.origin) == (way.kind, way.forward, way.origin)), None)
