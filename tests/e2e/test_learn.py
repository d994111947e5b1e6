"""A lesson from the list to its end, as a learner types it; and a class, which takes no root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.testing import Answer
from tests.e2e.command import command, lab

pytestmark = pytest.mark.e2e

Type = Callable[..., Answer]


@pytest.fixture(params=[pytest.param("root", marks=pytest.mark.root), "ordinary user"])
def who(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def state_folder() -> Iterator[Path]:
    """A folder that anybody can write to; those of pytest are closed to all but their owner."""
    with tempfile.TemporaryDirectory(prefix="lab-learn-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def learner(who: str, state_folder: Path) -> Iterator[Type]:
    """Types `lab learn`, as somebody who has a state folder of his own."""
    environment = {"XDG_STATE_HOME": str(state_folder)}

    def types(*words: str, shell: str | None = None) -> Answer:
        if shell is None:
            return lab("learn", "--as", "ann", *words, who=who, environment=environment)
        done = subprocess.run(
            command("learn", "--as", "ann", *words, who=who),
            input=shell,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={**os.environ, **environment},
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    yield types
    types("quit")


def test_a_lesson_is_learned(learner: Type) -> None:
    assert "no lesson" in learner("check").err
    begun = learner("one-way", "--seed", "0", "--no-shell")
    assert begun.code == 0, begun.err
    assert "web seems to be dead" in begun.out.replace("**", "")
    assert learner("two-servers").code == 2, "one lesson at a time"
    typed = learner("shell", shell="hostname\ncheck\ngoto r-office\nhostname\nsysctl -qw net.ipv4.conf.line-b.rp_filter=2\nexit\n")
    assert "0 of 4 things" in typed.out
    assert [line for line in typed.out.splitlines() if line in ("client", "r-office")] == ["client", "r-office"]
    assert "The lesson goes on" in typed.err
    submitted = learner("submit", "--json")
    assert (submitted.code, json.loads(submitted.out)["points"]) == (0, 100)
    assert learner("quit").code == 0
    (entry,) = [one for one in json.loads(learner("--json").out) if one["name"] == "one-way"]
    assert (entry["done"], entry["points"]) == (1, 100)
    assert "learn-ann" not in lab("ps").out


def test_a_lab_that_is_killed_ends_the_shell_in_words_and_the_lesson_begins_again(learner: Type, who: str, state_folder: Path) -> None:
    assert learner("one-way", "--seed", "0", "--no-shell").code == 0
    learner("clue")
    environment = {**os.environ, "XDG_STATE_HOME": str(state_folder)}
    argv, pipe = command("learn", "--as", "ann", "shell", who=who), subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(b"hostname\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == b"client\n"
        (entry,) = [one for one in lab("ps", "--json", who=who).json if one["name"] == "learn-ann"]
        os.kill(entry["pid"], signal.SIGKILL)
        _, said = shell.communicate(timeout=60)
    assert "The lab has ended; what you have achieved is kept." in said.decode()
    assert learner("one-way", "--no-shell").code == 0
    assert "1 clues" in learner("status").out


def test_those_who_mistype_are_told(learner: Type) -> None:
    for words, said in [
        (["one-wey"], "did you mean 'one-way'?"),
        (["calico-24-mismatch"], "is a scenario, and a lesson is needed here"),
        (["one-way", "--as", "../x"], "cannot name a learner"),
        (["one-way", "--class", "/nowhere"], "is no class"),
        (["export", "one-way", "/nowhere/at/all"], "--to killercoda or --to iximiuz"),
        (["new", "lesson.txt"], "ends with .md"),
    ]:
        answer = learner(*words)
        assert (answer.code, said in answer.err) == (2, True), answer.err


@pytest.mark.root
def test_a_class_takes_no_root(tmp_path: Path) -> None:
    folder = str(tmp_path / "class")
    assert lab("learn", "--class", folder, "--new").code == 0
    refused = lab("learn", "one-way", "--class", folder)
    assert refused.code == 2
    assert "nobody learns in a class as root" in refused.err
    assert lab("learn", "--class", folder, "--json").json == []
    assert lab("learn", "--class", "--json", environment={"LAB_CLASS": folder}).json == []
    assert "set LAB_CLASS" in lab("learn", "--class").err
