"""A scene as SVG 1.1 for the web: ids, titles, links, classes for light, dark and print; no script, no font, nothing from the network.

Every element of a phase carries ``data-phase``, those of a packet ``data-way``, ``data-trace`` and ``data-hop`` as well: the numbers of the
trace in its conversation and of the hop in its trace. Of a loop one round is drawn: ``data-again`` has the numbers of the same hops in
later rounds. A script shows a phase by the class ``lab-off`` on the groups of the others (``g.lab-phase``), and a hop by ``lab-now`` on its
elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from lab.report.diagram.metrics import shown
from lab.report.diagram.palette import DARK, LIGHT, MONO, SANS, SHAPES, WRITING
from lab.report.diagram.scene import Box, Data, Element, Label, Layer, Line, Mark, Point, Scene

CORNER = 6.0
_RADII = {"start": 5, "plug": 3.5}


def svg(
    scene: Scene,
    phase: str | None = None,
    *,
    every_phase: bool = False,
    prefix: str = "",
    style: bool = True,
    links: Mapping[str, str] | None = None,
) -> str:
    """Return a scene as an SVG document, which can stand in HTML as it is.

    `phase` is what is shown, by default the first; with `every_phase` the others are there as well, hidden by the class ``lab-off``.
    `prefix` goes before every id, so that several pictures can stand on one page. `style` includes the style sheet. `links` maps ids of
    elements to addresses they lead to. KeyError for an unknown phase.
    """
    chosen = scene.layer(phase)
    shown_layers = scene.layers if every_phase else (chosen,) if chosen is not None else ()
    names = f"{prefix}title", f"{prefix}desc"
    described = [
        layer.description if layer is chosen and not every_phase else f"{layer.title}. {layer.description}" for layer in shown_layers
    ]
    written = _Writer(prefix, links or {})
    size = f'width="{_n(scene.width)}" height="{_n(scene.height)}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lab-diagram" viewBox="0 0 {_n(scene.width)} {_n(scene.height)}" {size}',
        f'role="{"group" if links else "img"}" aria-labelledby="{_a(names[0])} {_a(names[1])}">',
        f'<title id="{_a(names[0])}">{_t(scene.title)}</title>',
        f'<desc id="{_a(names[1])}">{_t(" ".join(described))}</desc>',
    ]
    if style:
        out.append(f"<style>{stylesheet()}</style>")
    out.append(f'<rect class="lab-paper" {size}/>')
    out.append('<g class="lab-ground">')
    out += written.elements(scene.ground.elements)
    out.append("</g>")
    for layer in shown_layers:
        off = "" if layer is chosen else " lab-off"
        out.append(f'<g class="lab-phase{off}" id="{_a(prefix)}phase-{ident(layer.name)}" data-phase="{_a(layer.name)}">')
        out.append(f"<title>{_t(layer.title)}</title>")
        out += written.elements(over(scene, layer))
        out.append("</g>")
    out.append("</svg>\n")
    return "\n".join(out)


def over(scene: Scene, layer: Layer) -> list[Element]:
    """Return the elements of a layer in the order they are painted; devices of the ground come once more over the lines, without ids.

    A device that a packet passes bears the numbers of its trace and its hop, as the line to it does.
    """
    lines = [element for element in layer.elements if isinstance(element, Line)]
    rest = [element for element in layer.elements if not isinstance(element, Line)]
    lines.sort(key=lambda line: {"tube": 0, "intended": 1, "gone": 1}.get(line.kind, 2))
    crossed: dict[str, Data] = {}
    for line in lines:
        if line.kind in ("request", "reply", "error"):
            crossed.setdefault(line.target, tuple(pair for pair in line.data if pair[0] in ("trace", "hop", "again")))
    for line in lines:
        crossed.setdefault(line.source, ())
        crossed.setdefault(line.target, ())
    again: list[Element] = []
    for element in scene.ground.elements:
        if isinstance(element, Box) and element.kind in ("device", "tunnel-device"):
            used = element.id in crossed
            again.append(Box("", element.x, element.y, element.width, element.height, element.kind, element.title, radius=element.radius,
                             data=(("used", "yes"), *crossed[element.id]) if used else ()))  # fmt: skip
        elif isinstance(element, Label) and element.kind in ("device-name", "tunnel-name"):
            again.append(element)
    return [*lines, *(again if lines else ()), *rest]


class _Writer:
    """Writes elements with a prefix before their ids, and links around those that have one."""

    def __init__(self, prefix: str, links: Mapping[str, str]) -> None:
        self.prefix, self.links = prefix, links

    def elements(self, elements: Sequence[Element] | Iterator[Element]) -> Iterator[str]:
        for element in elements:
            text = self._element(element)
            target = self.links.get(getattr(element, "id", ""))
            yield f'<a href="{_a(target)}">{text}</a>' if target else text

    def _element(self, element: Element) -> str:
        match element:
            case Box():
                title = f"<title>{_t(element.title)}</title>" if element.title else ""
                return (
                    f'<rect{self._names(element.id, f"lab-{element.kind}", element.data)} x="{_n(element.x)}" y="{_n(element.y)}" '
                    f'width="{_n(element.width)}" height="{_n(element.height)}" rx="{_n(element.radius)}">{title}</rect>'
                )
            case Label():
                anchor = f' text-anchor="{element.anchor}"' if element.anchor != "start" else ""
                turn = f' transform="rotate(-90 {_n(element.x)} {_n(element.y)})"' if element.upright else ""
                title = f"<title>{_t(element.title)}</title>" if element.title and element.title != element.text else ""
                names = self._names("", f"lab-t-{element.kind}", element.data)
                return f'<text{names} x="{_n(element.x)}" y="{_n(element.y)}"{anchor}{turn}>{title}{_t(element.text)}</text>'
            case Line():
                title = f"<title>{_t(element.title)}</title>" if element.title else ""
                names = self._names(element.id, f"lab-{element.kind}", element.data)
                path = f'<path d="{_path(element.points)}"/>'
                if element.kind == "gone":
                    path += path.replace("<path", '<path class="lab-hollow"')
                if element.arrow is not None:
                    path += f'<path class="lab-tip" d="{_tip(*element.arrow)}"/>'
                return f"<g{names}>{title}{path}</g>"
            case Mark():
                title = f"<title>{_t(element.title)}</title>" if element.title else ""
                return f"<g{self._names(element.id, f'lab-mark lab-{element.kind}', element.data)}>{title}{_sign(element)}</g>"

    def _names(self, name: str, kind: str, data: Data) -> str:
        own = f' id="{_a(self.prefix + ident(name))}"' if name else ""
        return f'{own} class="{_a(kind)}"' + "".join(f' data-{key}="{_a(value)}"' for key, value in data)


def ident(name: str) -> str:
    """Return a name as it may stand in an id or a fragment of an address: letters, digits, dots, dashes; what else there is by number."""
    return "".join(c if (c.isascii() and c.isalnum()) or c in ".-" else f"_{ord(c):x}" for c in name)


def _sign(mark: Mark) -> str:
    x, y = mark.x, mark.y
    kind = mark.kind.split("-")[0]
    if kind in ("drop", "unknown"):
        corners = [(x + 9 * math.cos(math.pi / 8 + n * math.pi / 4), y + 9 * math.sin(math.pi / 8 + n * math.pi / 4)) for n in range(8)]
        shape = f'<path d="M{" L".join(f"{_n(a)} {_n(b)}" for a, b in corners)} Z"/>'
        if kind == "unknown":
            return f'{shape}<text class="lab-sign" x="{_n(x)}" y="{_n(y + 4)}" text-anchor="middle">?</text>'
        left, right, top, bottom = _n(x - 4), _n(x + 4), _n(y - 4), _n(y + 4)
        return f'{shape}<path class="lab-cross" d="M{left} {top} L{right} {bottom} M{left} {bottom} L{right} {top}"/>'
    if mark.kind == "leave":
        return f'<path d="M{_n(x)} {_n(y - 7)} L{_n(x + 7)} {_n(y)} L{_n(x)} {_n(y + 7)} L{_n(x - 7)} {_n(y)} Z"/>'
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_RADII.get(kind, 5.5)}"/>'


def rounded(points: Sequence[Point], radius: float = CORNER) -> Iterator[tuple[str, tuple[Point, ...]]]:
    """Yield a polyline with rounded corners as moves: ``M`` to a point, ``L`` a straight line, ``Q`` a curve by a control point."""
    clean = [p for n, p in enumerate(points) if n == 0 or p != points[n - 1]]
    yield "M", (clean[0],)
    for before, corner, after in zip(clean, clean[1:], clean[2:], strict=False):
        into, out = math.dist(before, corner), math.dist(corner, after)
        r = min(radius, into / 2, out / 2)
        yield "L", (_toward(corner, before, r / into),)
        yield "Q", (corner, _toward(corner, after, r / out))
    if len(clean) > 1:
        yield "L", (clean[-1],)


def _toward(start: Point, end: Point, part: float) -> Point:
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def _path(points: Sequence[Point]) -> str:
    return " ".join(f"{move}{' '.join(f'{_n(x)} {_n(y)}' for x, y in where)}" for move, where in rounded(points))


def tip(point: Point, back: Point) -> tuple[Point, Point, Point]:
    """Return the corners of an arrow's tip that points from `back` to `point`."""
    dx, dy = point[0] - back[0], point[1] - back[1]
    side = (-dy * 0.55, dx * 0.55)
    return point, (back[0] + side[0], back[1] + side[1]), (back[0] - side[0], back[1] - side[1])


def _tip(point: Point, back: Point) -> str:
    return "M" + " L".join(f"{_n(x)} {_n(y)}" for x, y in tip(point, back)) + " Z"


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".") if value else "0"


def _t(text: str) -> str:
    return escape(shown(text), quote=False)


def _a(text: str) -> str:
    return escape(shown(text), quote=True)


def stylesheet() -> str:
    """Return the style sheet of all pictures.

    ``data-theme="dark"`` or ``"light"`` on an element around a picture overrides what the reader's system prefers; print is always light.
    """
    return _SHEET


def _sheet() -> str:
    def colours(palette: Mapping[str, str]) -> str:
        return "".join(f"--lab-{name}:{value};" for name, value in palette.items())

    d = ".lab-diagram"
    rules = [
        f"{d}{{{colours(LIGHT)}font-family:{SANS};max-width:none}}",
        f"@media (prefers-color-scheme:dark){{{d}{{{colours(DARK)}}}[data-theme=light] {d}{{{colours(LIGHT)}}}}}",
        f"[data-theme=dark] {d}{{{colours(DARK)}}}",
        f"@media print{{{d},[data-theme=dark] {d}{{{colours(LIGHT)}}}}}",
        f"{d} .lab-paper{{fill:var(--lab-paper)}}{d} .lab-off{{display:none}}",
        f"{d} path{{fill:none;stroke-linecap:round;stroke-linejoin:round}}",
    ]
    for kind, shape in SHAPES.items():
        fill = f"var(--lab-{shape.fill})" if shape.fill else "none"
        stroke = f"stroke:var(--lab-{shape.stroke});stroke-width:{_n(shape.width)}" if shape.stroke else "stroke:none"
        dash = f";stroke-dasharray:{' '.join(_n(part) for part in shape.dash)}" if shape.dash else ""
        if shape.fill or kind == "changed":
            rules.append(f"{d} .lab-{kind},{d} .lab-{kind} path,{d} .lab-{kind} circle{{fill:{fill};{stroke}{dash}}}")
        else:
            rules.append(f"{d} .lab-{kind} path{{{stroke}{dash}}}{d} .lab-{kind} .lab-tip{{fill:var(--lab-{shape.stroke});stroke:none}}")
    for way in ("request", "reply", "error"):
        rules.append(f"{d} .lab-start-{way} circle{{fill:var(--lab-{way});stroke:var(--lab-{way});stroke-width:2}}")
        rules.append(f"{d} .lab-end-{way} circle{{fill:var(--lab-paper);stroke:var(--lab-{way});stroke-width:2.6}}")
        rules.append(f"{d} .lab-{way}.lab-now path{{stroke-width:5}}")
    rules += [
        f"{d} .lab-mark .lab-cross{{stroke:var(--lab-drop);stroke-width:2.6;stroke-dasharray:none}}",
        f"{d} .lab-drop-error .lab-cross{{stroke:var(--lab-error)}}",
        f"{d} .lab-sign{{fill:var(--lab-unknown);font-size:12px;font-weight:700}}",
        f"{d} .lab-gone .lab-hollow{{stroke:var(--lab-paper);stroke-width:2.6}}",
        f"{d} [data-used]{{stroke-width:2}}{d} [data-used].lab-now{{stroke-width:3.4}}",
        f"{d} .lab-phase .lab-t-device-name,{d} .lab-phase .lab-t-tunnel-name{{pointer-events:none}}",
        f"{d} a text{{text-decoration:underline}}",
    ]
    for kind, look in WRITING.items():
        face = f";font-family:{MONO}" if look.fixed else ""
        bold = ";font-weight:650" if look.bold else ""
        rules.append(f"{d} .lab-t-{kind}{{fill:var(--lab-{look.colour});font-size:{_n(look.size)}px{bold}{face}}}")
    return "".join(rules)


_SHEET = _sheet()
