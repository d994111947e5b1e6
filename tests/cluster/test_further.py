"""What happens to a network that somebody has changed by hand: agents put right what they own, and leave the rest."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from lab.cluster import compile, compile_further
from lab.spec import open_topology
from lab.spec.events import AgentRestart, Event, FelixResync, History, Join, OperatorRestart
from lab.state import FdbEntry, Route, State, difference
from lab.state.state_builder import StateBuilder

JOINED = (
    Join(cluster="cluster-1", clustercidr=IPv4Network("10.46.0.0/16")),
    Join(cluster="cluster-2", clustercidr=IPv4Network("10.42.0.0/16")),
)
GUESSED = History(("c1-w1", "c1-w2", "c2-w1", "c2-w2"), (Join(cluster="cluster-1"), Join(cluster="cluster-2")))


def after(history: History, *events: Event, found: State | None = None) -> State:
    topology = open_topology("two-clusters").model
    return compile_further(topology, history, History((), events), found or compile(topology, history))


@pytest.mark.parametrize(
    "event",
    [AgentRestart(cluster="cluster-1"), OperatorRestart(cluster="cluster-2"), FelixResync(cluster="cluster-1"), JOINED[0]],
    ids=lambda event: type(event).__name__,
)
@pytest.mark.parametrize("history", [History((), JOINED), GUESSED], ids=["joined", "guessed"])
def test_where_nobody_has_changed_anything_it_is_what_always_happens(history: History, event: Event) -> None:
    always = compile(open_topology("two-clusters").model, replace(history, events=(*history.events, event)))
    assert not difference(after(history, event), always)


def with_route(history: History, node: str, route: Route) -> State:
    builder = StateBuilder(compile(open_topology("two-clusters").model, history))
    builder[node].replace_route(route)
    return builder.freeze()


def routes_to(state: State, node: str, network: str) -> list[Route]:
    return [route for route in state[node].routes if str(route.destination) == network]


def test_a_restarting_agent_takes_routes_it_does_not_know_off_its_device() -> None:
    by_hand = Route(IPv4Network("10.99.0.0/16"), via=IPv4Address("240.18.1.2"), device="vx-submariner")
    found = with_route(History((), JOINED), "c1-w1", by_hand)
    assert routes_to(found, "c1-w1", "10.99.0.0/16")
    restarted = after(History((), JOINED), AgentRestart(cluster="cluster-1"), found=found)
    assert not routes_to(restarted, "c1-w1", "10.99.0.0/16")
    assert routes_to(restarted, "c1-w1", "10.42.0.0/16"), "what it knows is there"


def test_and_leaves_alone_what_is_on_another_device() -> None:
    by_hand = Route(IPv4Network("10.99.0.0/16"), via=IPv4Address("172.18.1.1"), device="eth0")
    found = with_route(History((), JOINED), "c1-w1", by_hand)
    assert routes_to(after(History((), JOINED), AgentRestart(cluster="cluster-1"), found=found), "c1-w1", "10.99.0.0/16")


def test_sysctls_that_no_agent_writes_stay_as_somebody_wrote_them() -> None:
    builder = StateBuilder(compile(open_topology("two-clusters").model, History((), JOINED)))
    builder["c1-w1"].sysctl("net/ipv4/conf/all/rp_filter", "0")
    builder["c1-w1"].sysctl("net/ipv4/conf/vxlan.calico/rp_filter", "0")
    restarted = after(History((), JOINED), AgentRestart(cluster="cluster-1"), found=builder.freeze())
    assert restarted["c1-w1"].sysctl("net/ipv4/conf/all/rp_filter") == "0"
    assert restarted["c1-w1"].sysctl("net/ipv4/conf/vxlan.calico/rp_filter") == "2", "the agent loosens it at every start"


def test_joining_again_repairs_what_somebody_did_to_the_tunnel() -> None:
    builder = StateBuilder(compile(open_topology("two-clusters").model, History((), JOINED)))
    builder.remove_link("c1-w1", "vx-submariner")
    restarted = after(History((), JOINED), *JOINED, found=builder.freeze())
    assert restarted["c1-w1"].link("vx-submariner") is not None
    assert routes_to(restarted, "c1-w1", "10.42.0.0/16")


def test_felix_puts_back_what_leads_to_other_nodes_pods() -> None:
    found = compile(open_topology("two-clusters").model, History((), JOINED))
    entry = next(entry for entry in found["c1-w1"].fdb if entry.device == "vxlan.calico")
    builder = StateBuilder(found)
    builder["c1-w1"].fdb = [other for other in builder["c1-w1"].fdb if other != entry]
    builder["c1-w1"].fdb.append(replace(entry, destination=IPv4Address("172.18.1.99")))
    builder["c1-w1"].fdb.append(FdbEntry("vxlan.calico", "02:00:5e:10:00:01", IPv4Address("172.18.1.98")))
    restarted = after(History((), JOINED), FelixResync(cluster="cluster-1"), found=builder.freeze())
    of_vtep = [other.destination for other in restarted["c1-w1"].fdb if other.mac == entry.mac]
    assert of_vtep == [entry.destination]
    assert any(other.mac == "02:00:5e:10:00:01" for other in restarted["c1-w1"].fdb), "another's entry is none of its business"
