"""A change written as YAML: what a scenario may do, to be validated before anybody does it."""

from __future__ import annotations

from pydantic import Field, model_validator

from lab.spec.changes import ChangeItem
from lab.spec.events import EventItem
from lab.spec.values import Line, Many, Model, Name


class ChangeFile(Model):
    """A change: events of the clusters, and changes at kernel level, in the order in which they are made."""

    change: Name
    """The change's name."""
    title: Line = ""
    """One line for people."""
    events: Many[EventItem] = ()
    """What happens to the clusters, in order. They come first."""
    changes: Many[ChangeItem] = Field(default=())
    """What is changed at kernel level, in order, after the events."""

    @model_validator(mode="after")
    def _changes_something(self) -> ChangeFile:
        if not self.events and not self.changes:
            raise ValueError("nothing changes: `events` or `changes` is missing")
        return self
