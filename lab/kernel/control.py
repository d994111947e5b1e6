"""How one process speaks to a running lab: the name of its socket, and the lines that cross it.

A lab that runs in the background listens on an abstract unix socket (unix(7)), which is no file and goes with the process that holds it.
Its name, `lab/UID/NAME`, says whose lab it is. Anyone on the machine can take such a name, so nobody is believed before the kernel has
told whose process is on the other end (SO_PEERCRED).

A request is one line of JSON, `{"operation": ..., "arguments": {...}}`; the answer is any number of `{"report": ...}` lines and then one
with `"result"` or `"error"`.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from lab.errors import InconclusiveError, InputError, InputErrors, LabError, MachineError, Place

JSON: TypeAlias = Any
"""What json.dumps takes and json.loads gives."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_ADDRESS: Final = re.compile(r"lab/(\d+)/(.+)")
_KINDS: Final = {kind.__name__: kind for kind in (InputError, MachineError, InconclusiveError, LabError)}
_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is on the other end of a unix socket: for a listening one's client, whoever called listen(2)."""

    pid: int
    uid: int


def check_name(lab: str) -> str:
    """Return `lab`, if it can be a lab's name. Raises InputError."""
    if _NAME.fullmatch(lab) is None:
        raise InputError(f"{lab!r} cannot name a lab", hint="letters, digits, '_', '.' and '-', at most 63, a letter or digit first")
    return lab


def address_of(uid: int, lab: str) -> str:
    """The abstract address of a lab's socket."""
    return f"\0lab/{uid}/{check_name(lab)}"


def parse_address(shown: str) -> tuple[int, str] | None:
    """Owner and name of the lab with this address, as /proc/net/unix shows it (with @ for the zero byte); None for other sockets."""
    match = _ADDRESS.fullmatch(shown.removeprefix("@"))
    if match is None or not shown.startswith("@") or _NAME.fullmatch(match[2]) is None:
        return None
    return int(match[1]), match[2]


def peer_of(connection: socket.socket) -> Peer:
    """Who is on the other end, by the kernel's word."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return Peer(pid, uid)


def send_line(connection: socket.socket, message: Mapping[str, JSON]) -> None:
    """Send one message. Raises OSError when the other end is gone or does not read."""
    connection.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")


class Lines:
    """The messages that arrive over a socket, put together from the pieces they come in."""

    def __init__(self, connection: socket.socket, longest: int | None = None) -> None:
        self._connection = connection
        self._longest = longest
        self._rest = bytearray()

    def read(self) -> list[bytes] | None:
        """The lines completed by what has arrived; waits for something to arrive. None when the other end is gone, or says too much."""
        try:
            piece = self._connection.recv(_CHUNK)
        except ConnectionResetError:
            return None
        if not piece:
            return None
        self._rest += piece
        if self._longest is not None and len(self._rest) > self._longest:
            return None
        if b"\n" not in piece:  # most of a long line: look for its end only where that can be
            return []
        *lines, self._rest = self._rest.split(b"\n")
        return [bytes(line) for line in lines]


def pack_error(error: LabError) -> dict[str, JSON]:
    """An error as JSON; its class is that of the nearest ancestor that every reader knows."""
    if isinstance(error, InputErrors):
        return {"errors": [pack_error(single) for single in error.errors]}
    kind = next(ancestor.__name__ for ancestor in type(error).__mro__ if ancestor.__name__ in _KINDS)
    place = None if error.place is None else [error.place.file, error.place.line, error.place.column]
    return {"kind": kind, "message": error.message, "hint": error.hint, "place": place}


def unpack_error(packed: Mapping[str, JSON]) -> LabError:
    """The error that `pack_error` packed."""
    if "errors" in packed:
        return InputErrors([error for error in map(unpack_error, packed["errors"]) if isinstance(error, InputError)])
    place = None if packed["place"] is None else Place(*packed["place"])
    return _KINDS[packed["kind"]](packed["message"], place=place, hint=packed["hint"])


def ask(connection: socket.socket, lines: Lines, operation: str, arguments: Mapping[str, JSON], on_report: Callable[[JSON], None]) -> JSON:
    """Send a request and wait for its result. Raises the LabError the lab answered with, or InconclusiveError when the lab is gone."""
    try:
        send_line(connection, {"operation": operation, "arguments": dict(arguments)})
    except BrokenPipeError:
        raise InconclusiveError(_GONE) from None
    while (arrived := lines.read()) is not None:
        for line in arrived:
            message = json.loads(line)
            if "report" in message:
                on_report(message["report"])
            elif "error" in message:
                raise unpack_error(message["error"])
            else:
                return message["result"]
    raise InconclusiveError(_GONE)


_GONE: Final = "the lab ended before it answered"
