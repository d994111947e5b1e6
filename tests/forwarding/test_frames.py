"""Rules that see frames, and cables that harm them: in the model, row by row; the kernel repeats every row whose end is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.forwarding import Dropped, Flow, Reason, Stage, Unknown, trace
from lab.state import BaseChain, Impairment
from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    Ct,
    Expression,
    Mangle,
    Match,
    Meta,
    Numgen,
    OpaqueExpression,
    Payload,
    Statement,
    Verdict,
    VerdictMap,
)
from tests.forwarding.conftest import Net

DROP, ACCEPT = Verdict("drop"), Verdict("accept")
REQUEST = Match(Payload("icmp", "type"), "echo-request")


def lan() -> Net:
    """a, b and c on one bridge in sw, and r, which is the router to z."""
    net = Net().router("r").node("z")
    for number, name in enumerate("abc", start=2):
        net.wire(f"{name}:eth0 10.1.0.{number}/24", f"sw:{name}")
        net.route(name, "default via 10.1.0.1 dev eth0")
    net.wire("r:lan 10.1.0.1/24", "sw:r").wire("r:out 10.2.0.1/24", "z:eth0 10.2.0.2/24").route("z", "default via 10.2.0.1 dev eth0")
    return net.bridge("sw", "br", "a", "b", "c", "r")


def chain(
    family: Any, hook: Any, *rules: tuple[Statement, ...], at: str = "sw", devices: tuple[str, ...] = (), **base: Any
) -> Callable[[Net], Net]:
    """Have a base chain that sees frames."""

    def change(net: Net) -> Net:
        made = net.builder[at].chain(family, "t", f"{hook}-chain", BaseChain("filter", hook, devices=devices, **base))
        for statements in rules:
            made.add(*statements)
        return net

    return change


def bridge(hook: Any, *rules: tuple[Statement, ...], **base: Any) -> Callable[[Net], Net]:
    return chain("bridge", hook, *rules, **base)


def impaired(at: str, device: str, **impairment: int) -> Callable[[Net], Net]:
    def change(net: Net) -> Net:
        net.builder[at].change_link(device, impairment=Impairment(**impairment))
        return net

    return change


def is_(left: Expression, right: Expression, operator: Any = "==") -> Match:
    return Match(left, right, operator)


@dataclass(frozen=True)
class Row:
    name: str
    change: Callable[[Net], Net]
    source: str
    target: str
    ends: str | None
    """Where the request ends, and at which stage; None: it is answered."""


ROWS = [
    Row("forwarded to one port", bridge("forward", (is_(Meta("oifname"), "b"), REQUEST, DROP)), "a", "10.1.0.3", "sw forward"),
    Row("forwarded to another port", bridge("forward", (is_(Meta("oifname"), "c"), REQUEST, DROP)), "a", "10.1.0.3", None),
    Row("forwarded from a port", bridge("forward", (is_(Meta("iifname"), "a"), REQUEST, DROP)), "a", "10.1.0.3", "sw forward"),
    Row("policy", bridge("forward", (is_(Meta("protocol"), "arp"), ACCEPT), policy="drop"), "a", "10.1.0.3", "sw forward"),
    Row(
        "before the switch",
        bridge("prerouting", (is_(Meta("iifname"), "a"), is_(Payload("ip", "saddr"), IPv4Address("10.1.0.2")), DROP)),
        "a",
        "10.1.0.3",
        "sw prerouting",
    ),
    Row("after the switch", bridge("postrouting", (is_(Meta("oifname"), "b"), REQUEST, DROP)), "a", "10.1.0.3", "sw postrouting"),
    Row("of another protocol", bridge("forward", (is_(Meta("l4proto"), "tcp"), DROP)), "a", "10.1.0.3", None),
    Row(
        "of an address in a set",
        bridge("forward", (is_(Payload("ip", "daddr"), AnonymousSet((IPv4Address("10.1.0.3"), IPv4Address("10.1.0.4")))), DROP)),
        "a",
        "10.1.0.3",
        "sw forward",
    ),
    Row(
        "by a verdict map",
        bridge("forward", (VerdictMap(Meta("oifname"), AnonymousMap((("b", DROP), ("c", ACCEPT)))),)),
        "a",
        "10.1.0.3",
        "arp",
    ),
    Row("of a bridge by its name", bridge("forward", (is_(Meta("ibrname"), "br"), REQUEST, DROP)), "a", "10.1.0.3", "sw forward"),
    Row("of no such bridge", bridge("forward", (is_(Meta("ibrname"), "br1"), REQUEST, DROP)), "a", "10.1.0.3", None),
    Row("by frame type", bridge("forward", (is_(Payload("ether", "type"), "ip"), DROP)), "a", "10.1.0.3", "sw forward"),
    Row(
        "the question for a neighbour",
        bridge("forward", (is_(Payload("arp", "operation"), "request"), is_(Payload("arp", "daddr ip"), IPv4Address("10.1.0.3")), DROP)),
        "a",
        "10.1.0.3",
        "arp",
    ),
    Row(
        "the answer of a neighbour",
        bridge("prerouting", (is_(Payload("arp", "operation"), "reply"), is_(Payload("arp", "saddr ip"), IPv4Address("10.1.0.3")), DROP)),
        "a",
        "10.1.0.3",
        "arp",
    ),
    Row(
        "the answer of another",
        bridge("prerouting", (is_(Payload("arp", "saddr ip"), IPv4Address("10.1.0.4")), DROP)),
        "a",
        "10.1.0.3",
        None,
    ),
    Row(
        "a mark that a later chain sees",
        lambda net: bridge("forward", (is_(Meta("mark"), 7), REQUEST, DROP))(bridge("prerouting", (Mangle(Meta("mark"), 7),))(net)),
        "a",
        "10.1.0.3",
        "sw forward",
    ),
    Row("a device's ingress", chain("netdev", "ingress", (REQUEST, DROP), at="r", devices=("lan",)), "a", "10.2.0.2", "r ingress"),
    Row("another device's ingress", chain("netdev", "ingress", (REQUEST, DROP), at="r", devices=("out",)), "a", "10.2.0.2", None),
    Row(
        "one of several devices", chain("netdev", "ingress", (REQUEST, DROP), at="r", devices=("out", "lan")), "a", "10.2.0.2", "r ingress"
    ),
    Row("ingress of family inet", chain("inet", "ingress", (REQUEST, DROP), at="r", devices=("lan",)), "a", "10.2.0.2", "r ingress"),
    Row("ingress of a bridge's port", chain("netdev", "ingress", (REQUEST, DROP), devices=("a",)), "a", "10.1.0.3", "sw ingress"),
    Row("a device's egress", chain("netdev", "egress", (REQUEST, DROP), at="r", devices=("out",)), "a", "10.2.0.2", "r egress"),
    Row(
        "arp taken", chain("arp", "input", (is_(Payload("arp", "saddr ip"), IPv4Address("10.1.0.2")), DROP), at="b"), "a", "10.1.0.3", "arp"
    ),
    Row(
        "arp of another taken",
        chain("arp", "input", (is_(Payload("arp", "saddr ip"), IPv4Address("10.1.0.4")), DROP), at="b"),
        "a",
        "10.1.0.3",
        None,
    ),
    Row("arp sent", chain("arp", "output", (is_(Payload("arp", "operation"), "request"), DROP), at="a"), "a", "10.1.0.3", "arp"),
    Row("all lost", lambda net: impaired("r", "out", loss=10_000)(known(net)), "a", "10.2.0.2", "r transmission"),
    Row("slow", impaired("r", "out", rate=8000), "a", "10.2.0.2", None),
]


def known(net: Net) -> Net:
    """The router knows its neighbour beyond."""
    return net.neighbour("r", "out", "10.2.0.2", net.mac_of("z", "eth0"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_where_it_ends(row: Row) -> None:
    conversation = row.change(lan()).trace(row.source, row.target)
    verdict = conversation.request.verdict
    if row.ends is None:
        assert str(conversation.outcome) == f"a reply from {row.target}"
    elif row.ends == "arp":
        assert isinstance(verdict, Dropped)
        assert (verdict.namespace, verdict.reason) == (row.source, Reason.NEIGHBOUR)
    else:
        assert isinstance(verdict, Dropped)
        assert f"{verdict.namespace} {verdict.stage}" == row.ends
        assert verdict.reason is (Reason.IMPAIRED if row.name == "all lost" else Reason.NETFILTER)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            bridge("forward", (is_(Ct("state"), "new", "in"), REQUEST, DROP)),
            "nft table bridge t sees frames, and ct is not modelled for frames",
        ),
        (bridge("forward", (REQUEST, Mangle(Payload("ip", "ttl"), 1))), "nft table bridge t sees frames, and a change of"),
        (bridge("forward", (is_(OpaqueExpression('{"x": 1}'), 1), DROP)), "nft table bridge t sees frames, and the expression"),
        (impaired("sw", "b", loss=3000), "b loses 30 % of what it sends, by chance"),
        (impaired("sw", "b", corruption=50), "b damages 0.5 % of what it sends, by chance"),
    ],
)
def test_what_the_model_cannot_tell_it_says(change: Callable[[Net], Net], why: str) -> None:
    net = change(lan()).neighbour("a", "eth0", "10.1.0.3", "02:00:00:00:00:03")
    net.neighbour("a", "eth0", "10.1.0.3", net.mac_of("b", "eth0"))
    verdict = net.trace("a", "10.1.0.3").request.verdict
    assert isinstance(verdict, Unknown)
    assert why in verdict.why


def test_a_number_drawn_makes_two_worlds() -> None:
    net = bridge("forward", (REQUEST, is_(Numgen("random", 4), 0), DROP))(lan())
    worlds = trace(net.network, Flow("a", IPv4Address("10.1.0.3"))).worlds
    assert {str(world.outcome) for world in worlds} == {"silence", "a reply from 10.1.0.3"}


def test_a_chain_that_lets_everything_pass_leaves_no_step() -> None:
    net = bridge("forward")(lan())
    assert not net.network.node("sw").ruleset.sees_frames
    assert all(step.stage is not Stage.FORWARD for hop, step in net.trace("a", "10.1.0.3").request.steps if hop.namespace == "sw")


def test_of_equal_priorities_the_chain_made_last_is_asked_first() -> None:
    net = lan()
    table = net.builder["sw"].table("bridge", "t")
    for name in ("first", "second"):
        table.chain(name, BaseChain("filter", "forward")).add(REQUEST, DROP)
    verdict = net.trace("a", "10.1.0.3").request.verdict
    assert isinstance(verdict, Dropped)
    assert "chain bridge t second" in verdict.text
