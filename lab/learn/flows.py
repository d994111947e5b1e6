"""Everything that anybody may want to do in a network: what must work after a repair as it did before the fault, and what must not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.probe import PingRequest, Request, TcpRequest
from lab.scenario.cast import Cast
from lab.scenario.compare import flows as pod_flows
from lab.scenario.stage import RunningLab


@dataclass(frozen=True, slots=True)
class Collateral:
    """What a repair did to others."""

    broken: tuple[str, ...] = ()
    """Flows that worked in the healthy network, and do not."""
    opened: tuple[str, ...] = ()
    """Flows that did not work in the healthy network, and do."""


def every_flow(cast: Cast) -> dict[str, Request]:
    """Return a ping and a connection to every listener for every pair of namespaces with addresses, both ways, and all services."""
    found = {flow.name: flow.request for flow in pod_flows(cast)}
    names = cast.probed(("*",))
    return found | {
        name: request for source in names for target in names if source != target for name, request in _between(source, target, cast)
    }


def _between(source: str, target: str, cast: Cast) -> Iterator[tuple[str, Request]]:
    address = cast.address(target)
    yield f"ping {source} -> {target}", PingRequest(source, address)
    for listener in cast.state[target].listeners:
        if listener.protocol == "tcp" and listener.address is None:
            yield f"tcp/{listener.port} {source} -> {target}", TcpRequest(source, address, listener.port)


def what_works(lab: RunningLab, flows: Mapping[str, Request], expected: Collection[str] | None = None) -> frozenset[str]:
    """Send a probe for every flow, all at once, and return those that were answered.

    What was not answered is tried once more, where it was `expected` to be: a busy machine may lose a packet (netdev_max_backlog), and
    nobody is blamed for that.
    """
    answered = _answered(lab, flows)
    again = {name: request for name, request in flows.items() if name not in answered and (expected is None or name in expected)}
    return answered | _answered(lab, again) if again else answered


def _answered(lab: RunningLab, flows: Mapping[str, Request]) -> frozenset[str]:
    outcomes = lab.probe(list(flows.values()))
    return frozenset(name for name, outcome in zip(flows, outcomes, strict=True) if outcome.result == "reply")


def collateral(healthy: frozenset[str], now: frozenset[str], flows: Sequence[str]) -> Collateral:
    """Compare what works now with what worked in the healthy network."""
    return Collateral(
        tuple(name for name in flows if name in healthy and name not in now),
        tuple(name for name in flows if name in now and name not in healthy),
    )
