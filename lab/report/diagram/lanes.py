"""The scenery of a path picture: lanes cluster > node > namespace > device in path order, computed once for all phases.

The question runs on rows above, the answer on rows below. In each namespace the devices it enters and leaves by stand at its left and right
edge; tunnel devices stand over them, as the overlay over the underlay: a packet that is wrapped goes down into the device below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.report.diagram.addresses import address_text, worth_telling
from lab.report.diagram.metrics import shortened, shown, width
from lab.report.diagram.order import nested
from lab.report.diagram.palette import WRITING
from lab.report.diagram.scene import Box, Element, Label
from lab.report.diagram.ways import Side, Stop, View, Way
from lab.state import Namespace, State, Veth, Vxlan

PILL = 19.0
LEVEL = 33.0
"""From a device to the tunnel device over it."""
BETWEEN = 20.0
"""At least so much lies between the devices on the left and those on the right."""
PAD = 7.0
FRAME = 5.0
NARROW = 86.0
"""The least width of a namespace, without its padding."""
ROOM = 150.0
"""The least width where a packet ends or leaves its way: the reason stands there."""
SWITCH = 27.0
NEXT = 10.0
LANE = 7.0
LANE_NAME = 170.0
"""So much of a lane's name is written out, however narrow what is in the lane."""
BETWEEN_LANES = 10.0
HEAD = 36.0
LINE = 12.0
BYPASS = 15.0
LONGEST_NAME = 13
NETWORK = "network"


def row_of(ways: Sequence[Way], way: Way) -> tuple[bool, int]:
    """Return the row a way begins on: above or below, and the number from above. What leads back is on the next."""
    same = [other for other in ways if other.forward == way.forward]
    return way.forward, sum(other.rows for other in same[: same.index(way)])


def row_at(row: Row, stop: Stop | None) -> Row:
    """Return the row a stop is on, of a way that begins on `row`."""
    return row[0], row[1] + (stop is not None and stop.back)


Row = tuple[bool, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace in the scenery."""

    name: str
    column: int
    box: Box
    frame: Box
    """The node's frame, or the namespace's own box."""

    @property
    def left(self) -> float:
        """Where its inside begins."""
        return self.box.x + PAD

    @property
    def right(self) -> float:
        """Where its inside ends."""
        return self.box.right - PAD


@dataclass(slots=True)
class Lanes:
    """All places of a path picture."""

    places: dict[str, Place] = field(default_factory=dict)
    pills: dict[tuple[Row, str, str, Side], Box] = field(default_factory=dict)
    """Devices: by row, namespace, name and side."""
    levels: dict[tuple[Row, str, str, Side], int] = field(default_factory=dict)
    buses: dict[tuple[str, int], Box] = field(default_factory=dict)
    """Switches: by name and the column left of them."""
    ends: dict[int, int] = field(default_factory=dict)
    """For each column the last one of the same node."""
    base: dict[Row, float] = field(default_factory=dict)
    middle: tuple[float, float] = (0, 0)
    above: float = 0
    below: float = 0
    """The heights at which a line passes by a namespace."""
    version: int = 4
    """Of IP, of the packet in front."""
    top: float = 0
    bottom: float = 0
    left: float = 0
    right: float = 0
    elements: list[Element] = field(default_factory=list)

    def pill(self, row: Row, stop: Stop) -> Box:
        """Return the box of a stop's device, of a way that begins on `row`."""
        return self.pills[row_at(row, stop), stop.namespace, stop.device, stop.side]

    def under(self, row: Row, stop: Stop) -> Box:
        """Return the device that stands under a stop's, or its own."""
        own, row = self.pill(row, stop), row_at(row, stop)
        for (other, name, _, side), box in self.pills.items():
            if (other, name, side) == (row, stop.namespace, stop.side) and box.center[1] == self.base[row]:
                return box
        return own


def lane_of(namespace: Namespace) -> str:
    """Return the lane a namespace is in: its cluster, or the network between them."""
    return namespace.cluster or ""


def node_of(namespace: Namespace) -> str:
    """Return the node a namespace is, or lives on."""
    return namespace.parent or namespace.name


def columns(views: Sequence[View], drawn: Mapping[str, Sequence[Way]]) -> list[Namespace]:
    """Return the namespaces of all ways in the order of lanes."""
    known: dict[str, Namespace] = {}
    sequences: list[list[str]] = []
    for view in views:
        for way in drawn[view.name]:
            names = [name for name in way.namespaces if view.state[name].role != "switch"]
            known.update((name, view.state[name]) for name in names)
            sequences.append(names if way.forward else names[::-1])
    keys = (lambda name: lane_of(known[name]), lambda name: node_of(known[name]))
    return [known[name] for name in nested(sequences, keys)]


def bus_column(way: Way, number: int, column: Mapping[str, int], ends: Mapping[int, int]) -> int:
    """Return the column left of a switch, at which a way crosses it: the last of a node, of which `ends` has that for each column."""
    visited = [(n, column[stop.namespace]) for n, stop in enumerate(way.stops) if stop.namespace in column]
    before = [c for n, c in visited if n < number] or [column.get(way.origin, 0)]
    after = [c for n, c in visited if n > number]
    if after:
        return ends[min(before[-1], after[0])]
    return ends[before[-1]] if way.ahead(way.stops[number]) else ends[max(0, before[-1] - 1)]


def build(
    views: Sequence[View], drawn: Mapping[str, Sequence[Way]], number: Mapping[str, int], top: float, notes: float, wide: set[str]
) -> Lanes:
    """Lay the scenery out from `top` on.

    `number` gives each namespace its column, `notes` is the height of what is written in them, `wide` are those that need room.
    """
    lanes = Lanes(version=views[0].conversation.flow.destination.version if views else 4, top=top)
    found = [_last(views, name) for name in number]
    lanes.ends = _ends(found)
    buses: dict[tuple[str, int], str] = {}
    devices: dict[tuple[Row, str, Side], dict[str, bool]] = {}
    passes_above = passes_below = False
    for view in views:
        for way in drawn[view.name]:
            row = row_of(drawn[view.name], way)
            last = number.get(way.origin, 0)
            for position, stop in enumerate(way.stops):
                if not stop.device:
                    at = bus_column(way, position, number, lanes.ends)
                    buses.setdefault((stop.namespace, at), _segment_name(view.state, stop.namespace))
                    continue
                devices.setdefault((row_at(row, stop), stop.namespace, stop.side), {}).setdefault(stop.device, stop.tunnel)
                here = number[stop.namespace]
                if abs(here - last) > 1:
                    passes_above, passes_below = passes_above or way.forward, passes_below or not way.forward
                last = here
    levels = _levels(devices)
    lanes.levels = {(row, name, device, side): level for (row, name, side), there in levels.items() for device, level in there.items()}
    rows = sorted(
        {row_at(row_of(ways, way), stop) for ways in drawn.values() for way in ways for stop in (None, *way.stops)},
        key=lambda row: (not row[0], row[1]),
    )
    highest = {row: max((lv for key, lv in lanes.levels.items() if key[0] == row), default=0) for row in rows}

    lanes.above = top + 24 + BYPASS / 2
    frames_top = top + 24 + (BYPASS if passes_above else 0)
    box_top = frames_top + 20
    y = box_top + HEAD
    for row in (row for row in rows if row[0]):
        y += highest[row] * LEVEL + (8 if highest[row] else 0)
        lanes.base[row] = y + PILL / 2
        y += PILL + 6
    names = max((width(text, WRITING["segment-name"].size) for text in buses.values()), default=0.0)
    lanes.middle = (y, y + max(notes + 8, names + 12))
    y = lanes.middle[1]
    for row in (row for row in rows if not row[0]):
        lanes.base[row] = y + PILL / 2
        y += PILL + highest[row] * LEVEL + (8 if highest[row] else 0) + 6
    box_bottom = y + 4
    frames_bottom = box_bottom + FRAME
    lanes.below = frames_bottom + BYPASS / 2 + 1
    lanes.bottom = frames_bottom + (BYPASS if passes_below else 0) + LANE
    for row in rows:
        lanes.base.setdefault(row, lanes.middle[0])
    _place(lanes, found, levels, buses, wide, (frames_top, box_top, box_bottom, frames_bottom))
    return lanes


def _ends(found: Sequence[Namespace]) -> dict[int, int]:
    last = {(lane_of(namespace), node_of(namespace)): number for number, namespace in enumerate(found)}
    return {number: last[lane_of(namespace), node_of(namespace)] for number, namespace in enumerate(found)}


def _last(views: Sequence[View], name: str) -> Namespace:
    return next(view.state[name] for view in reversed(views) if name in view.state.namespaces)


def _levels(devices: Mapping[tuple[Row, str, Side], Mapping[str, bool]]) -> dict[tuple[Row, str, Side], dict[str, int]]:
    """Give each device on a side of a namespace its level: the first that is no tunnel is at the bottom."""
    found: dict[tuple[Row, str, Side], dict[str, int]] = {}
    for key, there in devices.items():
        plain = [name for name, tunnel in there.items() if not tunnel]
        raised = [*plain[1:], *(name for name, tunnel in there.items() if tunnel)]
        found[key] = dict.fromkeys(plain[:1], 0) | {name: level + 1 for level, name in enumerate(raised)}
    return found


def pill_width(device: str) -> float:
    """Return the width of a device's box."""
    return max(30.0, width(device_text(device), WRITING["device-name"].size, fixed=True) + 10)


def device_text(device: str) -> str:
    """Return a device's name as far as a box takes it."""
    return shortened(shown(device), LONGEST_NAME * 6, WRITING["device-name"].size, fixed=True)


def _inner_width(namespace: Namespace, version: int, levels: Mapping[tuple[Row, str, Side], Mapping[str, int]], *, roomy: bool) -> float:
    own = width(address_text(namespace, version), 9.5, fixed=True)
    needed = [ROOM if roomy else NARROW, width(shown(namespace.name)[:28], 11, bold=True), own]
    for (row, name, side), there in levels.items():
        if name != namespace.name or side != "left":
            needed += [pill_width(device) + BETWEEN for device in there] if name == namespace.name else []
            continue
        other = levels.get((row, name, "right"), {})
        for device, level in there.items():
            needed.append(pill_width(device) + BETWEEN)
            for opposite, at in other.items():
                if level == at:
                    needed.append(pill_width(device) + pill_width(opposite) + BETWEEN)
                else:
                    high, low = (device, opposite) if level > at else (opposite, device)
                    needed.append(pill_width(high) + pill_width(low) / 2 + BETWEEN)
    return max(needed)


def _segment_name(state: State, switch: str) -> str:
    """Return a switch's name with the network of those on it."""
    ends = [link.kind for link in state[switch].links if isinstance(link.kind, Veth) and link.kind.peer_namespace in state.namespaces]
    entries = [
        entry for end in ends for entry in state[end.peer_namespace].addresses_of(end.peer_name) if not entry.interface.is_link_local
    ]
    entries.sort(key=lambda entry: entry.interface.version)
    return shown(f"{switch} {entries[0].interface.network}" if entries else switch)


def _place(
    lanes: Lanes,
    found: Sequence[Namespace],
    levels: Mapping[tuple[Row, str, Side], Mapping[str, int]],
    buses: Mapping[tuple[str, int], str],
    wide: set[str],
    heights: tuple[float, float, float, float],
) -> None:
    frames_top, box_top, box_bottom, frames_bottom = heights
    x = lanes.left = 18.0
    names = [namespace.name for namespace in found]
    boxes: list[Box] = []
    labels: list[Label] = []
    for lane, of_lane in _runs(found, lane_of):
        lane_id = f"lane-{lane or NETWORK}"
        lane_x, bussed = x, False
        x += LANE
        for node, of_node in _runs(of_lane, node_of):
            framed = bool(lane)
            frame_x = x
            x += FRAME if framed else 0
            placed: list[Box] = []
            for namespace in of_node:
                inner = _inner_width(namespace, lanes.version, levels, roomy=namespace.name in wide)
                box = Box(
                    f"ns-{namespace.name}", x, box_top, inner + 2 * PAD, box_bottom - box_top, "namespace", _told(namespace),
                    f"node-{node}" if framed else lane_id,
                )  # fmt: skip
                placed.append(box)
                x = box.right + NEXT
            x += (FRAME if framed else 0) - NEXT
            frame = Box(
                f"node-{node}", frame_x, frames_top, x - frame_x, frames_bottom - frames_top, "node", f"node {shown(node)}", lane_id
            )
            if framed:
                boxes.append(frame)
                text = shortened(shown(node), frame.width - 12, 11, bold=True)
                labels.append(Label(frame.x + 8, frame.y + 14, text, "node-name", title=shown(node), owner=frame.id))
            for namespace, box in zip(of_node, placed, strict=True):
                lanes.places[namespace.name] = Place(namespace.name, names.index(namespace.name), box, frame if framed else box)
                boxes.append(box)
                labels += _head(namespace, box, lanes.version, inside=framed)
            numbers = {names.index(namespace.name) for namespace in of_node}
            here = {(switch, at): text for (switch, at), text in buses.items() if at in numbers}
            for (switch, at), text in here.items():
                top, bottom = min(lanes.base.values()) - 13, max(lanes.base.values()) + 13
                bus = Box(f"bus-{switch}-{at}", x + 8, top, 4, bottom - top, "segment", text, lane_id, 2)
                lanes.buses[switch, at] = bus
                boxes.append(bus)
                room = lanes.middle[1] - lanes.middle[0] - 8
                middle = (lanes.middle[0] + lanes.middle[1]) / 2
                labels.append(Label(bus.right + 11, middle, shortened(text, room, 9.5), "segment-name", "middle", text, upright=True))
                x += SWITCH
            bussed = bool(here)
            x += 0 if bussed else NEXT
        name = shown(lane or "corporate network")
        x = max(x + LANE - NEXT * (not bussed), lane_x + min(width(name, 12, bold=True) + 18, LANE_NAME))
        box = Box(
            lane_id,
            lane_x,
            lanes.top,
            x - lane_x,
            lanes.bottom - lanes.top,
            "cluster" if lane else "network",
            name,
        )
        boxes.insert(0, box)
        text = shortened(name, box.width - 16, 12, bold=True)
        labels.append(Label(box.x + 9, box.y + 16, text, "lane-name", owner=lane_id, title=box.title))
        x += BETWEEN_LANES
    lanes.right = x - BETWEEN_LANES
    lanes.elements = [*boxes, *labels]
    _pills(lanes, found)


def _head(namespace: Namespace, box: Box, version: int, *, inside: bool) -> Iterator[Label]:
    own = namespace.role == "node" and inside
    name = "host" if own else shown(namespace.name)
    yield Label(
        box.x + PAD, box.y + 15, shortened(name, box.width - 2 * PAD, 11, bold=True), "namespace-name", title=_told(namespace), owner=box.id
    )
    if address_text(namespace, version):
        yield Label(box.x + PAD, box.y + 27, address_text(namespace, version), "address", owner=box.id)


def _told(namespace: Namespace) -> str:
    own = ", ".join(f"{entry.interface} on {entry.device}" for entry in worth_telling(namespace.addresses))
    return shown(f"{namespace.role} {namespace.name}: {own or 'no address'}")


def _pills(lanes: Lanes, found: Sequence[Namespace]) -> None:
    known = {namespace.name: namespace for namespace in found}
    for (row, name, device, side), level in sorted(
        lanes.levels.items(), key=lambda item: (item[0][1], not item[0][0][0], item[0], item[1])
    ):
        place = lanes.places[name]
        wide = pill_width(device)
        x = place.left if side == "left" else place.right - wide
        y = lanes.base[row] + (-level if row[0] else level) * LEVEL - PILL / 2
        link = known[name].link(device)
        tunnel = link is not None and isinstance(link.kind, Vxlan)
        kind = "tunnel-device" if tunnel else "device"
        where = f"{'forward' if row[0] else 'backward'}{row[1]}"
        box = Box(f"dev-{name}-{device}-{side}-{where}", x, y, wide, PILL, kind, _device_told(name, device, known[name]), place.box.id, 9)
        lanes.pills[row, name, device, side] = box
        lanes.elements.append(box)
        text = "tunnel-name" if tunnel else "device-name"
        lanes.elements.append(Label(box.center[0], y + 13, device_text(device), text, "middle", box.title, owner=box.id))
        if tunnel and link is not None:
            below = y - 4 if row[0] else y + PILL + 10
            lanes.elements.append(Label(box.center[0], below, f"mtu {link.mtu}", "mtu", "middle", owner=place.box.id))


def _device_told(name: str, device: str, namespace: Namespace) -> str:
    link = namespace.link(device)
    own = ", ".join(str(entry.interface) for entry in worth_telling(namespace.addresses_of(device)))
    mtu = f", mtu {link.mtu}" if link is not None else ""
    tunnel = f", VNI {link.kind.vni}, UDP port {link.kind.port}" if link is not None and isinstance(link.kind, Vxlan) else ""
    return shown(f"{name}:{device}{mtu}{tunnel}{', ' + own if own else ''}")


def _runs(items: Sequence[Namespace], key: Callable[[Namespace], str]) -> Iterator[tuple[str, list[Namespace]]]:
    run: list[Namespace] = []
    for item in items:
        if run and key(run[-1]) != key(item):
            yield key(run[0]), run
            run = []
        run.append(item)
    if run:
        yield key(run[0]), run
