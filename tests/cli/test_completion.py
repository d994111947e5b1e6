"""Shell completion: the scripts, and what they are told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.kernel.holder import Operation, hold
from lab.kernel.registry import stop
from lab.kernel.sandbox import Report, Sandbox
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


def test_a_lesson_is_offered_where_it_is_taken() -> None:
    assert completions("check", "calico-24") == ["calico-24", "calico-24-mismatch", "calico-2457"]
    assert completions("run", "calico-24") == completions("up", "calico-24") == ["calico-24-mismatch", "calico-2457"]


@pytest.mark.parametrize("command", ["up", "show", "diagnose", "trace", "reach", "draw", "validate", "mininet"])
def test_the_phases_of_the_scenario_named_before_are_completed(command: str, tmp_path: Path) -> None:
    assert completions(command, "calico-24-mismatch", "--phase", "", folder=tmp_path) == ["healthy", "broken", "routes-only", "fixed"]


def test_where_there_is_no_phase_none_is_offered(tmp_path: Path) -> None:
    assert completions("up", "calico-24-mismatch", "--phase", "x", folder=tmp_path) == []
    assert completions("up", "two-clusters", "--phase", "", folder=tmp_path) == []
    assert completions("up", "no-such-file", "--phase", "", folder=tmp_path) == []


@pytest.mark.kernel
@pytest.mark.skipif(sys.platform != "linux", reason="labs run on Linux")
def test_a_running_lab_is_completed_where_it_is_taken(sandbox: Sandbox) -> None:
    def nothing(_sandbox: Sandbox, _report: Report) -> Mapping[str, Operation]:
        return {}

    hold("completed-trial", nothing)
    try:
        for command in ("diagnose", "trace", "down", "exec"):
            assert completions(command, "completed-") == ["completed-trial"]
        assert completions("up", "completed-") == []
    finally:
        stop("completed-trial")
