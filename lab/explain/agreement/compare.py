"""Build a network in the kernel and put the same questions to it and to the model."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal

from lab.explain.agreement.judge import Tally, judge
from lab.explain.agreement.observe import Ears
from lab.forwarding import Flow
from lab.forwarding.generate.shape import PORT
from lab.kernel.engine import Engine
from lab.kernel.handles import Namespaces
from lab.state import State


def compare(sandbox: Namespaces, state: State, flows: Sequence[Flow]) -> Tally:
    """Build a state, ask everything in turn, all in one version of IP, and compare.

    The namespaces stay, without what they learned of neighbours. A kernel keeps 1024 such entries for all its namespaces together
    (net.ipv4.neigh.default.gc_thresh3), and refuses more.
    """
    with Engine(sandbox) as engine:
        engine.apply(state)
        version: Literal[4, 6] = 6 if flows and flows[0].destination.version == 6 else 4
        with Ears(sandbox, state.namespaces, PORT, version) as ears:
            tally = judge(state, flows, lambda flow, is_expected: str(ears.ask(flow, is_expected)))
        engine.flush(connections=False, routes=False)
    return tally


class Part:
    """A part of a sandbox, for one of many networks in it: the names of its namespaces are its own.

    The kernel takes many namespaces away in one go far faster than one after the other, and while it does, nobody can build. So
    networks share a sandbox, and all end with it.
    """

    def __init__(self, sandbox: Namespaces, name: str) -> None:
        self._sandbox = sandbox
        self._prefix = f"{name}-"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The names of this part's namespaces, in the order they were added."""
        return tuple(name.removeprefix(self._prefix) for name in self._sandbox.namespaces if name.startswith(self._prefix))

    def add_namespace(self, name: str) -> int:
        """Make a network namespace; returns its descriptor."""
        return self._sandbox.add_namespace(self._prefix + name)

    def remove_namespace(self, name: str) -> None:
        """Let go of a network namespace."""
        self._sandbox.remove_namespace(self._prefix + name)

    def descriptor(self, name: str) -> int:
        """The descriptor of a network namespace."""
        return self._sandbox.descriptor(self._prefix + name)

    def enter(self, name: str) -> AbstractContextManager[None]:
        """Be in a network namespace for as long as the block lasts."""
        return self._sandbox.enter(self._prefix + name)

    def socket_in(self, name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Open a socket in a network namespace."""
        return self._sandbox.socket_in(self._prefix + name, family, kind, protocol)
