"""Asking a kernel comes to an end whatever the other side does."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address
from threading import Thread
from typing import Any

import pytest

from lab.explain.agreement.observe import Ears
from lab.forwarding import Flow
from lab.kernel.engine import Engine
from lab.kernel.sandbox import run_in_sandbox
from lab.state import StateBuilder, complete

PORT, RUDE = 5000, 6000


@pytest.mark.kernel
@pytest.mark.parametrize(("abruptly", "noticed"), [(True, "refused source=127.0.0.1"), (False, "silence")])
def test_a_connection_that_the_other_side_ends_at_once_is_over(abruptly: bool, noticed: str) -> None:
    builder = StateBuilder()
    builder.add_namespace("a")
    state = complete(builder.freeze())

    def end_at_once(listener: socket.socket) -> None:
        made, _ = listener.accept()
        made.recv(1 << 16)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(abruptly), 0))
        made.close()

    def inside(sandbox: Any, report: object) -> str:
        with Engine(sandbox) as engine:
            engine.apply(state)
        with sandbox.socket_in("a", socket.AF_INET, socket.SOCK_STREAM) as listener, Ears(sandbox, state.namespaces, PORT) as ears:
            listener.bind(("127.0.0.1", RUDE))
            listener.listen()
            ending = Thread(target=end_at_once, args=(listener,))
            ending.start()
            heard = str(ears.ask(Flow("a", IPv4Address("127.0.0.1"), "tcp", RUDE, 20_000)))
            ending.join()
            return heard

    assert run_in_sandbox(inside) == noticed
