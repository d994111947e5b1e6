"""The picture of a packet's path: one layout for all phases, a layer for each, and one for the comparison of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.errors import InputError, did_you_mean
from lab.report.diagram.bars import Bars
from lab.report.diagram.endings import End
from lab.report.diagram.lanes import LINE, NARROW, PAD, ROOM, build, columns, row_of
from lab.report.diagram.legend import legend
from lab.report.diagram.metrics import shortened, shown, width, wrapped
from lab.report.diagram.notes import Text, changes, intended_for, leaving, notes_of, story
from lab.report.diagram.palette import WRITING
from lab.report.diagram.scene import Box, Data, Element, Label, Layer, Line, Mark, Point, Scene
from lab.report.diagram.tracks import Track, Tracks
from lab.report.diagram.ways import Stop, View, Way, departure, observed, ways

BAND = 18.0
TITLE = 54.0
ASIDE = 6.0
"""How far the intended path, and what is gone, runs beside the actual one."""
LEAST_WIDTH = 660.0
READABLE = 920.0
"""How wide lines of text below a picture become."""
MARGIN = 18.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two phases that are shown in one picture."""

    before: str
    after: str
    changed: Mapping[str, str]
    """How many objects of which kinds differ, by namespace."""

    @property
    def name(self) -> str:
        """What the picture of both is called."""
        return f"{self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class Diagram:
    """A path picture: the scene, and what it shows as data, for renderers that place things themselves."""

    scene: Scene
    views: tuple[View, ...]
    ways: Mapping[str, tuple[Way, ...]]
    """By the name of the phase."""
    order: tuple[str, ...]
    """The namespaces from left to right."""
    intended: str | None
    """The phase whose paths are the intended ones."""
    stories: Mapping[str, tuple[Text, ...]]
    """What became of the packets, by the name of the phase, and of the comparison: the kind of each sentence, and the sentence."""
    compared: Comparison | None = None

    def view(self, name: str | None = None) -> View:
        """Return a phase by its name, by default the first. Raises InputError when there is none."""
        return _find(self.views, name)

    def goal(self, way: Way, phase: str) -> Way | None:
        """Return the way that one of a phase was to take, if another phase shows it."""
        return None if self.intended in (None, phase) else intended_for(way, self.ways[str(self.intended)])


def layout(views: Sequence[View], *, intended: str | None = None, compare: tuple[str, str] | None = None, title: str = "") -> Diagram:
    """Lay out the paths of a conversation in all its phases, so that whatever is in several of them is at the same place.

    `intended` names the phase whose path the packet should take; by default the first in which the sender gets its answer. `compare` adds a
    layer ``A → B`` with both phases in one picture, in front of the others. Raises InputError for a phase that is not among the views.
    """
    if not views:
        raise InputError("there is nothing to draw")
    for name in (*((intended,) if intended else ()), *(compare or ())):
        _find(views, name)
    answered = next((view.name for view in views if view.conversation.outcome.kind == "reply"), None)
    return _Drawing(tuple(views), intended or answered, title or _title(views[0]), compare).diagram()


def _find(views: Sequence[View], name: str | None) -> View:
    for view in views:
        if name in (None, view.name):
            return view
    raise InputError(f"there is no phase {name!r} to draw", hint=did_you_mean(str(name), [view.name for view in views], "phase"))


class _Drawing:
    """The work of one layout."""

    def __init__(self, views: tuple[View, ...], goal: str | None, title: str, compare: tuple[str, str] | None) -> None:
        self.views, self.goal, self.title = views, goal, title
        self.columns = [namespace.name for namespace in columns(views, {view.name: ways(view) for view in views})]
        self.compared = None
        if compare is not None:
            self.compared = Comparison(*compare, dict(changes(*(_find(views, name).state for name in compare))))
        column = {name: number for number, name in enumerate(self.columns)}
        self.drawn = {view.name: ways(view, column) for view in views}
        self.bars = Bars(self.drawn, compare)
        wide = self._wide()
        top = TITLE + BAND + self.bars.height(forward=True) + 8
        # Once to know how wide each namespace is, and once more with the texts that have been broken to that width.
        self.room = {name: ROOM if name in wide else NARROW for name in self.columns}
        for _ in range(2):
            self.written = {(view.name, name): self._notes(view, name) for view in views for name in self.columns}
            self.lanes = build(views, self.drawn, column, top, self._notes_height(), wide)
            self.room = {name: place.box.width - 2 * PAD for name, place in self.lanes.places.items()}
        self.way_lines = Tracks(self.lanes, column)
        self.tracks = {
            name: [self.way_lines.track(way, row_of(drawn, way)) for way in drawn] for name, drawn in self.drawn.items()
        }  # fmt: skip
        self.width = max(self.lanes.right + MARGIN, LEAST_WIDTH)
        self.below = self.lanes.bottom + 8 + self.bars.height(forward=False)

    def diagram(self) -> Diagram:
        stories = {view.name: tuple(story(view, self.drawn[view.name], self._goals(view.name))) for view in self.views}
        layers = [self._layer(view, stories[view.name]) for view in self.views]
        if self.compared is not None:
            stories[self.compared.name] = tuple(_compared(self.compared, stories))
            layers.insert(0, self._comparison(self.compared, stories[self.compared.name]))
        bottoms = [max(element.y for element in layer.elements if isinstance(element, Label)) + 22 for layer in layers]
        title = shortened(self.title, self.width - 2 * MARGIN, WRITING["title"].size, bold=True)
        ground = [Label(MARGIN, 26, title, "title", title=self.title), *self.lanes.elements, *self._bands()]
        layers = [replace(layer, elements=(*layer.elements, *legend(bottom, layer))) for layer, bottom in zip(layers, bottoms, strict=True)]
        scene = Scene(self.width, max(bottoms) + 18, self.title, Layer("", self.title, "", tuple(ground)), tuple(layers))
        return Diagram(scene, self.views, self.drawn, tuple(self.columns), self.goal, stories, self.compared)

    # -- what is measured before anything is placed

    def _goals(self, phase: str) -> Sequence[Way]:
        return () if self.goal is None or self.goal == phase else self.drawn[self.goal]

    def _wide(self) -> set[str]:
        """Return the namespaces in which much is written."""
        found: set[str] = set()
        for name, drawn in self.drawn.items():
            for way in drawn:
                left = leaving(way, intended_for(way, self._goals(name)))
                found |= {left.namespace} if left is not None else set()
                found |= {way.end.namespace} if way.end.kind != "delivered" else set()
        return found

    def _notes(self, view: View, namespace: str) -> tuple[list[Text], list[Text]]:
        """Return what is written in a namespace in a phase: above about the way there, below about the way back."""
        above: list[Text] = []
        below: list[Text] = []
        for way in self.drawn[view.name]:
            lines = notes_of(way, intended_for(way, self._goals(view.name)), namespace, self.room[namespace])
            (above if way.forward else below).extend(lines)
        return above, below

    def _notes_height(self) -> float:
        return max(
            (len(above) + len(below) + len(self._changed_lines(name))) * LINE + (8 if above and below else 0)
            for (_, name), (above, below) in self.written.items()
        )

    def _changed_lines(self, namespace: str) -> list[str]:
        what = self.compared.changed.get(namespace) if self.compared is not None else None
        style = WRITING["changed"]
        return wrapped(f"changed: {what}", self.room[namespace], style.size, bold=style.bold) if what is not None else []

    # -- layers

    def _layer(self, view: View, told: Sequence[Text]) -> Layer:
        elements: list[Element] = []
        for track in self.tracks[view.name]:
            goal = intended_for(track.way, self._goals(view.name))
            if goal is not None and track.way.end.kind != "delivered":
                elements += self._intended(view, track, goal)
        for track in self.tracks[view.name]:
            name = f"{view.name}-{track.way.kind}"
            elements += self._tubes(track, name, _data(view, track.way))
            elements += self._line(view, track, track.way.kind)
            elements += self.bars.of(name, track, self.way_lines, self.lanes, _data(view, track.way))
            elements += self._marks(view, track)
        elements += self._texts(view)
        packet = self.drawn[view.name][0].packet
        subtitle = shown(f"{view.name}: {view.title}" if view.title else view.name)
        elements += self._subtitle(subtitle, packet)
        elements += _paragraphs(told, self.width, self.below + BAND)
        return Layer(view.name, subtitle, _sentences(told), tuple(elements))

    def _subtitle(self, text: str, packet: str = "") -> Iterator[Label]:
        room = self.width - 3 * MARGIN - width(packet, WRITING["packet"].size, fixed=True)
        yield Label(MARGIN, 44, shortened(text, room, WRITING["subtitle"].size), "subtitle", title=text)
        if packet:
            yield Label(self.width - MARGIN, 44, packet, "packet", "end")

    def _texts(self, view: View) -> Iterator[Label]:
        top, bottom = self.lanes.middle
        for name in self.columns:
            place = self.lanes.places[name]
            above, below = self.written[view.name, name]
            for number, (kind, text) in enumerate(above):
                yield Label(place.left, top + 12 + number * LINE, text, kind, owner=place.box.id)
            for number, (kind, text) in enumerate(below):
                yield Label(place.left, bottom - 4 - (len(below) - 1 - number) * LINE, text, kind, owner=place.box.id)

    def _tubes(self, track: Track, name: str, data: Data) -> Iterator[Line]:
        for number, header in enumerate(header for header in track.way.headers if header.depth):
            pieces = track.pieces[int(header.start) + 1 : int(header.end) + 1]
            path = tuple(point for piece in pieces for point in piece.points)
            if len(path) > 1:
                yield Line(f"{name}-tube-{number}", path, "tube", f"{header.name}: {header.text}", data=data)

    def _line(self, view: View, track: Track, kind: str, prefix: str = "") -> Iterator[Line]:
        way = track.way
        for number, piece in enumerate(track.pieces):
            stop, before = piece.stop, way.stops[number - 1] if number else None
            told = (
                f"{way.kind} to {stop.namespace}{':' + stop.device if stop.device else ''}"
                if stop is not None
                else told_of(way.kind, way.end)
            )
            yield Line(
                f"{prefix or view.name}-{way.kind}-{number}",
                piece.points,
                kind,
                shown(told),
                self._arrow(track, stop, before),
                piece.source,
                piece.target,
                data=_data(view, way, stop or before),
            )

    def _arrow(self, track: Track, stop: Stop | None, before: Stop | None) -> tuple[Point, Point] | None:
        """Return the tip of an arrow where a line enters a namespace."""
        if stop is None or not stop.device or before is None or before.namespace == stop.namespace:
            return None
        box, forward = self.lanes.pill(track.row, stop), track.way.ahead(stop)
        ahead = 1 if forward else -1
        tip = (box.x - 1 if forward else box.right + 1, box.center[1])
        return tip, (tip[0] - 8 * ahead, tip[1])

    def _intended(self, view: View, track: Track, goal: Way) -> Iterator[Element]:
        """Yield the rest of the way that the packet should have taken, beside the one it took."""
        wanted = next(one for one in self.tracks[str(self.goal)] if one.way is goal)
        common = departure(track.way, goal)
        rest = wanted.moved(-ASIDE if track.way.forward else ASIDE)[common:]
        name = f"{view.name}-{track.way.kind}-intended"
        for number, points in enumerate(rest):
            yield Line(f"{name}-{number}", points, "intended", "the intended path", data=_data(view, track.way))
        if goal.end.kind == "delivered" and rest:
            yield Mark(f"{name}-end", *rest[-1][-1], "intended-end", f"the {goal.kind} should arrive here", data=_data(view, track.way))

    def _marks(self, view: View, track: Track, *, gone: bool = False) -> Iterator[Mark]:
        way, data = track.way, _data(view, track.way)
        name = f"{view.name}-{way.kind}"
        yield Mark(f"{name}-start", *track.start, f"start-{way.kind}", f"the {way.kind} begins here", data)
        kind = {"delivered": f"end-{way.kind}", "drop": "drop", "unknown": "unknown"}[way.end.kind]
        last = way.stops[-1] if way.stops else None
        end = (*_data(view, way, last), ("end", way.end.kind))
        if kind == "drop" and (gone or way.kind == "error"):
            kind = "drop-gone" if gone else "drop-error"
        yield Mark(f"{name}-end", *track.end, kind, told_of(way.kind, way.end), end)
        goal = intended_for(way, self._goals(view.name))
        left = leaving(way, goal)
        if left is not None and goal is not None and not gone:
            yield Mark(f"{name}-leaves", *self._fork(track, goal), "leave", f"leaves the intended path at {left.namespace}", data)

    def _fork(self, track: Track, goal: Way) -> Point:
        common = departure(track.way, goal)
        last = track.way.stops[common - 1] if common else None
        if last is None or not last.device:
            return track.pieces[common].points[0]
        box = self.lanes.pill(track.row, last)
        return (box.right + 8 if track.way.ahead(last) else box.x - 8), box.center[1]

    def _bands(self) -> Iterator[Label]:
        if self.bars.height(forward=True):
            yield Label(MARGIN, TITLE + BAND - 6, "headers on the way there", "band")
        if self.bars.height(forward=False):
            yield Label(MARGIN, self.below + 10, "headers on the way back", "band")

    def _comparison(self, compared: Comparison, told: Sequence[Text]) -> Layer:
        """Both phases in one picture: what is gone hollow and beside, what there is solid, and a box around what has changed."""
        elements: list[Element] = []
        before, after = _find(self.views, compared.before), _find(self.views, compared.after)
        now = {(track.way.kind, piece.points) for track in self.tracks[after.name] for piece in track.pieces}
        for track in self.tracks[before.name]:
            aside = -ASIDE if track.way.forward else ASIDE
            lines = list(self._line(before, track, "gone", f"gone-{before.name}"))
            for line, piece, points in zip(lines, track.pieces, track.moved(aside), strict=True):
                if (track.way.kind, piece.points) not in now:
                    elements.append(Line(line.id, points, "gone", f"gone: {line.title}", None, line.source, line.target, line.data))
            bars = self.bars.gone(f"gone-{before.name}-{track.way.kind}", track, self.way_lines, self.lanes, _data(before, track.way))
            elements += bars
            if track.way.end.kind != "delivered":
                elements += [mark for mark in self._marks(before, track, gone=True) if mark.kind.startswith("drop")]
        for track in self.tracks[after.name]:
            way, data = f"{after.name}-{track.way.kind}", _data(after, track.way)
            elements += [*self._tubes(track, way, data), *self._line(after, track, track.way.kind)]
            elements += [*self.bars.of(way, track, self.way_lines, self.lanes, data), *self._marks(after, track)]
        elements += self._texts(after)
        for namespace, what in compared.changed.items():
            place = self.lanes.places.get(namespace)
            if place is None:
                continue
            box = place.box
            elements.append(
                Box(f"changed-{namespace}", box.x - 2, box.y - 2, box.width + 4, box.height + 4, "changed", f"changed: {what}", "", 7)
            )
            above = len(self.written[after.name, namespace][0])
            for number, text in enumerate(self._changed_lines(namespace)):
                y = self.lanes.middle[0] + 12 + (above + number) * LINE
                elements.append(Label(place.left, y, text, "changed", owner=box.id))
        elements += [*self._subtitle(compared.name), *_paragraphs(told, self.width, self.below + BAND)]
        return Layer(compared.name, compared.name, _sentences(told), tuple(_renamed("compared", elements)))


def _compared(compared: Comparison, stories: Mapping[str, Sequence[Text]]) -> Iterator[Text]:
    """Yield what became of the packets of two phases, and what differs between them."""
    for phase, when, look in ((compared.before, "before", "story-quiet"), (compared.after, "now", "story")):
        for kind, text in stories[phase]:
            if kind != "story-quiet":
                yield look, f"{when}, {phase}: {text}"
    same: dict[str, list[str]] = {}
    for namespace, what in compared.changed.items():
        same.setdefault(what, []).append(namespace)
    for what, names in same.items():
        yield "story-changed", f"Changed at {', '.join(names)}: {what}"


def told_of(kind: str, end: End) -> str:
    """Return how a way ends, in a sentence."""
    if end.kind == "delivered":
        return f"the {kind} arrives at {end.namespace}"
    matched = f": {end.matched}" if end.matched else ""
    return f"the {kind} ends at {end.place}, {end.why}{matched}"


def _data(view: View, way: Way, stop: Stop | None = None) -> Data:
    hop: Data = (("hop", str(stop.hop)),) if stop is not None else ()
    if stop is not None and stop.again:
        hop += (("again", " ".join(map(str, stop.again))),)
    seen: Data = ()
    if view.crossed and stop is not None and stop.device:
        seen = (("seen", "yes" if f"{stop.namespace}:{stop.device}" in observed(view, way)[0] else "no"),)
    return (("phase", view.name), ("way", way.kind), ("trace", str(way.trace)), *hop, *seen)


def _renamed(prefix: str, elements: Sequence[Element]) -> Iterator[Element]:
    """Yield elements with ids of their own, so that they can stand beside those they were made like."""
    own = {element.id for element in elements if isinstance(element, Box)}
    for element in elements:
        if isinstance(element, Label):
            yield replace(element, owner=f"{prefix}-{element.owner}") if element.owner in own else element
        else:
            yield replace(element, id=f"{prefix}-{element.id}")


def _sentences(told: Sequence[Text]) -> str:
    return " ".join(f"{text}." for _, text in told)


def _paragraphs(told: Sequence[Text], right: float, top: float) -> Iterator[Label]:
    y = top + 16
    for kind, text in told:
        style = WRITING[kind]
        for line in wrapped(text, min(right - 2 * MARGIN, READABLE), style.size, fixed=style.fixed, bold=style.bold):
            yield Label(MARGIN, y, line, kind)
            y += 16


def _title(view: View) -> str:
    flow, seen = view.conversation.flow, view.conversation.seen
    owner = view.state.owner(flow.destination)
    target = owner.name if owner is not None else seen.namespace if seen is not None else ""
    return shown(f"{flow.source} → {f'{target} ({flow.destination})' if target else flow.destination}")
