"""The truth table of a sweep: for the terminal, as JSON, and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from lab.errors import printable
from lab.report.indent import Indented
from lab.report.spreadsheet import csv_text
from lab.scenario.truth import Row, Truth

STYLES: Final = {"yes": "green", "no": "red", "?": "yellow"}
GAP: Final = 2
"""Columns of space between two columns of the table."""


def truth_table(truth: Truth) -> RenderableType:
    """Return the table: a row for each combination, a column for each kind of flow; the kinds are numbered where there is no room."""
    whole = sum(bool(row.counts) and all(str(count) == "yes" for count in row.counts.values()) for row in truth.rows)
    how = "predicted" if truth.predicted else "tried with packets"
    said = f"\n{len(truth.rows)} combinations {how} in {truth.seconds:.1f} s; in {whole} of them everything works"
    refused: dict[str, list[str]] = {}
    for row in truth.rows:
        if row.refused:
            refused.setdefault(row.refused, []).append(printable(str(row.combination)))
    notes = [Indented(2, f"no such network, {why}: {'; '.join(which)}", "yellow") for why, which in refused.items()]
    return Group(_Table(truth), *notes, Text(said, "bold"))


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows, in the first form in which no word is cut: headings in words, headings as numbers, one combination below the other."""

    truth: Truth

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        kinds = self.truth.kinds
        numbers = [str(number) for number, _ in enumerate(kinds, start=1)]
        for headings in (kinds, numbers):
            widths = self._widths(headings)
            if sum(widths) + GAP * (len(widths) - 1) <= options.max_width:
                if headings is numbers:
                    yield from (Indented(4, kind, mark=Text(f"{number:>2}  ", "bold")) for number, kind in zip(numbers, kinds, strict=True))
                    yield Text()
                yield self._table(headings, widths)
                return
        for row in self.truth.rows:
            yield Indented(2, printable(str(row.combination)), "bold")
            answers: dict[str, list[str]] = {}
            for kind in row.counts:
                answers.setdefault(str(row.counts[kind]), []).append(kind)
            yield from (Indented(8, "; ".join(alike), mark=_cell_text(count, "  ")) for count, alike in answers.items())

    def _widths(self, headings: Sequence[str]) -> list[int]:
        """Return how wide each column has to be, if no word is to be cut."""
        axes = [max(map(len, (printable(text) for text in (axis.key, *axis.values)))) for axis in self.truth.axes]
        cells = [[str(row.counts[kind]) for row in self.truth.rows if kind in row.counts] for kind in self.truth.kinds]
        return [*axes, *(max(map(len, [*heading.split(), *cell])) for heading, cell in zip(headings, cells, strict=True))]

    def _table(self, headings: Sequence[str], widths: Sequence[int]) -> Table:
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
        for axis, width in zip(self.truth.axes, widths, strict=False):
            table.add_column(printable(axis.key), width=width)
        for heading, width in zip(headings, widths[len(self.truth.axes) :], strict=True):
            table.add_column(heading, justify="center", width=width)
        for row in self.truth.rows:
            counts = (str(row.counts[kind]) if kind in row.counts else "-" for kind in self.truth.kinds)
            table.add_row(*(printable(row.combination.values[axis.key]) for axis in self.truth.axes), *map(_cell_text, counts))
        return table


def _cell_text(count: str, before: str = "") -> Text:
    return Text(before + count, "dim" if count == "-" else STYLES.get(count, "yellow"))


def truth_json(truth: Truth) -> dict[str, Any]:
    """Return the table as JSON values."""
    return {
        "format": "lab-sweep",
        "version": 1,
        "predicted": truth.predicted,
        "seconds": round(truth.seconds, 3),
        "keys": [axis.key for axis in truth.axes],
        "rows": [
            {
                "values": dict(row.combination.values),
                "refused": row.refused or None,
                "works": {
                    kind: {"works": count.works, "tried": count.tried, "unknown": count.unknown} for kind, count in row.counts.items()
                },
            }
            for row in truth.rows
        ],
    }


def truth_csv(truth: Truth) -> str:
    """Return the table as CSV (RFC 4180)."""

    def cells(row: Row) -> list[str]:
        counts = [f"{row.counts[kind].works} of {row.counts[kind].tried}" if kind in row.counts else "" for kind in truth.kinds]
        return [*(row.combination.values[axis.key] for axis in truth.axes), *counts, row.refused]

    return csv_text([*(axis.key for axis in truth.axes), *truth.kinds, "refused"], map(cells, truth.rows))
