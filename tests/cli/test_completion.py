"""Shell completion: the scripts, and what they are told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import ROOT, lab, lab_process


def completions(*words: str, folder: Path = ROOT) -> list[str]:
    """Return what bash is offered for the last word."""
    environment = {"_LAB_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("lab", *words)), "COMP_CWORD": str(len(words))}
    said = lab_process(folder=folder, environment=environment)
    assert said.err == ""
    return [line.partition(",")[2] for line in said.out.split("\n") if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell: str) -> None:
    answer = lab("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert "_LAB_COMPLETE" in answer.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_that_shell(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "script").write_text(lab("completion", shell).out)
    answer = subprocess.run([program, "-n", str(tmp_path / "script")], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_commands_and_options_are_completed() -> None:
    assert completions("ch") == ["check"]
    assert {"run", "check", "show"} <= set(completions(""))
    assert completions("check", "--js") == ["--json"]
    assert completions("show", "two-clusters", "--as", "st") == ["state"]


def test_shipped_files_and_files_here_are_completed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other.yaml").touch()
    (tmp_path / "notes.txt").touch()
    assert completions("check", "two-c", folder=tmp_path) == ["two-clusters"]
    assert completions("check", "mi", folder=tmp_path) == ["mine.yaml"]
    assert completions("check", "notes", folder=tmp_path) == []
    assert "folder/other.yaml" in completions("check", "folder/", folder=tmp_path)
    assert completions("check", "nofolder/", folder=tmp_path) == []


def test_names_of_labs_that_are_not_there_are_no_mistake(tmp_path: Path) -> None:
    assert completions("exec", "no-such-lab-", folder=tmp_path) == []
    assert completions("exec", "no-such-lab", "", folder=tmp_path) == []
