"""What the signs of a picture mean, below it: those that are used, and no others."""

from __future__ import annotations

from collections.abc import Iterator

from lab.report.diagram.metrics import width
from lab.report.diagram.palette import WRITING
from lab.report.diagram.scene import Box, Element, Label, Layer, Line, Mark

_SIGNS = {
    "request": "request",
    "reply": "reply",
    "error": "ICMP error",
    "intended": "intended path",
    "tube": "inside a VXLAN tunnel",
    "gone": "gone",
    "bar-gone": "header gone",
    "drop": "ends here",
    "drop-gone": "ended here",
    "drop-error": "the error ends here",
    "unknown": "unknown",
    "leave": "leaves the intended path",
    "changed": "changed",
}


def legend(y: float, layer: Layer, x: float = 18.0) -> Iterator[Element]:
    """Yield the signs that occur in a layer, in a row at the height `y`, each with its meaning."""
    used = {element.kind for element in layer.elements if isinstance(element, Line | Mark | Box)}
    for kind, text in _SIGNS.items():
        if kind not in used:
            continue
        if kind in ("drop", "drop-gone", "drop-error", "unknown", "leave"):
            yield Mark(f"legend-{layer.name}-{kind}", x + 13, y, kind)
        elif kind in ("changed", "bar-gone"):
            yield Box(f"legend-{layer.name}-{kind}", x, y - 6, 26, 12, kind, radius=4 if kind == "changed" else 3)
        else:
            yield Line(f"legend-{layer.name}-{kind}", ((x, y), (x + 26, y)), kind)
        yield Label(x + 33, y + 3.5, text, "legend")
        x += 33 + width(text, WRITING["legend"].size) + 20
