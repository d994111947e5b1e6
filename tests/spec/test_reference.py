"""The schemas and the reference say what the code does, and their examples are right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from inspect import get_annotations
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from lab.cli.app import cli
from lab.spec import json_schema
from lab.spec.lesson_file import head_of
from lab.spec.load import FORMATS
from lab.spec.shape import members, models_of
from lab.spec.values import OneOf
from lab.spec.yaml import read_yaml
from tests.spec.damage import copied, damage_value
from tests.spec.json_schema import valid

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("golden")
KINDS = list(FORMATS)
FILES = {
    "topology": sorted([*ROOT.glob("topologies/*.yaml"), ROOT / "docs/reference/example-topology.yaml"]),
    "scenario": sorted([*ROOT.glob("scenarios/*.yaml"), ROOT / "docs/reference/example-scenario.yaml"]),
    "lesson": sorted([*ROOT.glob("docs/lessons/*.md"), ROOT / "docs/reference/example-lesson.md"]),
    "change": [ROOT / "docs/reference/example-change.yaml"],
    "intents": [ROOT / "docs/reference/example-intents.yaml"],
}
ALL_FILES = [(kind, file) for kind, files in FILES.items() for file in files]
WRONG_FORMS = ["wrong-types", "wrong-numbers", "unknown-keys", "missing-keys", "hostile-names", "scenario-wrong-types", "scenario-one-of"]
MORE_THAN_FORM = {"value_error", "not_this"}
"""What a schema does not say: what contradicts itself, and bits beyond a network's prefix."""


@cache
def generator() -> ModuleType:
    spec = spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def schema(kind: str) -> dict[str, Any]:
    return json_schema(kind)


def value_of(file: Path) -> Any:
    read = head_of if file.suffix == ".md" else read_yaml
    return read(file.read_bytes(), file.name).root.plain()


def test_what_is_generated_is_up_to_date() -> None:
    """If not: python scripts/reference.py."""
    assert [str(path) for path, text in generator().documents().items() if path.read_text() != text] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_format_is_right(kind: str) -> None:
    result = CliRunner().invoke(cli, ["check", str(generator().example_file(kind))], standalone_mode=False)
    assert (result.return_value, result.stderr) == (0, "")


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_format_has_every_key(kind: str) -> None:
    """A key that several kinds of probes inherit has to be there for one of them."""
    shown = generator().examples(kind)
    used = {(_home_of(model, key), key) for model, nodes in shown.items() for node in nodes for key in node.plain()}
    every = {(_home_of(model, key), key) for model in generator().sections_of(kind) for key in members(model)}
    used = used & every if kind == "lesson" else used
    assert every - used == ({("Scenario", "phases"), ("Scenario", "compare")} if kind == "scenario" else set())


def _home_of(model: type[BaseModel], key: str) -> str:
    """Return the class that a key of a model is written in."""
    attribute = next(name for name, field in model.model_fields.items() if key in (field.alias, name))
    return next(base.__name__ for base in model.__mro__ if attribute in get_annotations(base))


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_described(kind: str) -> None:
    parts = [schema(kind), *schema(kind)["$defs"].values()]
    assert [part for part in parts if not part.get("description")] == []
    assert [(key, value) for part in parts for key, value in part["properties"].items() if not value.get("description")] == []


@pytest.mark.parametrize(("kind", "file"), ALL_FILES, ids=lambda value: getattr(value, "stem", value))
def test_a_schema_takes_the_files_of_its_format(kind: str, file: Path) -> None:
    assert valid(value_of(file), schema(kind), schema(kind))


@pytest.mark.parametrize("file", sorted(ROOT.glob("docs/schema/*.json")), ids=lambda file: file.name.partition(".")[0])
def test_an_editor_can_read_the_patterns_of_a_schema(file: Path) -> None:
    """JSON Schema asks for regular expressions of ECMA-262 with Unicode, where a needless backslash is a mistake, not itself."""
    escapes = [(pattern, escape) for pattern in _patterns(json.loads(file.read_text())) for escape in re.findall(r"\\(.)", pattern)]
    assert [(pattern, escape) for pattern, escape in escapes if escape not in "^$\\.*+?()[]{}|/dDsSwWbBnrtfv"] == []


def _patterns(part: Any) -> Iterator[str]:
    for key, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        if key == "pattern" and isinstance(value, str):
            yield value
        elif key == "patternProperties":
            yield from value
        yield from _patterns(value)


@pytest.mark.parametrize("name", WRONG_FORMS)
def test_a_schema_refuses_what_is_wrong(name: str) -> None:
    kind = "scenario" if name.startswith("scenario") else "topology"
    assert not valid(value_of(GOLDEN / f"{name}.yaml"), schema(kind), schema(kind))


@given(st.sampled_from(ALL_FILES), st.integers(0, 2**32))
def test_an_editor_and_the_check_agree_about_the_form(kind_and_file: tuple[str, Path], seed: int) -> None:
    kind, file = kind_and_file
    value = damage_value(copied(value_of(file)), Random(seed))
    try:
        FORMATS[kind].model_validate(value)
        wrong = set()
    except ValidationError as error:
        wrong = {detail["type"] for detail in error.errors() if not _follows(detail)} - MORE_THAN_FORM
        if not wrong:
            return
    assert valid(value, schema(kind), schema(kind)) == (not wrong), wrong


def _follows(detail: Any) -> bool:
    """Whether a list is too short only because what is in it is wrong."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_of_one_of_several_kinds_is_one_of_them_in_the_schema(kind: str) -> None:
    for model in models_of(FORMATS[kind]):
        if issubclass(model, OneOf):
            part = schema(kind)["$defs"][model.__name__]
            assert [option["required"] for option in part["oneOf"]] == [[name] for name in model.model_fields if name not in model.beside]
            assert not valid({}, part, schema(kind))


@pytest.mark.parametrize(("kind", "file"), ALL_FILES, ids=lambda value: getattr(value, "stem", value))
def test_the_first_line_of_a_file_leads_to_its_schema(kind: str, file: Path) -> None:
    first = file.read_text().removeprefix("---\n").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve() == ROOT / "docs" / "schema" / f"{kind}.schema.json"
