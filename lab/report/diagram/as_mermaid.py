"""A path picture as a Mermaid flow chart, for Markdown: clusters and nodes as subgraphs, namespaces as nodes, an edge for each leg.

Labels are quoted, and whatever is neither a letter, a digit nor harmless is written as an entity (``#60;``): no name can end a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lab.report.diagram.addresses import address_text
from lab.report.diagram.lanes import lane_of, node_of
from lab.report.diagram.metrics import shown
from lab.report.diagram.palette import LIGHT
from lab.report.diagram.paths import Comparison, Diagram
from lab.report.diagram.ways import Way, departure
from lab.state import Namespace

_DASHES = {"request": "", "reply": "", "error": "2 3", "intended": "6 4", "gone": "1 4"}
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


@dataclass(frozen=True, slots=True)
class _End:
    """Where a packet ends, as a node of its own."""

    source: str
    text: str
    device: str
    kind: str


def mermaid(diagram: Diagram, phase: str | None = None) -> str:
    """Return a phase as a Mermaid flow chart, or the comparison of two. Raises InputError for an unknown phase."""
    compared = diagram.compared if diagram.compared is not None and phase == diagram.compared.name else None
    name = diagram.view(phase).name if compared is None else compared.name
    views = diagram.views if compared is None else [diagram.view(one) for one in (compared.after, compared.before)]
    names = {one: f"n{number}" for number, one in enumerate(diagram.order)}
    known = {one: next(v.state[one] for v in (*views, *diagram.views) if one in v.state.namespaces) for one in diagram.order}
    changed = dict(compared.changed) if compared is not None else {}
    out = ["flowchart LR", f"  accTitle: {_sentence(diagram.scene.title)}", f"  accDescr: {_sentence(_described(diagram, name))}"]
    out += _lanes([known[one] for one in diagram.order], names, changed, views[0].conversation.flow.destination.version)
    edges, ends = _phase(diagram, name, names) if compared is None else _compared(diagram, compared, names)
    for number, end in enumerate(ends):
        out.append(f'  end{number}{{{{"{end.text}"}}}}')
        edges.append(_Edge(end.source, f"end{number}", "--x", end.device, end.kind))
    out += [edge.text() for edge in edges]
    for kind, dash in _DASHES.items():
        numbers = [str(number) for number, edge in enumerate(edges) if edge.kind == kind]
        if numbers:
            stroke = LIGHT["intended" if kind == "gone" else kind]
            out.append(f"  linkStyle {','.join(numbers)} stroke:{stroke},stroke-width:2px" + (f",stroke-dasharray:{dash}" if dash else ""))
    for style, look, nodes in (
        ("ended", f"fill:{LIGHT['drop-soft']},stroke:{LIGHT['drop']},color:{LIGHT['drop']}", _ended(ends, gone=False)),
        (
            "gone",
            f"fill:none,stroke:{LIGHT['intended']},color:{LIGHT['intended']},stroke-dasharray:4 3",
            _ended(ends, gone=True),
        ),
        ("changed", f"stroke:{LIGHT['change']}", [names[one] for one in changed if one in names]),
    ):
        if nodes:
            out += [f"  classDef {style} {look},stroke-width:2px", f"  class {','.join(nodes)} {style}"]
    return "\n".join(out) + "\n"


def _ended(ends: Sequence[_End], *, gone: bool) -> list[str]:
    return [f"end{number}" for number, end in enumerate(ends) if (end.kind == "gone") == gone]


def _phase(diagram: Diagram, phase: str, names: dict[str, str], *, rest: bool = True) -> tuple[list[_Edge], list[_End]]:
    """Return the edges and ends of the ways of a phase, with the `rest` of the ways that were intended."""
    edges: list[_Edge] = []
    ends: list[_End] = []
    for way in diagram.ways[phase]:
        edges += _edges(way, names)
        if way.end.kind != "delivered":
            mark = "✗" if way.end.kind == "drop" else "?"
            matched = f"<br/>{quoted(way.end.matched)}" if way.end.matched else ""
            ends.append(_End(_last(way, names), quoted(f"{mark} {way.end.why}") + matched, way.end.device, way.kind))
        goal = diagram.goal(way, phase)
        if goal is not None and rest and way.end.kind != "delivered":
            edges += _rest(goal, departure(way, goal), names)
    return list(dict.fromkeys(edges)), ends


def _compared(diagram: Diagram, compared: Comparison, names: dict[str, str]) -> tuple[list[_Edge], list[_End]]:
    """Return what there is in the later phase, and, as gone, what there was in the earlier one only."""
    (before, lost), (after, left) = (_phase(diagram, one, names, rest=False) for one in (compared.before, compared.after))
    edges = [replace(edge, arrow="-.->", label=f"gone: {edge.label}", kind="gone") for edge in before if edge not in after]
    ends = [replace(end, text=f"before: {end.text}", kind="gone") for end in lost if end not in left]
    return [*edges, *after], [*ends, *left]


def quoted(text: str) -> str:
    """Return a text as it may stand between quotes in Mermaid."""
    return "".join(c if c in _HARMLESS else f"#{ord(c)};" for c in shown(text))


def _sentence(text: str) -> str:
    """Return a text as it may stand in a line that Mermaid reads to its end."""
    return "".join(c if c in _HARMLESS or c in "→=\"'" else " " for c in shown(text))


def _described(diagram: Diagram, phase: str) -> str:
    return " ".join(f"{text}." for _, text in diagram.stories[phase])


def _lanes(namespaces: Sequence[Namespace], names: dict[str, str], changed: dict[str, str], version: int) -> Iterator[str]:
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
        own = address_text(namespace, version)
        address = f"<br/>{quoted(own)}" if own else ""
        what = f"<br/>{quoted(f'changed: {changed[namespace.name]}')}" if namespace.name in changed else ""
        yield f'      {names[namespace.name]}["{quoted(name)}{address}{what}"]'
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
