"""Every format: well formed, the same bytes each time, harmless whatever names there are."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.api.inputs import open_state
from lab.api.questions import trace
from lab.report.diagram import Diagram, Scene, View, drawio, layout, mermaid, stylesheet, svg, text
from lab.report.diagram.as_image import image
from lab.report.diagram.scene import Label, Layer
from lab.report.diagram.topology import topology
from tests.report.diagram.looking import Area, area_of, boxes, elements, labels
from tests.report.diagram.networks import HOSTILE, renamed

ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"
RENDERERS: dict[str, Callable[[Diagram], str]] = {
    "svg": lambda diagram: svg(diagram.scene, every_phase=True),
    "drawio": lambda diagram: drawio(diagram.scene),
    "mmd": lambda diagram: "".join(mermaid(diagram, name) for name in diagram.stories),
    "txt": lambda diagram: "".join(text(diagram, name) for name in diagram.stories),
}


@pytest.fixture(scope="module")
def hostile() -> Diagram:
    """A path through nodes and pods whose names mean harm, in a phase whose name does as well."""
    harm = dict(
        zip(("c1-w1-a", "c1-w1", "c1-gw", "edge-1", "core-router", "cluster-1", "cluster-2", "sw-site-1", "c2-w1-a"), HOSTILE, strict=True)
    )
    views = []
    for name, phase in (("healthy", "<b>&\"'"), ("broken", "broken")):
        state = renamed(open_state("calico-24-mismatch", name), harm)
        views.append(View(phase, state, trace(state, harm["c1-w1-a"], IPv4Address("10.42.185.1")), HOSTILE[3]))
    return layout(views, title=HOSTILE[0], compare=(views[1].name, views[0].name))


def test_svg_is_well_formed_and_complete(flagship: Diagram) -> None:
    drawn = svg(flagship.scene, "broken", every_phase=True, prefix="p-")
    root = ElementTree.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(str(name).startswith("p-") for name in ids)
    assert root.find(f"{SVG}title") is not None
    described = root.find(f"{SVG}desc")
    assert described is not None
    assert "core-router:core, forward" in str(described.text)


def test_svg_needs_nothing_from_the_network(flagship: Diagram) -> None:
    drawn = svg(flagship.scene, every_phase=True)
    assert re.findall(r"(?:href|src|url\(|@import|@font-face)[^>]{0,60}", drawn) == []
    assert set(re.findall(r"https?://[^\s\"']+", drawn)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in drawn


def test_phases_can_be_switched_and_hops_found(flagship: Diagram) -> None:
    root = ElementTree.fromstring(svg(flagship.scene, "broken", every_phase=True))
    layers = {g.get("data-phase"): str(g.get("class")).split() for g in root.iter(f"{SVG}g") if "lab-phase" in str(g.get("class"))}
    assert list(layers) == ["broken → fixed", "healthy", "broken", "routes-only", "fixed"]
    assert [name for name, classes in layers.items() if "lab-off" not in classes] == ["broken"]
    for view in flagship.views:
        for way in flagship.ways[view.name]:
            hops = {e.get("data-hop") for e in root.iter() if e.get("data-phase") == view.name and e.get("data-trace") == str(way.trace)}
            assert {str(stop.hop) for stop in way.stops} <= hops
            numbers = range(len(view.conversation.traces[way.trace].hops))
            assert {int(hop) for hop in hops if hop is not None} <= set(numbers)


def test_elements_lead_where_they_are_told_to(flagship: Diagram) -> None:
    root = ElementTree.fromstring(svg(flagship.scene, "broken", links={"broken-request-end": "#cause", "ns-c1-gw": 'x"><script>'}))
    found = {a.get("href"): [child.get("id") for child in a] for a in root.iter(f"{SVG}a")}
    assert found == {"#cause": ["broken-request-end"], 'x"><script>': ["ns-c1-gw"]}


def test_light_dark_and_print_are_in_the_style_sheet(flagship: Diagram) -> None:
    assert stylesheet() in svg(flagship.scene)
    assert stylesheet() not in svg(flagship.scene, style=False)
    for part in ("prefers-color-scheme:dark", "@media print", "[data-theme=dark]", "[data-theme=light]"):
        assert part in stylesheet()


def test_drawio_has_shapes_in_frames_and_a_layer_for_each_phase(flagship: Diagram) -> None:
    root = ElementTree.fromstring(drawio(flagship.scene, "broken"))
    cells = {cell.get("id"): cell for cell in root.iter() if cell.tag in ("mxCell", "object") and cell.get("id")}
    assert len(cells) == len([cell for cell in root.iter() if cell.get("id") and cell.tag != "diagram"])
    parents = [cell.get("parent") for cell in root.iter("mxCell") if cell.get("parent")]
    assert [parent for parent in parents if parent not in cells] == []
    ends = [cell.get(end) for cell in root.iter("mxCell") for end in ("source", "target") if cell.get(end)]
    assert ends
    assert [end for end in ends if end not in cells] == []
    for cell in root.iter("mxCell"):
        for end, side in (("source", "exit"), ("target", "entry")):
            if str(cell.get(end)).startswith("dev-"):  # the line is fastened to the edge of the device
                across, down = (re.findall(rf"{side}{axis}=([\d.-]+)", str(cell.get("style")))[0] for axis in "XY")
                assert {across, down} & {"0.0000", "1.0000"}
    layers = [cell for cell in root.iter("mxCell") if cell.get("parent") == "0"]
    assert [cell.get("id") for cell in layers if cell.get("visible") != "0"] == ["ground", "phase-broken"]
    assert len(layers) == 1 + len(flagship.scene.layers)


def test_mermaid_is_made_of_nothing_but_known_lines(flagship: Diagram, service: Diagram, hostile: Diagram) -> None:
    label = r'"(?:[A-Za-z0-9 .,:/_+()-]|<br/>|\#\d+;)*"'
    line = re.compile(
        rf"""flowchart\ LR | \ \ acc(?:Title|Descr):\ [^<>{{}}|;#`%\[\]]* | \ +subgraph\ \w+\[{label}\] | \ +end
        | \ +\w+\[{label}\] | \ +\w+\{{\{{{label}\}}\}} | \ \ \w+\ (?:-->|==>|-\.->|--x)(?:\|{label}\|)?\ \w+
        | \ \ linkStyle\ [\d,]+\ stroke:\#[0-9a-f]+[\w:,\- ]*
        | \ \ classDef\ (?:ended|gone|changed)\ [\w:,\#\ -]+ | \ \ class\ [\w,]+\ (?:ended|gone|changed)""",
        re.VERBOSE,
    )
    for diagram in (flagship, service, hostile):
        for name in diagram.stories:
            lines = mermaid(diagram, name).splitlines()
            assert [one for one in lines if not line.fullmatch(one)] == []
            opened, closed = (sum(one.strip().startswith(word) for one in lines) for word in ("subgraph", "end"))
            assert opened == sum(one.strip() == "end" for one in lines)
            assert closed >= opened


@pytest.mark.parametrize("form", RENDERERS)
def test_the_same_picture_has_the_same_bytes(form: str, flagship: Diagram) -> None:
    again = layout(flagship.views, compare=("broken", "fixed"), title=flagship.scene.title)
    assert RENDERERS[form](again) == RENDERERS[form](flagship)


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_images_have_the_same_bytes_and_are_what_they_say(form: str, small_map: Scene) -> None:
    first, second = (image(small_map, format=form, scale=1, dark=form == "png") for _ in range(2))  # type: ignore[arg-type]
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "pdf": b"%PDF"}[form])
    assert not re.search(rb"CreationDate|Matplotlib", first)


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("anchor", ["start", "middle", "end"])
def test_in_images_writing_lies_where_the_layout_has_it(anchor: str, upright: bool) -> None:
    from PIL import Image

    label = Label(150, 150, "cluster-1-dns, c1-gw-a", "axis", anchor, upright=upright)
    drawn = Image.open(io.BytesIO(image(Scene(300, 300, "", Layer("", "", "", (label,))), scale=1))).convert("L")
    left, top, right, bottom = drawn.point(lambda grey: 255 if grey < 128 else 0).getbbox() or (0, 0, 300, 300)
    assert Area(left + 1, top + 1, right - 1, bottom - 1).within(area_of(label))
    assert max(right - left, bottom - top) > 80


def test_the_order_of_hashes_is_in_no_picture() -> None:
    program = (
        "from hashlib import sha256; from lab.api.pictures import *; from lab.report.diagram import *\n"
        "d = draw_path('calico-24-mismatch', 'c1-w1-a', 'service/nginx', 'tcp', compare=('broken', 'fixed'))\n"
        "m = svg(draw_map('two-clusters')) + svg(draw_routes('two-clusters', 'c1-gw'))\n"
        "every = svg(d.scene, every_phase=True) + drawio(d.scene) + mermaid(d, 'broken') + text(d, 'broken') + m\n"
        "print(sha256(every.encode()).hexdigest())"
    )
    sums = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(sums) == 1


def test_no_name_gets_out_of_its_place(hostile: Diagram) -> None:
    """What somebody called a pod is text in every format, and nothing that a reader's program would act on."""
    for phase in ("broken", "<b>&\"'"):
        root = ElementTree.fromstring(svg(hostile.scene, phase, every_phase=True))
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg",
            "title",
            "desc",
            "style",
            "rect",
            "g",
            "text",
            "path",
            "circle",
        }
        assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
        assert "<script>" in "".join(root.itertext())  # it can be read
        ElementTree.fromstring(drawio(hostile.scene, phase))
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", "".join(render(hostile) for render in RENDERERS.values()))
        assert "<script" not in mermaid(hostile, phase)
    assert image(hostile.scene, "broken", scale=0.5).startswith(b"\x89PNG")


def test_hostile_names_break_no_layout(hostile: Diagram) -> None:
    assert all("\n" not in label.text for label in labels(hostile.scene, "broken"))
    assert len(boxes(hostile.scene, "broken")) == len(
        {box.id for _, box in elements(hostile.scene) if hasattr(box, "radius") and box.id} & set(boxes(hostile.scene, "broken"))
    )
    state = renamed(open_state("two-clusters"), dict(zip(("c1-w1", "c1-gw", "edge-1", "cluster-1", "sw-core"), HOSTILE, strict=False)))
    ElementTree.fromstring(svg(topology(state, HOSTILE[0])))


def test_matplotlib_is_imported_for_images_only(tmp_path: Path) -> None:
    program = (
        "import sys; from lab.cli import main; sys.argv[0] = 'lab'\n"
        "try: main()\nexcept SystemExit: print('matplotlib' in sys.modules, file=sys.stderr)"
    )
    asked = {"svg": "False", "png": "True"}
    for form, imported in asked.items():
        command = [sys.executable, "-c", program, "draw", "two-clusters", "-o", str(tmp_path / f"map.{form}")]
        assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stderr.strip() == imported
        assert (tmp_path / f"map.{form}").stat().st_size > 1000
