"""Files that went wrong in any way: what is said is always a mistake with a place, never anything else.

The shipped files are damaged, then go the whole way of `lab check`, and what a run would ask of them is asked too.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from lab.cluster import compile as compile_clusters
from lab.errors import InputErrors, LabError
from lab.scenario.cast import Cast
from lab.scenario.check import check_states
from lab.scenario.phases import compile_stages, live
from lab.scenario.questions import questions
from lab.scenario.words import in_words
from lab.spec import Loaded, open_file, topology_of
from lab.spec.lesson_file import head_of, open_lesson
from lab.spec.yaml import read_yaml
from tests.examples import examples
from tests.spec.damage import copied, damage_bytes, damage_lines, damage_value

ROOT = Path(__file__).parents[2]
SHIPPED = sorted([*ROOT.glob("scenarios/*.yaml"), *ROOT.glob("topologies/*.yaml"), *ROOT.glob("docs/reference/*.yaml")])
LESSONS = sorted([*ROOT.glob("docs/lessons/*.md"), ROOT / "docs/reference/example-lesson.md"])
damaged = examples(40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
seeds = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every shipped file is there, to be damaged one at a time."""
    folder = tmp_path_factory.mktemp("damaged")
    for file in (*SHIPPED, *LESSONS):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@cache
def value_of(file: Path) -> Any:
    return read_yaml(file.read_bytes(), file.name).root.plain()


def look_at(folder: Path, file: Path, text: bytes) -> None:
    """Do with a damaged file what `lab check` does, and ask what a run would ask before it touches a kernel."""
    (folder / file.name).write_bytes(text)
    try:
        if file in LESSONS:
            lesson = open_lesson(str(folder / file.name), seed=1)
            check_states(lesson.scenario, lesson.topology)
            return
        opened = open_file(str(folder / file.name))
        if isinstance(opened, Loaded):
            compile_clusters(opened.model, place=opened.place)
            return
        for scenario, topology in opened.values():
            check_states(scenario, topology)
            for stage, state in compile_stages(topology, scenario):
                live(topology, scenario, stage)
                cast = Cast.of(state, topology_of(topology, scenario, stage.phase).model)
                for expectation in stage.source.expect:
                    assert in_words(expectation.body)
                    assert all(question.subject for question in questions(expectation.body, cast))
    except LabError as error:
        for mistake in error.errors if isinstance(error, InputErrors) else (error,):
            assert mistake.place is not None, f"{mistake!r} says not where"
            assert len(str(mistake)) < 4000
    finally:
        (folder / file.name).write_bytes(file.read_bytes())


@damaged
@given(st.sampled_from([*SHIPPED, *LESSONS]), seeds, st.integers(1, 6))
def test_bytes(folder: Path, file: Path, seed: int, count: int) -> None:
    dice, text = Random(seed), file.read_bytes()
    for _ in range(count):
        text = damage_bytes(text, dice)
    look_at(folder, file, text)


@damaged
@given(st.sampled_from([*SHIPPED, *LESSONS]), seeds, st.integers(1, 4))
def test_lines(folder: Path, file: Path, seed: int, count: int) -> None:
    dice, lines = Random(seed), file.read_text().splitlines()
    for _ in range(count):
        damage_lines(lines, dice)
    look_at(folder, file, "\n".join(lines).encode())


@damaged
@given(st.sampled_from(SHIPPED), seeds, st.integers(1, 3))
def test_values(folder: Path, file: Path, seed: int, count: int) -> None:
    dice, value = Random(seed), copied(value_of(file))
    for _ in range(count):
        value = damage_value(value, dice)
    look_at(folder, file, json.dumps(value).encode())


@damaged
@given(st.sampled_from(LESSONS), seeds, st.integers(1, 3))
def test_values_of_a_lesson(folder: Path, file: Path, seed: int, count: int) -> None:
    """The head is damaged as data, and the text below it stays."""
    head, text = head_of(file.read_bytes(), file.name), file.read_text().split("\n---\n", 1)[1]
    dice, value = Random(seed), copied(head.root.plain())
    for _ in range(count):
        value = damage_value(value, dice)
    look_at(folder, file, f"---\n{json.dumps(value)}\n---\n{text}".encode())


@damaged
@given(st.binary(max_size=400) | st.text(alphabet="ab0:-,[]{}&*!|>'\"#%@`?. \n\t~<=", max_size=80).map(str.encode))
def test_anything(folder: Path, text: bytes) -> None:
    look_at(folder, SHIPPED[0], text)
