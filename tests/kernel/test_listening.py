"""Whether anybody waits at a port."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from lab.kernel.listening import is_bound
from lab.kernel.sandbox import Sandbox

pytestmark = pytest.mark.kernel


def test_whoever_waits_is_found_and_leaves_with_the_socket(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    with sandbox.enter("a"):
        with ExitStack() as open_sockets:
            tcp = open_sockets.enter_context(socket.create_server(("127.0.0.1", 80)))
            udp = open_sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            udp.bind(("", 53))
            dual = open_sockets.enter_context(socket.create_server(("", 8080), family=socket.AF_INET6, dualstack_ipv6=True))
            assert [dual.family, tcp.family] == [socket.AF_INET6, socket.AF_INET]
            assert [is_bound("tcp", port) for port in (80, 53, 8080, 81)] == [True, False, True, False]
            assert [is_bound("udp", port) for port in (80, 53, 8080, 81)] == [False, True, False, False]
        assert not any(is_bound(*one) for one in (("tcp", 80), ("udp", 53), ("tcp", 8080)))  # type: ignore[arg-type]
