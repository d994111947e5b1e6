"""A network that notes what the fate of a packet rests on: which namespaces it came by, and what their routing tables were asked."""

from __future__ import annotations

from typing import TypeAlias

from lab.forwarding.conversation import Conversation, trace
from lab.forwarding.fib import Fib, Journal
from lab.forwarding.flow import Flow
from lab.forwarding.memory import Memory
from lab.forwarding.network import Network, Node
from lab.forwarding.rules import Version
from lab.state import Namespace, State

Tables: TypeAlias = tuple[str, Version]
"""The routing tables of a namespace for a version of IP."""


class WatchedNetwork(Network):
    """A network that notes which of its namespaces were looked at, and what their routing tables were asked."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.came_by: set[str] = set()
        self._journals: dict[Tables, Journal] = {}

    def node(self, name: str) -> Node:
        """Return a namespace, and note it."""
        self.came_by.add(name)
        if name not in self._nodes and name in self.state.namespaces:
            self._nodes[name] = _WatchedNode(self.state[name], self, self._journals)
        return super().node(name)

    def watched(self, flow: Flow) -> tuple[Conversation, frozenset[str], dict[Tables, Journal]]:
        """Trace a conversation; return it with the namespaces looked at and their tables' journals."""
        self.came_by = set()
        for journal in self._journals.values():
            journal.queries, journal.kinds = set(), set()
        found = trace(self, flow, memory=Memory())
        journals = {tables: Journal(j.queries, j.kinds) for tables, j in self._journals.items() if j.queries or j.kinds}
        return found, frozenset(self.came_by), journals


class _WatchedNode(Node):
    def __init__(self, namespace: Namespace, network: Network, journals: dict[Tables, Journal]) -> None:
        super().__init__(namespace, network)
        self._journals = journals

    def make_fib(self, version: Version) -> Fib:
        """Return the tables of a version of IP, which note what they are asked."""
        made = super().make_fib(version)
        made.journal = self._journals[self.namespace.name, version] = Journal()
        return made
