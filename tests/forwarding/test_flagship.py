"""The model against what was measured on the flagship: two Calico clusters joined by Submariner, whole and broken."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address

import pytest

from lab.cluster.compiler import compile as compile_topology
from lab.forwarding import Conversation, Dropped, Flow, Network, trace
from lab.spec import open_scenario
from lab.spec.events import EventItem, History

PAIRS = [(f"{one}-{s}-a", f"{two}-{d}-a") for one, two in (("c1", "c2"), ("c2", "c1")) for s in ("gw", "w1") for d in ("gw", "w1")]


@cache
def network(phase: str) -> Network:
    scenario, topology = open_scenario("calico-24-mismatch")
    wanted = scenario.model.phases[phase]
    before = scenario.model.phases[wanted.after] if wanted.after else None
    items = (*(before.events if before else ()), *wanted.events)
    events = tuple(_event(item) for item in items)
    history = History(absent=(before or wanted).absent, events=events)
    return Network(compile_topology(topology.model, history))


def _event(item: object) -> object:
    if not isinstance(item, EventItem):
        return item
    return next(value for name in type(item).model_fields if (value := getattr(item, name)) is not None)


def address_of(name: str, phase: str) -> IPv4Address:
    found = next(entry.interface.ip for entry in network(phase).state[name].addresses if entry.device != "lo")
    assert isinstance(found, IPv4Address)
    return found


def ask(phase: str, source: str, to: str, protocol: str = "icmp") -> Conversation:
    return trace(network(phase), Flow(source, address_of(to, phase), protocol, destination_port=8080))  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", ["healthy", "fixed"])
@pytest.mark.parametrize(("source", "to"), PAIRS)
def test_joined_with_the_real_ranges_every_pod_reaches_every_other_under_its_own_address(phase: str, source: str, to: str) -> None:
    conversation = ask(phase, source, to)
    assert str(conversation.outcome) == f"a reply from {address_of(to, phase)}"
    assert conversation.seen is not None
    assert conversation.seen.source == address_of(source, phase)
    workers = ("w1" in source) + ("w1" in to)
    assert conversation.seen.ttl == 62 - workers
    assert ask(phase, source, to, "tcp").outcome.kind == "reply"


@pytest.mark.parametrize(("source", "to"), [pair for pair in PAIRS if pair[0].startswith("c1")])
@pytest.mark.parametrize("protocol", ["icmp", "tcp"])
def test_joined_without_flags_the_stranger_answers_for_the_corporate_network(source: str, to: str, protocol: str) -> None:
    conversation = ask("broken", source, to, protocol)
    assert str(conversation.outcome) == "error: host unreachable from 10.128.11.126"
    assert isinstance(conversation.request.verdict, Dropped)
    assert conversation.request.verdict.namespace == "core-router"


@pytest.mark.parametrize(("source", "to"), [pair for pair in PAIRS if pair[0].startswith("c2")])
def test_joined_without_flags_the_other_way_is_silence_at_the_edge_firewall(source: str, to: str) -> None:
    conversation = ask("broken", source, to)
    assert str(conversation.outcome) == "silence"
    assert isinstance(conversation.request.verdict, Dropped)
    assert conversation.request.verdict.namespace == "edge-2"


def test_joined_without_flags_the_first_wrong_decision_names_the_route_that_missed() -> None:
    conversation = ask("broken", "c1-w1-a", "c2-w1-a")
    told = [detail.text for hop, step in conversation.request.steps if hop.namespace == "c1-w1" for detail in step.details]
    assert any("misses 10.42.0.0/24" in text and "falls to default" in text for text in told), told
