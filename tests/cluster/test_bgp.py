"""Who learns which routes by BGP, and what the daemon is told."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest

from lab.cluster import compile
from lab.cluster.bgp import speaking, ways
from lab.spec.topology import Topology
from lab.state import Protocol, State
from tests.cluster.base_lab import loaded

BLOCKS = {"node-1": "10.14.10.0/26", "node-2": "10.14.4.128/26", "node-3": "10.14.4.192/26"}
ADDRESSES = {"node-1": "192.168.10.11", "node-2": "192.168.10.12", "node-3": "192.168.10.13"}

BLOCKS6 = {"node-1": "fd01::a40/122", "node-2": "fd01::480/122", "node-3": "fd01::4c0/122"}
ADDRESSES6 = {"node-1": "fd00::b", "node-2": "fd00::c", "node-3": "fd00::d"}


def topology(bgp: dict[str, Any], *, dual_stack: bool = False, **nodes: dict[str, Any]) -> Topology:
    """The cluster of three nodes beside an office, with BGP."""
    written = loaded("one-calico-cluster").model.model_dump(mode="json", exclude_unset=True)
    cluster = written["clusters"]["cluster"]
    if dual_stack:
        written["segments"]["servers"]["cidr6"] = "fd00::/64"
        cluster["pod_cidr6"] = "fd01::/64"
        for name, node in cluster["nodes"].items():
            node["blocks6"] = [BLOCKS6[name]]
    cluster["cni"] = {"mode": "none", "strict_affinity": False, "bgp": bgp}
    for name, node in cluster["nodes"].items():
        node |= {"blocks": [BLOCKS[name]], **nodes.get(name.replace("-", "_"), {})}
    return Topology.model_validate(written)


def compiled(bgp: dict[str, Any], *, dual_stack: bool = False, **nodes: dict[str, Any]) -> State:
    return compile(topology(bgp, dual_stack=dual_stack, **nodes), place=loaded("one-calico-cluster").place)


def learned(state: State, name: str, version: int = 4) -> dict[str, str]:
    """The routes of a namespace that BGP brings, with their next hops; a blackhole has none."""
    routes = [r for r in state[name].routes if r.protocol == Protocol.BIRD and r.destination.version == version]
    return {str(route.destination): str(route.via or route.type) for route in routes}


def of_others6(name: str) -> dict[str, str]:
    return {block: ADDRESSES6[node] for node, block in BLOCKS6.items() if node != name} | {BLOCKS6[name]: "blackhole"}


def of_others(name: str) -> dict[str, str]:
    return {block: ADDRESSES[node] for node, block in BLOCKS.items() if node != name} | {BLOCKS[name]: "blackhole"}


@pytest.mark.parametrize("bgp", [{}, {"reflectors": ["node-1"]}, {"reflectors": ["node-1", "node-3"]}, {"peers": {"router": 65000}}])
def test_every_node_learns_of_every_other_and_goes_there_straight(bgp: dict[str, Any]) -> None:
    state = compiled(bgp)
    for name in BLOCKS:
        assert learned(state, name) == of_others(name)


def test_a_router_learns_of_all_blocks_and_tells_nobody_what_he_knows() -> None:
    state = compiled({"peers": {"router": 65000}})
    assert learned(state, "router") == {block: ADDRESSES[node] for node, block in BLOCKS.items()}
    assert {session.peer_as for session in speaking(state)["router"].sessions} == {64512}


def test_without_the_reflector_nobody_learns_of_anybody() -> None:
    speakers = speaking(compiled({"reflectors": ["node-1"]}))
    assert ways(speakers, down=["node-1"]) == {name: {(IPv4Network(BLOCKS[name]), None)} for name in ("node-2", "node-3")}


def test_of_two_reflectors_one_is_enough() -> None:
    speakers = speaking(compiled({"reflectors": ["node-1", "node-3"]}))
    assert ways(speakers, down=["node-1"])["node-2"] == {
        (IPv4Network(BLOCKS["node-2"]), None),
        (IPv4Network(BLOCKS["node-3"]), IPv4Address(ADDRESSES["node-3"])),
    }


def test_a_borrowed_address_is_told_of_by_itself_and_not_taken_by_whom_refuses_it() -> None:
    borrowed = {"pods": {"pod-3": {}, "borrower": {"address": "10.14.10.9"}}}
    state = compiled({"refuse": [{"on": ["node-2"], "prefix": "10.14.0.0/20", "longer_than": 26}]}, node_3=borrowed)
    assert learned(state, "node-1") == of_others("node-1") | {"10.14.10.9/32": ADDRESSES["node-3"]}
    assert learned(state, "node-2") == of_others("node-2")


def test_nodes_that_give_the_same_address_speak_with_nobody() -> None:
    bridge = {"bridges": {"br-app": {"address": "172.18.0.1/16"}}}
    state = compiled({"interface": "br-app"}, node_1=bridge, node_2=bridge, node_3=bridge)
    assert {len(speaker.sessions) for speaker in speaking(state).values()} == {0}
    assert learned(state, "node-1") == {BLOCKS["node-1"]: "blackhole"}


def test_the_daemon_is_told_what_the_speaker_knows() -> None:
    state = compiled({"reflectors": ["node-1"], "refuse": [{"on": ["node-1"], "prefix": "10.14.0.0/20", "longer_than": 26}]})
    (bird,) = state["node-1"].programs
    lines = bird.files["bird.conf"].splitlines()
    assert f"  route {BLOCKS['node-1']} blackhole;" in lines
    assert "  neighbor 192.168.10.12 as 64512;" in lines
    assert "  rr client; rr cluster id 192.168.10.11;" in lines
    assert "  if net ~ [ 10.14.0.0/20{27,32} ] then reject;" in lines
    assert "rr client" not in state["node-2"].programs[0].files["bird.conf"]


class TestDualStack:
    """A second daemon speaks over IPv6 about IPv6, with the same peers."""

    @pytest.mark.parametrize("bgp", [{}, {"reflectors": ["node-1"]}, {"reflectors": ["node-1", "node-3"]}, {"peers": {"router": 65000}}])
    def test_nodes_learn_of_each_others_blocks_of_either_version(self, bgp: dict[str, Any]) -> None:
        state = compiled(bgp, dual_stack=True)
        for name in BLOCKS:
            assert (learned(state, name), learned(state, name, 6)) == (of_others(name), of_others6(name))
            assert [program.name for program in state[name].programs] == ["bird", "bird6"]

    def test_a_router_learns_of_both_and_speaks_by_its_own_addresses(self) -> None:
        state = compiled({"peers": {"router": 65000}}, dual_stack=True)
        assert learned(state, "router", 6) == {block: ADDRESSES6[node] for node, block in BLOCKS6.items()}
        speaker = speaking(state, 6)["router"]
        assert {str(session.local) for session in speaker.sessions} == {"fd00::1"}
        assert str(speaker.identifier) == "192.168.10.1"

    def test_a_cluster_of_ipv4_has_one_daemon(self) -> None:
        state = compiled({"peers": {"router": 65000}})
        assert speaking(state, 6) == {}
        assert {name: [program.name for program in state[name].programs] for name in ("node-1", "router")} == {
            "node-1": ["bird"],
            "router": ["bird"],
        }

    def test_without_the_reflector_over_ipv6_only_ipv6_is_lost(self) -> None:
        state = compiled({"reflectors": ["node-1"]}, dual_stack=True)
        assert ways(speaking(state, 6), down=["node-1"])["node-2"] == {(IPv6Network(BLOCKS6["node-2"]), None)}
        assert len(ways(speaking(state))["node-2"]) == 3

    def test_what_is_not_taken_is_of_the_version_that_the_filter_names(self) -> None:
        borrowed = {"pods": {"pod-3": {}, "borrower": {"address": "10.14.10.9", "address6": "fd01::a49"}}}
        refuse = [{"on": ["node-2"], "prefix": "fd01::/64", "longer_than": 122}]
        state = compiled({"refuse": refuse}, dual_stack=True, node_3=borrowed)
        assert learned(state, "node-1", 6) == of_others6("node-1") | {"fd01::a49/128": ADDRESSES6["node-3"]}
        assert learned(state, "node-2", 6) == of_others6("node-2")
        assert learned(state, "node-2") == of_others("node-2") | {"10.14.10.9/32": ADDRESSES["node-3"]}

    def test_nodes_that_give_the_address_of_a_bridge_still_speak_over_ipv6(self) -> None:
        bridge = {"bridges": {"br-app": {"address": "172.18.0.1/16"}}}
        state = compiled({"interface": "br-app"}, dual_stack=True, node_1=bridge, node_2=bridge, node_3=bridge)
        assert (learned(state, "node-1"), learned(state, "node-1", 6)) == ({BLOCKS["node-1"]: "blackhole"}, of_others6("node-1"))

    def test_the_daemon_is_told_of_ipv6_alone(self) -> None:
        refuse = [{"on": ["node-1"], "prefix": "fd01::/64", "longer_than": 122}, {"on": ["node-1"], "prefix": "10.14.0.0/20"}]
        state = compiled({"reflectors": ["node-1"], "refuse": refuse}, dual_stack=True)
        (bird6,) = (program for program in state["node-1"].programs if program.name == "bird6")
        lines = bird6.files["bird.conf"].splitlines()
        assert bird6.argv[0] == "bird"
        assert f"  route {BLOCKS6['node-1']} blackhole;" in lines
        assert "router id 192.168.10.11;" in lines
        assert "  neighbor fd00::c as 64512;" in lines
        assert "  if net ~ [ fd01::/64{123,128} ] then reject;" in lines
        assert "  if net ~ [ fd01::/64{128,128} ] && ! (net ~ [ fd01::a40/122+ ]) then accept;" in lines
        assert not any("10.14" in line or "ipv4" in line for line in lines)
