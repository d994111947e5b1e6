"""Transcripts of `lab check`: every file in `golden`, and beside it what the command says about it.

`python tests/spec/test_golden.py` writes the transcripts anew, to be read before they are committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.cli.app import cli
from lab.errors import LabError

GOLDEN = Path(__file__).with_name("golden")
FILES = sorted([*GOLDEN.glob("*.yaml"), *GOLDEN.glob("*.md")])


def transcript(file: Path) -> str:
    """Return what a person sees who checks a file in its folder."""
    before = Path.cwd()
    os.chdir(file.parent)
    try:
        result = CliRunner().invoke(cli, ["check", file.name], standalone_mode=False)
    finally:
        os.chdir(before)
    if result.exception is not None and not isinstance(result.exception, LabError):
        raise result.exception
    return f"$ lab check {file.name}\n{result.output}exit code {result.return_value}\n"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_command_says_what_it_said(file: Path) -> None:
    assert transcript(file) == file.with_suffix(".txt").read_text()


def test_every_transcript_has_its_file() -> None:
    assert sorted(GOLDEN.glob("*.txt")) == [file.with_suffix(".txt") for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_mistake_has_a_place_in_a_file(file: Path) -> None:
    lines = file.with_suffix(".txt").read_text().splitlines()[1:-1]
    said = [line for line in lines if not line.startswith("  hint: ") and not line.endswith(": correct")]
    assert [line for line in said if line.split(":")[0] not in {other.name for other in FILES}] == []


if __name__ == "__main__":
    for file in FILES:
        file.with_suffix(".txt").write_text(transcript(file))
