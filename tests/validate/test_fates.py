"""What is kept of earlier answers is what asking again would give, whatever changed; and addresses are told apart exactly."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cluster import compile
from lab.forwarding import Flow
from lab.forwarding.generate import random_state
from lab.forwarding.reach import reach
from lab.forwarding.reach.classes import join
from lab.spec.load import load_topology
from lab.state import Namespace, Route, Rule, State, StateBuilder, complete
from lab.validate.fates import ICMP, Key, Survey
from tests.cluster.base_lab import TOPOLOGIES
from tests.validate.small import small


@cache
def dual_stack() -> State:
    return compile(load_topology(TOPOLOGIES / "dual-stack-cluster.yaml").model)


def changed(state: State, random: Random) -> State:
    """The network after one thing was changed in it: a route, a rule, a sysctl, a link, an address."""
    name = random.choice(list(state.namespaces))
    here = state[name]
    routes = [route for route in here.routes if route.protocol != 2]
    links = [link for link in here.links if link.name != "lo"]

    def put(new: Namespace) -> State:
        return complete(replace(state, namespaces={**state.namespaces, name: new}), state)

    match random.randrange(6):
        case 0 if routes:
            gone = random.choice(routes)
            return put(replace(here, routes=tuple(route for route in here.routes if route != gone)))
        case 1 if routes:
            moved = replace(random.choice(routes), destination=IPv4Network("10.0.0.0/8"), metric=random.randrange(5))
            return put(replace(here, routes=(*here.routes, moved)))
        case 2:
            return put(replace(here, rules=(*here.rules, Rule(random.randrange(1, 30000), table=random.choice((100, 254))))))
        case 3 if links:
            link = random.choice(links)
            return put(replace(here, links=tuple(replace(x, up=not x.up) if x is link else x for x in here.links)))
        case 4 if links:
            path = f"net/ipv4/conf/{random.choice(links).name}/rp_filter"
            return put(replace(here, sysctls={**here.sysctls, path: str(random.randrange(3))}))
        case _:
            return put(replace(here, sysctls={**here.sysctls, "net/ipv4/ip_forward": "0", "net/ipv4/conf/all/forwarding": "0"}))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_kept_is_what_asking_again_would_give(seed: int) -> None:
    random = Random(seed)
    first = random_state(random, 5)
    second = changed(first, random)
    survey = Survey((first, second))
    keys = random.sample(list(survey.keys), k=min(120, len(list(survey.keys))))
    kept, afresh = survey.ask(second, survey.ask(first, only=keys), keys), survey.ask(second, only=keys)
    assert [(key, kept[key], afresh[key]) for key in keys if kept[key] != afresh[key]] == []


def changed6(state: State, random: Random) -> State:
    """A dual-stack network after one thing was changed in it that IPv6 packets meet, or that they do not."""
    name = random.choice([name for name in state.namespaces if not name.startswith("sw-")])
    here = state[name]
    routes = [route for route in here.routes if route.protocol != 2 and route.destination.version == 6]

    def put(new: Namespace) -> State:
        return complete(replace(state, namespaces={**state.namespaces, name: new}), state)

    match random.randrange(6):
        case 0 if routes:
            gone = random.choice(routes)
            return put(replace(here, routes=tuple(route for route in here.routes if route != gone)))
        case 1:
            to = IPv6Network(random.choice(("fd00::/8", "fd00::/64", "fd01::/16", "fd01::/64", "::/0")))
            return put(replace(here, routes=(*here.routes, Route(to, type=random.choice(("blackhole", "prohibit"))))))
        case 2:
            return put(replace(here, rules=(*here.rules, Rule(random.randrange(1, 30000), table=random.choice((100, 254)), family=6))))
        case 3:
            link = random.choice([link for link in here.links if link.name != "lo"])
            return put(replace(here, links=tuple(replace(x, up=False) if x is link else x for x in here.links)))
        case 4:
            return put(replace(here, routes=(*here.routes, Route(IPv4Network("10.0.0.0/8"), type="blackhole"))))
        case _:
            return put(replace(here, sysctls={**here.sysctls, "net/ipv6/conf/all/forwarding": random.choice("01")}))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_over_ipv6_too_what_is_kept_is_what_asking_again_would_give(seed: int) -> None:
    random, first = Random(seed), dual_stack()
    second = changed6(first, random)
    survey = Survey((first, second))
    keys = random.sample([key for key in survey.keys if key.version == 6], k=60) + random.sample(list(survey.keys), k=30)
    kept, afresh = survey.ask(second, survey.ask(first, only=keys), keys), survey.ask(second, only=keys)
    assert [(key, kept[key], afresh[key]) for key in keys if kept[key] != afresh[key]] == []


def test_over_ipv6_too_a_route_elsewhere_is_no_reason_to_ask_again() -> None:
    first = dual_stack()
    builder = StateBuilder(first)
    builder["k8s-1"].add_route(Route(IPv6Network("2001:db8:77::/48"), type="blackhole"))
    survey = Survey((first, second := complete(builder.freeze(), first)))
    before = survey.ask(first)
    after = survey.ask(second, before)
    assert {str(survey.prefix(key)) for key in survey.keys if after[key] is not before[key]} == {"2001:db8:77::/48"}


def test_over_ipv6_too_all_addresses_are_asked_about_and_answers_are_those_of_reach() -> None:
    state = dual_stack()
    asked = Survey((state,)).ask(state)
    survey, flow = Survey((state,)), Flow("", IPv6Address(0))
    for source in ("pod-1", "router"):
        cells = reach(state, sources=[source], flow=flow).cells
        keys = [key for key in survey.keys if (key.source, key.kind, key.version) == (source, ICMP, 6)]
        works = join(part for key in keys if asked[key].works for part in survey.addresses(key))
        assert works == join(part for cell in cells if cell.answer == "reply" for part in cell.addresses)


def test_a_route_elsewhere_is_no_reason_to_ask_again() -> None:
    first = small().state
    second = small().route("r1", "10.77.0.0/16 via 10.12.0.2 dev direct").state
    survey = Survey((first, second))
    before = survey.ask(first)
    after = survey.ask(second, before)
    asked_again = {survey.prefix(key) for key in survey.keys if after[key] is not before[key]}
    assert asked_again == {IPv4Network("10.77.0.0/16")}


def test_all_addresses_are_asked_about_and_answers_are_those_of_reach() -> None:
    state = small().state
    survey = Survey((state,))
    asked = survey.ask(state)
    for source in ("h1", "r3"):
        cells = reach(state, sources=[source]).cells
        keys = [key for key in survey.keys if key.source == source and key.kind == ICMP]
        works = join(part for key in keys if asked[key].works for part in survey.addresses(key))
        assert works == join(part for cell in cells if cell.answer == "reply" for part in cell.addresses)


def test_every_socket_is_asked_for() -> None:
    survey = Survey((small().state,))
    assert {(str(key.kind), survey.address(key)) for key in survey.keys if key.kind != ICMP} == {("tcp/80", IPv4Address("10.2.0.2"))}
    assert Key("h1", ICMP, 0) in set(survey.keys)
