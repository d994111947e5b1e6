"""A packet that leaves by the default route because nobody told its node of the way: the speaker is named, over IPv4 and over IPv6."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.explain.cause import explain
from lab.forwarding import Network
from lab.probe import Outcome, PingRequest
from lab.state import Route, State
from lab.state.bgp import Version, is_learned
from tests.cluster.test_bgp import compiled


def without_learned(state: State, name: str, version: Version) -> State:
    """What a node's kernel holds when nobody tells its daemon of anything."""

    def own(route: Route) -> bool:
        return not is_learned(route, version) or route.type == "blackhole"

    namespace = replace(state[name], routes=tuple(route for route in state[name].routes if own(route)))
    return replace(state, namespaces={**state.namespaces, name: namespace})


@pytest.mark.parametrize(("version", "prefix", "peer"), [(4, "10.14.4.192/26", "192.168.10.11"), (6, "fd01::4c0/122", "fd00::b")])
def test_the_speaker_is_named_that_nobody_tells(version: Version, prefix: str, peer: str) -> None:
    state = without_learned(compiled({"reflectors": ["node-1"]}, dual_stack=True), "node-2", version)
    (target,) = (
        e.interface.ip for e in state["pod-3"].addresses_of("eth0") if e.interface.version == version and not e.interface.is_link_local
    )
    found = explain(Network(state), Outcome(PingRequest("pod-2", target), "silence", 0))
    assert found is not None
    said = "\n".join(found.lines())
    assert f"node-3 announces {prefix} by BGP, and nobody tells it of that" in said
    assert f"BGP speaker 192.168.10.12 AS 64512 with {peer} in node-2" in said
