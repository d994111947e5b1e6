"""What is left to chance: the hash of ECMP, a random number of a rule set. Every way it can go is a world of its own.

The model runs straight on and asks a `Chooser` wherever the kernel would draw lots. Running it again with another script
of answers, until no answer is left untried, visits every world: a depth-first search without copying anything.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

WORLDS = 64
"""How many worlds are looked at before the rest is called unknown."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One lot that was drawn: where, among how many, which, and what that means."""

    what: str
    options: int
    taken: int
    meaning: str = ""


class Chooser:
    """Answers from a script as long as it lasts, then with the first option; remembers what it was asked."""

    __slots__ = ("_known", "_script", "made")

    def __init__(self, script: tuple[int, ...] = ()) -> None:
        self._script = script
        self._known: dict[Hashable, int] = {}
        self.made: list[Choice] = []

    def choose(self, key: Hashable, what: str, meanings: tuple[str, ...]) -> int:
        """Return the number of an option. The same key gets the same answer: a flow keeps its hash."""
        if key in self._known:
            return self._known[key]
        position = len(self.made)
        taken = self._script[position] if position < len(self._script) else 0
        self.made.append(Choice(what, len(meanings), taken, meanings[taken]))
        self._known[key] = taken
        return taken

    def next_script(self) -> tuple[int, ...] | None:
        """Return the script of the next world, or None when this was the last."""
        for position in range(len(self.made) - 1, -1, -1):
            choice = self.made[position]
            if choice.taken + 1 < choice.options:
                return (*(c.taken for c in self.made[:position]), choice.taken + 1)
        return None


def worlds(run: Callable[[Chooser], T], limit: int = WORLDS) -> Iterator[tuple[T, bool]]:
    """Run `run` once for each way chance can go; yield its result and whether the search had to stop there."""
    script: tuple[int, ...] | None = ()
    count = 0
    while script is not None:
        chooser = Chooser(script)
        result = run(chooser)
        script = chooser.next_script()
        count += 1
        stopped = script is not None and count >= limit
        yield result, stopped
        if stopped:
            return
