"""A run for the terminal: little when all is well, everything about what is not, and all of it for those who ask."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from lab.errors import Place
from lab.explain.explanation import Cause, Explanation, Responsible
from lab.report import RunDisplay, result_table
from lab.scenario.play import Progress
from lab.scenario.result import CommandsResult, Difference, Finding, PhaseResult, SameResult, ScenarioResult, Status, Verdict
from lab.state import Provenance
from tests.scenario.outcomes import lost_at, ping

LOST = ping("silence", **lost_at("core:eth0"))
CAUSE = Cause("core", "eth0", None, None, "request", "no", Responsible("core", "nft rule", "drop", Provenance("topology", "line 7")), None)
EXPLANATION = Explanation(LOST.request, "silence", cause=CAUSE)
WHY = (
    "the request ends at core:eth0: no",
    "  because of nft rule drop in core",
    "  put by topology: line 7",
    "drop comes of topology: line 7",
)
IN_SHORT = [line for line in WHY if not line.startswith(" ")]


def verdict(expected: str, status: Status = Status.HELD, *, why: Explanation | None = None) -> Verdict:
    outcome = LOST if why else ping()
    return Verdict("broken", "", "ping", expected, Place("x.yaml", 12), None, (Finding("a -> b", status, "as seen", outcome),), why)


def displayed(*verdicts: Verdict, verbose: bool = False, terminal: bool = False) -> str:
    """What is printed while a run of one phase goes on."""
    console = Console(width=100, force_terminal=terminal)
    with console.capture() as captured, RunDisplay(console, verbose=verbose) as display:
        display.hear(Progress("broken", "As it was", "begins"))
        for each in verdicts:
            display.hear(Progress("broken", "As it was", "judged", each))
    return captured.get()


def ended(*verdicts: Verdict, same: SameResult | None = None, **how: bool) -> str:
    """What is printed at the end of a run of one phase."""
    commands = CommandsResult("broken", "fixed", (("n1", "ip route del default"), ("n1", "ip link set x up"), ("n2", "ip link set y up")))
    phase = PhaseResult("broken", "As it was", verdicts, 1, probes=5)
    result = ScenarioResult("s", "", "x.yaml", (), (phase,), same, commands, 1, rootless=False, sees_drops=True)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(result_table(result, called="my/x.yaml#v", **how))
    return captured.get()


def test_a_phase_that_holds_is_one_line() -> None:
    assert displayed(verdict("ping a"), verdict("ping b")) == "✓ broken  As it was  2 expectations hold\n"


def test_a_phase_that_expects_nothing_proves_nothing() -> None:
    assert displayed() == "- broken  As it was  expects nothing\n"
    assert "s: nothing was expected  (" in ended()


def test_what_does_not_hold_is_told_with_its_line_and_all_that_explains_it() -> None:
    first, *rest = displayed(verdict("ping a", Status.FAILED, why=EXPLANATION), verdict("ping b")).splitlines()
    assert first == "✗ broken  As it was  1 of 2 expectations hold"
    assert [line.strip() for line in rest] == ["✗ ping a", "a -> b: as seen", "expected at x.yaml:12:1", *map(str.strip, WHY)]


def test_a_phase_with_doubts_is_marked_as_doubtful() -> None:
    assert displayed(verdict("ping a", Status.UNDECIDED)).startswith("? broken  As it was  0 of 1 expectation holds\n")


def test_a_loss_that_was_expected_is_explained_once_and_in_short() -> None:
    other = replace(verdict("tcp a", why=EXPLANATION), kind="tcp")
    _, *rest = displayed(verdict("ping a", why=EXPLANATION), other).splitlines()
    assert [line.strip() for line in rest] == ["ping a -> b: as seen", *IN_SHORT]


def test_the_verbose_see_every_expectation_and_every_detail() -> None:
    lines = [line.strip() for line in displayed(verdict("ping a", why=EXPLANATION), verdict("ping b"), verbose=True).splitlines()]
    assert lines == ["", "broken  As it was", "✓ ping a", *map(str.strip, WHY), "✓ ping b"]


def test_a_terminal_is_told_what_goes_on_and_left_with_the_result() -> None:
    text = displayed(verdict("ping a"), terminal=True)
    assert "… broken  As it was  1 judged" in text
    assert "2K" in text.rpartition("…")[2], "the line of progress is wiped"


def test_what_goes_into_a_file_has_no_progress_in_it() -> None:
    assert "…" not in displayed(verdict("ping a"))


def test_the_end_counts_the_commands_and_says_how_to_see_them() -> None:
    text = ended(verdict("ping a"))
    assert "broken becomes fixed by 3 commands: 2 on n1, 1 on n2" in text
    assert "lab diff --commands my/x.yaml#v@broken my/x.yaml#v@fixed" in text
    assert "ip route del" not in text


def test_the_verbose_see_the_commands_themselves() -> None:
    assert "ip route del default" in ended(verdict("ping a"), verbose=True)


def test_the_quiet_see_a_line_for_each_phase_and_the_conclusion() -> None:
    first, last = ended(verdict("ping a", why=EXPLANATION), quiet=True).splitlines()
    assert first == "✓ broken  As it was  1 expectation holds"
    assert last.startswith("s: all expectations hold  (5 probes, ")


@pytest.mark.parametrize("quiet", [True, False])
def test_the_quiet_too_are_told_what_failed_and_what_differs(quiet: bool) -> None:
    same = SameResult("healthy", "fixed", 20, tuple(Difference(f"ping a -> {n}", "reply", "silence") for n in range(13)))
    text = ended(verdict("ping a", Status.FAILED), same=same, quiet=quiet)
    assert "fixed differs from healthy in 13 of 20 flows" in text
    assert "... and 1 more" in text
    assert ("expected at x.yaml:12" in text) == quiet, "others saw it when it happened"
