"""A scene as PNG or PDF, drawn by matplotlib, which is imported by this module and by no other. Same scene, same bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from warnings import catch_warnings, simplefilter

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from lab.report.diagram.as_svg import over, rounded, tip
from lab.report.diagram.palette import DARK, LIGHT, SHAPES, WRITING, Shape
from lab.report.diagram.scene import Box, Element, Label, Line, Mark, Point, Scene

POINT = 0.75
"""Points in a CSS pixel."""
_CODES: dict[str, tuple[Any, ...]] = {"M": (Path.MOVETO,), "L": (Path.LINETO,), "Q": (Path.CURVE3, Path.CURVE3)}
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
    "text.usetex": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "lab",
    "path.simplify": False,
}


def image(scene: Scene, phase: str | None = None, *, format: Literal["png", "pdf"] = "png", dark: bool = False, scale: float = 2) -> bytes:
    """Return a phase of a scene as an image. `scale` is in pixels of a PNG to one of the scene. KeyError for an unknown phase."""
    colours = DARK if dark else LIGHT
    with rc_context(_SETTINGS), catch_warnings():
        simplefilter("ignore")  # that the font has no sign for a character is nothing a reader can mend
        sheet = Figure(figsize=(scene.width / 96, scene.height / 96), dpi=96 * scale, facecolor=colours["paper"])
        axes = sheet.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, scene.width)
        axes.set_ylim(scene.height, 0)
        axes.set_axis_off()
        layer = scene.layer(phase)
        elements: Sequence[Element] = [*scene.ground.elements, *(over(scene, layer) if layer is not None else ())]
        for number, element in enumerate(elements):
            for artist in _artists(element, colours):
                artist.set_zorder(number + 1)
                axes.add_patch(artist)
            if isinstance(element, Label):
                _write(axes, element, colours, number + 1)
        out = io.BytesIO()
        if format == "pdf":
            FigureCanvasPdf(sheet).print_pdf(  # type: ignore[no-untyped-call]
                out, metadata={"Creator": None, "Producer": None, "CreationDate": None, "Title": scene.title}
            )
        else:
            FigureCanvasAgg(sheet).print_png(  # type: ignore[no-untyped-call]
                out, metadata={"Software": None, "Title": scene.title}
            )
    return out.getvalue()


def _write(axes: Axes, label: Label, colours: Mapping[str, str], order: int) -> None:
    look = WRITING[label.kind]
    axes.text(
        label.x,
        label.y,
        label.text,
        fontsize=look.size * POINT,
        family="DejaVu Sans Mono" if look.fixed else "DejaVu Sans",
        weight="bold" if look.bold else "normal",
        color=colours[look.colour],
        ha={"start": "left", "middle": "center", "end": "right"}[label.anchor],
        va="baseline",
        rotation=90 if label.upright else 0,
        rotation_mode="anchor",
        zorder=order,
    )


def _pen(shape: Shape, colours: Mapping[str, str]) -> dict[str, Any]:
    line = (0, tuple(part / shape.width for part in shape.dash)) if shape.dash else "solid"
    return {
        "edgecolor": colours[shape.stroke] if shape.stroke else "none",
        "linewidth": shape.width * POINT,
        "linestyle": line,
        "capstyle": "round",
        "joinstyle": "round",
    }


def _artists(element: Element, colours: Mapping[str, str]) -> list[PathPatch | FancyBboxPatch | Polygon | Circle]:
    match element:
        case Box():
            shape = SHAPES[element.kind]
            size = max(0.0, min(element.radius, element.width / 2, element.height / 2))
            round_ = f"round,pad=0,rounding_size={size:.2f}"
            fill = colours[shape.fill] if shape.fill else "none"
            pen = {**_pen(shape, colours), "linewidth": 2 * POINT} if ("used", "yes") in element.data else _pen(shape, colours)
            return [FancyBboxPatch((element.x, element.y), element.width, element.height, boxstyle=round_, facecolor=fill, **pen)]
        case Line():
            shape = SHAPES[element.kind]
            found: list[PathPatch | FancyBboxPatch | Polygon | Circle] = [
                PathPatch(_path(element.points), facecolor="none", **_pen(shape, colours))
            ]
            if element.kind == "gone":
                found.append(PathPatch(_path(element.points), facecolor="none", edgecolor=colours["paper"], linewidth=2.6 * POINT))
            if element.arrow is not None:
                found.append(Polygon(tip(*element.arrow), closed=True, facecolor=colours[shape.stroke], edgecolor="none"))
            return found
        case Mark():
            return _sign(element, colours)
        case _:
            return []


def _path(points: Sequence[Point]) -> Path:
    where: list[Point] = []
    codes: list[Any] = []
    for move, corners in rounded(points):
        where.extend(corners)
        codes.extend(_CODES[move])
    return Path(where, codes)


def _sign(mark: Mark, colours: Mapping[str, str]) -> list[PathPatch | FancyBboxPatch | Polygon | Circle]:
    x, y, kind = mark.x, mark.y, mark.kind
    if kind.startswith(("drop", "unknown")):
        shape = SHAPES[kind]
        corners = [(x + 9 * math.cos(math.pi / 8 + n * math.pi / 4), y + 9 * math.sin(math.pi / 8 + n * math.pi / 4)) for n in range(8)]
        cross = Path([(x - 4, y - 4), (x + 4, y + 4), (x - 4, y + 4), (x + 4, y - 4)], [Path.MOVETO, Path.LINETO] * 2)
        if kind == "unknown":
            cross = Path([(x - 3, y - 3), (x + 3, y - 3), (x, y + 1), (x, y + 5)], [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO])
        return [
            Polygon(corners, closed=True, facecolor=colours[shape.fill], **_pen(shape, colours)),
            PathPatch(cross, facecolor="none", edgecolor=colours[shape.stroke], linewidth=2.6 * POINT, capstyle="round"),
        ]
    if kind == "leave":
        shape = SHAPES[kind]
        return [
            Polygon([(x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)], closed=True, facecolor=colours[shape.fill], **_pen(shape, colours))
        ]
    if kind in SHAPES:
        return [Circle((x, y), 3.5 if kind == "plug" else 5.5, facecolor=colours[SHAPES[kind].fill], **_pen(SHAPES[kind], colours))]
    end, way = kind.split("-")
    colour = colours[way]
    return [Circle((x, y), 5, facecolor=colour if end == "start" else colours["paper"], edgecolor=colour, linewidth=2.4 * POINT)]
