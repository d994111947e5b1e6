"""Where the line of a way runs: through the devices it passes, over or under what it passes by, to where the packet ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from lab.report.diagram.lanes import Lanes, Row, bus_column, row_at
from lab.report.diagram.scene import Box, Point
from lab.report.diagram.ways import Header, Stop, Way

_INSET = 8.0
_TURN = 13.0
"""From a device to where the line of a packet turns that goes back out of it."""
_MARK = 11.0
"""From a device to a mark beside it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line, up to a stop; the last one leads to where the packet ends, and has none."""

    stop: Stop | None
    points: tuple[Point, ...]
    source: str
    target: str
    """The boxes it joins."""


@dataclass(frozen=True, slots=True)
class Track:
    """A way with its line."""

    way: Way
    row: Row
    pieces: tuple[Piece, ...]
    start: Point
    end: Point

    def moved(self, aside: float) -> tuple[tuple[Point, ...], ...]:
        """Return the pieces' points, all a little higher or lower."""
        return tuple(tuple((x, y + aside) for x, y in piece.points) for piece in self.pieces)


class Tracks:
    """The lines of ways through one scenery."""

    def __init__(self, lanes: Lanes, column: Mapping[str, int]) -> None:
        self._lanes, self._column = lanes, column

    def track(self, way: Way, row: Row) -> Track:
        """Return the line of a way on a row."""
        start = here = self._start(way, row)
        pieces: list[Piece] = []
        place = self._lanes.places.get(way.origin)
        source = place.box.id if place is not None else ""
        before: Stop | None = None
        at = float(self._column.get(way.origin, 0))
        for number, stop in enumerate(way.stops):
            if stop.device:
                box, column = self._lanes.pill(row, stop), float(self._column[stop.namespace])
                there = (self._lanes.under(row, stop).center[0], box.center[1])
            else:
                left = bus_column(way, number, self._column, self._lanes.ends)
                box, column = self._lanes.buses[stop.namespace, left], left + 0.5
                there = (box.center[0], self._lanes.base[row_at(row, stop)])
            points = self._between(way, row, before, stop, here, there, passing=abs(column - at) > 1)
            pieces.append(Piece(stop, points, source, box.id))
            here, before, at, source = there, stop, column, box.id
        end = self._end(way, row, here)
        if end != here:
            points = (here, end) if here[1] == end[1] else (here, (end[0], here[1]), end)
            pieces.append(Piece(None, points, source, self._lanes.places[way.end.namespace].box.id))
        return Track(way, row, tuple(pieces), start, end)

    def span(self, track: Track, header: Header) -> tuple[float, float]:
        """Return from where to where a header is drawn."""
        first, last = (self._edge(track, header, header.start), self._edge(track, header, header.end, last=True))
        passed = [piece.points[-1][0] for piece in track.pieces[ceil(header.start) : int(header.end)]] if track.way.rows > 1 else []
        return min(first, last, *passed), max(first, last, *passed)

    def _edge(self, track: Track, header: Header, at: float, *, last: bool = False) -> float:
        way, pieces = track.way, track.pieces
        if not pieces:
            return track.start[0]
        if at >= len(way.stops) - 1 and last and (way.end.kind != "delivered" or not header.depth):
            return track.end[0]
        if at <= 0 and not last and not header.depth:
            return track.start[0]
        if at % 1:
            following = pieces[min(int(at) + 1, len(pieces) - 1)].points[-1][0]
            return (pieces[int(at)].points[-1][0] + following) / 2
        stop = way.stops[int(at)]
        if header.depth and stop.device:
            box = self._lanes.pill(track.row, stop)
            return box.x if way.ahead(stop) != last else box.right
        return pieces[int(at)].points[-1][0]

    def _sides(self, row: Row, namespace: str) -> dict[str, list[Box]]:
        found: dict[str, list[Box]] = {"left": [], "right": []}
        for (at, name, _, side), box in self._lanes.pills.items():
            if at == row and name == namespace:
                found[side].append(box)
        return found

    def _start(self, way: Way, row: Row) -> Point:
        place, y = self._lanes.places.get(way.origin), self._lanes.base[row]
        if place is None:
            return (self._lanes.left, y)
        sides = self._sides(row, way.origin)
        if way.forward:
            return (place.box.center[0] if sides["left"] else place.left + _INSET, y)
        return (place.box.center[0] if sides["right"] else place.right - _INSET, y)

    def _end(self, way: Way, row: Row, here: Point) -> Point:
        """Return where the packet ends: in its receiver, or at the stage that decided."""
        place = self._lanes.places.get(way.end.namespace)
        if place is None:
            return here
        last = way.stops[-1] if way.stops else None
        forward = way.ahead(last)
        ahead = 1 if forward else -1
        far = place.right if forward else place.left
        if last is None or last.namespace != way.end.namespace:
            return (here[0] + ahead * (2 * _MARK + (abs(far - here[0]) - 3 * _MARK) * way.end.position), here[1]) if last is None else here
        beyond = self._sides(row_at(row, last), place.name)["right" if forward else "left"]
        if way.end.kind == "delivered":
            return (place.box.center[0] if beyond else far - ahead * _INSET), here[1]
        box = self._lanes.pill(row, last)
        edge = box.right if forward else box.x
        if last.side == ("right" if forward else "left"):
            return (box.x if forward else box.right) - ahead * _MARK, here[1]
        level = [other for other in beyond if other.center[1] == here[1]]
        if level:
            far = min(other.x for other in level) if forward else max(other.right for other in level)
        return edge + ahead * (_MARK + max(0.0, abs(far - edge) - 2 * _MARK) * way.end.position), here[1]

    def _between(
        self, way: Way, row: Row, before: Stop | None, stop: Stop, here: Point, there: Point, *, passing: bool
    ) -> tuple[Point, ...]:
        if stop.namespace == (before.namespace if before is not None else way.origin):
            if before is not None and before.back != stop.back:
                return self._turned(way, row, before, stop, here, there)
            if here[1] == there[1]:
                return here, there
            turn = here[0] if before is None or before.side == stop.side else self._turn(row, before, stop, here, there)
            return here, (turn, here[1]), (turn, there[1]), there
        if here[1] == there[1] and not passing:
            return here, there
        forward = way.ahead(stop)
        arrive = self._arrival(forward, stop, there)
        if not passing:
            return here, (arrive, here[1]), (arrive, there[1]), there
        out = self._departure(forward, before, here)
        y = self._lanes.above + 4 * row[1] if way.forward else self._lanes.below - 4 * row[1]
        return here, (out, here[1]), (out, y), (arrive, y), (arrive, there[1]), there

    def _departure(self, forward: bool, before: Stop | None, here: Point) -> float:
        """Return where a line turns after it has left a namespace, or crossed a switch."""
        if before is None:
            return here[0]
        if not before.device:
            return here[0] + 19 if forward else here[0] - 8
        frame = self._lanes.places[before.namespace].frame
        return frame.right + 6 if forward else frame.x - 6

    def _arrival(self, forward: bool, stop: Stop, there: Point) -> float:
        """Return where a line turns before it enters a namespace, or crosses a switch."""
        if not stop.device:
            return there[0] - 8 if forward else there[0] + 19
        frame = self._lanes.places[stop.namespace].frame
        return frame.x - 6 if forward else frame.right + 6

    def _turned(self, way: Way, row: Row, before: Stop, stop: Stop, here: Point, there: Point) -> tuple[Point, ...]:
        """Return the line of a packet that turns back in a namespace: on beyond its devices, and to the other row."""
        boxes = self._lanes.pill(row, before), self._lanes.pill(row, stop)
        turn = max(box.right for box in boxes) + _TURN if way.ahead(before) else min(box.x for box in boxes) - _TURN
        return here, (turn, here[1]), (turn, there[1]), there

    def _turn(self, row: Row, before: Stop, stop: Stop, here: Point, there: Point) -> float:
        """Return where a line climbs from a device on one side to a device on the other."""
        one, other = self._lanes.pill(row, before), self._lanes.pill(row, stop)
        left, right = (one, other) if one.center[0] <= other.center[0] else (other, one)
        turn = (left.right + right.x) / 2
        if left.right > right.x:
            raised = max((left, right), key=lambda box: abs(box.center[1] - self._lanes.base[row]))
            turn = raised.right + 6 if raised is left else raised.x - 6
        return min(max(turn, min(here[0], there[0])), max(here[0], there[0]))
