"""What docs/drawing.md says can be typed, and its pictures are those that the code draws now."""

from __future__ import annotations

import re
import shlex
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from tests.cli.command import lab

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "drawing.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_write_what_they_name(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command)
    assert program == "lab"
    answer = lab(*arguments)
    assert (answer.code, answer.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [arguments[-1]]


def test_what_is_shown_of_a_terminal_is_what_is_printed() -> None:
    examples = re.findall(r"```console\n\$ lab (.*?)\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(examples) == 2
    for command, shown in examples:
        assert lab(*shlex.split(command)).out == shown


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    found: dict[str, str] = {}
    exec(compile(program, "docs/drawing.md", "exec"), found)
    assert found["page"].startswith("<svg ")
    assert "✗ The request ends" in capsys.readouterr().out


def test_pictures_are_not_stale() -> None:
    """`python scripts/pictures.py` draws them anew."""
    spec = spec_from_file_location("pictures", ROOT / "scripts" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    stale = [path.name for path, picture in module.pictures().items() if path.read_text(encoding="utf-8") != picture]
    assert stale == []
