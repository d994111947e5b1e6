"""Two phases in one picture, in every format: what is gone is hollow, what is there is solid, what has changed is boxed."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from lab.report.diagram import Diagram, drawio, mermaid, svg, text
from lab.report.diagram.scene import Box, Element, Line
from tests.report.diagram.looking import boxes, faults

NAME = "broken → fixed"
GONE = [
    "gone: ICMP echo request, 84 B: 10.46.247.65 → 10.42.185.1",
    "gone: ICMP echo request, 84 B: 172.18.1.3 → 10.42.185.1",
    "gone: ICMP host unreachable, 112 B: 10.128.11.126 → 10.46.247.65",
    "gone: ICMP host unreachable, 112 B: 10.128.11.126 → 172.18.1.3",
]
SVG = "{http://www.w3.org/2000/svg}"


def shown(diagram: Diagram, kind: str) -> list[Element]:
    return [element for element in diagram.scene.shown(NAME) if getattr(element, "kind", "") == kind]


def test_headers_that_are_gone_lie_beyond_those_that_are_borne_now(flagship: Diagram) -> None:
    gone = [box for box in shown(flagship, "bar-gone") if isinstance(box, Box) and not box.id.startswith("legend")]
    assert sorted(box.title for box in gone) == GONE
    now = [box for box in boxes(flagship.scene, NAME).values() if box.kind in ("bar-request", "bar-reply", "bar-tunnel")]
    middle = flagship.scene.height / 2
    assert max(box.bottom for box in gone if box.y < middle) < min(box.y for box in now if box.y < middle)
    assert min(box.y for box in gone if box.y > middle) > max(box.bottom for box in now if box.y > middle)
    assert faults(flagship.scene) == []


def test_a_header_that_is_borne_in_both_is_not_gone(service: Diagram) -> None:
    from lab.report.diagram import layout

    same = layout(service.views, compare=("healthy", "fixed"))
    found = list(same.scene.shown("healthy → fixed"))
    assert not [element for element in found if getattr(element, "kind", "") in ("bar-gone", "gone")]
    assert [element for element in found if getattr(element, "kind", "") == "bar-request"]


def test_in_svg_and_draw_io_what_is_gone_has_no_colour_inside(flagship: Diagram) -> None:
    drawn = svg(flagship.scene, NAME)
    root = ElementTree.fromstring(drawn)
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "lab-bar-gone" and rect.find(f"{SVG}title") is not None]
    assert sorted(str(rect.findtext(f"{SVG}title")) for rect in bars) == GONE
    assert re.search(r"\.lab-bar-gone circle\{fill:var\(--lab-paper\);[^}]*stroke-dasharray", drawn)
    objects = [
        (cell.get("tooltip"), str(cell[0].get("style"))) for cell in ElementTree.fromstring(drawio(flagship.scene, NAME)).iter("object")
    ]
    styles = [style for title, style in objects if title in GONE and not style.startswith("text;")]
    assert len(styles) == len(GONE)
    assert all("fillColor=#ffffff" in style and "dashed=1" in style for style in styles)


def test_in_mermaid_what_is_gone_is_said_to_be_and_dotted(flagship: Diagram) -> None:
    chart = mermaid(flagship, NAME)
    assert '-.->|"gone: request, eth0"| n3' in chart
    assert '==>|"request, VXLAN 1000"|' in chart
    assert "before: #10007; forward: a rule set rejects it" in chart
    edges = [line for line in chart.splitlines() if re.match(r"  \w+ (-->|==>|-\.->|--x)", line)]
    styled = next(line for line in chart.splitlines() if "linkStyle" in line and "stroke-dasharray:1 4" in line)
    numbers = [int(number) for number in re.findall(r"\d+", styled.split(" stroke")[0])]
    assert [edge for edge in edges if "gone: " in edge] == [edges[number] for number in numbers[:-1]]
    assert edges[numbers[-1]].endswith("end0")
    assert len(re.findall(r"changed: \d+ routes", chart)) == 4


def test_on_a_terminal_signs_say_what_is_gone_and_brackets_what_has_changed(flagship: Diagram) -> None:
    lines = text(flagship, NAME, width=100).splitlines()
    assert lines[1].split() == ["c1-w1-a", "[c1-w1]", "[c1-gw]", "edge-1", "core-router", "edge-2", "[c2-gw]", "[c2-w1]", "c2-w1-a"]
    ways = {line[:10].strip(): line[10:] for line in lines[2:6]}
    assert list(ways) == ["- request", "- error", "+ request", "+ reply"]
    for sign, way in ways.items():
        assert ("▷" in way or "◁" in way) == sign.startswith("-")
        assert ("▶" in way or "◀" in way) == sign.startswith("+")
    assert ways["- request"].endswith("─✗")
    assert "□ Changed at c1-gw, c2-gw: 5 routes" in "\n".join(lines)


def test_a_way_that_both_phases_have_bears_no_sign(flagship: Diagram) -> None:
    from lab.report.diagram import layout

    same = layout(flagship.views, compare=("healthy", "fixed"))
    assert [line[:9].strip() for line in text(same, "healthy → fixed", width=100, story=False).splitlines()[2:]] == ["request", "reply"]


def test_lines_that_are_gone_are_drawn_twice_to_be_hollow(flagship: Diagram) -> None:
    lines = [line for line in shown(flagship, "gone") if isinstance(line, Line) and not line.id.startswith("legend")]
    root = ElementTree.fromstring(svg(flagship.scene, NAME))
    hollow = [g for g in root.iter(f"{SVG}g") if g.get("class") == "lab-gone" and g.find(f"{SVG}title") is not None]
    assert len(hollow) == len(lines) > 0
    assert all([path.get("class") for path in g.iter(f"{SVG}path")] == [None, "lab-hollow"] for g in hollow)
