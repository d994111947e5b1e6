"""How long packets may wait in a network whose links delay or slow them: nobody who hears nothing of one meanwhile may call it lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.state import Impairment, State
from lab.state.commands.links import QUEUE_MS

MS = 1_000_000
AGAIN = 2_000 * MS
"""How much longer a connection may be silent that loses packets: TCP waits twice as long before each time it sends one again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """By how much longer a packet may be heard nothing of, in nanoseconds."""

    at: dict[str, int] = field(default_factory=dict)
    """On its way out of a namespace."""
    altogether: int = 0
    """On the whole way of a connection's packets, there and back."""

    def here(self, namespace: str) -> int:
        """Return how long a packet may not be seen after it came to a namespace.

        The question for a neighbour waits as it does itself, and the answer to that may wait anywhere.
        """
        held = self.at.get(namespace, 0)
        return held + sum(self.at.values()) if held else 0

    @classmethod
    def of(cls, state: State) -> Waiting:
        """Return how long packets may wait in a state."""
        impaired = [(namespace.name, link.impairment) for namespace in state for link in namespace.links if link.impairment is not None]
        at: dict[str, int] = {}
        for name, impairment in impaired:
            at[name] = max(at.get(name, 0), _held(impairment))
        lossy = any(impairment.loss or impairment.corruption for _, impairment in impaired)
        return cls({name: held for name, held in at.items() if held}, sum(at.values()) + (AGAIN if lossy else 0))


def _held(impairment: Impairment) -> int:
    return (impairment.delay + (QUEUE_MS if impairment.rate else 0)) * MS
