"""What three witnesses say about a packet, for the terminal and for scripts."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lab.explain.agreement.witnesses import Testimony, Witnesses


def witnesses_table(found: Witnesses) -> RenderableType:
    """Return hop by hop what the model decides, what the kernel's lookup answers, and where the packet was seen."""
    table = Table("packet", "hop", "the model", "the kernel's lookup", "the packet", box=None, padding=(0, 1))
    for testimony in found.testimonies:
        table.add_row(
            testimony.purpose,
            testimony.namespace,
            "\n".join(testimony.model),
            "\n".join("the same" if kernel == model else kernel for model, kernel in zip(testimony.model, testimony.kernel, strict=True)),
            _seen(testimony),
            style="" if testimony.agree else "bold red",
        )
    parts: list[RenderableType] = [table, Text(f"\nthe sender saw: {found.outcome.result}")]
    if found.disagreements:
        parts += [Text(f"the witnesses disagree: {sentence}", "bold red") for sentence in found.disagreements]
    else:
        parts.append(Text("the three witnesses agree", "bold green"))
    return Group(*parts)


def witnesses_json(found: Witnesses) -> dict[str, Any]:
    """Return what the witnesses say as JSON values."""
    return {
        "result": found.outcome.result,
        "hops": [
            {
                "purpose": testimony.purpose,
                "namespace": testimony.namespace,
                "arrived_by": testimony.arrived_by,
                "model": list(testimony.model),
                "kernel": list(testimony.kernel),
                "predicted": list(testimony.predicted),
                "seen": list(testimony.seen),
            }
            for testimony in found.testimonies
        ],
        "disagreements": list(found.disagreements),
    }


def _seen(testimony: Testimony) -> str:
    return "\n".join(f"{'seen' if crossing in testimony.seen else 'not seen'} {crossing}" for crossing in testimony.predicted)
