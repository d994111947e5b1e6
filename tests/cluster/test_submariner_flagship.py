"""The flagship, phase by phase: what Submariner leaves on the nodes, line by line."""

from __future__ import annotations

import pytest

from lab.cluster.diagnose import DETECTED_RANGES, STOCK, diagnose
from lab.spec.events import AgentRestart
from lab.state import Vxlan
from lab.state.difference import difference
from tests.cluster.submariner_lab import (
    JOINED,
    ONE,
    TWO,
    WORKERS,
    after,
    broken,
    chain,
    fdb,
    fixed,
    healthy,
    logged,
    members,
    pools,
    routes,
    rules,
    subnets,
    sysctl,
)

MISSING = 'unable to find CNI Interface on the host which has IP from "10.46.0.0/24"'


class TestHealthy:
    def test_a_worker_sends_remote_subnets_to_the_gateway(self) -> None:
        worker = healthy()["c1-w1"]
        assert rules(worker) == []
        assert routes(worker) == [
            "default via 172.18.1.1 dev eth0",
            "10.43.0.0/16 via 240.18.1.2 dev vx-submariner proto static",
            "10.42.0.0/16 via 240.18.1.2 dev vx-submariner proto static",
        ]
        assert routes(worker, 100) == []
        assert routes(worker, 150) == []

    def test_a_workers_device_leads_to_the_gateway_alone(self) -> None:
        worker = healthy()["c1-w1"]
        device = worker.link("vx-submariner")
        assert device is not None
        assert device.mtu == 1450
        assert isinstance(device.kind, Vxlan)
        assert (device.kind.vni, str(device.kind.remote), device.kind.port, device.kind.learning) == (100, "172.18.1.2", 4800, False)
        assert (device.kind.local, device.kind.device) == (None, None)
        assert fdb(worker, "vx-submariner") == []
        assert [str(e.interface) for e in worker.addresses_of("vx-submariner")] == ["240.18.1.3/8"]

    def test_a_worker_loosens_its_cni_interface_and_nothing_else(self) -> None:
        worker = healthy()["c1-w1"]
        loose = [path for path, value in worker.sysctls.items() if path.endswith("/rp_filter") and value == "2"]
        assert loose == ["net/ipv4/conf/vxlan.calico/rp_filter"]
        assert sysctl(worker, "vx-submariner", "forwarding") == "1"

    def test_a_workers_nat_chain(self) -> None:
        assert chain(healthy()["c1-w1"], "nat", "SUBMARINER-POSTROUTING") == [
            'ip saddr 240.0.0.0/8 oifname "vx-submariner" snat to 10.46.104.192',
            "ip saddr 10.46.0.0/16 ip daddr 10.43.0.0/16 accept",
            "ip saddr 10.43.0.0/16 ip daddr 10.46.0.0/16 accept",
            "ip saddr 10.46.0.0/16 ip daddr 10.42.0.0/16 accept",
            "ip saddr 10.42.0.0/16 ip daddr 10.46.0.0/16 accept",
        ]

    def test_the_gateway_has_two_tables_and_no_remote_route_in_main(self) -> None:
        gateway = healthy()["c1-gw"]
        assert rules(gateway) == ["100: from all lookup 100", "150: from all lookup 150"]
        assert routes(gateway) == ["default via 172.18.1.1 dev eth0"]
        assert routes(gateway, 100) == [
            "10.43.0.0/16 via 241.18.2.2 dev vxlan-tunnel src 10.46.10.0 metric 100",
            "10.42.0.0/16 via 241.18.2.2 dev vxlan-tunnel src 10.46.10.0 metric 100",
        ]
        assert routes(gateway, 150) == [
            "10.43.0.0/16 dev eth0 proto static scope link src 10.46.10.0",
            "10.42.0.0/16 dev eth0 proto static scope link src 10.46.10.0",
        ]

    def test_the_gateway_floods_to_every_node_itself_included_and_to_the_other_gateway(self) -> None:
        gateway = healthy()["c1-gw"]
        assert fdb(gateway, "vx-submariner") == [f"00:00:00:00:00:00 dst 172.18.1.{host}" for host in (2, 3, 4)]
        assert fdb(gateway, "vxlan-tunnel") == ["00:00:00:00:00:00 dst 172.18.2.2"]

    def test_the_cable_device(self) -> None:
        gateway = healthy()["c1-gw"]
        device = gateway.link("vxlan-tunnel")
        assert device is not None
        assert isinstance(device.kind, Vxlan)
        assert (device.kind.vni, device.kind.port, device.kind.remote, device.kind.local, device.kind.learning, device.mtu) == (
            1000,
            4500,
            None,
            None,
            False,
            1450,
        )
        assert [str(e.interface) for e in gateway.addresses_of("vxlan-tunnel")] == ["241.18.1.2/8"]

    def test_the_sysctls_of_the_gateway(self) -> None:
        gateway = healthy()["c1-gw"]
        loose = {path.split("/")[3] for path, value in gateway.sysctls.items() if path.endswith("/rp_filter") and value == "2"}
        assert loose == {"vxlan.calico", "vx-submariner", "vxlan-tunnel"}
        assert sysctl(gateway, "all", "send_redirects") == "0"
        assert {sysctl(gateway, device, "forwarding") for device in ("vx-submariner", "vxlan-tunnel")} == {"1"}

    def test_the_gateways_nat_chain_translates_to_its_own_cni_address(self) -> None:
        first, *rest = chain(healthy()["c1-gw"], "nat", "SUBMARINER-POSTROUTING")
        assert first == 'ip saddr 240.0.0.0/8 oifname "vx-submariner" snat to 10.46.10.0'
        assert rest == chain(healthy()["c1-w1"], "nat", "SUBMARINER-POSTROUTING")[1:]

    @pytest.mark.parametrize("node", ["c1-gw", "c1-w1", "c1-w2"])
    def test_filter_and_mangle_of_every_node(self, node: str) -> None:
        here = healthy()[node]
        assert chain(here, "filter", "SUBMARINER-INPUT") == ["udp dport 4800 accept"]
        assert chain(here, "filter", "INPUT")[-1] == "meta l4proto udp jump SUBMARINER-INPUT"
        assert 'oifname "vx-submariner" accept' in chain(here, "filter", "FORWARD")
        assert chain(here, "filter", "SUBMARINER-FORWARD") == []
        clamp = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"
        assert chain(here, "mangle", "SUBMARINER-POSTROUTING") == [
            f"ip saddr @SUBMARINER-LOCALCIDRS ip daddr @SUBMARINER-REMOTECIDRS {clamp}",
            f"ip saddr @SUBMARINER-REMOTECIDRS ip daddr @SUBMARINER-LOCALCIDRS {clamp}",
        ]
        assert members(here, "SUBMARINER-LOCALCIDRS") == {"10.45.0.0/16", "10.46.0.0/16"}
        assert members(here, "SUBMARINER-REMOTECIDRS") == {"10.43.0.0/16", "10.42.0.0/16"}

    def test_felix_comes_before_submariner_and_submariner_before_kube_proxy(self) -> None:
        jumps = [rule.split(" comment")[0] for rule in chain(healthy()["c1-w1"], "nat", "POSTROUTING")]
        assert jumps == ["jump cali-POSTROUTING", "jump SUBMARINER-POSTROUTING", "jump KUBE-POSTROUTING"]

    def test_the_pools(self) -> None:
        assert pools(healthy(), ONE) == {
            "default-ipv4-ippool": "10.46.0.0/16",
            "submariner-cluster-2-10.43.0.0-16": "10.43.0.0/16",
            "submariner-cluster-2-10.42.0.0-16": "10.42.0.0/16",
        }


class TestBroken:
    """Only what the table of differences lists is different."""

    def test_both_clusters_are_detected_as_the_podcidr_of_their_only_node(self) -> None:
        assert subnets(broken(), ONE) == ["10.45.0.0/16", "10.46.0.0/24"]
        assert subnets(broken(), TWO) == ["10.43.0.0/16", "10.42.0.0/24"]
        assert subnets(broken(), TWO, seen_by=ONE) == ["10.43.0.0/16", "10.42.0.0/24"]

    def test_the_health_check_address_is_empty(self) -> None:
        endpoint = next(broken().control.of("Endpoint", ONE))
        assert endpoint.body["spec"]["healthCheckIP"] == ""  # type: ignore[index,call-overload]

    def test_a_worker_routes_a_24(self) -> None:
        assert routes(broken()["c1-w1"]) == [
            "default via 172.18.1.1 dev eth0",
            "10.43.0.0/16 via 240.18.1.2 dev vx-submariner proto static",
            "10.42.0.0/24 via 240.18.1.2 dev vx-submariner proto static",
        ]

    def test_the_cables_routes_have_no_source(self) -> None:
        assert routes(broken()["c1-gw"], 100) == [
            "10.43.0.0/16 via 241.18.2.2 dev vxlan-tunnel metric 100",
            "10.42.0.0/24 via 241.18.2.2 dev vxlan-tunnel metric 100",
        ]

    def test_table_150_is_empty_and_its_rule_is_there(self) -> None:
        assert routes(broken()["c1-gw"], 150) == []
        assert rules(broken()["c1-gw"]) == ["100: from all lookup 100", "150: from all lookup 150"]

    @pytest.mark.parametrize("node", ["c1-gw", "c1-w1"])
    def test_the_nat_chain_has_no_snat_and_accepts_no_real_pod(self, node: str) -> None:
        assert chain(broken()[node], "nat", "SUBMARINER-POSTROUTING") == [
            "ip saddr 10.46.0.0/24 ip daddr 10.43.0.0/16 accept",
            "ip saddr 10.43.0.0/16 ip daddr 10.46.0.0/24 accept",
            "ip saddr 10.46.0.0/24 ip daddr 10.42.0.0/24 accept",
            "ip saddr 10.42.0.0/24 ip daddr 10.46.0.0/24 accept",
        ]

    def test_vxlan_calico_is_loosened_on_no_node_but_the_gateways_own_devices_are(self) -> None:
        for node in (*WORKERS, "c1-gw", "c2-gw"):
            assert sysctl(broken()[node], "vxlan.calico", "rp_filter") == "1", node
        for device in ("vx-submariner", "vxlan-tunnel"):
            assert sysctl(broken()["c1-gw"], device, "rp_filter") == "2"

    def test_the_sets_hold_the_24(self) -> None:
        assert members(broken()["c1-w1"], "SUBMARINER-LOCALCIDRS") == {"10.45.0.0/16", "10.46.0.0/24"}
        assert members(broken()["c1-w1"], "SUBMARINER-REMOTECIDRS") == {"10.43.0.0/16", "10.42.0.0/24"}

    def test_the_pools_are_made_from_the_same_mistake(self) -> None:
        assert set(pools(broken(), ONE)) == {
            "default-ipv4-ippool",
            "submariner-cluster-2-10.43.0.0-16",
            "submariner-cluster-2-10.42.0.0-24",
        }

    def test_every_agent_logs_what_it_did_not_find(self) -> None:
        line = f"error annotating node with CNI interface IP: Error retrieving the CNI interface for 10.46.0.0/24: {MISSING}"
        for node in ("c1-gw", "c1-w1", "c1-w2"):
            assert logged(broken(), node, line), node
            assert not logged(healthy(), node, "CNI interface"), node

    def test_what_does_not_depend_on_the_cni_interface_is_as_in_healthy(self) -> None:
        for node in ("c1-gw", "c1-w1"):
            for table, name in (("filter", "SUBMARINER-INPUT"), ("filter", "FORWARD"), ("mangle", "SUBMARINER-POSTROUTING")):
                assert chain(broken()[node], table, name) == chain(healthy()[node], table, name)
        assert sorted(fdb(broken()["c1-gw"], "vx-submariner")) == sorted(fdb(healthy()["c1-gw"], "vx-submariner"))

    def test_services_are_exported_and_known_as_in_healthy(self) -> None:
        for kind in ("ServiceExport", "ServiceImport", "EndpointSlice"):
            now, before = list(broken().control.of(kind, ONE)), list(healthy().control.of(kind, ONE))
            assert {(o.namespace, o.name) for o in now} == {(o.namespace, o.name) for o in before}

    def test_the_gateway_says_connected(self) -> None:
        gateway = next(broken().control.of("Gateway", ONE))
        assert [c["status"] for c in gateway.body["status"]["connections"]] == ["connected"]  # type: ignore[index,call-overload,union-attr]


class TestProvenance:
    def test_a_workers_route_leads_back_to_the_only_node_of_the_other_cluster_and_its_line(self) -> None:
        route = next(r for r in broken()["c1-w1"].table() if str(r.destination) == "10.42.0.0/24")
        links = [(link.component, link.reason) for link in route.provenance.chain()]
        assert links[0] == ("submariner route agent on c1-w1", "Endpoint cluster-2, subnet 10.42.0.0/24")
        assert links[1] == ("submariner gateway on c2-gw", "Endpoint cluster-2, subnet 10.42.0.0/24")
        assert links[2][0] == "submariner operator of cluster-2"
        assert "step “node.spec.podCIDR of the only node”" in links[2][1]
        assert links[3] == ("kubernetes", "node c2-gw has podCIDR 10.42.0.0/24")
        assert [(place.file.endswith("two-clusters.yaml"), place.line > 60) for place in route.provenance.places()] == [(True, True)]

    def test_with_flags_it_leads_back_to_the_flag(self) -> None:
        route = next(r for r in healthy()["c1-w1"].table() if str(r.destination) == "10.42.0.0/16")
        assert ("subctl join", "--clustercidr 10.42.0.0/16 for cluster-2") in [(p.component, p.reason) for p in route.provenance.chain()]

    @pytest.mark.parametrize("node", ["c1-gw", "c1-w1"])
    def test_everything_submariner_made_says_so(self, node: str) -> None:
        here = broken()[node]
        ours = [r for r in here.routes if r.device in ("vx-submariner", "vxlan-tunnel") and r.protocol != 2]
        ours += [r for r in here.rules if r.priority in (100, 150)]
        ours += [link for link in here.links if link.name in ("vx-submariner", "vxlan-tunnel")]
        ours += [r for t in here.tables for c in t.chains if c.name.startswith("SUBMARINER") for r in c.rules]
        assert len(ours) > 8
        for thing in ours:
            assert thing.provenance.component.startswith("submariner "), thing
            assert thing.provenance.places(), thing


class TestFixed:
    def test_it_is_as_healthy_on_every_node(self) -> None:
        changed = difference(healthy(), fixed())
        kept = {n.name: n for n in fixed()}
        for node in healthy():
            assert routes(kept[node.name]) == routes(node)
            assert routes(kept[node.name], 100) == routes(node, 100)
            assert routes(kept[node.name], 150) == routes(node, 150)
            assert kept[node.name].sysctls == node.sysctls
        assert not changed.network, [n.name for n in changed.changed]

    def test_its_objects_are_as_in_healthy(self) -> None:
        def named(state: object) -> dict[tuple[str, str, str, str], object]:
            return {(o.cluster, o.kind, o.namespace, o.name): o for o in state.control.objects}  # type: ignore[attr-defined]

        assert named(fixed()) == named(healthy())

    def test_agents_that_restart_change_nothing_more(self) -> None:
        restarted = after(*JOINED, AgentRestart(cluster=ONE), AgentRestart(cluster=TWO))
        for node in healthy():
            for table in (254, 100, 150):
                assert sorted(routes(restarted[node.name], table)) == sorted(routes(node, table))
            assert chain(restarted[node.name], "nat", "SUBMARINER-POSTROUTING") == chain(node, "nat", "SUBMARINER-POSTROUTING")
        assert pools(restarted, ONE) == pools(healthy(), ONE)


class TestDiagnosis:
    @pytest.mark.parametrize("cluster", [ONE, TWO])
    def test_every_stock_check_is_green_in_the_incident(self, cluster: str) -> None:
        assert {r.name: r.reason for r in diagnose(broken(), cluster) if r.name in STOCK and r.status in ("fail", "warn")} == {}

    @pytest.mark.parametrize("cluster", [ONE, TWO])
    def test_every_check_is_green_in_health(self, cluster: str) -> None:
        assert {r.name: r.reason for r in diagnose(healthy(), cluster) if r.status in ("fail", "warn")} == {}
        assert {r.status for r in diagnose(fixed(), cluster) if r.name == DETECTED_RANGES} == {"pass"}

    def test_the_missing_check_names_ranges_flag_and_evidence(self) -> None:
        found = next(r for r in diagnose(broken(), ONE) if r.name == DETECTED_RANGES)
        assert found.status == "fail"
        assert "joined as 10.46.0.0/24" in found.reason
        assert "IPPool default-ipv4-ippool 10.46.0.0/16" in found.reason
        assert found.reason.endswith("--clustercidr 10.46.0.0/16")
        assert "tunnel address of node c1-w1 10.46.104.192" in found.detail
        assert "c1-gw: table 150 is empty, though a rule leads to it" in found.detail
        assert "c1-w2: no SNAT of 240.0.0.0/8 in SUBMARINER-POSTROUTING" in found.detail
        assert "healthCheckIP of the Endpoint is empty: no gateway is pinged" in found.detail
