"""`import lab`: what programs ask without a running lab."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

import lab
from lab.state import State


def test_a_phase_compiles_to_its_state_and_a_packet_in_it_is_traced() -> None:
    broken = lab.compile("calico-24-mismatch", "broken")
    outcome = lab.trace(broken, "c1-w1-a", "c2-w1-a").outcome
    assert (outcome.kind, str(outcome.source)) == ("error", "10.128.11.126")


def test_names_do_where_a_state_does() -> None:
    fixed = lab.trace("calico-24-mismatch@fixed", "c1-w1-a", "service/nginx", "tcp")
    assert fixed.outcome.kind == "reply"
    assert lab.trace("calico-24-mismatch@fixed", "c1-w1-a", fixed.request.packet.destination, "tcp", 80).outcome.kind == "reply"


def test_reach_is_told_for_those_who_are_asked_about() -> None:
    found = lab.reach("calico-24-mismatch@broken", sources=["c1-w1-a"])
    remote = [cell for cell in found.of("c1-w1-a") if any(IPv4Address("10.42.185.1") in network for network in cell.addresses)]
    assert [cell.answer for cell in remote] == ["lost"]


def test_two_networks_are_compared_by_what_packets_meet_and_by_commands() -> None:
    before = lab.compile("two-single-node-clusters")
    victim = before["edge-1"]
    cut = replace(victim, routes=tuple(route for route in victim.routes if route.destination.prefixlen))
    found = lab.compare(before, State({**before.namespaces, "edge-1": cut}, before.control))
    assert {change.change for change in found.reach if change.source == "c1-node"} >= {"newly lost"}
    assert [node for node, command in found.commands if command.startswith("ip route del default via 10.128.11.126")] == ["edge-1"]


def test_what_a_file_says_can_be_looked_at_phase_by_phase() -> None:
    given = lab.load("calico-24-mismatch", None)
    assert given.scenario is not None
    assert [given.at(phase).phase for phase in given.scenario.model.phases] == ["healthy", "broken", "routes-only", "fixed"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: lab.compile("calico-24-mismatch", "brokn"), "did you mean 'broken'?"),
        (lambda: lab.trace("two-clusters", "c1-w1-x", "c2-w1-a"), "did you mean 'c1-w1-b'?"),
        (lambda: lab.reach("two-clusters", sources=["nobody"]), "there is no node or pod 'nobody'"),
        (lambda: lab.load("two-clusters", None).at("broken"), "only scenarios have phases"),
    ],
)
def test_mistakes_are_said_as_on_the_command_line(ask: object, message: str) -> None:
    with pytest.raises(lab.InputError) as caught:
        ask()  # type: ignore[operator]
    assert message in str(caught.value)


def test_everything_offered_is_there_and_importing_it_costs_nothing() -> None:
    assert all(getattr(lab, name) is not None for name in lab.__all__)
    code = "import sys, lab; print(*[name for name in sys.modules if name.startswith('lab.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
    with pytest.raises(AttributeError, match="no attribute 'everything'"):
        _ = lab.everything
