"""Validate a change: the two ends of it, the way between them, what may fail afterwards, and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.spec import Loaded
from lab.spec.intents import Intents
from lab.state import State
from lab.state.objects import Network
from lab.validate.change import Carry, Ground, Step
from lab.validate.defaults import DEFAULTS, default_checks
from lab.validate.failures import fail_each
from lab.validate.fates import Asked, Kind, Survey
from lab.validate.findings import gather
from lab.validate.intended import Bound, bind, judge
from lab.validate.result import Check, StepResult, Validation
from lab.validate.steps import Way, best_order, states_of
from lab.validate.undo import undo_of

if TYPE_CHECKING:
    from lab.validate.kernel import KernelCarrier

Listen = Callable[[str], None]
"""Told what is going on, in a few words."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be found out."""

    intents: Loaded[Intents] | None = None
    steps: bool = False
    """Whether every intermediate state is judged, and a better order looked for."""
    failures: bool = False
    """Whether everything fails once by itself."""


def validate(
    file: str,
    change: str,
    ground: Ground,
    steps: Sequence[Step],
    wish: Wish,
    *,
    kernel: KernelCarrier | None = None,
    listen: Listen = lambda _: None,
) -> Validation:
    """Find out what a change does; with a `kernel`, by real packets as well.

    Raises InputError, at its line, where a step cannot be made or an intent names what is not there.
    """
    began = time.monotonic()
    carry: Carry | None = kernel
    states = states_of(ground.state, steps, carry)
    last = states[-1]
    bound = bind(wish.intents, (ground.state, last)) if wish.intents is not None else ()
    survey = Survey((ground.state, *states), also=_told_apart(bound), kinds=_kinds(bound))
    listen("asking everybody about every address, before the change")
    before = survey.ask(ground.state)
    listen("and after it")
    after = survey.ask(last, before)
    way = Way(survey, before, after)
    between: list[Asked] = []
    if wish.steps or any(one.intent.always for one in bound):
        between = list(_between(survey, before, states[:-1], listen))
    results = _step_results(way, steps, between if wish.steps else [])
    order = None
    if wish.steps and any(result.hurts for result in results):
        listen("looking for an order that breaks less")
        order = best_order(way, ground.state, steps, sum(way.damage(asked) for asked in between), carry)
    failures = None
    if wish.failures:
        listen("letting links, gateways and routes fail, one at a time")
        failures = tuple(fail_each(survey, before, after))
    emulated = None
    undo = undo_of(ground.state, last, carry)
    if kernel is not None:
        from lab.validate.kernel import emulate

        listen("making the change for real, and sending packets before and after")
        emulated = emulate(kernel, survey, before, after, steps)
    return Validation(
        file,
        change,
        results,
        tuple(_checks(wish, bound, survey, before, after, [before, *between])),
        len(after.fates),
        gather(survey, [key for key in after.fates if before[key] != after[key]], before, after, str),
        undo,
        wish.steps,
        order,
        failures,
        emulated,
        seconds=time.monotonic() - began,
    )


def _told_apart(bound: Sequence[Bound]) -> Iterator[Network]:
    for one in bound:
        yield from one.networks


def _kinds(bound: Sequence[Bound]) -> Iterator[tuple[Kind, Network]]:
    for one in bound:
        if one.kind is not None:
            yield from ((one.kind, network) for network in one.networks)


def _between(survey: Survey, before: Asked, states: Sequence[State], listen: Listen) -> Iterator[Asked]:
    known = before
    for number, state in enumerate(states, start=1):
        listen(f"after step {number} of {len(states) + 1}")
        known = survey.ask(state, known)
        yield known


def _step_results(way: Way, steps: Sequence[Step], between: Sequence[Asked]) -> tuple[StepResult, ...]:
    judged = [way.judged(step, asked) for step, asked in zip(steps, between, strict=False)]
    return (*judged, *(StepResult(step) for step in steps[len(judged) :]))


def _checks(wish: Wish, bound: Sequence[Bound], survey: Survey, before: Asked, after: Asked, way: Sequence[Asked]) -> Iterator[Check]:
    yield from (judge(one, survey, before, after, way) for one in bound)
    covered = {key for one in bound for key in one.keys(survey)}
    wanted = wish.intents.model.defaults if wish.intents is not None else None
    yield from default_checks(survey, before, after, covered, DEFAULTS if wanted is None else wanted)
