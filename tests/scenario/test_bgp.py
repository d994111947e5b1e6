"""BGP on the kernel: what real daemons learn of each other is what is computed, and they follow what changes."""

from __future__ import annotations

from typing import Any

import pytest

from lab.cluster.bgp import NAMES, PROGRAM, speaking, ways
from lab.errors import Place
from lab.kernel.learned import way
from lab.kernel.sandbox import Sandbox
from lab.kernel.tools import is_missing, remedy
from lab.probe import PingRequest
from lab.scenario.changes import Live
from lab.scenario.stage import RunningLab
from lab.spec.changes import ProcessChange
from lab.state import State
from lab.state.bgp import Version, is_learned
from tests.cluster.test_bgp import BLOCKS, compiled

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(is_missing(PROGRAM), reason=f"bird is not installed: {remedy(PROGRAM)}")]

for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
REFUSES: dict[str, Any] = {"refuse": [{"on": ["node-2"], "prefix": "10.14.0.0/20", "longer_than": 26}]}
BORROWED: dict[str, Any] = {"node_3": {"pods": {"pod-3": {}, "borrower": {"address": "10.14.10.9"}}}}


def held(lab: RunningLab, state: State, version: Version = 4) -> dict[str, set[Any]]:
    """What speakers have put into their kernels."""
    found = lab.read_back()
    return {name: {way(route) for route in found[name].routes if is_learned(route, version)} for name in speaking(state, version)}


def pings(lab: RunningLab, state: State, source: str, target: str, version: Version = 4) -> str:
    own = (entry for entry in state[target].addresses if entry.device != "lo" and not entry.interface.ip.is_link_local)
    (entry, *_) = (entry for entry in own if entry.interface.version == version)
    return lab.probe([PingRequest(source, entry.interface.ip)])[0].result


@for_everyone
def test_the_daemons_learn_what_is_computed_whatever_they_are_told(sandbox: Sandbox) -> None:
    """From a mesh to a reflector, to one that refuses single addresses, to a router that listens too: each by the difference."""
    states = [
        compiled({}, **BORROWED),
        compiled({"reflectors": ["node-1"]}, **BORROWED),
        compiled({"reflectors": ["node-1"]} | REFUSES, **BORROWED),
        compiled({"reflectors": ["node-1"], "peers": {"router": 65000}}, **BORROWED),
    ]
    with RunningLab(sandbox) as lab:
        for state in states:
            lab.reach(state)
            assert held(lab, state) == ways(speaking(state))
            assert pings(lab, state, "pod-1", "pod-2") == "reply"


@for_everyone
def test_routes_are_withdrawn_when_a_reflector_dies_and_come_back_with_it(sandbox: Sandbox) -> None:
    state = compiled({"reflectors": ["node-1"]})
    place = Place("test")
    stop = Live(("node-1",), ProcessChange(on=("node-1",), name=NAMES[4], action="stop"), place)
    with RunningLab(sandbox) as lab:
        lab.reach(state, [stop])
        without = held(lab, state)
        assert {name: without[name] for name in ("node-2", "node-3")} == ways(speaking(state), down=["node-1"])
        assert pings(lab, state, "pod-2", "pod-3") != "reply"
        lab.reach(state)
        assert held(lab, state) == ways(speaking(state))
        assert pings(lab, state, "pod-2", "pod-3") == "reply"


@for_everyone
def test_over_ipv6_the_daemons_learn_what_is_computed(sandbox: Sandbox) -> None:
    """From IPv4 alone to both, to a reflector that refuses single addresses, to a router that listens too, and back to IPv4 alone."""
    borrowed = {"node_3": {"pods": {"pod-3": {}, "borrower": {"address": "10.14.10.9", "address6": "fd01::a49"}}}}
    refuses = {"refuse": [{"on": ["node-2"], "prefix": "fd01::/64", "longer_than": 122}]}
    states = [
        compiled({}),
        compiled({}, dual_stack=True, **borrowed),
        compiled({"reflectors": ["node-1"]} | refuses, dual_stack=True, **borrowed),
        compiled({"reflectors": ["node-1"], "peers": {"router": 65000}}, dual_stack=True, **borrowed),
        compiled({"reflectors": ["node-1"]}),
    ]
    with RunningLab(sandbox) as lab:
        for state in states:
            lab.reach(state)
            for version in NAMES:
                assert held(lab, state, version) == ways(speaking(state, version))
            for version in NAMES if speaking(state, 6) else (4,):
                assert pings(lab, state, "pod-1", "pod-2", version) == "reply"


@for_everyone
def test_ipv6_is_withdrawn_alone_when_its_reflector_dies_and_comes_back_with_it(sandbox: Sandbox) -> None:
    state = compiled({"reflectors": ["node-1"]}, dual_stack=True)
    stop = Live(("node-1",), ProcessChange(on=("node-1",), name=NAMES[6], action="stop"), Place("test"))
    with RunningLab(sandbox) as lab:
        lab.reach(state, [stop])
        without = held(lab, state, 6)
        assert {name: without[name] for name in ("node-2", "node-3")} == ways(speaking(state, 6), down=["node-1"])
        assert held(lab, state) == ways(speaking(state))
        assert (pings(lab, state, "pod-2", "pod-3", 6) != "reply", pings(lab, state, "pod-2", "pod-3")) == (True, "reply")
        lab.reach(state)
        assert held(lab, state, 6) == ways(speaking(state, 6))
        assert pings(lab, state, "pod-2", "pod-3", 6) == "reply"


def test_a_cluster_that_stops_to_speak_has_its_routes_all_the_same(sandbox: Sandbox) -> None:
    spoken, silent = compiled({}), compiled_without()
    with RunningLab(sandbox) as lab:
        lab.reach(spoken)
        lab.reach(silent)
        assert {str(route.destination) for route in lab.read_back()["node-1"].routes if is_learned(route, 4)} == set(BLOCKS.values())
        assert pings(lab, silent, "pod-1", "pod-2") == "reply"


def compiled_without() -> State:
    from lab.cluster import compile
    from tests.cluster.base_lab import loaded
    from tests.cluster.test_bgp import topology

    there = topology({})
    cluster = there.clusters["cluster"]
    cni = cluster.cni.model_copy(update={"bgp": None})
    clusters = {"cluster": cluster.model_copy(update={"cni": cni})}
    return compile(there.model_copy(update={"clusters": clusters}), place=loaded("one-calico-cluster").place)
