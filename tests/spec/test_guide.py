"""docs/write-your-own-incident.md: what it shows is taken by the lab."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.spec.load import read_document
from lab.spec.scenario import Comparison, Phase
from tests.cli.command import lab

GUIDE = (Path(__file__).parents[2] / "docs" / "write-your-own-incident.md").read_text()
PARTS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = re.findall(r"^\$ lab (.+)$", GUIDE, re.MULTILINE)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_file_is_as_the_format_wants_it(part: str, tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text(part)
    ((key, value),) = read_document(tmp_path / "part.yaml").root.plain().items()  # type: ignore[union-attr]
    if key == "compare":
        Comparison.model_validate(value)
    else:
        Phase.model_validate({key: value})


def test_the_commands_work_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    codes = {command: lab(*command.split()).code for command in COMMANDS}
    assert codes.pop("trace pods-lose-office.yaml@broken pod-2 desktop") == 1, "a loss is said by the exit code"
    assert len(codes) >= 3
    assert set(codes.values()) == {0}
