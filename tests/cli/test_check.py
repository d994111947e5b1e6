"""`lab check`: exit codes, folders, JSON, names that are hard to print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import PROCESS, ROOT, lab

GOLDEN = ROOT / "tests" / "spec" / "golden"
SMALL = (GOLDEN / "small.yaml").read_bytes()


def test_correct_files_are_called_so() -> None:
    answer = lab("check", "two-clusters", "calico-24-mismatch")
    assert (answer.code, answer.out, answer.err) == (0, "two-clusters: correct\ncalico-24-mismatch: correct\n", "")


def test_every_file_is_checked_though_one_is_wrong() -> None:
    answer = lab("check", "nosuch.yaml", str(GOLDEN / "empty.yaml"), "two-clusters")
    assert answer.code == 2
    assert answer.out == "two-clusters: correct\n"
    assert [line for line in answer.err.splitlines() if not line.startswith("  hint")] == [
        "there is no file 'nosuch.yaml', and no shipped scenario or topology of that name",
        f"{GOLDEN / 'empty.yaml'}:1:1: the file is empty",
    ]


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    assert lab("check", str(tmp_path)).code == 2
    (tmp_path / "b.yaml").write_bytes(SMALL)
    (tmp_path / "a.yml").write_bytes(SMALL)
    (tmp_path / "notes.txt").write_text("not for the lab")
    assert lab("check", str(tmp_path)).out == f"{tmp_path / 'a.yml'}: correct\n{tmp_path / 'b.yaml'}: correct\n"


def test_only_scenarios_of_a_folder_are_played(tmp_path: Path) -> None:
    (tmp_path / "topology.yaml").write_bytes(SMALL)
    answer = lab("run", str(tmp_path))
    assert answer.code == 2
    assert answer.err.startswith("there is no scenario in the folder ")
    (tmp_path / "broken.yaml").write_text("scenari: x\n")
    assert "broken.yaml:1:1" in lab("run", str(tmp_path)).err


def test_a_machine_gets_every_mistake_with_its_place() -> None:
    answer = lab("check", "--json", str(GOLDEN / "scenario-adjust-sense.yaml"))
    mistakes = json.loads(answer.out)
    assert (answer.code, answer.err) == (2, "")
    assert [mistake["place"]["line"] for mistake in mistakes] == [4, 6, 7]
    assert mistakes[2] == {
        "message": "there is no host 'nobody'",
        "hint": "known hosts: broker",
        "place": {"file": str(GOLDEN / "scenario-adjust-sense.yaml"), "line": 7, "column": 24},
    }
    assert json.loads(lab("check", "--json", "two-clusters").out) == []


def test_another_command_says_the_same_mistakes_in_its_own_json() -> None:
    answer = lab("diagnose", "--json", str(GOLDEN / "too-small.yaml"))
    error = json.loads(answer.out)["error"]
    assert (answer.code, error["exit_code"], len(error["mistakes"])) == (2, 2, 3)
    assert answer.err.count("\n  hint: ") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
@pytest.mark.parametrize("name", [b"sm\xffall.yaml", b"\x1b[31mred\x07.yaml", "лаб.yaml".encode(), b"a b'c\".yaml", b"new\nline.yaml"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_file_may_be_called_anything(tmp_path: Path, name: bytes, encoding: str) -> None:
    file = os.fsdecode(bytes(tmp_path) + b"/" + name)
    Path(file).write_bytes(SMALL)
    for arguments in (("check", file), ("check", "--json", file)):
        answer = lab(*arguments, encoding=encoding)
        assert (answer.code, answer.err) == (0, "")
        assert "\x1b" not in answer.out
    Path(file).write_bytes(b"topology: [")
    for arguments in (("check", file), ("check", "--json", file), ("show", file), ("run", file)):
        answer = lab(*arguments, encoding=encoding)
        assert answer.code == 2
        assert "Traceback" not in answer.err
        assert "\x1b" not in answer.out + answer.err


def test_a_reader_that_goes_away_is_no_mistake() -> None:
    with subprocess.Popen([*PROCESS, "show", "calico-24-mismatch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
