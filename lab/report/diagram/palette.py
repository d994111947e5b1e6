"""How things look, in daylight and at night. Each kind has a shape or a dash of its own as well, so that colour is never needed to tell.

The hues are after Okabe and Ito's (Color Universal Design, 2008), darkened or lightened until text in them is read at a contrast of 4.5
to 1 and lines at 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from __future__ import annotations

from dataclasses import dataclass

SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'Liberation Mono', 'DejaVu Sans Mono', monospace"

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b2430",
    "quiet": "#566171",
    "edge": "#8a95a5",
    "lane": "#f3f5f8",
    "node": "#e7ebf1",
    "inside": "#ffffff",
    "request": "#005a9c",
    "request-soft": "#dcebf8",
    "reply": "#00694f",
    "reply-soft": "#d9f0e7",
    "error": "#8f4a00",
    "error-soft": "#fdebd3",
    "drop": "#b3122a",
    "drop-soft": "#fde3e6",
    "tunnel": "#6a3d9a",
    "tunnel-soft": "#ece3f6",
    "intended": "#5d6878",
    "change": "#7a5a00",
    "change-soft": "#fff4cc",
    "unknown": "#7a3b8c",
}
DARK = {
    "paper": "#12161c",
    "ink": "#e8edf3",
    "quiet": "#a5b0bf",
    "edge": "#6f7b8b",
    "lane": "#1a2028",
    "node": "#232b36",
    "inside": "#151a21",
    "request": "#6cb8f5",
    "request-soft": "#12344f",
    "reply": "#5fd3ac",
    "reply-soft": "#0f3b2f",
    "error": "#f5b25c",
    "error-soft": "#45300f",
    "drop": "#ff8391",
    "drop-soft": "#4d1620",
    "tunnel": "#c9a4f0",
    "tunnel-soft": "#352548",
    "intended": "#9aa6b6",
    "change": "#f0d264",
    "change-soft": "#3f3510",
    "unknown": "#d9a0e8",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How boxes and lines of a kind look: names of colours, width in pixels, dashes."""

    stroke: str = ""
    fill: str = ""
    width: float = 1
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Writing:
    """How labels of a kind look: the name of a colour, size in pixels, face."""

    colour: str = "ink"
    size: float = 10
    fixed: bool = False
    bold: bool = False
    on: str = "paper"
    """The colour it is written on."""


SHAPES: dict[str, Shape] = {
    "cluster": Shape("edge", "lane"),
    "network": Shape("edge", "lane", dash=(2, 3)),
    "node": Shape("edge", "node"),
    "namespace": Shape("edge", "inside"),
    "device": Shape("edge", "inside", 1.2),
    "tunnel-device": Shape("tunnel", "tunnel-soft", 1.2),
    "segment": Shape("edge", "edge"),
    "request": Shape("request", "", 2.6),
    "reply": Shape("reply", "", 2.6),
    "error": Shape("error", "", 2.6, (1, 4.5)),
    "intended": Shape("intended", "", 1.8, (6, 4)),
    "gone": Shape("intended", "", 5),
    "tube": Shape("tunnel-soft", "", 12),
    "bar-request": Shape("request", "request-soft"),
    "bar-reply": Shape("reply", "reply-soft"),
    "bar-error": Shape("error", "error-soft"),
    "bar-tunnel": Shape("tunnel", "tunnel-soft"),
    "bar-gone": Shape("intended", "paper", 1.3, (4, 2.5)),
    "changed": Shape("change", "", 2.4),
    "drop": Shape("drop", "paper", 2.2),
    "intended-end": Shape("intended", "paper", 1.6, (2.5, 2.5)),
    "drop-gone": Shape("drop", "paper", 1.4, (2, 2)),
    "drop-error": Shape("error", "paper", 1.8),
    "unknown": Shape("unknown", "paper", 2.2),
    "leave": Shape("change", "change-soft", 2),
    "start": Shape("request", "request"),
    "end": Shape("request", "paper", 2),
    "plug": Shape("edge", "edge", 1),
    "wire": Shape("edge", "", 1.3),
    "overlay": Shape("tunnel", "", 2, (7, 3)),
    "cell-reply": Shape("edge", "reply-soft", 0.6),
    "cell-one-way": Shape("edge", "error-soft", 0.6),
    "cell-lost": Shape("edge", "drop-soft", 0.6),
    "cell-depends": Shape("edge", "change-soft", 0.6),
    "cell-unknown": Shape("edge", "tunnel-soft", 0.6),
    "cell-none": Shape("edge", "lane", 0.6),
    "range": Shape("request", "request-soft"),
    "range-gap": Shape("drop", "drop-soft", 1, (3, 2)),
    "range-tunnel": Shape("tunnel", "tunnel-soft"),
    "range-local": Shape("reply", "reply-soft"),
}

WRITING: dict[str, Writing] = {
    "title": Writing("ink", 17, bold=True),
    "subtitle": Writing("quiet", 12),
    "lane-name": Writing("ink", 12, bold=True, on="lane"),
    "lane-note": Writing("quiet", 10, fixed=True, on="lane"),
    "node-name": Writing("ink", 11, bold=True, on="node"),
    "namespace-name": Writing("ink", 11, bold=True, on="inside"),
    "address": Writing("quiet", 9.5, fixed=True, on="inside"),
    "device-name": Writing("ink", 9.5, fixed=True, on="inside"),
    "tunnel-name": Writing("ink", 9.5, fixed=True, on="tunnel-soft"),
    "mtu": Writing("quiet", 8.5, on="inside"),
    "segment-name": Writing("quiet", 9.5, on="lane"),
    "note-request": Writing("request", 9.5, fixed=True, on="inside"),
    "note-reply": Writing("reply", 9.5, fixed=True, on="inside"),
    "note-error": Writing("error", 9.5, fixed=True, on="inside"),
    "note-drop": Writing("drop", 10, bold=True, on="inside"),
    "note-unknown": Writing("unknown", 10, bold=True, on="inside"),
    "note-intended": Writing("intended", 9.5, fixed=True, on="inside"),
    "note-leave": Writing("change", 9.5, bold=True, on="inside"),
    "bar-request": Writing("request", 9.5, fixed=True, on="request-soft"),
    "bar-reply": Writing("reply", 9.5, fixed=True, on="reply-soft"),
    "bar-error": Writing("error", 9.5, fixed=True, on="error-soft"),
    "bar-tunnel": Writing("tunnel", 9.5, fixed=True, on="tunnel-soft"),
    "bar-gone": Writing("intended", 9.5, fixed=True),
    "packet": Writing("request", 9.5, fixed=True),
    "changed": Writing("change", 9.5, bold=True, on="inside"),
    "band": Writing("quiet", 10, bold=True),
    "story": Writing("ink", 11.5),
    "story-drop": Writing("drop", 11.5, bold=True),
    "story-leave": Writing("change", 11.5),
    "story-changed": Writing("change", 11.5),
    "story-quiet": Writing("quiet", 10.5),
    "legend": Writing("quiet", 10),
    "cell": Writing("ink", 9.5),
    "axis": Writing("ink", 10),
    "axis-fixed": Writing("ink", 10, fixed=True),
    "pod": Writing("ink", 10, on="node"),
    "on-node": Writing("quiet", 9.5, fixed=True, on="node"),
    "overlay-name": Writing("tunnel", 10, bold=True),
    "range": Writing("request", 10, fixed=True, on="request-soft"),
    "range-gap": Writing("drop", 10, fixed=True, on="drop-soft"),
    "range-tunnel": Writing("tunnel", 10, fixed=True, on="tunnel-soft"),
    "range-local": Writing("reply", 10, fixed=True, on="reply-soft"),
}


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours given as ``#rrggbb`` (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
