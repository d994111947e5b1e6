"""Where things are: no text over another, children inside parents, the same place in every phase, colours that can be read."""

from __future__ import annotations

import string
from ipaddress import IPv4Address, IPv4Network

import pytest
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font, LoadFlags

from lab.api.inputs import open_state
from lab.api.pictures import draw_map, draw_matrix, draw_path, draw_routes
from lab.api.questions import trace
from lab.forwarding import Delivered, Flow
from lab.forwarding.reach import reach
from lab.report.diagram import Diagram, View, layout, text
from lab.report.diagram.matrix import matrix
from lab.report.diagram.metrics import shortened, width, wrapped
from lab.report.diagram.palette import DARK, LIGHT, SHAPES, WRITING, contrast
from lab.report.diagram.prefixes import prefixes
from lab.report.diagram.scene import Box, Label, Line
from lab.report.diagram.topology import topology
from tests.report.diagram.looking import boxes, faults, labels, marks, phases
from tests.report.diagram.networks import HOSTILE, LONG, renamed, twenty_nodes_each


def test_nothing_overlaps_in_the_paths_of_the_flagship(flagship: Diagram, service: Diagram) -> None:
    assert faults(flagship.scene) == []
    assert faults(service.scene) == []


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("calico-24-mismatch", "c1-gw-a", "c2-w1-a"),
        ("calico-24-mismatch", "c2-w1-a", "c1-w1-a"),
        ("calico-24-mismatch", "c1-w1", "c2-w1-a"),
        ("two-clusters", "c1-w1-a", "c1-w1-b"),
        ("two-clusters", "c1-w1-a", "c1-w2-a"),
        ("two-clusters", "c1-w1-a", "internet"),
        ("two-clusters", "proxy", "c1-w1"),
        ("two-clusters", "c1-w1-a", "10.45.77.77"),
        ("three-clusters", "c1-w1-a", "c3-w1-a"),
    ],
)
def test_nothing_overlaps_in_other_paths(name: str, source: str, target: str) -> None:
    assert faults(draw_path(name, source, target).scene) == []


@pytest.mark.parametrize("name", ["two-clusters", "three-clusters", "two-single-node-clusters", "calico-24-mismatch@broken"])
def test_nothing_overlaps_in_maps(name: str) -> None:
    assert faults(draw_map(name)) == []


def test_nothing_overlaps_in_a_map_of_twenty_nodes_each(tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = draw_map(str(twenty_nodes_each(tmp_path_factory.mktemp("big"))))
    assert sum(box.kind == "node" for box in boxes(scene).values()) == 40
    assert faults(scene) == []


def test_nothing_overlaps_in_matrices_and_route_tables() -> None:
    assert (
        faults(draw_matrix("calico-24-mismatch", "broken", sources=["c1-w1-a", "c1-gw-a"], targets=["c2-w1-a", "c1-w2-a", "proxy"])) == []
    )
    assert faults(draw_routes("calico-24-mismatch", "c1-gw", "broken")) == []


def test_boxes_are_at_the_same_place_in_every_phase(flagship: Diagram) -> None:
    """The scenery is one layer for all phases; a phase adds lines, marks, bars of headers and words, never a box of the network."""
    kinds = {"cluster", "network", "node", "namespace", "device", "tunnel-device", "segment"}
    assert kinds == {box.kind for box in boxes(flagship.scene).values()} & kinds
    for layer in flagship.scene.layers:
        assert [element for element in layer.elements if isinstance(element, Box) and element.kind in kinds] == []


def test_what_phases_have_in_common_lies_exactly_over_each_other(flagship: Diagram) -> None:
    def lines(phase: str) -> dict[str, tuple[tuple[float, float], ...]]:
        layer = flagship.scene.layer(phase)
        assert layer is not None
        return {e.id.partition("-")[2]: e.points for e in layer.elements if isinstance(e, Line) and ("hop" in dict(e.data))}

    assert lines("healthy") == lines("fixed")


def test_every_namespace_on_the_way_is_drawn_and_the_line_ends_in_the_receiver(flagship: Diagram) -> None:
    view = flagship.view("healthy")
    verdict = view.conversation.request.verdict
    assert isinstance(verdict, Delivered)
    drawn = {name.removeprefix("ns-") for name in boxes(flagship.scene) if name.startswith("ns-")}
    assert {name for name in view.conversation.request.path if view.state[name].role != "switch"} <= drawn
    end = next(mark for mark in marks(flagship.scene, "healthy") if mark.kind == "end-request")
    box = boxes(flagship.scene)[f"ns-{verdict.namespace}"]
    assert box.x < end.x < box.right
    assert box.y < end.y < box.bottom


def test_the_question_runs_above_and_to_the_right_the_answer_below_and_to_the_left(flagship: Diagram) -> None:
    found = {(m.kind): m for m in marks(flagship.scene, "healthy")}
    assert found["start-request"].x < found["end-request"].x
    assert found["start-reply"].x > found["end-reply"].x
    assert found["start-request"].y < found["start-reply"].y


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_and_lines_stand_out_from_what_they_are_on(palette: dict[str, str]) -> None:
    assert {
        k: round(contrast(palette[w.colour], palette[w.on]), 2)
        for k, w in WRITING.items()
        if contrast(palette[w.colour], palette[w.on]) < 4.5
    } == {}
    on = {"tube": "inside"}
    strokes = {kind: shape.stroke for kind, shape in SHAPES.items() if shape.width > 1 and kind not in on}
    weak = {kind: palette[stroke] for kind, stroke in strokes.items() if contrast(palette[stroke], palette["lane"]) < 3}
    assert {kind: value for kind, value in weak.items() if kind not in ("device", "wire", "plug")} == {}


def test_kinds_differ_in_more_than_their_colour() -> None:
    lines = ("request", "error", "intended", "gone", "tube", "overlay")
    assert len({(SHAPES[kind].width, SHAPES[kind].dash) for kind in lines}) == len(lines)


def test_texts_are_at_most_as_wide_as_the_table_says() -> None:
    samples = [
        "10.42.0.0/16 via 240.18.1.2 dev vx-submariner",
        "forward: a rule set rejects it",
        "corporate network",
        string.ascii_letters,
        "cluster-1",
    ]
    for face, bold in (("DejaVuSans", False), ("DejaVuSans-Bold", True)):
        font = FT2Font(f"{get_data_path()}/fonts/ttf/{face}.ttf")
        font.set_size(100, 72)
        for sample in samples:
            real = sum(font.load_char(ord(c), flags=LoadFlags.NO_HINTING).linearHoriAdvance for c in sample) / 65536
            assert real <= width(sample, 100, bold=bold) * 1.001, (face, sample)


def test_texts_are_broken_and_shortened_to_fit() -> None:
    text = "10.42.0.0/16 via 240.18.1.2 dev vx-submariner and-a-word-that-is-longer-than-the-line"
    lines = wrapped(text, 100, 10, fixed=True)
    assert all(width(line, 10, fixed=True) <= 100 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert shortened("cali848399f712a", 80, 9.5, fixed=True) == "cali8483…712a"
    assert shortened("eth0", 80, 9.5, fixed=True) == "eth0"


def test_labels_are_written_once(flagship: Diagram) -> None:
    for phase in phases(flagship.scene):
        found = [(e.x, e.y, e.text) for e in flagship.scene.shown(phase) if isinstance(e, Label)]
        assert len(found) == len(set(found))


@pytest.mark.parametrize("names", [HOSTILE, LONG], ids=["hostile", "long"])
def test_no_name_breaks_a_layout(names: tuple[str, ...]) -> None:
    """Paths, comparisons, maps, routes and matrices of a network in which everything bears such a name."""
    called = ("c1-w1-a", "c1-w1", "c1-gw", "edge-1", "core-router", "cluster-1", "cluster-2", "sw-site-1", "c2-w1-a")
    new = dict(zip(called, names, strict=False))
    states = {phase: renamed(open_state("calico-24-mismatch", phase), new) for phase in ("healthy", "broken")}
    views = [View(name, state, trace(state, new["c1-w1-a"], "10.42.185.1"), names[3]) for name, state in states.items()]
    path = layout(views, title=names[0], compare=("broken", "healthy"))
    sender, receiver = new["c1-w1-a"], new["c2-w1-a"]
    asked = [IPv4Address("10.46.247.65"), IPv4Address("10.42.185.1")]
    exact = [IPv4Network(address) for address in asked]
    found = reach(states["broken"], sources=[sender, receiver], within=exact, flow=Flow("any", IPv4Address(0), "icmp"), also=exact)
    scenes = [
        path.scene,
        topology(states["broken"], names[0]),
        prefixes(states["broken"], new["c1-w1"], names[0]),
        matrix(found, dict(zip((sender, receiver), asked, strict=True)), names[0]),
    ]
    assert [faults(scene) for scene in scenes] == [[], [], [], []]
    assert max(scene.width for scene in scenes) < 3200
    assert all("\n" not in label.text for scene in scenes for label in labels(scene))
    for name in path.stories:
        assert max(len(line) for line in text(path, name, width=100).splitlines()) <= 100
