"""A lab that outlives the command that started it, and answers requests until it is stopped (`lab.kernel.registry`)."""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from lab.errors import InputError, LabError, did_you_mean
from lab.kernel.control import JSON, Lines, address_of, pack_error, peer_of, send_line
from lab.kernel.guest import FOLDER, furnish_for_guests
from lab.kernel.launch import complete_standard_descriptors, launch, silence
from lab.kernel.messages import Returned, Said
from lab.kernel.sandbox import Report, Sandbox, ignore, open_sandbox

Operation: TypeAlias = Callable[[Mapping[str, JSON], Report], JSON]
"""Answers a request: from its arguments to its result, both as JSON, with reports on the way. It refuses by a LabError."""
Prepare: TypeAlias = Callable[[Sandbox, Report], Mapping[str, Operation]]

_PATIENCE: Final = 10.0
"""Seconds for which a client may let its answer wait to be read, while others wait for theirs."""
_LONGEST_OF_GUESTS: Final = 1 << 16


def hold(name: str, prepare: Prepare, *, guests: Collection[str] | None = None, on_report: Report = ignore) -> None:
    """Start a lab called `name` that runs in the background until it is stopped.

    `prepare` builds it, in the sandbox, and returns the operations it offers. This returns when it is built. Until then it is tied to this
    process, so that an interrupted start leaves nothing; from then on to nothing. Requests are answered one at a time. The lab takes
    `guests` (`lab.kernel.guest`) where operations are named that they may ask for.

    Raises what `prepare` raises, InputError when a lab of this user has the name already, and what `run_in_sandbox` raises.
    """
    complete_standard_descriptors()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(address_of(os.geteuid(), name))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise InputError(f"a lab {name!r} is running already", hint=f"lab down {name} ends it") from error
        front = launch(
            lambda messages, rootless: _build_and_serve(prepare, listener, guests, messages, rootless=rootless), outlive=listener
        )
    try:
        front.receive(on_report)
        front.let_go()
    finally:
        front.close()


def _build_and_serve(
    prepare: Prepare, listener: socket.socket, guests: Collection[str] | None, messages: Connection, *, rootless: bool
) -> None:
    sandbox = open_sandbox(rootless=rootless)
    if guests is not None:
        furnish_for_guests()
    operations = prepare(sandbox, lambda message: messages.send(Said(message)))
    doors = [Door(listener, operations)]
    if guests is not None:
        doors.append(Door(_door_for_guests(), {name: operations[name] for name in guests}, _LONGEST_OF_GUESTS))
    messages.send(Returned(None))
    messages.close()
    silence()
    serve(doors)


def _door_for_guests() -> socket.socket:
    """A socket with a path: unlike an abstract one it is reached from every network namespace, and from nowhere but the lab."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(FOLDER / "control"))
    door.listen()
    return door


@dataclass(frozen=True, slots=True)
class Door:
    """A socket that listens, and what may be asked for there."""

    listener: socket.socket
    operations: Mapping[str, Operation]
    longest: int | None = None
    """Bytes of a request; whoever sends more is not heard any more."""


def serve(doors: Sequence[Door]) -> None:
    """Answer requests for ever: those of processes of the lab's owner; others are not heard."""
    selector = selectors.DefaultSelector()
    for door in doors:
        selector.register(door.listener, selectors.EVENT_READ, door)
    while True:
        for key, _ in selector.select():
            if isinstance(key.data, Door):
                client, _ = key.data.listener.accept()
                # Seen from inside, the owner is uid 0: as root, or as the one uid that the user namespace maps.
                if peer_of(client).uid == os.geteuid():
                    client.settimeout(_PATIENCE)
                    selector.register(client, selectors.EVENT_READ, (Lines(client, key.data.longest), key.data.operations))
                else:
                    client.close()
            elif isinstance(key.fileobj, socket.socket) and not _answer_all(key.fileobj, *key.data):
                selector.unregister(key.fileobj)
                key.fileobj.close()


def _answer_all(client: socket.socket, lines: Lines, operations: Mapping[str, Operation]) -> bool:
    """Answer the requests that have arrived from a client; whether it is still there."""
    arrived = lines.read()
    for line in arrived or ():
        _tell(client, _answer(line, operations, lambda message: _tell(client, {"report": message})))
    return arrived is not None


def _tell(client: socket.socket, message: Mapping[str, JSON]) -> None:
    """Send a client something, or hang up when it does not listen any more: what it asked for is done to the end all the same."""
    try:
        send_line(client, message)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _answer(line: bytes, operations: Mapping[str, Operation], report: Report) -> dict[str, JSON]:
    """Answer one request. A mistake in one operation must not end the lab that a person has open, so it becomes the answer."""
    try:
        request = json.loads(line)
        operation, arguments = str(request["operation"]), dict(request["arguments"])
    except (ValueError, TypeError, KeyError):
        return {"error": pack_error(InputError("not a request: expected a JSON object with 'operation' and 'arguments'"))}
    if operation not in operations:
        return {"error": pack_error(InputError(f"this lab knows no {operation!r}", hint=did_you_mean(operation, sorted(operations))))}
    try:
        result = operations[operation](arguments, report)
        json.dumps(result)
    except LabError as error:
        return {"error": pack_error(error)}
    except Exception:  # noqa: BLE001 - see above; the traceback goes to whoever asked
        return {"error": pack_error(LabError(f"{operation} failed inside the lab:\n{traceback.format_exc()}"))}
    return {"result": result}
