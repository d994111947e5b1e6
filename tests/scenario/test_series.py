"""Many pings at once, judged together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from lab.scenario.questions import Memory, answer, judge_series, questions
from lab.scenario.result import Finding, Status
from lab.spec.expectations import Series
from tests.scenario.outcomes import cast, expectation, ping

PAIR: dict[str, Any] = {"from": ["c1-w1-a"], "to": ["c2-w1-a"], "count": 4}


def judged(*results: str, times: tuple[int, ...] = (), incomplete: bool = False, **entry: Any) -> Finding:
    """What becomes of a series whose pings come out like this, their answers after so many milliseconds."""
    body = expectation(series={**PAIR, **entry}).body
    assert isinstance(body, Series)
    asked = list(questions(body, cast()))
    took = times or (1,) * len(results)
    outcomes = [replace(ping(result), duration_ns=ms * 1_000_000, incomplete=incomplete) for result, ms in zip(results, took, strict=True)]
    findings = [answer(question, outcome, cast(), Memory(), None) for question, outcome in zip(asked, outcomes, strict=True)]
    (found,) = judge_series(body, findings)
    return found


@pytest.mark.parametrize(
    ("lost", "status"), [((0, 1), Status.FAILED), ((0, 2), Status.HELD), ((2, 4), Status.HELD), ((3, 4), Status.FAILED)]
)
def test_how_many_may_be_lost(lost: tuple[int, int], status: Status) -> None:
    found = judged("reply", "silence", "unreachable", "reply", lost=list(lost))
    assert found.status is status
    assert found.detail.startswith("2 of 4 are lost, answers after 1 to 1 ms")


def test_the_first_that_was_lost_stands_for_all() -> None:
    found = judged("reply", "unreachable", "silence", "reply", lost=[0, 4])
    assert found.outcome is not None
    assert found.outcome.result == "unreachable"


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        ({"fastest": 20}, Status.HELD),
        ({"fastest": 21}, Status.FAILED),
        ({"slowest": 90}, Status.HELD),
        ({"slowest": 91}, Status.FAILED),
    ],
)
def test_how_long_answers_take_at_least(entry: dict[str, int], status: Status) -> None:
    assert judged("reply", "reply", "silence", "reply", times=(20, 90, 5000, 40), lost=[1, 1], **entry).status is status


def test_what_the_lab_missed_shows_nothing() -> None:
    assert judged("reply", "silence", "reply", "reply", incomplete=True, lost=[1, 1]).status is Status.UNDECIDED


@pytest.mark.parametrize("entry", [{"lost": [2, 1]}, {"lost": [0, 5]}, {"lost": [4, 4], "fastest": 1}])
def test_what_cannot_be_is_a_mistake(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        expectation(series={**PAIR, **entry})
