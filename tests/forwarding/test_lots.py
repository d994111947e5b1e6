"""A flow keeps the way its hash chose, from one conversation to the next; who watches the kernel may not excuse another one."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.explain.agreement.judge import MOST_MEMORIES, judge
from lab.forwarding import Conversation, Flow, Network, trace

TARGET = IPv4Address("10.9.9.9")
REPLY, LOST = "reply source=10.9.9.9 seen in b as 10.1.0.2 ttl 62", "silence"


@pytest.fixture
def fork(net: Any) -> Any:
    """f sends a's packets on through r1, which brings those for the target to b, or through r2, which loses them."""
    net.node("a").router("f").router("r1").router("r2").node("b").wire("a:eth0 10.1.0.2/24", "f:in 10.1.0.1/24")
    net.wire("f:one 10.2.1.1/24", "r1:in 10.2.1.2/24").wire("f:two 10.2.2.1/24", "r2:in 10.2.2.2/24")
    net.wire("r1:out 10.3.0.1/24", "b:eth0 10.3.0.2/24").address("b", "lo", f"{TARGET}/32").listen("b", "udp", 80)
    net.route("a", "default via 10.1.0.1 dev eth0").route("b", "default via 10.3.0.1 dev eth0")
    net.route("f", "10.9.0.0/16 nexthop via 10.2.1.2 dev one nexthop via 10.2.2.2 dev two")
    net.route("r1", f"{TARGET}/32 via 10.3.0.2 dev out", "10.1.0.0/24 via 10.2.1.1 dev in", "blackhole 10.9.8.0/24")
    return net.route("r2", "blackhole 10.9.0.0/16")


def ping(**more: Any) -> Flow:
    return Flow("a", TARGET, **more)


def outcomes(conversation: Conversation) -> list[str]:
    return sorted(world.outcome.kind for world in conversation.worlds)


def test_a_flow_keeps_its_way(fork: Any) -> None:
    network = Network(fork.state)
    first = trace(network, ping())
    assert outcomes(first) == ["reply", "silence"]
    for world in first.worlds:
        again = trace(network, ping(source_port=7), memory=world.memory)
        assert outcomes(again) == [world.outcome.kind]


def test_so_do_other_flows_unless_the_hash_covers_ports(fork: Any) -> None:
    udp = ping(protocol="udp", destination_port=80)
    for policy, ways in ((0, 1), (1, 2)):
        network = Network(fork.sysctl("f", "net/ipv4/fib_multipath_hash_policy", policy).state)
        known = trace(network, replace(udp, source_port=1)).memory
        assert len(trace(network, replace(udp, source_port=2), memory=known).worlds) == ways
        assert len(trace(network, replace(udp, source_port=1), memory=known).worlds) == 1


def judged(fork: Any, flows: list[Flow], *observed: str) -> list[int]:
    answers = iter(observed)
    return [one.number for one in judge(fork.state, flows, lambda flow, is_expected: next(answers)).disagreements]


def test_a_kernel_that_changed_its_mind_is_not_believed(fork: Any) -> None:
    assert judged(fork, [ping()] * 3, REPLY, REPLY, REPLY) == []
    assert judged(fork, [ping()] * 3, LOST, LOST, LOST) == []
    assert judged(fork, [ping()] * 3, REPLY, REPLY, LOST) == [2]


def test_where_too_many_lots_are_open_at_once_all_are(fork: Any) -> None:
    """Nobody at 10.9.8.x answers either way, so nothing tells how the lots fell; that of the first flow is forgotten with them."""
    nobody = [Flow("a", IPv4Address(f"10.9.8.{number}")) for number in range(1, 5)]
    assert 1 << len(nobody) > MOST_MEMORIES
    assert judged(fork, [ping(), *nobody[:3], ping()], REPLY, *["silence"] * 3, LOST) == [4]
    assert judged(fork, [ping(), *nobody, ping()], REPLY, *["silence"] * 4, LOST) == []
