"""The headers of a packet as bars outside the frames, for as long as the packet bears them: the innermost next to the frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.report.diagram.lanes import Lanes, Row, row_of
from lab.report.diagram.metrics import shortened
from lab.report.diagram.palette import WRITING
from lab.report.diagram.scene import Box, Data, Element, Label
from lab.report.diagram.tracks import Track, Tracks
from lab.report.diagram.ways import Header, Way

HEIGHT = 27.0
STEP = 30.0
LEAST = 14.0


@dataclass(frozen=True, slots=True)
class _Bar:
    """A header with its place."""

    level: int
    """0 next to the frames."""
    left: float
    right: float
    header: Header


class Bars:
    """Where bars lie, in all phases of a picture, and in the comparison of two."""

    def __init__(self, drawn: Mapping[str, Sequence[Way]], compare: tuple[str, str] | None) -> None:
        self._depths: dict[Row, int] = {}
        """How many headers lie over each other on each row, in any phase."""
        for ways in drawn.values():
            for way in ways:
                for header in way.headers:
                    row = _row(row_of(ways, way), header)
                    self._depths[row] = max(self._depths.get(row, 0), header.depth + 1)
        now = {_borne(ways, way, header) for ways in ([drawn[compare[1]]] if compare else []) for way in ways for header in way.headers}
        before = drawn[compare[0]] if compare else ()
        self._gone = {(way.kind, header) for way in before for header in way.headers if _borne(before, way, header) not in now}
        rows = {(_row(row_of(before, way), header), header.depth) for way in before for header in way.headers if self.is_gone(way, header)}
        self._gone_levels: dict[tuple[Row, int], int] = {}
        """What is gone lies beyond all that is there in any phase: the number of its level from there."""
        for key in sorted(rows):
            self._gone_levels[key] = sum(other[0] == key[0][0] for other, _ in self._gone_levels)

    def height(self, *, forward: bool) -> float:
        """Return how much room they take above, for the way there, or below, for the way back."""
        return self._levels(forward) * STEP + sum(row[0] == forward for row, _ in self._gone_levels) * STEP

    def is_gone(self, way: Way, header: Header) -> bool:
        """Whether a header of the earlier of two compared phases is not borne in the later, or not there."""
        return (way.kind, header) in self._gone

    def of(self, name: str, track: Track, lines: Tracks, lanes: Lanes, data: Data) -> Iterator[Element]:
        """Yield the bars of a way; `name` begins their ids."""
        ahead = track.way.forward
        found: list[_Bar] = []
        for header in track.way.headers:
            row = _row(track.row, header)
            inner = sum(depth for (forward, number), depth in self._depths.items() if forward == ahead and number < row[1])
            found.append(_Bar(header.depth + inner, *lines.span(track, header), header))
        kind = f"bar-{track.way.kind}"
        yield from _drawn(name, found, ahead, lanes, lambda header: "bar-tunnel" if header.depth else kind, data)

    def gone(self, name: str, track: Track, lines: Tracks, lanes: Lanes, data: Data) -> Iterator[Element]:
        """Yield what of the bars of a way is gone in the later of the compared phases."""
        ahead = track.way.forward
        levels = self._levels(ahead)
        found = [
            _Bar(levels + self._gone_levels[_row(track.row, header), header.depth], *lines.span(track, header), header)
            for header in track.way.headers
            if self.is_gone(track.way, header)
        ]
        yield from _drawn(name, found, ahead, lanes, lambda _: "bar-gone", data, "gone: ")

    def _levels(self, forward: bool) -> int:
        return sum(depth for (ahead, _), depth in self._depths.items() if ahead == forward)


def _row(row: Row, header: Header) -> Row:
    return row[0], row[1] + header.turned


def _borne(ways: Sequence[Way], way: Way, header: Header) -> tuple[object, ...]:
    """Return what a header is, and from where to where it is borne."""
    ends = ((way.stops[int(at)] if way.stops else way.origin, at % 1) for at in (header.start, header.end))
    return (way.kind, _row(row_of(ways, way), header), replace(header, start=0, end=0), *ends)


def _drawn(
    name: str, bars: Sequence[_Bar], above: bool, lanes: Lanes, look: Callable[[Header], str], data: Data, prefix: str = ""
) -> Iterator[Element]:
    for number, bar in enumerate(_joined(bars)):
        header, kind = bar.header, look(bar.header)
        up, down = lanes.top - 5 - (bar.level + 1) * STEP, lanes.bottom + 8 + bar.level * STEP
        y, wide = up if above else down, max(bar.right - bar.left, LEAST)
        told = f"{prefix}{header.name}: {header.text}"
        box = Box(f"{name}-header-{number}", bar.left, y, wide, HEIGHT, kind, told, "", 3, data)
        yield box
        for line, text in enumerate((header.name, header.text)):
            short = shortened(text, wide - 8, WRITING[kind].size, fixed=True)
            if len(short) > 4 or short == text:
                yield Label(box.center[0], y + 11 + line * 11.5, short, kind, "middle", told, owner=box.id)


def _joined(bars: Sequence[_Bar]) -> Iterator[_Bar]:
    """Yield bars; those of the same header that lie over each other, where a packet comes by once more, as one."""
    found: list[_Bar] = []
    for bar in bars:
        for at, other in enumerate(found):
            same = (bar.level, bar.header.name, bar.header.text) == (other.level, other.header.name, other.header.text)
            if same and bar.left <= other.right and other.left <= bar.right:
                found[at] = replace(other, left=min(bar.left, other.left), right=max(bar.right, other.right))
                break
        else:
            found.append(bar)
    yield from found
