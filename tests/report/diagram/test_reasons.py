"""Somebody who is given the picture of a broken phase, and nothing else, can name the place and the reason."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from xml.etree import ElementTree

import pytest

from lab.api.inputs import open_lab
from lab.forwarding import Dropped, Flow, Reason, Trace, Unknown, trace
from lab.report.diagram import Diagram, View, drawio, layout, mermaid, svg, text
from lab.report.diagram.as_image import image
from lab.report.diagram.as_mermaid import quoted
from lab.report.diagram.scene import Box, Label, Line
from lab.scenario.cast import Cast, matches_interface
from lab.scenario.phases import compile_stages
from lab.spec import names, open_scenarios
from tests.report.diagram.looking import boxes, faults, marks, words

PROTOCOLS = {"ping": "icmp", "tcp": "tcp", "udp": "udp"}


def is_one_flow(kind: str, probe: object) -> bool:
    """Whether an expectation is about the loss of what the model has a flow for: no stray segment, nothing over a flow that was kept."""
    beside = getattr(probe, "stray", False) or getattr(probe, "over", None)
    return kind in PROTOCOLS and getattr(probe, "result", "reply") != "reply" and not beside


@dataclass(frozen=True)
class Loss:
    """A probe that a scenario's author says is lost in a phase, and the place he names, if he does."""

    place: str | None
    view: View
    kept: bool
    """Whether what earlier packets left behind is kept in that phase: connections, neighbours. No file says what they learned."""

    @property
    def traces(self) -> list[Trace]:
        return [one for one in self.view.conversation.traces if isinstance(one.verdict, Dropped)]


def losses(file: str) -> Iterator[Loss]:
    """Yield for every phase of a scenario file, and every place its author names, the first probe that is lost there."""
    for scenario, topology in open_scenarios(file).values():
        drawn: set[tuple[str, str | None]] = set()
        for stage, state in compile_stages(topology, scenario):
            cast = Cast.of(state, topology.model)
            for expectation in stage.source.expect:
                probe = getattr(expectation, expectation.kind)
                if not is_one_flow(expectation.kind, probe) or (stage.phase, probe.lost_at) in drawn:
                    continue
                source = cast.probed(probe.source)[0]
                version = 6 if getattr(probe, "ipv6", False) else 4
                target = next(target for target in cast.targets(probe.to, version=version) if target.namespace != source)
                port, size, df = (getattr(probe, name, None) for name in ("port", "size", "df"))
                answer = getattr(probe, "bytes", None)
                flow = Flow(source, target.address, PROTOCOLS[expectation.kind], port or 0, size=size, df=df, answer_size=answer)  # type: ignore[arg-type]
                view = View(stage.phase, state, trace(state, flow), stage.title)
                drawn.add((stage.phase, probe.lost_at))
                yield Loss(
                    cast.interface_patterns((probe.lost_at,), source, target)[0] if probe.lost_at else None,
                    view,
                    stage.source.keep_connections,
                )


def read(form: str, diagram: Diagram) -> str:
    """Return what can be read in a picture as it is written: the texts of its elements one after the other, on one line."""
    if form == "svg":
        found = [text.text or "" for text in ElementTree.fromstring(svg(diagram.scene)).iter("{http://www.w3.org/2000/svg}text")]
    elif form == "drawio":
        cells = ElementTree.fromstring(drawio(diagram.scene)).iter()
        found = [cell.get("label") or cell.get("value") or "" for cell in cells]
    elif form == "mmd":
        chart = mermaid(diagram)
        found = [re.sub(r"#(\d+);", lambda code: chr(int(code[1])), chart.replace("<br/>", " "))]
    elif form == "txt":
        found = [text(diagram, width=100)]
    else:
        pdf = image(diagram.scene, format="pdf")
        found = [subprocess.run(["pdftotext", "-raw", "-", "-"], input=pdf, capture_output=True, check=True).stdout.decode()]
    return " ".join(" ".join(found).split())


def by_hand(file: str, phase: str) -> bool:
    """Whether a phase is made by what only a running lab can do: no file says so, and a picture of it is of what was read back."""
    return any(open_lab(name, phase)[1] for name in (file, *(f"{file}#{variant}" for variant in open_scenarios(file) if variant)))


def test_every_loss_that_an_author_names_is_drawn() -> None:
    """What the next test looks at is all there is: left out is only what the model cannot know, or cannot say."""
    found = {file: list(losses(file)) for file in names("scenarios")}
    other = [(file, loss) for file, some in found.items() for loss in some if not loss.traces]
    known = [loss for _, loss in other if any(isinstance(one.verdict, Unknown) for one in loss.view.conversation.traces)]
    missed = [(file, loss.view.name) for file, loss in other if loss not in known and not loss.kept and not by_hand(file, loss.view.name)]
    assert missed == []
    assert len([file for file, some in found.items() if any(loss.traces for loss in some)]) > 20
    assert sum(map(len, found.values())) - len(other) > 80


@pytest.mark.parametrize("file", names("scenarios"))
def test_the_picture_of_every_loss_names_place_and_reason(file: str) -> None:
    """In every format that has text. Of PDF, which takes a while, one picture for each scenario."""
    forms = ["svg", "drawio", "mmd", "txt", *(["pdf"] if shutil.which("pdftotext") else [])]
    for loss in losses(file):
        if not loss.traces:
            continue
        diagram = layout([loss.view])
        lost = loss.traces[0].verdict
        assert isinstance(lost, Dropped)
        assert faults(diagram.scene) == []
        place = f"{lost.namespace}:{lost.device}" if lost.device else lost.namespace
        for form in forms:
            seen = read(form, diagram)
            sentence = rf"ends at {re.escape(place)}, [^.]*{re.escape(lost.reason.text)}"
            assert re.search(sentence, seen), f"{form} of {loss.view.name}: {seen}"
        forms = forms[:4]
        assert_the_author_agrees(loss, place)
        assert_the_mark_is_there(loss, diagram)
        assert_the_chart_ends_there(loss, diagram)


def assert_the_author_agrees(loss: Loss, place: str) -> None:
    """What the file's author says, who knew nothing of pictures.

    What is too long dies between two devices: it came by one and does not fit the other.
    """
    lost = loss.traces[0].verdict
    assert isinstance(lost, Dropped)
    between = lost.reason is Reason.TOO_BIG and loss.place is not None and loss.place.partition(":")[0] == lost.namespace
    assert loss.place is None or between or matches_interface(loss.place, place)


def assert_the_mark_is_there(loss: Loss, diagram: Diagram) -> None:
    """One mark, inside the box of the namespace, with the reason in the same box."""
    lost = loss.traces[0].verdict
    assert isinstance(lost, Dropped)
    number = next(str(n) for n, one in enumerate(loss.view.conversation.traces) if one.verdict is lost)
    (mark,) = [mark for mark in marks(diagram.scene) if mark.kind == "drop" and dict(mark.data)["trace"] == number]
    box = boxes(diagram.scene).get(f"ns-{lost.namespace}")
    if box is None:
        assert loss.view.state[lost.namespace].role == "switch"
        return
    assert box.x <= mark.x <= box.right
    assert box.y <= mark.y <= box.bottom
    written = " ".join(e.text for e in diagram.scene.shown() if getattr(e, "owner", "") == box.id and isinstance(e, Label))
    assert lost.reason.text in written


def assert_the_chart_ends_there(loss: Loss, diagram: Diagram) -> None:
    """In Mermaid the mark hangs at the node of the namespace, or of the last before a switch."""
    lost = loss.traces[0].verdict
    assert isinstance(lost, Dropped)
    chart = mermaid(diagram)
    way = next(way for way in diagram.ways[loss.view.name] if way.end.kind == "drop" and way.end.namespace == lost.namespace)
    last = [name for name in (way.origin, *(stop.namespace for stop in way.stops if stop.device)) if name in diagram.order][-1]
    at = f"n{diagram.order.index(lost.namespace if lost.namespace in diagram.order else last)}"
    ends = re.findall(rf"^  {at} --x(?:\|[^|]*\|)? (end\d+)$", chart, re.MULTILINE)  # an error about it may end there as well
    labels = [re.findall(rf'^  {end}\{{\{{"(.*)"\}}\}}$', chart, re.MULTILINE)[0] for end in ends]
    assert any(quoted(lost.reason.text) in label for label in labels)


def test_the_flagship_says_what_decided_and_where_the_path_was_left(flagship: Diagram) -> None:
    seen = words(flagship.scene, "broken")
    assert "The request ends at core-router:core, forward: a rule set rejects it" in seen
    assert 'rule "no-such-host"' in seen
    assert "At c1-w1 the request leaves the intended path: default via 172.18.1.1 dev eth0 instead of 10.42.0.0/16 via 240.18.1.2" in seen
    assert "misses 10.42.0.0/24 by 8 bits" in seen
    assert "The sender sees host unreachable from 10.128.11.126" in seen


def test_the_error_is_drawn_home_from_the_router_that_sent_it(flagship: Diagram) -> None:
    found = {mark.kind: mark for mark in marks(flagship.scene, "broken")}
    router, sender = (boxes(flagship.scene)[name] for name in ("ns-core-router", "ns-c1-w1-a"))
    assert router.x < found["start-error"].x < router.right
    assert sender.x < found["end-error"].x < sender.right


def test_the_rest_of_the_intended_path_is_dashed_as_far_as_the_receiver(flagship: Diagram) -> None:
    for phase in ("broken", "routes-only"):
        assert [e for e in flagship.scene.shown(phase) if isinstance(e, Line) and e.id.startswith(f"{phase}-request-intended")]
        receiver = boxes(flagship.scene)["ns-c2-w1-a"]
        assert receiver.x < marks_of(flagship, phase, "intended-end") < receiver.right
    assert not [mark for mark in marks(flagship.scene, "healthy") if mark.kind == "intended-end"]


def marks_of(diagram: Diagram, phase: str, kind: str) -> float:
    """Where the mark of a kind stands, from left to right."""
    return next(mark.x for mark in marks(diagram.scene, phase) if mark.kind == kind)


def test_headers_are_as_long_as_the_packet_bears_them(flagship: Diagram) -> None:
    every = boxes(flagship.scene, "healthy")
    bars = sorted((box for box in every.values() if box.kind == "bar-tunnel" and "healthy-request" in box.id), key=lambda box: box.x)
    assert [box.title for box in bars] == [
        "VXLAN 100, UDP 4800: 172.18.1.3 → 172.18.1.2",
        "VXLAN 1000, UDP 4500: 172.18.1.2 → 172.18.2.2",
        "VXLAN 4096, UDP 4789: 172.18.2.2 → 172.18.2.3",
    ]
    ends = [
        ("dev-c1-w1-vx-submariner-right", "dev-c1-gw-vx-submariner-left"),
        ("dev-c1-gw-vxlan-tunnel-right", "dev-c2-gw-vxlan-tunnel-left"),
        ("dev-c2-gw-vxlan.calico-right", "dev-c2-w1-vxlan.calico-left"),
    ]
    for bar, (first, last) in zip(bars, ends, strict=True):
        assert (bar.x, bar.right) == (every[f"{first}-forward0"].x, every[f"{last}-forward0"].right)


def test_an_mtu_is_told_where_it_matters_and_nowhere_else(flagship: Diagram) -> None:
    assert "mtu falls" not in words(flagship.scene, "healthy")
    view = flagship.view("healthy")
    edge, worker = view.state["edge-1"], view.state["c1-w1"]
    narrow = {
        "edge-1": replace(edge, links=tuple(replace(link, mtu=1400) if link.name == "core" else link for link in edge.links)),
        "c1-w1": replace(worker, links=tuple(replace(link, mtu=1480) if link.name == "eth0" else link for link in worker.links)),
    }
    state = replace(view.state, namespaces={**view.state.namespaces, **narrow})
    flow = replace(view.conversation.flow, size=1440, df=True)
    seen = words(layout([View("narrow", state, trace(state, flow))]).scene)
    assert "1440 + 50 bytes of VXLAN are more than mtu 1480 of eth0" in re.sub(r" +", " ", seen)
    plain = trace(state, Flow("c1-w1", IPv4Address("10.128.11.80"), size=1450, df=False))
    assert "mtu falls from 1480 to 1400 on core" in re.sub(r" +", " ", words(layout([View("plain", state, plain)]).scene))


def test_translations_are_told_where_they_happen(flagship: Diagram, service: Diagram) -> None:
    bars = [box.title for box in boxes(flagship.scene, "broken").values() if box.kind == "bar-request"]
    assert [title.split(": ")[1] for title in bars] == ["10.46.247.65 → 10.42.185.1", "172.18.1.3 → 10.42.185.1"]
    assert "SNAT 10.46.247.65 → 172.18.1.3" in words(flagship.scene, "broken")
    assert "DNAT 10.43.0.100:80 → 10.42.136.194:8080" in words(service.scene, "healthy")


def test_two_phases_in_one_picture_show_what_is_gone_what_is_new_and_what_has_changed(flagship: Diagram) -> None:
    name = "broken → fixed"
    found = list(flagship.scene.shown(name))
    kinds = {element.kind for element in found}
    assert {"gone", "request", "reply", "changed", "drop-gone"} <= kinds
    assert "drop" not in kinds
    changed = {e.id.removeprefix("compared-changed-") for e in found if isinstance(e, Box) and e.id.startswith("compared-changed-")}
    assert changed == {"c1-w1", "c1-gw", "c2-gw", "c2-w1"}
    assert "changed: 2 routes, 1 sysctl, 2 nft tables" in words(flagship.scene, name)


def test_a_reply_that_is_lost_is_marked_on_its_own_way(service: Diagram) -> None:
    mark = next(mark for mark in marks(service.scene, "broken") if mark.kind == "drop")
    assert mark.title == 'the reply ends at edge-2:site-2, forward: a rule set drops it: rule "egress-filter"'
    assert "The receiver" not in words(service.scene, "broken")
    assert "the receiver c2-gw-a sees 172.18.2.2" in words(service.scene, "broken")


def test_phases_may_reach_different_backends(service: Diagram) -> None:
    """What is drawn of one phase passes by what only another has, be it a pod on the same node."""
    healthy, broken = service.view("healthy"), service.view("broken")
    for other in healthy.conversation.alternatives:
        diagram = layout([replace(healthy, conversation=other), broken])
        assert faults(diagram.scene) == []
        assert {"c2-gw-a", other.seen.namespace if other.seen is not None else ""} <= set(diagram.order)


def test_what_was_observed_is_told_beside_what_is_predicted(flagship: Diagram) -> None:
    view = flagship.view("broken")
    drawn = [
        (part, f"{stop.namespace}:{stop.device}")
        for way, part in zip(flagship.ways["broken"], ("request", "icmp-error"), strict=True)
        for stop in way.stops
    ]
    seen = words(layout([replace(view, crossed=tuple(drawn))]).scene)
    assert "Observed as predicted: the request on 6 interfaces, the error on 6 interfaces" in seen
    less = tuple(crossing for crossing in drawn if crossing != ("request", "core-router:core"))
    diagram = layout([replace(view, crossed=less)])
    assert "Predicted, and not observed: the request on core-router:core" in words(diagram.scene)
    lines = [dict(e.data).get("seen") for e in diagram.scene.shown() if isinstance(e, Line) and e.kind == "request"]
    assert (lines.count("no"), lines.count("yes")) == (2, 5)
