"""An explanation leads from a lost packet to the line of a file, and says so when the packet contradicts it."""

from __future__ import annotations

from dataclasses import replace
from errno import EMSGSIZE
from functools import cache
from ipaddress import IPv4Address, ip_address

import pytest

from lab.explain import evidence
from lab.explain.cause import explain
from lab.forwarding import Network
from lab.kernel.martians import Martian
from lab.probe import HttpRequest, IcmpError, Outcome, PingRequest, TcpRequest
from lab.scenario import compile_stage, find_stage
from lab.scenario.lookup import find_address
from lab.spec import open_scenario

STRANGER = IcmpError(3, 1, ip_address("10.128.11.126"))


@cache
def network(phase: str) -> Network:
    scenario, topology = open_scenario("calico-24-mismatch")
    return Network(compile_stage(topology, scenario, find_stage(scenario.model, phase)))


def address(phase: str, pod: str) -> str:
    return str(network(phase).state[pod].addresses_of("eth0")[0].interface.ip)


def a_ping(source: str, target: str, result: str, phase: str = "broken", icmp: IcmpError | None = None) -> Outcome:
    return Outcome(PingRequest(source, ip_address(address(phase, target))), result, 0, icmp)  # type: ignore[arg-type]


def lines_of(phase: str, outcome: Outcome) -> tuple[str, ...]:
    explanation = explain(network(phase), outcome)
    assert explanation is not None
    return explanation.lines()


def test_an_answered_probe_needs_no_explanation() -> None:
    assert explain(network("healthy"), a_ping("c1-w1-a", "c2-w1-a", "reply", "healthy")) is None


class TestTheStranger:
    def lines(self) -> tuple[str, ...]:
        return lines_of("broken", a_ping("c1-w1-a", "c2-w1-a", "unreachable", icmp=STRANGER))

    def told(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.lines() if not line.startswith(" "))

    def test_it_is_told_in_ten_lines_and_all_the_rest_is_below_them(self) -> None:
        assert len([line for line in self.lines() if not line.startswith(" ")]) <= 10

    def test_it_left_by_the_default_interface_because_of_the_24(self) -> None:
        assert self.told(
            "c1-w1: no route covers 10.42.185.1", "10.42.0.0/24 via 240.18.1.2 dev vx-submariner", "leaves by default via 172.18.1.1"
        )

    def test_it_was_masqueraded_because_the_pool_is_a_24_too(self) -> None:
        assert self.told(
            "source 10.46.247.65 becomes 172.18.1.3", "cali-nat-outgoing", "no element of set cali40all-ipam-pools", "10.42.0.0/24"
        )

    def test_the_router_refused_it(self) -> None:
        assert self.told("the request ends at core-router:core, forward", 'rejected by rule "no-such-host"')

    def test_the_error_bears_that_address_and_came_home_because_of_the_masquerade(self) -> None:
        assert self.told("sender: host-unreachable from 10.128.11.126, core-router's address on core")
        assert self.told("sender: it came home because c1-w1 had made the source 10.46.247.65 into 172.18.1.3")

    def test_the_step_of_discovery_that_gave_the_24_is_named_with_its_line(self) -> None:
        step = "discovered 10.42.0.0/24 by step “node.spec.podCIDR of the only node”"
        assert self.told("submariner operator of cluster-2", step, "node c2-gw has podCIDR 10.42.0.0/24", "two-clusters.yaml:")
        assert any("it is in args, which are not read" in line for line in self.lines()), "why no other step found the real range"

    def test_the_flag_that_cures_it_is_named(self) -> None:
        assert self.told("cure: subctl join --clustercidr 10.42.0.0/16 in cluster-2")

    def test_the_route_is_to_blame_and_the_router_only_decided(self) -> None:
        explanation = explain(network("broken"), a_ping("c1-w1-a", "c2-w1-a", "unreachable", icmp=STRANGER))
        assert explanation is not None
        assert explanation.cause is not None
        assert str(explanation.cause.responsible) == "route 10.42.0.0/24 via 240.18.1.2 dev vx-submariner in c1-w1"
        assert explanation.cause.decided_by is not None
        assert explanation.cause.decided_by.namespace == "core-router"


def test_the_other_direction_is_silent_because_a_filter_drops_without_a_word() -> None:
    lines = "\n".join(lines_of("broken", a_ping("c2-w1-a", "c1-w1-a", "silence")))
    assert 'the request ends at edge-2:site-2, forward: dropped by rule "egress-filter"' in lines
    assert "sender: silence: a rule that drops says nothing" in lines


def test_an_answer_that_is_lost_is_told_from_its_request() -> None:
    request = TcpRequest("c1-w1-a", find_address(network("broken").state, "service/nginx"), 80)
    explanation = explain(network("broken"), Outcome(request, "silence", 0))
    assert explanation is not None
    assert explanation.cause is not None
    assert (explanation.cause.packet, str(explanation.cause.responsible)[:18]) == ("reply", "route 10.46.0.0/24")
    assert any("was answered; it is the reply that was lost" in line for line in explanation.sender)


def test_a_source_that_is_refused_is_no_matter_of_a_missed_route() -> None:
    lines = lines_of("routes-only", a_ping("c1-w1-a", "c2-w1-a", "silence", "routes-only"))
    assert any("c2-w1:vxlan.calico, reverse path" in line for line in lines)
    assert not any("misses" in line for line in lines)
    assert any("10.46.0.0/16 via 240.18.2.2 dev vx-submariner comes of operator" in line for line in lines), "who typed the route"


def test_an_explanation_that_the_packet_contradicts_says_so() -> None:
    lines = lines_of("broken", a_ping("c1-w1-a", "c2-w1-a", "silence"))
    assert any("predicts another end" in line for line in lines)


def test_a_packet_too_long_for_its_own_link_is_an_error_to_both() -> None:
    request = PingRequest("c1-w1-a", ip_address(address("healthy", "c2-w1-a")), size=2000, df=True)
    lines = lines_of("healthy", Outcome(request, "error", 0, errno=EMSGSIZE))
    assert not any("another end" in line for line in lines)


@pytest.mark.parametrize("result", ["silence", "unreachable"])
def test_what_the_model_has_no_flow_for_is_left_alone(result: str) -> None:
    outcome = a_ping("c1-w1-a", "c2-w1-a", result)
    assert explain(network("broken"), replace(outcome, request=HttpRequest("c1-w1-a", "http://www.example.com/"))) is None


def test_an_explanation_says_that_packets_were_missed_meanwhile() -> None:
    lost = replace(a_ping("c1-w1-a", "c2-w1-a", "unreachable", icmp=STRANGER), incomplete=True)
    assert any("missed packets meanwhile" in line for line in lines_of("broken", lost))


class TestTheKernelsLog:
    """It is the whole machine's: what it says of other packets is nothing to this one."""

    OWN = Martian(IPv4Address("10.42.185.1"), IPv4Address("10.46.247.65"), "vxlan.calico")
    OTHERS = (OWN._replace(device="eth0"), OWN._replace(source=IPv4Address("10.46.247.66")))

    def lines(self, testimony: evidence.Testimony, log_martians: str = "1") -> tuple[str, ...]:
        state = network("routes-only").state
        worker = state["c2-w1"]
        logs = replace(worker, sysctls={**worker.sysctls, "net/ipv4/conf/all/log_martians": log_martians})
        explanation = explain(
            Network(replace(state, namespaces={**state.namespaces, "c2-w1": logs})),
            a_ping("c1-w1-a", "c2-w1-a", "silence", "routes-only"),
            testimony,
        )
        assert explanation is not None
        return tuple(line for line in explanation.lines() if "log" in line and not line.startswith("sender"))

    def test_what_it_says_of_this_packet_is_evidence(self) -> None:
        assert self.lines(evidence.Testimony(logged=(*self.OTHERS, self.OWN))) == (f"  counted: the kernel's log: {self.OWN}",)
        assert self.lines(evidence.Testimony(logged=self.OTHERS)) == ()

    def test_a_log_that_may_not_be_read_is_said_where_it_would_have_told(self) -> None:
        refused = evidence.Testimony(unreadable="/dev/kmsg: Operation not permitted")
        assert self.lines(refused) == ("  not read: the kernel's log of martian sources (/dev/kmsg: Operation not permitted)",)
        assert self.lines(refused, log_martians="0") == ()


def test_a_pool_that_an_event_made_bears_the_line_of_the_event() -> None:
    made = next(pool for pool in network("routes-only").state.control.of("IPPool") if pool.name == "submariner-cluster-2-10.42.0.0-16")
    (link,) = made.provenance.chain()
    assert (link.component, link.reason) == ("operator", "calicoctl apply of IPPool submariner-cluster-2-10.42.0.0-16")
    assert link.place is not None
    assert link.place.file.endswith("calico-24-mismatch.yaml")
