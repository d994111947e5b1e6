"""A picture as data: boxes, lines, labels and marks with their places, in layers. Renderers are functions of it, and of nothing else.

Lengths are in CSS pixels, the origin is the upper left corner. How a thing looks follows from its `kind` (`lab.report.diagram.palette`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Point = tuple[float, float]
Data = tuple[tuple[str, str], ...]
"""What a script finds on an element (``data-...``): the trace and the hop it belongs to."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: a frame, a device, a header bar, a cell."""

    id: str
    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str = ""
    """What a person is told who points at it."""
    parent: str = ""
    """The box it lies in."""
    radius: float = 5
    data: Data = ()

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height

    @property
    def center(self) -> Point:
        """The middle."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text; (`x`, `y`) is where its base line begins, is centred or ends, as `anchor` says."""

    x: float
    y: float
    text: str
    kind: str
    anchor: str = "start"
    title: str = ""
    upright: bool = False
    """It runs from below to above."""
    owner: str = ""
    """The box it is written in."""
    data: Data = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, its corners rounded; `arrow` is where the tip of its arrow lies, and the point it comes from."""

    id: str
    points: tuple[Point, ...]
    kind: str
    title: str = ""
    arrow: tuple[Point, Point] | None = None
    source: str = ""
    target: str = ""
    """The boxes it joins."""
    data: Data = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign at a point: ``drop`` (a packet ends), ``unknown``, ``leave`` (it leaves the intended path), ``start``, ``end``."""

    id: str
    x: float
    y: float
    kind: str
    title: str = ""
    data: Data = ()


Element = Box | Label | Line | Mark


@dataclass(frozen=True, slots=True)
class Layer:
    """Elements that are shown together: what is always there (no name), or what one phase adds."""

    name: str
    title: str
    description: str
    """The picture in words, for those who do not see it."""
    elements: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """A whole picture."""

    width: float
    height: float
    title: str
    ground: Layer
    """What is there in every phase, at the same place."""
    layers: tuple[Layer, ...] = field(default=())

    def layer(self, name: str | None = None) -> Layer | None:
        """Return a phase's layer, by default the first; None where there is none. KeyError for an unknown name."""
        if name is None:
            return self.layers[0] if self.layers else None
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def shown(self, name: str | None = None) -> Iterator[Element]:
        """Yield what is seen in a phase, from back to front."""
        layer = self.layer(name)
        yield from self.ground.elements
        yield from layer.elements if layer is not None else ()
