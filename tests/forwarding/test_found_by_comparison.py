"""What long comparison with the kernel found the model did not know: each fact in the smallest network that shows it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.explain.agreement.judge import Expected, judge
from lab.forwarding import Delivered, Dropped, Flow, Reason
from lab.state.nft import Ct, Limit, Mangle, Match, Meta, Nat, NoTrack, Payload, Reject, Verdict

DROP, ACCEPT = Verdict("drop"), Verdict("accept")
NOT_OUR_PORT = Match(Payload("udp", "dport"), 80, "!=")


def narrow(net: Any) -> Any:
    """Let a's packets arrive at r in pieces."""
    net.builder["a"].change_link("eth0", mtu=1000)
    return net.listen("b", "udp", 80)


def test_a_rule_for_other_ports_matches_the_later_pieces_of_a_datagram_which_have_none(row: Any) -> None:
    narrow(row).chain("r", "forward", (NOT_OUR_PORT, DROP))
    assert row.trace("a", "10.2.0.2", "udp", size=900).seen is not None
    assert row.trace("a", "10.2.0.2", "udp", size=1400, df=False).seen is None


def test_where_connection_tracking_puts_the_pieces_together_they_have_their_ports(row: Any) -> None:
    narrow(row).chain("r", "forward", (NOT_OUR_PORT, DROP), (Match(Ct("state"), "invalid"), DROP))
    assert row.trace("a", "10.2.0.2", "udp", size=1400, df=False).seen is not None


def test_pieces_that_rules_change_in_different_ways_are_no_longer_one_packet(row: Any) -> None:
    narrow(row).chain("r", "forward", (Match(Payload("udp", "dport"), 80), Mangle(Meta("mark"), 1)))
    conversation = row.trace("a", "10.2.0.2", "udp", size=1400, df=False)
    assert "the pieces of one packet are changed in different ways" in conversation.outcome.why


def test_the_first_piece_goes_on_where_a_rule_drops_the_others_and_its_sender_may_hear_of_it(row: Any) -> None:
    narrow(row).chain("r", "prerouting", (NOT_OUR_PORT, DROP))
    assert row.trace("a", "10.2.0.2", "udp", size=1400, df=False).outcome.kind == "silence"
    outcome = row.trace("a", "10.2.0.9", "udp", size=1400, df=False).outcome
    assert (outcome.kind, str(outcome.source), outcome.icmp_code) == ("error", "10.1.0.1", 1)
    row.chain("r", "forward", (Match(Ct("state"), "invalid"), DROP))  # which puts pieces together before any rule
    assert row.trace("a", "10.2.0.2", "udp", size=1400, df=False).seen is not None


def test_the_first_piece_waits_for_the_others_where_connections_are_tracked(row: Any) -> None:
    narrow(row).chain("r", "prerouting", (NOT_OUR_PORT, DROP)).router("q").wire("r:far 10.3.0.1/24", "q:near 10.3.0.2/24")
    row.route("r", "10.4.0.0/24 via 10.3.0.2 dev far").route("q", "10.1.0.0/24 via 10.3.0.1 dev near")
    assert row.trace("a", "10.4.0.9", "udp", size=1400, df=False).outcome.kind == "error"
    row.chain("q", "forward", (Match(Ct("state"), "invalid"), DROP))
    assert row.trace("a", "10.4.0.9", "udp", size=1400, df=False).outcome.kind == "silence"


def test_a_policy_rule_for_ports_does_not_match_a_datagram_in_pieces(row: Any) -> None:
    narrow(row).rule("r", "100: ipproto udp dport 80 lookup 7").route("r", "blackhole default table 7")
    assert row.trace("a", "10.2.0.2", "udp", size=900).seen is None
    assert row.trace("a", "10.2.0.2", "udp", size=1400, df=False).seen is not None
    row.chain("r", "forward", (Match(Ct("state"), "invalid"), DROP))
    assert row.trace("a", "10.2.0.2", "udp", size=1400, df=False).seen is None


def test_a_reject_says_nothing_about_a_piece_unless_somebody_before_put_the_pieces_together(net: Any) -> None:
    net.node("a").router("r").router("q").node("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24", mtu=1000)
    net.wire("r:right 10.2.0.1/24", "q:left 10.2.0.2/24").wire("q:right 10.3.0.1/24", "b:eth0 10.3.0.2/24")
    net.route("a", "default via 10.1.0.1 dev eth0").route("r", "default via 10.2.0.2 dev right").route("q", "default via 10.2.0.1 dev left")
    net.chain("q", "forward", Reject("icmp", "net-unreachable"))
    assert net.trace("a", "10.3.0.2", "udp", size=900).outcome.kind == "error"
    assert net.trace("a", "10.3.0.2", "udp", size=1480, df=False).outcome.kind == "silence"
    net.chain("r", "forward", (Match(Ct("state"), "invalid"), DROP))
    assert net.trace("a", "10.3.0.2", "udp", size=1480, df=False).outcome.kind == "error"
    net.builder["r"].change_link("right", mtu=900)  # which cuts the pieces anew
    assert net.trace("a", "10.3.0.2", "udp", size=1480, df=False).outcome.kind == "silence"


def test_the_reset_of_a_closed_port_bears_the_tos_of_what_it_answers(row: Any) -> None:
    row.rule("r", "100: from 10.2.0.2 tos 0x10 lookup 7").route("r", "blackhole default table 7")
    assert row.trace("a", "10.2.0.2", "tcp").outcome.kind == "refused"
    assert row.trace("a", "10.2.0.2", "tcp", tos=0x10).outcome.kind == "silence"


def test_the_reset_of_a_rule_bears_none(row: Any) -> None:
    row.chain("b", "input", Reject("tcp reset")).rule("r", "100: from 10.2.0.2 tos 0x10 lookup 7").route("r", "blackhole default table 7")
    assert row.trace("a", "10.2.0.2", "tcp", tos=0x10).outcome.kind == "refused"


def test_a_reset_is_for_connections_and_lets_the_rest_pass(row: Any) -> None:
    """nft shows `meta l4proto tcp reject with tcp reset` without its condition, in which case the kernel has it all the same."""
    row.chain("r", "forward", Reject("tcp reset"))
    assert row.trace("a", "10.2.0.2", "tcp").outcome.kind == "refused"
    assert row.trace("a", "10.2.0.2").outcome.kind == "reply"


def test_an_echo_reply_that_its_own_host_rejects_is_lost_without_an_error(row: Any) -> None:
    row.chain("b", "output", Reject("icmp", "admin-prohibited"))
    conversation = row.trace("a", "10.2.0.2")
    assert [traced.purpose for traced in conversation.traces] == ["request", "reply"]
    assert row.listen("b", "udp", 80).trace("a", "10.2.0.2", "udp").traces[-1].purpose == "error"


def test_a_connection_whose_only_answer_is_a_reset_is_forgotten(row: Any) -> None:
    row.chain("r", "forward", (Match(Ct("state"), "established"), ACCEPT))
    assert row.trace("a", "10.2.0.2", "tcp").memory.conntrack["r"] == {}
    assert row.listen("b", "tcp", 80).trace("a", "10.2.0.2", "tcp").memory.conntrack["r"] != {}


def test_of_two_who_answer_for_an_address_the_one_on_the_port_added_last_is_heard_first(net: Any) -> None:
    for number, name in enumerate("abc", start=2):
        net.wire(f"{name}:eth0 10.1.0.{number}/24", f"sw:{name}")
    net.bridge("sw", "br", "a", "b", "c")
    for name in "bc":
        net.address(name, "lo", "10.1.0.9/32")
    verdict = net.trace("a", "10.1.0.9").request.verdict
    assert isinstance(verdict, Delivered)
    assert verdict.namespace == "c"


def test_a_request_for_somebody_else_is_answered_by_nobody_whatever_routing_says_of_it(row: Any) -> None:
    row.conf("r", "left", rp_filter=1).route("a", "10.1.0.77/32 dev eth0")
    asked = row.trace("a", "10.1.0.77").request.resolutions[-1]
    assert "proxy_arp is off on left" in str(asked.verdict)
    row.conf("r", "left", proxy_arp=1).route("r", "10.1.0.77/32 dev right")
    assert "proxy ARP" in str([step.sentence for _, step in row.trace("a", "10.1.0.77").request.resolutions[0].steps])


def test_a_syn_that_rules_send_where_no_way_leads_is_lost_in_silence(row: Any) -> None:
    row.route("a", "unreachable 10.9.9.9/32")
    row.chain("a", "output", Nat("dnat", IPv4Address("10.9.9.9")), type="nat", priority=-100)
    assert row.trace("a", "10.2.0.2", "tcp").outcome.kind == "silence"
    assert row.trace("a", "10.2.0.2", "udp").outcome.errno == "EHOSTUNREACH"
    assert row.trace("a", "10.9.9.9", "tcp").outcome.errno == "EHOSTUNREACH"


def behind_r(row: Any) -> Any:
    """Let r translate 10.9.9.9 to b; of what b sends back, only its first segment and its resets are translated back."""
    server = IPv4Address("10.2.0.2")
    row.listen("b", "tcp", 80).chain(
        "r", "prerouting", (Match(Payload("ip", "daddr"), IPv4Address("10.9.9.9")), Nat("dnat", server)), type="nat", priority=-100
    )
    reset, syn_ack, length = 40, 60, Payload("ip", "length")
    others = Match(Payload("ip", "saddr"), server), Match(length, reset, ">"), Match(length, syn_ack, "!=")
    return row.chain("r", "prerouting", (*others, NoTrack()), priority=-300)


def after_the_handshake(conversation: Any) -> list[str]:
    return [traced.purpose for traced in conversation.traces[3:]]


def test_a_client_that_resets_the_answer_of_a_stranger_hears_a_reset_when_it_asks_again(row: Any) -> None:
    """The client knows no connection with b, and its reset ends the server's."""
    conversation = behind_r(row).trace("a", "10.9.9.9", "tcp", size=600)
    assert after_the_handshake(conversation) == ["data", "answer", "acknowledgement", "reset", "reset", "data", "reset"]
    assert str(conversation.outcome) == "refused: reset from 10.9.9.9"


def test_so_it_does_where_the_answer_is_lost_but_not_the_acknowledgement_before_it(row: Any) -> None:
    behind_r(row).chain("b", "output", (Match(Payload("ip", "length"), 100, ">"), DROP))
    conversation = row.trace("a", "10.9.9.9", "tcp", size=600)
    assert after_the_handshake(conversation) == ["data", "answer", "acknowledgement", "reset", "data", "reset"]
    assert str(conversation.outcome) == "refused: reset from 10.9.9.9"


def test_a_client_whose_question_was_acknowledged_does_not_ask_again(row: Any) -> None:
    """Only the long answer is a stranger's; it ends the connection, but the client has nothing to repeat."""
    answer = Match(Payload("ip", "length"), 100, ">")
    behind_r(row).builder["r"].chain("ip", "t", "filter-prerouting--300").flush()
    row.chain("r", "prerouting", (Match(Payload("ip", "saddr"), IPv4Address("10.2.0.2")), answer, NoTrack()), priority=-300)
    assert row.trace("a", "10.9.9.9", "tcp", size=80).outcome.kind == "reply"
    assert str(row.trace("a", "10.9.9.9", "tcp", size=600).outcome) == "silence after the handshake"


def test_the_last_segment_of_a_question_finds_out_that_the_server_has_closed(net: Any) -> None:
    """y has not seen the SYN: the answer to it passes as it is, and what follows is masqueraded, which a resets, and so y resets b.

    The question's train of two segments got to b. Repeated as one segment it would not; its last segment, of 72 bytes, does.
    """
    net.node("a").router("x").router("y").node("b").wire("a:x 10.1.0.2/24", "x:in 10.1.0.1/24").wire("x:out 10.2.0.1/24", "b:x 10.2.0.2/24")
    net.wire("b:y 10.3.0.2/24", "y:in 10.3.0.1/24").wire("y:out 10.4.0.1/24", "a:y 10.4.0.2/24").listen("b", "tcp", 80)
    net.route("a", "10.2.0.0/24 via 10.1.0.1 dev x", "10.3.0.0/24 via 10.4.0.1 dev y").route("b", "10.1.0.0/24 via 10.3.0.1 dev y")
    net.route("y", "10.1.0.0/24 via 10.4.0.2 dev out", "10.2.0.0/24 via 10.3.0.2 dev in")
    net.chain("y", "postrouting", (Match(Meta("l4proto"), "tcp"), Nat("masquerade")), type="nat", priority=100)
    net.builder["b"].change_link("x", mtu=1000)
    assert net.trace("a", "10.2.0.2", "tcp", size=1520).outcome.kind == "refused"


def test_what_rules_sent_where_there_is_no_way_is_seen_by_no_later_chain(row: Any) -> None:
    row.rule("a", "7: fwmark 1 lookup 7").route("a", "prohibit default table 7").chain("a", "output", Mangle(Meta("mark"), 1), type="route")
    row.chain("a", "output", Reject("icmp", "port-unreachable"), priority=5)
    conversation = row.trace("a", "10.2.0.2")
    assert (conversation.outcome.kind, conversation.outcome.errno) == ("local error", "EACCES")
    assert isinstance(conversation.request.verdict, Dropped)
    assert (conversation.request.verdict.stage, conversation.request.verdict.reason) == ("rerouting", Reason.PROHIBIT)


@pytest.mark.parametrize(("device", "outcome"), [("eth0", "silence after the handshake"), ("lo", "a reply from 10.1.0.77")])
def test_no_path_mtu_is_learned_for_an_own_address_that_is_not_on_lo(row: Any, device: str, outcome: str) -> None:
    """What a sends to itself is translated, and goes to b by a router whose next link is too narrow."""
    row.address("a", device, "10.1.0.77/32").listen("b", "tcp", 80)
    row.chain("a", "output", (Match(Payload("ip", "daddr"), IPv4Address("10.1.0.77")), Nat("dnat", IPv4Address("10.2.0.2"))), type="nat")
    row.builder["r"].change_link("right", mtu=1000)
    row.builder["b"].change_link("eth0", mtu=1000)
    row.builder["b"].routes[:] = [replace(route, mtu=1500) for route in row.builder["b"].routes]
    assert str(row.trace("a", "10.1.0.77", "tcp", size=1400, answer_size=100).outcome) == outcome


def test_default_routes_for_different_tos_take_turns_and_those_of_larger_metric_do_not(net: Any) -> None:
    net.node("a").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").wire("a:eth1 10.2.0.2/24", "q:left 10.2.0.1/24")
    net.route("a", "default via 10.1.0.1 dev eth0", "default via 10.2.0.1 dev eth1 metric 7").address("r", "lo", "10.9.0.1/32")
    assert net.trace("a", "10.9.0.1", tos=8).outcome.kind == "reply"
    net.route("a", "default via 10.1.0.1 dev eth0 tos 0x8 metric 9")
    assert net.trace("a", "10.9.0.1").outcome.kind == "reply"
    assert "which of several default routes" in net.trace("a", "10.9.0.1", tos=8).outcome.why


def test_tcp_does_not_repeat_what_would_die_the_same_death(row: Any) -> None:
    row.listen("b", "tcp", 80).chain("b", "output", (Match(Payload("ip", "length"), 500, ">"), DROP))
    assert [traced.purpose for traced in row.trace("a", "10.2.0.2", "tcp", size=600).traces].count("answer") == 1


def test_a_host_that_sends_without_an_address_tells_itself_of_its_failure(net: Any) -> None:
    """The error about a packet from 0.0.0.0 goes to 0.0.0.0, which is this host: lo tells lo."""
    net.wire("a:eth0", "b:eth0").address("a", "eth0", "10.1.0.2/24", scope="link").route("a", "10.2.0.0/24 via 10.1.0.1 dev eth0")
    outcome = net.trace("a", "10.2.0.2").outcome
    assert (outcome.kind, str(outcome.source), outcome.icmp_code) == ("error", "127.0.0.1", 1)


def test_a_route_chain_has_its_way_looked_up_at_once_whatever_later_chains_mark(row: Any) -> None:
    row.rule("a", "100: fwmark 1 lookup 7").route("a", "unreachable default table 7")
    row.chain("a", "output", Mangle(Meta("mark"), 1), type="route", priority=-150)
    row.chain("a", "output", Mangle(Meta("mark"), 2), priority=10)
    assert row.trace("a", "10.2.0.2").outcome.errno == "EHOSTUNREACH"


def test_the_lookup_after_rules_knows_protocol_and_ports_if_a_policy_rule_asks_for_them(row: Any) -> None:
    row.chain("a", "output", (Match(Payload("ip", "daddr"), IPv4Address("10.9.9.9")), Nat("dnat", IPv4Address("10.2.0.2"))), type="nat")
    row.listen("b", "udp", 80).route("a", "prohibit default table 7").rule("a", "100: iif lo to 10.2.0.2 ipproto udp dport 80 lookup 7")
    assert row.trace("a", "10.9.9.9", "udp").outcome.kind == "reply"
    row.rule("a", "200: to 10.2.0.2 ipproto udp dport 80 lookup 7")
    assert row.trace("a", "10.9.9.9", "udp").outcome.errno == "EACCES"
    assert row.trace("a", "10.9.9.9").outcome.kind == "reply"


def test_a_path_mtu_is_learned_by_a_lookup_without_ports_so_a_policy_rule_for_ports_never_hears_of_it(net: Any) -> None:
    net.node("a").router("r").node("b").wire("a:one 10.1.0.2/24", "r:one 10.1.0.1/24").wire("a:two 10.4.0.2/24", "r:two 10.4.0.1/24")
    net.wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24", mtu=1300).route("b", "default via 10.2.0.1 dev eth0").listen("b", "tcp", 80)
    net.builder["b"].change_link("eth0", mtu=1500)  # so that only a report tells how narrow the way is
    net.route("a", "default via 10.1.0.1 dev one", "default via 10.4.0.1 dev two table 7").rule("a", "100: ipproto tcp lookup 7")
    assert net.trace("a", "10.2.0.2", "tcp", size=1480, answer_size=100).outcome.kind == "reply"
    net.rule("a", "90: ipproto tcp dport 80 lookup 7")
    net.builder["a"].delete_rules(lambda rule: rule.priority == 100)
    assert str(net.trace("a", "10.2.0.2", "tcp", size=1480, answer_size=100).outcome) == "silence after the handshake"


def test_of_a_question_that_had_to_be_repeated_an_echo_has_only_the_first_segment(net: Any) -> None:
    """a's tunnel first learns how narrow its way is; b answers as much as came at last, which the way back still takes."""
    net.node("a").router("r").node("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24", mtu=1400)
    net.wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    net.route("a", "default via 10.1.0.1 dev eth0").route("b", "default via 10.2.0.1 dev eth0")
    for name, local, inner in (("a", "10.1.0.2", "10.9.0.1"), ("b", "10.2.0.2", "10.9.0.2")):
        net.vxlan(name, "vx", 7, local, mtu=1500, df=True).address(name, "vx", f"{inner}/24")
    for name, other, far, inner in (("a", "b", "10.2.0.2", "10.9.0.2"), ("b", "a", "10.1.0.2", "10.9.0.1")):
        net.neighbour(name, "vx", inner, net.mac_of(other, "vx")).fdb(name, "vx", net.mac_of(other, "vx"), far)
    traces = net.listen("b", "tcp", 80).trace("a", "10.9.0.2", "tcp", size=1420).traces
    sizes = [(traced.purpose, traced.packet.size) for traced in traces if traced.purpose in ("data", "answer")]
    assert sizes == [("data", 1420), ("data", 1350), ("answer", 1350)]
    traces = net.trace("a", "10.9.0.2", "tcp", size=2000).traces  # more than one segment from the start
    assert next(traced.packet.size for traced in traces if traced.purpose == "answer") == 1500


def test_where_what_was_noticed_fits_two_worlds_the_next_question_is_asked_in_both(net: Any) -> None:
    """Whichever router took the datagram remembers it, and only that one lets anything back."""
    net.node("a").router("r").router("q").node("b")
    net.wire("a:up 10.1.0.2/24", "r:left 10.1.0.1/24").wire("a:down 10.3.0.2/24", "q:left 10.3.0.1/24")
    net.wire("r:right 10.2.0.1/24", "b:up 10.2.0.2/24").wire("q:right 10.4.0.1/24", "b:down 10.4.0.2/24")
    net.address("a", "lo", "10.8.8.8/32").address("b", "lo", "10.9.9.9/32")
    net.route("a", "default nexthop via 10.1.0.1 dev up nexthop via 10.3.0.1 dev down").route("b", "default via 10.2.0.1 dev up")
    net.route("r", "10.9.9.9/32 via 10.2.0.2 dev right", "10.8.8.8/32 via 10.1.0.2 dev left")
    net.route("q", "10.9.9.9/32 via 10.4.0.2 dev right")
    net.listen("b", "udp", 80, behaviour="sink").listen("a", "udp", 9, behaviour="sink")
    net.chain("r", "forward", (Match(Meta("iifname"), "left"), ACCEPT), (Match(Ct("state"), "established"), ACCEPT), policy="drop")
    there = Flow("a", IPv4Address("10.9.9.9"), "udp", 80, 9, source_address=IPv4Address("10.8.8.8"))
    back = Flow("b", IPv4Address("10.8.8.8"), "udp", 9, 80, source_address=IPv4Address("10.9.9.9"))
    possible: list[bool] = []

    def ask(flow: Flow, expected: Expected) -> str:
        if flow is there:
            return "silence seen in b as 10.8.8.8 ttl 63"
        possible.extend(map(expected, ("silence", "silence seen in a as 10.9.9.9 ttl 63")))
        return "silence"

    tally = judge(net.state, (there, back), ask)
    assert not tally.disagreements
    assert possible == [True, True]


def test_whoever_sends_to_no_address_at_all_means_himself(row: Any) -> None:
    assert str(row.trace("a", "0.0.0.0").outcome) == "a reply from 127.0.0.1"
    assert str(row.trace("a", "0.0.0.0", source_address=IPv4Address("10.1.0.2")).outcome) == "a reply from 10.1.0.2"


def test_other_addresses_that_begin_with_zero_are_like_any_others(row: Any) -> None:
    """Since Linux 5.3 only 0.0.0.0 itself is no address (`ipv4_is_zeronet`)."""
    assert str(row.trace("a", "0.0.0.5").outcome) == "error: net unreachable from 10.1.0.1"


def narrow_behind(row: Any) -> Any:
    """Let r have a narrow link to b, which it reports."""
    row.builder["r"].change_link("right", mtu=1000)
    return row


def test_a_path_mtu_reported_about_a_marked_ping_is_learned_of_unmarked_packets_as_well(row: Any) -> None:
    narrow_behind(row).rule("a", "100: fwmark 1 lookup 7").route("a", "default via 10.1.0.1 dev eth0 table 7")
    known = row.trace("a", "10.2.0.2", mark=1, size=1400, df=True).memory
    assert row.trace("a", "10.2.0.2", size=1400, df=True, memory=known).outcome.errno == "EMSGSIZE"


def test_where_marks_are_reflected_it_is_learned_with_that_of_the_report(row: Any) -> None:
    narrow_behind(row).rule("a", "100: fwmark 2 lookup 7").route("a", "default via 10.1.0.1 dev eth0 table 7")
    row.chain("a", "prerouting", Mangle(Meta("mark"), 2)).sysctl("a", "net/ipv4/fwmark_reflect", 1)
    known = row.trace("a", "10.2.0.2", size=1400, df=True).memory
    assert row.trace("a", "10.2.0.2", mark=2, size=1400, df=True, memory=known).outcome.errno == "EMSGSIZE"


def test_of_a_datagram_only_its_socket_learns(row: Any) -> None:
    narrow_behind(row).rule("a", "100: fwmark 1 lookup 7").route("a", "default via 10.1.0.1 dev eth0 table 7").listen("b", "udp", 80)
    known = row.trace("a", "10.2.0.2", "udp", mark=1, size=1400, df=True).memory
    assert row.trace("a", "10.2.0.2", "udp", size=1400, df=True, memory=known).outcome.kind == "error"
    assert row.trace("a", "10.2.0.2", "udp", mark=1, size=1400, df=True, memory=known).outcome.errno == "EMSGSIZE"


def test_a_translated_packet_is_cut_by_the_path_mtu_of_its_new_destination(row: Any) -> None:
    """Its way is looked up anew, and what was learned of the new destination counts, the next hop being the same."""
    narrow_behind(row).listen("b", "udp", 80)
    row.chain("a", "output", (Match(Payload("ip", "daddr"), IPv4Address("10.9.9.9")), Nat("dnat", IPv4Address("10.2.0.2"))), type="nat")
    assert row.trace("a", "10.9.9.9", "udp", size=1400).outcome.kind == "error"
    known = row.trace("a", "10.2.0.2", size=1400, df=True).memory
    assert row.trace("a", "10.9.9.9", "udp", size=1400, memory=known).seen is not None


@pytest.mark.parametrize(("bridge_calls", "identifier"), [(0, 40000), (1, 0)])
def test_a_ping_that_comes_by_again_as_another_flow_is_given_another_identifier(net: Any, bridge_calls: int, identifier: int) -> None:
    """q sends it back across s's bridge. Tracked there, it is a new flow with the key that s has masqueraded the ping to."""
    net.node("s").router("q").node("b").wire("s:p", "q:eth0 10.1.0.2/24").wire("s:o", "b:eth0 10.1.0.3/24")
    net.bridge("s", "br", "p", "o").address("s", "br", "10.1.0.1/24").address("s", "lo", "10.9.0.1/32")
    net.route("s", "10.1.0.3/32 via 10.1.0.2 dev br").sysctl("s", "net/bridge/bridge-nf-call-iptables", bridge_calls)
    net.chain("s", "postrouting", Nat("masquerade"), type="nat", priority=100)
    conversation = net.trace("s", "10.1.0.3", source_address=IPv4Address("10.9.0.1"))
    assert (conversation.outcome.kind, conversation.seen.namespace, conversation.seen.source_port) == ("reply", "b", identifier)


@pytest.mark.parametrize(
    ("to", "outcome"), [("10.1.0.3", "a reply"), ("10.1.0.99", "error: host unreachable from 10.9.0.1"), ("10.77.0.1", "silence")]
)
def test_what_is_translated_on_a_bridge_is_told_of_a_neighbour_that_is_not_there_but_not_of_a_way(net: Any, to: str, outcome: str) -> None:
    net.node("a").router("s").node("b").wire("a:eth0 10.1.0.2/24", "s:p").wire("b:eth0 10.1.0.3/24", "s:o")
    net.bridge("s", "br", "p", "o").address("s", "br", "10.1.0.1/24").route("a", "default via 10.1.0.1 dev eth0")
    net.sysctl("s", "net/bridge/bridge-nf-call-iptables", 1)
    net.chain("s", "prerouting", (Match(Payload("ip", "daddr"), IPv4Address("10.9.0.1")), Nat("dnat", IPv4Address(to))), type="nat")
    assert str(net.trace("a", "10.9.0.1").outcome).startswith(outcome)


def test_a_neighbour_may_be_known_from_a_conversation_that_was_not_decided(row: Any) -> None:
    """b answers no request, but makes one if a's ping gets there, by which r learns of it; whether it does a rate limit decides."""
    row.conf("b", "eth0", arp_ignore=8).chain("r", "forward", (Limit(1, "second"), DROP))
    assert row.trace("r", "10.2.0.2").outcome.kind == "error"
    asked = row.trace("a", "10.2.0.9")
    assert "a rate limit decides" in asked.outcome.why
    assert "10.2.0.2 may be known from an earlier conversation" in row.trace("r", "10.2.0.2", memory=asked.memory).outcome.why


def test_whoever_spoke_in_a_conversation_that_was_not_decided_may_know_a_path_mtu(row: Any) -> None:
    """r's narrow link to b is reported if the rate limit lets the datagram get there, and then ping knows of it."""
    narrow_behind(row).listen("b", "udp", 80).chain("r", "prerouting", (Match(Meta("l4proto"), "udp"), Limit(1, "second"), DROP))
    asked = row.trace("a", "10.2.0.2", "udp", size=1400)
    assert "a rate limit decides" in asked.outcome.why
    later = row.trace("a", "10.2.0.2", size=1400, df=True, memory=asked.memory)
    assert "may be known from an earlier conversation" in later.outcome.why
    assert row.trace("a", "10.2.0.2", size=500, df=True, memory=asked.memory).outcome.kind == "reply"
    assert row.trace("a", "10.1.0.1", size=1400, df=True, memory=asked.memory).outcome.kind == "unknown"  # the answer, to a
    short = row.trace("a", "10.2.0.2", "udp", size=200)
    assert row.trace("a", "10.2.0.2", size=1400, df=True, memory=short.memory).outcome.kind == "error"


def test_by_a_route_that_locks_its_mtu_nothing_forbids_fragments_nor_is_a_narrow_way_learned(row: Any) -> None:
    """Without the lock a's packets say "do not fragment", and r reports how narrow its link is."""
    narrow_behind(row).builder["b"].change_link("eth0", mtu=1000)
    assert row.trace("a", "10.2.0.2", size=1400).outcome.kind == "error"
    row.builder["a"].routes[:] = [replace(r, mtu=1500, mtu_locked=r.via is not None) for r in row.builder["a"].routes]
    assert row.trace("a", "10.2.0.2", size=1400).outcome.kind == "reply"
    known = row.trace("a", "10.2.0.2", size=1400, df=True).memory
    assert row.trace("a", "10.2.0.2", size=1400, df=True, memory=known).outcome.kind == "error", "again, for nothing was learned"
