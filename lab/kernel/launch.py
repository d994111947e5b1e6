"""The processes of a sandbox, and why none of them survives.

    front ── guard ── init (PID 1) ── worker ── whatever the lab runs

The *front* is whoever calls. The *guard* makes the user namespace, which the front must not enter, and the PID namespace. *init* is the
first process of that: it takes in orphans, and when it ends, the kernel kills every process of the lab and with the last of them frees
every mount and network namespace. The *worker* does the work; a process of its own, so that it can wait for its children without init's
reaping getting in the way. When the worker ends, init ends.

The front holds the *lifeline*, the writing end of a pipe. init watches the other end and ends when it is closed, which the kernel does
for a front that dies. Guard and init also ask to be killed with their parents, which works for a process that is stopped, too. A lab that
is to outlive the front asks for no such thing; it is let go by a word through the lifeline.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from socket import socket
from typing import Final, NoReturn

from lab.errors import InconclusiveError
from lab.kernel.messages import Raised, Returned, Said
from lab.kernel.syscalls import Namespace, die_with_parent, unshare
from lab.kernel.users import enter_pid_namespace, no_namespace, no_user_namespace

_LET_GO: Final = b"go"


def _ended_early() -> InconclusiveError:
    return InconclusiveError(
        "the lab's own process ended before it came to a result", hint="was it killed, or did the machine run out of memory?"
    )


Work = Callable[[Connection, bool], None]
"""What the worker does: it sends `Said` and `Returned`; the flag says whether the sandbox has its own user namespace."""


@dataclass(frozen=True, slots=True)
class Front:
    """The calling side of a sandbox."""

    guard: int
    lifeline: int
    messages: Connection

    def receive(self, on_report: Callable[[object], None]) -> object:
        """Hand reports on until the worker is done; returns its result or raises its exception.

        Raises InconclusiveError when the worker ended without either, such as by the kernel's out-of-memory killer.
        """
        while isinstance(message := self.take(), Said):
            on_report(message.message)
        return message.value

    def take(self) -> Said | Returned:
        """Wait for one message of the worker; raises as `receive` does."""
        try:
            message = self.messages.recv()
        except EOFError:
            raise _ended_early() from None
        if isinstance(message, Raised):
            raise message.exception()
        assert isinstance(message, Said | Returned), message
        return message

    def let_go(self) -> None:
        """Let the lab outlive this process. Raises InconclusiveError when it has ended before."""
        try:
            os.write(self.lifeline, _LET_GO)
        except BrokenPipeError:
            raise _ended_early() from None
        os.kill(self.guard, signal.SIGKILL)

    def close(self) -> None:
        """Drop the lifeline and wait for the guard, which ends after every process of a lab that was not let go."""
        os.close(self.lifeline)
        self.messages.close()
        with suppress(ChildProcessError):
            os.waitpid(self.guard, 0)


def launch(work: Work, *, outlive: socket | None = None, hear: Connection | None = None) -> Front:
    """Start a sandbox and `work` in it. The caller must `close` what is returned.

    With `outlive`, a bound socket, the lab can be let go, and init listens on that socket, so that its peers learn init's process id.
    `hear` is an end of a pipe that `work` goes on to use. Forks without executing anything: call it before starting threads.
    """
    heard = () if hear is None else (hear.fileno(),)
    complete_standard_descriptors()
    flush_standard_streams()
    reader, writer = Pipe(duplex=False)
    lifeline_end, lifeline = os.pipe()
    front = os.getpid()
    guard = os.fork()
    if guard == 0:
        _run_and_exit(writer, lambda: _guard(work, writer, lifeline_end, outlive, front, heard))
    writer.close()
    os.close(lifeline_end)
    return Front(guard, lifeline, reader)


def _run_and_exit(messages: Connection, body: Callable[[], None]) -> NoReturn:
    """Run the rest of a forked process. Nothing of the front's stack above runs in it, and its failure travels to the front."""
    code = 1
    try:
        body()
        code = 0
    except BaseException as error:  # noqa: BLE001 - the end of this process: whatever it was, the front must hear of it
        with suppress(OSError):
            messages.send(Raised.of(error))
    finally:
        with suppress(OSError, ValueError):
            flush_standard_streams()
        os._exit(code)


def _guard(work: Work, messages: Connection, lifeline: int, outlive: socket | None, front: int, heard: tuple[int, ...]) -> None:
    os.setsid()
    _forget_the_front(keep={messages.fileno(), lifeline, *heard, *([outlive.fileno()] if outlive else [])})
    rootless = enter_pid_namespace()
    if outlive is None:
        die_with_parent()
        if os.getppid() != front:
            return
    init = os.fork()
    if init == 0:
        _run_and_exit(messages, lambda: _init(work, messages, lifeline, outlive, heard, rootless=rootless))
    messages.close()
    os.close(lifeline)
    if outlive is not None:
        outlive.close()
    os.waitpid(init, 0)


def _forget_the_front(keep: set[int]) -> None:
    """Drop what a fork inherits: signal handlers, deafness to SIGINT, and descriptors but the standard three and those to keep.

    A descriptor is not closed but made one of /dev/null: an object of the front that closes it later, as its finaliser may, must not
    close another file that got its number. What is printed goes to the standard descriptors, whatever the front had put in their place.
    """
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) or number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        if descriptor not in {0, 1, 2, null, *keep} and entry.exists():  # the one that listed them is gone
            try:
                os.dup2(null, descriptor, inheritable=False)
            except OSError:  # EBADF: whoever opened it was allowed more files than this process is (`ulimit -n`)
                os.close(descriptor)


def _init(work: Work, messages: Connection, lifeline: int, outlive: socket | None, heard: tuple[int, ...], *, rootless: bool) -> None:
    if outlive is None:
        die_with_parent()  # no getppid to compare: it is 0 for PID 1. A guard that was killed before this is the lifeline's to notice.
    try:
        unshare(Namespace.MOUNT | Namespace.NET | Namespace.IPC | Namespace.UTS)
    except PermissionError as error:
        if rootless:
            raise no_user_namespace(error) from error
        raise
    except OSError as error:
        raise no_namespace(error) from error
    if outlive is not None:
        outlive.listen()
    wake, alarm = os.pipe()
    os.set_blocking(alarm, False)
    os.set_blocking(wake, False)
    received: list[int] = []
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: received.append(number))
    signal.set_wakeup_fd(alarm)
    worker = os.fork()
    if worker == 0:
        _forget_the_front(keep={messages.fileno(), *heard, *([outlive.fileno()] if outlive else [])})
        _run_and_exit(messages, lambda: work(messages, rootless))
    messages.close()
    if outlive is not None:
        outlive.close()
        silence()
    _take_in_orphans(worker, lifeline, wake, received)


def _take_in_orphans(worker: int, lifeline: int, wake: int, received: list[int]) -> None:
    """Live until the worker ends, the front ends without having let go, or a signal says so."""
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == wake:
                os.read(wake, 4096)
            elif os.read(lifeline, len(_LET_GO)) == _LET_GO:
                poll.unregister(lifeline)
            else:
                return
        while received:
            if received.pop() != signal.SIGCHLD:
                return
        if not _reap(worker):
            return


def _reap(worker: int) -> bool:
    """Collect every child that has ended; whether the worker is not among them."""
    while True:
        ended, _ = os.waitpid(-1, os.WNOHANG)
        if ended == worker:
            return False
        if ended == 0:
            return True


def silence() -> None:
    """Let go of the terminal or pipe this process was started with."""
    flush_standard_streams()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def complete_standard_descriptors() -> None:
    """Open those of the three standard descriptors that are closed, lest a pipe of ours get the number of one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def flush_standard_streams() -> None:
    """Write out what has been printed, so that a fork does not print it twice. A stream is None when Python began with it closed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
