"""The way there: what each step breaks while the next is not made yet, and which order of the steps breaks least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Final

from lab.errors import InputError
from lab.state import State
from lab.validate.change import Carry, Happened, Step, make
from lab.validate.fates import Asked, Key, Survey
from lab.validate.findings import gather
from lab.validate.result import Order, StepResult

MOST_STATES: Final = 120
"""In how many intermediate states questions are asked while a better order is looked for."""


def states_of(before: State, steps: Sequence[Step], carry: Carry | None = None) -> list[State]:
    """Return the state after each step. Raises InputError where one cannot be made."""
    found, state = [], before
    for step in steps:
        state = make(state, step, carry)
        found.append(state)
    return found


@dataclass(slots=True)
class Way:
    """Judges states on the way by the two ends of it."""

    survey: Survey
    before: Asked
    after: Asked

    def interrupted(self, now: Asked) -> list[Key]:
        """Return what works at both ends and not now."""
        return [key for key, fate in now.fates.items() if not fate.works and self.before[key].works and self.after[key].works]

    def opened(self, now: Asked) -> list[Key]:
        """Return what is closed at both ends and open now."""
        shut = ("lost", "one-way")
        return [key for key, fate in now.fates.items() if fate.works and self.before[key].answer in shut and self.after[key].answer in shut]

    def loops(self, now: Asked) -> list[Key]:
        """Return what circulates now and did not before."""
        return [key for key, fate in now.fates.items() if fate.loops and not self.before[key].loops]

    def damage(self, now: Asked) -> int:
        """Return how many questions have a worse answer than at both ends."""
        return len({*self.interrupted(now), *self.opened(now), *self.loops(now)})

    def judged(self, step: Step, now: Asked) -> StepResult:
        """Return what a step breaks."""
        keys = self.interrupted(now), self.opened(now), self.loops(now)
        interrupted, opened, loops = (gather(self.survey, found, self.before, now) for found in keys)
        return StepResult(step, interrupted, opened, loops)


def best_order(way: Way, before: State, steps: Sequence[Step], given: int, carry: Carry | None = None) -> Order | None:
    """Return the order of the steps that breaks least, None where no other than the given one is possible.

    Events of clusters stay first. The search goes on from the sequence that has broken least so far, so the first one that is whole is
    the best (Dijkstra's algorithm over sets of steps made); it gives up after `MOST_STATES` states, with the best it then completes.
    """
    fixed = sum(isinstance(step.does, Happened) for step in steps)
    if len(steps) - fixed < 2:
        return None
    search = _Search(way, steps, carry)
    order, broken, complete = search.run(frozenset(range(fixed)), states_of(before, steps[:fixed], carry)[-1] if fixed else before)
    if order is None:
        return None
    return Order((*range(fixed), *order), broken, given, search.tried, complete)


@dataclass(slots=True)
class _Search:
    way: Way
    steps: Sequence[Step]
    carry: Carry | None
    tried: int = 0
    _asked: dict[frozenset[int], tuple[State, Asked, int] | None] = field(default_factory=dict)

    def run(self, made: frozenset[int], state: State) -> tuple[tuple[int, ...] | None, int, bool]:
        """Return the best order of the steps that are left, what it breaks, and whether that is proved."""
        numbers = count()
        waiting: list[tuple[int, int, int, tuple[int, ...], frozenset[int], State, Asked]] = []
        heappush(waiting, (0, 0, next(numbers), (), made, state, self.way.before))
        seen: set[frozenset[int]] = set()
        while waiting:
            cost, _, _, order, done, here, asked = heappop(waiting)
            if done in seen:
                continue
            seen.add(done)
            if len(done) == len(self.steps):
                return order, cost, self.tried < MOST_STATES
            if self.tried >= MOST_STATES:
                waiting.clear()  # give up looking around: go straight to the end from the best that there is
            for number in range(len(self.steps)):
                if number in done:
                    continue
                then = self._make(here, asked, number, done | {number})
                if then is not None:
                    after, answers, damage = then
                    made_now = done | {number}
                    heappush(waiting, (cost + damage, -len(made_now), next(numbers), (*order, number), made_now, after, answers))
        return None, 0, False

    def _make(self, state: State, asked: Asked, number: int, done: frozenset[int]) -> tuple[State, Asked, int] | None:
        if done not in self._asked:
            try:
                after = make(state, self.steps[number], self.carry)
            except InputError:  # in this order the command is refused
                return None
            self.tried += 1
            answers = self.way.survey.ask(after, asked)
            self._asked[done] = after, answers, 0 if len(done) == len(self.steps) else self.way.damage(answers)
        return self._asked[done]
