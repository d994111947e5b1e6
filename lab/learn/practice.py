"""The network of a lesson while somebody works on it: what it should be, what became of it, what happens to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.cluster import compile_further
from lab.forwarding import Network
from lab.learn.flows import Collateral, collateral, every_flow, what_works
from lab.learn.hints import Standing, aside, described, progress, standings
from lab.learn.judge import Judgement, Questions, judged, seen
from lab.probe import Request
from lab.scenario.asking import find_out
from lab.scenario.cast import Cast
from lab.scenario.changes import Live, Ordered, apply_changes, live_changes
from lab.scenario.phases import Stage, compile_stage, find_stage, live
from lab.scenario.questions import Memory, questions
from lab.scenario.result import Status
from lab.scenario.stage import RunningLab
from lab.spec import Event, History, Names
from lab.spec.changes import AnyChange
from lab.spec.document import Path
from lab.spec.lesson import Task
from lab.spec.lesson_file import LessonFile
from lab.state import State

Say = Callable[[str], None]
_MOST_TRACED = 8
"""How many broken flows a hint looks at."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A network as it was at some time: what the kernel held, and what had happened to the clusters."""

    state: State
    actions: tuple[Live, ...]
    history: History


@dataclass(slots=True)
class Practice:
    """A lesson's network in a running lab."""

    lab: RunningLab
    lesson: LessonFile
    number: int = 0
    """Which task is being worked on."""
    meant: State = field(default_factory=State)
    """The state that the task begins with, as it was computed: who has which address, whatever somebody makes of it."""
    _healthy: frozenset[str] = frozenset()
    _history: History = field(default_factory=History)
    _begun: dict[int, Saved] = field(default_factory=dict)
    _memory: Memory = field(default_factory=Memory)
    _at_first: tuple[Standing, ...] = ()
    _broken: tuple[str, ...] = ()
    """The flows that the last judgement found broken beside what the task asks for."""

    @property
    def task(self) -> Task:
        """The task that is being worked on."""
        return self.lesson.head.model.tasks[self.number]

    def open(self, say: Say, number: int = 0) -> None:
        """Build the healthy network, see what works in it, and put the learner before the fault."""
        state, stage = self._compiled("healthy")
        say("building the healthy network")
        self.lab.reach(state, self._live(stage))
        say("trying out what works in it")
        self.meant = state
        self._healthy = what_works(self.lab, every_flow(self._cast()))
        say("breaking it")
        self.begin(number)

    def begin(self, number: int) -> None:
        """Put the network into the state in which a task begins, whatever became of it."""
        self.meant, stage = self._compiled(f"task-{number}")
        if number not in self._begun:
            history = History(stage.past.absent, tuple(placed.event for placed in stage.past.events))
            self._begun[number] = Saved(self.meant, self._live(stage), history)
        self.number, self._broken = number, ()
        self.restore(self._begun[number])
        self._at_first = standings(Network(self.lab.read_back()), self._requests())

    def begin_again(self) -> None:
        """Bring the network back to where the task began."""
        self.restore(self._begun[self.number])

    def go_on(self, number: int) -> None:
        """Begin the next task in the network as the learner has made it: only what breaks with that task happens to it."""
        self.number, self._broken = number, ()
        self.meant, _ = self._compiled(f"task-{number}")
        lesson, path = self.lesson.head, ("tasks", number)
        task = lesson.model.tasks[number]
        self.happen(tuple(item.happening for item in task.events))
        self.change([(item.change, (*path, "changes", index, item.kind)) for index, item in enumerate(task.changes)])
        self._at_first = standings(Network(self.lab.read_back()), self._requests())
        self._begun[number] = self.save()

    def save(self) -> Saved:
        """Return the network as it is now."""
        return Saved(self.lab.take_over(), (), self._history)

    def restore(self, saved: Saved) -> None:
        """Bring the network back to what it was."""
        self.lab.take_over()
        self.lab.reach(saved.state, saved.actions)
        self._history = saved.history

    def happen(self, events: Sequence[Event], found: State | None = None) -> None:
        """Let something happen to the clusters, on top of what was done by hand. Raises InputError when it cannot.

        `found` is what the kernel holds where that is known, here and in `change`; by default it is read.
        """
        if not events:
            return
        further = History((), tuple(events))
        topology = self.lesson.topology
        state = compile_further(topology.model, self._history, further, found or self.lab.take_over(), place=topology.place)
        self.lab.reach(state)
        self._history = History(self._history.absent, (*self._history.events, *events))

    def change(self, changes: Sequence[tuple[AnyChange, Path]], found: State | None = None) -> None:
        """Make changes at kernel level, as somebody who types commands does."""
        if not changes:
            return
        names = Names.of(self.lesson.topology.model)
        ordered = [Ordered(names.expand(change.on), change, self.lesson.head.place(*path)) for change, path in changes]
        self.lab.reach(apply_changes(found or self.lab.take_over(), ordered), live_changes(ordered))

    def judge(self, say: Say, event: str = "") -> Judgement:
        """Judge the task as the network is now."""
        say("sending what this task asks for")
        asked = Questions.of(self.lesson, self.number)
        found = find_out(self.lab, asked.placed, self._cast(), self._memory).of
        judgement = judged(self.task, asked, found, Collateral(), event)
        if judgement.missing:  # then much else is missing, too
            return judgement
        say("trying out everything else")
        flows = every_flow(self._cast())
        side = collateral(self._healthy, what_works(self.lab, flows, self._healthy), tuple(flows))
        self._broken = side.broken[:_MOST_TRACED]
        return judged(self.task, asked, found, side, event)

    def outlive(self) -> str:
        """Let happen what the task says a repair has to outlive; what that is, in words."""
        if self.task.survives is None:
            return ""
        self.happen(tuple(item.happening for item in self.task.survives.events))
        return self.task.survives.title

    def solve(self) -> None:
        """Put the network into the state after the first right repair, from where the task began."""
        index = next((index for index, repair in enumerate(self.task.repairs) if repair.passes), None)
        if index is not None:
            self.repair(index)

    def repair(self, index: int) -> None:
        """Make a repair of the task, from where the task began."""
        self.begin_again()
        repair, path = self.task.repairs[index], ("tasks", self.number, "repairs", index)
        known = not self._begun[self.number].actions  # otherwise commands have changed what is not in the target
        self.happen(tuple(item.happening for item in repair.events), self.lab.target if known else None)
        changes = [(item.change, (*path, "changes", number, item.kind)) for number, item in enumerate(repair.changes)]
        self.change(changes, self.lab.target if known else None)

    def hint(self) -> str:
        """Say what has been achieved and where to look now, and then what the lesson's author has to say to a network like this."""
        asked = Questions.of(self.lesson, self.number)
        wanted = [*asked.checks, *(index for _, indexes in asked.hints for index in indexes)]
        answers = find_out(self.lab, [asked.placed[index] for index in wanted], self._cast(), self._memory)
        found = dict(zip(wanted, answers.of, strict=True))
        checks = [finding for index in asked.checks for finding in found[index]]
        network = Network(answers.held)
        now = standings(network, self._requests())
        said = [progress(self._at_first, now, sum(finding.status is Status.HELD for finding in checks), len(checks))]
        if self._broken and all(standing.works for standing in now):
            flows = every_flow(self._cast())
            said.append(aside(standings(network, [(name, flows[name]) for name in self._broken])))
        fitting = [entry.say for entry, indexes in asked.hints if seen(entry, [found[index] for index in indexes])]
        return "\n".join(filter(None, [*said, *fitting[:1]]))

    def _requests(self) -> list[tuple[str, Request]]:
        """Return what the task asks for that is a packet, each with who asks whom."""
        cast = self._cast()
        asked = [question for item in self.task.check for question in questions(item.body, cast)]
        return [(described(question.subject, question.request), question.request) for question in asked]

    def _compiled(self, phase: str) -> tuple[State, Stage]:
        stage = find_stage(self.lesson.scenario.model, phase)
        return compile_stage(self.lesson.topology, self.lesson.scenario, stage), stage

    def _live(self, stage: Stage) -> tuple[Live, ...]:
        return live(self.lesson.topology, self.lesson.scenario, stage)

    def _cast(self) -> Cast:
        return Cast.of(self.meant, self.lesson.topology.model)
