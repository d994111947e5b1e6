"""The truth table of a sweep: for the terminal, as JSON, and as CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab.errors import printable
from lab.scenario.truth import Truth

STYLES: Final = {"yes": "green", "no": "red", "?": "yellow"}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection)."""


def truth_table(truth: Truth) -> RenderableType:
    """Return the table: a row for each combination, a column for each kind of flow."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for axis in truth.axes:
        table.add_column(printable(axis.key))
    for kind in truth.kinds:
        table.add_column(kind, justify="center", overflow="fold")
    for row in truth.rows:
        cells = [Text(printable(row.combination.values[axis.key])) for axis in truth.axes]
        if row.refused:
            table.add_row(*cells, Text(f"no such network: {row.refused}", "yellow"))
            continue
        counts = [str(row.counts[kind]) if kind in row.counts else "-" for kind in truth.kinds]
        table.add_row(*cells, *(Text(count, STYLES.get(count, "yellow")) for count in counts))
    whole = sum(bool(row.counts) and all(str(count) == "yes" for count in row.counts.values()) for row in truth.rows)
    how = "predicted" if truth.predicted else "tried with packets"
    return Group(
        table, Text(f"\n{len(truth.rows)} combinations {how} in {truth.seconds:.1f} s; in {whole} of them everything works", "bold")
    )


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
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*(_cell(axis.key) for axis in truth.axes), *map(_cell, truth.kinds), "refused"])
    for row in truth.rows:
        counts = [_cell(f"{row.counts[kind].works} of {row.counts[kind].tried}") if kind in row.counts else "" for kind in truth.kinds]
        writer.writerow([*(_cell(row.combination.values[axis.key]) for axis in truth.axes), *counts, _cell(row.refused)])
    return out.getvalue()


def _cell(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
