"""What `lab` says about itself, and to those who mistype."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from lab.cli.app import COMMANDS, cli
from tests.cli.command import lab


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_examples(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"], prog_name="lab")
    assert result.exit_code == 0
    assert re.search(r"^\s*Usage: lab " + name, result.output)
    assert re.search(r"Examples?:\s+(eval \"\$\()?(sudo )?lab " + name, result.output), result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_short_help_is_the_same(name: str) -> None:
    assert CliRunner().invoke(cli, [name, "-h"]).output == CliRunner().invoke(cli, [name, "--help"]).output


def test_lab_alone_lists_the_commands() -> None:
    answer = CliRunner().invoke(cli, ["--help"], prog_name="lab")
    assert answer.exit_code == 0
    assert [name for name in COMMANDS if not re.search(rf"^  {name} ", answer.output, re.MULTILINE)] == []
    assert "Examples:" in answer.output


def test_the_version_is_that_of_the_distribution() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", lab("--version").out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chek"], "there is no command 'chek': did you mean 'check'?"),
        (["diagnos"], "did you mean 'diagnose'?"),
        (["check", "--jsno", "x"], "Did you mean '--json'?"),
        (["show", "two-clusters", "--as", "stat"], "'stat' is not one of 'spec', 'state', 'plan', 'commands', 'mininet'"),
        (["check"], "Missing argument 'FILE...'"),
        (["check", "two-cluster"], "did you mean 'two-clusters'?"),
        (["run", "calico-24-missmatch"], "did you mean 'calico-24-mismatch'?"),
        (["run", "two-clusters"], "'two-clusters' is a topology, and a scenario is needed here"),
        (["show", "two-clusters", "--node", "c1-gww"], "did you mean 'c1-gw'?"),
        (["show", "two-clusters", "--phase", "broken"], "'two-clusters' is a topology, and only scenarios have phases"),
        (["show", "calico-24-mismatch", "--phase", "brokn"], "did you mean 'broken'?"),
        (["diagnose", "calico-24-mismatch", "--cluster", "cluster1"], "did you mean 'cluster-1'?"),
        (["schema", "topologie"], "'topologie' is not one of 'topology', 'scenario', 'lesson', 'change', 'intents'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_who_mistypes_is_told_what_is_nearest(arguments: list[str], said: str) -> None:
    answer = lab(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
