"""The scenario file: a topology, phases that change something and say what must be seen, and what is compared at the end."""

from __future__ import annotations

from pydantic import Field, model_validator

from lab.spec.changes import ChangeItem
from lab.spec.events import EventItem
from lab.spec.expectations import Expectation
from lab.spec.values import Line, Many, Model, Name, Pair


class Step(Model):
    """A further change within a phase, with what must be seen after it."""

    title: Line
    """One line for people."""
    keep_connections: bool = False
    """Whether connection tracking, neighbours and path MTUs of what ran before survive."""
    events: Many[EventItem] = ()
    """What happens to the clusters, in order."""
    changes: Many[ChangeItem] = ()
    """What is changed at kernel level, in order, after the events."""
    expect: Many[Expectation] = ()
    """What must be seen then."""


class Phase(Model):
    """A state of the lab, how it came about, and what must be seen in it.

    A phase starts from nothing, or `after` an earlier phase, whose events it continues and whose changes it keeps.
    """

    title: Line = ""
    """One line for people."""
    after: Name | None = None
    """The earlier phase that this one continues. By default none: all events are its own."""
    adjust: dict[str, object] = Field(default_factory=dict)
    """What differs from the scenario's topology in this phase, laid over it as the scenario's own `adjust` is: clusters, routers and hosts
    are as if they had been set up so from the beginning. A phase that comes `after` another adds to what that one adjusts."""
    absent: Many[Name] = ()
    """Nodes that are not there at the beginning; `node_added` brings them. Not together with `after`."""
    undo_changes: bool = False
    """Whether the kernel-level changes of the phase it continues are taken back first."""
    keep_connections: bool = False
    """Whether connection tracking, neighbours and path MTUs of the phase that ran before survive."""
    events: Many[EventItem] = ()
    """What happens to the clusters, in order."""
    changes: Many[ChangeItem] = ()
    """What is changed at kernel level, in order, after the events."""
    expect: Many[Expectation] = ()
    """What must be seen then."""
    then: Many[Step] = ()
    """Further changes within the phase, one after the other, each with what must be seen."""

    @model_validator(mode="after")
    def _begins_once(self) -> Phase:
        if self.after is not None and self.absent:
            raise ValueError("`absent` says who is missing at the beginning, and a phase that comes `after` another does not begin")
        if self.after is None and self.undo_changes:
            raise ValueError("`undo_changes` takes back the changes of the phase it continues, and there is no `after`")
        return self


class Comparison(Model):
    """What the lab compares after the last phase."""

    same: Pair[Name] | None = None
    """Two phases in which every pair of pods and every service, with each of its backends, must behave the same."""
    commands: Pair[Name] | None = None
    """Two phases; the commands that lead from the first to the second are listed."""


class Variant(Model):
    """One of several scenarios of a file; what it states replaces what stands beside `variants`."""

    title: Line
    """One line for people."""
    description: str = ""
    """What happens, and why."""
    topology: Line | None = None
    """Instead of the common topology."""
    adjust: dict[str, object] = Field(default_factory=dict)
    """Laid over the common `adjust`, key by key."""
    phases: dict[Name, Phase] = Field(min_length=1)
    """What happens, one state of the lab after the other."""
    compare: Comparison = Field(default_factory=Comparison)
    """What is compared after the last phase."""


class Scenario(Model):
    """A scenario file: a topology, what happens to it, and what must be seen."""

    scenario: Name
    """The scenario's name."""
    title: Line = ""
    """One line for people."""
    description: str = ""
    """What happens, and why."""
    links: Many[Line] = ()
    """Where to read more."""
    tags: Many[Name] = ()
    """What it is about."""
    topology: Line
    """The name of a shipped topology, or the path of a topology file, relative to this one."""
    adjust: dict[str, object] = Field(default_factory=dict)
    """What differs from the topology: mappings are laid over it key by key, null removes a key, all else replaces."""
    phases: dict[Name, Phase] = Field(default_factory=dict)
    """What happens, one state of the lab after the other."""
    variants: dict[Name, Variant] = Field(default_factory=dict)
    """Instead of `phases`: several scenarios in one file."""
    compare: Comparison = Field(default_factory=Comparison)
    """What is compared after the last phase."""

    @model_validator(mode="after")
    def _phases_or_variants(self) -> Scenario:
        if bool(self.phases) == bool(self.variants):
            raise ValueError("a scenario has either `phases`, or `variants` that have them")
        return self
