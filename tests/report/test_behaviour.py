"""What a run's probes found, at a glance."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.console import Console

from lab.errors import Place
from lab.report.behaviour import behaviour_table
from lab.report.overview import overview_table
from lab.scenario.result import Finding, PhaseResult, ScenarioResult, Status, Verdict
from tests.scenario.outcomes import ping, unreachable

FLOW = "ping: pods of cluster-1 -> pods of cluster-2"


def phase(name: str, *results: str, flow: str = FLOW, then: tuple[str, ...] = ()) -> PhaseResult:
    """A phase whose probes came to these results; and one more stage of it."""
    stages = (("first", results), ("second", then))
    verdicts = [
        Verdict(name, title, "ping", "something", Place("x.yaml", 1), None, (Finding("x", Status.HELD, "", ping(result), flow),))
        for title, found in stages
        for result in found
    ]
    return PhaseResult(name, "first", tuple(verdicts), 1)


def shown(*phases: PhaseResult) -> list[list[str]]:
    """The table's lines, cell by cell."""
    run = ScenarioResult("s", "", "x.yaml", (), phases, None, None, 1, rootless=False, sees_drops=True)
    table = behaviour_table(run)
    assert table is not None
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return [[cell for cell in line.split("  ") if cell.strip()] for line in captured.get().splitlines()]


def test_a_column_is_a_phase_and_a_cell_what_all_senders_saw() -> None:
    heading, row = shown(phase("healthy", "reply", "reply"), phase("broken", "silence"))
    assert [cell.strip() for cell in heading] == ["what was tried", "healthy", "broken"]
    assert [cell.strip() for cell in row] == [FLOW, "reply", "silence"]


def test_where_senders_saw_different_things_they_are_counted() -> None:
    _, first, second = shown(phase("broken", "silence", "reply", "silence"))
    assert [cell.strip() for cell in (*first, *second)] == [FLOW, "2 silence", "1 reply"]


def test_a_later_stage_of_a_phase_has_its_own_column() -> None:
    heading, row = shown(phase("routes", "silence", then=("reply",)))
    assert [cell.strip() for cell in heading[1:]] == ["routes", "then"]
    assert [cell.strip() for cell in row[1:]] == ["silence", "reply"]


def test_what_was_not_tried_in_a_phase_is_a_dash() -> None:
    _, first, second = shown(phase("healthy", "reply"), phase("broken", "silence", flow="tcp/80: pods of cluster-1 -> service/nginx"))
    assert [cell.strip() for cell in first[1:]] == ["reply", "-"]
    assert [cell.strip() for cell in second[1:]] == ["-", "silence"]


def test_a_run_without_probes_has_no_such_table() -> None:
    nothing = replace(phase("healthy"), verdicts=())
    assert behaviour_table(ScenarioResult("s", "", "x.yaml", (), (nothing,), None, None, 1, rootless=False, sees_drops=True)) is None


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_no_word_and_no_phase_is_lost_on_a_narrow_terminal(width: int) -> None:
    said = ping("unreachable", **unreachable())
    phases = [phase("healthy", "reply"), phase("routes-only", "silence"), phase("broken", "reply"), phase("fixed", "reply")]
    finding = Finding("x", Status.HELD, "", said, FLOW)
    phases[2] = replace(phases[2], verdicts=(replace(phases[2].verdicts[0], findings=(finding,)),))
    table = behaviour_table(ScenarioResult("s", "", "x.yaml", (), tuple(phases), None, None, 1, rootless=False, sees_drops=True))
    console = Console(width=width, force_terminal=True, no_color=True)
    with console.capture() as captured:
        console.print(table)
    text = captured.get()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= width
    words = plain.replace(" ", "").replace("\n", "")
    assert said.icmp is not None
    for word in ("healthy", "routes-only", "broken", "fixed", "silence", "unreachable,"):
        assert word in words
    assert f"says{said.icmp.source}" in words


def test_a_run_of_many_scenarios_names_each_of_them_on_a_narrow_terminal() -> None:
    run = ScenarioResult("a-rather-long-name-of-a-scenario", "", "x.yaml", (), (), None, None, 1, rootless=False, sees_drops=True)
    console = Console(width=40)
    with console.capture() as captured:
        console.print(overview_table([run, run], 1.0))
    assert captured.get().count(run.scenario) == 2
