"""The path of a probe's packets as it was observed: for each a line of text, the namespaces it came to, and a mark where it was lost."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from lab.probe import Outcome, Part
from lab.spec.selectors import switch_name

_NAMES: dict[Part, str] = {"request": "request", "answer": "reply", "icmp-error": "error"}
_NEXT = " ─▶ "


def crossed_lines(outcome: Outcome, width: int = 120) -> Iterator[str]:
    """Yield a line for each of request, reply and ICMP error of a lost probe that was seen; switches are left out where nothing is lost.

    A line that is longer than `width` is continued on the next.
    """
    for part, name in _NAMES.items():
        way: list[str] = []
        for crossed, interface in outcome.crossed:
            namespace = interface.partition(":")[0]
            if crossed == part and namespace not in way[-1:] and not namespace.startswith(switch_name("")):
                way.append(namespace)
        if not way:
            continue
        loss = outcome.loss
        if loss is not None and loss.part == part:
            way += [] if way[-1] == loss.namespace else [loss.namespace]
            way[-1] += f" ✗ {loss.device}"
        line = f"{name:<8}{way[0]}" + "".join(_NEXT + there for there in way[1:])
        yield from textwrap.wrap(line, max(width, 40), subsequent_indent=" " * 8 + _NEXT.strip() + " ", break_on_hyphens=False) or [line]
