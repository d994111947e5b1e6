"""Read a file that a person names, whatever it turns out to be: nothing that waits, nothing without end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lab.errors import InputError, quoted
from lab.spec.yaml import MAX_BYTES

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file, of a large one only so many that it shows as too large.

    A pipe is not opened: without a writer that would wait for ever. Raises InputError.
    """
    name = quoted(str(path))
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{name} is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
        # Some files below /proc make a reader wait as well.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            return file.read(MAX_BYTES + 1) or b""
    except FileNotFoundError:
        raise InputError(f"there is no file {name}") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL within
        raise InputError(f"{name} is no file name") from None
