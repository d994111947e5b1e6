"""Which labs run on this machine, and how to reach one. There is no file of them: the kernel knows who listens."""

from __future__ import annotations

import os
import pwd
import select
import shlex
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.errors import InputError, did_you_mean
from lab.kernel.control import JSON, Lines, address_of, ask, parse_address, peer_of
from lab.kernel.sandbox import Report, ignore

_ACCEPTS_CONNECTIONS: Final = 0x10000
"""__SO_ACCEPTCON (include/uapi/linux/net.h), in the column Flags of /proc/net/unix."""


@dataclass(frozen=True, slots=True, order=True)
class LabEntry:
    """A lab that runs in the background: its name, its owner's uid and the process id of its PID 1."""

    name: str
    uid: int
    pid: int


@dataclass(frozen=True, slots=True)
class LabConnection:
    """A line to a running lab, whose requests are answered one after the other."""

    entry: LabEntry
    pidfd: int
    _socket: socket.socket
    _lines: Lines

    def request(self, operation: str, *, on_report: Report = ignore, **arguments: JSON) -> JSON:
        """Ask the lab for one of its operations. Raises what the operation raises, and InconclusiveError when the lab ends meanwhile."""
        return ask(self._socket, self._lines, operation, arguments, on_report)


def running_labs() -> tuple[LabEntry, ...]:
    """The labs that run here, of all users, by name. Only those started in this network namespace are visible."""
    found = (_entry(uid, name) for uid, name in _listening())
    return tuple(sorted(entry for entry in found if entry is not None))


@contextmanager
def connect(name: str) -> Iterator[LabConnection]:
    """Reach one's own lab of this name. Raises InputError, with the nearest name, when there is none."""
    uid = os.geteuid()
    connection = _dial(uid, name)
    if connection is None:
        raise _not_found(name)
    with closing(connection):
        entry = LabEntry(name, uid, peer_of(connection).pid)
        pidfd = _pidfd(entry, connection)
        try:
            yield LabConnection(entry, pidfd, connection, Lines(connection))
        finally:
            os.close(pidfd)


def stop(name: str) -> None:
    """End one's own lab of this name; returns when its processes are gone. There is nothing to tidy: the kernel does it."""
    with connect(name) as lab:
        with suppress(ProcessLookupError):  # it ended by itself meanwhile
            signal.pidfd_send_signal(lab.pidfd, signal.SIGKILL)
        select.select([lab.pidfd], [], [])


def _listening() -> set[tuple[int, str]]:
    """Owner and name of every socket whose address claims to be a lab's."""
    rows = (row.split(maxsplit=7) for row in Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:])
    shown = (row[7] for row in rows if len(row) == 8 and int(row[3], 16) & _ACCEPTS_CONNECTIONS)
    return {address for address in map(parse_address, shown) if address is not None}


def _entry(uid: int, name: str) -> LabEntry | None:
    connection = _dial(uid, name)
    if connection is None:
        return None
    with closing(connection):
        return LabEntry(name, uid, peer_of(connection).pid)


def _dial(uid: int, name: str) -> socket.socket | None:
    """Connect to a lab's socket; None when there is none, or when it is not its owner's process that listens there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)  # a full queue of waiting clients is an impostor's, or a lab's that hangs
        connection.connect(address_of(uid, name))
        connection.setblocking(True)
        if peer_of(connection).uid == uid:
            return connection
    except (ConnectionRefusedError, BlockingIOError):
        pass
    connection.close()
    return None


def _pidfd(entry: LabEntry, connection: socket.socket) -> int:
    """A descriptor of the lab's PID 1 itself, where its number alone could be another's by now.

    PID 1 waits for its processes before it ends. As long as one of them holds the other end of `connection`, the number is still its own.
    """
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(entry.pid)
        poll = select.poll()
        poll.register(connection, 0)
        if not poll.poll(0):
            return pidfd
        os.close(pidfd)
    raise _not_found(entry.name)


def _not_found(name: str) -> InputError:
    labs = running_labs()
    mine = [entry.name for entry in labs if entry.uid == os.geteuid()]
    for entry in labs:
        if entry.name == name and entry.name not in mine:
            owner = _user(entry.uid)
            return InputError(f"the lab {name!r} is {owner}'s", hint=f"only {owner} reaches it: sudo -u {shlex.quote(owner)} lab ...")
    return InputError(f"no lab {name!r} is running", hint=did_you_mean(name, mine, "lab") if mine else "lab up starts one")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
