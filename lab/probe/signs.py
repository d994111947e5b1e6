"""Signs of life that no packet gives: what a kernel still holds for a probe of which nothing is heard.

A packet may wait for a neighbour's address, or behind a busy processor; a request, in the hands of a program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from lab.kernel.sandbox import Sandbox
from lab.kernel.stillness import queued

_TABLES: Final = Path("/proc/thread-self/net")
_CONNECTIONS: Final = ("tcp", "tcp6")
_OPEN: Final = frozenset({"01", "08"})
"""States of a connection that a server may answer by: established, or closed by its client alone (include/net/tcp_states.h)."""


class Signs(Protocol):
    """Who is asked before a probe is called lost."""

    def queued(self) -> bool:
        """Whether packets wait at some processor of this machine."""

    def asks(self, namespace: str) -> bool:
        """Whether a namespace waits for a neighbour's answer, though nobody saw it ask: a device without a carrier sends nothing."""

    def works(self, namespace: str, client: int, port: int) -> bool:
        """Whether the server at a port has something to see to: bytes it has not read, or a request from the client's port to answer."""


class NoSigns:
    """For where there is nobody to ask."""

    def queued(self) -> bool:
        """Nothing is known to wait."""
        return False

    def asks(self, namespace: str) -> bool:
        """Nobody is known to wait for a neighbour."""
        return False

    def works(self, namespace: str, client: int, port: int) -> bool:
        """Nobody is known to work."""
        return False


@dataclass(frozen=True, slots=True)
class KernelSigns:
    """What the kernel says of a lab's namespaces."""

    sandbox: Sandbox
    neighbours: Callable[[str], bool]
    """Tells whether a namespace waits for a neighbour's answer (`lab.kernel.engine.Engine.asks_for_neighbours`)."""

    def queued(self) -> bool:
        """Whether packets wait at some processor of this machine."""
        return queued()

    def asks(self, namespace: str) -> bool:
        """Whether a namespace waits for a neighbour's answer."""
        return self.neighbours(namespace)

    def works(self, namespace: str, client: int, port: int) -> bool:
        """Whether something waits at the server's port, or a connection from the client's is open and all that was sent by it has come.

        /proc/net/tcp and /proc/net/udp say so (Documentation/networking/proc_net_tcp.rst); what waits where one listens are connections.
        """
        with self.sandbox.enter(namespace):
            return any(
                local == port and (unread or (not unsent and remote == client and state in _OPEN and table in _CONNECTIONS))
                for table in (*_CONNECTIONS, "udp", "udp6")
                for local, remote, state, unsent, unread in _sockets(table)
            )


def _sockets(table: str) -> Iterator[tuple[int, int, str, int, int]]:
    """Yield of the sockets of a table local port, remote port, state, and how much waits to be acknowledged and to be read."""
    path = _TABLES / table
    if not path.exists():  # no IPv6 here
        return
    for line in path.read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        unsent, _, unread = queues.partition(":")
        yield _port(local), _port(remote), state, int(unsent, 16), int(unread, 16)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
