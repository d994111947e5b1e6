"""What a check of a scenario looks at: the file, the names of its topology, and who is there at this point of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lab.errors import InputError, Place, did_you_mean, quoted
from lab.spec.document import Path
from lab.spec.load import Loaded
from lab.spec.scenario import Scenario
from lab.spec.selectors import Names
from lab.spec.topology import Topology

Mistakes = Iterator[InputError]


@dataclass(frozen=True, slots=True)
class Scene:
    """A point of a scenario. `gone` are the nodes that are absent there."""

    loaded: Loaded[Scenario]
    topology: Topology
    names: Names
    gone: frozenset[str] = frozenset()

    def place(self, path: Path) -> Place:
        """Return where something stands in the scenario's file."""
        return self.loaded.place(*path)

    def is_gone(self, name: str) -> bool:
        """Whether a namespace is not there: an absent node, or a pod of one."""
        return self.names.hosted.get(name, name) in self.gone

    def known(self, what: str, name: str, known: Iterable[str], path: Path) -> Mistakes:
        """Yield a mistake when a name is none of the known ones."""
        names = list(known)
        if name not in names:
            yield InputError(f"there is no {what} {quoted(name)}", place=self.place(path), hint=did_you_mean(name, names, what))

    def present(self, node: str, path: Path) -> Mistakes:
        """Yield a mistake when a node is absent."""
        if node in self.gone:
            yield InputError(f"{node!r} is not there in this phase", place=self.place(path), hint=_bring(node))

    def selected(self, patterns: tuple[str, ...], path: Path, first: int = 0) -> Mistakes:
        """Yield a mistake for every pattern that means nobody, or nobody who is there; `first` is the index of the first of them."""
        for index, pattern in enumerate(patterns, first):
            try:
                matches = self.names.expand((pattern,), self.place((*path, index)))
            except InputError as error:
                yield error
            else:
                yield from self.anybody(pattern, matches, (*path, index))

    def probed(self, patterns: tuple[str, ...], path: Path) -> Mistakes:
        """Yield a mistake for every pattern that means nobody who is there and has an address."""
        for index, pattern in enumerate(patterns):
            mistakes = list(self.selected((pattern,), path, first=index))
            yield from mistakes or self.no_switch(pattern, (*path, index))

    def no_switch(self, pattern: str, path: Path) -> Mistakes:
        """Yield a mistake when a pattern means switches alone."""
        if self.names.switches.issuperset(self.names.expand((pattern,))):
            yield InputError(f"{quoted(pattern)} means a switch, which has no address", place=self.place(path))

    def anybody(self, pattern: str, matches: tuple[str, ...], path: Path) -> Mistakes:
        """Yield a mistake when nobody of those that a pattern means is there."""
        if matches and all(self.is_gone(name) for name in matches):
            missing = self.names.hosted.get(matches[0], matches[0])
            yield InputError(f"nobody that {quoted(pattern)} means is there in this phase", place=self.place(path), hint=_bring(missing))

    def all_present(self, patterns: tuple[str, ...], path: Path) -> Mistakes:
        """Yield a mistake for every pattern that means somebody who is not there."""
        for index, pattern in enumerate(patterns):
            try:
                gone = [name for name in self.names.expand((pattern,)) if self.is_gone(name)]
            except InputError:  # said by `selected`
                continue
            if gone:
                place = self.place((*path, index))
                yield InputError(
                    f"{quoted(pattern)} means {gone[0]!r} too, which is not there in this phase", place=place, hint=_bring(gone[0])
                )


def _bring(node: str) -> str:
    return f"it is `absent`, and no `node_added` brought it: - node_added: {{node: {node}}}"
