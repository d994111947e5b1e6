"""A hint counts what `check` counts: everything that the task asks for, not only its packets."""

from __future__ import annotations

import pytest

from lab.kernel.sandbox import Sandbox, ignore
from lab.learn.hints import Standing, progress
from lab.learn.practice import Practice
from lab.scenario.stage import RunningLab
from lab.spec.lesson_file import open_lesson


@pytest.mark.kernel
def test_a_hint_and_a_check_count_alike(sandbox: Sandbox) -> None:
    with RunningLab(sandbox) as lab:
        practice = Practice(lab, open_lesson("calico-24"))
        practice.open(ignore)
        half = next(index for index, repair in enumerate(practice.task.repairs) if repair.repair == "join only one again")
        practice.repair(half)
        judgement = practice.judge(ignore)
        done = judgement.checked - len(judgement.missing)
        assert 0 < done < judgement.checked
        assert practice.hint().startswith(f"{done} of {judgement.checked} work now. ")


WORKS, LOST = Standing("ping a -> b", works=True), Standing("ping a -> b", works=False, at="r1", hops=1)


@pytest.mark.parametrize(
    ("now", "done", "said"),
    [
        (LOST, 0, "Nothing has changed yet"),
        (LOST, 2, "2 of 3 work now. Nothing has changed yet for ping a -> b."),
        (WORKS, 2, "2 of 3 work now. Every packet of this task gets through now, and that is not all it asks for"),
        (WORKS, 3, "Everything this task asks for gets through now"),
    ],
)
def test_what_is_no_packet_counts_too(now: Standing, done: int, said: str) -> None:
    assert progress((LOST,), (now,), done, 3).startswith(said)
