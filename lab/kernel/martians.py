"""The kernel's log of packets with impossible sources, where a namespace has `log_martians` on and this user may read the log (kmsg(4)).

The log is the machine's, not the namespace's: what it says counts only with the addresses and the device of the packet in question.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final, NamedTuple

LOG: Final = "/dev/kmsg"
_LINE: Final = 8192
_MARTIAN: Final = re.compile(r"martian source (\S+) from (\S+), on dev (\S+)")


class Martian(NamedTuple):
    """What the kernel logged of a packet, or of an ARP request, whose source it refused (net/ipv4/route.c: ip_handle_martian_source)."""

    destination: IPv4Address
    source: IPv4Address
    device: str

    def __str__(self) -> str:
        return f"martian source {self.destination} from {self.source}, on dev {self.device}"


class MartianLog:
    """An open log, at its end; `read` returns what came since. Empty for ever where it may not be read: `refusal` says why."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self.refusal: str | None = None
        """Why the log may not be read, None where it may."""
        try:
            self._descriptor = os.open(LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            self.close()
            self.refusal = f"{LOG}: {error.strerror}"

    def read(self) -> tuple[Martian, ...]:
        """Return every packet that was logged."""
        return tuple(self._martians())

    def close(self) -> None:
        """Let go of the log."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _martians(self) -> Iterator[Martian]:
        while self._descriptor is not None:
            try:
                line = os.read(self._descriptor, _LINE).decode(errors="replace")
            except BlockingIOError:
                return
            except BrokenPipeError:  # lines were overwritten before they were read
                continue
            except OSError as error:
                self.close()
                self.refusal = f"{LOG}: {error.strerror}"
                return
            if found := _MARTIAN.search(line):
                with suppress(ValueError):  # whoever may write the log wrote that
                    yield Martian(IPv4Address(found[1]), IPv4Address(found[2]), found[3])
