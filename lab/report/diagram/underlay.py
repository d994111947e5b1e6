"""The lower part of a map: segments as bars, level by level away from the clusters, and the routers and hosts on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from itertools import pairwise

from lab.report.diagram.metrics import shortened, shown, width
from lab.report.diagram.palette import WRITING
from lab.report.diagram.scene import Box, Element, Label, Line, Mark
from lab.state import State, Veth

_BOX = 128.0
_NAME = 300.0
"""So much of a segment's name and network is written out."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the underlay: its switch, or the two ends of a cable."""

    name: str
    network: str
    members: tuple[tuple[str, str, str], ...]
    """Namespace, device, address."""


@dataclass(slots=True)
class Canvas:
    """A map while it is being drawn."""

    state: State
    elements: list[Element] = field(default_factory=list)
    boxes: dict[str, Box] = field(default_factory=dict)
    stubs: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Where the wire of a node reaches the bottom of its cluster."""


def segments(state: State) -> list[Segment]:
    """Return the segments of the underlay, in the order of the state."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    names: dict[str, str] = {}
    for namespace in state:
        if namespace.role in ("pod", "switch"):
            continue
        for link in namespace.links:
            peer = state.namespaces.get(link.kind.peer_namespace) if isinstance(link.kind, Veth) else None
            if peer is None or peer.role == "pod":
                continue
            key = peer.name if peer.role == "switch" else " - ".join(sorted((namespace.name, peer.name)))
            names[key] = peer.name if peer.role == "switch" else ""
            own = next((str(e.interface) for e in namespace.addresses_of(link.name) if isinstance(e.interface, IPv4Interface)), "")
            found.setdefault(key, {})[namespace.name, link.name] = own
    out = []
    for key, members in found.items():
        network = next((str(IPv4Interface(address).network) for address in members.values() if address), "")
        out.append(Segment(names[key] or key, network, tuple((name, device, address) for (name, device), address in members.items())))
    return out


def _levels(found: Sequence[Segment], state: State) -> dict[str, int]:
    """Give each segment its distance from the clusters, in routers."""
    level = {s.name: 0 for s in found if any(state[name].role == "node" for name, _, _ in s.members)}
    if not level and found:
        level[found[0].name] = 0
    distance = 0
    while True:
        near = {name for s in found if level.get(s.name) == distance for name, _, _ in s.members if state[name].role != "node"}
        following = [s for s in found if s.name not in level and any(name in near for name, _, _ in s.members)]
        if not following:
            rest = [s for s in found if s.name not in level]
            if not rest:
                return level
            following = rest[:1]
        level.update((s.name, distance + 1) for s in following)
        distance += 1


def underlay(drawn: Canvas, top: float, right: float) -> tuple[float, float]:
    """Draw segments as bars and what hangs on them, level by level; return the right and the lower edge."""
    state = drawn.state
    found = segments(state)
    level = _levels(found, state)
    of = {
        name: sorted((level[s.name], s.name) for s in found for member, _, _ in s.members if member == name)
        for name in _machines(found, state)
    }
    placed: dict[str, Box] = {}
    bars: dict[str, Box] = {}
    y = top + 34
    for depth in range(max(level.values(), default=-1) + 1):
        here = [s for s in found if level[s.name] == depth]
        y = _bars(drawn, here, y, right, placed, bars)
        machines = [name for name, where in of.items() if where and where[0][0] == depth]
        right = max(right, _place_machines(drawn, machines, of, bars, y + 30, placed))
        if machines:
            y += 30 + max(placed[name].height for name in machines) + 34
        else:
            y += 30
    _wires(drawn, found, level, placed, bars)
    return right, y - 20


def _machines(found: Sequence[Segment], state: State) -> list[str]:
    return list(dict.fromkeys(name for s in found for name, _, _ in s.members if state[name].role != "node"))


def _bars(drawn: Canvas, here: Sequence[Segment], y: float, right: float, placed: Mapping[str, Box], bars: dict[str, Box]) -> float:
    """Draw the segments of a level; those that would lie over each other get a line each."""
    rows: list[list[tuple[float, float]]] = []
    for segment in here:
        xs = [drawn.stubs[name][0] for name, _, _ in segment.members if name in drawn.stubs]
        xs += [edge for name, _, _ in segment.members if name in placed for edge in (placed[name].x, placed[name].right)]
        text = shown(f"{segment.name} {segment.network}")
        need = width(_short(text), WRITING["axis"].size) + 40
        left, end = (min(xs) - 6, max(xs) + 6) if xs else (18.0, right)
        end = max(end, left + need)
        row = next((n for n, spans in enumerate(rows) if all(end + 12 < a or left - 12 > b for a, b in spans)), len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append((left, end))
        bars[segment.name] = Box(f"segment-{segment.name}", left, y + row * 30, end - left, 6, "segment", text, radius=3)
        drawn.elements.append(bars[segment.name])
    return y + max(0, len(rows) - 1) * 30 + 6


def _place_machines(
    drawn: Canvas,
    machines: Sequence[str],
    of: Mapping[str, Sequence[tuple[int, str]]],
    bars: Mapping[str, Box],
    y: float,
    placed: dict[str, Box],
) -> float:
    """Place routers and hosts below the segments they hang on, side by side."""
    wishes = sorted(
        ((bars[of[name][0][1]].x if drawn.state[name].role != "router" else bars[of[name][0][1]].center[0] - _BOX / 2), name)
        for name in machines
    )
    edge = 18.0
    for wish, name in wishes:
        namespace = drawn.state[name]
        x = max(edge, wish)
        own = [str(e.interface.ip) for e in namespace.addresses if e.device != "lo" and e.interface.version == 4]
        kind = "namespace" if namespace.role == "router" else "device"
        box = Box(
            f"ns-{name}", x, y, _BOX, 22 + 12 * min(len(own), 4) + 4, kind, shown(f"{namespace.role} {name}: {', '.join(own)}"), radius=5
        )
        placed[name] = box
        drawn.elements.append(box)
        drawn.elements.append(
            Label(x + 8, y + 15, shortened(shown(name), _BOX - 16, 11, bold=True), "namespace-name", title=box.title, owner=box.id)
        )
        for number, address in enumerate(own[:4]):
            text = address if number < 3 or len(own) == 4 else f"and {len(own) - 3} more"
            drawn.elements.append(Label(x + 8, y + 28 + number * 12, text, "address", owner=box.id))
        edge = box.right + 22
    return edge - 22


def _wires(drawn: Canvas, found: Sequence[Segment], level: Mapping[str, int], placed: Mapping[str, Box], bars: dict[str, Box]) -> None:
    """Join what hangs on a segment with it, and write its name where no wire comes."""
    used: dict[tuple[str, bool], int] = {}
    for segment in found:
        bar = bars[segment.name]
        ends: list[float] = []
        for name, device, address in segment.members:
            told = shown(f"{name}:{device} {address}")
            if name in drawn.stubs:
                x = drawn.stubs[name][0]
                drawn.elements.append(
                    Line(f"wire-{name}-{device}", ((x, drawn.stubs[name][1]), (x, bar.y)), "wire", told, None, "", bar.id)
                )
                ends.append(x)
                continue
            box = placed[name]
            below = box.y > bar.y
            key = (name, below)
            x = min(box.x + 20 + used.get(key, 0) * 18, box.right - 8)
            used[key] = used.get(key, 0) + 1
            y = box.y if below else box.bottom
            drawn.elements.append(Line(f"wire-{name}-{device}", ((x, y), (x, bar.center[1])), "wire", told, None, box.id, bar.id))
            drawn.elements.append(Mark(f"plug-{name}-{device}", x, bar.center[1], "plug", told))
            ends.append(x)
        left, right = min([bar.x, *(x - 6 for x in ends)]), max([bar.right, *(x + 6 for x in ends)])
        wider = Box(bar.id, left, bar.y, right - left, bar.height, bar.kind, bar.title, "", bar.radius)
        drawn.elements[drawn.elements.index(bar)] = wider
        bars[segment.name] = wider
    for segment in found:
        _name(drawn, segment, bars[segment.name])


def _name(drawn: Canvas, segment: Segment, bar: Box) -> None:
    """Write a segment's name above or below its bar, where no wire crosses it."""
    text = _short(bar.title)
    wide = width(text, WRITING["axis"].size) + 8
    crossing = [(p, q) for line in drawn.elements if isinstance(line, Line) for p, q in pairwise(line.points)]
    for above in (False, True):
        y = bar.y - 5 if above else bar.bottom + 12
        xs = sorted(p[0] for p, q in crossing if p[0] == q[0] and min(p[1], q[1]) < y and max(p[1], q[1]) > y - 11)
        edges = [bar.x - 4, *(x for x in xs if bar.x < x < bar.right), bar.right + 4]
        gap = next(((a, b) for a, b in pairwise(edges) if b - a >= wide + 4), None)
        if gap is not None:
            drawn.elements.append(Label(gap[0] + 6, y, text, "axis", title=bar.title))
            return
    drawn.elements.append(Label(bar.right + 8, bar.bottom, text, "axis", title=bar.title))


def _short(text: str) -> str:
    return shortened(text, _NAME, WRITING["axis"].size)
