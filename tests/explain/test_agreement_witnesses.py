"""Model, kernel lookup and packet: they agree about a network, and each is caught when it alone says something else."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

import lab
from lab.explain.agreement.witnesses import Witnesses, hear_witnesses
from lab.explain.prediction import flow_of
from lab.forwarding import Flow, Network, trace
from lab.forwarding.generate import random_flows, random_state
from lab.kernel.oracle import RouteAnswer, RouteQuery
from lab.kernel.sandbox import run_in_sandbox
from lab.probe import Outcome, PingRequest, Request, TcpRequest, UdpRequest
from lab.scenario.lookup import find_address
from lab.scenario.stage import RunningLab
from lab.scenario.witness import heard_about, observe, witnesses_of
from lab.state import AddressEntry, Link, Loopback, Route, State, StateBuilder, complete
from tests.cli.command import lab as run_command
from tests.examples import seed

SEED = seed()
PING = PingRequest("a", IPv4Address("10.2.0.2"))


def row(*extra: Route) -> State:
    """a (10.1.0.2) - r - b (10.2.0.2); r has further routes."""
    builder = StateBuilder()
    for name in ("a", "r", "b"):
        builder.add_namespace(name).sysctl("net/ipv4/ip_forward", int(name == "r"))
    for one, other, first, second in (("a", "r", "10.1.0.2/24", "10.1.0.1/24"), ("b", "r", "10.2.0.2/24", "10.2.0.1/24")):
        builder.add_veth((one, Link("eth0", Loopback())), (other, Link(f"to-{one}", Loopback())))
        builder[one].add_address(AddressEntry("eth0", IPv4Interface(first)))
        builder[other].add_address(AddressEntry(f"to-{one}", IPv4Interface(second)))
        builder[one].add_route(Route(IPv4Network("0.0.0.0/0"), via=IPv4Interface(second).ip, device="eth0"))
    for route in extra:
        builder["r"].add_route(route)
    return complete(builder.freeze())


BLACKHOLE = Route(IPv4Network("10.2.0.2/32"), "blackhole")


def heard(held: State, believed: State) -> Witnesses:
    """The witnesses of a ping, the model told that the kernel holds something else than it does."""

    def work(sandbox: Any, report: object) -> Witnesses:
        with RunningLab(sandbox) as lab:
            lab.reach(held)
            (outcome,) = lab.probe([PING])
            network, flow = Network(believed), flow_of(PING)
            assert flow is not None
            return hear_witnesses(network, trace(network, flow), outcome, lab.engine.route_get)

    return run_in_sandbox(work)


@pytest.mark.kernel
@pytest.mark.parametrize("held", [row(), row(BLACKHOLE)], ids=["answered", "lost"])
def test_the_three_agree_about_a_network_that_is_what_it_should_be(held: State) -> None:
    found = observe(held, PING)
    assert found.disagreements == ()
    assert all(testimony.agree for testimony in found.testimonies)
    assert [t.namespace for t in found.testimonies][:2] == ["a", "r"]
    assert found.testimonies[1].kernel == (("unicast 10.2.0.0/24 table main",) if found.outcome.result == "reply" else ("EINVAL",))


@pytest.mark.kernel
@pytest.mark.parametrize(("namespace", "device"), [("a", "eth0"), ("r", "to-a")])
def test_the_three_agree_about_a_device_whose_arp_somebody_switches_off_and_the_lab_switches_it_on_again(
    namespace: str, device: str
) -> None:
    def work(sandbox: Any, report: object) -> tuple[Witnesses, bool, Outcome]:
        with RunningLab(sandbox) as lab:
            lab.reach(row())
            sandbox.run(namespace, ["ip", "link", "set", device, "arp", "off"], seconds=30)
            lab.engine.flush()
            found = witnesses_of(lab, PING)
            link = lab.refresh()[namespace].link(device)
            lab.reach(row())
            (again,) = lab.probe([PING])
            return found, link is not None and link.arp, again

    found, arp, again = run_in_sandbox(work)
    assert found.disagreements == ()
    assert (arp, found.conversation.outcome.kind, again.result) == (False, "silence" if namespace == "a" else "error", "reply")


@pytest.mark.kernel
def test_a_model_that_believes_in_a_way_that_is_not_there_is_contradicted_by_the_other_two() -> None:
    found = heard(row(BLACKHOLE), believed=row())
    assert "r, request: the model chooses unicast 10.2.0.0/24 table main, and the kernel's lookup answers EINVAL" in found.disagreements
    assert "the request was not seen going out by r:to-b, where the model predicts it" in found.disagreements
    assert "the model predicts a reply from 10.2.0.2, and the sender sees silence" in found.disagreements


@pytest.mark.kernel
def test_a_packet_where_the_model_predicts_none_is_a_disagreement() -> None:
    found = heard(row(), believed=row(BLACKHOLE))
    assert "the request was seen coming in by b:eth0, which the model does not predict" in found.disagreements
    assert "the model predicts silence, and the sender sees reply" in found.disagreements


@pytest.mark.kernel
def test_a_mark_is_sent_asked_about_and_traced() -> None:
    assert observe(row(), replace(PING, mark=7)).conversation.flow.mark == 7


def test_what_the_observer_missed_proves_no_absence() -> None:
    network = Network(row())
    conversation = trace(network, Flow("a", PING.target))

    def as_the_model_says(namespace: str, query: RouteQuery) -> RouteAnswer:
        return RouteAnswer(error="ENETUNREACH")

    blind = Outcome(PING, "reply", 0, incomplete=True)
    told = hear_witnesses(network, conversation, blind, as_the_model_says).disagreements
    assert told
    assert all("the kernel's lookup answers ENETUNREACH" in sentence for sentence in told)


@pytest.mark.kernel
@pytest.mark.root
@pytest.mark.parametrize("number", range(4))
def test_the_three_agree_about_random_networks(number: int) -> None:
    random = Random(SEED + number)
    state = random_state(random)
    requests = [_request(flow) for flow in random_flows(random, state, 12)]

    def work(sandbox: Any, report: object) -> list[str]:
        told = []
        with RunningLab(sandbox) as lab:
            lab.reach(state)
            for request in requests:
                lab.engine.flush()
                told += [f"{request}: {sentence}" for sentence in witnesses_of(lab, request).disagreements]
        return told

    assert run_in_sandbox(work) == [], f"seed {SEED + number}"


def _request(flow: Flow) -> Request:
    source, payload = str(flow.source), (flow.size or 84) - 28
    if flow.protocol == "icmp":
        return PingRequest(source, flow.destination, payload, bool(flow.df), flow.ttl or 64, flow.mark)
    if flow.protocol == "udp":
        return UdpRequest(source, flow.destination, flow.destination_port, payload, bool(flow.df), flow.mark)
    return TcpRequest(source, flow.destination, flow.destination_port, flow.mark)


@pytest.mark.kernel
def test_a_person_sees_what_the_witnesses_say() -> None:
    answer = run_command("trace", "calico-24-mismatch@healthy", "c1-w1-a", "c2-w1-a", "--observe")
    assert answer.code == 0, answer.err
    assert "the three witnesses agree" in answer.out


def test_witnesses_who_disagree_fail_the_command() -> None:
    healthy = lab.compile("calico-24-mismatch", "healthy")
    network, ping = Network(healthy), PingRequest("c1-w1-a", find_address(healthy, "c2-w1-a"))
    predicted = trace(network, Flow(ping.source, ping.target))
    silent = hear_witnesses(network, predicted, Outcome(ping, "silence", 0), lambda namespace, query: RouteAnswer(error="EINVAL"))
    with patch("lab.scenario.witness.observe", lambda *asked: silent):
        answer = run_command("trace", "calico-24-mismatch@healthy", "c1-w1-a", "c2-w1-a", "--observe")
    assert answer.code == 1
    assert "the witnesses disagree: " in answer.out


@pytest.mark.parametrize(
    "options", [("--sport", "5"), ("--proto", "tcp", "--size", "900"), ("--proto", "udp", "--ttl", "3")], ids=["port", "size", "ttl"]
)
def test_what_no_probe_can_send_is_said_before_anything_is_built(options: tuple[str, ...]) -> None:
    answer = run_command("trace", "calico-24-mismatch@healthy", "c1-w1-a", "c2-w1-a", "--observe", *options)
    assert answer.code == 2
    assert options[-2] in answer.err


@pytest.mark.kernel
def test_witnesses_who_disagree_fail_a_run() -> None:
    def disagree(*about: object) -> Witnesses | None:
        heard = heard_about(*about)  # type: ignore[arg-type]
        return replace(heard, disagreements=("the sky is green",)) if heard is not None else None

    with patch("lab.scenario.play.heard_about", disagree):
        answer = run_command("run", "calico-24-mismatch")
    assert answer.code == 1
    assert "the witnesses disagree: the sky is green" in answer.out
