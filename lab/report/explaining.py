"""Why a flow was lost, as a report tells it: an explanation with the files of the run for its places."""

from __future__ import annotations

from lab.explain.explanation import Explanation, Responsible
from lab.report import model
from lab.report.sources import Sources


def explanation_of(found: Explanation, sources: Sources) -> model.Explanation:
    """Return an explanation as the report has it."""
    cause = found.cause
    return model.Explanation(
        turns=tuple(
            model.Turn(
                where=turn.namespace,
                stage=turn.stage.value,
                text=sources.text(turn.text),
                entry=_entry(turn.responsible, sources),
                missed=turn.missed,
            )
            for turn in found.turns
        ),
        cause=None
        if cause is None
        else model.Cause(
            packet=cause.packet,
            where=cause.place,
            stage=cause.stage.value if cause.stage is not None else "",
            text=sources.text(cause.text),
            decided_by=_entry(cause.decided_by, sources),
            entry=_entry(cause.responsible, sources),
            needed=cause.needed or "",
            next=sources.text(cause.next or ""),
            evidence=tuple(model.Evidence(grade=one.grade.name.lower().replace("_", " "), text=one.text) for one in cause.evidence),
        ),
        sender=found.sender,
        remedies=found.remedies,
        doubts=found.doubts,
    )


def _entry(responsible: Responsible | None, sources: Sources) -> model.Entry | None:
    if responsible is None:
        return None
    return model.Entry(
        kind=responsible.kind,
        where=responsible.namespace,
        text=sources.text(responsible.text),
        absent=responsible.absent,
        origins=sources.origins(responsible.provenance),
    )
