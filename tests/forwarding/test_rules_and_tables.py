"""Policy rules and routing tables: what matches, in which order, and what the search does when nothing does."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network
from typing import Any

import pytest

from lab.forwarding import Network
from lab.forwarding.fib import Lookup, Query
from lab.forwarding.unknown import Undecided


@pytest.fixture
def host(net: Any) -> Any:
    """A host with three ways out: one, two, three; each goes to a router of its own."""
    net.node("h")
    for number, device in enumerate(("one", "two", "three"), start=1):
        net.wire(f"h:{device} 10.0.{number}.2/24", f"r{number}:eth0 10.0.{number}.1/24")
    return net


def look(net: Any, to: str, **query: Any) -> Lookup:
    if "source" in query:
        query["source"] = int(IPv4Address(query["source"]))
    return Network(net.state).node("h").fib.lookup(Query(int(IPv4Address(to)), **query))


def way(net: Any, to: str, **query: Any) -> str | None:
    """The device the packet leaves by, or the error."""
    answer = look(net, to, **query)
    return answer.error if answer.error else answer.exits[0].device


SELECTORS = [
    ("from 192.0.2.0/24", {"source": "192.0.2.7"}, {"source": "198.51.100.7"}),
    ("to 9.9.9.0/24", {}, None),
    ("fwmark 0x10", {"mark": 0x10}, {"mark": 0x11}),
    ("fwmark 0x10/0xf0", {"mark": 0x1F}, {"mark": 0x2F}),
    ("iif one", {"iif": "one"}, {"iif": "two"}),
    ("iif lo", {}, {"iif": "one"}),
    ("tos 0x10", {"tos": 0x10}, {"tos": 0x08}),
    ("uidrange 1000-1999", {"uid": 1500}, {"uid": 2000}),
    ("ipproto tcp", {"protocol": 6}, {"protocol": 17}),
    ("dport 5000-6000", {"destination_port": 5500}, {"destination_port": 6001}),
    ("sport 53", {"source_port": 53}, {"source_port": 54}),
]


@pytest.mark.parametrize(("selector", "meets", "misses"), SELECTORS, ids=lambda value: str(value))
def test_a_rule_applies_when_its_selector_is_met_and_not_otherwise(host: Any, selector: str, meets: Any, misses: Any) -> None:
    host.route("h", "default via 10.0.1.1 dev one", "default via 10.0.2.1 dev two table 7").rule("h", f"100: {selector} lookup 7")
    assert way(host, "9.9.9.9", **meets) == "two"
    if misses is not None:
        assert way(host, "9.9.9.9", **misses) == "one"


def test_not_turns_a_rule_round(host: Any) -> None:
    host.route("h", "default via 10.0.1.1 dev one", "default via 10.0.2.1 dev two table 7").rule("h", "100: not fwmark 0x10 lookup 7")
    assert way(host, "9.9.9.9", mark=0x10) == "one"
    assert way(host, "9.9.9.9", mark=0) == "two"


def test_goto_skips_the_rules_in_between(host: Any) -> None:
    host.route("h", "default via 10.0.1.1 dev one table 7", "default via 10.0.2.1 dev two table 8")
    host.rule("h", "100: fwmark 0x1 goto 300", "200: lookup 7", "300: lookup 8")
    assert way(host, "9.9.9.9", mark=1) == "two"
    assert way(host, "9.9.9.9") == "one"


def test_goto_to_a_priority_nobody_has_does_nothing(host: Any) -> None:
    host.route("h", "default via 10.0.1.1 dev one").rule("h", "100: goto 300")
    assert way(host, "9.9.9.9") == "one"


def test_suppress_prefixlength_refuses_short_prefixes_and_goes_on(host: Any) -> None:
    host.route("h", "default via 10.0.1.1 dev one", "9.9.0.0/16 via 10.0.3.1 dev three", "default via 10.0.2.1 dev two table 7")
    host.rule("h", "100: lookup main suppress_prefixlength 0", "200: lookup 7")
    assert way(host, "9.9.9.9") == "three"
    assert way(host, "8.8.8.8") == "two"


def test_a_rule_that_depends_on_vrf_devices_is_unknown_and_not_guessed(host: Any) -> None:
    host.rule("h", "100: l3mdev lookup 7")
    with pytest.raises(Undecided, match="l3mdev"):
        look(host, "9.9.9.9")
    conversation = host.trace("h", "9.9.9.9")
    assert conversation.outcome.kind == "unknown"


def test_rules_are_asked_in_order_of_priority_and_the_first_answer_counts(host: Any) -> None:
    host.route("h", "default via 10.0.2.1 dev two table 7", "default via 10.0.3.1 dev three table 8")
    host.rule("h", "200: lookup 8", "100: lookup 7")
    assert way(host, "9.9.9.9") == "two"


@pytest.mark.parametrize(("action", "error"), [("blackhole", "EINVAL"), ("unreachable", "ENETUNREACH"), ("prohibit", "EACCES")])
def test_a_rule_may_refuse_by_itself(host: Any, action: str, error: str) -> None:
    host.rule("h", f"100: to 9.9.9.0/24 {action}")
    assert look(host, "9.9.9.9").error == error


@pytest.mark.parametrize(
    ("kind", "error"), [("blackhole", "EINVAL"), ("unreachable", "EHOSTUNREACH"), ("prohibit", "EACCES"), ("throw", "ENETUNREACH")]
)
def test_a_route_may_refuse_and_only_throw_lets_the_search_go_on(host: Any, kind: str, error: str) -> None:
    host.route("h", f"{kind} 9.9.9.0/24 table 7", "default via 10.0.2.1 dev two").rule("h", "100: lookup 7")
    assert look(host, "9.9.9.9").error == (None if kind == "throw" else error)
    assert look(host, "8.8.8.8").exits[0].device == "two"


class TestLongestPrefix:
    def test_the_longest_prefix_wins_whatever_its_metric(self, host: Any) -> None:
        host.route("h", "9.9.0.0/16 via 10.0.1.1 dev one", "9.9.9.0/24 via 10.0.2.1 dev two metric 900")
        assert way(host, "9.9.9.9") == "two"
        assert way(host, "9.9.8.9") == "one"

    def test_of_one_prefix_the_smallest_metric_wins(self, host: Any) -> None:
        host.route("h", "9.9.0.0/16 via 10.0.1.1 dev one metric 20", "9.9.0.0/16 via 10.0.2.1 dev two metric 10")
        assert way(host, "9.9.9.9") == "two"

    def test_a_route_with_tos_is_for_packets_of_that_tos_and_goes_before_one_without(self, host: Any) -> None:
        host.route("h", "9.9.0.0/16 via 10.0.1.1 dev one", "9.9.0.0/16 via 10.0.2.1 dev two tos 0x10 metric 5")
        assert way(host, "9.9.9.9", tos=0x10) == "two"
        assert way(host, "9.9.9.9") == "one"

    def test_a_route_by_another_device_is_passed_over_for_a_bound_socket(self, host: Any) -> None:
        host.route("h", "9.9.9.0/24 via 10.0.1.1 dev one", "9.9.0.0/16 via 10.0.2.1 dev two")
        assert way(host, "9.9.9.9", oif="two") == "two"

    def test_a_device_that_is_down_takes_its_routes_along(self, host: Any) -> None:
        host.route("h", "9.9.9.0/24 via 10.0.1.1 dev one", "9.9.0.0/16 via 10.0.2.1 dev two").down("h", "one")
        assert way(host, "9.9.9.9") == "two"

    def test_a_device_without_carrier_keeps_its_routes_unless_told_to_ignore_them(self, host: Any) -> None:
        host.route("h", "9.9.9.0/24 via 10.0.1.1 dev one", "9.9.0.0/16 via 10.0.2.1 dev two").down("r1", "eth0")
        assert way(host, "9.9.9.9") == "one"
        host.conf("h", "all", ignore_routes_with_linkdown=1)
        assert way(host, "9.9.9.9") == "two"


class TestLocalAndMainShareATrie:
    def test_without_policy_rules_a_longer_prefix_of_main_beats_a_shorter_local_one(self, host: Any) -> None:
        host.route("h", "local 9.9.0.0/16 dev lo table local", "9.9.9.0/24 via 10.0.1.1 dev one")
        assert look(host, "9.9.9.9").type == "unicast"

    def test_with_any_policy_rule_table_local_is_asked_first(self, host: Any) -> None:
        host.route("h", "local 9.9.0.0/16 dev lo table local", "9.9.9.0/24 via 10.0.1.1 dev one").rule("h", "100: fwmark 0x1 lookup 7")
        assert look(host, "9.9.9.9").type == "local"


class TestEcmp:
    def two_ways(self, net: Any) -> Any:
        net.node("a").router("r").node("b")
        net.wire("a:eth0 10.1.0.2/24", "r:in 10.1.0.1/24")
        for way in ("x", "y"):
            net.router(way)
        net.wire("r:x 10.3.0.1/24", "x:eth0 10.3.0.2/24").wire("r:y 10.4.0.1/24", "y:eth0 10.4.0.2/24")
        net.wire("x:out 10.5.0.1/24", "b:x 10.5.0.2/24").wire("y:out 10.6.0.1/24", "b:y 10.6.0.2/24")
        net.address("b", "lo", "10.9.0.9/32")
        net.route("a", "default via 10.1.0.1 dev eth0")
        net.route("b", "10.1.0.0/24 nexthop via 10.5.0.1 dev x nexthop via 10.6.0.1 dev y")
        net.route("r", "10.9.0.9/32 nexthop via 10.3.0.2 dev x nexthop via 10.4.0.2 dev y")
        for way, near, far in (("x", "10.3.0.1", "10.5.0.2"), ("y", "10.4.0.1", "10.6.0.2")):
            net.route(way, f"10.1.0.0/24 via {near} dev eth0", f"10.9.0.9/32 via {far} dev out")
        return net

    def test_every_choice_of_the_hash_is_a_world_of_its_own(self, net: Any) -> None:
        conversation = self.two_ways(net).trace("a", "10.9.0.9")
        assert {world.request.path for world in conversation.worlds} == {("a", "r", "x", "b"), ("a", "r", "y", "b")}
        assert conversation.must

    def test_what_only_some_worlds_deliver_may_arrive_but_need_not(self, net: Any) -> None:
        self.two_ways(net).route("y", "blackhole 10.9.0.9/32 metric 5")
        net.builder["y"].delete_routes(ip_network("10.9.0.9/32"), where=lambda route: route.via is not None)
        conversation = net.trace("a", "10.9.0.9")
        assert conversation.may
        assert not conversation.must

    def test_strict_rp_filter_is_content_with_any_of_several_ways_back(self, net: Any) -> None:
        conversation = self.two_ways(net).conf("b", "all", rp_filter=1).trace("a", "10.9.0.9")
        assert conversation.must
