"""Two faults at once: the explanation names the one that the packet met, and tells of the other where the packet would meet it next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Final

import pytest

from lab.cluster import compile as compile_clusters
from lab.errors import Place
from lab.explain.as_json import explanation_json
from lab.explain.cause import explain
from lab.explain.explanation import Cause, Explanation
from lab.explain.prediction import expected_result, flow_of
from lab.forwarding import Network, trace
from lab.probe import Outcome, PingRequest
from lab.scenario.changes import Ordered, apply_changes
from lab.scenario.lookup import namespace_address
from lab.scenario.phases import compile_stage, find_stage
from lab.spec import open_scenario, open_topology
from lab.spec.changes import ChangeItem
from lab.state import AddressEntry, Bridge, Link, State, complete
from lab.state.nft import Verdict
from lab.state.nft_builder import BaseChain
from lab.state.state_builder import StateBuilder

PING: Final = PingRequest("a", ip_address("192.0.2.130"))
Change = dict[str, dict[str, Any]]


@cache
def healthy() -> State:
    topology = open_topology("three-in-a-row")
    return compile_clusters(topology.model, place=topology.place)


def down(namespace: str, device: str) -> Change:
    return {"link": {"on": [namespace], "device": device, "state": "down"}}


def without_route(namespace: str, to: str) -> Change:
    return {"route": {"on": [namespace], "to": to, "action": "delete"}}


def dropped(namespace: str, hook: str) -> Change:
    """A rule without conditions in a chain of its own; no change of a scenario, whose nft scripts only a kernel reads."""
    return {"drop": {"on": namespace, "hook": hook}}


BACK: Final[Change] = {"route": {"on": ["r2"], "to": "default", "via": "192.0.2.65"}}
"""What is not on its own links, r2 gives back to where it came from."""


def changed(*changes: Change, on: State | None = None) -> State:
    state = healthy() if on is None else on
    for change in changes:
        if "drop" in change:
            builder = StateBuilder(state)
            chain = builder[change["drop"]["on"]].chain("ip", "t", "c", BaseChain("filter", change["drop"]["hook"], 0))
            chain.add(Verdict("drop"))
            state = builder.freeze()
            continue
        item = ChangeItem.model_validate(change)
        state = apply_changes(state, [Ordered(item.change.on, item.change, Place("typed"))])
    return state


def explained(*changes: Change) -> Explanation:
    network = Network(changed(*changes))
    flow = flow_of(PING)
    assert flow is not None
    result = expected_result(trace(network, flow))
    assert result is not None
    found = explain(network, Outcome(PING, result, 0))
    assert found is not None
    return found


def cause(*changes: Change) -> Cause:
    found = explained(*changes).cause
    assert found is not None
    return found


RIGHT, MIDDLE, EYES = "link right mtu 1500 down in r2", "link middle mtu 1500 down in r2", "link eth0 mtu 1500 down in b"


@dataclass(frozen=True)
class Case:
    """Two faults, the one that is named, where the packet ends, and how what comes next is told."""

    name: str
    changes: tuple[Change, ...]
    named: str
    place: str
    next: tuple[str, ...]


CASES = (
    Case(
        "a link down, and a rule that drops what goes astray because of it, and would drop what does not",
        (down("r2", "right"), BACK, dropped("r2", "forward")),
        "nft rule ip t c: drop in r2",
        "r2:middle",
        ("without that, the request ends at", "right, on whose subnet it is, is down"),
    ),
    Case(
        "a rule before the link that is down",
        (down("r2", "right"), dropped("r2", "prerouting")),
        "nft rule ip t c: drop in r2",
        "r2:middle",
        ("without that, the request ends at r2:middle", "right, on whose subnet it is, is down"),
    ),
    Case(
        "a rule behind it",
        (down("r2", "right"), dropped("b", "prerouting")),
        RIGHT,
        "r2:middle",
        ("with right up, the request ends at b:eth0", "dropped by a rule of nft chain ip t c"),
    ),
    Case(
        "a rule behind it, where the packet goes astray",
        (down("r2", "right"), BACK, dropped("b", "prerouting")),
        RIGHT,
        "r1:middle",
        ("with right up, the request ends at b:eth0", "dropped by a rule of nft chain ip t c"),
    ),
    Case(
        "two links of one node",
        (down("r2", "middle"), down("r2", "right")),
        MIDDLE,
        "r1:middle",
        ("with r2:middle up, the request ends at r2:middle", "right, on whose subnet it is, is down"),
    ),
    Case(
        "two links on the way",
        (down("r2", "right"), down("b", "eth0")),
        RIGHT,
        "r2:middle",
        ("with right up, the request ends at r2:right", "the other end, b:eth0, is down"),
    ),
    Case(
        "a link down, and no way back behind it",
        (without_route("r2", "192.0.2.0/26"), down("r2", "right")),
        RIGHT,
        "r2:middle",
        ("with right up, the request ends at r2:middle", "no way back"),
    ),
    Case(
        "a route that takes the packet before the link",
        ({"route": {"on": ["r1"], "to": "192.0.2.130/32", "type": "blackhole"}}, down("r2", "right")),
        "route blackhole 192.0.2.130/32 in r1",
        "r1:left",
        ("without that, the request ends at r2:middle", "right, on whose subnet it is, is down"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_one_that_was_met_is_named_and_the_other_comes_next(case: Case) -> None:
    found = cause(*case.changes)
    assert (str(found.responsible), found.place) == (case.named, case.place)
    assert found.next is not None
    assert [part for part in case.next if part not in found.next] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_comes_next_is_what_comes_once_the_first_is_repaired(case: Case) -> None:
    first, *others = sorted(case.changes, key=lambda change: str(cause(change).responsible) != case.named if change is not BACK else True)
    assert str(cause(first).responsible) == case.named
    rest = cause(*others).text
    assert rest.split(": ")[-1] in str(cause(*case.changes).next)


@pytest.mark.parametrize(
    ("changes", "named", "place"),
    [
        ((down("r2", "right"),), RIGHT, "r2:middle"),
        ((down("r2", "right"), BACK), RIGHT, "r1:middle"),
        ((dropped("r2", "forward"),), "nft rule ip t c: drop in r2", "r2:middle"),
        ((without_route("r1", "192.0.2.128/26"),), "no route to 192.0.2.130 in r1", "r1:left"),
        ((dropped("r2", "forward"), dropped("b", "prerouting")), "nft rule ip t c: drop in r2", "r2:middle"),
    ],
    ids=["right", "right, and back", "rule", "route", "two rules"],
)
def test_nothing_is_told_of_what_is_not_met_or_is_no_link(changes: tuple[Change, ...], named: str, place: str) -> None:
    found = cause(*changes)
    assert (str(found.responsible), found.place, found.next) == (named, place, None)


@pytest.mark.parametrize(
    ("change", "named", "next_one"),
    [
        (
            down("r2", "middle"),
            MIDDLE,
            "there is no way back for source 192.0.2.2, it came in by middle: refused; one by middle would be gone",
        ),
        (down("b", "eth0"), EYES, "with b:eth0 up, the reply ends at b: no route covers 192.0.2.2; one by eth0 would be gone"),
    ],
    ids=["the other end", "the host's"],
)
def test_the_routes_that_a_link_took_along_come_next(change: Change, named: str, next_one: str) -> None:
    """As with ip(8): a link that comes up again has its subnet, and nothing that led beyond it."""
    found = cause(change)
    assert str(found.responsible) == named
    assert next_one in str(found.next)


def test_a_link_that_took_its_routes_along_is_told_of_where_none_was_found() -> None:
    found = cause(down("r1", "middle"))
    assert str(found.responsible) == "no route to 192.0.2.130 in r1"
    assert found.text == "no route covers 192.0.2.130; middle is down there, and routes by it are forgotten"
    assert cause(without_route("r1", "192.0.2.128/26")).text == "no route covers 192.0.2.130"


class TestInAcluster:
    """A worker whose way to the other cluster is missing, and a device of it that is down: the one has to do with the other, or not."""

    def told(self, state: State) -> Explanation:
        request = PingRequest("c1-w1-a", namespace_address(state, "c2-w1-a"))
        found = explain(Network(state), Outcome(request, "silence", 0))
        assert found is not None
        return found

    def state(self, *, downed: str, without: str | None = None) -> State:
        scenario, topology = open_scenario("calico-24-mismatch")
        builder = StateBuilder(compile_stage(topology, scenario, find_stage(scenario.model, "healthy")))
        node = builder["c1-w1"]
        node.add_link(Link("br-other", Bridge()))
        node.add_address(AddressEntry("br-other", ip_interface("172.31.0.1/24")))
        if without is not None:
            assert node.delete_routes(ip_network(without)) == 1
        return changed(down("c1-w1", downed), on=complete(builder.freeze()))

    def test_a_device_by_which_its_peers_would_go_is_behind_it(self) -> None:
        found = self.told(self.state(downed="vx-submariner"))
        assert found.cause is not None
        assert str(found.cause.responsible) == "link vx-submariner mtu 1450 down in c1-w1"

    def test_any_other_device_is_not(self) -> None:
        found = self.told(self.state(downed="br-other", without="10.42.0.0/16"))
        assert found.cause is not None
        assert str(found.cause.responsible) == "no route to 10.42.185.1 in c1-w1"
        assert "br-other is down there, and routes by it are forgotten" in found.turns[0].text


def test_it_is_told_in_lines_and_to_machines() -> None:
    found = explained(down("r2", "right"), dropped("b", "prerouting"))
    told = "next: with right up, the request ends at b:eth0: "
    assert [line for line in found.lines() if line.startswith(told)]
    assert [line for line in found.short() if line.startswith(told)]
    assert explanation_json(found)["cause"]["next"].startswith(told.removeprefix("next: "))
