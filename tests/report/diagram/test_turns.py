"""A packet that turns back is drawn on a row of its own; one that goes round is drawn going round once."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from lab.report.diagram import Diagram, View, drawio, layout, mermaid, svg, text
from lab.report.diagram.scene import Box, Label, Line, Mark
from lab.state.nft import Match, Meta, Verdict
from tests.forwarding.conftest import Net
from tests.report.diagram.looking import boxes, faults, labels, marks, words


def there_and_back() -> Net:
    """What r sends to b for 10.9.0.0/16, b sends back."""
    net = Net().node("a").router("r").router("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24")
    net.wire("r:right 10.2.0.1/24", "b:left 10.2.0.2/24").route("a", "default via 10.1.0.1 dev eth0")
    return net.route("r", "10.9.0.0/16 via 10.2.0.2 dev right").route("b", "default via 10.2.0.1 dev left")


@pytest.fixture(scope="module")
def turned() -> Diagram:
    """A packet that b sends back, and r then drops."""
    net = there_and_back().chain("r", "forward", (Match(Meta("iifname"), "right"), Verdict("drop")))
    return layout([View("turned", net.state, net.trace("a", "10.9.0.1"))])


@pytest.fixture(scope="module")
def looping() -> Diagram:
    """A packet that goes round between b and r until its time to live runs out."""
    net = there_and_back()
    return layout([View("looping", net.state, net.trace("a", "10.9.0.1"))])


def drawn(diagram: Diagram) -> list[Line]:
    return [
        line for line in diagram.scene.shown() if isinstance(line, Line) and line.kind == "request" and not line.id.startswith("legend")
    ]


def mark(diagram: Diagram, kind: str) -> Mark:
    (found,) = [one for one in marks(diagram.scene) if one.kind == kind]
    return found


def test_it_comes_back_from_right_to_left_below_its_way_there(turned: Diagram) -> None:
    assert faults(turned.scene) == []
    tips = [(line.arrow[0], line.arrow[0][0] > line.arrow[1][0]) for line in drawn(turned) if line.arrow is not None]
    assert [onward for _, onward in tips] == [True, True, False]
    assert tips[2][0][1] > tips[1][0][1] == tips[0][0][1]
    every = boxes(turned.scene)
    assert every["dev-b-left-left-forward1"].x == every["dev-b-left-left-forward0"].x
    assert every["dev-b-left-left-forward1"].y > every["dev-b-left-left-forward0"].bottom


def test_it_turns_inside_the_namespace_that_sends_it_back(turned: Diagram) -> None:
    (turn,) = [line for line in drawn(turned) if (line.source, line.target) == ("dev-b-left-left-forward0", "dev-b-left-left-forward1")]
    inside = boxes(turned.scene)["ns-b"]
    assert all(inside.x < x < inside.right and inside.y < y < inside.bottom for x, y in turn.points)
    assert "back out of left, by which it came" in " ".join(
        label.text for label in labels(turned.scene) if label.owner == "ns-b" and label.kind == "note-request"
    )


def test_it_ends_on_its_way_back(turned: Diagram) -> None:
    drop, every = mark(turned, "drop"), boxes(turned.scene)
    device = every["dev-r-right-right-forward1"]
    assert every["ns-r"].x < drop.x < device.x
    assert drop.y == device.center[1]
    (bar,) = [box for box in every.values() if box.kind == "bar-request"]
    assert bar.right == every["dev-b-left-left-forward0"].center[0]


def test_every_format_has_both_directions(turned: Diagram) -> None:
    root = ElementTree.fromstring(svg(turned.scene))
    titles = [str(title.text) for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [title for title in titles if title.startswith("request to r:")] == [
        "request to r:left",
        "request to r:right",
        "request to r:right",
    ]
    edges = [(cell.get("source"), cell.get("target")) for cell in ElementTree.fromstring(drawio(turned.scene)).iter("mxCell")]
    assert ("dev-b-left-left-forward0", "dev-b-left-left-forward1") in edges
    assert ("dev-b-left-left-forward1", "dev-r-right-right-forward1") in edges
    chart = mermaid(turned)
    assert [chart.index(f'n{one} -->|"request, {by}"| n{other}') for one, by, other in ((0, "eth0", 1), (1, "right", 2), (2, "left", 1))]
    assert text(turned, width=80).splitlines()[2:4] == ["request   ●────▶────▶┐", "             ✗─◀─────┘"]


def test_of_a_loop_one_round_is_drawn_and_all_are_counted(looping: Diagram) -> None:
    assert faults(looping.scene) == []
    (way, error) = looping.ways["looping"]
    assert [stop.namespace for stop in way.stops] == ["a", "r", "r", "b", "b", "r", "r", "b"]
    rounds = len([hop for hop in looping.view().conversation.request.hops if hop.namespace == "r"]) - 1
    assert way.loop is not None
    assert way.loop.rounds == rounds == 31
    for picture in (words(looping.scene), text(looping, width=100), mermaid(looping).replace("#8594;", "→")):
        assert "The request goes round: b → r → b, 31 rounds" in picture
    every = boxes(looping.scene)
    assert mark(looping, "drop").y == every["dev-b-left-left-forward0"].center[1]
    assert every["dev-b-left-left-forward0"].right < mark(looping, "drop").x < every["ns-b"].right
    assert error.end.kind == "delivered"
    assert text(looping, width=80).splitlines()[2:5] == ["request   ●────▶────▶┐", "              ┌◀─────┘", "              └─────▶─✗"]


def test_the_line_of_a_loop_comes_back_to_where_it_began(looping: Diagram) -> None:
    joined = [(line.source, line.target) for line in drawn(looping)]
    ring = [
        ("dev-r-right-right-forward0", "dev-b-left-left-forward0"),
        ("dev-b-left-left-forward0", "dev-b-left-left-forward1"),
        ("dev-b-left-left-forward1", "dev-r-right-right-forward1"),
        ("dev-r-right-right-forward1", "dev-r-right-right-forward0"),
    ]
    assert [pair for pair in joined if pair in ring] == [*ring, ring[0]]
    inside = boxes(looping.scene)["ns-r"]
    corners = [point for line in drawn(looping) if (line.source, line.target) == ring[3] for point in line.points]
    assert all(inside.x < x < inside.right for x, _ in corners)


def test_what_is_said_is_said_once_however_often_a_packet_comes_by(looping: Diagram) -> None:
    said = [e.text for e in looping.scene.shown() if isinstance(e, Label) and e.owner == "ns-r" and e.kind == "note-request"]
    assert re.sub(" +", " ", " ".join(said)) == "10.9.0.0/16 via 10.2.0.2 dev right back out of right, by which it came"
    edges = [line for line in mermaid(looping).splitlines() if " -->|" in line]
    assert len(edges) == len(set(edges)) == 3


def test_a_way_back_that_turns_is_drawn_below_the_way_back() -> None:
    """The answer is the mirror image: from right to left, and where it turns, to the right again."""
    net = Net().node("a").router("r").router("s").node("c").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24")
    net.wire("r:right 10.2.0.1/24", "s:left 10.2.0.2/24").wire("s:right 10.3.0.1/24", "c:eth0 10.3.0.2/24")
    net.route("a", "default via 10.1.0.1 dev eth0").route("c", "default via 10.3.0.1 dev eth0")
    net.route("r", "10.3.0.0/24 via 10.2.0.2 dev right").route("s", "10.1.0.0/24 via 10.2.0.1 dev left")
    net.route("r", "10.1.0.2/32 via 10.2.0.2 dev right")
    diagram = layout([View("", net.state, net.trace("a", "10.3.0.2"))])
    reply = next(way for way in diagram.ways[""] if way.kind == "reply")
    assert reply.loop is not None
    assert faults(diagram.scene) == []
    sides = {(stop.namespace, stop.side, stop.back) for stop in reply.stops if stop.back}
    assert sides == {("r", "right", True), ("s", "left", True)}
    every = boxes(diagram.scene)
    assert every["dev-r-right-right-backward1"].y > every["dev-r-right-right-backward0"].bottom
    assert isinstance(every["dev-s-left-left-backward1"], Box)
