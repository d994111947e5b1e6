"""A map of a whole network: clusters with their nodes and pods above, the segments and routers of the underlay below, tunnels between.

The columns of nodes in a cluster hang on rails beside them, so that no wire crosses a name, and tunnels between clusters run in lanes of
their own above everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.report.diagram.addresses import worth_telling
from lab.report.diagram.metrics import shortened, shown, width
from lab.report.diagram.scene import Box, Element, Label, Layer, Line, Scene
from lab.report.diagram.underlay import Canvas, segments, underlay
from lab.state import Namespace, State, Vxlan

_NODE = 166.0
_RAIL = 20.0
_PODS = 3
"""How many pods are named on a node, before the rest is counted."""
_COLUMNS = 5
_LINE = 12.5
_LANE = 24.0


@dataclass(frozen=True, slots=True)
class Cable:
    """VXLAN between nodes of two clusters."""

    one: str
    other: str
    device: str
    vni: int
    port: int


def topology(state: State, title: str) -> Scene:
    """Return the map of a network."""
    drawn = Canvas(state)
    cables = list(_cables(state))
    clusters = list(dict.fromkeys(n.cluster for n in state if n.cluster and n.role == "node"))
    top = 62.0 + len(cables) * _LANE
    heights = [_cluster_height(state, cluster) for cluster in clusters]
    bottom = top + max(heights, default=0.0)
    x = 18.0
    for cluster in clusters:
        x = _cluster(drawn, cluster, x, top, bottom, cables) + 26
    _cable_lines(drawn, cables, top)
    right, low = underlay(drawn, bottom, max(x - 26, 420.0))
    width_ = max(right + 18, 640.0)
    heads: list[Element] = [Label(18, 26, shortened(shown(title), width_ - 36, 17, bold=True), "title", title=shown(title))]
    overlays = " · ".join(_overlays(state, clusters))
    if overlays:
        heads.append(Label(18, 44, shortened(overlays, width_ - 36, 12), "subtitle", title=overlays))
    described = _described(state, clusters, cables)
    return Scene(width_, low + 18, shown(title), Layer("", shown(title), described, (*heads, *drawn.elements)))


def _cables(state: State) -> Iterator[Cable]:
    owners = {str(entry.interface.ip): namespace for namespace in state for entry in namespace.addresses}
    seen: set[tuple[frozenset[str], int, int]] = set()
    for namespace in state:
        for link in namespace.links:
            if not isinstance(link.kind, Vxlan) or namespace.cluster is None:
                continue
            remotes = [str(link.kind.remote)] if link.kind.remote is not None else []
            remotes += [str(entry.destination) for entry in namespace.fdb if entry.device == link.name and entry.destination is not None]
            for remote in dict.fromkeys(remotes):
                other = owners.get(remote)
                key = (frozenset((namespace.name, other.name)) if other is not None else frozenset(), link.kind.vni, link.kind.port)
                if other is not None and other.cluster not in (None, namespace.cluster) and key not in seen:
                    seen.add(key)
                    yield Cable(namespace.name, other.name, link.name, link.kind.vni, link.kind.port)


def _nodes(state: State, cluster: str, ends: set[str] | None = None) -> list[Namespace]:
    nodes = [namespace for namespace in state if namespace.cluster == cluster and namespace.role == "node"]
    return sorted(nodes, key=lambda node: node.name not in ends) if ends else nodes


def _pods(state: State, node: str) -> list[Namespace]:
    return sorted((one for one in state if one.parent == node), key=lambda pod: pod.name.endswith("-dns"))


def _facts(state: State, cluster: str) -> list[str]:
    """Return the networks of a cluster: of its pods, and what Submariner was told or found."""
    pools = [o.body.get("spec") for o in state.control.of("IPPool", cluster) if "submariner.io/ippool" not in o.labels]
    found = [f"pods {spec['cidr']}" for spec in pools if isinstance(spec, dict) and "cidr" in spec]
    for known in state.control.of("Cluster", cluster):
        spec = known.body.get("spec")
        if isinstance(spec, dict):
            ranges = [str(r) for key in ("cluster_cidr", "service_cidr") for r in _listed(spec.get(key))]
            found.append(f"Submariner knows {', '.join(ranges)}")
    return [shown(text) for text in found]


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _node_height(state: State, node: str) -> float:
    pods = len(_pods(state, node))
    return 34 + min(pods, _PODS) * _LINE + (_LINE if pods > _PODS else 0) + (5 if pods else 0)


def _rows(state: State, cluster: str) -> tuple[int, list[float]]:
    nodes = _nodes(state, cluster)
    columns = min(len(nodes), _COLUMNS if len(nodes) > 6 else 3)
    rows = [nodes[start : start + columns] for start in range(0, len(nodes), columns)]
    return columns, [max(_node_height(state, node.name) for node in row) for row in rows]


def _head_height(state: State, cluster: str) -> float:
    return 30 + len(_facts(state, cluster)) * 13


def _cluster_height(state: State, cluster: str) -> float:
    _, rows = _rows(state, cluster)
    return _head_height(state, cluster) + sum(rows) + 12 * len(rows) + 8


def _cluster(drawn: Canvas, cluster: str, x: float, top: float, bottom: float, cables: Sequence[Cable]) -> float:
    state = drawn.state
    ends = {end for cable in cables for end in (cable.one, cable.other)}
    gateways = [node for node in _nodes(state, cluster) if node.name in ends]
    others = [node for node in _nodes(state, cluster) if node.name not in ends]
    columns, rows = _rows(state, cluster)
    # Ends of cables stand at the right of the first row, under the lanes of the cables, clear of the cluster's name.
    first = max(0, columns - len(gateways))
    nodes = [*others[:first], *gateways, *others[first:]]
    head = _head_height(state, cluster)
    wide = max(columns * (_NODE + _RAIL) + 24, 250.0)
    frame = Box(f"lane-{cluster}", x, top, wide, bottom - top, "cluster", shown(f"cluster {cluster}"), radius=8)
    drawn.elements.append(frame)
    room = wide - 20 - (40 if gateways else 0) if columns == 1 or not gateways else (columns - len(gateways)) * (_NODE + _RAIL) + _NODE - 40
    drawn.elements.append(Label(x + 11, top + 18, shortened(shown(cluster), room, 12, bold=True), "lane-name", owner=frame.id))
    for number, text in enumerate(_facts(state, cluster)):
        drawn.elements.append(
            Label(x + 11, top + 32 + number * 13, shortened(text, room, 10, fixed=True), "lane-note", title=text, owner=frame.id)
        )
    for number, node in enumerate(nodes):
        column, row = number % columns, number // columns
        left = x + 12 + _RAIL + column * (_NODE + _RAIL) - 6
        y = top + head + sum(rows[:row]) + 12 * row
        box = _node(drawn, node, left, y, frame.id, gateway=node.name in ends)
        rail = left - 12
        drawn.elements.append(Line(f"stub-{node.name}", ((box.x, box.center[1]), (rail, box.center[1])), "wire", source=box.id))
        drawn.stubs[node.name] = (rail, box.center[1])
    for column in range(columns):
        rails = [drawn.stubs[node.name] for number, node in enumerate(nodes) if number % columns == column]
        if rails:
            drawn.elements.append(Line(f"rail-{cluster}-{column}", ((rails[0][0], rails[0][1]), (rails[0][0], bottom)), "wire"))
    return x + wide


def _all(namespace: Namespace) -> str:
    """Return the addresses of a node or pod on eth0, where it has several."""
    own = [str(entry.interface.ip) for entry in worth_telling(namespace.addresses_of("eth0"))]
    return " ".join(own) if len(own) > 1 else ""


def _pod_told(pod: Namespace) -> str:
    return shown(f"{pod.name} {_all(pod)}".strip())


def _node(drawn: Canvas, node: Namespace, x: float, y: float, parent: str, *, gateway: bool) -> Box:
    address = next((str(e.interface.ip) for e in node.addresses if e.device == "eth0" and e.interface.version == 4), "")
    pods = _pods(drawn.state, node.name)
    told = shown(f"node {node.name} {_all(node) or address}, {len(pods)} pods")
    box = Box(f"ns-{node.name}", x, y, _NODE, _node_height(drawn.state, node.name), "node", told, parent, 5)
    drawn.boxes[node.name] = box
    drawn.elements.append(box)
    room = _NODE - 16 - (56 if gateway else 0)
    drawn.elements.append(Label(x + 8, y + 14, shortened(shown(node.name), room, 11, bold=True), "node-name", title=told, owner=box.id))
    if gateway:
        drawn.elements.append(Label(box.right - 22, y + 14, "gateway", "on-node", "end", owner=box.id))
    drawn.elements.append(Label(x + 8, y + 27, address, "on-node", owner=box.id))
    for number, pod in enumerate(pods[:_PODS]):
        own = next((str(e.interface.ip) for e in pod.addresses if e.device == "eth0" and e.interface.version == 4), "")
        at = y + 42 + number * _LINE
        aside = width(own, 9.5, fixed=True)
        drawn.elements.append(
            Label(x + 8, at, shortened(shown(pod.name), _NODE - 24 - aside, 10), "pod", title=_pod_told(pod), owner=box.id)
        )
        drawn.elements.append(Label(box.right - 8, at, own, "on-node", "end", owner=box.id))
    if len(pods) > _PODS:
        drawn.elements.append(Label(x + 8, y + 42 + _PODS * _LINE, f"and {len(pods) - _PODS} more pods", "pod", owner=box.id))
    return box


def _cable_lines(drawn: Canvas, cables: Sequence[Cable], top: float) -> None:
    used: dict[str, int] = {}
    for number, cable in enumerate(cables):
        y = top - 16 - number * _LANE
        ends = []
        for name in (cable.one, cable.other):
            box = drawn.boxes[name]
            ends.append((box.right - 9 - used.get(name, 0) * 7, box.y))
            used[name] = used.get(name, 0) + 1
        ends.sort()
        (x1, y1), (x2, y2) = ends
        told = f"VXLAN {cable.vni}, UDP {cable.port}: {cable.one} ↔ {cable.other} by {cable.device}"
        points = ((x1, y1), (x1, y), (x2, y), (x2, y2))
        drawn.elements.append(Line(f"cable-{number}", points, "overlay", shown(told), None, f"ns-{cable.one}", f"ns-{cable.other}"))
        text = shown(f"{cable.one} ↔ {cable.other}: {cable.device}, VXLAN {cable.vni}, UDP {cable.port}")
        drawn.elements.append(Label(x1 + 9, y - 4, shortened(text, max(60.0, x2 - x1 - 16), 10, bold=True), "overlay-name", title=told))


def _overlays(state: State, clusters: Sequence[str]) -> Iterator[str]:
    """Yield what the nodes of a cluster wrap packets in between each other; clusters with the same are named together."""
    found: dict[str, list[str]] = {}
    for cluster in clusters:
        kinds: dict[tuple[str, int, int], int] = {}
        for node in _nodes(state, cluster):
            for link in node.links:
                if isinstance(link.kind, Vxlan):
                    key = (link.name, link.kind.vni, link.kind.port)
                    kinds[key] = kinds.get(key, 0) + 1
        inside = ", ".join(f"{name} (VXLAN {vni}, UDP {port})" for (name, vni, port), count in kinds.items() if count > 1)
        if inside:
            found.setdefault(inside, []).append(cluster)
    for inside, where in found.items():
        yield shown(f"overlay in {', '.join(where)}: {inside}")


def _described(state: State, clusters: Sequence[str], cables: Sequence[Cable]) -> str:
    said = []
    for cluster in clusters:
        nodes = _nodes(state, cluster)
        said.append(f"{cluster}: {len(nodes)} nodes; {'; '.join(_facts(state, cluster))}.")
    said += [f"{cable.one} and {cable.other} are joined by {cable.device}, VXLAN {cable.vni}." for cable in cables]
    said += [f"Segment {s.name} {s.network}: {', '.join(name for name, _, _ in s.members)}." for s in segments(state)]
    return "\n".join(shown(text) for text in said)
