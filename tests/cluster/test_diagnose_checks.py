"""Each check of `lab diagnose` can be green, and can be red, for its own reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from lab.cluster.diagnose import CHECKS, STOCK, CheckResult, diagnose
from lab.cluster.rules import DROP, port, rule
from lab.errors import InputError
from lab.spec.events import IPPoolEdit, Join
from lab.state import UNKNOWN, ApiObject, Link, Namespace, OtherKind, State
from lab.state.nft import Chain, NftTable
from tests.cluster.submariner_lab import JOINED, JOINED_SMALL, ONE, TWO, WORKERS, after, broken, healthy, two_clusters


def found(state: State, check: str, cluster: str = ONE) -> CheckResult:
    return next(result for result in diagnose(state, cluster) if result.name == check)


def with_node(state: State, name: str, change: Callable[[Namespace], Namespace]) -> State:
    return replace(state, namespaces={**state.namespaces, name: change(state[name])})


def without(state: State, keep: Callable[[ApiObject], bool]) -> State:
    return replace(state, control=replace(state.control, objects=tuple(o for o in state.control.objects if keep(o))))


def cluster(**written: Any) -> dict[str, dict[str, Any]]:
    return {ONE: written}


def test_the_checks_are_those_of_subctl_in_its_order_and_the_missing_one() -> None:
    assert STOCK == (
        "kubernetes-version",
        "cidr-overlap",
        "deployments",
        "metrics",
        "cni-plugin",
        "calico-ippools",
        "calico-encapsulation",
        "gateway-connections",
        "route-agent-connections",
        "kube-proxy-mode",
        "firewall-vxlan",
        "globalnet",
        "service-discovery",
    )
    assert [result.name for result in diagnose(healthy(), ONE)] == [*STOCK, "detected-ranges"]


def test_without_a_cluster_all_are_examined() -> None:
    assert [result.cluster for result in diagnose(healthy())] == [ONE] * len(CHECKS) + [TWO] * len(CHECKS)


def test_an_unknown_cluster_is_a_mistake_with_a_hint() -> None:
    with pytest.raises(InputError) as mistake:
        diagnose(healthy(), "cluster-3")
    assert "cluster-" in (mistake.value.hint or "")


def test_where_submariner_is_not_installed_nothing_is_judged() -> None:
    assert {(r.status, r.reason) for r in diagnose(after(), ONE)} == {("skip", "Submariner is not installed in this cluster")}


def test_an_old_kubernetes() -> None:
    state = after(*JOINED, topology=two_clusters(clusters=cluster(kubernetes="v1.18.20")))
    assert found(state, "kubernetes-version").status == "fail"
    assert "v1.18.20" in found(state, "kubernetes-version").reason


def test_advertised_ranges_that_overlap() -> None:
    state = after(JOINED[0], Join(cluster=TWO, clustercidr=IPv4Network("10.46.128.0/17"), servicecidr=IPv4Network("10.43.0.0/16")))
    result = found(state, "cidr-overlap")
    assert result.status == "fail"
    assert result.reason == "10.46.0.0/16 of cluster-1 overlaps 10.46.128.0/17 of cluster-2"


def test_two_24s_do_not_overlap_and_nobody_asks_whether_they_are_real() -> None:
    result = found(broken(), "cidr-overlap")
    assert result.status == "pass"
    assert result.reason.endswith("whether they are the real ones is not asked")


def test_a_gateway_that_does_not_start() -> None:
    state = after(Join(cluster=ONE, health_check=True), Join(cluster=TWO), absent=WORKERS)
    assert found(state, "deployments").status == "warn"
    assert "submariner-gateway-c1-gw was restarted 5 times" in found(state, "deployments").reason
    assert found(state, "gateway-connections").status == "fail"
    assert found(state, "firewall-vxlan").status == "skip"


class TestCalicoPools:
    def test_none_was_made(self) -> None:
        topology = two_clusters(clusters=cluster(cni={"plugin": "calico", "api_server": False}))
        result = found(after(*JOINED, topology=topology), "calico-ippools")
        assert (result.status, result.reason) == ("fail", "no IPPool for the remote subnet 10.43.0.0/16")

    def test_a_wider_one_made_by_hand_is_not_equal(self) -> None:
        narrow, wide = "submariner-cluster-2-10.42.0.0-24", "submariner-cluster-2-10.42.0.0-16"
        by_hand = (IPPoolEdit(cluster=ONE, name=narrow), IPPoolEdit(cluster=ONE, name=wide, cidr=IPv4Network("10.42.0.0/16")))
        result = found(after(*JOINED_SMALL, *by_hand, absent=WORKERS), "calico-ippools")
        assert (result.status, result.reason) == ("fail", "no IPPool for the remote subnet 10.42.0.0/24")

    @pytest.mark.parametrize(("setting", "said"), [({"nat_outgoing": True}, "has natOutgoing"), ({"disabled": False}, "is not disabled")])
    def test_one_that_does_too_much(self, setting: dict[str, bool], said: str) -> None:
        name = "submariner-cluster-2-10.42.0.0-16"
        by_hand = IPPoolEdit(cluster=ONE, name=name, cidr=IPv4Network("10.42.0.0/16"), **setting)  # type: ignore[arg-type]
        result = found(after(by_hand, *JOINED), "calico-ippools")
        assert result.status == "fail"
        assert said in result.reason

    def test_those_of_the_incident_agree_with_the_endpoint_they_were_made_from(self) -> None:
        result = found(broken(), "calico-ippools")
        assert result.status == "pass"
        assert "10.42.0.0/24" in result.reason


class TestCalicoEncapsulation:
    def test_it_is_silently_skipped_where_no_pool_equals_the_local_range(self) -> None:
        result = found(broken(), "calico-encapsulation")
        assert (result.status, result.reason) == ("pass", "skipped: no IPPool equals 10.46.0.0/24")

    def test_it_looks_at_the_pool_that_does(self) -> None:
        assert found(healthy(), "calico-encapsulation").reason == "IPPool default-ipv4-ippool (10.46.0.0/16) uses VXLAN always"

    def test_it_wants_vxlan_always(self) -> None:
        topology = two_clusters(clusters=cluster(cni={"plugin": "calico", "mode": "vxlan-cross-subnet"}))
        assert found(after(*JOINED, topology=topology), "calico-encapsulation").status == "fail"


class TestConnections:
    def test_the_cable_says_connected_while_nobody_pings(self) -> None:
        assert "with --health-check=false nobody pings" in found(broken(), "gateway-connections").reason

    def test_tunnels_that_never_came_up(self) -> None:
        here, there = JOINED[0].model_copy(update={"cable_driver": "libreswan"}), JOINED[1]
        result = found(after(here, there), "gateway-connections")
        assert (result.status, result.reason) == ("fail", "the connection to cluster-2 is error: none of 4 tunnels is up")

    def test_route_agents_report_nothing_before_0_19(self) -> None:
        assert found(broken(), "route-agent-connections").status == "skip"
        newer = after(*JOINED, topology=two_clusters(submariner={"version": "0.19.0"}))
        assert found(newer, "route-agent-connections").status == "pass"


def test_kube_proxy_in_ipvs_mode() -> None:
    def with_ipvs(node: Namespace) -> Namespace:
        return replace(node, links=(*node.links, Link("kube-ipvs0", OtherKind("dummy"))))

    assert found(with_node(healthy(), "c1-gw", with_ipvs), "kube-proxy-mode").status == "fail"
    assert found(with_node(healthy(), "c1-w1", with_ipvs), "kube-proxy-mode").status == "pass"


class TestFirewall:
    def test_it_asks_for_the_service_range_which_was_right_all_along(self) -> None:
        result = found(broken(), "firewall-vxlan")
        assert result.status == "pass"
        assert "10.43.0.0/16, the remote service range" in result.reason

    @pytest.mark.parametrize("node", ["c1-gw", "c1-w1"])
    def test_a_rule_that_drops_the_overlay(self, node: str) -> None:
        def walled(there: Namespace) -> Namespace:
            wall = Chain("input", (rule(port("udp", 4800), then=DROP, why=UNKNOWN),), "filter", "input", 0, "accept")
            return replace(there, tables=(*there.tables, NftTable("inet", "firewall", (wall,))))

        result = found(with_node(healthy(), node, walled), "firewall-vxlan")
        assert result.status == "fail"
        assert f"a rule of {node} drops UDP/4800" in result.reason

    def test_a_worker_without_the_route(self) -> None:
        def cut(there: Namespace) -> Namespace:
            return replace(there, routes=tuple(r for r in there.routes if r.device != "vx-submariner"))

        assert "leads to eth0" in found(with_node(healthy(), "c1-w1", cut), "firewall-vxlan").reason

    def test_a_destination_that_is_masqueraded_on_the_way(self) -> None:
        topology = two_clusters(clusters=cluster(cni={"plugin": "calico", "api_server": False}))
        assert "Calico masquerades it" in found(after(*JOINED, topology=topology), "firewall-vxlan").reason

    def test_one_node_has_nobody_to_ask(self) -> None:
        assert found(after(*JOINED, absent=WORKERS), "firewall-vxlan").status == "skip"


class TestServiceDiscovery:
    def test_an_export_without_its_slice(self) -> None:
        state = without(healthy(), lambda o: not o.name.startswith("web-1-default-"))
        assert found(state, "service-discovery").reason == "ServiceExport default/web-1 has no EndpointSlice"

    def test_an_export_without_its_import(self) -> None:
        state = without(healthy(), lambda o: o.kind != "ServiceImport")
        assert found(state, "service-discovery").reason == "ServiceExport default/web-1 has no ServiceImport"

    def test_an_export_that_no_agent_accepted(self) -> None:
        objects = tuple(replace(o, body={}) if o.kind == "ServiceExport" else o for o in healthy().control.objects)
        state = replace(healthy(), control=replace(healthy().control, objects=objects))
        assert "is not Valid" in found(state, "service-discovery").reason


class TestDetectedRanges:
    def test_the_side_that_was_joined_right_is_green(self) -> None:
        state = after(Join(cluster=ONE), JOINED[1], absent=WORKERS)
        assert found(state, "detected-ranges", ONE).status == "fail"
        assert found(state, "detected-ranges", TWO).status == "pass"

    def test_a_wrong_service_range_has_a_flag_of_its_own(self) -> None:
        wrong = Join(cluster=ONE, clustercidr=IPv4Network("10.46.0.0/16"), servicecidr=IPv4Network("10.45.128.0/17"))
        result = found(after(wrong, JOINED[1]), "detected-ranges")
        assert result.status == "fail"
        assert result.reason.endswith("join again with --servicecidr 10.45.0.0/16")

    def test_a_wider_range_than_needed_is_no_mistake(self) -> None:
        wide = Join(cluster=ONE, clustercidr=IPv4Network("10.46.0.0/15"), servicecidr=IPv4Network("10.45.0.0/16"))
        assert found(after(wide, JOINED[1]), "detected-ranges").status == "pass"

    def test_without_pools_the_flags_of_the_components_name_the_cure(self) -> None:
        state = without(broken(), lambda o: o.kind != "IPPool")
        assert found(state, "detected-ranges").reason.endswith("--clustercidr 10.46.0.0/16")

    def test_without_either_the_least_range_that_holds_every_address_does(self) -> None:
        state = without(broken(), lambda o: o.kind != "IPPool" and "component" not in o.labels)
        cure = IPv4Network(found(state, "detected-ranges").reason.rsplit(" ", 1)[1])
        assert cure == IPv4Network("10.46.0.0/17")

    def test_the_evidence_vanishes_where_an_interface_was_found(self) -> None:
        state = after(*JOINED_SMALL, absent=WORKERS, topology=two_clusters(blocks={"c1-w1": "10.46.0.64/26"}))
        detail = found(state, "detected-ranges").detail
        assert not any(line.startswith("c1-w1: no SNAT") for line in detail)
        assert any(line.startswith("c1-w2: no SNAT") for line in detail)
