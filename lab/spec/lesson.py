"""What stands at the head of a lesson file: a network that works, what breaks it, and how a repair is judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from lab.spec.changes import ChangeItem
from lab.spec.events import EventItem
from lab.spec.expectations import Expectation
from lab.spec.values import Line, Many, Model, Name

Points = Annotated[int, Field(ge=0, le=100)]
Minutes = Annotated[int, Field(ge=1, le=600)]
Level = Annotated[int, Field(ge=1, le=9)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]


class Situation(Model):
    """How a network came to be as it is."""

    absent: Many[Name] = ()
    """Nodes that are not there at the beginning; `node_added` brings them."""
    events: Many[EventItem] = ()
    """What happens to the clusters, in order."""
    changes: Many[ChangeItem] = ()
    """What is changed at kernel level, in order, after the events."""


class Start(Situation):
    """What the learner finds."""

    from_healthy: bool = True
    """Whether it follows from the healthy network. If false, its events are all that ever happened."""


class FailCheck(Model):
    """A way to repair the network that is not good enough: what it looks like, and what it costs."""

    name: Name
    """What the deduction is called."""
    when: Annotated[Many[Expectation], Field(min_length=1)]
    """What is seen then: facts about routes, rules, sysctls and rule sets, or probes. All of it has to hold."""
    anywhere: bool = False
    """Whether each of them has to hold on one of its nodes only, instead of on all of them."""
    points: Points
    """How many of the task's 100 points it costs."""
    say: Text
    """What is wrong with it, for the learner."""


class HintCheck(Model):
    """A hint for those whose network looks like this."""

    when: Annotated[Many[Expectation], Field(min_length=1)]
    """What is seen then. All of it has to hold."""
    anywhere: bool = False
    """Whether each of them has to hold on one of its nodes only, instead of on all of them."""
    say: Text
    """The hint."""


class Survives(Model):
    """What a repair has to outlive: happens when the task is handed in, on top of what the learner made of the network."""

    title: Line
    """What happens, for the learner."""
    events: Annotated[Many[EventItem], Field(min_length=1)]
    """What happens to the clusters, in order."""


class Repair(Model):
    """A repair that somebody may think of, right or wrong: `lab learn prove` tries each, and the first right one is the solution."""

    repair: Annotated[Line, Field(min_length=1)]
    """What it is, in words."""
    passes: bool
    """Whether the task counts as done then."""
    events: Many[EventItem] = ()
    """What is done at cause level, in order."""
    changes: Many[ChangeItem] = ()
    """What is done at kernel level, in order, after the events."""
    deductions: Many[Name] = ()
    """Exactly these deductions it gets: names of the task's `fail-check`, or `opened`, `broken` and `not-lasting`, which every task has."""
    hint: Line | None = None
    """Words of the hint that the learner gets then."""


class Task(Model):
    """One thing to repair."""

    task: Name
    """What it is called; a heading of the text with the same place in the order tells the learner about it."""
    barrier: bool = False
    """Whether a class begins this task together: when everybody has finished the task before, or the trainer says so."""
    events: Many[EventItem] = ()
    """What else happens when this task begins."""
    changes: Many[ChangeItem] = ()
    """What else is changed at kernel level when this task begins."""
    check: Annotated[Many[Expectation], Field(min_length=1)]
    """What must be seen when the task is done. Besides, everything else works that worked in the healthy network, and nothing more."""
    fail_check: Annotated[Many[FailCheck], Field(alias="fail-check")] = ()
    """Repairs that are not good enough."""
    hint_check: Annotated[Many[HintCheck], Field(alias="hint-check")] = ()
    """Hints that depend on what the network looks like now. The first that fits is given."""
    clues: Many[Text] = ()
    """Clues in the order in which they are given, the last of which says it all."""
    survives: Survives | None = None
    """What the repair has to outlive."""
    repairs: Many[Repair] = ()
    """Repairs to try the lesson with."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Task:
        known = {check.name for check in self.fail_check} | OWN_DEDUCTIONS
        if len({check.name for check in self.fail_check}) < len(self.fail_check):
            raise ValueError("two entries of `fail-check` have the same name")
        for check in self.fail_check:
            if check.name in OWN_DEDUCTIONS:
                raise ValueError(f"every task has a deduction {check.name!r} already; call this one otherwise")
        for repair in self.repairs:
            unknown = sorted(set(repair.deductions) - known)
            if unknown:
                raise ValueError(
                    f"the repair {repair.repair!r} names a deduction {unknown[0]!r} that there is not: {', '.join(sorted(known))}"
                )
        return self


OWN_DEDUCTIONS = frozenset({"opened", "broken", "not-lasting"})
"""What every task is judged by: something reaches what it should not, something else does not work, it did not outlive the event."""


class Lesson(Model):
    """The head of a lesson file. Below it stands the text: what the learner is told, never what the lesson is about."""

    lesson: Name
    """The lesson's name."""
    title: Line
    """A symptom, as somebody would report it. It is all that the learner knows beforehand."""
    course: Name
    """The course it belongs to."""
    level: Level
    """How difficult it is, from 1; a course is in this order."""
    minutes: Minutes = 30
    """How long it takes somebody who has not seen it."""
    topic: Line = ""
    """What it is about. The learner reads that at the end."""
    topology: Line
    """The name of a shipped topology, or the path of a topology file, relative to this one."""
    adjust: dict[str, object] = Field(default_factory=dict)
    """What differs from the topology: mappings are laid over it key by key, null removes a key, all else replaces."""
    vary: Many[Annotated[Many[Line], Field(min_length=2)]] = ()
    """Texts that take each other's places, by the learner's seed: addresses and names, in this file and in the topology."""
    entry: Name
    """Where the learner's shell is at first."""
    clue_cost: Points = 5
    """How many points a clue costs."""
    healthy: Situation = Situation()
    """The network as it should be: what works in it is to work in the end, and nothing else."""
    start: Start = Start()
    """The network that the learner finds."""
    tasks: Annotated[Many[Task], Field(min_length=1)]
    """What is to be repaired, one after the other."""
