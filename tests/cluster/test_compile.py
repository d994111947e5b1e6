"""The compiler as a whole: pure, complete, every object with its reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from ipaddress import ip_network
from typing import Any

import pytest

from lab.errors import InputError, Place
from lab.spec.check import check_topology
from lab.spec.events import ExportEdit, Join, NodeAdded
from lab.state import UNKNOWN, Provenance, State
from tests.cluster.base_lab import TOPOLOGIES, changed, compiled, loaded, members

SHIPPED = sorted(path.stem for path in TOPOLOGIES.glob("*.yaml"))
WORKERS = ("c1-w1", "c1-w2", "c2-w1", "c2-w2")


def joined() -> State:
    """Return the flagship's broken state: the richest in objects of every kind."""
    events = (Join(cluster="cluster-1"), Join(cluster="cluster-2"), *(NodeAdded(node=node) for node in WORKERS))
    return compiled(loaded().model, *events, absent=WORKERS)


def provenances(thing: Any, path: str) -> Iterator[tuple[str, Provenance]]:
    """Yield every reason in a state with the path of what bears it."""
    if isinstance(thing, Provenance):
        yield path, thing
    elif is_dataclass(thing):
        name = getattr(thing, "name", "") or getattr(thing, "destination", "") or ""
        for field in fields(thing):
            yield from provenances(getattr(thing, field.name), f"{path}/{type(thing).__name__} {name}")
    elif isinstance(thing, tuple):
        for each in thing:
            yield from provenances(each, path)
    elif isinstance(thing, dict):
        for each in thing.values():
            yield from provenances(each, path)


class TestShippedTopologies:
    @pytest.mark.parametrize("name", SHIPPED)
    def test_each_makes_sense_and_compiles(self, name: str) -> None:
        check_topology(loaded(name))
        assert compiled(loaded(name).model).namespaces

    @pytest.mark.parametrize("name", SHIPPED)
    def test_no_block_lies_in_the_first_24_of_its_pool(self, name: str) -> None:
        """With a block in the node's podCIDR one node would find its CNI interface, and the flagship would be another incident."""
        for cluster_name, cluster in loaded(name).model.clusters.items():
            if cluster.cni.plugin != "calico":
                continue
            blocks = [o.body["spec"]["cidr"] for o in compiled(loaded(name).model).control.of("IPAMBlock", cluster_name)]  # type: ignore[index,call-overload]
            first = str(next(cluster.pod_cidr.subnets(new_prefix=24)).network_address).rsplit(".", 1)[0]
            assert blocks
            assert not [block for block in blocks if str(block).startswith(f"{first}.")]

    def test_the_single_nodes_tunnel_has_the_address_of_the_report(self) -> None:
        state = compiled(loaded("two-single-node-clusters").model)
        assert [str(a.interface) for a in state["c1-node"].addresses_of("vxlan.calico")] == ["10.46.104.192/32"]
        assert {state["c1-node"].sysctl(f"net/ipv4/conf/{link.name}/rp_filter") for link in state["c1-node"].links} == {"2"}


class TestPurity:
    def test_the_same_input_gives_the_same_state(self) -> None:
        assert joined() == joined()

    def test_all_namespaces_of_the_lab_have_a_role_and_pods_a_node(self) -> None:
        state = compiled()
        assert {namespace.role for namespace in state} == {"switch", "router", "proxy", "host", "node", "pod"}
        assert all(namespace.parent in state.namespaces for namespace in state if namespace.role == "pod")


class TestProvenance:
    def test_every_object_says_why_it_is_there(self) -> None:
        state = joined()
        nameless = [path for namespace in state for path, why in provenances(namespace, namespace.name) if why is UNKNOWN]
        assert nameless == []
        assert [path for path, why in provenances(state.control, "") if why is UNKNOWN] == []

    def test_what_calico_and_kube_proxy_put_on_nodes_leads_to_a_line_of_the_file(self) -> None:
        state = compiled()
        placeless = [
            path
            for namespace in state
            for path, why in provenances(namespace, namespace.name)
            if not why.places() and why.component not in ("kernel", "topology")
        ]
        assert placeless == []

    def test_the_exemption_from_masquerading_leads_to_the_pod_cidr(self) -> None:
        worker = compiled()["c1-w1"]
        (pools,) = (s for t in worker.tables for s in t.sets if s.name == "cali40all-ipam-pools")
        line = loaded().place("clusters", "cluster-1", "pod_cidr")
        assert pools.provenance.places()[0] == Place("two-clusters.yaml", line.line, line.column)


class TestEvents:
    def test_an_export_made_later_is_there_and_one_deleted_is_not(self) -> None:
        made = ExportEdit(cluster="cluster-1", service="web-1", action="create")
        deleted = ExportEdit(cluster="cluster-1", service="web-1", action="delete")
        services = {"web-1": {"pods": ["c1-gw-a"]}}
        topology = changed(cluster_1={"services": services})
        assert not list(compiled(topology).control.of("ServiceExport", "cluster-1"))
        assert [o.name for o in compiled(topology, made).control.of("ServiceExport", "cluster-1")] == ["web-1"]
        assert not list(compiled(topology, made, deleted).control.of("ServiceExport", "cluster-1"))

    def test_pools_made_by_submariner_reach_the_sets_of_every_node(self) -> None:
        assert members(joined()["c1-w2"], "nat", "cali40all-ipam-pools") == {"10.46.0.0/16", "10.43.0.0/16", "10.42.0.0/24"}

    def test_an_unknown_node_is_named_with_the_nearest_one(self) -> None:
        with pytest.raises(InputError, match="no node 'c1-w3'") as raised:
            compiled(None, NodeAdded(node="c1-w3"))
        assert raised.value.hint is not None
        assert "c1-w" in raised.value.hint

    def test_a_node_cannot_join_twice(self) -> None:
        with pytest.raises(InputError, match="there already"):
            compiled(None, NodeAdded(node="c1-w1"))

    def test_an_export_of_an_unknown_service_is_a_mistake(self) -> None:
        with pytest.raises(InputError, match="no service 'web-2'"):
            compiled(None, ExportEdit(cluster="cluster-1", service="web-2"))


class TestMistakes:
    def test_an_address_in_another_nodes_block_is_refused_at_its_place(self) -> None:
        nodes = loaded().model.model_dump(mode="json", exclude_unset=True)["clusters"]["cluster-1"]["nodes"]
        nodes["c1-gw"]["blocks"] = ["10.46.10.0/26"]
        nodes["c1-w1"]["pods"]["c1-w1-a"] = {"address": "10.46.10.7"}
        with pytest.raises(InputError, match=r"10.46.10.7 lies in 10.46.10.0/26, which belongs to node c1-gw") as raised:
            compiled(changed(cluster_1={"nodes": nodes}))
        assert raised.value.place is not None

    def test_an_address_a_pod_asks_for_is_its_own(self) -> None:
        nodes = loaded().model.model_dump(mode="json", exclude_unset=True)["clusters"]["cluster-1"]["nodes"]
        nodes["c1-w1"]["pods"]["c1-w1-a"] = {"address": "10.46.200.9"}
        state = compiled(changed(cluster_1={"nodes": nodes}))
        assert str(state["c1-w1-a"].addresses_of("eth0")[0].interface) == "10.46.200.9/32"

    def test_ipv6_is_refused_with_words(self) -> None:
        with pytest.raises(InputError, match="IPv4 only"):
            compiled(changed(cluster_1={"pod_cidr": ip_network("fd00::/64")}))


class TestComponents:
    def flags(self, distribution: str) -> dict[str, dict[str, list[str]]]:
        state = compiled(changed(cluster_1={"distribution": distribution}))
        pods = {o.labels["component"]: o for o in state.control.of("Pod", "cluster-1") if "component" in o.labels}
        return {name: pod.body["spec"]["containers"][0] for name, pod in pods.items()}  # type: ignore[index,call-overload,misc]

    def test_rke2_writes_flags_into_args(self) -> None:
        found = self.flags("rke2")
        assert "--cluster-cidr=10.46.0.0/16" in found["kube-controller-manager"]["args"]
        assert "--cluster-cidr=10.46.0.0/16" in found["kube-proxy"]["args"]
        assert found["kube-apiserver"]["command"] == ["kube-apiserver"]

    def test_kubeadm_writes_flags_into_command(self) -> None:
        found = self.flags("kubeadm")
        assert "--cluster-cidr=10.46.0.0/16" in found["kube-controller-manager"]["command"]
        assert "--service-cluster-ip-range=10.45.0.0/16" in found["kube-apiserver"]["command"]
        assert "kube-proxy" not in found

    def test_k3s_has_no_such_pods(self) -> None:
        assert self.flags("k3s") == {}

    def test_each_node_has_the_next_24_of_the_pod_cidr_whatever_calico_does(self) -> None:
        nodes = {o.name: o.body["spec"]["podCIDR"] for o in compiled().control.of("Node", "cluster-1")}  # type: ignore[index,call-overload]
        assert nodes == {"c1-gw": "10.46.0.0/24", "c1-w1": "10.46.1.0/24", "c1-w2": "10.46.2.0/24"}
