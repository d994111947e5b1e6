"""Write files that a person names: whole, or not at all; and say beforehand what could not be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lab.errors import InputError, LabError, MachineError


def check_writable(path: Path) -> None:
    """Raise InputError when a file of that name could not be written: before the work it is to hold, not after."""
    # os.path: a folder that may not even be looked into holds nothing, where Path raises PermissionError.
    if not os.path.isdir(path.parent):  # noqa: PTH112
        raise InputError(f"{path} cannot be written: there is no folder {str(path.parent)!r}")
    is_folder = os.path.isdir(path)  # noqa: PTH112
    if not os.access(path.parent, os.W_OK) or is_folder:
        raise InputError(f"{path} cannot be written: {'it is a folder' if is_folder else 'its folder is not yours to write to'}")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the writer is killed.

    Text is written as UTF-8. The content goes into a file without a name (O_TMPFILE, open(2)), which gets its name when it is whole. What
    is there and is no plain file (/dev/stdout, a pipe) is written to, never replaced. Raises InputError when it cannot be written, and
    MachineError when there is no room for it.
    """
    data = content.encode() if isinstance(content, str) else content
    if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):  # noqa: PTH110, PTH113, PTH114
        _write_into(path, data)
        return
    try:
        nameless = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o644)
    except (OSError, AttributeError):  # no such thing on this file system, or this system
        _write_into(path, data)
        return
    try:
        with os.fdopen(nameless, "wb") as file:
            file.write(data)
            file.flush()
            new = path.with_name(f".{path.name}.{os.getpid()}")
            # With a descriptor beside the path, Python calls linkat(2) and lets it follow; without, link(2), which does not.
            os.link(f"/proc/self/fd/{file.fileno()}", new, src_dir_fd=file.fileno(), follow_symlinks=True)
            new.replace(path)
    except OSError as error:
        raise _not_written(path, error) from None


def _write_into(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> LabError:
    """Tell a name that was ill chosen from a disk that is full, which no other name in the same place would help."""
    said = f"{path} cannot be written: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(said, hint="make room there, or name a place elsewhere")
    return InputError(said)
