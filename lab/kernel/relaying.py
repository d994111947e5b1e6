"""The relay from outside: started, told what to hold, and ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lab.errors import InconclusiveError, MachineError
from lab.kernel import relay
from lab.kernel.planning.steps import HeldEnd

_ETHERNET: Final = 14 + 4
"""Bytes of a frame beside those that its MTU counts, a VLAN tag among them."""


class RunningRelay:
    """A relay (`lab.kernel.relay`) that runs in the network namespace in which this is made, until it is closed.

    It ends with the process that made it, since its standard input does, and with the lab's PID namespace.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(relay.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def hold(self, ends: Sequence[HeldEnd]) -> None:
        """Hold what comes by these devices, in place of those before; when this returns, it is held.

        Raises MachineError when the kernel gives no memory or socket for it, and as `check` does.
        """
        longest = max(end.mtu for end in ends) + _ETHERNET
        command = {"ends": [(end.device, end.index, end.delay) for end in ends], "longest": longest}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        answer = self._process.stdout.readline().decode().strip()
        if not answer:
            raise self._gone()
        if answer != "ready":
            raise MachineError(f"packets cannot be delayed here: {answer}", hint="use a kernel with CONFIG_NET_SCH_NETEM")

    def check(self) -> None:
        """Raise InconclusiveError when it has ended by itself."""
        if self._process.poll() is not None:
            raise self._gone()

    def _gone(self) -> InconclusiveError:
        return InconclusiveError(
            "the process that holds delayed packets has ended, and they with it",
            hint="was it killed, or did the machine run out of memory?",
        )

    def close(self) -> None:
        """End it, and what it holds."""
        self._process.kill()
        self._process.communicate()
