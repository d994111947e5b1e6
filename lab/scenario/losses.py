"""The kinds of loss a stage knows, each told by the one of its probes that expectations speak of most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lab.errors import Place
from lab.explain.cause import explain
from lab.explain.evidence import Testimony
from lab.forwarding import Network
from lab.probe import Outcome
from lab.scenario.questions import Question
from lab.scenario.result import Lost
from lab.scenario.stage import RunningLab
from lab.scenario.witness import heard_about


@dataclass(frozen=True, slots=True)
class Asked:
    """A probe, what came of it, and the expectation that asked."""

    question: Question
    outcome: Outcome
    place: Place
    because: str | None


def losses(lab: RunningLab, network: Network, asked: Iterable[Asked]) -> Iterator[Lost]:
    """Yield every kind of loss among the probes of a stage, in the order of the expectations, with what all witnesses say of one of them.

    Probes are of one kind when a packet of the same part was lost at the same place, or the same router complained. `network` is what the
    kernel held.
    """
    everything = list(asked)
    spoken_of = Counter(one.outcome.request for one in everything)
    kinds: dict[tuple[str, ...], list[Asked]] = {}
    for one in everything:
        if one.outcome.result != "reply" and one.question.target is not None:
            kinds.setdefault(_kind(one.outcome), []).append(one)
    for alike in kinds.values():
        chosen = max(alike, key=lambda one: spoken_of[one.outcome.request])
        witnesses = heard_about(lab, network, chosen.outcome)
        target = chosen.question.target
        if witnesses is not None and target is not None:
            different = {one.outcome.request: None for one in alike}
            why = explain(network, witnesses.outcome, Testimony(ask=lab.engine.route_get), witnesses.conversation)
            yield Lost(chosen.outcome.request.source, target.name, chosen.place, chosen.because, witnesses, why, len(different))


def _kind(outcome: Outcome) -> tuple[str, ...]:
    loss, icmp = outcome.loss, outcome.icmp
    if loss is not None:
        return outcome.result, loss.part, loss.interface
    return outcome.result, type(outcome.request).__name__, str(icmp.source) if icmp is not None else ""
