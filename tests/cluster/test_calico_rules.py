"""Felix' chains: who is masqueraded, who may talk to whom, and who stands first."""

from __future__ import annotations

from lab.cluster.names import workload_device
from lab.spec.events import FelixResync, IPPoolEdit
from tests.cluster.base_lab import chain, chains, changed, compiled, members

POD = workload_device("default", "c1-w1-a")


class TestOutgoingNat:
    def test_a_pool_is_masqueraded_towards_what_is_in_no_pool(self) -> None:
        worker = compiled()["c1-w1"]
        assert chain(worker, "nat", "cali-nat-outgoing") == [
            "ip saddr @cali40masq-ipam-pools ip daddr != @cali40all-ipam-pools masquerade fully-random"
        ]
        assert members(worker, "nat", "cali40masq-ipam-pools") == {"10.46.0.0/16"}

    def test_a_disabled_pool_exempts_its_range_and_makes_no_route(self) -> None:
        pool = IPPoolEdit(cluster="cluster-1", name="remote", cidr="10.42.0.0/16")  # type: ignore[arg-type]
        before, after = compiled()["c1-w1"], compiled(None, pool)["c1-w1"]
        assert members(after, "nat", "cali40all-ipam-pools") == {"10.46.0.0/16", "10.42.0.0/16"}
        assert members(after, "nat", "cali40masq-ipam-pools") == {"10.46.0.0/16"}
        assert set(after.routes) == set(before.routes)

    def test_a_deleted_pool_exempts_nothing_any_more(self) -> None:
        made = IPPoolEdit(cluster="cluster-1", name="remote", cidr="10.42.0.0/16")  # type: ignore[arg-type]
        gone = IPPoolEdit(cluster="cluster-1", name="remote")
        assert members(compiled(None, made, gone)["c1-w1"], "nat", "cali40all-ipam-pools") == {"10.46.0.0/16"}

    def test_calico_refuses_a_pool_that_overlaps_another_and_says_so(self) -> None:
        pool = IPPoolEdit(cluster="cluster-1", name="smaller", cidr="10.46.7.0/24")  # type: ignore[arg-type]
        state = compiled(None, pool)
        assert members(state["c1-w1"], "nat", "cali40all-ipam-pools") == {"10.46.0.0/16"}
        assert ["overlaps with IPPool default-ipv4-ippool" in line.text for line in state.control.logs] == [True]

    def test_nobody_is_masqueraded_where_no_pool_wants_it(self) -> None:
        assert chain(compiled(changed(cluster_1={"cni": {"nat_outgoing": False}}))["c1-w1"], "nat", "cali-nat-outgoing") == []

    def test_what_a_host_sends_through_the_tunnel_gets_the_tunnels_address(self) -> None:
        assert chain(compiled()["c1-w1"], "nat", "cali-POSTROUTING") == [
            "jump cali-nat-outgoing",
            'oifname "vxlan.calico" fib saddr . oif type != local fib saddr type local masquerade fully-random',
        ]


class TestPolicy:
    def test_felix_checks_reverse_paths_of_pods_alone(self) -> None:
        assert chain(compiled()["c1-w1"], "raw", "cali-PREROUTING") == [
            "meta mark set meta mark & 0xfff0ffff",
            'iifname "cali*" meta mark set meta mark | 0x40000',
            "meta mark & 0x40000 == 0x40000 fib saddr . mark . iif oif missing drop",
        ]

    def test_a_pods_chain_lets_answers_through_and_drops_what_tracking_calls_invalid(self) -> None:
        rules = chain(compiled()["c1-w1"], "filter", f"cali-tw-{POD}")
        assert rules[0] == "ct state established,related accept"
        assert rules[1] == "ct state invalid drop"
        assert rules[-1] == "drop"

    def test_a_pod_may_not_tunnel_by_itself(self) -> None:
        assert "udp dport 4789 drop" in chain(compiled()["c1-w1"], "filter", f"cali-fw-{POD}")

    def test_a_packet_of_an_unknown_pod_is_dropped(self) -> None:
        assert chain(compiled()["c1-w1"], "filter", "cali-from-wl-dispatch")[-1] == "drop"

    def test_a_denied_range_is_dropped_before_everything_else_is_allowed(self) -> None:
        policies = [{"name": "no-strangers", "deny_from": ["240.0.0.0/8", "10.42.0.0/16"]}]
        worker = compiled(changed(cluster_1={"policies": policies}))["c1-w1"]
        assert chain(worker, "filter", "cali-pi-default.no-strangers") == [
            "ip saddr 240.0.0.0/8 drop",
            "ip saddr 10.42.0.0/16 drop",
            "meta mark set meta mark | 0x10000",
            "meta mark & 0x10000 == 0x10000 return",
        ]
        assert "meta mark & 0x20000 == 0x0 jump cali-pi-default.no-strangers" in chain(worker, "filter", f"cali-tw-{POD}")

    def test_a_policy_on_what_comes_in_says_nothing_about_what_goes_out(self) -> None:
        policies = [{"name": "no-strangers", "deny_from": ["240.0.0.0/8"]}]
        worker = compiled(changed(cluster_1={"policies": policies}))["c1-w1"]
        assert "cali-po-default.no-strangers" not in chains(worker, "filter")
        assert not [rule for rule in chain(worker, "filter", f"cali-fw-{POD}") if "no-strangers" in rule]


class TestOrder:
    def test_felix_stands_before_kube_proxy(self) -> None:
        worker = compiled()["c1-w1"]
        assert chain(worker, "nat", "POSTROUTING") == ["jump cali-POSTROUTING", "jump KUBE-POSTROUTING"]
        assert chain(worker, "filter", "FORWARD") == [
            "jump cali-FORWARD",
            "jump KUBE-FORWARD",
            "ct state new jump KUBE-SERVICES",
            "meta mark & 0x10000 == 0x10000 accept",
            "meta mark set meta mark | 0x10000",
        ]

    def test_checking_again_changes_nothing_where_nobody_interfered(self) -> None:
        assert compiled(None, FelixResync(cluster="cluster-1"))["c1-w1"] == compiled()["c1-w1"]
