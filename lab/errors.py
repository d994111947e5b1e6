"""Every mistake the lab can report, each with its exit code, its place and what to do about it.

Errors are a user interface: the message says what is wrong, `place` says where in which file, `hint` says what to do.
The command line prints them and exits with `exit_code`; it never shows a traceback for one of these.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum
from typing import Self

_LONG = 80
"""How many characters of something a person wrote are repeated in a message."""
_MANY = 16
"""How many valid names a hint lists."""
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff]")
"""Control characters (but tabs and line ends), overrides of the direction of writing, and what is no character at all."""


class ExitCode(IntEnum):
    """What a command of the lab says to the shell that called it."""

    OK = 0
    """All expectations hold."""
    EXPECTATION = 1
    """At least one expectation does not hold."""
    INPUT = 2
    """What was given to the lab (file, option, name) is wrong."""
    MACHINE = 3
    """This machine lacks something: a privilege, a tool, a kernel feature."""
    INCONCLUSIVE = 4
    """The lab could not come to a verdict."""


def worst(codes: Collection[ExitCode]) -> ExitCode:
    """Return the exit code of several runs: an expectation that fails counts for more than doubt, doubt for more than success."""
    return next(code for code in (ExitCode.EXPECTATION, ExitCode.INCONCLUSIVE, ExitCode.OK) if code in codes)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file that a person wrote; lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class LabError(Exception):
    """Base of all errors meant for people. Subclasses set `exit_code`."""

    exit_code: ExitCode = ExitCode.INPUT

    def __init__(self, message: str, *, place: Place | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def at(self, place: Place | None) -> Self:
        """Return this mistake, at a place unless it has one."""
        self.place = self.place or place
        return self

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        todo = f"\n  hint: {self.hint}" if self.hint else ""
        return printable(f"{where}{self.message}{todo}")


class InputError(LabError):
    """A file, an option or a name that a person gave is wrong."""


class InputErrors(InputError):
    """Several mistakes of one input, reported together in the order of their places."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        ordered = sorted(errors, key=lambda e: (e.place is None, e.place))
        super().__init__(f"{len(ordered)} mistakes" if len(ordered) != 1 else ordered[0].message)
        self.errors = tuple(ordered)

    def at(self, place: Place | None) -> Self:
        """Return these mistakes, each at a place unless it has one."""
        for error in self.errors:
            error.at(place)
        return self

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class MachineError(LabError):
    """This machine lacks a privilege, a tool or a kernel feature; `hint` names the remedy."""

    exit_code = ExitCode.MACHINE


class InconclusiveError(LabError):
    """The lab could not find out: neither a pass nor a failure."""

    exit_code = ExitCode.INCONCLUSIVE


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name most like `name`, or None when nothing comes close."""
    folded = {k.casefold(): k for k in known}
    matches = get_close_matches(name[:_LONG].casefold(), list(folded), n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def did_you_mean(name: str, known: Sequence[str], what: str = "name") -> str:
    """Return a hint that names the nearest valid name, or lists the valid ones."""
    best = nearest(name, known)
    if best is not None:
        return f"did you mean {best!r}?"
    if not known:
        return f"there is no {what} here"
    more = f" and {len(known) - _MANY} more" if len(known) > _MANY else ""
    return f"known {what}s: {', '.join(sorted(known)[:_MANY])}{more}"


def quoted(text: object) -> str:
    """Return what a person wrote in quotes, safe for a terminal and cut to a length that a message bears."""
    shown = repr(text)
    return shown if len(shown) <= _LONG else f"{shown[:_LONG]}...{shown[0]}"


def printable(text: str) -> str:
    """Return a text with every character escaped that could drive a terminal; tabs and line ends stay."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def unsafe_character(text: str) -> int | None:
    """Return where the first character stands that could drive a terminal or hide what is written, or None where there is none."""
    found = UNSAFE.search(text)
    return found.start() if found else None
