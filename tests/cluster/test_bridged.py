"""Pods on bridges: flannel with VXLAN and with host routes, the bridge plug-in alone, and what each of them programs."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.cluster import compile as compile_clusters
from lab.errors import InputError
from lab.forwarding import Flow, Network, trace
from lab.spec.topology import Topology
from lab.state import State
from lab.state.objects import BridgePort


def network(cni: Mapping[str, Any], **cluster: Any) -> State:
    """Two nodes in two segments with a pod each, behind one router."""
    return compile_clusters(
        Topology.model_validate(
            {
                "topology": "bridges",
                "segments": {"one": {"cidr": "10.1.0.0/24"}, "two": {"cidr": "10.2.0.0/24"}},
                "routers": {"router": {"interfaces": {"one": "10.1.0.1", "two": "10.2.0.1"}}},
                "clusters": {
                    "c": {
                        "pod_cidr": "10.44.0.0/16",
                        "service_cidr": "10.45.0.0/16",
                        "segment": "one",
                        "cni": cni,
                        "nodes": {
                            "n1": {"address": "10.1.0.11", "pods": {"a": {}, "b": {}}},
                            "n2": {"address": "10.1.0.12", "interfaces": {"two": "10.2.0.12"}, "pods": {"c": {}}},
                        },
                        "services": {"web": {"pods": ["b", "c"]}},
                        **cluster,
                    }
                },
            }
        )
    )


def reaches(state: State, source: str, target: str) -> str:
    address = next(e.interface.ip for e in state[target].addresses if e.device == "eth0")
    return trace(Network(state), Flow(source, address, "icmp")).outcome.kind  # type: ignore[arg-type]


@pytest.mark.parametrize("cni", [{"plugin": "flannel"}, {"plugin": "flannel", "mode": "host-gw"}], ids=["vxlan", "host-gw"])
def test_flannel_s_pods_reach_each_other_with_their_own_addresses(cni: Mapping[str, Any]) -> None:
    state = network(cni)
    assert [reaches(state, source, target) for source, target in (("a", "b"), ("a", "c"), ("c", "a"), ("n1", "c"))] == ["reply"] * 4


def test_a_node_s_range_starts_with_the_tunnel_then_the_bridge_then_dns_and_pods() -> None:
    state = network({"plugin": "flannel"})
    assert {e.device: str(e.interface) for e in state["n1"].addresses if e.device != "lo"} == {
        "eth0": "10.1.0.11/24",
        "flannel.1": "10.44.0.0/32",
        "cni0": "10.44.0.1/24",
    }
    assert [str(e.interface) for e in (*state["c-dns"].addresses, *state["a"].addresses) if e.device == "eth0"] == [
        "10.44.0.2/24",
        "10.44.0.3/24",
    ]


def test_flannel_tells_the_address_of_the_segment_it_is_told() -> None:
    state = network({"plugin": "flannel", "interface": "one"})
    assert [str(entry.destination) for entry in state["n1"].fdb] == ["10.1.0.12"]
    with pytest.raises(InputError, match="flannel finds no interface on n1, which is not on segment two"):
        network({"plugin": "flannel", "interface": "two"})


def test_the_bridge_plug_in_leaves_other_nodes_to_the_network() -> None:
    state = network({"plugin": "bridge"})
    assert [route.destination.prefixlen for route in state["n1"].routes if route.via is not None] == [0]
    assert reaches(state, "a", "b") == "reply"
    assert reaches(state, "a", "c") != "reply"


def test_ports_are_hairpins_unless_the_plug_in_is_told_otherwise() -> None:
    for hairpin in (True, False):
        state = network({"plugin": "bridge", "hairpin": hairpin})
        assert {link.port for link in state["n1"].links if link.master == "cni0"} == {BridgePort(hairpin=hairpin)}


@pytest.mark.parametrize(
    ("cni", "said"),
    [
        ({"plugin": "flannel", "block_size": 24}, "`block_size` says nothing with `plugin: flannel`"),
        ({"plugin": "bridge", "mode": "none"}, "`mode` says nothing with `plugin: bridge`"),
        ({"plugin": "flannel", "mode": "none"}, "flannel has no mode 'none': it is vxlan or host-gw"),
        ({"mode": "host-gw"}, "calico has no mode 'host-gw': it is vxlan, vxlan-cross-subnet or none"),
    ],
)
def test_what_a_plug_in_cannot_be_told_is_refused(cni: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        network(cni)


def test_a_pod_cannot_ask_for_the_address_of_the_bridge() -> None:
    nodes = {"n1": {"address": "10.1.0.11", "pods": {"b": {"address": "10.44.0.1"}, "c": {}}}}
    with pytest.raises(InputError, match=r"10\.44\.0\.1 is none that node n1 gives to pods"):
        network({"plugin": "flannel"}, nodes=nodes)


@pytest.mark.parametrize(
    ("hairpin", "bridge_rules", "outcome"), [(True, 1, "reply"), (False, 1, "silence"), (False, 0, "reply"), (True, 0, "reply")]
)
def test_a_pod_reaches_itself_by_a_service_unless_the_bridge_translates_and_its_port_is_no_hairpin(
    hairpin: bool, bridge_rules: int, outcome: str
) -> None:
    sysctls = {"net/bridge/bridge-nf-call-iptables": bridge_rules}
    state = network({"plugin": "flannel", "hairpin": hairpin}, services={"self": {"pods": ["a"]}}, sysctls=sysctls)
    (service,) = (o for o in state.control.of("Service") if o.name == "self")
    spec = service.body["spec"]
    assert isinstance(spec, dict)
    found = {}
    for source in ("a", "b", "c"):
        found[source] = trace(Network(state), Flow(source, IPv4Address(str(spec["clusterIP"])), "tcp", 80)).outcome.kind
    # Without the bridge's help the answer of a neighbour goes straight to the client, with an address that it never asked.
    assert found == {"a": outcome, "b": "reply" if bridge_rules else "silence", "c": "reply"}
