"""What comes of a compiled nft statement: it lets the rule go on (None), ends the rule (`BREAK`), or decides: a verdict or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.unknown import Undecided
from lab.state.nft import Reject, Verdict


@dataclass(frozen=True, slots=True)
class Break:
    """The rule does not apply to this packet."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The rule rejects the packet."""

    reject: Reject


@dataclass(frozen=True, slots=True)
class Lost:
    """The statement had to give the packet up: masquerade without an address."""

    why: str


BREAK: Final = Break()
"""The only one there is."""
Outcome = None | Break | Verdict | Refuse | Lost
Execute = Callable[[Transit], Outcome]
"""A statement, compiled."""


def undecided(why: str, subject: object) -> Execute:
    """Return a statement of which nobody can tell what it does."""

    def ask(t: Transit) -> Outcome:
        raise Undecided(why, subject)

    return ask
