"""How wide a text is, without a font: a table of widths that no common font exceeds, so that pictures need no font to be laid out.

The widths are those of DejaVu Sans, in thousandths of the font size; the fonts that browsers prefer before it
(`lab.report.diagram.palette`) are narrower. Fixed-width fonts are 0.602 wide, all of them within a per cent.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import east_asian_width

from lab.errors import printable

# fmt: off
_REGULAR = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787,
    603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635,
    634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
)
# fmt: on
FIXED = 0.602
BOLD = 1.16
"""How much wider the bold face is, at most, for what is not all capitals."""


@lru_cache(maxsize=8192)
def width(text: str, size: float, *, fixed: bool = False, bold: bool = False) -> float:
    """Return the width of a line of text in the unit of `size`."""
    if fixed:
        return sum(1.05 if _wide(c) else FIXED for c in text) * size
    return sum(_REGULAR[ord(c) - 32] / 1000 if " " <= c <= "~" else 1.05 if _wide(c) else 0.9 for c in text) * size * (BOLD if bold else 1)


def _wide(character: str) -> bool:
    return east_asian_width(character) in ("W", "F")


def shown(text: object) -> str:
    """Return a text as it may stand in a picture: on one line, without characters that no format takes."""
    return printable(" ".join(str(text).split()))


def shortened(text: str, room: float, size: float, *, fixed: bool = False, bold: bool = False) -> str:
    """Return the text, or its beginning and end with an ellipsis between, so that it fits."""
    if width(text, size, fixed=fixed, bold=bold) <= room:
        return text
    for left in range(len(text) - 1, 1, -1):
        cut = f"{text[: left - left // 3]}…{text[len(text) - left // 3 :]}"
        if width(cut, size, fixed=fixed, bold=bold) <= room:
            return cut
    return "…"


def wrapped(text: str, room: float, size: float, *, fixed: bool = False, bold: bool = False) -> list[str]:
    """Return the text in lines that fit, broken at spaces, and within a word only where it is longer than a line."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if width(longer, size, fixed=fixed, bold=bold) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        while width(word, size, fixed=fixed, bold=bold) > room and len(word) > 1:
            fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or width(word[:n], size, fixed=fixed, bold=bold) <= room)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line] if line else lines
