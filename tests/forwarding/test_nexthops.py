"""Routes that name nexthop objects: what the kernel's lookup does with them (net/ipv4/nexthop.c, `fib_table_lookup`)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

import pytest

from lab.forwarding import Dropped, Reason
from lab.forwarding.fib import Lookup, Query
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.state import NextHopObject, Route


def look(net: Any, name: str, destination: str, **more: Any) -> Lookup:
    return net.network.node(name).fib.lookup(Query(int(IPv4Address(destination)), **more))  # type: ignore[no-any-return]


@pytest.fixture
def fork(net: Any) -> Any:
    """Host a with two routers, left and right, in front of b."""
    net.node("a").router("left").router("right").node("b")
    net.wire("a:l 10.1.0.2/24", "left:in 10.1.0.1/24").wire("a:r 10.2.0.2/24", "right:in 10.2.0.1/24")
    net.wire("left:out 10.3.0.1/24", "b:l 10.3.0.2/24").wire("right:out 10.4.0.1/24", "b:r 10.4.0.2/24").address("b", "lo", "10.9.0.9/32")
    net.route("left", "10.9.0.9/32 via 10.3.0.2 dev out").route("right", "10.9.0.9/32 via 10.4.0.2 dev out")
    net.route("b", "10.1.0.0/24 via 10.3.0.1 dev l", "10.2.0.0/24 via 10.4.0.1 dev r")
    return net.nexthop("a", "1 via 10.1.0.1 dev l", "2 via 10.2.0.1 dev r", "3 group 1,10/2", "5 blackhole", "6 group 5")


def test_a_route_leads_where_the_nexthop_it_names_does(fork: Any) -> None:
    conversation = fork.route("a", "10.9.0.0/16 nhid 2").trace("a", "10.9.0.9")
    assert (conversation.outcome.kind, conversation.request.path) == ("reply", ("a", "right", "b"))


def test_every_member_of_a_group_may_be_taken_whatever_its_weight(fork: Any) -> None:
    conversation = fork.route("a", "10.9.0.0/16 nhid 3").trace("a", "10.9.0.9")
    assert {world.request.path for world in conversation.worlds} == {("a", "left", "b"), ("a", "right", "b")}


def test_a_source_address_of_ones_own_makes_no_difference_to_a_group(fork: Any) -> None:
    """It does to a route that lists its next hops: those with that address go before the others."""
    fork.route("a", "10.9.0.0/16 nhid 3", "10.9.0.0/24 nexthop via 10.1.0.1 dev l nexthop via 10.2.0.1 dev r")
    assert len(fork.trace("a", "10.9.0.9", source_address=IPv4Address("10.1.0.2")).worlds) == 1
    fork.builder["a"].routes.pop()
    assert len(fork.trace("a", "10.9.0.9", source_address=IPv4Address("10.1.0.2")).worlds) == 2


@pytest.mark.parametrize("number", [5, 6])
def test_a_blackhole_swallows_alone_and_as_the_only_member_of_a_group(fork: Any, number: int) -> None:
    fork.route("a", f"10.9.0.0/16 nhid {number}").route("left", "10.7.0.0/16 via 10.1.0.2 dev in").nexthop("left", "1 blackhole")
    assert fork.trace("a", "10.9.0.9").outcome.errno == "EINVAL"
    verdict = fork.route("left", "10.8.0.0/16 nhid 1").route("a", "10.8.0.0/16 via 10.1.0.1 dev l").trace("a", "10.8.0.1").request.verdict
    assert isinstance(verdict, Dropped)
    assert (verdict.namespace, verdict.reason) == ("left", Reason.BLACKHOLE)


@pytest.mark.parametrize("shared", [1, 3], ids=["the object itself", "a group with it"])
def test_routes_that_share_an_object_may_have_the_mtu_of_one_another(fork: Any, shared: int) -> None:
    """What was looked up for 10.8.0.1 is kept with the object, its MTU included (`rt_cache_route`)."""
    fork.route("a", "10.9.0.0/16 nhid 1", "10.7.0.0/16 nhid 1").listen("b", "tcp", 80)
    fork.builder["a"].add_route(Route(IPv4Network("10.8.0.0/16"), nexthop=shared, mtu=900))
    for other, outcome in (("10.7.0.1", "reply"), ("10.8.0.1", "unknown")):
        known = fork.trace("a", other).memory
        assert fork.trace("a", "10.9.0.9", size=900, memory=known).outcome.kind == "reply"
        for more in ({"size": 901}, {"protocol": "tcp"}):
            found = fork.trace("a", "10.9.0.9", memory=known, **more).outcome
            assert found.kind == outcome
            assert outcome == "reply" or "share a nexthop object and differ in their MTU" in found.why


def test_so_they_may_after_what_the_model_could_not_follow(fork: Any) -> None:
    fork.route("a", "10.9.0.0/16 nhid 1")
    fork.builder["a"].add_route(Route(IPv4Network("10.8.0.0/16"), nexthop=1, mtu=900))
    known = fork.trace("a", "224.0.0.9").memory
    assert fork.trace("a", "10.9.0.9", size=900, memory=known).outcome.kind == "reply"
    assert fork.trace("a", "10.9.0.9", size=901, memory=known).outcome.kind == "unknown"


@pytest.mark.parametrize("number", [1, 3], ids=["the object itself", "a group with it"])
def test_a_path_mtu_is_known_to_all_routes_that_share_the_object(fork: Any, number: int) -> None:
    """It is kept with the object; routes that name a next hop of their own learn it each by itself (`nhc_exceptions`)."""
    fork.down("right", "in").builder["left"].change_link("out", mtu=1000)
    fork.rule("a", "100: fwmark 1 lookup 7").route("a", "10.9.0.0/16 nhid 1", f"10.9.0.0/16 nhid {number} table 7")
    fork.rule("a", "101: fwmark 2 lookup 8").route("a", "10.9.0.0/16 via 10.1.0.1 dev l table 8")
    known = fork.trace("a", "10.9.0.9", size=1400, df=True).memory
    told = [fork.trace("a", "10.9.0.9", size=1400, df=True, mark=mark, memory=known).outcome for mark in (0, 1, 2)]
    assert [outcome.errno for outcome in told] == ["EMSGSIZE", "EMSGSIZE", None]


def test_a_member_over_a_device_without_carrier_is_gone(fork: Any) -> None:
    fork.route("a", "10.9.0.0/16 nhid 3", "default nhid 1").down("left", "in")
    assert [way.device for way in look(fork, "a", "10.9.0.9").exits] == ["r"]
    assert look(fork, "a", "10.77.0.1").error == "ENETUNREACH", "and a route that names nothing else with it"


def test_a_nexthop_that_does_not_suit_ends_the_search_among_prefixes_of_one_address(fork: Any) -> None:
    """They share a leaf of the trie, which `fib_table_lookup` leaves then; a shorter prefix of another address is tried."""
    fork.route("a", "10.9.0.0/24 nhid 1", "10.9.0.0/24 via 10.2.0.1 dev r metric 7", "10.9.0.0/16 via 10.2.0.1 dev r")
    assert look(fork, "a", "10.9.0.9").exits[0].device == "l"
    assert look(fork, "a", "10.9.0.9", oif="r").error == "ENETUNREACH"
    fork.route("a", "10.8.0.0/15 via 10.2.0.1 dev r")
    found = look(fork, "a", "10.9.0.9", oif="r").route
    assert found is not None
    assert str(found.destination) == "10.8.0.0/15"


def test_the_source_check_knows_every_member_of_a_group(fork: Any) -> None:
    fork.conf("b", "all", rp_filter=1)
    fork.builder["b"].delete_routes(next(route.destination for route in fork.builder["b"].routes if "10.1" in str(route.destination)))
    fork.nexthop("b", "1 via 10.3.0.1 dev l", "2 via 10.4.0.1 dev r", "3 group 1/2").route("b", "10.1.0.0/24 nhid 3")
    assert all(world.seen is not None for world in fork.route("a", "10.9.0.0/16 nhid 1").trace("a", "10.9.0.9").worlds)


def test_a_trace_tells_where_the_named_nexthop_leads_and_on_whose_account(fork: Any) -> None:
    steps = fork.route("a", "10.9.0.0/16 nhid 3").trace("a", "10.9.0.9").request.steps
    decision = next(step.decision for _, step in steps if isinstance(step.decision, InputRoute | OutputRoute))
    assert "10.9.0.0/16 nhid 3" in decision.sentence
    told = {detail.text: detail.subject for detail in decision.details}
    assert {"nexthop id 3 group 1,10/2", "nexthop id 1 via 10.1.0.1 dev l", "nexthop id 2 via 10.2.0.1 dev r"} <= set(told)
    assert told["nexthop id 1 via 10.1.0.1 dev l"].provenance.reason == "1 via 10.1.0.1 dev l"


def test_an_address_of_scope_link_is_chosen_for_a_nexthop_without_a_gateway(net: Any) -> None:
    """For a nexthop object the source is chosen when it is made, by its own scope; for a route by the scope of the route."""
    net.wire("a:eth0", "b:eth0 10.1.0.1/24").address("a", "eth0", "10.1.0.2/24", scope="link").address("a", "lo", "10.5.0.1/32")
    net.route("b", "10.5.0.1/32 dev eth0").nexthop("a", "1 dev eth0").route("a", "10.6.0.0/16 nhid 1", "10.7.0.0/16 dev eth0 scope global")
    sources = [str(net.trace("a", f"10.{number}.0.1").request.packet.source) for number in (6, 7)]
    assert sources == ["10.1.0.2", "10.5.0.1"]


def test_what_becomes_of_a_packet_to_a_next_hop_of_another_version_is_unknown(fork: Any) -> None:
    fork.builder["a"].add_nexthop(NextHopObject(9, IPv6Address("fd00::1"), "l"))
    outcome = fork.route("a", "10.9.0.0/16 nhid 9").trace("a", "10.9.0.9").outcome
    assert (outcome.kind, outcome.why) == ("unknown", "unknown at a: an IPv4 packet to a next hop of IPv6 is not modelled")
