"""A terminal that knows no Unicode is told all the same."""

from __future__ import annotations

import subprocess

import pytest

from tests.cli.command import PROCESS, ROOT, lab, lab_process


def test_signs_that_an_encoding_lacks_become_the_nearest() -> None:
    plain = lab("diagnose", "calico-24-mismatch", "--phase", "broken", encoding="ascii")
    assert (plain.code, plain.err) == (1, "")
    assert " +  Submariner's pods run" in plain.out
    assert " x  Joined ranges against" in plain.out


def test_where_all_signs_are_there_they_are_kept() -> None:
    assert " ✗  Joined ranges against" in lab("diagnose", "calico-24-mismatch", "--phase", "broken").out


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 3, "lab: standard output cannot be written: No space left on device\n"),
    ],
)
def test_an_output_that_takes_nothing_is_no_crash(redirection: str, code: int, said: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *PROCESS, "list"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


def test_columns_says_how_wide_a_piped_table_is() -> None:
    chosen = lab_process("list", environment={"COLUMNS": "90"}).out
    assert max(map(len, chosen.splitlines())) == 90
    assert max(map(len, lab_process("list", environment={"COLUMNS": ""}).out.splitlines())) == 140
