"""Other histories than the flagship's: what stays wrong, what heals, and by whose rules."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.cluster.diagnose import diagnose
from lab.errors import InputError, Place
from lab.spec.events import AgentRestart, Detect, ExportEdit, IPPoolEdit, Join, NodeAdded, OperatorRestart
from lab.spec.load import load_topology
from lab.state import State
from tests.cluster.submariner_lab import (
    JOINED,
    JOINED_SMALL,
    ONE,
    TWO,
    WORKERS,
    WORKERS_COME,
    after,
    broken,
    chain,
    fdb,
    healthy,
    logged,
    members,
    pools,
    routes,
    rules,
    subnets,
    sysctl,
    two_clusters,
)

IN_PLACE = tuple(join.model_copy(update={"recreate_endpoint": False}) for join in JOINED)


@pytest.fixture(scope="module")
def lucky() -> State:
    """The flagship, and one node owns a block inside the /24."""
    return after(*JOINED_SMALL, absent=WORKERS, topology=two_clusters(blocks={"c1-w1": "10.46.0.64/26"}))


@pytest.fixture(scope="module")
def tunnels() -> State:
    """Healthy, with the imitated libreswan cable."""
    return after(*JOINED, topology=two_clusters(submariner={"cable": "libreswan"}))


@pytest.fixture(scope="module")
def mistaken() -> State:
    """The flagship, with the imitated libreswan cable."""
    return after(*JOINED_SMALL, absent=WORKERS, topology=two_clusters(submariner={"cable": "libreswan"}))


class TestOneSide:
    def test_only_cluster_1_misdetected(self) -> None:
        state = after(Join(cluster=ONE), JOINED[1], *WORKERS_COME, absent=WORKERS)
        assert routes(state["c1-w1"])[1:] == [
            "10.43.0.0/16 via 240.18.1.2 dev vx-submariner proto static",
            "10.42.0.0/16 via 240.18.1.2 dev vx-submariner proto static",
        ]
        assert routes(state["c2-gw"], 100) == [
            "10.45.0.0/16 via 241.18.1.2 dev vxlan-tunnel src 10.42.20.0 metric 100",
            "10.46.0.0/24 via 241.18.1.2 dev vxlan-tunnel src 10.42.20.0 metric 100",
        ]
        assert sysctl(state["c1-w1"], "vxlan.calico", "rp_filter") == "1"
        assert sysctl(state["c2-w1"], "vxlan.calico", "rp_filter") == "2"

    def test_only_one_cluster_joined_has_nowhere_to_route(self) -> None:
        state = after(JOINED[0])
        assert routes(state["c1-w1"]) == ["default via 172.18.1.1 dev eth0"]
        assert state["c1-w1"].link("vx-submariner") is not None
        assert state["c2-gw"].link("vx-submariner") is None
        assert list(pools(state, ONE)) == ["default-ipv4-ippool"]


class TestABlockInsideThe24:
    """One node owns a block inside the /24: its agent finds an interface, the others do not."""

    def test_its_log_line_and_its_skips_vanish(self, lucky: State) -> None:
        assert not logged(lucky, "c1-w1", "CNI interface")
        assert sysctl(lucky["c1-w1"], "vxlan.calico", "rp_filter") == "2"
        assert chain(lucky["c1-w1"], "nat", "SUBMARINER-POSTROUTING")[0].endswith("snat to 10.46.0.64")

    def test_nothing_else_changes(self, lucky: State) -> None:
        assert routes(lucky["c1-w1"]) == routes(broken()["c1-w1"])
        assert logged(lucky, "c1-w2", "unable to find CNI Interface")
        assert sysctl(lucky["c1-w2"], "vxlan.calico", "rp_filter") == "1"
        assert routes(lucky["c1-gw"], 150) == []
        assert pools(lucky, ONE) == pools(broken(), ONE)


class TestPools:
    def test_without_the_calico_api_server_there_are_none(self) -> None:
        topology = two_clusters(clusters={ONE: {"cni": {"plugin": "calico", "api_server": False}}})
        state = after(*JOINED, topology=topology)
        assert list(pools(state, ONE)) == ["default-ipv4-ippool"]
        assert logged(state, "c1-gw", 'error creating Calico IPPool for ClusterID "cluster-2" subnet "10.42.0.0/16"')
        assert logged(state, "c1-gw", "(is Calico API server running?)")
        assert len(pools(state, TWO)) == 3

    def test_a_pool_that_overlaps_another_is_refused(self) -> None:
        made = IPPoolEdit(cluster=ONE, name="by-hand", cidr=IPv4Network("10.42.0.0/15"))
        state = after(made, *JOINED)
        assert set(pools(state, ONE)) == {"default-ipv4-ippool", "by-hand"}
        assert logged(state, "c1-gw", "CIDR overlaps with IPPool by-hand")

    def test_they_go_when_the_endpoint_goes(self) -> None:
        state = after(*JOINED_SMALL, *JOINED, absent=WORKERS)
        assert logged(state, "c1-gw", 'Successfully deleted Calico IPPool "submariner-cluster-2-10.42.0.0-24"')
        assert "submariner-cluster-2-10.42.0.0-24" not in pools(state, ONE)

    @pytest.mark.parametrize(("version", "disabled"), [("0.17.0", False), ("0.19.0", True)])
    def test_bgp_export_is_disabled_from_0_19_on(self, version: str, disabled: bool) -> None:
        state = after(*JOINED, topology=two_clusters(submariner={"version": version}))
        made = [p for p in state.control.of("IPPool", ONE) if p.name.startswith("submariner-")]
        assert [p.body["spec"]["disableBGPExport"] for p in made] == [disabled] * 2  # type: ignore[index,call-overload]
        assert [(p.labels, p.body["spec"]["disabled"], p.body["spec"]["natOutgoing"]) for p in made] == [  # type: ignore[index,call-overload]
            ({"submariner.io/ippool": "true"}, True, False)
        ] * 2


class TestUpdatesInPlace:
    """A second `subctl join` and nothing else: the others do not act upon an Endpoint that is updated."""

    def test_remote_agents_keep_the_old_24(self) -> None:
        state = after(*JOINED_SMALL, *IN_PLACE, absent=WORKERS)
        assert subnets(state, TWO, seen_by=ONE) == ["10.43.0.0/16", "10.42.0.0/16"]
        assert routes(state["c1-w1"])[1:] == [
            "10.43.0.0/16 via 240.18.1.2 dev vx-submariner proto static",
            "10.42.0.0/24 via 240.18.1.2 dev vx-submariner proto static",
        ]
        assert [r.split(" via")[0] for r in routes(state["c1-gw"], 100)] == ["10.43.0.0/16", "10.42.0.0/24"]

    def test_its_own_agents_restart_with_the_new_range(self) -> None:
        state = after(*JOINED_SMALL, *IN_PLACE, absent=WORKERS)
        for node in ("c1-w1", "c1-gw"):
            assert sysctl(state[node], "vxlan.calico", "rp_filter") == "2"
            assert "ip saddr 10.46.0.0/16 ip daddr 10.42.0.0/24 accept" in chain(state[node], "nat", "SUBMARINER-POSTROUTING")

    def test_the_cluster_that_joined_last_has_read_the_other_anew(self) -> None:
        state = after(*JOINED_SMALL, *IN_PLACE, absent=WORKERS)
        assert "10.46.0.0/16 via 240.18.2.2 dev vx-submariner proto static" in routes(state["c2-w1"])

    def test_rules_for_the_old_range_stay_behind_in_front_of_the_new(self) -> None:
        state = after(*JOINED_SMALL, *IN_PLACE, absent=WORKERS)
        assert chain(state["c1-w1"], "nat", "SUBMARINER-POSTROUTING")[0] == "ip saddr 10.46.0.0/24 ip daddr 10.43.0.0/16 accept"

    def test_a_restart_of_the_agents_corrects_routes_but_calico_refuses_the_wider_pool(self) -> None:
        state = after(*JOINED_SMALL, *IN_PLACE, AgentRestart(cluster=ONE), absent=WORKERS)
        assert "10.42.0.0/16 via 240.18.1.2 dev vx-submariner proto static" in routes(state["c1-w1"])
        assert "10.42.0.0/24 via 240.18.1.2 dev vx-submariner proto static" not in routes(state["c1-w1"])
        assert logged(state, "c1-gw", "CIDR overlaps with IPPool submariner-cluster-2-10.42.0.0-24")
        assert "submariner-cluster-2-10.42.0.0-16" not in pools(state, ONE)

    def test_only_the_nodes_named_restart(self) -> None:
        state = after(*JOINED_SMALL, *IN_PLACE, AgentRestart(cluster=ONE, nodes=("c1-w1",)), absent=WORKERS)
        assert "10.42.0.0/16 via 240.18.1.2 dev vx-submariner proto static" in routes(state["c1-w1"])
        assert "10.42.0.0/24 via 240.18.1.2 dev vx-submariner proto static" in routes(state["c1-w2"])


class TestTheOperator:
    def test_nodes_that_come_later_change_nothing(self) -> None:
        assert subnets(after(Join(cluster=ONE), *WORKERS_COME[:2], absent=WORKERS), ONE) == ["10.45.0.0/16", "10.46.0.0/24"]

    def test_it_keeps_what_it_discovered_through_a_second_join(self) -> None:
        again = Join(cluster=ONE, recreate_endpoint=False)
        state = after(Join(cluster=ONE), *WORKERS_COME[:2], again, absent=WORKERS)
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/24"]

    def test_a_difference_to_the_flag_is_only_logged(self) -> None:
        state = after(Join(cluster=ONE), IN_PLACE[0], absent=WORKERS)
        assert logged(state, "", "The configured CIDR will take precedence, type=Cluster configured=10.46.0.0/16 detected=10.46.0.0/24")
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/16"]

    def test_a_restarted_one_that_finds_nothing_lets_the_pods_run(self) -> None:
        state = after(Join(cluster=ONE), *WORKERS_COME[:2], OperatorRestart(cluster=ONE), absent=WORKERS)
        assert logged(state, "", "No detected CIDR, type=Cluster")
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/24"]

    def test_a_restarted_one_that_finds_otherwise_changes_the_endpoint_in_place(self) -> None:
        forced = Detect(cluster=ONE, clustercidr=IPv4Network("10.46.128.0/24"))
        state = after(forced, Join(cluster=ONE), OperatorRestart(cluster=ONE), absent=WORKERS)
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/24"]

    def test_detection_can_be_put_directly(self) -> None:
        state = after(Detect(cluster=ONE, clustercidr=IPv4Network("10.46.0.0/24")), Join(cluster=ONE), JOINED[1])
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/24"]
        route = next(r for r in state["c2-w1"].table() if str(r.destination) == "10.46.0.0/24")
        assert Place("scenario.yaml", 1) in route.provenance.places()

    def test_where_nothing_is_found_subctl_would_ask(self) -> None:
        with pytest.raises(InputError, match="would ask for the cluster CIDR of cluster-1") as asked:
            after(Join(cluster=ONE))
        assert asked.value.place == Place("scenario.yaml", 1)
        assert "clustercidr" in (asked.value.hint or "")

    def test_a_flag_leads_back_to_its_event(self) -> None:
        route = next(r for r in healthy()["c1-w1"].table() if str(r.destination) == "10.42.0.0/16")
        assert route.provenance.places() == (Place("scenario.yaml", 2),)


class TestVersions:
    def test_0_19_reads_args_and_needs_no_flags(self) -> None:
        state = after(Join(cluster=ONE), Join(cluster=TWO), topology=two_clusters(submariner={"version": "0.19.0"}))
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/16"]
        assert chain(state["c1-w1"], "filter", "SUBMARINER-FORWARD") == ['oifname "vx-submariner" accept']
        assert 'oifname "vx-submariner" accept' not in chain(state["c1-w1"], "filter", "FORWARD")
        assert len(list(state.control.of("RouteAgent", ONE))) == 3

    def test_0_15_takes_the_first_nodes_24_in_any_cluster_and_makes_no_pools(self) -> None:
        state = after(Join(cluster=ONE), Join(cluster=TWO), topology=two_clusters(submariner={"version": "0.15.0"}))
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/24"]
        assert list(pools(state, ONE)) == ["default-ipv4-ippool"]

    def test_0_18_and_later_quote_the_list_of_cidrs_and_annotate_nothing(self) -> None:
        state = after(
            Detect(cluster=ONE, clustercidr=IPv4Network("10.46.0.0/24")),
            Join(cluster=ONE),
            topology=two_clusters(submariner={"version": "0.19.0"}),
        )
        assert logged(state, "c1-w1", 'IP from ["10.46.0.0/24"]')
        assert not logged(state, "c1-w1", "annotating")

    def test_0_17_annotates_the_node_with_the_address_it_found(self) -> None:
        node = next(n for n in healthy().control.of("Node", ONE) if n.name == "c1-w1")
        assert node.body["metadata"]["annotations"]["submariner.io/cniIfaceIp"] == "10.46.104.192"  # type: ignore[index,call-overload]


class TestImprovedDiscovery:
    def test_the_flagship_needs_no_flags(self) -> None:
        state = after(*JOINED_SMALL, absent=WORKERS, topology=two_clusters(submariner={"discovery": "improved"}))
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/16"]
        assert routes(state["c1-w1"]) == routes(healthy()["c1-w1"])
        assert sysctl(state["c1-w1"], "vxlan.calico", "rp_filter") == "2"

    def test_it_refuses_where_sources_disagree_and_nothing_is_joined(self) -> None:
        second = IPPoolEdit(cluster=ONE, name="second", cidr=IPv4Network("10.60.0.0/16"), disabled=False)
        state = after(second, Join(cluster=ONE), topology=two_clusters(submariner={"discovery": "improved"}))
        assert logged(state, "", "IPPool second says 10.60.0.0/16")
        assert subnets(state, ONE) == []
        assert state["c1-gw"].link("vx-submariner") is None

    def test_a_flag_settles_it(self) -> None:
        second = IPPoolEdit(cluster=ONE, name="second", cidr=IPv4Network("10.60.0.0/16"), disabled=False)
        state = after(second, JOINED[0], topology=two_clusters(submariner={"discovery": "improved"}))
        assert subnets(state, ONE) == ["10.45.0.0/16", "10.46.0.0/16"]


class TestHealthCheck:
    def test_without_a_cni_interface_the_gateway_refuses_to_start(self) -> None:
        state = after(Join(cluster=ONE, health_check=True), Join(cluster=TWO), absent=WORKERS)
        fatal = [line for line in state.control.logs if line.level == "fatal"]
        assert [(line.node, line.component) for line in fatal] == [("c1-gw", "submariner-gateway")]
        assert "Please disable the health check if your CNI does not expose a pod IP on the nodes" in fatal[0].text
        assert subnets(state, ONE) == []
        assert state["c1-gw"].link("vxlan-tunnel") is None
        assert state["c1-gw"].link("vx-submariner") is None
        assert routes(state["c2-gw"], 100) == []

    def test_with_one_the_endpoint_carries_its_address(self) -> None:
        state = after(JOINED[0].model_copy(update={"health_check": True}), JOINED[1])
        endpoint = next(e for e in state.control.of("Endpoint", TWO) if e.name.startswith("cluster-1-"))
        assert endpoint.body["spec"]["healthCheckIP"] == "10.46.10.0"  # type: ignore[index,call-overload]


class TestNodes:
    def test_one_that_joins_gets_an_agent_and_the_gateway_floods_to_it(self) -> None:
        before = after(*JOINED, absent=("c1-w2",))
        state = after(*JOINED, NodeAdded(node="c1-w2"), absent=("c1-w2",))
        assert "00:00:00:00:00:00 dst 172.18.1.4" not in fdb(before["c1-gw"], "vx-submariner")
        assert "00:00:00:00:00:00 dst 172.18.1.4" in fdb(state["c1-gw"], "vx-submariner")
        assert routes(state["c1-w2"]) == routes(healthy()["c1-w2"])
        assert chain(state["c1-w2"], "nat", "SUBMARINER-POSTROUTING") == chain(healthy()["c1-w2"], "nat", "SUBMARINER-POSTROUTING")

    def test_one_that_joins_a_cluster_without_submariner_is_left_alone(self) -> None:
        assert after(NodeAdded(node="c1-w2"), absent=("c1-w2",))["c1-w2"].link("vx-submariner") is None

    def test_an_unknown_node_cannot_restart_its_agent(self) -> None:
        with pytest.raises(InputError, match="no node 'c1-w9'"):
            after(*JOINED, AgentRestart(cluster=ONE, nodes=("c1-w9",)))


class TestOverlap:
    def test_a_remote_endpoint_that_overlaps_is_kept_out(self) -> None:
        other = Join(cluster=TWO, clustercidr=IPv4Network("10.46.128.0/17"), servicecidr=IPv4Network("10.43.0.0/16"))
        state = after(JOINED[0], other)
        assert logged(state, "c1-gw", "as subnets are overlapping: 10.46.128.0/17")
        assert subnets(state, TWO, seen_by=ONE) == []
        assert routes(state["c1-gw"], 100) == []

    def test_two_24s_hide_a_real_overlap(self) -> None:
        forced = (
            Detect(cluster=ONE, clustercidr=IPv4Network("10.46.0.0/24")),
            Detect(cluster=TWO, clustercidr=IPv4Network("10.46.1.0/24")),
        )
        state = after(*forced, Join(cluster=ONE), Join(cluster=TWO))
        assert "10.46.1.0/24 via 240.18.1.2 dev vx-submariner proto static" in routes(state["c1-w1"])


class TestExports:
    def test_an_export_is_known_in_both_clusters(self) -> None:
        for cluster in (ONE, TWO):
            slices = [s for s in healthy().control.of("EndpointSlice", cluster) if s.name == "nginx-default-cluster-2"]
            assert [s.body["endpoints"] for s in slices] == [[{"addresses": ["10.43.0.100"], "conditions": {"ready": True}}]]
            assert "kubernetes.io/service-name" not in slices[0].labels
        assert ("submariner-operator", "nginx-default-cluster-2") in {
            (o.namespace, o.name) for o in healthy().control.of("ServiceImport", TWO)
        }

    def test_one_that_is_withdrawn_is_forgotten_everywhere(self) -> None:
        state = after(*JOINED, ExportEdit(cluster=TWO, service="nginx", action="delete"))
        for cluster in (ONE, TWO):
            assert "nginx" not in {o.name for o in state.control.of("ServiceImport", cluster)}
            assert "nginx-default-cluster-2" not in {o.name for o in state.control.of("EndpointSlice", cluster)}
        assert "web-1" in {o.name for o in state.control.of("ServiceImport", TWO)}

    def test_before_the_join_nobody_has_accepted_it(self) -> None:
        export = next(after().control.of("ServiceExport", TWO))
        assert "status" not in export.body


class TestImitatedLibreswan:
    def test_every_pair_of_subnets_is_a_selector_of_its_own(self, tunnels: State) -> None:
        assert [r for r in rules(tunnels["c1-gw"]) if r.startswith("100:")] == [
            "100: from 10.45.0.0/16 to 10.43.0.0/16 lookup 100",
            "100: from 10.45.0.0/16 to 10.42.0.0/16 lookup 100",
            "100: from 10.46.0.0/16 to 10.43.0.0/16 lookup 100",
            "100: from 10.46.0.0/16 to 10.42.0.0/16 lookup 100",
        ]

    def test_the_tunnel_leads_to_the_other_gateway_by_fixed_neighbours(self, tunnels: State) -> None:
        gateway = tunnels["c1-gw"]
        assert routes(gateway, 100) == [
            "10.43.0.0/16 via 172.18.2.2 dev ipsec-imitation",
            "10.42.0.0/16 via 172.18.2.2 dev ipsec-imitation",
        ]
        assert [(str(n.address), n.mac) for n in gateway.neighbours if n.device == "ipsec-imitation"] == [
            ("172.18.2.2", "02:32:ac:12:02:02")
        ]
        assert fdb(gateway, "ipsec-imitation") == ["02:32:ac:12:02:02 dst 172.18.2.2"]
        peer = tunnels["c2-gw"].link("ipsec-imitation")
        assert peer is not None
        assert peer.mac == "02:32:ac:12:02:02"

    def test_inbound_only_selectors_pass_and_what_they_cover_must_not_come_in_clear(self, tunnels: State) -> None:
        policy = chain(tunnels["c1-gw"], "ipsec-imitation", "policy-in")
        assert 'iifname "ipsec-imitation" ip saddr 10.42.0.0/16 ip daddr 10.46.0.0/16 accept' in policy
        allowed = [i for i, r in enumerate(policy) if r.endswith("accept")]
        refused = next(i for i, r in enumerate(policy) if r.startswith('iifname "ipsec-imitation" drop'))
        assert max(allowed) < refused
        assert any(r.startswith("ip saddr 10.42.0.0/16 ip daddr 10.46.0.0/16 drop") for r in policy[refused + 1 :])

    def test_with_the_24_no_selector_holds_a_real_pod(self, mistaken: State) -> None:
        selectors = [r for r in mistaken["c1-gw"].rules if r.priority == 100]
        assert {str(r.source) for r in selectors} == {"10.45.0.0/16", "10.46.0.0/24"}
        assert {str(r.destination) for r in selectors} == {"10.43.0.0/16", "10.42.0.0/24"}

    def test_it_says_connected_all_the_same(self, mistaken: State) -> None:
        gateway = next(mistaken.control.of("Gateway", ONE))
        assert [c["status"] for c in gateway.body["status"]["connections"]] == ["connected"]  # type: ignore[index,call-overload,union-attr]

    def test_the_state_says_that_it_is_an_imitation(self, tunnels: State) -> None:
        assert logged(tunnels, "c1-gw", "the libreswan cable is an imitation")
        device = tunnels["c1-gw"].link("ipsec-imitation")
        assert device is not None
        assert "imitated" in device.provenance.reason

    def test_ends_that_disagree_bring_up_only_the_pairs_both_have(self) -> None:
        state = after(*JOINED_SMALL, *IN_PLACE, absent=WORKERS, topology=two_clusters(submariner={"cable": "libreswan"}))
        for node in ("c1-gw", "c2-gw"):
            assert len([r for r in state[node].rules if r.priority == 100]) == 2, node
        assert [r for r in rules(state["c1-gw"]) if r.startswith("100:")] == [
            "100: from 10.45.0.0/16 to 10.43.0.0/16 lookup 100",
            "100: from 10.46.0.0/16 to 10.43.0.0/16 lookup 100",
        ]

    def test_the_flag_of_the_join_chooses_the_cable(self) -> None:
        joins = [join.model_copy(update={"cable_driver": "libreswan"}) for join in JOINED]
        state = after(*joins)
        assert state["c1-gw"].link("vxlan-tunnel") is None
        assert state["c1-gw"].link("ipsec-imitation") is not None
        assert members(state["c1-gw"], "SUBMARINER-REMOTECIDRS") == {"10.43.0.0/16", "10.42.0.0/16"}


class TestShippedTopologies:
    @pytest.mark.parametrize("file", sorted((Path(__file__).parents[2] / "topologies").glob("*.yaml")), ids=lambda file: file.stem)
    def test_joined_with_their_own_ranges_every_check_is_green(self, file: Path) -> None:
        topology = load_topology(file).model
        joined = topology.clusters if topology.submariner else {}
        joins = tuple(Join(cluster=name, clustercidr=c.pod_cidr, servicecidr=c.service_cidr) for name, c in joined.items())
        state = after(*joins, topology=topology)
        assert {(r.cluster, r.name): r.reason for r in diagnose(state) if r.status in ("fail", "warn")} == {}
        for name in joined:
            connections = next(state.control.of("Gateway", name)).body["status"]["connections"]  # type: ignore[index,call-overload]
            assert len(connections) == len(joins) - 1  # type: ignore[arg-type]

    def test_a_third_cluster_is_added_without_touching_what_the_two_have(self) -> None:
        topology = load_topology(Path(__file__).parents[2] / "topologies" / "three-clusters.yaml").model
        joins = tuple(Join(cluster=name, clustercidr=c.pod_cidr, servicecidr=c.service_cidr) for name, c in topology.clusters.items())
        two, three = after(*joins[:2], topology=topology), after(*joins, topology=topology)
        for node in (n for n in two if n.role == "node" and n.cluster == joins[0].cluster):
            for table in (254, 100, 150):
                assert routes(three[node.name], table)[: len(routes(node, table))] == routes(node, table)
            before = chain(node, "nat", "SUBMARINER-POSTROUTING")
            assert chain(three[node.name], "nat", "SUBMARINER-POSTROUTING")[: len(before)] == before

    def test_a_cluster_that_leaves_is_forgotten_by_both_others(self) -> None:
        topology = load_topology(Path(__file__).parents[2] / "topologies" / "three-clusters.yaml").model
        joins = tuple(Join(cluster=name, clustercidr=c.pod_cidr, servicecidr=c.service_cidr) for name, c in topology.clusters.items())
        once, again = after(*joins, topology=topology), after(*joins, joins[1], topology=topology)
        for node in (n for n in once if n.role == "node"):
            for table in (254, 100, 150):
                assert sorted(routes(again[node.name], table)) == sorted(routes(node, table))
            assert set(chain(again[node.name], "nat", "SUBMARINER-POSTROUTING")) == set(chain(node, "nat", "SUBMARINER-POSTROUTING"))
