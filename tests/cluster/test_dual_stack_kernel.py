"""A dual-stack cluster whose IPv6 goes through Calico's or flannel's tunnel of IPv6: this kernel does with it what the model says."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from lab.cluster import compile
from lab.explain.agreement.witnesses import hear_witnesses
from lab.explain.prediction import flow_of
from lab.forwarding import Network, trace
from lab.kernel.sandbox import Sandbox
from lab.probe import PingRequest, Request, TcpRequest
from lab.scenario.stage import RunningLab
from lab.spec.events import History
from lab.spec.topology import Topology
from lab.state import State
from tests.cluster.base_lab import loaded

pytestmark = pytest.mark.kernel


def compiled(**other: Any) -> State:
    """The shipped cluster with its second node in the office, so that a router is between its nodes, which knows no pods."""
    written: dict[str, Any] = loaded("dual-stack-cluster").model.model_dump(mode="json", exclude_unset=True)
    cluster = written["clusters"]["cluster"]
    nodes = {**cluster["nodes"], "k8s-2": {"address": "192.168.20.3", "segment": "office", "pods": {"pod-3": {}}}}
    changed = {**cluster, "nodes": nodes, "cni": {"mode6": "vxlan"}, **other}
    return compile(Topology.model_validate({**written, "clusters": {"cluster": changed}}), History())


def address6(state: State, name: str) -> Any:
    own = (entry.interface.ip for entry in state[name].addresses_of("eth0"))
    return next(address for address in own if address.version == 6 and not address.is_link_local)


def requests(state: State) -> list[Request]:
    far = address6(state, "pod-3")
    return [
        PingRequest("pod-1", far),
        PingRequest("k8s-1", far),
        PingRequest("pod-1", far, size=1430 - 48, df=True),
        PingRequest("pod-3", address6(state, "pod-1"), size=3000),
        TcpRequest("pod-1", far, 8080, answer=9000),
        TcpRequest("pod-1", ip_address("fd02::65"), 80),
    ]


def test_pods_of_nodes_with_a_router_between_reach_each_other(sandbox: Sandbox) -> None:
    state = compiled()
    with RunningLab(sandbox) as lab:
        lab.reach(state)
        asked = requests(state)
        network = Network(lab.read_back())
        for request, outcome in zip(asked, lab.probe(asked), strict=True):
            flow = flow_of(request)
            assert flow is not None
            heard = hear_witnesses(network, trace(network, flow), outcome, lab.engine.route_get)
            assert outcome.result == "reply", request
            assert heard.disagreements == (), request
            crossed = {(one.namespace, one.device) for one in outcome.sightings if one.encapsulated}
            assert {("k8s-1", "eth0"), ("router", "link"), ("router", "office"), ("k8s-2", "eth0")} <= crossed, request


def test_flannels_pods_reach_each_other_and_services_through_its_second_device(sandbox: Sandbox) -> None:
    """pod-1 and pod-2 are on one bridge, whose own rules translate what they send to a service."""
    services = {"near": {"pods": ["pod-2"]}, "self": {"pods": ["pod-1"]}, "far": {"pods": ["pod-3"]}}
    two = {name: {**service, "families": ["IPv4", "IPv6"]} for name, service in services.items()}
    state = compiled(pod_cidr6="fd01::/56", cni={"plugin": "flannel"}, services=two)
    there, back, (far, near, myself) = address6(state, "pod-3"), address6(state, "pod-1"), service_addresses(state)
    through: list[Request] = [
        PingRequest("pod-1", there),
        PingRequest("k8s-1", there),
        PingRequest("pod-3", back, size=3000),
        PingRequest("pod-1", there, size=1430 - 48, df=True),
        TcpRequest("pod-1", there, 8080, answer=9000),
        TcpRequest("pod-1", far, 80),
    ]
    beside: list[Request] = [TcpRequest("pod-1", near, 80), TcpRequest("pod-1", myself, 80), PingRequest("pod-1", ip_address("fd00::1"))]
    with RunningLab(sandbox) as lab:
        lab.reach(state)
        network = Network(lab.read_back())
        for request, outcome in zip((*through, *beside), lab.probe((*through, *beside)), strict=True):
            flow = flow_of(request)
            assert flow is not None
            heard = hear_witnesses(network, trace(network, flow), outcome, lab.engine.route_get)
            assert outcome.result == "reply", request
            assert heard.disagreements == (), request
            crossed = {(one.namespace, one.device) for one in outcome.sightings if one.encapsulated}
            assert ({("k8s-1", "eth0"), ("router", "office"), ("k8s-2", "eth0")} <= crossed) == (request in through), request


def service_addresses(state: State) -> list[Any]:
    """Return the IPv6 addresses of services of pods, in the order of their names."""
    bodies: dict[str, Any] = {item.name: item.body for item in state.control.of("Service")}
    return [next(ip_address(ip) for ip in bodies[name]["spec"]["clusterIPs"] if ":" in ip) for name in ("far", "near", "self")]
