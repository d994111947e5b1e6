"""Services with addresses outside the cluster, and kube-proxy's rule about what conntrack cannot place."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.cluster import compile as compile_clusters
from lab.cluster.rules import DROP, rule, states
from lab.forwarding import Flow, Network, trace
from lab.spec.topology import Topology
from lab.state import UNKNOWN, State


def network(kubernetes: str = "v1.27.9", **service: Any) -> State:
    """A client behind a router that leads a service's outside address to the first of two nodes."""
    return compile_clusters(
        Topology.model_validate(
            {
                "topology": "outside",
                "segments": {"lan": {"cidr": "10.1.0.0/24"}, "clients": {"cidr": "10.2.0.0/24"}},
                "routers": {
                    "router": {
                        "interfaces": {"lan": "10.1.0.1", "clients": "10.2.0.1"},
                        "routes": [{"to": "198.51.100.7/32", "via": "10.1.0.11"}],
                    }
                },
                "hosts": {"client": {"segment": "clients", "address": "10.2.0.9", "gateway": "10.2.0.1"}},
                "clusters": {
                    "c": {
                        "pod_cidr": "10.44.0.0/16",
                        "service_cidr": "10.45.0.0/16",
                        "segment": "lan",
                        "kubernetes": kubernetes,
                        "cni": {"plugin": "flannel"},
                        "nodes": {"n1": {"address": "10.1.0.11", "pods": {"a": {}}}, "n2": {"address": "10.1.0.12", "pods": {"b": {}}}},
                        "services": {"web": {"external": ["198.51.100.7"], **service}},
                    }
                },
            }
        )
    )


@pytest.mark.parametrize(("pods", "keep_source", "outcome"), [(["a"], True, "reply"), (["b"], False, "reply"), (["b"], True, "refused")])
def test_clients_from_outside_are_served_by_the_node_alone_if_they_keep_their_address(
    pods: list[str], keep_source: bool, outcome: str
) -> None:
    state = network(pods=pods, keep_source=keep_source)
    assert (trace(Network(state), Flow("client", IPv4Address("198.51.100.7"), "tcp", 80)).outcome.kind == "reply") is (outcome == "reply")


@pytest.mark.parametrize(("version", "drops"), [("v1.14.10", False), ("v1.15.0", True), ("v1.27.9", True), ("unknown", True)])
def test_what_conntrack_cannot_place_is_dropped_since_1_15(version: str, drops: bool) -> None:
    tables = network(version, pods=["a"])["n1"].tables
    (forward,) = (chain for table in tables if table.name == "filter" for chain in table.chains if chain.name == "KUBE-FORWARD")
    assert (rule(states("invalid"), then=DROP, why=UNKNOWN) in forward.rules) is drops
