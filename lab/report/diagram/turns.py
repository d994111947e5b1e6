"""Which way a packet goes: onward, back to where it has been, or round and round for as long as it lives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lab.forwarding import Trace
from lab.state import State

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loop:
    """Where a packet goes round."""

    namespaces: tuple[str, ...]
    """One round, from where it begins."""
    rounds: int

    @property
    def text(self) -> str:
        """The round, and how often it is made."""
        return f"{' → '.join((*self.namespaces, self.namespaces[0]))}, {self.rounds} rounds"


@dataclass(frozen=True, slots=True)
class Course:
    """What of a trace is drawn: every visit, but of rounds that are alike only the first, and what follows the last."""

    visits: tuple[int, ...]
    """Numbers of hops of the trace."""
    backward: tuple[tuple[bool, bool], ...]
    """For each visit, whether the packet comes to it, and goes from it, against the direction of its way."""
    loop: Loop | None = None
    again: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """By a visit of the round that is drawn, the same visit in the rounds that are not."""


def course(state: State, trace: Trace, *, forward: bool, column: Mapping[str, int] | None = None) -> Course:
    """Return the course of a packet whose way leads from left to right (`forward`) or back.

    `column` says where the namespaces stand; without it, each is taken to stand beyond those that were visited before.
    """
    way = trace.way
    start, period, rounds = _rounds([(trace.hops[n].namespace, trace.hops[n].arrived_by, trace.hops[n].left_by) for n in way])
    loop, again = None, {}
    if rounds > 1:
        names = [trace.hops[n].namespace for n in way[start : start + period] if state[trace.hops[n].namespace].role != "switch"]
        loop = Loop(tuple(dict.fromkeys(names)), rounds)
        again = {way[n]: tuple(way[n + period * number] for number in range(1, rounds)) for n in range(start, start + period)}
        way = (*way[: start + period], *way[start + rounds * period :])
    names = [trace.hops[n].namespace for n in way]
    hosts = [None if state[name].role == "switch" else name for name in names]
    return Course(way, tuple(_directions(hosts, forward, column)), loop, again)


def _rounds(keys: Sequence[T]) -> tuple[int, int, int]:
    """Return where the first cycle in a sequence begins, how long it is, and how often it is gone through; (0, 0, 0) without one."""
    last: dict[T, int] = {}
    for at, key in enumerate(keys):
        if key in last:
            start, period, count = last[key], at - last[key], 1
            while keys[start + count * period : start + (count + 1) * period] == keys[start:at]:
                count += 1
            if count > 1:
                return start, period, count
        last[key] = at
    return 0, 0, 0


def _directions(hosts: Sequence[str | None], forward: bool, column: Mapping[str, int] | None) -> Iterator[tuple[bool, bool]]:
    """Yield for each visit whether it is reached, and left, backwards. None is a switch, which is crossed as the packet comes."""
    order: dict[str, int] = {}
    for host in hosts:
        if host is not None:
            order.setdefault(host, len(order))
    ahead = 1
    if column is not None and all(name in column for name in order):
        order, ahead = {name: column[name] for name in order}, 1 if forward else -1
    into, here = False, None
    for number, host in enumerate(hosts):
        out = into
        if host is not None:
            here = host
            following = next((name for name in hosts[number + 1 :] if name is not None), here)
            if order[following] != order[here]:
                out = (order[following] - order[here]) * ahead < 0
        yield into, out
        into = out
