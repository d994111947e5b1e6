"""A comparison tries a service until every backend was met, however chance has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import pytest

from lab.probe import Outcome, Request, TcpRequest, UdpRequest
from lab.scenario.cast import Cast
from lab.scenario.compare import Flow, compare_behaviour, flows
from lab.scenario.phases import compile_stage, find_stage
from lab.scenario.play import run_scenario
from lab.scenario.survey import Survey
from lab.spec import open_scenario
from lab.spec.values import Address
from tests.scenario.outcomes import cast, lost_at, sighting, tcp

Answers = Callable[[Request, Address | None], str]
SEEDS = range(20)


@cache
def services() -> dict[Request, Flow]:
    """The flows that go through a service, by what is sent."""
    return {flow.request: flow for flow in flows(cast("healthy")) if flow.service is not None}


class Network:
    """A network that picks a backend for every connection at random, as the kernel does."""

    def __init__(self, seed: int, answers: Answers, *, chooses: bool = True) -> None:
        self.random, self.answers, self.chooses = Random(seed), answers, chooses
        self.sent: list[int] = []

    def probe(self, requests: Sequence[Request]) -> list[Outcome]:
        self.sent.append(len(requests))
        return [self.outcome(request) for request in requests]

    def outcome(self, request: Request) -> Outcome:
        flow = services().get(request)
        if flow is None:
            return replace(tcp(), request=request)
        backend = self.random.choice(flow.backends) if self.chooses else None
        assert isinstance(request, TcpRequest)
        seen = (sighting(f"{request.source}:eth0")._replace(destination=request.target),)
        if backend is not None:
            seen += (sighting("c1-w1:eth0", time=9)._replace(destination=backend),)
        if self.answers(request, backend) == "reply":
            return replace(tcp(sightings=seen), request=request)
        return replace(tcp("silence", **(lost_at("c1-w1:eth0") | {"sightings": seen})), request=request)


def surveyed(network: Network, before: dict[str, str] | None = None) -> dict[str, str]:
    return Survey(cast("healthy"), network.probe).behaviour(before)


def everything_answers(request: Request, backend: Address | None) -> str:
    return "reply"


def dead(of: str, *, service: str, asked_from: str | None = None) -> Answers:
    """One backend of a service that nobody reaches through it, or nobody of one node; pings and the other backends are well."""
    address = cast("healthy").address(of)

    def answers(request: Request, backend: Address | None) -> str:
        here: Cast = cast("healthy")
        through = services()[request].name.endswith(f"service/{service}")
        affected = asked_from in (None, here.node_of(request.source))
        return "silence" if backend == address and through and affected else "reply"

    return answers


def test_a_flow_knows_every_address_behind_its_service() -> None:
    here = cast("healthy")
    nginx = next(flow for flow in services().values() if flow.name == "tcp c1-w1-a -> service/nginx")
    assert isinstance(nginx.request, TcpRequest)
    assert set(nginx.backends) == {here.address(name) for name in here.names.hosted if name in ("c2-gw-a", "c2-w1-a", "c2-w2-a")}
    assert all(flow.backends == () for flow in flows(here) if flow.service is None)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_single_dead_backend_shows_from_every_node_that_asks(seed: int) -> None:
    healthy = surveyed(Network(seed, everything_answers))
    broken = surveyed(Network(seed + 1000, dead("c2-w1-a", service="nginx")), healthy)
    same = compare_behaviour(("healthy", healthy), ("broken", broken))
    assert {difference.flow for difference in same.differences} == {flow.name for flow in services().values() if "nginx" in flow.name}
    assert all("c2-w1-a: silence" in difference.after for difference in same.differences)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_that_only_one_node_does_not_reach_shows_there_alone(seed: int) -> None:
    healthy = surveyed(Network(seed, everything_answers))
    broken = surveyed(Network(seed + 1000, dead("c2-w1-a", service="nginx", asked_from="c1-w1")), healthy)
    same = compare_behaviour(("healthy", healthy), ("broken", broken))
    here = cast("healthy")
    asked = {flow.name for flow in services().values() if "nginx" in flow.name and here.node_of(flow.request.source) == "c1-w1"}
    assert {difference.flow for difference in same.differences} == asked


@pytest.mark.parametrize("seed", SEEDS)
def test_one_that_is_dead_in_both_phases_is_no_difference(seed: int) -> None:
    first = surveyed(Network(seed, dead("c2-w1-a", service="nginx")))
    second = surveyed(Network(seed + 1000, dead("c2-w1-a", service="nginx")), first)
    assert compare_behaviour(("one", first), ("two", second)).differences == ()


def test_a_packet_that_was_lost_once_is_no_behaviour() -> None:
    lost: set[Request] = set()

    def answers(request: Request, backend: Address | None) -> str:
        first_time = request not in lost
        lost.add(request)
        return "silence" if first_time else "reply"

    found = surveyed(Network(1, answers))
    assert {found[flow.name] for flow in services().values()} <= {
        "reply",
        "reply, seen as another address",
        "reply, seen as the sender's own address",
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_it_takes_few_probes_more_where_everything_is_well(seed: int) -> None:
    network = Network(seed, everything_answers)
    surveyed(network)
    assert network.sent[0] == len(list(flows(cast("healthy"))))
    assert sum(network.sent[1:]) < 8 * len(services())


def test_nobody_asks_again_for_backends_where_none_is_chosen() -> None:
    """Errors of routing are told a few times a second at most, so that many questions more would find silence."""
    network = Network(1, lambda request, backend: "silence", chooses=False)
    surveyed(network)
    assert network.sent == [len(list(flows(cast("healthy")))), len(services())], "everything, and what was silent once more"


def test_a_service_over_udp_is_asked_over_udp() -> None:
    scenario, topology = open_scenario("k8s-48370")
    state = compile_stage(topology, scenario, find_stage(scenario.model, "healthy"))
    asked = [flow for flow in flows(Cast.of(state, topology.model)) if flow.service is not None]
    assert {flow.name for flow in asked if "names" in flow.name} == {f"udp pod-{number} -> service/names" for number in (1, 2, 3)}
    assert all(isinstance(flow.request, UdpRequest) and flow.request.port == 53 for flow in asked if "names" in flow.name)
    assert all(isinstance(flow.request, TcpRequest) for flow in asked if "web" in flow.name)


def test_nobody_asks_for_ever_for_a_backend_that_is_never_chosen() -> None:
    network = Network(1, everything_answers)
    network.random.choice = lambda found: found[0]  # type: ignore[method-assign,assignment]
    surveyed(network)
    assert len(network.sent) <= 10


SCENARIO = """
scenario: dead-backend
topology: one-calico-cluster
phases:
  healthy:
    expect: [tcp: {from: [pod-3], to: [service/web], port: 80}]
  stopped:
    changes: [process: {on: [pod-1], name: tcp-8080, action: stop}]
compare: {same: [healthy, stopped]}
"""


@pytest.mark.kernel
def test_a_backend_whose_program_is_stopped_shows_to_every_client_on_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "dead.yaml").write_text(SCENARIO)
    same = run_scenario(*open_scenario(str(tmp_path / "dead.yaml"))).same
    assert same is not None
    found = {difference.flow: (difference.before, difference.after) for difference in same.differences}
    assert found == {f"tcp pod-{number} -> service/web": ("reply", "pod-1: refused; pod-2: reply") for number in (1, 2, 3)}
