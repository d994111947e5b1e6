"""A terminal of its own for a program in a sandbox, shown on the caller's: Ctrl-C, line editing and the window's size are the program's.

A sandbox's processes are in another session than the caller's terminal, so what is typed there would interrupt the caller alone. Here the
caller's terminal is raw and everything goes through a pseudo-terminal (pty(7)) that is the program's controlling one.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import sys
import termios
import threading
import tty
from contextlib import suppress
from types import FrameType
from typing import Any, Final

_CHUNK: Final = 1 << 14


def become_terminal_of(name: str) -> None:
    """Make a terminal the calling process's controlling one, and its standard input, output and error. Raises OSError."""
    os.login_tty(os.open(name, os.O_RDWR))
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminal:
    """A pseudo-terminal beside the caller's. Use it as a context manager; `show` begins to pass on what is typed and said."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        self.name = os.ttyname(self._slave)
        self._stop, self._stopped = os.pipe()
        self._thread: threading.Thread | None = None
        self._kept: Any = None
        self._resize()

    def __enter__(self) -> Terminal:
        self._before = {number: signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP)}
        signal.signal(signal.SIGWINCH, lambda _number, _frame: self._resize())
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)  # so that the terminal is put back as it was
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stopped)
        if self._thread is not None:
            self._thread.join()
        if self._kept is not None:
            termios.tcsetattr(0, termios.TCSANOW, self._kept)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for descriptor in (self._master, self._slave, self._stop):
            os.close(descriptor)

    def show(self) -> None:
        """Show the terminal on the caller's. Starts a thread: to be called when nothing forks any more."""
        self._kept = termios.tcgetattr(0)
        tty.setraw(0)
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def _pass_on(self) -> None:
        poll = select.poll()
        for descriptor in (0, self._master, self._stop):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._master in ready:
                os.write(1, os.read(self._master, _CHUNK))
            elif self._stop in ready:  # and nothing is left to be said
                return
            if 0 in ready:
                typed = os.read(0, _CHUNK)
                if not typed:
                    poll.unregister(0)
                os.write(self._master, typed or b"\x04")

    def _resize(self) -> None:
        with suppress(OSError):
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
