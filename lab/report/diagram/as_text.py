"""A path picture as text: namespaces side by side, a line for each way, the drop mark at its place; no wider than the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from lab.errors import printable
from lab.report.diagram.notes import leaving
from lab.report.diagram.paths import Comparison, Diagram
from lab.report.diagram.ways import Way, departure

if TYPE_CHECKING:
    from rich.text import Text

Segment = tuple[str, str]
"""A piece of a line, and the kind of thing it is."""
_Visit = tuple[str, int, bool]
"""A namespace on a way, its column, and whether the packet comes to it inside a tunnel."""

STYLES = {
    "name": "bold",
    "lane": "dim",
    "request": "cyan",
    "reply": "green",
    "error": "yellow",
    "intended": "dim",
    "drop": "bold red",
    "unknown": "bold magenta",
    "leave": "bold yellow",
    "story-drop": "bold red",
    "story-leave": "yellow",
    "story-changed": "yellow",
    "story-quiet": "dim",
    "gone": "dim",
}
_LABEL = 10
_HOLLOW = str.maketrans("●▶◀", "○▷◁")
LONGEST = 18
"""Longer names are cut."""


def text(diagram: Diagram, phase: str | None = None, *, width: int = 100, story: bool = True) -> str:
    """Return a phase of a path picture as lines of text, none longer than `width` columns; `story` adds what became of the packets."""
    return "".join("".join(part for part, _ in line).rstrip() + "\n" for line in lines(diagram, phase, width, story=story))


def rich_text(diagram: Diagram, phase: str | None = None, *, width: int = 100, story: bool = True) -> Text:
    """Return the same with the colours of a terminal."""
    from rich.text import Text

    found = Text()
    for line in lines(diagram, phase, width, story=story):
        while line and not line[-1][0].strip():
            line.pop()
        if line:
            line[-1] = (line[-1][0].rstrip(), line[-1][1])
        found.append_text(Text.assemble(*((part, STYLES.get(kind, "")) for part, kind in line), "\n"))
    found.right_crop(1)
    return found


def lines(diagram: Diagram, phase: str | None, width: int, *, story: bool) -> Iterator[list[Segment]]:
    """Yield the lines of a phase, each in segments, or of the comparison of two: what is gone hollow, what has changed in brackets."""
    compared = diagram.compared if diagram.compared is not None and phase == diagram.compared.name else None
    name = diagram.view(phase).name if compared is None else compared.name
    changed = compared.changed if compared is not None else {}
    names = {one: f"[{_cut(one)}]" if one in changed else _cut(one) for one in diagram.order}
    for chunk, gap in _chunks(names, max(width, 40) - _LABEL):
        columns = _centres(chunk, gap)
        yield _lanes(diagram, chunk, gap)
        yield [(" " * _LABEL, ""), ("".join(shown + " " * gap for shown in chunk.values()), "name")]
        yield from _ways(diagram, name, columns) if compared is None else _compared(diagram, compared, columns)
    if story:
        for kind, said in diagram.stories[name]:
            mark = {"story-drop": "✗ ", "story-leave": "◇ ", "story-changed": "□ "}.get(kind, "  ")
            for number, part in enumerate(textwrap.wrap(printable(said), max(width, 40) - 2, break_on_hyphens=False)):
                yield [((mark if number == 0 else "  ") + part, kind)]


def _ways(diagram: Diagram, phase: str, columns: dict[str, int]) -> Iterator[list[Segment]]:
    for way in diagram.ways[phase]:
        goal = diagram.goal(way, phase)
        yield from _labelled(way.kind, way.kind, _way(way, goal, columns))
        if goal is not None and leaving(way, goal) is not None:
            yield _rest(goal, departure(way, goal), columns)


def _compared(diagram: Diagram, compared: Comparison, columns: dict[str, int]) -> Iterator[list[Segment]]:
    """Yield the ways of two phases, each with a sign: gone, new, or neither."""
    before, after = (
        [(way.kind, way.stops, way.end, way.headers) for way in diagram.ways[one]] for one in (compared.before, compared.after)
    )
    for way, what in zip(diagram.ways[compared.before], before, strict=True):
        if what not in after:
            yield from _labelled(f"- {way.kind}", "gone", (_hollow(line, way) for line in _way(way, None, columns)))
    for way, what in zip(diagram.ways[compared.after], after, strict=True):
        sign = " " if what in before else "+"
        yield from _labelled(f"{sign} {way.kind}", way.kind, _way(way, None, columns))


def _hollow(line: Sequence[Segment], way: Way) -> list[Segment]:
    return [(part.translate(_HOLLOW), kind if kind == way.end.kind else "gone") for part, kind in line]


def _labelled(label: str, kind: str, lines: Iterable[list[Segment]]) -> Iterator[list[Segment]]:
    for number, line in enumerate(lines):
        yield [((label if number == 0 else "").ljust(_LABEL), kind), *line]


def _cut(name: str) -> str:
    name = printable(name)
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}…{name[-LONGEST // 2 + 1 :]}"


def _chunks(names: Mapping[str, str], room: int) -> Iterator[tuple[dict[str, str], int]]:
    """Break the columns, namespaces with what is written over them, into as few rows as fit, with as much room between as there is."""
    for gap in (4, 3, 2, 1):
        if sum(len(shown) + gap for shown in names.values()) <= room:
            yield dict(names), gap
            return
    chunk: dict[str, str] = {}
    for name, shown in names.items():
        if chunk and sum(len(one) + 2 for one in (*chunk.values(), shown)) > room:
            yield chunk, 2
            chunk = {}
        chunk[name] = shown
    yield chunk, 2


def _centres(chunk: Mapping[str, str], gap: int) -> dict[str, int]:
    found: dict[str, int] = {}
    at = 0
    for name, shown in chunk.items():
        found[name] = at + len(shown) // 2
        at += len(shown) + gap
    return found | {"": at}


def _lanes(diagram: Diagram, chunk: Mapping[str, str], gap: int) -> list[Segment]:
    line, last = " " * _LABEL, None
    at = _LABEL
    for name, shown in chunk.items():
        lane = _lane(diagram, name)
        if lane != last:
            line = line[: at - 1].ljust(at) + lane
            last = lane
        at += len(shown) + gap
    return [(line[:at], "lane")]


def _lane(diagram: Diagram, name: str) -> str:
    for view in diagram.views:
        if name in view.state.namespaces:
            return printable(view.state[name].cluster or "corporate network")
    return ""


class _Canvas:
    """One line, written character by character."""

    def __init__(self, width: int) -> None:
        self.cells: list[Segment] = [(" ", "")] * width

    def run(self, start: int, end: int, character: str, kind: str) -> None:
        for at in range(max(0, min(start, end)), min(len(self.cells), max(start, end) + 1)):
            self.cells[at] = (character, kind)

    def put(self, at: int, character: str, kind: str) -> None:
        if 0 <= at < len(self.cells):
            self.cells[at] = (character, kind)

    def segments(self) -> list[Segment]:
        found: list[Segment] = []
        for character, kind in self.cells:
            if found and found[-1][1] == kind:
                found[-1] = (found[-1][0] + character, kind)
            else:
                found.append((character, kind))
        return found


def _visits(way: Way, columns: dict[str, int]) -> list[_Visit]:
    """Return the namespaces on a way with their columns, and whether the packet comes to them inside a tunnel.

    A namespace of another chunk of columns stands beyond the edge on its side.
    """
    found: list[_Visit] = []
    inside = {
        number
        for header in way.headers
        if header.depth
        for number in range(int(header.start) + 1, int(header.end) + 1)
    }  # fmt: skip
    first = min(at for name, at in columns.items() if name)
    names = [name for name in way.namespaces if name in columns]
    if way.origin in columns:
        found.append((way.origin, columns[way.origin], False))
    elif names:
        found.append(("", -1 if way.forward else columns[""], False))
    for number, stop in enumerate(way.stops):
        if stop.namespace in columns and stop.device and (not found or found[-1][0] != stop.namespace):
            found.append((stop.namespace, columns[stop.namespace], number in inside))
    if (
        names
        and way.end.namespace not in columns
        and not any(way.end.namespace == stop.namespace and not stop.device for stop in way.stops)
    ):
        found.append(("", columns[""] if way.forward else first - first - 1, False))
    return found


def _way(way: Way, goal: Way | None, columns: dict[str, int]) -> Iterator[list[Segment]]:
    """Yield the lines of a way, without what stands before them: one, and one more for each time the packet turns back."""
    visits = _visits(way, columns)
    legs = list(_legs(visits, 1 if way.forward else -1))
    plain = "╌" if way.kind == "error" else "─"
    for number, (leg, onward) in enumerate(legs):
        canvas = _Canvas(columns[""])
        first, last = number == 0, number + 1 == len(legs)
        if last and goal is not None and way.end.kind != "delivered" and leaving(way, goal) is None:
            rest = [at for name, at, _ in _visits(goal, columns) if name]
            if rest and leg:
                canvas.run(leg[-1][1], rest[-1], "┄", "intended")
                canvas.put(rest[-1], "○", "intended")
        for (_, start, _), (_, end, tunnel) in pairwise(leg):
            canvas.run(start, end, "═" if tunnel else plain, way.kind)
        for name, at, _ in leg[1:]:
            if name:
                canvas.put(at, "▶" if onward > 0 else "◀", way.kind)
        if not first:  # from where the line above has turned
            canvas.put(leg[0][1], plain, way.kind)
            canvas.put(leg[0][1] - onward, "┘" if onward < 0 else "└", way.kind)
        if not last:
            canvas.put(leg[-1][1] + onward, "┐" if onward > 0 else "┌", way.kind)
        if first and leg and leg[0][0] == way.origin:
            canvas.put(leg[0][1], "●", way.kind)
        left = leaving(way, goal)
        if first and left is not None and left.namespace in columns:
            canvas.put(columns[left.namespace], "◇", "leave")
        if last:
            _ending(way, canvas, columns, leg, onward, plain)
        yield canvas.segments()


def _ending(way: Way, canvas: _Canvas, columns: dict[str, int], leg: Sequence[_Visit], onward: int, plain: str) -> None:
    """Write how a way ends, beside the last of its visits."""
    if leg and way.end.kind == "delivered" and leg[-1][0] == way.end.namespace and len(way.namespaces) > 1:
        canvas.put(leg[-1][1], "○", way.kind)
    elif leg and way.end.kind != "delivered" and leg[-1][0]:
        at = leg[-1][1]
        ahead = onward * (2 if way.end.namespace not in columns or leg[-1][0] == way.end.namespace else 0)
        canvas.run(at + onward, at + ahead, plain, way.kind)
        canvas.put(at + ahead, "✗" if way.end.kind == "drop" else "?", "error" if way.kind == "error" else way.end.kind)


def _legs(visits: Sequence[_Visit], onward: int) -> Iterator[tuple[list[_Visit], int]]:
    """Yield the visits cut where the packet turns, each part with its direction: 1 to the right, -1 to the left."""
    leg = list(visits[:1])
    for before, visit in pairwise(visits):
        direction = onward if visit[1] == before[1] else 1 if visit[1] > before[1] else -1
        if direction != onward and len(leg) > 1:
            yield leg, onward
            leg = [before]
        onward = direction
        leg.append(visit)
    yield leg, onward


def _rest(goal: Way, common: int, columns: dict[str, int]) -> list[Segment]:
    """Return the line of the intended path, from where the packet left it."""
    canvas = _Canvas(columns[""])
    left_at = goal.stops[common - 1].namespace if common else goal.origin
    names = [name for name in goal.namespaces if name in columns]
    names = names[names.index(left_at) :] if left_at in names else names
    ats = [columns[name] for name in names]
    for start, end in pairwise(ats):
        canvas.run(start, end, "┄", "intended")
    for at in ats[1:]:
        canvas.put(at, "▶" if goal.forward else "◀", "intended")
    if left_at in names and left_at != goal.end.namespace:
        canvas.put(columns[left_at], "◇", "leave")
    if ats and goal.end.kind == "delivered" and goal.end.namespace in columns:
        canvas.put(columns[goal.end.namespace], "○", "intended")
    return [("intended".ljust(_LABEL), "intended"), *canvas.segments()]
