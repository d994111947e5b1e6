"""Exit codes: 0 as expected, 1 not, 2 wrong input, 3 something is missing here, 4 no verdict."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable

import click
import pytest

from lab.cli import app
from lab.errors import ExitCode, InconclusiveError, InputError, LabError, MachineError, Place


def exit_code_of(command: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return what `lab` exits with when a command does this."""
    monkeypatch.setattr(app.Commands, "get_command", lambda self, context, name: click.Command("fake", callback=command))
    monkeypatch.setattr(sys, "argv", ["lab", "fake"])
    with pytest.raises(SystemExit) as done:
        app.run()
    assert isinstance(done.value.code, int)
    return done.value.code


def raising(error: BaseException) -> Callable[[], object]:
    def command() -> object:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("wrong"), 2),
        (MachineError("there is no `nft` here", hint="apt install nftables"), 3),
        (InconclusiveError("nobody knows"), 4),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("so not"), 2),
        (OSError(28, "No space left on device"), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_mistake_has_its_exit_code(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code_of(raising(error), monkeypatch) == code


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EMFILE, "ulimit -n"), (errno.ENFILE, "fs.file-max"), (errno.EAGAIN, "ulimit -u"), (errno.ENOMEM, "memory")],
)
def test_a_limit_of_the_machine_is_said_with_its_remedy(
    number: int, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(raising(OSError(number, os.strerror(number))), monkeypatch) == 3
    said, hint = capsys.readouterr().err.splitlines()
    assert said == f"lab: {os.strerror(number)}"
    assert remedy in hint


def test_what_the_kernel_refuses_is_json_for_a_machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        sys.argv.append("--json")
        raise OSError(errno.EMFILE, "Too many open files")

    exit_code_of(command, monkeypatch)
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["message"], error["exit_code"]) == ("lab: Too many open files", 3)


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_command_s_own_exit_code_is_passed_on(code: ExitCode, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code_of(lambda: int(code), monkeypatch) == code


def test_a_mistake_is_said_with_its_place_and_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error: LabError = MachineError("there is no `nft` here", place=Place("f.yaml", 3, 7), hint="apt install nftables")
    exit_code_of(raising(error), monkeypatch)
    assert capsys.readouterr() == ("", "f.yaml:3:7: there is no `nft` here\n  hint: apt install nftables\n")


def test_a_mistake_cannot_drive_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code_of(raising(InputError("\x1b[2J\u202e", place=Place("\x9b1m"), hint="\x07")), monkeypatch)
    assert capsys.readouterr().err == "\\x9b1m:1:1: \\x1b[2J\\u202e\n  hint: \\x07\n"
