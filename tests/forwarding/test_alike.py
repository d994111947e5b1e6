"""What counts as alike does the same with every packet; what does not, is told apart."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.forwarding import Conversation, Flow, trace
from lab.forwarding.alike import Lookalikes
from lab.forwarding.generate import random_flows, random_state
from lab.state import State
from lab.state.nft import BinaryOperation, Chain, Match, NftRule, NftSet, NftTable, Payload, Prefix, SetRef, Statement, Verdict
from tests.examples import LONGER
from tests.forwarding.conftest import Net


def resized(network: IPv4Network, random: Random) -> IPv4Network:
    """A prefix that begins alike and is some bits longer or shorter."""
    length = min(31, max(1, network.prefixlen + random.randrange(-4, 5)))
    return IPv4Network((int(network.network_address), length), strict=False)


def with_other_prefixes(state: State, random: Random) -> State:
    """The same network with some prefixes of routes and conditions longer or shorter."""

    def statement(one: Statement) -> Statement:
        if (
            isinstance(one, Match)
            and isinstance(one.right, Prefix)
            and isinstance(one.right.network, IPv4Network)
            and random.random() < 0.5
        ):
            return replace(one, right=Prefix(resized(one.right.network, random)))
        return one

    def table(one: NftTable) -> NftTable:
        return replace(one, chains=tuple(chain(each) for each in one.chains))

    def chain(one: Chain) -> Chain:
        return replace(one, rules=tuple(replace(rule, statements=tuple(map(statement, rule.statements))) for rule in one.rules))

    found = dict(state.namespaces)
    for name, namespace in state.namespaces.items():
        routes = tuple(
            replace(route, destination=resized(route.destination, random))
            if route.protocol != 2 and isinstance(route.destination, IPv4Network) and random.random() < 0.3
            else route
            for route in namespace.routes
        )
        found[name] = replace(namespace, routes=routes, tables=tuple(map(table, namespace.tables)))
    return replace(state, namespaces=found)


def essence(found: Conversation) -> object:
    ways = [(one.outcome.kind, [(each.purpose, each.path, str(type(each.verdict))) for each in one.traces]) for one in found.worlds]
    return found.incomplete, ways


@settings(max_examples=40 * LONGER, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_alike_does_the_same_with_every_packet(seed: int) -> None:
    random = Random(seed)
    first = random_state(random, 5)
    second = with_other_prefixes(first, random)
    flows = [replace(flow, source_address=None) for flow in random_flows(random, first, 12)]
    lookalikes = Lookalikes()
    destinations = [flow.destination for flow in flows if isinstance(flow.destination, IPv4Address)]
    one, other = (lookalikes.kinds(state, destinations) for state in (first, second))
    mixed = {name: second[name] if one.of[name] == other.of[name] else first[name] for name in first.namespaces}
    third = replace(first, namespaces=mixed)
    assert [flow for flow in flows if essence(trace(first, flow)) != essence(trace(third, flow))] == []


def routed(*routes: str) -> State:
    net = Net().router("r1", rp_filter=0)
    net.wire("h1:eth0 10.1.0.2/24", "r1:lan 10.1.0.1/24").wire("h2:eth0 10.2.0.2/24", "r1:far 10.2.0.1/24")
    for route in routes:
        net.route("r1", route)
    return net.state


def are_alike(first: State, second: State, *also: str) -> bool:
    lookalikes = Lookalikes()
    one, other = (lookalikes.kinds(state, map(IPv4Address, also)) for state in (first, second))
    return one == other


def test_a_prefix_counts_by_the_addresses_it_holds() -> None:
    first = routed("10.64.0.0/12 via 10.2.0.2 dev far")
    assert are_alike(first, routed("10.64.0.0/13 via 10.2.0.2 dev far"), "10.65.0.1")
    assert not are_alike(first, routed("10.64.0.0/13 via 10.2.0.2 dev far"), "10.75.0.1")
    assert not are_alike(first, routed("10.64.0.0/13 via 10.1.0.2 dev lan"), "10.65.0.1")


def test_a_prefix_that_grows_longer_than_another_is_told_apart() -> None:
    blocked = "blackhole 10.64.0.0/14"
    first = routed("10.64.0.0/12 via 10.2.0.2 dev far", blocked)
    assert are_alike(first, routed("10.64.0.0/13 via 10.2.0.2 dev far", blocked), "10.64.0.1")
    assert not are_alike(first, routed("10.64.0.0/15 via 10.2.0.2 dev far", blocked), "10.64.0.1")


def test_an_address_that_comes_later_tells_apart_what_was_alike() -> None:
    lookalikes = Lookalikes()
    wide, narrow = routed("10.64.0.0/12 via 10.2.0.2 dev far"), routed("10.64.0.0/13 via 10.2.0.2 dev far")
    assert lookalikes.kinds(wide) == lookalikes.kinds(narrow)
    asked = [IPv4Address("10.75.0.1")]
    assert lookalikes.kinds(wide, asked).of["r1"] != lookalikes.kinds(narrow, asked).of["r1"]


def test_sets_count_by_what_they_hold_unless_something_computed_is_looked_up_in_them() -> None:
    def filtered(network: str, left: object) -> State:
        state = routed()
        condition = Match(left, SetRef("friends"))  # type: ignore[arg-type]
        chain = Chain("c", (NftRule((condition, Verdict("drop"))),), "filter", "forward", 0, "accept")
        friends = NftSet("friends", ("ipv4_addr",), (Prefix(IPv4Network(network)),), ("interval",))
        tables = (NftTable("ip", "t", (chain,), (friends,)),)
        return replace(state, namespaces={**state.namespaces, "r1": replace(state["r1"], tables=tables)})

    plain = Payload("ip", "daddr")
    masked = BinaryOperation("&", plain, IPv4Address("255.240.0.0"))
    assert are_alike(filtered("10.64.0.0/12", plain), filtered("10.64.0.0/13", plain))
    assert not are_alike(filtered("10.0.0.0/14", plain), filtered("10.0.0.0/16", plain))
    assert not are_alike(filtered("10.64.0.0/12", masked), filtered("10.64.0.0/13", masked))


def test_another_link_somewhere_is_another_shape() -> None:
    more = Net().router("r1", rp_filter=0)
    more.wire("h1:eth0 10.1.0.2/24", "r1:lan 10.1.0.1/24").wire("h2:eth0 10.2.0.2/24", "r1:far 10.2.0.1/24")
    more.wire("h2:more 10.3.0.2/24", "h3:eth0 10.3.0.1/24")
    lookalikes = Lookalikes()
    one, other = lookalikes.kinds(routed()), lookalikes.kinds(more.state)
    assert one.among(["h1"]) != other.among(["h1"])
    assert trace(routed(), Flow("h1", IPv4Address("10.1.0.1"))).must
