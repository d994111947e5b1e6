"""An explanation and a journey as JSON values."""

from __future__ import annotations

from typing import Any

from lab.explain.explanation import Cause, Explanation, Responsible
from lab.explain.journey import Journey
from lab.state import Provenance


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON values; `lines` is all of it as text."""
    return {
        "cause": explanation.cause and _cause(explanation.cause),
        "turns": [
            {
                "namespace": turn.namespace,
                "stage": str(turn.stage),
                "text": turn.text,
                "missed": turn.missed,
                "object": turn.responsible and _object(turn.responsible),
            }
            for turn in explanation.turns
        ],
        "sender": list(explanation.sender),
        "remedies": list(explanation.remedies),
        "doubts": list(explanation.doubts),
        "lines": list(explanation.lines()),
    }


def journey_json(journey: Journey) -> dict[str, Any]:
    """Return a journey as JSON values: each passage with the header stack, outermost first, in words."""
    return {
        "complete": journey.complete,
        "passages": [
            {
                "time_us": round(passage.time_ns / 1000, 3),
                "namespace": passage.namespace,
                "device": passage.device,
                "direction": passage.direction,
                "part": passage.part,
                "headers": passage.sentence,
                "rewrites": [
                    {"namespace": rewrite.namespace, "field": rewrite.field, "before": rewrite.before, "after": rewrite.after}
                    for rewrite in passage.rewrites
                ],
            }
            for passage in journey.passages
        ],
        "drops": [{"at": drop.interface, "part": drop.part, "reason": drop.reason, "function": drop.location} for drop in journey.drops],
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "namespace": cause.namespace,
        "device": cause.device,
        "stage": cause.stage and str(cause.stage),
        "reason": cause.reason and cause.reason.name.lower(),
        "packet": cause.packet,
        "text": cause.text,
        "object": cause.responsible and _object(cause.responsible),
        "decided_by": cause.decided_by and _object(cause.decided_by),
        "needed": cause.needed,
        "grade": cause.grade.name.lower(),
        "evidence": [{"grade": piece.grade.name.lower(), "text": piece.text} for piece in cause.evidence],
        "unread": cause.unread,
        "next": cause.next,
    }


def _object(responsible: Responsible) -> dict[str, Any]:
    return {
        "namespace": responsible.namespace,
        "kind": responsible.kind,
        "text": responsible.text,
        "absent": responsible.absent,
        "chain": [_link(link) for link in responsible.chain],
    }


def _link(link: Provenance) -> dict[str, Any]:
    place = link.place
    return {
        "component": link.component,
        "reason": link.reason,
        "place": place and {"file": place.file, "line": place.line, "column": place.column},
    }
