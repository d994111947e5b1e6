"""All that a run's probes found, at a glance: a row for each kind of flow, a column for each phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lab.probe import DnsRequest, HttpRequest, Outcome, TracerouteRequest
from lab.scenario.result import ScenarioResult

FLOW_WIDTH: Final = 34
"""Columns that the name of a kind of flow needs to be read at a glance; it is folded where it is longer and nothing is to spare."""
GAP: Final = 2

Seen = tuple[str, bool]
"""What a sender saw, in a few words, and whether it is an answer."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What became of every kind of flow, by column and flow: what its senders saw, whether that is an answer, and how often."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Counter[Seen], ...]], ...]


def behaviour_of(result: ScenarioResult) -> Behaviour:
    """Return what became of every kind of flow in every phase, and in each stage of one."""
    columns: dict[tuple[str, str], dict[str, Counter[Seen]]] = {}
    for phase in result.phases:
        for verdict in phase.verdicts:
            for finding in verdict.findings:
                if finding.flow and finding.outcome is not None and not isinstance(finding.outcome.request, TracerouteRequest):
                    column = columns.setdefault((phase.name, verdict.title), {})
                    column.setdefault(finding.flow, Counter())[_words(finding.outcome)] += 1
    flows = sorted({flow for column in columns.values() for flow in column}, key=_order)
    rows = tuple((flow, tuple(column.get(flow, Counter()) for column in columns.values())) for flow in flows)
    return Behaviour(tuple(_headings(list(columns))), rows)


def behaviour_table(result: ScenarioResult) -> RenderableType | None:
    """Return it as a table for the terminal, or one phase below the other where that is too narrow; None when nothing was sent."""
    found = behaviour_of(result)
    return _Table(found) if found.rows else None


@dataclass(frozen=True, slots=True)
class _Table:
    """What became of every kind of flow, in a form that cuts no word off."""

    found: Behaviour

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [(flow, [_cell(cell) for cell in cells]) for flow, cells in self.found.rows]
        columns = [
            [Text(heading), *cells]
            for heading, cells in zip(self.found.columns, zip(*(cells for _, cells in rows), strict=True), strict=True)
        ]
        sizes = [[Measurement.get(console, options, cell) for cell in column] for column in columns]
        widths = [max(size.minimum for size in column) for column in sizes]
        spare = options.max_width - FLOW_WIDTH - sum(widths) - GAP * (len(widths) + 1)
        if spare < 0:
            yield from self._one_below_the_other(rows)
            return
        table = Table(box=None, padding=(0, GAP, 0, 0))
        for index, column in enumerate(sizes):
            more = min(max(size.maximum for size in column) - widths[index], spare)
            widths[index] += more
            spare -= more
        table.add_column("what was tried", overflow="fold", max_width=FLOW_WIDTH + spare)
        for heading, width in zip(self.found.columns, widths, strict=True):
            table.add_column(heading, width=width)
        for flow, cells in rows:
            table.add_row(Text(flow), *cells)
        yield table

    def _one_below_the_other(self, rows: Sequence[tuple[str, Sequence[Text]]]) -> RenderResult:
        for flow, cells in rows:
            yield Text(flow)
            table = Table(box=None, padding=(0, GAP, 0, 0), show_header=False)
            table.add_column(overflow="fold")
            table.add_column(overflow="fold")
            for heading, cell in zip(self.found.columns, cells, strict=True):
                table.add_row(f"  {heading}", cell)
            yield table


def _headings(columns: list[tuple[str, str]]) -> Iterator[str]:
    """Yield the names of phases; a later stage of the same phase is called `then`."""
    before = ""
    for phase, _ in columns:
        yield phase if phase != before else "then"
        before = phase


def _order(flow: str) -> tuple[int, str]:
    kinds = ("ping", "tcp", "udp", "http", "dns")
    kind = flow.partition(":")[0].partition("/")[0]
    return kinds.index(kind) if kind in kinds else len(kinds), flow


def _cell(found: Counter[Seen]) -> Text:
    """Say what became of all probes of a kind; how many of them, where they differ."""
    if not found:
        return Text("-", "dim")
    alike = len(found) == 1
    lines = [
        Text(said if alike else f"{count} {said}", "green" if good else "red")
        for ((words, good), count) in found.most_common()
        for said in [words.replace(", says", ",\nsays")]
    ]
    return Text("\n").join(lines)


def _words(outcome: Outcome) -> Seen:
    """Say in a few words what a sender saw, and whether it is an answer."""
    if isinstance(outcome.request, HttpRequest):
        return (f"HTTP {outcome.status}", True) if outcome.status is not None else ("no answer", False)
    if isinstance(outcome.request, DnsRequest):
        answers = " ".join(map(str, outcome.answers))
        return (answers, True) if answers else (outcome.rcode or "no answer", False)
    if outcome.result == "unreachable" and outcome.icmp is not None:
        return f"unreachable, says {outcome.icmp.source}", False
    return outcome.result, outcome.result == "reply"
