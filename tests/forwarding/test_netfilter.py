"""Rule sets: what matches, in which order chains run, what connection tracking says, and what translation does and undoes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from lab.forwarding import Dropped, Reason
from lab.state import BaseChain
from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    BinaryOperation,
    Concat,
    Counter,
    Ct,
    Fib,
    Limit,
    Log,
    Mangle,
    MapLookup,
    Match,
    Meta,
    Nat,
    NoTrack,
    Numgen,
    OpaqueStatement,
    Payload,
    Prefix,
    Range,
    Reject,
    SetRef,
    TcpOption,
    Verdict,
    VerdictMap,
)

A, B, R = IPv4Address("10.1.0.2"), IPv4Address("10.2.0.2"), IPv4Address("10.2.0.1")
DROP, ACCEPT = Verdict("drop"), Verdict("accept")
SADDR, DADDR = Payload("ip", "saddr"), Payload("ip", "daddr")


def dropped(conversation: Any) -> bool:
    """Whether the request died in the router's rule set."""
    verdict = conversation.request.verdict
    return isinstance(verdict, Dropped) and verdict.namespace == "r" and verdict.reason == Reason.NETFILTER


CONDITIONS = [
    (Match(SADDR, A), True),
    (Match(SADDR, A, "!="), False),
    (Match(SADDR, Prefix(IPv4Network("10.1.0.0/16"))), True),
    (Match(DADDR, Range(IPv4Address("10.2.0.1"), IPv4Address("10.2.0.3"))), True),
    (Match(DADDR, AnonymousSet((IPv4Address("10.9.9.9"), Prefix(IPv4Network("10.2.0.0/30"))))), True),
    (Match(Payload("tcp", "dport"), 80), True),
    (Match(Payload("tcp", "dport"), AnonymousSet((22, 443))), False),
    (Match(Payload("udp", "dport"), 80, "!="), False),
    (Match(Payload("th", "dport"), Range(1, 100)), True),
    (Match(Meta("l4proto"), "tcp"), True),
    (Match(Meta("l4proto"), AnonymousSet(("tcp", "udp"))), True),
    (Match(Meta("l4proto"), "ipencap"), False),  # as /etc/protocols has it for nft to say
    (Match(Meta("iifname"), "left"), True),
    (Match(Meta("iifname"), "le*"), True),
    (Match(Meta("oifname"), "left"), False),
    (Match(Meta("mark"), 0), True),
    (Match(BinaryOperation("&", Meta("mark"), 0x4000), 0x4000), False),
    (Match(Payload("ip", "ttl"), 64, "<"), True),
    (Match(Ct("state"), "new", "in"), True),
    (Match(Ct("state"), AnonymousSet(("established", "related")), "in"), False),
    (Match(Ct("direction"), "original"), True),
    (Match(Fib("type", ("daddr",)), "local"), False),
    (Match(Fib("oif", ("saddr", "iif")), False), False),
    (Match(Concat((DADDR, Meta("l4proto"), Payload("th", "dport"))), AnonymousSet((Concat((B, "tcp", 80)),))), True),
    (
        Match(
            BinaryOperation("&", Payload("tcp", "flags"), BinaryOperation("|", "syn", BinaryOperation("|", "ack", "rst"))),
            "syn",
        ),
        True,
    ),
    (Match(Payload("icmp", "type"), "echo-request"), False),
    (Match(Payload("ip6", "saddr"), 1), False),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS, ids=str)
def test_a_condition_in_the_forward_chain_holds_for_a_tcp_packet_from_a_to_b(row: Any, condition: Match, holds: bool) -> None:
    row.listen("b", "tcp", 80).chain("r", "forward", (condition, Counter(), DROP))
    assert dropped(row.trace("a", "10.2.0.2", "tcp")) is holds


class TestChains:
    def test_jump_comes_back_goto_does_not(self, row: Any) -> None:
        row.builder["r"].chain("ip", "t", "empty")
        row.chain("r", "forward", Verdict("jump", "empty"), DROP, chain="f")
        assert dropped(row.trace("a", "10.2.0.2"))
        row.builder["r"].chain("ip", "t", "f").flush()
        row.builder["r"].chain("ip", "t", "f").add(Verdict("goto", "empty"))
        row.builder["r"].chain("ip", "t", "f").add(DROP)
        assert row.trace("a", "10.2.0.2").request.delivered

    def test_return_in_a_base_chain_leaves_the_packet_to_the_policy(self, row: Any) -> None:
        row.chain("r", "forward", Verdict("return"), ACCEPT, policy="drop")
        assert dropped(row.trace("a", "10.2.0.2"))

    def test_accept_ends_a_chain_but_a_later_chain_may_still_drop(self, row: Any) -> None:
        row.chain("r", "forward", ACCEPT, priority=-10).chain("r", "forward", DROP, priority=10)
        assert dropped(row.trace("a", "10.2.0.2"))

    def test_chains_run_by_priority_and_see_what_earlier_ones_set(self, row: Any) -> None:
        row.chain("r", "forward", (Match(Meta("mark"), 7), DROP), priority=10).chain("r", "forward", Mangle(Meta("mark"), 7), priority=-10)
        assert dropped(row.trace("a", "10.2.0.2"))

    def test_a_named_set_and_a_verdict_map_decide(self, row: Any) -> None:
        table = row.builder["r"].table("ip", "t")
        table.set("blocked", ("ipv4_addr",), flags=("interval",)).add(Prefix(IPv4Network("10.1.0.0/24")))
        table.map("by-port", ("ipv4_addr", "inet_service"), "verdict").put(Concat((B, 80)), DROP)
        row.chain(
            "r", "forward", (Match(SADDR, SetRef("blocked")), VerdictMap(Concat((DADDR, Payload("tcp", "dport"))), SetRef("by-port")))
        )
        row.listen("b", "tcp", 80).listen("b", "tcp", 81)
        assert dropped(row.trace("a", "10.2.0.2", "tcp"))
        assert row.trace("a", "10.2.0.2", "tcp", destination_port=81).outcome.kind == "reply"


class TestUnknown:
    def test_a_rate_limit_in_front_of_a_verdict_makes_it_unknown(self, row: Any) -> None:
        row.chain("r", "forward", (Limit(1, "second"), DROP))
        assert row.trace("a", "10.2.0.2").outcome.kind == "unknown"

    def test_a_rate_limit_that_only_logs_decides_nothing(self, row: Any) -> None:
        row.chain("r", "forward", (Limit(1, "second"), Log("x"), Counter()))
        assert row.trace("a", "10.2.0.2").outcome.kind == "reply"

    def test_a_statement_without_a_class_is_unknown_only_for_packets_that_meet_it(self, row: Any) -> None:
        row.chain("r", "forward", (Match(Meta("l4proto"), "udp"), OpaqueStatement('{"xt":1}')))
        assert row.trace("a", "10.2.0.2").outcome.kind == "reply"
        assert row.trace("a", "10.2.0.2", "udp").outcome.kind == "unknown"

    def test_a_random_number_opens_a_world_for_each_way(self, row: Any) -> None:
        row.chain("r", "forward", (Match(Numgen("random", 100), 30, "<"), DROP))
        conversation = row.trace("a", "10.2.0.2")
        assert {world.outcome.kind for world in conversation.worlds} == {"reply", "silence"}
        assert conversation.may
        assert not conversation.must


class TestConnectionTracking:
    def test_answers_of_a_flow_pass_where_new_flows_do_not(self, row: Any) -> None:
        row.chain(
            "r",
            "forward",
            (Match(Ct("state"), AnonymousSet(("established", "related")), "in"), ACCEPT),
            (Match(Meta("iifname"), "left"), ACCEPT),
            DROP,
        )
        assert row.trace("a", "10.2.0.2").outcome.kind == "reply"
        assert row.trace("b", "10.1.0.2").outcome.kind == "silence"

    def test_an_error_about_a_tracked_flow_is_related(self, row: Any) -> None:
        row.chain("r", "input", DROP, chain="i").chain("r", "output", (Match(Ct("state"), "related", "in"), ACCEPT), DROP)
        assert row.trace("a", "10.9.0.9").outcome.kind == "error"

    def test_a_syn_ack_whose_syn_was_not_seen_is_invalid(self, net: Any) -> None:
        net.node("a").router("there").router("back").node("b")
        net.wire("a:eth0 10.1.0.2/24", "sw:p1").wire("there:l 10.1.0.1/24", "sw:p2").wire("back:l 10.1.0.9/24", "sw:p3").bridge(
            "sw", "br", "p1", "p2", "p3"
        )
        net.wire("b:eth0 10.2.0.2/24", "sx:p1").wire("there:r 10.2.0.1/24", "sx:p2").wire("back:r 10.2.0.9/24", "sx:p3").bridge(
            "sx", "br", "p1", "p2", "p3"
        )
        net.route("a", "default via 10.1.0.1 dev eth0").route("b", "default via 10.2.0.9 dev eth0").listen("b", "tcp", 80)
        net.chain("back", "forward", (Match(Ct("state"), "invalid", "in"), DROP))
        conversation = net.trace("a", "10.2.0.2", "tcp")
        assert conversation.reply is not None
        assert isinstance(conversation.reply.verdict, Dropped)
        assert conversation.reply.verdict.namespace == "back"
        assert net.trace("a", "10.2.0.2").outcome.kind == "silence"

    def test_notrack_takes_a_packet_out(self, row: Any) -> None:
        row.chain("r", "prerouting", NoTrack(), priority=-300).chain("r", "forward", (Match(Ct("state"), "untracked", "in"), DROP))
        assert dropped(row.trace("a", "10.2.0.2"))


def nat(net: Any, name: str, hook: str, *statements: Any) -> Any:
    priority = 100 if hook in ("postrouting", "input") else -100
    net.builder[name].chain("ip", "nat", hook, BaseChain("nat", hook, priority)).add(*statements)  # type: ignore[arg-type]
    return net


class TestTranslation:
    def test_masquerade_shows_the_address_of_the_way_out_and_the_answer_finds_home(self, row: Any) -> None:
        conversation = nat(row, "r", "postrouting", Nat("masquerade")).trace("a", "10.2.0.2")
        assert str(conversation.outcome) == "a reply from 10.2.0.2"
        assert conversation.seen.source == R

    def test_a_service_address_is_translated_and_the_answer_bears_it(self, row: Any) -> None:
        row.listen("b", "tcp", 8080)
        nat(row, "r", "prerouting", Match(DADDR, IPv4Address("10.45.0.80")), Match(Payload("tcp", "dport"), 80), Nat("dnat", B, 8080))
        conversation = row.trace("a", "10.45.0.80", "tcp")
        assert str(conversation.outcome) == "a reply from 10.45.0.80"
        assert conversation.seen.destination_port == 8080

    def test_an_answer_that_takes_another_way_is_not_translated_back(self, row: Any) -> None:
        row.wire("b:direct 10.1.0.3/24", "a:direct 10.1.0.4/24").listen("b", "udp", 80)
        row.builder["b"].delete_routes(IPv4Network("10.1.0.0/24"))
        row.route("b", "10.1.0.2/32 dev direct")
        nat(row, "r", "prerouting", Match(DADDR, IPv4Address("10.45.0.80")), Nat("dnat", B))
        conversation = row.trace("a", "10.45.0.80", "udp")
        assert conversation.seen is not None
        assert conversation.outcome.kind == "silence"

    def test_a_decision_outlives_the_rule_for_the_flow_but_not_for_a_new_one(self, row: Any) -> None:
        first = nat(row, "r", "postrouting", Nat("masquerade")).trace("a", "10.2.0.2")
        row.builder["r"].chain("ip", "nat", "postrouting").flush()
        assert row.trace("a", "10.2.0.2", memory=first.memory).seen.source == R
        assert row.trace("a", "10.2.0.2", memory=first.memory, source_port=50000).seen.source == A

    def test_redirect_leads_to_the_arrival_device(self, row: Any) -> None:
        row.listen("r", "tcp", 3128)
        nat(row, "r", "prerouting", Match(Payload("tcp", "dport"), 80), Nat("redirect", port=3128))
        conversation = row.trace("a", "10.2.0.2", "tcp")
        assert str(conversation.outcome) == "a reply from 10.2.0.2"
        assert conversation.seen.namespace == "r"

    def test_an_endpoint_is_drawn_for_each_flow(self, row: Any) -> None:
        row.wire("r:third 10.3.0.1/24", "c:eth0 10.3.0.2/24").route("c", "default via 10.3.0.1 dev eth0").listen("b", "tcp", 80).listen(
            "c", "tcp", 80
        )
        endpoints = MapLookup(Numgen("random", 2), AnonymousMap(((0, B), (1, IPv4Address("10.3.0.2")))))
        nat(row, "r", "prerouting", Match(DADDR, IPv4Address("10.45.0.80")), Nat("dnat", endpoints))
        conversation = row.trace("a", "10.45.0.80", "tcp")
        assert {world.seen.namespace for world in conversation.worlds} == {"b", "c"}
        assert conversation.must

    def test_masquerade_without_any_address_drops_the_packet(self, net: Any) -> None:
        net.node("a").router("r").node("b").wire("a:eth0 10.1.0.2/32", "r:left").wire("r:right", "b:eth0 10.2.0.2/32")
        net.route("a", "10.2.0.2/32 dev eth0").route("r", "10.1.0.2/32 dev left", "10.2.0.2/32 dev right").conf("r", "all", proxy_arp=1)
        verdict = nat(net, "r", "postrouting", Nat("masquerade")).trace("a", "10.2.0.2").request.verdict
        assert isinstance(verdict, Dropped)
        assert verdict.reason == Reason.NAT


class TestErrorsThroughTranslation:
    """A router c beyond r rejects; what the client sees depends on what r does to the flow."""

    def build(self, net: Any) -> Any:
        net.node("a").router("r").router("c").node("b")
        net.wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").wire("r:right 10.12.0.1/24", "c:in 10.12.0.2/24").wire(
            "c:out 10.2.0.1/24", "b:eth0 10.2.0.2/24"
        )
        net.route("a", "default via 10.1.0.1 dev eth0").route("r", "10.2.0.0/24 via 10.12.0.2 dev right").route(
            "c", "10.1.0.0/24 via 10.12.0.1 dev in"
        )
        return net.chain("c", "forward", Reject("icmp", "host-prohibited"))

    def test_without_translation(self, net: Any) -> None:
        assert str(self.build(net).trace("a", "10.2.0.2").outcome) == "error: host prohibited from 10.12.0.2"

    def test_beyond_a_masquerade_the_foreign_router_is_seen_and_the_quote_is_restored(self, net: Any) -> None:
        conversation = nat(self.build(net), "r", "postrouting", Nat("masquerade")).trace("a", "10.2.0.2")
        assert str(conversation.outcome) == "error: host prohibited from 10.12.0.2"
        error = conversation.traces[1].verdict.packet
        assert error.icmp.quoted.source == A

    def test_beyond_a_dnat_the_error_seems_to_come_from_the_service(self, net: Any) -> None:
        nat(self.build(net), "r", "prerouting", Match(DADDR, IPv4Address("10.45.0.80")), Nat("dnat", B))
        assert str(net.trace("a", "10.45.0.80").outcome) == "error: host prohibited from 10.45.0.80"

    def test_the_failure_of_the_translating_node_itself_seems_to_come_from_the_service_too(self, net: Any) -> None:
        nat(self.build(net), "r", "prerouting", Match(DADDR, IPv4Address("10.45.0.80")), Nat("dnat", IPv4Address("10.77.0.1")))
        assert str(net.trace("a", "10.45.0.80").outcome) == "error: net unreachable from 10.45.0.80"

    def test_an_error_about_an_untracked_flow_is_invalid_and_passes_unchanged_unless_dropped(self, net: Any) -> None:
        self.build(net).chain("r", "prerouting", (Match(Meta("iifname"), "left"), NoTrack()), priority=-300)
        net.chain("r", "forward", (Match(Ct("state"), "invalid", "in"), DROP))
        assert str(net.trace("a", "10.2.0.2").outcome) == "silence"


def test_a_clamp_makes_the_segments_fit_where_errors_do_not_come_home(row: Any) -> None:
    row.builder["r"].change_link("right", mtu=1000)
    row.builder["b"].change_link("eth0", mtu=1000)
    row.listen("b", "tcp", 80).chain("r", "output", (Match(Meta("l4proto"), "icmp"), DROP))
    assert row.trace("a", "10.2.0.2", "tcp", size=1400).outcome.kind == "reply", "b announces what it can take"
    row.builder["b"].change_link("eth0", mtu=1500)
    assert str(row.trace("a", "10.2.0.2", "tcp", size=1400).outcome) == "silence after the handshake"
    row.chain("r", "forward", Mangle(TcpOption("maxseg", "size"), 900), priority=-5)
    assert row.trace("a", "10.2.0.2", "tcp", size=1400).outcome.kind == "reply"
