"""The step that tells the relay which frames are to wait, and how long."""

from __future__ import annotations

from collections.abc import Iterator

from lab.kernel.delays import WAITING_ROOM
from lab.kernel.planning.changes import NamespaceChange
from lab.kernel.planning.steps import HeldEnd, HoldFrames
from lab.state import Link


def delay_steps(change: NamespaceChange) -> Iterator[HoldFrames]:
    """Tell it anew when one of its devices comes, goes or changes. That none is left, the end of its namespace tells it."""
    if change.after.name != WAITING_ROOM or not (change.fresh or change.altered or change.lost):
        return
    yield HoldFrames(WAITING_ROOM, tuple(_end(link, change.indexes[link.name]) for link in change.after.links if link.impairment))


def _end(link: Link, index: int) -> HeldEnd:
    assert link.impairment is not None
    return HeldEnd(link.name, index, link.impairment.delay, link.mtu)
