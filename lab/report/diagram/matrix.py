"""Who reaches whom as a heat map: senders down, receivers across, and below it the reason of every loss.

Senders that fare alike share a row, receivers that are reached alike a column, so that a large network gives a small picture. Each cell
has a sign besides its colour, and a letter that leads to its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from lab.forwarding.packet import Address
from lab.forwarding.reach import Reach
from lab.report.diagram.metrics import shortened, shown, width, wrapped
from lab.report.diagram.scene import Box, Element, Label, Layer, Scene

SIGNS = {"reply": "✓", "one-way": "→", "lost": "✗", "depends": "~", "unknown": "?", "none": ""}
MEANINGS = {
    "reply": "answered",
    "one-way": "arrives, the answer is lost",
    "lost": "lost",
    "depends": "left to chance",
    "unknown": "the model cannot say",
}
_ROW = 22.0
_NAMES = 3
"""How many names stand beside a row, before the rest is counted."""


@dataclass(frozen=True, slots=True)
class _Fate:
    answer: str
    reason: str


def matrix(found: Reach, receivers: Mapping[str, Address], title: str) -> Scene:
    """Return who reaches what as a heat map. `receivers` are the addresses asked about, by name."""
    senders = list(dict.fromkeys(cell.source for cell in found.cells))
    fates = {
        (sender, name): _fate(found, sender, name, address, receivers.get(sender))
        for sender in senders
        for name, address in receivers.items()
    }
    rows = _alike(senders, lambda sender: tuple(_neutral(fates[sender, name], sender == name) for name in receivers))
    columns = _alike(list(receivers), lambda name: tuple(_neutral(fates[sender, name], sender == name) for sender in senders))
    letters = _letters([fate for fate in fates.values() if fate is not None and fate.reason])
    left = 18 + max((width(_group(row), 10) for row in rows), default=0.0) + 14
    tops = [_group(column) for column in columns]
    top = 70 + max((width(name, 10) for name in tops), default=0.0) + 10
    cell = 46.0
    right = max(left + len(columns) * cell + 18, 620.0)
    head = shortened(shown(title), right - 36, 17, bold=True)
    elements: list[Element] = [
        Label(18, 26, head, "title", title=shown(title)),
        Label(18, 44, "senders down, receivers across", "subtitle"),
    ]
    for number, name in enumerate(tops):
        told = ", ".join(columns[number])
        elements.append(Label(left + number * cell + cell / 2 + 3.5, top - 8, name, "axis", "start", told, upright=True))
    for line, row in enumerate(rows):
        y = top + line * _ROW
        elements.append(Label(left - 8, y + 15, _group(row), "axis", "end", ", ".join(row)))
        for number, column in enumerate(columns):
            fate = next((fates[s, r] for s in row for r in column if s != r), None)
            elements += _cell(f"cell-{line}-{number}", left + number * cell, y, cell, fate, letters, f"{_group(row)} to {_group(column)}")
    y = top + len(rows) * _ROW + 26
    x = 18.0
    used = {fate.answer for fate in fates.values() if fate is not None}
    for answer, meaning in MEANINGS.items():
        if answer in used:
            elements.append(Box(f"legend-{answer}", x, y - 12, 24, 16, f"cell-{answer}", meaning, radius=3))
            elements.append(Label(x + 12, y, SIGNS[answer], "cell", "middle"))
            elements.append(Label(x + 32, y, meaning, "legend"))
            x += 32 + width(meaning, 10) + 22
    y += 24
    for reason, letter in letters.items():
        for number, line_of_text in enumerate(wrapped(reason, right - 60, 10.5)):
            if number == 0:
                elements.append(Label(18, y, letter, "story-drop"))
            elements.append(Label(42, y, line_of_text, "story-quiet"))
            y += 15
    said = [f"{sender} to {name}: {_said(fate, letters)}" for (sender, name), fate in fates.items() if fate is not None]
    said += [f"{letter}: {reason}" for reason, letter in letters.items()]
    return Scene(right, y + 6, shown(title), Layer("", shown(title), "\n".join(said), tuple(elements)))


def _said(fate: _Fate, letters: Mapping[str, str]) -> str:
    return f"{MEANINGS[fate.answer]}, {letters[fate.reason]}" if fate.reason else MEANINGS[fate.answer]


def _fate(found: Reach, sender: str, name: str, address: Address, own: Address | None) -> _Fate | None:
    if sender == name:
        return None
    try:
        cell = found.cell(sender, address)
    except KeyError:
        return None
    reason = cell.reason or cell.outcome
    if own is not None:  # one reason for all who share it
        before, after = (r"(?<![\d.])", r"(?!\d|\.\d)") if own.version == 4 else (r"(?<![\da-f:])", r"(?![\da-f]|:[\da-f])")
        reason = re.sub(f"{before}{re.escape(str(own))}{after}", "the sender", reason)
    return _Fate(cell.answer, shown(reason) if cell.answer != "reply" else "")


def _neutral(fate: _Fate | None, own: bool) -> object:
    """Return what two rows are compared by: a sender's own column says nothing."""
    return ("own",) if own else fate


def _alike(names: Sequence[str], key: Callable[[str], tuple[object, ...]]) -> list[list[str]]:
    """Group the names whose keys differ in nothing but what is their own."""
    groups: list[tuple[tuple[object, ...], list[str]]] = []
    for name in names:
        mine = key(name)
        for theirs, members in groups:
            if all(a == b or a == ("own",) or b == ("own",) for a, b in zip(mine, theirs, strict=True)):
                members.append(name)
                break
        else:
            groups.append((mine, [name]))
    return [members for _, members in groups]


def _group(names: Sequence[str]) -> str:
    text = ", ".join(shortened(shown(name), 130, 10) for name in names[:_NAMES])
    return text + (f" +{len(names) - _NAMES}" if len(names) > _NAMES else "")


def _letters(fates: Sequence[_Fate]) -> dict[str, str]:
    reasons = dict.fromkeys(fate.reason for fate in fates)
    return {reason: _letter(number) for number, reason in enumerate(reasons)}


def _letter(number: int) -> str:
    return (_letter(number // 26 - 1) if number >= 26 else "") + ascii_uppercase[number % 26]


def _cell(name: str, x: float, y: float, wide: float, fate: _Fate | None, letters: Mapping[str, str], who: str) -> list[Element]:
    answer = fate.answer if fate is not None else "none"
    told = f"{shown(who)}: {MEANINGS.get(answer, 'itself')}" + (f", {fate.reason}" if fate is not None and fate.reason else "")
    box = Box(name, x, y, wide, _ROW, f"cell-{answer}", told, radius=0)
    if fate is None:
        return [box]
    text = f"{SIGNS[answer]} {letters[fate.reason]}" if fate.reason else SIGNS[answer]
    return [box, Label(box.center[0], y + 15, text, "cell", "middle", told, owner=name)]
