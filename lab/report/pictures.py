"""The pictures of a report: the path of each story's packets in every stage, all of them of one layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.report.diagram import Diagram, View, layout, mermaid, svg
from lab.report.model import Report
from lab.scenario.story import Story


@dataclass(frozen=True, slots=True)
class Picture:
    """A scene of a story in pictures."""

    svg: str
    """Without its style sheet."""
    width: float
    """Of the SVG, in CSS pixels."""
    mermaid: str
    """The same as a flow chart, where the flow was lost; empty elsewhere."""


Pictures = Mapping[tuple[str, int], Picture]
"""By the id of a story and the number of a scene."""


def pictures_of(report: Report, told: Sequence[Story]) -> Pictures:
    """Return the pictures of all stories of a report."""
    found: dict[tuple[str, int], Picture] = {}
    for reported, story in zip(report.stories, told, strict=True):
        labels = [scene.label for scene in reported.scenes]
        diagram = _diagram(story, labels)
        for number, (label, scene) in enumerate(zip(labels, story.scenes, strict=True)):
            if diagram is not None and scene.conversation is not None:
                drawn = svg(diagram.scene, label, prefix=f"{reported.id}-{number}-", style=False)
                chart = mermaid(diagram, label) if scene.lost is not None else ""
                found[reported.id, number] = Picture(drawn, diagram.scene.width, chart)
    return found


def charts(pictures: Pictures) -> dict[str, str]:
    """Return, by the id of each story, the flow chart of the stage in which it was lost first."""
    found: dict[str, str] = {}
    for (story, _), picture in pictures.items():
        if picture.mermaid:
            found.setdefault(story, picture.mermaid)
    return found


def _diagram(told: Story, labels: Sequence[str]) -> Diagram | None:
    """Lay out a story: a view for each scene, called by its label; None when nothing of it can be drawn."""
    views = [
        View(label, scene.stage.state, scene.conversation, scene.stage.title)
        for label, scene in zip(labels, told.scenes, strict=True)
        if scene.conversation is not None
    ]
    return layout(views, title=told.name) if views else None
