"""A path picture as a Mermaid flow chart, for Markdown: clusters and nodes as subgraphs, namespaces as nodes, an edge for each leg.

Labels are quoted, and whatever is neither a letter, a digit nor harmless is written as an entity (``#60;``): no name can end a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.report.diagram.lanes import address_text, lane_of, node_of
from lab.report.diagram.metrics import shown
from lab.report.diagram.palette import LIGHT
from lab.report.diagram.paths import Diagram
from lab.report.diagram.ways import Way, departure
from lab.state import Namespace

_HARMLESS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:/_-+()")


@dataclass(frozen=True, slots=True)
class _Edge:
    source: str
    target: str
    arrow: str
    label: str
    kind: str

    def text(self) -> str:
        label = f'|"{quoted(self.label)}"|' if self.label else ""
        return f"  {self.source} {self.arrow}{label} {self.target}"


def mermaid(diagram: Diagram, phase: str | None = None) -> str:
    """Return a phase as a Mermaid flow chart. Raises InputError for an unknown phase."""
    view = diagram.view(phase)
    names = {name: f"n{number}" for number, name in enumerate(diagram.order)}
    known = {name: next(v.state[name] for v in (view, *diagram.views) if name in v.state.namespaces) for name in diagram.order}
    out = ["flowchart LR", f"  accTitle: {_sentence(diagram.scene.title)}", f"  accDescr: {_sentence(_described(diagram, view.name))}"]
    out += _lanes([known[name] for name in diagram.order], names)
    edges: list[_Edge] = []
    ends: list[str] = []
    for number, way in enumerate(diagram.ways[view.name]):
        edges += _edges(way, names)
        if way.end.kind != "delivered":
            mark = "✗" if way.end.kind == "drop" else "?"
            matched = f"<br/>{quoted(way.end.matched)}" if way.end.matched else ""
            out.append(f'  end{number}{{{{"{quoted(f"{mark} {way.end.why}")}{matched}"}}}}')
            ends.append(f"end{number}")
            edges.append(_Edge(_last(way, names), f"end{number}", "--x", way.end.device, way.kind))
        goal = diagram.goal(way, view.name)
        if goal is not None and way.end.kind != "delivered":
            edges += _rest(goal, departure(way, goal), names)
    out += [edge.text() for edge in edges]
    for kind, colour, dash in (
        ("request", "request", ""),
        ("reply", "reply", ""),
        ("error", "error", "2 3"),
        ("intended", "intended", "6 4"),
    ):
        numbers = [str(number) for number, edge in enumerate(edges) if edge.kind == kind]
        if numbers:
            out.append(
                f"  linkStyle {','.join(numbers)} stroke:{LIGHT[colour]},stroke-width:2px" + (f",stroke-dasharray:{dash}" if dash else "")
            )
    if ends:
        out.append(f"  classDef ended fill:{LIGHT['drop-soft']},stroke:{LIGHT['drop']},color:{LIGHT['drop']},stroke-width:2px")
        out.append(f"  class {','.join(ends)} ended")
    return "\n".join(out) + "\n"


def quoted(text: str) -> str:
    """Return a text as it may stand between quotes in Mermaid."""
    return "".join(c if c in _HARMLESS else f"#{ord(c)};" for c in shown(text))


def _sentence(text: str) -> str:
    """Return a text as it may stand in a line that Mermaid reads to its end."""
    return "".join(c if c in _HARMLESS or c in "→=\"'" else " " for c in shown(text))


def _described(diagram: Diagram, phase: str) -> str:
    return " ".join(f"{text}." for _, text in diagram.stories[phase])


def _lanes(namespaces: Sequence[Namespace], names: dict[str, str]) -> Iterator[str]:
    lane = node = None
    for namespace in namespaces:
        here, at = lane_of(namespace), node_of(namespace) if namespace.cluster else None
        if node is not None and (at != node or here != lane):
            yield "    end"
            node = None
        if here != lane:
            if lane is not None:
                yield "  end"
            yield f'  subgraph lane{names[namespace.name]}["{quoted(here or "corporate network")}"]'
            lane = here
        if at is not None and node is None:
            yield f'    subgraph node{names[namespace.name]}["{quoted(at)}"]'
            node = at
        name = "host" if namespace.role == "node" and at is not None else namespace.name
        address = f"<br/>{quoted(address_text(namespace))}" if address_text(namespace) else ""
        yield f'      {names[namespace.name]}["{quoted(name)}{address}"]'
    if node is not None:
        yield "    end"
    if lane is not None:
        yield "  end"


def _edges(way: Way, names: dict[str, str]) -> Iterator[_Edge]:
    inside = {n: header for header in way.headers if header.depth for n in range(int(header.start) + 1, int(header.end) + 1)}
    here, out_by = way.origin, ""
    for number, stop in enumerate(way.stops):
        if stop.namespace != here and stop.device:
            tunnel = inside.get(number)
            label = f"{way.kind}, {tunnel.name.split(',')[0]}" if tunnel is not None else f"{way.kind}, {out_by}" if out_by else way.kind
            yield _Edge(
                names[here],
                names[stop.namespace],
                "==>" if tunnel is not None else "-.->" if way.kind == "error" else "-->",
                label,
                way.kind,
            )
            here = stop.namespace
        out_by = stop.device or out_by


def _last(way: Way, names: dict[str, str]) -> str:
    stops = [stop.namespace for stop in way.stops if stop.device]
    return names[way.end.namespace if way.end.namespace in names else stops[-1] if stops else way.origin]


def _rest(goal: Way, common: int, names: dict[str, str]) -> Iterator[_Edge]:
    here = goal.stops[common - 1].namespace if common else goal.origin
    if here not in names:
        here = next((stop.namespace for stop in reversed(goal.stops[:common]) if stop.namespace in names), goal.origin)
    for stop in goal.stops[common:]:
        if stop.device and stop.namespace != here:
            yield _Edge(names[here], names[stop.namespace], "-.->", "intended", "intended")
            here = stop.namespace
