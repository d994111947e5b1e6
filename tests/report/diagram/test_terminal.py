"""Paths as text: the mark at its place, no line longer than the terminal, no colour where there is none."""

from __future__ import annotations

import pytest
from rich.console import Console

from lab.report.crossed import crossed_lines
from lab.report.diagram import Diagram, View, layout, rich_text, text
from lab.state.nft import Match, Meta, Verdict
from tests.forwarding.conftest import Net
from tests.scenario.outcomes import lost_at, ping

BROKEN = """\
          cluster-1                    corporate network                  cluster-2
          c1-w1-a    c1-w1    c1-gw    edge-1    core-router    edge-2    c2-gw    c2-w1    c2-w1-a
request      ●─────────◇──────────────────▶───────────▶─✗
intended               ◇┄┄┄┄┄┄┄┄▶┄┄┄┄┄┄┄┄┄▶┄┄┄┄┄┄┄┄┄┄┄▶┄┄┄┄┄┄┄┄┄┄┄┄▶┄┄┄┄┄┄┄┄▶┄┄┄┄┄┄┄┄▶┄┄┄┄┄┄┄┄┄○
error        ○╌╌╌╌╌╌╌╌╌◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌◀╌╌╌╌╌╌╌╌╌╌╌●
"""
STRICT = """\
          cluster-1                    corporate network                  cluster-2
          c1-w1-a    c1-w1    c1-gw    edge-1    core-router    edge-2    c2-gw    c2-w1    c2-w1-a
request      ●─────────▶════════▶═════════▶═══════════▶════════════▶════════▶════════▶─✗┄┄┄┄┄┄┄○
"""


def test_the_path_stands_under_the_names_with_the_mark_at_its_place(flagship: Diagram) -> None:
    assert text(flagship, "broken", width=120, story=False) == BROKEN
    assert text(flagship, "routes-only", width=120, story=False) == STRICT


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_line_is_longer_than_the_terminal(flagship: Diagram, width: int) -> None:
    for view in flagship.views:
        lines = text(flagship, view.name, width=width).splitlines()
        assert max(len(line) for line in lines) <= width
        assert view.conversation.outcome.kind == "reply" or "✗" in "".join(lines)


def test_colours_are_a_terminals_own(flagship: Diagram) -> None:
    for terminal, colour in ((True, True), (True, False), (False, False)):
        console = Console(
            width=120, force_terminal=terminal, no_color=not colour, highlight=False, color_system="standard" if terminal else None
        )
        with console.capture() as captured:
            console.print(rich_text(flagship, "broken", width=120, story=False))
        assert ("\x1b[1;31m" in captured.get()) == colour
        assert "core-router" in captured.get()


def test_what_was_observed_is_a_line_for_each_packet() -> None:
    crossed = (
        ("request", "a:eth0"),
        ("request", "sw-x:a"),
        ("request", "r:x"),
        ("icmp-error", "r:x"),
        ("icmp-error", "sw-x:a"),
        ("icmp-error", "a:eth0"),
    )
    outcome = ping("silence", **lost_at("r:x"), crossed=crossed)
    assert list(crossed_lines(outcome)) == ["request a ─▶ r ✗ x", "error   r ─▶ a"]
    assert all(
        len(line) <= 40 for line in crossed_lines(ping("silence", crossed=tuple(("request", f"node-{n}:eth0") for n in range(9))), 40)
    )


def test_a_packet_that_turned_back_ends_on_its_way_back() -> None:
    net = Net().node("a").router("r").router("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24")
    net.wire("r:right 10.2.0.1/24", "b:left 10.2.0.2/24").route("a", "default via 10.1.0.1 dev eth0")
    net.route("r", "10.9.0.0/16 via 10.2.0.2 dev right").route("b", "default via 10.2.0.1 dev left")
    net.chain("r", "forward", (Match(Meta("iifname"), "right"), Verdict("drop")))
    conversation = net.trace("a", "10.9.0.1")
    assert conversation.request.path == ("a", "r", "b", "r")
    diagram = layout([View("", net.state, conversation)])
    assert rich_text(diagram, width=80, story=False).plain.splitlines()[2:] == [
        "request   ●────▶────▶┐",
        "             ✗─◀─────┘",
    ]
    assert max(map(len, text(diagram, width=40).splitlines())) <= 40
