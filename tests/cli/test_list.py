"""`lab list`: finding what comes with the lab."""

from __future__ import annotations

import json
import os
import pty
import sys

import pytest

from lab.spec.library import library
from tests.cli.command import lab


def names(*arguments: str) -> set[str]:
    return {entry["name"] for entry in json.loads(lab("list", "--json", *arguments).out)}


def test_everything_shipped_has_one_line_however_narrow_the_terminal_is() -> None:
    shipped = [entry.name for entry in library()]
    lines = lab("list").out.splitlines()
    assert [line.split()[1] for line in lines] == shipped
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["COLUMNS"] = "60"
        os.execv(sys.executable, [sys.executable, "-c", "import sys; sys.argv = ['lab', 'list']; from lab.cli import main; main()"])
    said = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.waitpid(pid, 0)
    os.close(terminal)
    assert len(said.splitlines()) == len(shipped)
    assert all(len(line) <= 60 for line in said.decode().splitlines())


def test_what_a_scenario_is_about_is_read_off_its_files() -> None:
    (flagship,) = (entry for entry in library() if entry.name == "calico-24-mismatch")
    assert {"calico", "kube-proxy", "submariner", "http-proxy"} == set(flagship.components)
    assert {"silence", "unreachable", "no HTTP answer"} <= set(flagship.symptoms)
    assert {"join", "node_added", "route", "policy"} <= set(flagship.primitives)


def test_filters_narrow_it_down() -> None:
    everything = names()
    assert "calico-24-mismatch" in names("--component", "submariner", "--symptom", "unreachable")
    assert names("--component", "submariner") < everything
    assert names("--symptom", "silence") == {entry.name for entry in library() if "silence" in entry.symptoms}
    assert "calico-24-mismatch" in names("issues/2953")
    assert "calico-24-mismatch" in names("rp_filter")
    assert names("vxlan-tunnel", "blackhole") < names("blackhole") < everything


@pytest.mark.parametrize("option", ["--component", "--symptom", "--primitive"])
def test_an_unknown_name_is_answered_with_the_known_ones(option: str) -> None:
    answer = lab("list", option, "nonsense")
    assert answer.code == 2
    assert f"known {option.removeprefix('--')}s: " in answer.err


def test_nothing_found_is_said() -> None:
    answer = lab("list", "no such thing anywhere at all")
    assert (answer.code, answer.out) == (0, "")
    assert "nothing that comes with the lab" in answer.err
