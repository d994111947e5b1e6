"""Try everything that anybody may want to do in a network, to be compared with another phase of it.

A service picks one of its backends at random for every connection. So it is tried until the pods of every node together have met each
backend that the service has: pods of one node go by the same rules of kube-proxy, and by the same routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import Final

from lab.probe import Outcome, Request
from lab.scenario.cast import Cast
from lab.scenario.compare import Flow, flows, signature
from lab.spec.values import Address

Probe = Callable[[Sequence[Request]], Sequence[Outcome]]

_ROUNDS: Final = 8
"""How often at most somebody goes back to a service of which he has not met every backend."""
_TRIES: Final = 2
"""Connections for each backend that is missing, in each of these rounds."""

Backend = Address | None
"""The address behind a service that a connection went to; None where no service chose one."""
Met = dict[Backend, str]
"""How a flow behaves, by the backend it went to."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Flows that shall go on being tried until one of them has met each of some backends."""

    flows: tuple[Flow, ...]
    missing: set[Backend]


@dataclass(slots=True)
class Survey:
    """How the flows of one phase behave."""

    cast: Cast
    probe: Probe
    probes: int = 0
    """How many were sent."""
    _met: dict[Flow, Met] = field(default_factory=dict)
    _groups: dict[Flow, tuple[Flow, ...]] = field(default_factory=dict)
    """By flow, those that go by the same rules, itself included."""

    def behaviour(self, before: Mapping[str, str] | None) -> dict[str, str]:
        """Try every flow, and say how each behaves. `before` is how they behaved in the phase that this one is compared with.

        A busy machine may lose one packet of hundreds that go at once. So what is silent, or differs from the phase before, is tried again
        with fewer beside it, and that counts.
        """
        everything = list(flows(self.cast))
        self._try(everything)
        together = self._grouped(everything)
        self._meet([_Wanted(group, self._unmet(group)) for group in together])
        found = {flow.name: self._in_words(flow) for flow in everything}
        doubtful = [f for f in everything if ("silence" in found[f.name] if before is None else found[f.name] != before.get(f.name))]
        self._meet([_Wanted((flow,), set(self._met[flow])) for flow in doubtful], each=1)
        return found | {flow.name: self._in_words(flow) for flow in doubtful}

    def _grouped(self, everything: Iterable[Flow]) -> list[tuple[Flow, ...]]:
        """Put together what pods of one node want of one service; everything else stays alone."""
        groups: dict[object, list[Flow]] = {}
        for flow in everything:
            key = (self.cast.node_of(flow.request.source), replace(flow.request, source="")) if flow.service is not None else flow
            groups.setdefault(key, []).append(flow)
        found = [tuple(group) for group in groups.values()]
        self._groups = {flow: group for group in found for flow in group}
        return found

    def _unmet(self, group: Iterable[Flow]) -> set[Backend]:
        """Return the backends that nobody of a group has met; none where no backend was chosen for anybody, and more would not be."""
        met = {backend for flow in group for backend in self._met[flow]}
        return set() if met == {None} else {backend for flow in group for backend in flow.backends if backend not in met}

    def _meet(self, wanted: Iterable[_Wanted], each: int = _TRIES) -> None:
        """Try flows until they have met what is wanted of them, but not those for which no backend is chosen, and not for ever."""
        for _ in range(_ROUNDS):
            wanted = [want for want in wanted if want.missing]
            if not wanted:
                return
            tries = [list(islice(cycle(want.flows), _number(want, each))) for want in wanted]
            for want, met in zip(wanted, self._by_try(tries), strict=True):
                if met == {None}:
                    want.missing.clear()
                else:
                    want.missing.difference_update(met, {None})

    def _by_try(self, tries: Sequence[Sequence[Flow]]) -> Iterator[set[Backend]]:
        """Send all tries at once, and yield what each list of them has met."""
        met = iter(self._try([flow for some in tries for flow in some]))
        for some in tries:
            yield set(islice(met, len(some)))

    def _try(self, some: Sequence[Flow]) -> list[Backend]:
        """Send a probe for each flow, at once, and return whom each has met. What comes of a later one counts."""
        self.probes += len(some)
        met: list[Backend] = []
        for flow, outcome in zip(some, self.probe([flow.request for flow in some]), strict=True):
            backend = _chosen(flow, outcome)
            met.append(backend)
            known = self._met.setdefault(flow, {})
            if backend is not None:
                known.pop(None, None)
            known[backend] = signature(flow, outcome, self.cast)
        return met

    def _in_words(self, flow: Flow) -> str:
        """Say how a flow behaves: by every backend that it or another pod of its node has met, where they differ."""
        met: Met = {}
        for other in (*self._groups[flow], flow):
            met |= self._met[other]
        if len(set(met.values())) == 1:
            return next(iter(met.values()))
        return "; ".join(sorted(f"{self._name(backend)}: {words}" for backend, words in met.items()))

    def _name(self, backend: Backend) -> str:
        owner = None if backend is None else self.cast.state.owner(backend)
        return owner.name if owner is not None else str(backend or "none chosen")


def _number(want: _Wanted, each: int) -> int:
    """Return how many connections are likely to meet the backends that are missing, of all that a service has."""
    return 1 if want.missing == {None} else max(each * len(want.missing), len(want.flows[0].backends))


def _chosen(flow: Flow, outcome: Outcome) -> Backend:
    """Return the backend that a connection was sent to: what its destination was translated to on the way."""
    return next((s.destination for s in outcome.sightings if s.part == "request" and s.destination in flow.backends), None)
