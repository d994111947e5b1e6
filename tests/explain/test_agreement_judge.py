"""What counts as agreement: in which world, with which excuse, and when more time is given."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.explain.agreement.corpus import network_of
from lab.explain.agreement.judge import Expected, Tally, judge
from lab.forwarding import Flow
from lab.state import AddressEntry, FdbEntry, Link, Loopback, Route, State, StateBuilder, Vxlan, complete

OUTSIDE = IPv4Address("10.9.9.9")


def pair(*, tunnel: bool = False) -> State:
    """a sends everything to r, which has no route for most of it, nor for the other end of a's tunnel."""
    builder = StateBuilder()
    for name in ("a", "r"):
        builder.add_namespace(name).sysctl("net/ipv4/ip_forward", int(name == "r"))
    builder.add_veth(("a", Link("eth0", Loopback())), ("r", Link("in", Loopback())))
    builder["a"].add_address(AddressEntry("eth0", IPv4Interface("10.1.0.2/24")))
    builder["r"].add_address(AddressEntry("in", IPv4Interface("10.1.0.1/24")))
    builder["a"].add_route(Route(IPv4Network("0.0.0.0/0"), via=IPv4Address("10.1.0.1"), device="eth0"))
    if tunnel:
        builder["a"].add_link(Link("vx", Vxlan(7, 4789, IPv4Address("10.1.0.2")), mtu=1450))
        builder["a"].add_address(AddressEntry("vx", IPv4Interface("10.8.0.1/24")))
        builder["a"].append_fdb(FdbEntry("vx", "00:00:00:00:00:00", OUTSIDE))
    return complete(builder.freeze())


def judged(flows: list[Flow], *observed: str) -> Tally:
    answers = iter(observed)
    return judge(pair(), flows, lambda flow, is_expected: next(answers))


ERROR = "error source=10.1.0.1 icmp=(3, 0)"


def test_what_is_observed_as_predicted_is_no_disagreement() -> None:
    assert judged([Flow("a", OUTSIDE)], ERROR).disagreements == []


def test_anything_else_is_one() -> None:
    (found,) = judged([Flow("a", OUTSIDE)], "silence").disagreements
    assert (found.predicted, found.observed) == ((ERROR,), "silence")


def test_after_five_refusals_of_routing_the_next_may_be_withheld_from_the_same_source() -> None:
    tally = judged([Flow("a", OUTSIDE)] * 6, *[ERROR] * 5, "silence")
    assert (tally.disagreements, tally.rationed) == ([], 1)


def test_but_not_before() -> None:
    assert [one.number for one in judged([Flow("a", OUTSIDE)] * 5, *[ERROR] * 4, "silence").disagreements] == [4]


def test_tcp_may_spend_them_all_at_once() -> None:
    told = "error source=10.1.0.1 icmp=(3, 0)"
    tally = judged([Flow("a", OUTSIDE, "tcp", destination_port=80), Flow("a", OUTSIDE)], told, "silence")
    assert (tally.disagreements, tally.rationed) == ([], 1)


def test_every_request_for_a_neighbour_that_is_refused_in_a_tunnel_counts() -> None:
    """a asks twice for who does not answer (`mcast_solicit` of random networks), through r, which refuses it."""
    flows = [Flow("a", OUTSIDE)] * 3 + [Flow("a", IPv4Address("10.8.0.9"))] + [Flow("a", OUTSIDE)]
    answers = iter([*[ERROR] * 3, "error source=10.8.0.1 icmp=(3, 1)", "silence"])
    tally = judge(pair(tunnel=True), flows, lambda flow, is_expected: next(answers))
    assert (tally.disagreements, tally.rationed) == ([], 1)


def test_but_not_if_it_says_something_else() -> None:
    assert len(judged([Flow("a", OUTSIDE)] * 6, *[ERROR] * 5, "reply source=10.9.9.9").disagreements) == 1


def test_whoever_asks_is_told_what_would_be_expected_so_that_it_can_give_the_rest_more_time() -> None:
    told = []

    def ask(flow: Flow, is_expected: Expected) -> str:
        told.append((is_expected(ERROR), is_expected("silence")))
        return ERROR

    judge(pair(), [Flow("a", OUTSIDE)] * 6, ask)
    assert told == [(True, False)] * 5 + [(True, True)]


def test_a_network_of_ten_has_ten_namespaces_and_a_ping_for_each_ordered_pair() -> None:
    for seed in range(20):
        state, flows = network_of(seed, None, 10)
        assert len(state.namespaces) == 10
        with_address = [n for n in state if any(e.interface.version == 4 and not e.interface.ip.is_loopback for e in n.addresses)]
        assert len(flows) == len(with_address) * (len(with_address) - 1)
        assert len({(flow.source, flow.source_port) for flow in flows}) == len(flows)
