"""What works in each combination of a sweep, by the model alone; what was found out for one is kept for those that are like it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from ipaddress import IPv4Address
from multiprocessing import get_all_start_methods, get_context

from lab.errors import InputError
from lab.explain.prediction import flow_of
from lab.forwarding import Flow
from lab.forwarding.alike import Lookalikes
from lab.forwarding.watched import WatchedNetwork
from lab.scenario.sweep import DETECTED, SIDE, Combination, Swept
from lab.scenario.truth import Count, Row, kinds_of_flows
from lab.state import State


def predicted_rows(swept: Swept, todo: Sequence[Combination], workers: int) -> Iterator[Row]:
    """Yield what works in each combination, in any order, by so many processes."""
    # What shares a topology shares most, so each process takes a run of those.
    ordered = sorted(todo, key=lambda one: tuple(value for key, value in one.values.items() if key not in (DETECTED, SIDE)))
    size = -(-len(ordered) // workers)
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    if len(parts) == 1 or "fork" not in get_all_start_methods():
        predictor = Predictor(swept)
        yield from map(predictor.row, ordered)
        return
    with ProcessPoolExecutor(len(parts), mp_context=get_context("fork")) as pool:
        for rows in pool.map(partial(_predict, swept), parts):
            yield from rows


def _predict(swept: Swept, part: Sequence[Combination]) -> list[Row]:
    return list(map(Predictor(swept).row, part))


class Predictor:
    """Asks the model about one combination after the other.

    The fate of a packet rests on the namespaces it came by. Where a later combination has the same there, or what no packet can tell
    from it, the answer is the same, exactly and not by estimate.
    """

    def __init__(self, swept: Swept) -> None:
        self._swept = swept
        self._lookalikes = Lookalikes()
        self._answers: dict[Flow, dict[tuple[str, ...], dict[tuple[int, ...], bool | None]]] = {}
        """For each flow, by the namespaces it came by: the kinds of these, and whether it works; None is unknown."""

    def row(self, combination: Combination) -> Row:
        """Return what works in a combination."""
        try:
            state = self._swept.state(combination)
        except InputError as error:
            return Row(combination, {}, error.message)
        flows = list(_flows(state))
        kinds = self._lookalikes.kinds(state, [flow.destination for _, flow in flows if isinstance(flow.destination, IPv4Address)])
        network = WatchedNetwork(state)
        found: dict[str, list[bool | None]] = {}
        for kind, flow in flows:
            known = self._answers.setdefault(flow, {})
            for names, answers in known.items():
                key = kinds.among(names)
                if key in answers:
                    break
            else:
                said, came_by, _ = network.watched(flow)
                names = tuple(sorted(came_by))
                key = kinds.among(names)
                decided = not said.incomplete and all(world.outcome.kind != "unknown" for world in said.worlds)
                answers = known.setdefault(names, {})
                answers[key] = said.must if decided else None
            found.setdefault(kind, []).append(answers[key])
        return Row(combination, {kind: Count.of(answers) for kind, answers in found.items()})


def _flows(state: State) -> Iterator[tuple[str, Flow]]:
    for kind, request in kinds_of_flows(state):
        flow = flow_of(request)
        assert flow is not None
        yield kind, flow
