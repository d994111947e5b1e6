"""What a person sees in a picture: which texts, where, and over what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from lab.report.diagram.metrics import width
from lab.report.diagram.palette import WRITING
from lab.report.diagram.scene import Box, Element, Label, Mark, Scene

OPAQUE = ("device", "tunnel-device", "node", "namespace")
"""Boxes that hide what is under them."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Area, by: float = 0.75) -> bool:
        """Whether they overlap by more than a hair."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > by and down > by

    def within(self, other: Area, by: float = 0.75) -> bool:
        """Whether it lies inside another."""
        return (
            self.left >= other.left - by
            and self.right <= other.right + by
            and self.top >= other.top - by
            and self.bottom <= other.bottom + by
        )


def area_of(element: Label | Box) -> Area:
    """Where a label or a box is; a label's letters reach from 0.75 of its size above the base line to 0.21 below it."""
    if isinstance(element, Box):
        return Area(element.x, element.y, element.right, element.bottom)
    look = WRITING[element.kind]
    wide = width(element.text, look.size, fixed=look.fixed, bold=look.bold)
    back = {"start": 0.0, "middle": wide / 2, "end": wide}[element.anchor]
    up, down = look.size * 0.75, look.size * 0.21
    if element.upright:
        return Area(element.x - up, element.y + back - wide, element.x + down, element.y + back)
    return Area(element.x - back, element.y - up, element.x - back + wide, element.y + down)


def phases(scene: Scene) -> list[str | None]:
    """The names of the phases of a picture; None where it has none."""
    return [layer.name for layer in scene.layers] or [None]


def labels(scene: Scene, phase: str | None = None) -> list[Label]:
    """What is written in a phase."""
    return [element for element in scene.shown(phase) if isinstance(element, Label)]


def boxes(scene: Scene, phase: str | None = None) -> dict[str, Box]:
    """The boxes of a phase by their ids."""
    return {element.id: element for element in scene.shown(phase) if isinstance(element, Box)}


def marks(scene: Scene, phase: str | None = None) -> list[Mark]:
    """The marks of a phase, without those of the legend."""
    return [element for element in scene.shown(phase) if isinstance(element, Mark) and not element.id.startswith("legend")]


def words(scene: Scene, phase: str | None = None) -> str:
    """All that can be read in a phase."""
    return " ".join(label.text for label in labels(scene, phase))


def overlapping_labels(scene: Scene, phase: str | None) -> Iterator[str]:
    """Pairs of labels that lie over each other."""
    for (one, here), (other, there) in combinations([(label, area_of(label)) for label in labels(scene, phase)], 2):
        if here.meets(there):
            yield f"{one.text!r} over {other.text!r}"


def covered_labels(scene: Scene, phase: str | None) -> Iterator[str]:
    """Labels that lie over a box they do not belong to, or leave their own."""
    every = boxes(scene, phase)
    for label in labels(scene, phase):
        where = area_of(label)
        own = set()
        name = label.owner
        while name:
            own.add(name)
            name = every[name].parent
        if label.owner and not (where.left >= every[label.owner].x - 0.75 and where.right <= every[label.owner].right + 0.75):
            yield f"{label.text!r} leaves {label.owner}"
        for box in every.values():
            if box.kind in OPAQUE and box.id not in own and where.meets(area_of(box)):
                yield f"{label.text!r} over {box.id}"


def outside(scene: Scene, phase: str | None) -> Iterator[str]:
    """What reaches beyond the edge of the picture."""
    paper = Area(0, 0, scene.width, scene.height)
    for element in scene.shown(phase):
        if isinstance(element, Label | Box) and not area_of(element).within(paper):
            yield str(element)


def strays(scene: Scene, phase: str | None) -> Iterator[str]:
    """Boxes that are not inside the box they belong to."""
    every = boxes(scene, phase)
    for box in every.values():
        if box.parent and not area_of(box).within(area_of(every[box.parent])):
            yield f"{box.id} is not inside {box.parent}"


def elements(scene: Scene) -> Iterator[tuple[str, Element]]:
    """Everything in all layers, with the name of its layer."""
    for layer in (scene.ground, *scene.layers):
        for element in layer.elements:
            yield layer.name, element


def faults(scene: Scene) -> list[str]:
    """All that is wrong with the places in a picture."""
    return [
        f"{phase}: {fault}"
        for phase in phases(scene)
        for look in (overlapping_labels, covered_labels, outside, strays)
        for fault in look(scene, phase)
    ]
