"""Terminals and files whose encoding lacks some characters: they get the nearest ones instead of an error."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, Final

_NEAREST: Final = dict(zip("✓✗…→“”─━│▶◀═┄╌●○◇", '+x.>""-=|><=.~oO+', strict=True))


class _StandardOutput(io.FileIO):
    """Standard output whose errors say that it is standard output; after one, nothing more is written to it, not even at exit."""

    def write(self, data: Any, /) -> int:
        """Write as FileIO does. Raises OSError with what cannot be written as its file name."""
        try:
            return super().write(data)
        except BrokenPipeError:  # the reader has gone: not a mistake
            raise
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            raise OSError(error.errno, error.strerror, "standard output cannot be written") from None


def speak_plainly() -> None:
    """Let standard output and standard error take every text, whatever their encoding; one that is closed takes it and keeps nothing."""
    _open_what_is_closed()
    codecs.register_error("lab.nearest", _nearest)
    out = sys.stdout
    if out is sys.__stdout__ and isinstance(out, io.TextIOWrapper) and out.fileno() == 1:
        out.flush()  # what the caller has said so far comes first
        raw = _StandardOutput(1, "w", closefd=False)
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), out.encoding, out.errors, line_buffering=raw.isatty())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="lab.nearest")


def _open_what_is_closed() -> None:
    """Put /dev/null where a shell's `>&-` left nothing: what the lab opens next must not become its standard output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
            os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_NEAREST.get(character, "?") for character in error.object[error.start : error.end]), error.end
