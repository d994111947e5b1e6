"""Globalnet: who has which global address, what the gateway translates, and clusters whose own ranges are the same."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.cluster import compile as compile_clusters
from lab.cluster.diagnose import CheckResult, diagnose
from lab.errors import InputError, InputErrors
from lab.forwarding import Flow, Network, trace
from lab.spec.check import check_topology
from lab.spec.document import Document
from lab.spec.events import ExportEdit, History, Join
from lab.spec.load import read_document, validate
from lab.spec.topology import Topology
from lab.spec.yaml import read_yaml
from lab.state import State
from lab.state.nftables.text import rule_text

FILE = Path(__file__).parents[2] / "topologies" / "twins-with-globalnet.yaml"
JOINS = tuple(Join(cluster=name, clustercidr="10.42.0.0/16", servicecidr="10.43.0.0/16") for name in ("cluster-1", "cluster-2"))  # type: ignore[arg-type]


def joined(*more: ExportEdit) -> State:
    return compile_clusters(validate(read_document(FILE), Topology).model, History(events=(*JOINS, *more)))


def changed(old: str, new: str) -> Document:
    text = FILE.read_text()
    assert old in text
    return read_yaml(text.replace(old, new).encode(), "twins.yaml")


def rules(state: State, node: str, chain: str) -> list[str]:
    found = [c for table in state[node].tables if table.name == "nat" for c in table.chains if c.name == chain]
    return [rule_text(rule, "ip").replace("counter ", "").split(" comment ")[0] for c in found for rule in c.rules]


def test_addresses_are_handed_out_for_egress_then_ingress_then_exports() -> None:
    state = joined()
    assert [rule.rpartition(" ")[2] for rule in rules(state, "c2-gw", "SM-GN-EGRESS-PODS")] == ["242.1.0.9"]
    assert [rule.split()[2] for rule in rules(state, "c2-gw", "SUBMARINER-GN-INGRESS")] == ["242.1.0.10"]
    (internal,) = (o for o in state.control.of("Service", "cluster-2") if o.name.startswith("submariner-") and o.namespace == "default")
    assert internal.body["spec"]["externalIPs"] == ["242.1.0.11"]  # type: ignore[index,call-overload]


def test_clusters_of_the_same_ranges_reach_each_other_by_global_addresses_alone() -> None:
    network = Network(joined())
    reached = {
        address: trace(network, Flow("c1-b", IPv4Address(address), "tcp", port)).outcome.kind
        for address, port in (("242.1.0.9", 8080), ("242.1.0.10", 8080), ("242.1.0.11", 80))
    }
    assert reached == {"242.1.0.9": "silence", "242.1.0.10": "reply", "242.1.0.11": "reply"}


def test_what_is_no_longer_exported_has_no_global_address() -> None:
    state = joined(ExportEdit(cluster="cluster-2", service="nginx", action="delete"))
    assert not [o for o in state.control.of("Service", "cluster-2") if o.name.startswith("submariner-") and o.namespace == "default"]


def test_ranges_of_clusters_may_be_the_same_with_globalnet_only() -> None:
    check_topology(validate(read_document(FILE), Topology))
    with pytest.raises(InputErrors, match="overlaps"):
        check_topology(validate(changed("  globalnet: 242.0.0.0/8\n", ""), Topology))


def test_a_range_has_to_have_a_part_for_each_cluster() -> None:
    with pytest.raises(InputError, match=r"242\.0\.0\.0/16 has no /16 for each of 2 clusters"):
        compile_clusters(validate(changed("globalnet: 242.0.0.0/8", "globalnet: 242.0.0.0/16"), Topology).model)


def globalnet_check(state: State, cluster: str) -> CheckResult:
    return next(result for result in diagnose(state, cluster) if result.name == "globalnet")


def test_diagnosis_finds_globalnet_and_what_is_exported() -> None:
    state = joined()
    assert [(globalnet_check(state, name).status, globalnet_check(state, name).reason) for name in ("cluster-1", "cluster-2")] == [
        ("pass", "the cluster has 242.0.0.0/16, and each of 0 exported services an address of it"),
        ("pass", "the cluster has 242.1.0.0/16, and each of 1 exported services an address of it"),
    ]


def test_an_export_without_a_global_address_fails_the_diagnosis() -> None:
    state = joined()
    objects = tuple(o for o in state.control.objects if not (o.kind == "Service" and o.name.startswith("submariner-")))
    found = globalnet_check(replace(state, control=replace(state.control, objects=objects)), "cluster-2")
    assert found.status == "fail"
    assert "is exported, and has no internal service with a global address" in found.reason
