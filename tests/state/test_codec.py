"""A saved state is read back whole, and a damaged one is refused with its place."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError, Place
from lab.state import (
    LO,
    AddressEntry,
    ApiObject,
    ControlPlane,
    Link,
    Namespace,
    Provenance,
    Route,
    Rule,
    State,
    Veth,
    Vxlan,
    difference,
)
from lab.state.codec import dump_state, load_state
from lab.state.nft import (
    AnonymousMap,
    Chain,
    Expression,
    Match,
    Meta,
    NftRule,
    NftTable,
    Numgen,
    Payload,
    Range,
    Reject,
    Verdict,
    VerdictMap,
)
from tests.examples import examples

LINE = Provenance("topology", "cluster c1", Place("two-clusters.yaml", 12, 3))
AGENT = Provenance("submariner route agent on c1-w1", "Endpoint cluster-2, subnet 10.42.0.0/24", because=(LINE,))

ROUTE = Route(ip_network("10.42.0.0/24"), via=ip_address("240.10.1.1"), device="vx-submariner", provenance=AGENT)
CHOICE = AnonymousMap(((0, Verdict("goto", "a")), (1, Verdict("drop"))))
RULES = (
    NftRule((VerdictMap(Numgen("random", 2), CHOICE),)),
    NftRule((Match(Payload("tcp", "dport"), Range(1, 9)), Reject("icmp", "host-unreachable")), "why"),
    NftRule((Match(Payload("ip", "daddr"), IPv4Address("10.0.0.1")), Match(Meta("iifname"), "eth0"))),
)
NODE = Namespace(
    "c1-w1",
    "node",
    cluster="c1",
    links=(LO, Link("eth0", Veth("core", "c1-w1"), provenance=LINE), Link("vxlan.calico", Vxlan(4096, 4789, local=ip_address("10.1.0.2")))),
    addresses=(AddressEntry("eth0", ip_interface("10.1.0.2/24"), broadcast=ip_address("10.1.0.255")),),
    routes=(ROUTE, replace(ROUTE, table=150)),
    rules=(Rule(100, table=150),),
    sysctls={"net/ipv4/conf/vxlan.calico/rp_filter": "2", "net/ipv4/ip_forward": "1"},
    files={"/etc/resolv.conf": "nameserver 10.43.0.10\n"},
    tables=(NftTable("ip", "nat", (Chain("one", RULES, "nat", "prerouting", -100), Chain("a"))),),
)
BODY: dict[str, Any] = {"ip": "10.0.0.1", "spec": {"subnets": ["10.42.0.0/24", 3, None]}}
ENDPOINT = ApiObject("c1", "Endpoint", "cluster-2", labels={"ip": "10.0.0.1"}, body=BODY)
STATE = State({"c1-w1": NODE}, ControlPlane((ENDPOINT,)))


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(dump_state(STATE)) | changes)


def test_a_state_is_read_back_whole() -> None:
    read = load_state(dump_state(STATE))
    assert read == STATE
    assert not difference(STATE, read)


def test_provenance_is_kept_down_to_the_line_and_shared() -> None:
    read = load_state(dump_state(STATE))
    route, _ = read["c1-w1"].routes
    assert route.provenance == AGENT
    assert route.provenance.places() == (Place("two-clusters.yaml", 12, 3),)
    link = read["c1-w1"].link("eth0")
    assert link is not None
    assert link.provenance is route.provenance.because[0]


def test_the_same_state_gives_the_same_bytes() -> None:
    turned = replace(NODE, sysctls=dict(reversed(NODE.sysctls.items())))
    other = State({"c1-w1": turned}, STATE.control)
    assert dump_state(load_state(dump_state(STATE))) == dump_state(STATE) == dump_state(other)


def test_a_saved_state_can_be_read_by_a_person() -> None:
    lines = dump_state(STATE).splitlines()
    assert any('{"destination": "10.42.0.0/24", "via": "240.10.1.1", "device": "vx-submariner", ' in line for line in lines)
    assert max(map(len, lines)) <= 140


def test_a_graph_of_reasons_is_written_once_however_many_paths_it_has() -> None:
    link = LINE
    for depth in range(60):
        link = Provenance("component", f"step {depth}", because=(link, link))
    state = State({"n": Namespace("n", provenance=link)})
    assert len(json.loads(dump_state(state))["provenances"]) == 61
    assert load_state(dump_state(state)) == state


values: st.SearchStrategy[Expression] = st.one_of(
    st.integers(),
    st.booleans(),
    st.text(),
    st.ip_addresses(),
    st.builds(Meta, st.text()),
    st.builds(Payload, st.text(), st.text()),
)


@given(left=values, right=values)
@examples(50)
def test_every_value_stays_of_its_type(left: Expression, right: Expression) -> None:
    state = State({"n": Namespace("n", tables=(NftTable("ip", "t", (Chain("c", (NftRule((Match(left, right),)),)),)),))})
    (rule,) = load_state(dump_state(state))["n"].tables[0].chains[0].rules
    (match,) = rule.statements
    assert isinstance(match, Match)
    assert (match.left, match.right) == (left, right)
    assert (type(match.left), type(match.right)) == (type(left), type(right))


def test_ipv6_keeps_its_family() -> None:
    state = State({"n": Namespace("n", addresses=(AddressEntry("lo", ip_interface("::1/128")),))})
    (entry,) = load_state(dump_state(state))["n"].addresses
    assert isinstance(entry.interface.ip, IPv6Address)


# -- what is refused -----------------------------------------------------------------------------------------------


def test_no_json_is_refused_at_its_line() -> None:
    with pytest.raises(InputError, match="this is no JSON") as mistake:
        load_state('{"format":\n oops}', "saved.json")
    assert mistake.value.place == Place("saved.json", 2, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "this is no saved state"),
        ("[" * 100_000, "nested too deeply"),
        ('{"format": "lab-state", "version": 2}', "of version 2; version 1 is understood"),
        (changed(namespaces=[{"role": "node"}]), r"namespaces\[0\]: 'name' is missing"),
        (changed(namespaces=[{"name": "a"}, {"name": "a"}]), "two of the name 'a'"),
        (changed(namespaces=[{"name": "a", "role": "nod"}]), r"namespaces\[0\].role: \"nod\" cannot stand here"),
        (changed(namespaces=[{"name": "a", "rout": []}]), "a Namespace has no 'rout'"),
        (changed(namespaces=[{"name": "a", "sysctls": {"x": 1}}]), "all values here are text"),
        (changed(namespaces=[{"name": "a", "routes": [{"destination": "10.0.0.0/99"}]}]), r"routes\[0\].destination: '10.0.0.0/99'"),
        (changed(namespaces=[{"name": "a", "links": [{"name": "x", "kind": {"is": "Vet"}}]}]), r"kind.is: 'Vet' cannot stand here"),
        (changed(namespaces=[{"name": "a", "provenance": 99}]), "there is no provenance 99"),
        (changed(provenances=[{"component": "x", "reason": "y", "because": [0]}]), "there is no provenance 0"),
        (changed(provenances=7), "provenances: 7 cannot stand here"),
        (changed(namespaces=None), "namespaces: null cannot stand here"),
    ],
)
def test_a_damaged_state_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as mistake:
        load_state(text, "saved.json")
    assert mistake.value.place is not None


def test_a_misspelt_class_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError) as mistake:
        load_state(changed(namespaces=[{"name": "a", "links": [{"name": "x", "kind": {"is": "Vet"}}]}]))
    assert mistake.value.hint == "did you mean 'Veth'?"
