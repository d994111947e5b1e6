"""Believe what happened twice: what differs is asked again, in the same network built anew.

A machine that has too much to do loses packets: a queue overflows, a neighbour is given up before its answer was worked on. Such a loss
does not come again where it came; what the model does not know about Linux does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from lab.explain.agreement.judge import Tally

MOST_BUILDS: Final = 4
"""How often a network is built before what happened in it once is put down to the machine."""

Build = Callable[[int], Tally]
"""Builds the network for the so many-th time, from 0, puts all questions to it and compares."""


def compare_until_sure(build: Build) -> Tally:
    """Compare, and where anything disagrees again in new builds, until each question that did has disagreed twice, or not again.

    Returns the last tally. Its `disagreements` are those of questions that disagreed in two builds, `unrepeated` the others.
    """
    tally = build(0)
    seen = Counter(one.number for one in tally.disagreements)
    found = {one.number: one for one in tally.disagreements}
    for number in range(1, MOST_BUILDS):
        if all(times > 1 for times in seen.values()):
            break
        tally = build(number)
        seen.update(one.number for one in tally.disagreements)
        found |= {one.number: one for one in tally.disagreements}
    tally.disagreements = [one for number, one in sorted(found.items()) if seen[number] > 1]
    tally.unrepeated = [one for number, one in sorted(found.items()) if seen[number] == 1]
    return tally


def answers_given_twice(build: Build) -> list[str] | None:
    """Return the answers of a build which the model predicts, and which another build gave as well wherever the model allows one only.

    None where there is no such build among `MOST_BUILDS`: the network should not be remembered.
    """
    builds: list[Tally] = []
    for number in range(MOST_BUILDS):
        builds.append(build(number))
        for one in builds:
            others = [other.observations for other in builds if other is not one]
            if others and not one.disagreements and _supported(one, others):
                return one.observations
    return None


def _supported(tally: Tally, others: list[list[str]]) -> bool:
    return all(
        is_open or any(other[number] == answer for other in others)
        for number, (answer, is_open) in enumerate(zip(tally.observations, tally.open, strict=True))
    )
