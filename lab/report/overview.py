"""Many runs at a glance: a line for each, and what to look at where one did not end well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from lab.errors import ExitCode
from lab.report.text import phase_lines
from lab.scenario.result import ScenarioResult, Status, names_of

STYLES = {ExitCode.OK: ("✓", "green"), ExitCode.INCONCLUSIVE: ("?", "yellow")}
WRONG = ("✗", "red")
NARROW = 80
"""Columns; in fewer, the numbers of a run leave no room for its name."""


def overview_line(result: ScenarioResult, name: str | None = None) -> Text:
    """Return one line on a run that has just ended; `name` tells it from others."""
    mark, style = STYLES.get(result.exit_code, WRONG)
    return Text.assemble((f"{mark} ", style), name or result.scenario, (f"  {result.conclusion}, {result.duration_ns / 1e9:.1f} s", "dim"))


def overview_table(results: Sequence[ScenarioResult], seconds: float) -> RenderableType:
    """Return a table of all runs, and before it whatever was not as expected; `seconds` is how long all of them took together."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for text in ("scenario", "conclusion"):
        table.add_column(text, overflow="fold")
    for number in ("phases", "held", "not", "probes", "time"):
        table.add_column(number, justify="right", no_wrap=True)
    names = names_of(results)
    for called, result in zip(names, results, strict=True):
        mark, style = STYLES.get(result.exit_code, WRONG)
        held = sum(verdict.status is Status.HELD for verdict in result.verdicts)
        counts = (len(result.phases), held, len(result.verdicts) - held, sum(phase.probes for phase in result.phases))
        name = Text.assemble((f"{mark} ", style), called)
        table.add_row(name, Text(result.conclusion, style), *map(str, counts), f"{result.duration_ns / 1e9:.1f} s")
    good = sum(result.exit_code is ExitCode.OK for result in results)
    total = f"{good} of {len(results)} scenarios as expected, {seconds:.1f} s"
    return Group(
        *_trouble(results),
        _Unless(table, list(map(overview_line, results, names))),
        Text(total, style="bold green" if good == len(results) else "bold red"),
    )


@dataclass(frozen=True, slots=True)
class _Unless:
    """A table; where the terminal is too narrow for it, lines that say the same in fewer words."""

    table: Table
    lines: Sequence[Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.table if options.max_width >= NARROW else Group(*self.lines)


def _trouble(results: Sequence[ScenarioResult]) -> Iterator[RenderableType]:
    for result in results:
        if result.exit_code is not ExitCode.OK:
            yield Text(f"{result.scenario}: {result.conclusion}", style="bold red")
            for phase in result.phases:
                if any(verdict.status is not Status.HELD for verdict in phase.verdicts):
                    yield phase_lines(phase.name, phase.title, phase.verdicts)
            yield Text()
