"""Why an object of a state is there: which component put it, from which input, and so on down to a line of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.errors import Place


@dataclass(frozen=True, slots=True)
class Provenance:
    """One link of the chain from an object of the network state back to what a person wrote.

    `component` is who acted (``submariner route agent on c1-w1``), `reason` is from what input and by which rule
    (``Endpoint cluster-2, subnet 10.42.0.0/24``), `place` is set where the chain reaches a line of a file and
    `because` holds the links behind this one.
    """

    component: str
    reason: str
    place: Place | None = None
    because: tuple[Provenance, ...] = ()

    def chain(self) -> Iterator[Provenance]:
        """Yield this link and all links behind it, nearest first, each once."""
        seen: set[int] = set()
        waiting = [self]
        while waiting:
            link = waiting.pop(0)
            if id(link) not in seen:
                seen.add(id(link))
                yield link
                waiting.extend(link.because)

    def places(self) -> tuple[Place, ...]:
        """Return every file position the chain ends at, without repetition, nearest first."""
        return tuple(dict.fromkeys(link.place for link in self.chain() if link.place is not None))


UNKNOWN = Provenance("unknown", "read back from the kernel; nobody said why it is there")
"""The provenance of an object that was found rather than made."""
