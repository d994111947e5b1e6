"""Every shipped lesson is right: its start fails, right repairs pass alike, wrong ones get their deductions, hints heed the state."""

from __future__ import annotations

import pytest

from lab.learn.proof import prove
from lab.spec import names
from lab.spec.lesson_file import open_lesson

LESSONS = names("lessons")


def test_there_are_five_lessons_at_least_growing_in_difficulty() -> None:
    heads = [open_lesson(name).head.model for name in LESSONS]
    assert len(heads) >= 5
    assert len({head.level for head in heads}) == len(heads)


@pytest.mark.parametrize("name", LESSONS)
def test_a_learner_never_reads_the_topic_beforehand(name: str) -> None:
    lesson = open_lesson(name)
    shown = " ".join([lesson.head.model.title, lesson.introduction, *(section.text for section in lesson.tasks)])
    assert lesson.head.model.topic
    assert not {"rp_filter", "reverse path", "MTU", "FDB", "/24", "longest prefix", "asymmetric"} & set(shown.split())


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_wrong_repairs_and_at_least_two_right_ones(name: str) -> None:
    for task in open_lesson(name).head.model.tasks:
        assert sum(repair.passes and not repair.deductions for repair in task.repairs) >= 2
        wrong = [repair for repair in task.repairs if repair.deductions or not repair.passes]
        assert wrong
        assert [repair.repair for repair in wrong if not repair.deductions and repair.hint is None] == [], "what is left to do is said"
        assert any(repair.hint is not None for repair in task.repairs), "hints that change with the state are tried"
        assert task.clues


@pytest.mark.kernel
@pytest.mark.parametrize(("number", "name"), list(enumerate(LESSONS)), ids=LESSONS)
def test_a_lesson_is_proved(number: int, name: str) -> None:
    """Each in another variant than it was written for."""
    proofs = prove(open_lesson(name, seed=number + 1))
    assert [proof for proof in proofs if not proof.held] == []
