"""What would cure a loss, where the lab knows it: the check that compares what was detected with what is in use names the flag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from lab.cluster.diagnose import DETECTED_RANGES, diagnose
from lab.explain.explanation import Responsible
from lab.state import State

_OPERATOR: Final = re.compile(r"submariner operator of (\S+)")
_DISCOVERED: Final = re.compile(r"discovered (\S+)")
_CURE: Final = re.compile(r"join again with (.*)")


def remedies(state: State, objects: Iterable[Responsible]) -> Iterator[str]:
    """Yield the commands that cure what these objects come from, each once."""
    links = [link for thing in objects for link in thing.chain]
    pairs = ((_OPERATOR.search(link.component), _DISCOVERED.match(link.reason)) for link in links)
    for cluster, network in dict.fromkeys((operator[1], found[1]) for operator, found in pairs if operator and found):
        for result in diagnose(state, cluster):
            wrong = result.name == DETECTED_RANGES and result.status == "fail" and network in result.reason
            cure = _CURE.search(result.reason) if wrong else None
            if cure is not None:
                yield f"subctl join {cure[1]} in {cluster}, and restart the gateways and route agents of both clusters"
