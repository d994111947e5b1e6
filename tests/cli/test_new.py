"""`lab new`: a beginning that passes as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.spec import open_scenario
from tests.cli.command import lab


def test_what_it_writes_is_without_mistakes_and_known_to_editors(tmp_path: Path) -> None:
    answer = lab("new", "mine", str(tmp_path / "incidents"))
    assert answer.code == 0
    folder = tmp_path / "incidents"
    assert {path.name for path in folder.iterdir()} == {"mine.yaml", "mine-topology.yaml", "scenario.schema.json", "topology.schema.json"}
    assert lab("check", str(folder / "mine.yaml"), str(folder / "mine-topology.yaml")).code == 0
    for path in folder.glob("*.yaml"):
        _, _, schema = path.read_text().splitlines()[0].partition("$schema=")
        assert (folder / schema).is_file()


def test_nothing_is_replaced(tmp_path: Path) -> None:
    lab("new", "mine", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("precious")
    answer = lab("new", "mine", str(tmp_path))
    assert answer.code == 2
    assert "is there already" in answer.err
    assert (tmp_path / "mine.yaml").read_text() == "precious"
    (tmp_path / "scenario.schema.json").write_text("{}")
    assert lab("new", "another", str(tmp_path)).code == 0
    assert (tmp_path / "scenario.schema.json").read_text() == "{}"


@pytest.mark.parametrize("name", ["", "-x", "a/b", "../up", "ä b", "x" * 51, "a\nb"])
def test_what_can_be_no_name_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    answer = lab("new", "--", name, str(tmp_path / "new"))
    assert answer.code == 2
    assert "cannot name a scenario" in answer.err
    assert not (tmp_path / "new").exists()


@pytest.mark.kernel
def test_it_passes_as_it_stands(tmp_path: Path) -> None:
    lab("new", "mine", str(tmp_path))
    assert open_scenario(str(tmp_path / "mine.yaml"))
    answer = lab("run", str(tmp_path / "mine.yaml"), "--quiet")
    assert answer.code == 0, answer.out + answer.err
