"""The kernel's log of packets with impossible sources, where a namespace has `log_martians` on and this user may read the log (kmsg(4)).

The log is the machine's, not the namespace's: what it says counts only with the addresses and the device of the packet in question.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final

_LOG: Final = "/dev/kmsg"
_LINE: Final = 8192
_MARTIAN: Final = re.compile(r"martian source (\S+) from (\S+), on dev (\S+)")


class MartianLog:
    """An open log, at its end; `read` returns what came since. Empty for ever where it may not be read."""

    def __init__(self) -> None:
        try:
            self._descriptor: int | None = os.open(_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            self._descriptor = None

    def read(self) -> tuple[tuple[IPv4Address, IPv4Address, str], ...]:
        """Return destination, source and device of every packet that was logged."""
        return tuple(self._martians())

    def close(self) -> None:
        """Let go of the log."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _martians(self) -> Iterator[tuple[IPv4Address, IPv4Address, str]]:
        while self._descriptor is not None:
            try:
                line = os.read(self._descriptor, _LINE).decode(errors="replace")
            except (BlockingIOError, PermissionError):
                return
            except BrokenPipeError:  # lines were overwritten before they were read
                continue
            if found := _MARTIAN.search(line):
                yield IPv4Address(found[1]), IPv4Address(found[2]), found[3]
