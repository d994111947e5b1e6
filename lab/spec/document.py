"""A file's values, each with the position it was written at: what messages point to, however files are laid over one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.errors import Place

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its position."""

    place: Place
    content: Scalar | tuple[Node, ...] | Mapping[str, Node]
    keys: Mapping[str, Place] = field(default_factory=dict)
    """Of a mapping, the position of every key."""

    def plain(self) -> Plain:
        """Return the value without its positions."""
        if isinstance(self.content, Mapping):
            return {key: node.plain() for key, node in self.content.items()}
        if isinstance(self.content, tuple):
            return [node.plain() for node in self.content]
        return self.content

    def member(self, part: str | int) -> Node | None:
        """Return the value of a key or the entry of an index, or None where there is none."""
        if isinstance(self.content, Mapping):
            return self.content.get(part) if isinstance(part, str) else None
        if isinstance(self.content, tuple) and isinstance(part, int) and 0 <= part < len(self.content):
            return self.content[part]
        return None


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. `root` may hold parts of other files, which keep their places."""

    file: str
    root: Node

    def place(self, *path: str | int) -> Place:
        """Return the position of the value at `path`, or of the nearest value around it."""
        return self._walk(path)[0].place

    def key_place(self, *path: str | int) -> Place:
        """Return the position of the key of the entry at `path`, or of the nearest value around it."""
        around = self.node(*path[:-1]) if path else None
        key = around.keys.get(str(path[-1])) if around is not None else None
        return key or self.place(*path)

    def node(self, *path: str | int) -> Node | None:
        """Return the value at `path`, or None where there is none."""
        node, depth = self._walk(path)
        return node if depth == len(path) else None

    def _walk(self, path: Path) -> tuple[Node, int]:
        """Return the deepest value on the way to `path`, and how far it is."""
        node = self.root
        for depth, part in enumerate(path):
            inner = node.member(part)
            if inner is None:
                return node, depth
            node = inner
        return node, len(path)
