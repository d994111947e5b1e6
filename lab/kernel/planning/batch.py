"""A batch while it is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from lab.kernel.planning.steps import Phase, SendBatch, Verb
from lab.kernel.planning.wording import Object

T = TypeVar("T", bound=Object)
NamespaceIndexes = Mapping[str, int]


class Batch:
    """Messages to one namespace with what they are about."""

    def __init__(self, namespace: str, indexes: NamespaceIndexes) -> None:
        self.namespace = namespace
        self.indexes = indexes
        self._messages: list[bytes] = []
        self._runs: list[tuple[Verb, Sequence[Object]]] = []
        self._far_ends: list[tuple[int, str]] = []

    def one(self, verb: Verb, thing: Object, message: bytes) -> None:
        """Add a message about one object."""
        self._messages.append(message)
        self._runs.append((verb, (thing,)))

    def veth(self, thing: Object, message: bytes, far_namespace: str) -> None:
        """Add a message that creates a veth pair into another namespace."""
        self._far_ends.append((len(self._messages), far_namespace))
        self.one(Verb.ADD, thing, message)

    def many(self, verb: Verb, things: Sequence[T], encode: Callable[[T, NamespaceIndexes], bytes]) -> None:
        """Add a message for each of some objects."""
        if things:
            indexes = self.indexes
            self._messages += [encode(thing, indexes) for thing in things]
            self._runs.append((verb, things))

    def steps(self, phase: Phase) -> Iterator[SendBatch]:
        """The finished batch, unless it is empty."""
        if self._messages:
            yield SendBatch(self.namespace, phase, tuple(self._messages), tuple(self._runs), tuple(self._far_ends))
