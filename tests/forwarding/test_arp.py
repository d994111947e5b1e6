"""Neighbour resolution: who is asked, who answers, and whose silence kills the packet."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.forwarding import Dropped, Reason


def silence_of(conversation: Any) -> Reason:
    """Why the ARP request of a conversation was not answered."""
    asked = next(trace for trace in conversation.request.resolutions if not trace.delivered)
    assert isinstance(asked.verdict, Dropped)
    return asked.verdict.reason


def test_a_pod_reaches_its_gateway_169_254_1_1_only_by_proxy_arp(net: Any) -> None:
    net.node("pod").router("node").node("b")
    net.wire("pod:eth0 10.46.1.5/32", "node:cali1").wire("node:eth0 172.18.0.2/24", "b:eth0 172.18.0.3/24")
    net.route("pod", "169.254.1.1/32 dev eth0", "default via 169.254.1.1 dev eth0")
    net.route("node", "10.46.1.5/32 dev cali1", "default via 172.18.0.3 dev eth0").route("b", "10.46.0.0/16 via 172.18.0.2 dev eth0")
    net.conf("node", "cali1", proxy_arp=1)
    assert net.trace("pod", "172.18.0.3").outcome.kind == "reply"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda net: net.conf("node", "cali1", proxy_arp=0), Reason.ARP_NOT_MINE),
        (lambda net: net.conf("node", "cali1", forwarding=0), Reason.ARP_NO_ROUTE),
        (lambda net: net.route("node", "unreachable 169.254.1.1/32"), Reason.ARP_NO_ROUTE),
        (lambda net: net.route("node", "169.254.1.1/32 dev cali1"), Reason.ARP_NOT_MINE),
    ],
    ids=["proxy_arp off", "forwarding off", "no way to the gateway address", "a way by the same device"],
)
def test_proxy_arp_needs_forwarding_and_a_way_out_by_another_device(net: Any, change: Any, reason: Reason) -> None:
    net.node("pod").router("node").node("b")
    net.wire("pod:eth0 10.46.1.5/32", "node:cali1").wire("node:eth0 172.18.0.2/24", "b:eth0 172.18.0.3/24")
    net.route("pod", "169.254.1.1/32 dev eth0", "default via 169.254.1.1 dev eth0")
    net.route("node", "10.46.1.5/32 dev cali1", "default via 172.18.0.3 dev eth0")
    net.conf("node", "cali1", proxy_arp=1)
    conversation = change(net).trace("pod", "172.18.0.3")
    assert str(conversation.outcome) == "error: host unreachable from 10.46.1.5"
    assert silence_of(conversation) == reason


@pytest.mark.parametrize(("value", "answered"), [(0, True), (1, False), (2, False), (3, True), (8, False)])
def test_arp_ignore_decides_about_addresses_of_other_devices(row: Any, value: int, answered: bool) -> None:
    """Host a takes 10.2.0.1, which is on the router's other device, for a neighbour."""
    row.route("a", "10.2.0.1/32 dev eth0").conf("r", "left", arp_ignore=value)
    assert row.trace("a", "10.2.0.1").request.delivered is answered


def test_arp_filter_keeps_silent_where_the_way_to_the_asker_leads_elsewhere(row: Any) -> None:
    row.route("r", "10.1.0.2/32 via 10.2.0.2 dev right").conf("r", "left", arp_filter=1)
    assert silence_of(row.trace("a", "10.1.0.1")) == Reason.ARP_FILTERED


@pytest.mark.parametrize(("announce", "sender"), [(0, "172.16.0.9"), (1, "10.1.0.2"), (2, "10.1.0.2")])
def test_arp_announce_chooses_the_address_that_asks(row: Any, announce: int, sender: str) -> None:
    row.address("a", "lo", "172.16.0.9/32").conf("a", "all", arp_announce=announce)
    conversation = row.trace("a", "10.1.0.1", source_address=IPv4Address("172.16.0.9"))
    assert str(conversation.request.resolutions[0].packet.sender) == sender  # type: ignore[union-attr]


def test_a_stated_neighbour_is_not_asked_for_and_a_wrong_one_loses_every_packet(row: Any) -> None:
    row.neighbour("a", "eth0", "10.1.0.1", "02:00:00:00:ff:ff")
    verdict = row.trace("a", "10.2.0.2").request.verdict
    assert isinstance(verdict, Dropped)
    assert (verdict.namespace, verdict.reason) == ("r", Reason.OTHER_HOST)


def test_who_was_asked_has_learned_the_asker(row: Any) -> None:
    conversation = row.trace("a", "10.2.0.2")
    assert conversation.reply is not None
    assert conversation.reply.resolutions == ()


def test_a_second_packet_asks_nobody(row: Any) -> None:
    first = row.trace("a", "10.2.0.2")
    second = row.trace("a", "10.2.0.2", memory=first.memory, source_port=41000)
    assert len(first.request.resolutions) == 4
    assert second.request.resolutions == ()


def test_a_rule_that_drops_arp_requests_leaves_the_asker_without_an_answer(row: Any) -> None:
    from lab.state import BaseChain
    from lab.state.nft import Verdict

    row.builder["r"].chain("arp", "t", "in", BaseChain("filter", "input", 0, "accept")).add(Verdict("drop"))
    outcome = row.trace("a", "10.2.0.2").outcome
    assert (outcome.kind, str(outcome.source), outcome.icmp_code) == ("error", "10.1.0.2", 1)


def test_a_device_without_arp_takes_its_own_address_for_everybodys(row: Any) -> None:
    row.builder["a"].change_link("eth0", arp=False)
    verdict = row.trace("a", "10.2.0.2").request.verdict
    assert isinstance(verdict, Dropped)
    assert (verdict.namespace, verdict.reason) == ("r", Reason.OTHER_HOST)
    row.neighbour("a", "eth0", "10.1.0.1", row.mac_of("r", "left"))
    assert row.trace("a", "10.2.0.2").outcome.kind == "silence"  # r still asks for a, and is not answered


def test_a_device_without_arp_answers_nobody(row: Any) -> None:
    row.builder["r"].change_link("left", arp=False)
    conversation = row.trace("a", "10.2.0.2")
    assert str(conversation.outcome) == "error: host unreachable from 10.1.0.2"
    verdict = conversation.request.resolutions[0].verdict
    assert isinstance(verdict, Dropped)
    assert verdict.reason is Reason.ARP_OFF
