"""What Calico leaves on nodes and in pods, fact by fact."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.cluster.names import vtep_mac, workload_device
from lab.spec.events import NodeAdded
from lab.state import Route, Veth, Vxlan
from tests.cluster.base_lab import changed, compiled, loaded, members, routes, sysctl

BLOCKS = {"c1-gw": "10.46.10.0/26", "c1-w1": "10.46.104.192/26", "c1-w2": "10.46.33.0/26"}


def with_blocks(**more: Any) -> Any:
    nodes = loaded().model.model_dump(mode="json", exclude_unset=True)["clusters"]["cluster-1"]["nodes"]
    for name, block in BLOCKS.items():
        nodes[name]["blocks"] = [block]
    return changed(cluster_1={"nodes": nodes, **more})


@pytest.fixture(scope="module")
def state() -> Any:
    return compiled(with_blocks())


class TestTunnel:
    def test_vxlan_calico_is_what_felix_makes(self, state: Any) -> None:
        link = state["c1-w1"].link("vxlan.calico")
        assert link.kind == Vxlan(4096, 4789, local=IPv4Address("172.18.1.3"), device="eth0", learning=False)
        assert (link.mtu, link.mac) == (1450, vtep_mac("c1-w1"))

    def test_its_address_is_the_first_of_the_first_block_alone(self, state: Any) -> None:
        assert [str(a.interface) for a in state["c1-w1"].addresses_of("vxlan.calico")] == ["10.46.104.192/32"]

    def test_every_peer_has_a_permanent_neighbour_and_a_way_to_its_mac(self, state: Any) -> None:
        worker = state["c1-w1"]
        assert {(str(n.address), n.mac, n.state) for n in worker.neighbours} == {
            ("10.46.10.0", vtep_mac("c1-gw"), "permanent"),
            ("10.46.33.0", vtep_mac("c1-w2"), "permanent"),
        }
        assert {(e.mac, str(e.destination)) for e in worker.fdb} == {
            (vtep_mac("c1-gw"), "172.18.1.2"),
            (vtep_mac("c1-w2"), "172.18.1.4"),
        }

    def test_only_peers_may_tunnel_to_a_node(self, state: Any) -> None:
        assert members(state["c1-w1"], "filter", "cali40all-vxlan-net") == {"172.18.1.2", "172.18.1.4"}


class TestRoutes:
    def test_each_block_of_a_peer_is_behind_its_tunnel_address(self, state: Any) -> None:
        assert sorted(routes(state["c1-w1"], "vxlan.calico")) == [
            "10.46.10.0/26 via 10.46.10.0 proto 3 scope global onlink",
            "10.46.33.0/26 via 10.46.33.0 proto 3 scope global onlink",
        ]

    def test_what_no_pod_of_the_own_block_has_goes_nowhere(self, state: Any) -> None:
        assert routes(state["c1-w1"], "blackhole") == ["blackhole 10.46.104.192/26 proto 80 scope global"]

    def test_a_pod_is_a_host_route_to_its_veth(self, state: Any) -> None:
        assert routes(state["c1-w1"], workload_device("default", "c1-w1-a")) == ["10.46.104.193/32 proto 3 scope link"]

    def test_cross_subnet_goes_straight_to_peers_of_the_own_subnet(self) -> None:
        worker = compiled(with_blocks(cni={"mode": "vxlan-cross-subnet"}))["c1-w1"]
        assert "10.46.10.0/26 via 172.18.1.2 proto 80 scope global onlink" in routes(worker, "eth0")
        assert routes(worker, "vxlan.calico") == []
        assert len(worker.neighbours) == 2

    def test_without_encapsulation_bird_makes_the_routes_and_there_is_no_tunnel(self) -> None:
        worker = compiled(with_blocks(cni={"mode": "none"}))["c1-w1"]
        assert "10.46.10.0/26 via 172.18.1.2 proto 12 scope global" in routes(worker, "eth0")
        assert routes(worker, "blackhole") == ["blackhole 10.46.104.192/26 proto 12 scope global"]
        assert worker.link("vxlan.calico") is None
        assert str(worker.link(workload_device("default", "c1-w1-a")).mtu) == "1500"  # type: ignore[union-attr]


class TestPods:
    def test_a_pod_hangs_on_a_veth_with_the_mac_all_of_them_have(self, state: Any) -> None:
        host = state["c1-w1"].link(workload_device("default", "c1-w1-a"))
        assert (host.kind, host.mac, host.mtu) == (Veth("c1-w1-a", "eth0"), "ee:ee:ee:ee:ee:ee", 1450)

    def test_a_pod_reaches_everything_by_an_address_nobody_has(self, state: Any) -> None:
        pod = state["c1-w1-a"]
        assert routes(pod, "eth0") == ["169.254.1.1/32 proto 3 scope link", "default via 169.254.1.1 proto 3 scope global"]
        assert [str(a.interface) for a in pod.addresses_of("eth0")] == ["10.46.104.193/32"]
        assert state.owner(IPv4Address("169.254.1.1")) is None

    def test_the_node_answers_arp_for_it_at_once(self, state: Any) -> None:
        device = workload_device("default", "c1-w1-a")
        settings = {name: sysctl(state["c1-w1"], device, name) for name in ("proxy_arp", "forwarding", "route_localnet")}
        assert settings == {"proxy_arp": "1", "forwarding": "1", "route_localnet": "1"}
        assert state["c1-w1"].sysctl(f"net/ipv4/neigh/{device}/proxy_delay", "80") == "0"

    def test_a_pod_does_not_forward_but_copies_the_reverse_path_check_of_its_node(self, state: Any) -> None:
        assert state["c1-w1-a"].sysctl("net/ipv4/ip_forward") == "0"
        assert sysctl(state["c1-w1-a"], "all", "rp_filter") == "1"

    def test_a_pod_finds_names_through_the_clusters_dns(self, state: Any) -> None:
        assert state["c1-w1-a"].files["/etc/resolv.conf"].splitlines() == [
            "search default.svc.cluster.local svc.cluster.local cluster.local",
            "nameserver 10.45.0.10",
            "options ndots:5",
        ]


class TestSysctls:
    def test_what_the_file_sets_for_all_nodes_every_device_starts_with(self, state: Any) -> None:
        worker = state["c1-w1"]
        assert {link.name: sysctl(worker, link.name, "rp_filter") for link in worker.links} == {link.name: "1" for link in worker.links}

    def test_everything_that_decides_about_packets_is_stated_for_every_device(self, state: Any) -> None:
        decisive = (
            "rp_filter",
            "forwarding",
            "accept_local",
            "src_valid_mark",
            "proxy_arp",
            "arp_ignore",
            "arp_announce",
            "send_redirects",
        )
        missing = [
            (namespace.name, device, name)
            for namespace in state
            if namespace.role != "switch"
            for device in ("all", "default", *(link.name for link in namespace.links))
            for name in decisive
            if sysctl(namespace, device, name) == "not stated"
        ]
        assert missing == []


class TestJoiningLater:
    def test_a_node_that_joins_later_leaves_the_same_network_as_one_that_was_there(self) -> None:
        there = compiled(with_blocks())
        later = compiled(with_blocks(), NodeAdded(node="c1-w1"), absent=("c1-w1",))
        assert set(later.namespaces) == set(there.namespaces)
        for namespace in there:
            other = later[namespace.name]
            assert set(map(_key, other.routes)) == set(map(_key, namespace.routes)), namespace.name
            assert set(other.links) == set(namespace.links)
            assert set(other.fdb) == set(namespace.fdb)
            assert set(other.neighbours) == set(namespace.neighbours)
            assert dict(other.sysctls) == dict(namespace.sysctls)
            assert {t.name: {c.name for c in t.chains} for t in other.tables} == {
                t.name: {c.name for c in t.chains} for t in namespace.tables
            }

    def test_an_absent_node_has_neither_namespace_nor_pods_nor_routes_to_it(self) -> None:
        state = compiled(with_blocks(), absent=("c1-w1",))
        assert not {"c1-w1", "c1-w1-a"} & set(state.namespaces)
        assert len(routes(state["c1-gw"], "vxlan.calico")) == 1
        assert state["sw-site-1"].link("c1-w1") is None


def _key(route: Route) -> tuple[Any, ...]:
    return (route.key, route.via, route.device, route.type, route.protocol)
