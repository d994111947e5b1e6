"""What validation and sweeps print is read on narrow terminals as well: nothing is cut, and what belongs together stays indented."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from lab.report.truth import truth_table
from lab.report.validation import validation_text
from lab.scenario.sweep import Axis, combinations
from lab.scenario.truth import Count, Row, Truth
from tests.validate.small import small, validated

KINDS = ("within cluster-1: pods", "cluster-1 to cluster-2: gateway pods", "cluster-1 to cluster-2: services", "cluster-2: pods")
AXES = (Axis("detected", ("/16", "/24")), Axis("segments.*.mtu", ("1400", "1500")))


def printed(what: RenderableType, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(what, crop=False)
    return out.getvalue().splitlines()


def table(*, refused: str = "") -> Truth:
    counts = [Count(3, 3), Count(0, 3), Count(12, 36), Count(0, 1, 1)]
    rows = [Row(one, dict(zip(KINDS, counts, strict=True))) for one in combinations(AXES)]
    rows[0] = Row(rows[0].combination, {}, refused) if refused else rows[0]
    return Truth(AXES, tuple(rows), predicted=True, seconds=1)


@pytest.mark.parametrize("width", [40, 50, 60, 78, 140])
def test_a_sweep_s_table_cuts_no_word(width: int) -> None:
    lines = printed(truth_table(table()), width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for word in (*" ".join(KINDS).split(), "segments.*.mtu", "12/36", "/16", "1500"):
        assert any(word in one for one in words), word


def test_kinds_are_numbered_where_they_have_no_room_as_headings() -> None:
    numbered = printed(truth_table(table()), 60)
    assert numbered[:2] == [" 1  within cluster-1: pods", " 2  cluster-1 to cluster-2: gateway pods"]
    assert numbered[6].split() == ["/16", "1400", "yes", "no", "12/36", "?"]
    assert printed(truth_table(table()), 140)[-4 - 2].split()[0] == "/16"
    below = printed(truth_table(table()), 40)
    assert below[0].strip() == "detected=/16, segments.*.mtu=1400"
    assert below[1].split(maxsplit=1) == ["yes", "within cluster-1: pods"]


def test_why_there_is_no_such_network_stands_below_the_table() -> None:
    lines = printed(truth_table(table(refused="segment core has an MTU of 1, at least 576 is needed")), 60)
    assert lines[6].split() == ["/16", "1400", "-", "-", "-", "-"]
    assert "no such network, segment core has an MTU of 1" in " ".join(" ".join(lines).split())
    assert "detected=/16, segments.*.mtu=1400" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("width", [40, 60, 78])
def test_a_validation_keeps_its_indentation_and_its_commands_whole(width: int) -> None:
    found = validated(
        small().state, "r1: ip route del 10.2.0.0/24 via 10.12.0.2\nr1: ip route add blackhole 10.2.0.0/24", steps=True, failures=True
    )
    lines = printed(validation_text(found), width)
    undo = lines[lines.index("  @r1") + 1 :]
    assert undo[0] == "  ip route replace 10.2.0.0/24 via 10.12.0.2 dev direct"
    told = [line for line in lines[: lines.index("  @r1")] if line]
    assert max(map(len, told)) <= width
    wrapped = [line for line in told if not line.startswith(("✓", "✗", "?", " ", "step", "when", "to undo", "less", "nothing", "no other"))]
    assert wrapped == []
    assert "        before: answered" in "\n".join(told)
