"""The pytest plug-in, as somebody uses it who keeps incidents in a repository of his own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small import SMALL

SCENARIO = """\
scenario: mine
topology: ./small.yaml
phases:
  healthy: {expect: [{ping: {from: [a], to: [b]}}]}
  broken:
    changes: [{route: {on: [r], to: 192.0.2.130/32, type: blackhole}}]
    expect: [{ping: {from: [a], to: [b], result: RESULT}}]
"""
TEST = """\
def test_the_healthy_network(lab):
    net = lab.open("incidents/mine.yaml")
    assert net.ping("a", "b").result == "reply"
    net.go("broken")
    assert net.ping("a", "b").result == "silence"

def test_the_whole_scenario(lab):
    assert lab.run("incidents/mine.yaml").exit_code == 0
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "incidents").mkdir()
    (tmp_path / "incidents" / "small.yaml").write_text(SMALL)
    (tmp_path / "incidents" / "mine.yaml").write_text(SCENARIO.replace("RESULT", "silence"))
    (tmp_path / "test_mine.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nlab_scenarios = incidents/*.yaml\n")
    return tmp_path


def run_pytest(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-rA", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.kernel
def test_a_lab_is_a_fixture_and_a_scenario_a_test(repository: Path) -> None:
    code, said = run_pytest(repository)
    assert code == 0, said
    assert "3 passed" in said


@pytest.mark.kernel
def test_a_scenario_that_fails_says_what_lab_run_says(repository: Path) -> None:
    (repository / "incidents" / "mine.yaml").write_text(SCENARIO.replace("RESULT", "reply"))
    code, said = run_pytest(repository, "incidents/mine.yaml")
    assert code == 1
    assert "ping a -> b: reply" in said
    assert "silence" in said
    assert "Traceback" not in said
    assert "plugin.py" not in said


def test_mistakes_in_a_file_are_said_at_their_place(repository: Path) -> None:
    (repository / "incidents" / "mine.yaml").write_text("scenario: mine\ntopolgy: two-clusters\nphases: {a: {}}\n")
    code, said = run_pytest(repository, "incidents/mine.yaml", "--collect-only")
    assert code != 0
    assert "incidents/mine.yaml:2:1" in said
    assert "did you mean 'topology'?" in said
    assert "plugin.py" not in said


FORBID = """
import lab.kernel.launch
from lab.errors import MachineError
def refuse(*_, **__):
    raise MachineError("this kernel has no user namespaces")
lab.kernel.launch.launch = refuse
"""


@pytest.mark.parametrize(("option", "code", "word"), [((), 0, "1 skipped"), (("--lab-required",), 1, "1 failed")])
def test_a_machine_that_can_run_no_lab_skips_with_what_it_lacks(repository: Path, option: tuple[str, ...], code: int, word: str) -> None:
    """As if: a conftest takes away what every lab begins with."""
    (repository / "conftest.py").write_text(FORBID)
    ended, said = run_pytest(repository, "test_mine.py", "-k", "healthy", *option)
    assert ended == code, said
    assert word in said
    assert "this kernel has no user namespaces" in said
