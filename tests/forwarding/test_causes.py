"""Every way a packet can die in a router between two hosts, and what the sender sees of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from lab.forwarding import Dropped, Flow, Reason, trace
from lab.state.nft import Fib, Match, Reject, Verdict

Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Row:
    """One cause in the router: how it is made, where the packet dies, what the sender sees."""

    name: str
    change: Change
    reason: Reason | None
    sees: str
    to: str = "10.2.0.2"
    dies_in: str = "r"
    which: int = 0
    flow: tuple[tuple[str, Any], ...] = ()


def warm(net: Any) -> Any:
    """The neighbours of the sender's link know each other already."""
    net.neighbour("a", "eth0", "10.1.0.1", net.mac_of("r", "left"), state="reachable")
    return net.neighbour("r", "left", "10.1.0.2", net.mac_of("a", "eth0"), state="reachable")


def elsewhere(net: Any) -> Any:
    """The router's way back to the sender leads out by the wrong device."""
    return net.route("r", "10.1.0.2/32 via 10.2.0.2 dev right")


ROWS = [
    Row("strict rp_filter, neighbour known", lambda n: elsewhere(warm(n)).conf("r", "left", rp_filter=1), Reason.RP_FILTER, "silence"),
    Row(
        "strict rp_filter, neighbour unknown",
        lambda n: elsewhere(n).conf("r", "left", rp_filter=1),
        Reason.NEIGHBOUR,
        "error: host",
        dies_in="a",
    ),
    Row(
        "loose rp_filter, no route to the source",
        lambda n: warm(n).conf("r", "left", rp_filter=2).route("r", "blackhole 10.1.0.2/32"),
        Reason.RP_FILTER,
        "silence",
    ),
    Row(
        "all=2 and device=1 is loose",
        lambda n: elsewhere(warm(n)).conf("r", "all", rp_filter=2).conf("r", "left", rp_filter=1),
        None,
        "silence",
    ),
    Row("no route", lambda n: n, Reason.NO_ROUTE, "error: net unreachable from 10.1.0.1", to="10.9.0.2"),
    Row("blackhole route", lambda n: n.route("r", "blackhole 10.9.0.0/16"), Reason.BLACKHOLE, "silence", to="10.9.0.2"),
    Row(
        "unreachable route",
        lambda n: n.route("r", "unreachable 10.9.0.0/16"),
        Reason.UNREACHABLE,
        "error: host unreachable from 10.1.0.1",
        to="10.9.0.2",
    ),
    Row(
        "prohibit route",
        lambda n: n.route("r", "prohibit 10.9.0.0/16"),
        Reason.PROHIBIT,
        "error: packet filtered from 10.1.0.1",
        to="10.9.0.2",
    ),
    Row("throw route", lambda n: n.route("r", "throw 10.9.0.0/16"), Reason.NO_ROUTE, "error: net unreachable from 10.1.0.1", to="10.9.0.2"),
    Row("blackhole rule", lambda n: n.rule("r", "5: to 10.9.0.0/16 blackhole"), Reason.RULE_BLACKHOLE, "silence", to="10.9.0.2"),
    Row(
        "unreachable rule",
        lambda n: n.rule("r", "5: to 10.9.0.0/16 unreachable"),
        Reason.RULE_UNREACHABLE,
        "error: net unreachable",
        to="10.9.0.2",
    ),
    Row(
        "prohibit rule", lambda n: n.rule("r", "5: to 10.9.0.0/16 prohibit"), Reason.RULE_PROHIBIT, "error: packet filtered", to="10.9.0.2"
    ),
    Row("forwarding off on arrival", lambda n: n.conf("r", "left", forwarding=0), Reason.NOT_FORWARDING, "silence"),
    Row("forwarding off, and no route", lambda n: n.conf("r", "left", forwarding=0), Reason.NOT_FORWARDING, "silence", to="10.9.0.2"),
    Row("forwarding off on departure does not matter", lambda n: n.conf("r", "right", forwarding=0), None, "silence"),
    Row("TTL 1", lambda n: n, Reason.TTL, "error: time exceeded from 10.1.0.1", flow=(("ttl", 1),)),
    Row(
        "MTU with DF",
        lambda n: narrow(n),
        Reason.TOO_BIG,
        "error: fragmentation needed (mtu 1000) from 10.1.0.1",
        flow=(("size", 1300), ("df", True)),
    ),
    Row("nft drop", lambda n: n.chain("r", "forward", Verdict("drop")), Reason.NETFILTER, "silence"),
    Row("nft policy drop", lambda n: n.chain("r", "forward", policy="drop"), Reason.NETFILTER, "silence"),
    Row(
        "nft fib saddr . iif oif missing drop",
        lambda n: elsewhere(warm(n)).chain("r", "prerouting", (Match(Fib("oif", ("saddr", "iif")), False), Verdict("drop"))),
        Reason.NETFILTER,
        "silence",
    ),
    Row(
        "nft reject",
        lambda n: n.chain("r", "forward", Reject("icmp", "host-unreachable")),
        Reason.REJECTED,
        "error: host unreachable from 10.1.0.1",
    ),
    Row("neighbour does not answer", lambda n: n, Reason.NEIGHBOUR, "error: host unreachable from 10.1.0.1", to="10.2.0.99"),
    Row("output link down", lambda n: n.down("r", "right"), Reason.NO_ROUTE, "error: net unreachable from 10.1.0.1"),
    Row("the other end of the output link down", lambda n: far_end_down(n), Reason.NEIGHBOUR, "error: host unreachable from 10.1.0.1"),
    Row("source is an address of the router", lambda n: warm(n).address("r", "right", "10.1.0.2/32"), Reason.LOCAL_SOURCE, "silence"),
]


def far_end_down(net: Any) -> Any:
    """The receiver's device is down, and with it the routes over it."""
    net.builder["b"].routes.clear()
    return net.down("b", "eth0")


def narrow(net: Any) -> Any:
    net.builder["r"].change_link("right", mtu=1000)
    return net


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_a_cause_in_the_router_kills_the_packet_there_and_the_sender_sees_what_linux_shows_it(case: Row, row: Any) -> None:
    conversation = case.change(row).trace("a", case.to, **dict(case.flow))
    verdict = conversation.request.verdict
    if case.reason is None:
        assert conversation.request.delivered, str(verdict)
        return
    assert isinstance(verdict, Dropped), str(verdict)
    assert (verdict.namespace, verdict.reason) == (case.dies_in, case.reason), str(verdict)
    assert str(conversation.outcome).startswith(case.sees), str(conversation.outcome)


def test_without_a_route_back_the_reply_dies_in_the_router_and_the_receiver_is_told(row: Any) -> None:
    net = row.address("a", "eth0", "172.16.0.9/32")
    conversation = net.trace("a", "10.2.0.2", source_address=ip_address("172.16.0.9"))
    assert conversation.request.delivered
    assert conversation.reply is not None
    assert isinstance(conversation.reply.verdict, Dropped)
    assert conversation.reply.verdict.namespace == "r"
    assert [t.purpose for t in conversation.traces] == ["request", "reply", "error"]
    assert conversation.traces[2].verdict.namespace == "b"
    assert str(conversation.outcome) == "silence"


def test_a_strict_router_with_arp_announce_2_at_the_sender_drops_the_packet_itself(row: Any) -> None:
    """The request for the MAC then carries the sender's proper address, so it passes; the packet does not."""
    net = row.address("a", "eth0", "172.16.0.9/32").conf("a", "all", arp_announce=2).conf("r", "left", rp_filter=1)
    conversation = net.trace("a", "10.2.0.2", source_address=ip_address("172.16.0.9"))
    verdict = conversation.request.verdict
    assert isinstance(verdict, Dropped)
    assert (verdict.namespace, verdict.reason) == ("r", Reason.RP_FILTER)


def test_the_same_without_arp_announce_dies_as_an_unanswered_arp_request(row: Any) -> None:
    net = row.address("a", "eth0", "172.16.0.9/32").conf("r", "left", rp_filter=1)
    verdict = net.trace("a", "10.2.0.2", source_address=ip_address("172.16.0.9")).request.verdict
    assert isinstance(verdict, Dropped)
    assert (verdict.namespace, verdict.reason) == ("a", Reason.NEIGHBOUR)
    assert "the request of 172.16.0.9 is refused" in verdict.text


def foreign(net: Any, **gateway: int) -> Any:
    """A gateway g, a corporate hop c with MTU 1000 towards the far side, which answers from an address g routes elsewhere."""
    net.node("a").router("g", **gateway).router("c").node("b").node("x")
    net.wire("a:eth0 10.1.0.2/24", "g:in 10.1.0.1/24")
    net.wire("g:out 10.3.0.1/24", "c:in 10.3.0.2/24")
    net.wire("g:other 10.4.0.1/24", "x:eth0 10.4.0.2/24")
    net.wire("c:out 10.2.0.1/24", "b:eth0 10.2.0.2/24", mtu=1000)
    net.address("c", "lo", "172.30.0.1/32")
    net.route("a", "default via 10.1.0.1 dev eth0").route("b", "default via 10.2.0.1 dev eth0").route("x", "default via 10.4.0.1 dev eth0")
    net.route("g", "10.2.0.0/24 via 10.3.0.2 dev out", "172.30.0.0/16 via 10.4.0.2 dev other")
    return net.route("c", "10.1.0.0/24 via 10.3.0.1 dev in src 172.30.0.1")


FOREIGN_FLOWS = tuple(
    Flow("a", IPv4Address("10.2.0.2"), source_port=40_000 + number, **more)  # type: ignore[arg-type]
    for number, more in enumerate(({}, {"size": 1300, "df": True}, {"ttl": 2}))
)
"""A small ping, a large one that may not be cut, and one that ends at the foreign hop."""
SMALL, LARGE, HOP = "a reply from 10.2.0.2", "error: fragmentation needed (mtu 1000) from {}", "error: time exceeded from {}"
FOREIGN = [
    ("strict", lambda n: foreign(n, rp_filter=1), None, 2),
    ("loose on the gateway", lambda n: foreign(n, rp_filter=2), "172.30.0.1", 0),
    (
        "strict, and a route for the foreign source by that link",
        lambda n: foreign(n, rp_filter=1).route("g", "172.30.0.1/32 via 10.3.0.2 dev out"),
        "172.30.0.1",
        0,
    ),
    (
        "strict, and errors from the inbound address",
        lambda n: foreign(n, rp_filter=1).sysctl("c", "net/ipv4/icmp_errors_use_inbound_ifaddr", 1),
        "10.3.0.2",
        0,
    ),
]
"""Name, network, who answers for the corporate hop (nobody is heard with None), and how often the gateway's counter of the check moves."""


@pytest.mark.parametrize(("name", "build", "answers", "refused"), FOREIGN, ids=[case[0] for case in FOREIGN])
def test_a_foreign_icmp_source_is_heard_or_not(net: Any, name: str, build: Change, answers: str | None, refused: int) -> None:
    network = build(net).network
    seen = [str(trace(network, flow).outcome) for flow in FOREIGN_FLOWS]
    assert seen == [SMALL, *("silence" if answers is None else text.format(answers) for text in (LARGE, HOP))]
