"""A run that was played again: whether its report is the one that was recorded."""

from __future__ import annotations

from rich.text import Text

from lab.report.bundle import Bundle
from lab.report.leaving import Run, report_json
from lab.report.schema import differences

SHOWN = 12
"""How many differences are shown."""


def replay_text(bundle: Bundle, run: Run) -> tuple[Text, bool]:
    """Return what a replayed run comes to, and whether its report is the recorded one, apart from what the schema lets vary."""
    now = report_json(run)
    found = differences(bundle.report, now)
    then, here = bundle.report.get("machine", {}), now["machine"]
    other = [f"{key} {then.get(key)}, here {here[key]}" for key in ("kernel", "lab", "user") if then.get(key) != here[key]]
    text = Text(f"recorded with {'; '.join(other)}\n" if other else "")
    if not found:
        return text.append("the report is the same as the recorded one", "green"), True
    text.append(f"the report differs from the recorded one in {len(found)} places", "bold red")
    for one in found[:SHOWN]:
        text.append(f"\n  {one.path}\n    then: {one.first}\n    now:  {one.second}")
    if len(found) > SHOWN:
        text.append(f"\n  ... and {len(found) - SHOWN} more")
    return text, False
