"""The table of causes, row by row on this kernel: what the sender sees, which counter moves, what the route oracle answers."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.explain.agreement.judge import predicted
from lab.explain.agreement.observe import Ears
from lab.forwarding import Dropped, Flow, Network, trace
from lab.forwarding.generate.shape import PORT
from lab.kernel.engine import Engine
from lab.kernel.oracle import RouteQuery
from lab.kernel.sandbox import run_in_sandbox
from lab.state import State
from tests.forwarding import conftest as nets
from tests.forwarding import test_causes as causes
from tests.forwarding import test_rp_filter as sources

COUNTERS = ("TcpExtIPReversePathFilter", "IpExtInNoRoutes", "IpInAddrErrors", "IpInHdrErrors", "IpFragFails")
"""The standard counters by which a router tells of a death."""


def quick(net: Any) -> State:
    """The network with impatient neighbours, and errors that are not rationed."""
    for name in net.builder:
        made = net.builder[name]
        made.sysctl("net/ipv4/icmp_ratelimit", 0)
        for device in made.links:
            for key, value in (("retrans_time_ms", 20), ("mcast_solicit", 2), ("delay_first_probe_time", 60)):
                made.sysctl(f"net/ipv4/neigh/{device}/{key}", value)
            for key in ("rp_filter", "accept_local", "src_valid_mark", "arp_ignore", "arp_announce", "send_redirects"):
                made.sysctls.setdefault(f"net/ipv4/conf/{device}/{key}", "0")
                made.sysctls.setdefault(f"net/ipv4/conf/all/{key}", "0")
    state: State = net.state
    return state


def ask_kernel(state: State, flow: Flow) -> tuple[str, dict[str, int], str | None]:
    """What is noticed, which counters of the router move, and what its oracle says."""

    def inside(sandbox: Any, report: object) -> tuple[str, dict[str, int], str | None]:
        with Engine(sandbox) as engine:
            engine.apply(state)
            query = RouteQuery(flow.destination, flow.source_address or IPv4Address("10.1.0.2"), "left", ip_protocol=1)
            with Ears(sandbox, state.namespaces, PORT) as ears:
                before = engine.counters(["r"])["r"]
                noticed = str(ears.ask(flow))
                after = engine.counters(["r"])["r"]
            moved = {name: after.get(name, 0) - before.get(name, 0) for name in COUNTERS if after.get(name, 0) != before.get(name, 0)}
            return noticed, moved, engine.route_get("r", query).error

    return run_in_sandbox(inside)


@pytest.mark.kernel
@pytest.mark.root
@pytest.mark.parametrize("case", causes.ROWS, ids=lambda case: case.name)
def test_the_kernel_drops_counts_and_says_what_the_model_says(case: Any) -> None:
    net = case.change(nets.three_in_a_row())
    state = quick(net)
    flow = Flow("a", IPv4Address(case.to), **dict(case.flow))
    conversation = trace(Network(state), flow)
    noticed, moved, oracle = ask_kernel(state, flow)
    assert noticed == str(predicted(conversation))
    verdict = conversation.request.verdict
    if isinstance(verdict, Dropped) and verdict.namespace == "r":
        assert set(moved) == ({verdict.reason.counter} if verdict.reason.counter else set())
        assert oracle == verdict.reason.value.oracle


@pytest.mark.kernel
@pytest.mark.root
@pytest.mark.parametrize(("name", "build", "answers", "refused"), causes.FOREIGN, ids=[case[0] for case in causes.FOREIGN])
def test_the_kernel_hears_a_foreign_icmp_source_where_the_model_does(name: str, build: Any, answers: str | None, refused: int) -> None:
    state = quick(build(nets.Net()))

    def inside(sandbox: Any, report: object) -> tuple[list[str], int]:
        with Engine(sandbox) as engine:
            engine.apply(state)
            with Ears(sandbox, state.namespaces, PORT) as ears:
                before = engine.counters(["g"])["g"]
                noticed = [str(ears.ask(flow)) for flow in causes.FOREIGN_FLOWS]
                after = engine.counters(["g"])["g"]
        return noticed, after.get("TcpExtIPReversePathFilter", 0) - before.get("TcpExtIPReversePathFilter", 0)

    noticed, counted = run_in_sandbox(inside)
    assert noticed == [str(predicted(trace(Network(state), flow))) for flow in causes.FOREIGN_FLOWS]
    assert counted == refused


@pytest.mark.kernel
@pytest.mark.root
@pytest.mark.parametrize(("all_", "device", "asymmetric", "unrouted"), sources.MATRIX)
def test_the_rp_filter_matrix_holds_on_the_kernel(all_: int, device: int, asymmetric: bool, unrouted: bool) -> None:
    net = sources.build(nets.three_in_a_row(), all_, device)
    net.conf("r", "right", rp_filter=0)
    state = quick(net)
    for source, passes in ((sources.ASYMMETRIC, asymmetric), (sources.UNROUTED, unrouted)):
        noticed, moved, _ = ask_kernel(state, Flow("a", IPv4Address("10.2.0.2"), source_address=IPv4Address(source)))
        assert ("seen in b" in noticed) is passes
        assert moved.get("TcpExtIPReversePathFilter", 0) == (0 if passes else 1)


@pytest.mark.kernel
@pytest.mark.root
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_a_device_without_an_address_is_stricter_in_loose_mode_than_people_think(mode: int) -> None:
    net = nets.Net()
    net.node("a").router("r").node("b")
    net.wire("a:eth0 10.1.0.2/32", "r:left").wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    net.route("a", "10.2.0.0/24 dev eth0").route("r", "10.1.0.2/32 via 10.2.0.2 dev right")
    net.neighbour("a", "eth0", "10.2.0.2", net.mac_of("r", "left")).conf("r", "left", rp_filter=mode)
    noticed, moved, _ = ask_kernel(quick(net), Flow("a", IPv4Address("10.2.0.2")))
    assert ("seen in b" in noticed) is (mode == 0)
    assert moved.get("TcpExtIPReversePathFilter", 0) == (0 if mode == 0 else 1)
