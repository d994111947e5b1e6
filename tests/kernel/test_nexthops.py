"""Nexthop objects on the kernel: they wait for a carrier and go with it. As root, and as an ordinary user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from lab.errors import InputError, Place
from lab.kernel.engine import Engine
from lab.kernel.oracle import RouteQuery
from lab.kernel.recognition import as_stated
from lab.kernel.sandbox import Sandbox
from lab.state import (
    LO,
    AddressEntry,
    GroupMember,
    Link,
    Namespace,
    NextHopObject,
    Provenance,
    Route,
    State,
    Veth,
    complete,
    difference,
)

pytestmark = pytest.mark.kernel

EVERYONE = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
WHY = Provenance("operator", "two uplinks", Place("topology.yaml", 12, 5))
LEFT, RIGHT = IPv4Address("10.1.0.2"), IPv4Address("10.2.0.2")
OBJECTS = (
    NextHopObject(1, LEFT, "l", provenance=WHY),
    NextHopObject(2, RIGHT, "r"),
    NextHopObject(3, group=(GroupMember(1, 10), GroupMember(2))),
    NextHopObject(5, blackhole=True),
)
ROUTES = tuple(Route(IPv4Network(text), nexthop=number) for text, number in (("10.9.0.0/16", 3), ("10.8.0.0/16", 1), ("10.7.0.0/16", 5)))


def network(objects: tuple[NextHopObject, ...] = OBJECTS, routes: tuple[Route, ...] = ROUTES) -> State:
    """Host a, which comes first, with two cables to b: no carrier is there when a itself is finished."""
    ends = (("l", "10.1.0.{}/24"), ("r", "10.2.0.{}/24"))
    a, b = (
        Namespace(
            name,
            links=(LO, *(Link(device, Veth(other, device)) for device, _ in ends)),
            addresses=tuple(AddressEntry(device, IPv4Interface(pattern.format(number))) for device, pattern in ends),
        )
        for name, other, number in (("a", "b", 1), ("b", "a", 2))
    )
    return complete(State({"a": replace(a, nexthops=objects, routes=routes), "b": b}))


def differences(engine: Engine, wanted: State) -> object:
    return difference(wanted, as_stated(engine.read_back(), wanted)).changed


@EVERYONE
def test_the_kernel_holds_them_and_a_second_time_nothing_is_done(sandbox: Sandbox) -> None:
    with Engine(sandbox) as engine:
        engine.apply(network())
        assert differences(engine, network()) == ()
        assert engine.apply(network()).is_empty
        engine.refresh()
        assert engine.plan_to(network()).is_empty
        assert engine.read_back()["a"].nexthops[0].provenance == WHY


@EVERYONE
def test_a_difference_is_done_in_the_order_the_kernel_needs(sandbox: Sandbox) -> None:
    """A group becomes a single one, a single one a blackhole, a member goes, a plain route takes a name, a named one becomes plain."""
    single = (NextHopObject(1, blackhole=True), NextHopObject(2, RIGHT, "r", onlink=True), NextHopObject(3, LEFT, "l"), OBJECTS[3])
    grouped = (NextHopObject(4, LEFT, "l"), NextHopObject(1, group=(GroupMember(4), GroupMember(2))), NextHopObject(2, RIGHT, "r"))
    plain = (Route(IPv4Network("10.9.0.0/16"), via=LEFT, device="l"), Route(IPv4Network("10.8.0.0/16"), nexthop=1))
    with Engine(sandbox) as engine:
        for state in (network(), network(single), network(grouped, plain), network((), plain[:1]), network()):
            engine.apply(state)
            assert differences(engine, state) == ()
            assert engine.apply(state).is_empty


@EVERYONE
def test_they_go_with_the_carrier_and_come_back_with_it(sandbox: Sandbox, eventually: Callable[..., None]) -> None:
    state = network()
    b = state["b"]
    without = replace(b, links=tuple(replace(link, up=False) if link.name == "l" else link for link in b.links))
    lost = complete(replace(state, namespaces={**state.namespaces, "b": without}), state)
    assert [thing.id for thing in lost["a"].nexthops] == [2, 3, 5]
    assert [route.nexthop for route in lost["a"].routes if route.nexthop] == [3, 5]
    with Engine(sandbox) as engine:
        engine.apply(state)
        sandbox.spawn("b", ["ip", "link", "set", "dev", "l", "down"]).wait()
        eventually(lambda: len(engine.read_back()["a"].nexthops) == 3, "the kernel takes away what has no carrier")
        assert differences(engine, lost) == ()
        engine.refresh()
        engine.apply(state)
        assert differences(engine, state) == ()


@EVERYONE
def test_one_over_a_device_that_has_no_carrier_is_refused_in_the_kernels_words(sandbox: Sandbox) -> None:
    state = network()
    links = tuple(replace(link, up=link.name != "l") for link in state["b"].links)
    with Engine(sandbox) as engine, pytest.raises(InputError) as told:
        engine.apply(replace(state, namespaces={**state.namespaces, "b": replace(state["b"], links=links)}))
    assert "nexthop id 1 via 10.1.0.2 dev l: Carrier for nexthop device is down" in told.value.message
    assert told.value.place == WHY.place


@EVERYONE
def test_the_kernels_own_lookup_leads_where_they_do(sandbox: Sandbox) -> None:
    with Engine(sandbox) as engine:
        engine.apply(network())

        def ask(destination: str, **more: object) -> object:
            answer = engine.route_get("a", RouteQuery(IPv4Address(destination), **more))  # type: ignore[arg-type]
            return answer.error or (answer.route and (answer.route.device, answer.route.nexthop))

        assert ask("10.8.0.1") == ("l", None)
        assert ask("10.8.0.1", fibmatch=True) == (None, 1)
        assert ask("10.9.0.1", fibmatch=True) == (None, 3)
        assert ask("10.9.0.1", oif="r") == ("r", None)
        assert ask("10.7.0.1") == "EINVAL"
