"""A scene for draw.io: mxGraph XML with shapes that can be moved and edited, frames that hold what is in them, a layer for each phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import quoteattr

from lab.report.diagram.as_svg import ident
from lab.report.diagram.metrics import shown, width
from lab.report.diagram.palette import LIGHT, SHAPES, WRITING
from lab.report.diagram.scene import Box, Label, Layer, Line, Mark, Point, Scene

_FRAMES = ("cluster", "network", "node", "namespace")
_DEVICES = ("device", "tunnel-device")
_NAMED = ("device-name", "tunnel-name")


def drawio(scene: Scene, phase: str | None = None) -> str:
    """Return a scene as a draw.io file; `phase` is the layer that is visible, by default the first. KeyError for an unknown one."""
    chosen = scene.layer(phase)
    cells = ['<mxCell id="0"/>', '<mxCell id="ground" value="network" parent="0"/>', *_cells(scene.ground, "ground", {})]
    places = {element.id: element for element in scene.ground.elements if isinstance(element, Box)}
    for layer in scene.layers:
        name = f"phase-{ident(layer.name)}"
        visible = "" if layer is chosen else ' visible="0"'
        cells.append(f'<mxCell id="{name}" value={_a(layer.title)} parent="0"{visible}/>')
        cells += _cells(layer, name, places)
    model = f'<mxGraphModel grid="0" page="0" math="0" pageWidth="{scene.width:.0f}" pageHeight="{scene.height:.0f}">'
    out = ['<mxfile host="lab">', f'<diagram id="lab" name={_a(scene.title)}>', model, "<root>", *cells, "</root>", "</mxGraphModel>"]
    return "\n".join((*out, "</diagram>", "</mxfile>")) + "\n"


def _cells(layer: Layer, parent: str, ground: dict[str, Box]) -> Iterator[str]:
    boxes = {element.id: element for element in layer.elements if isinstance(element, Box)}
    written = {label.owner: label for label in layer.elements if isinstance(label, Label) and label.kind in _NAMED}
    for number, element in enumerate(layer.elements):
        name = f"{parent}-{number}"
        match element:
            case Box():
                yield _box(element, boxes.get(element.parent), parent, written.get(element.id))
            case Label() if element.kind not in _NAMED:
                yield _label(element, name, boxes.get(element.owner) if element.owner in boxes else None, parent)
            case Line() if element.kind != "tube" or element.id.startswith("legend"):  # tubes would lie over devices; bars show tunnels
                yield _line(element, name, parent, ground)
            case Mark():
                yield _mark(element, name, parent)
            case _:
                pass


def _box(box: Box, within: Box | None, parent: str, label: Label | None) -> str:
    shape = SHAPES[box.kind]
    style = [
        "rounded=1",
        "absoluteArcSize=1",
        f"arcSize={2 * box.radius:g}",
        "whiteSpace=wrap",
        "html=0",
        "collapsible=0",
        f"fillColor={LIGHT[shape.fill] if shape.fill else 'none'}",
    ]
    style += [f"strokeColor={LIGHT[shape.stroke]}", f"strokeWidth={shape.width:g}"]
    style += ["dashed=1"] if shape.dash else []
    style += ["container=1"] if box.kind in _FRAMES else []
    if label is not None:
        style.append(_font(label))
    x, y = (box.x - within.x, box.y - within.y) if within is not None else (box.x, box.y)
    value = label.text if label is not None else ""
    owner = ident(within.id) if within is not None else parent
    return _vertex(ident(box.id), value, ";".join(style), owner, x, y, box.width, box.height, box.title)


def _label(label: Label, name: str, within: Box | None, parent: str) -> str:
    look = WRITING[label.kind]
    wide = width(label.text, look.size, fixed=look.fixed, bold=look.bold) + 4
    tall = look.size * 1.4
    x = label.x - (wide / 2 if label.anchor == "middle" else wide if label.anchor == "end" else 0)
    y = label.y - look.size * 1.05
    align = {"start": "left", "middle": "center", "end": "right"}[label.anchor]
    style = f"text;html=0;fillColor=none;strokeColor=none;align={align};verticalAlign=middle;spacing=0;{_font(label)}"
    if label.upright:
        style += ";horizontal=0"
        x, y, wide, tall = label.x - look.size, label.y - wide / 2, look.size * 1.4, wide
    owner = parent
    if within is not None:
        x, y, owner = x - within.x, y - within.y, ident(within.id)
    return _vertex(name, label.text, style, owner, x, y, wide, tall, label.title)


def _font(label: Label) -> str:
    look = WRITING[label.kind]
    face = ";fontFamily=Courier New" if look.fixed else ""
    return f"fontSize={look.size:g};fontColor={LIGHT[look.colour]};fontStyle={1 if look.bold else 0}{face}"


def _line(line: Line, name: str, parent: str, ground: dict[str, Box]) -> str:
    shape = SHAPES[line.kind]
    style = [f"strokeColor={LIGHT[shape.stroke]}", f"strokeWidth={shape.width:g}", "rounded=1", "html=0"]
    style += [f"endArrow={'block' if line.arrow is not None else 'none'}", "endSize=4"]
    if shape.dash:
        style += ["dashed=1", f"dashPattern={' '.join(f'{max(part, 1):g}' for part in shape.dash)}"]
    if line.kind == "gone":
        style += ["shape=link"]
    # Devices of the ground lie under the lines of a phase here, so the lines end at their edges.
    first, *between, last = _outside(ground.get(line.target), _outside(ground.get(line.source), line.points)[::-1])[::-1]
    ends = ""
    for key, value, side, point in (("source", line.source, "exit", first), ("target", line.target, "entry", last)):
        if value in ground:
            ends += f' {key}="{ident(value)}"'
            style.append(_anchor(side, ground[value], point))
    middle = "".join(f'<mxPoint x="{x:.1f}" y="{y:.1f}"/>' for x, y in between)
    points = f'<Array as="points">{middle}</Array>' if middle else ""
    ground_of = (
        f'<mxPoint x="{first[0]:.1f}" y="{first[1]:.1f}" as="sourcePoint"/><mxPoint x="{last[0]:.1f}" y="{last[1]:.1f}" as="targetPoint"/>'
    )
    return (
        f'<mxCell id="{name}" style="{";".join(style)}" edge="1" parent="{parent}"{ends}>'
        f'<mxGeometry relative="1" as="geometry">{ground_of}{points}</mxGeometry></mxCell>'
    )


def _outside(box: Box | None, points: Sequence[Point]) -> Sequence[Point]:
    """Return a line that begins inside a device from the edge of that device on."""
    if box is None or box.kind not in _DEVICES:
        return points
    within = [box.x <= x <= box.right and box.y <= y <= box.bottom for x, y in points]
    inside = next((number for number, here in enumerate(within) if not here), len(points)) - 1
    if inside < 0 or inside + 1 >= len(points):
        return points
    (x, y), (next_x, next_y) = points[inside : inside + 2]
    edge = (min(max(next_x, box.x), box.right), y) if y == next_y else (x, min(max(next_y, box.y), box.bottom))
    return (edge, *points[inside + 1 :])


def _anchor(side: str, box: Box, point: Point) -> str:
    """Return where on a box a line is fastened: it stays there when somebody moves the box."""
    x, y = (point[0] - box.x) / box.width, (point[1] - box.y) / box.height
    return f"{side}X={x:.4f};{side}Y={y:.4f};{side}Perimeter=0"


def _mark(mark: Mark, name: str, parent: str) -> str:
    kind = mark.kind.split("-")[0]
    size = 18.0 if kind in ("drop", "unknown") else 14.0 if kind == "leave" else 11.0
    way = mark.kind.split("-")[1] if kind in ("start", "end") and "-" in mark.kind else kind
    shape = SHAPES.get(mark.kind) or SHAPES.get(way) or SHAPES[kind]
    form = {"drop": "shape=mxgraph.basic.octagon2;dx=5", "leave": "shape=rhombus;perimeter=rhombusPerimeter"}.get(
        kind, "shape=ellipse;perimeter=ellipsePerimeter"
    )
    fill = LIGHT[shape.stroke] if kind == "start" else LIGHT[shape.fill] if shape.fill else LIGHT["paper"]
    value = {"drop": "✕", "unknown": "?"}.get(kind, "")
    colour = LIGHT[shape.stroke]
    style = f"{form};html=0;fillColor={fill};strokeColor={colour};strokeWidth=2;fontColor={colour};fontStyle=1;fontSize=11"
    return _vertex(name, value, style, parent, mark.x - size / 2, mark.y - size / 2, size, size, mark.title)


def _vertex(name: str, value: str, style: str, parent: str, x: float, y: float, wide: float, tall: float, title: str) -> str:
    geometry = f'<mxGeometry x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" as="geometry"/>'
    if title:
        inner = f'<mxCell style="{style}" vertex="1" parent="{parent}">{geometry}</mxCell>'
        return f'<object id="{name}" label={_a(value)} tooltip={_a(title)}>{inner}</object>'
    return f'<mxCell id="{name}" value={_a(value)} style="{style}" vertex="1" parent="{parent}">{geometry}</mxCell>'


def _a(text: str) -> str:
    return quoteattr(shown(text))
