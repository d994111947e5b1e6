"""A dual-stack cluster: what Calico, kube-proxy and DNS make of its IPv6 ranges, and what Submariner leaves of them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from ipaddress import ip_address
from typing import Any

import pytest

from lab.cluster import compile
from lab.cluster.names import endpoint_chain, link_local, service_chain, vtep_mac, workload_device
from lab.errors import InputError
from lab.forwarding import Flow, Network, trace
from lab.spec.events import Event, ExportEdit, History, IPPoolEdit, Join
from lab.spec.topology import Topology
from lab.state import Namespace, Protocol, State, Vxlan
from lab.state.nftables.text import rule_text
from tests.cluster.base_lab import loaded

NAME = "dual-stack-cluster"
GATEWAY = "fe80::ecee:eeff:feee:eeee"
"""The link-local address of ee:ee:ee:ee:ee:ee."""


@cache
def written() -> dict[str, Any]:
    return loaded(NAME).model.model_dump(mode="json", exclude_unset=True)


def changed(**cluster: Any) -> Topology:
    """Return the shipped topology with parts of its cluster replaced."""
    return Topology.model_validate({**written(), "clusters": {"cluster": {**written()["clusters"]["cluster"], **cluster}}})


def compiled(topology: Topology | None = None, *events: Event) -> State:
    return compile(topology or loaded(NAME).model, History(events=events), place=loaded(NAME).place)


def address6(state: State, name: str) -> str:
    return next(
        str(e.interface.ip) for e in state[name].addresses_of("eth0") if e.interface.version == 6 and not e.interface.ip.is_link_local
    )


def routes6(namespace: Namespace) -> set[tuple[str, str, str | None, str | None, int]]:
    """Return type, destination, next hop, device and protocol of the routes that are not the kernel's own."""
    return {
        (r.type, str(r.destination), None if r.via is None else str(r.via), r.device, int(r.protocol))
        for r in namespace.table()
        if r.destination.version == 6 and r.protocol != Protocol.KERNEL
    }


def chain6(namespace: Namespace, table: str, name: str, family: str = "ip6") -> list[str]:
    found = (c for t in namespace.tables if (t.family, t.name) == (family, table) for c in t.chains if c.name == name)
    return [rule_text(rule, "ip6").replace("counter ", "").split(" comment ")[0] for c in found for rule in c.rules]


def members6(namespace: Namespace, name: str) -> set[str]:
    found = (s for t in namespace.tables if (t.family, t.name) == ("ip6", "nat") for s in t.sets if s.name == name)
    return {str(getattr(element, "network", element)) for s in found for element in s.elements}


def arrives(state: State, source: str, target: str, port: int = 8080) -> bool:
    return trace(Network(state), Flow(source, ip_address(target), "tcp", port)).must


class TestPods:
    def test_a_pod_has_a_second_address_whose_next_hop_is_its_nodes_end_of_the_veth(self) -> None:
        pod = compiled()["pod-1"]
        own = {str(entry.interface) for entry in pod.addresses_of("eth0") if entry.interface.version == 6}
        mac = next(link.mac for link in pod.links if link.name == "eth0")
        assert mac is not None
        assert {address6(compiled(), "pod-1") + "/128", str(link_local(mac))} == own
        assert routes6(pod) == {("unicast", "::/0", GATEWAY, "eth0", Protocol.BOOT)}

    def test_addresses_of_a_block_are_handed_out_in_order_the_first_included(self) -> None:
        topology = changed(
            nodes={
                "k8s-1": {
                    "address": "192.168.0.2",
                    "blocks6": ["fd01::40/122"],
                    "pods": {"pod-1": {}, "pod-2": {}, "pod-3": {"address6": "fd01::42"}},
                }
            }
        )
        state = compiled(topology)
        assert [address6(state, name) for name in ("cluster-dns", "pod-1", "pod-2", "pod-3")] == [
            "fd01::40",
            "fd01::41",
            "fd01::43",
            "fd01::42",
        ]

    def test_a_node_leads_to_its_pods_and_lets_nothing_else_of_its_block_out(self) -> None:
        state = compiled()
        (block,) = (r.destination for r in state["k8s-2"].table() if r.type == "blackhole" and r.destination.version == 6)
        assert block.prefixlen == 122
        device = workload_device("default", "pod-3")
        assert {
            ("unicast", f"{address6(state, 'pod-3')}/128", None, device, Protocol.BOOT),
            ("blackhole", str(block), None, None, Protocol.BIRD),
        } < routes6(state["k8s-2"])
        assert ("unicast", str(block), "fd00::3", "eth0", Protocol.BIRD) in routes6(state["k8s-1"])

    def test_a_borrowed_address_is_told_of_by_itself(self) -> None:
        nodes = {
            "k8s-1": {"address": "192.168.0.2", "blocks6": ["fd01::40/122"]},
            "k8s-2": {"address": "192.168.0.3", "blocks6": ["fd01::80/122"], "pods": {"pod-3": {"address6": "fd01::77"}}},
        }
        state = compiled(changed(nodes=nodes, services={}, cni={"strict_affinity": False}))
        assert ("unicast", "fd01::77/128", "fd00::3", "eth0", Protocol.BIRD) in routes6(state["k8s-1"])

    def test_nodes_forward_and_pods_do_not(self) -> None:
        state = compiled()
        assert [state[name].sysctl("net/ipv6/conf/all/forwarding") for name in ("k8s-1", "pod-1")] == ["1", "0"]
        device = workload_device("default", "pod-1")
        values = {
            name: state["k8s-1"].sysctl(f"net/ipv6/conf/{device}/{name}") for name in ("accept_dad", "accept_ra", "forwarding", "proxy_ndp")
        }
        assert values == {"accept_dad": "0", "accept_ra": "0", "forwarding": "1", "proxy_ndp": "1"}

    def test_what_the_file_says_of_forwarding_goes_before(self) -> None:
        state = compiled(changed(sysctls={"net/ipv6/conf/all/forwarding": 0}))
        assert state["k8s-1"].sysctl("net/ipv6/conf/all/forwarding") == "0"

    def test_the_api_shows_both_addresses_and_the_ipv4_one_first(self) -> None:
        state = compiled()
        bodies = {(item.kind, item.name): item.body for item in state.control.of("Pod")}
        assert bodies["Pod", "pod-1"]["status"]["podIPs"][1] == {"ip": address6(state, "pod-1")}  # type: ignore[call-overload, index]
        node = next(item.body for item in state.control.of("Node") if item.name == "k8s-1")
        assert node["status"]["addresses"][:2] == [  # type: ignore[call-overload, index]
            {"type": "InternalIP", "address": "192.168.0.2"},
            {"type": "InternalIP", "address": "fd00::2"},
        ]
        assert node["spec"]["podCIDRs"] == ["10.244.0.0/24", "fd01::/64"]  # type: ignore[call-overload, index]


def encapsulated(mode: str = "vxlan", **cluster: Any) -> State:
    return compiled(changed(cni={"mode6": mode}, **cluster))


def apart() -> Topology:
    """Return the shipped topology with its second node in the office, where only the router leads."""
    nodes = {**written()["clusters"]["cluster"]["nodes"], "k8s-2": {"address": "192.168.20.3", "segment": "office", "pods": {"pod-3": {}}}}
    return changed(cni={"mode6": "vxlan"}, nodes=nodes)


class TestEncapsulation:
    """Calico's IPv6 pool with vxlanMode Always: felix/dataplane/linux/{vxlan_mgr,int_dataplane}.go, felix/calc/vxlan_resolver.go."""

    def test_a_node_has_a_second_tunnel_device_of_the_same_vni_and_port(self) -> None:
        node = encapsulated()["k8s-1"]
        four, six = (node.link(name) for name in ("vxlan.calico", "vxlan-v6.calico"))
        assert four is not None
        assert six is not None
        assert isinstance(four.kind, Vxlan)
        assert six.kind == replace(four.kind, local=ip_address("fd00::2"))
        assert (four.kind.vni, four.kind.port) == (4096, 4789)
        assert (four.mtu, six.mtu) == (1450, 1430)
        assert six.mac == vtep_mac("k8s-1-v6") != four.mac
        assert [str(entry.interface) for entry in node.addresses_of("vxlan-v6.calico")] == [f"{tunnel(encapsulated(), 'k8s-1')}/128"]

    def test_pods_have_what_the_longer_header_leaves(self) -> None:
        def mtu(state: State) -> int:
            link = state["pod-1"].link("eth0")
            assert link is not None
            return link.mtu

        assert [mtu(compiled()), mtu(encapsulated()), mtu(encapsulated("vxlan-cross-subnet"))] == [1450, 1430, 1430]

    def test_blocks_of_others_are_behind_their_tunnel_addresses(self) -> None:
        state = encapsulated()
        (block,) = (r.destination for r in state["k8s-2"].table() if r.type == "blackhole" and r.destination.version == 6)
        far = tunnel(state, "k8s-2")
        assert ip_address(far) in block
        assert ("unicast", str(block), far, "vxlan-v6.calico", Protocol.BOOT) in routes6(state["k8s-1"])
        assert ("blackhole", str(block), None, None, Protocol.FELIX) in routes6(state["k8s-2"])
        mac = vtep_mac("k8s-2-v6")
        assert (mac, "fd00::3") in {(e.mac, str(e.destination)) for e in state["k8s-1"].fdb if e.device == "vxlan-v6.calico"}
        assert (far, mac) in {(str(n.address), n.mac) for n in state["k8s-1"].neighbours if n.device == "vxlan-v6.calico"}

    def test_between_subnets_only_neighbours_are_next_hops(self) -> None:
        state = encapsulated("vxlan-cross-subnet")
        (block,) = (r.destination for r in state["k8s-2"].table() if r.type == "blackhole" and r.destination.version == 6)
        assert ("unicast", str(block), "fd00::3", "eth0", Protocol.FELIX) in routes6(state["k8s-1"])

    def test_felix_lets_tunnels_of_its_nodes_in_and_no_others(self) -> None:
        node = encapsulated()["k8s-1"]
        assert chain6(node, "filter", "cali-INPUT")[:2] == [
            "ip6 saddr @cali60all-vxlan-net udp dport 4789 fib daddr type local accept",
            "udp dport 4789 fib daddr type local drop",
        ]
        assert "ip6 daddr @cali60all-vxlan-net udp dport 4789 fib saddr type local accept" in chain6(node, "filter", "cali-OUTPUT")
        assert chain6(node, "nat", "cali-POSTROUTING")[1].startswith('oifname "vxlan-v6.calico"')
        hosts = {str(e) for t in node.tables if t.family == "ip6" for s in t.sets if s.name == "cali60all-vxlan-net" for e in s.elements}
        assert hosts == {"fd00::3"}

    def test_the_api_shows_the_mode_and_the_tunnels_address(self) -> None:
        state = encapsulated()
        pool = next(item.body for item in state.control.of("IPPool") if item.name == "default-ipv6-ippool")
        node = next(item.body for item in state.control.of("Node") if item.name == "k8s-1")
        config = next(item.body for item in state.control.of("ConfigMap") if item.name == "calico-config")
        assert pool["spec"]["vxlanMode"] == "Always"  # type: ignore[call-overload, index]
        assert node["metadata"]["annotations"]["projectcalico.org/IPv6VXLANTunnelAddr"] == tunnel(state, "k8s-1")  # type: ignore[call-overload, index]
        assert config["data"]["calico_backend"] == "vxlan"  # type: ignore[call-overload, index]

    @pytest.mark.parametrize("topology", [changed(cni={"mode6": "vxlan"}), apart()], ids=["on one segment", "with a router between"])
    def test_pods_reach_each_other_and_a_node_is_seen_by_its_tunnel_address(self, topology: Topology) -> None:
        state = compiled(topology)
        target = address6(state, "pod-3")
        assert arrives(state, "pod-1", target)
        assert arrives(state, "pod-1", "fd02::65", 80)
        found = trace(Network(state), Flow("k8s-1", ip_address(target), "tcp", 8080))
        assert found.must
        assert (found.seen.source if found.seen else None) == ip_address(tunnel(state, "k8s-1"))


def tunnel(state: State, node: str) -> str:
    return next(str(entry.interface.ip) for entry in state[node].addresses_of("vxlan-v6.calico"))


class TestFlannel:
    """flannel's second device: pkg/backend/vxlan/{vxlan,vxlan_network,device}.go, pkg/trafficmngr/iptables/iptables.go."""

    def test_a_node_has_a_second_tunnel_device_of_the_same_vni_and_port(self) -> None:
        state = flannel()
        node = state["k8s-1"]
        four, six, bridge = (node.link(name) for name in ("flannel.1", "flannel-v6.1", "cni0"))
        assert four is not None
        assert six is not None
        assert bridge is not None
        assert isinstance(four.kind, Vxlan)
        assert six.kind == replace(four.kind, local=ip_address("fd00::2"))
        assert (four.kind.vni, four.kind.port, four.kind.learning) == (1, 8472, False)
        assert (four.mtu, six.mtu, bridge.mtu) == (1450, 1430, 1450)
        assert four.mac != six.mac
        assert [str(entry.interface) for entry in node.addresses_of("flannel-v6.1")] == ["fd01::/128"]
        assert "fd01::1/64" in [str(entry.interface) for entry in node.addresses_of("cni0")]

    def test_addresses_of_a_nodes_range_are_handed_out_in_order_after_the_bridges(self) -> None:
        state = flannel()
        assert [address6(state, pod) for pod in ("cluster-dns", "pod-1", "pod-2", "pod-3")] == [
            "fd01::2",
            "fd01::3",
            "fd01::4",
            "fd01:0:0:1::2",
        ]
        assert routes6(state["pod-3"]) == {("unicast", "::/0", "fd01:0:0:1::1", "eth0", Protocol.BOOT)}

    def test_a_pod_cannot_ask_for_the_address_of_the_bridge(self) -> None:
        nodes = {"k8s-1": {"address": "192.168.0.2", "pods": {"pod-1": {"address6": "fd01::1"}}}}
        with pytest.raises(InputError, match="fd01::1 is none that node k8s-1 gives to pods"):
            compiled(changed(pod_cidr6="fd01::/56", cni={"plugin": "flannel"}, nodes=nodes, services={}))

    def test_ranges_of_others_are_behind_their_first_addresses(self) -> None:
        state = flannel()
        node, far = state["k8s-1"], state["k8s-2"].link("flannel-v6.1")
        assert far is not None
        assert ("unicast", "fd01:0:0:1::/64", "fd01:0:0:1::", "flannel-v6.1", Protocol.BOOT) in routes6(node)
        assert [(e.mac, str(e.destination)) for e in node.fdb if e.device == "flannel-v6.1"] == [(far.mac, "fd00::3")]
        assert [(str(n.address), n.mac) for n in node.neighbours if n.device == "flannel-v6.1"] == [("fd01:0:0:1::", far.mac)]

    def test_with_host_routes_nodes_are_the_next_hops(self) -> None:
        node = flannel(mode="host-gw")["k8s-1"]
        assert ("unicast", "fd01:0:0:1::/64", "fd00::3", "eth0", Protocol.BOOT) in routes6(node)
        assert node.link("flannel-v6.1") is None

    def test_its_chains_are_those_of_ipv4_with_the_groups_of_ipv6(self) -> None:
        node = flannel()["k8s-1"]
        assert chain6(node, "filter", "FLANNEL-FWD") == ["ip6 saddr fd01::/56 accept", "ip6 daddr fd01::/56 accept"]
        assert chain6(node, "nat", "FLANNEL-POSTRTG")[1:] == [
            "ip6 saddr fd01::/64 ip6 daddr fd01::/56 return",
            "ip6 saddr fd01::/56 ip6 daddr fd01::/64 return",
            "ip6 saddr != fd01::/56 ip6 daddr fd01::/64 return",
            "ip6 saddr fd01::/56 ip6 daddr != ff00::/8 masquerade fully-random",
            "ip6 saddr != fd01::/56 ip6 daddr fd01::/56 masquerade fully-random",
        ]
        assert chain6(node, "filter", "FORWARD")[-1] == "jump FLANNEL-FWD"
        assert not chain6(flannel(nat_outgoing=False)["k8s-1"], "nat", "FLANNEL-POSTRTG")

    def test_the_configuration_has_both_networks(self) -> None:
        config = next(item.body for item in flannel(distribution="kubeadm").control.of("ConfigMap") if item.name == "kube-flannel-cfg")
        net = json.loads(config["data"]["net-conf.json"])  # type: ignore[call-overload, index]
        assert (net["EnableIPv6"], net["IPv6Network"]) == (True, "fd01::/56")

    @pytest.mark.parametrize("mode", ["vxlan", "host-gw"])
    def test_pods_reach_each_other_their_services_and_the_world(self, mode: str) -> None:
        state = flannel(mode=mode)
        for source, target in (("pod-1", "pod-2"), ("pod-1", "pod-3"), ("pod-3", "pod-1"), ("k8s-1", "pod-3")):
            found = trace(Network(state), Flow(source, ip_address(address6(state, target)), "tcp", 8080))
            assert found.must, (source, target)
            seen = found.seen.source if found.seen else None
            assert source == "k8s-1" or str(seen) == address6(state, source)
        assert arrives(state, "pod-1", "fd02::65", 80)
        assert arrives(state, "pod-3", "fd02::65", 80)
        beyond = trace(Network(state), Flow("pod-1", ip_address("fd00::1"), "icmp"))
        assert str(beyond.seen.source if beyond.seen else None) == "fd00::2"

    def test_a_pod_is_told_that_the_tunnel_of_ipv6_has_less_room_than_pods_are_told(self) -> None:
        state = flannel()
        there = ip_address(address6(state, "pod-3"))
        assert trace(Network(state), Flow("pod-1", there, "icmp", size=1430, df=True)).outcome.kind == "reply"
        assert trace(Network(state), Flow("pod-1", there, "icmp", size=1450, df=True)).outcome.kind == "error"


def flannel(*, distribution: str = "k3s", **cni: Any) -> State:
    return compiled(changed(pod_cidr6="fd01::/56", distribution=distribution, cni={"plugin": "flannel", **cni}))


class TestFelix:
    def test_ipv6_is_not_masqueraded_unless_the_file_says_so(self) -> None:
        assert chain6(compiled()["k8s-1"], "nat", "cali-nat-outgoing") == []
        node = compiled(changed(cni={"nat_outgoing6": True}))["k8s-1"]
        assert chain6(node, "nat", "cali-nat-outgoing") == [
            "ip6 saddr @cali60masq-ipam-pools ip6 daddr != @cali60all-ipam-pools masquerade fully-random"
        ]
        assert members6(node, "cali60masq-ipam-pools") == {"fd01::/64"}

    def test_an_operator_may_change_the_pool_but_not_its_range(self) -> None:
        edit = IPPoolEdit(cluster="cluster", name="default-ipv6-ippool", cidr="fd01::/64", nat_outgoing=True, disabled=False)  # type: ignore[arg-type]
        assert members6(compiled(None, edit)["k8s-1"], "cali60masq-ipam-pools") == {"fd01::/64"}
        state = compiled(None, edit.model_copy(update={"cidr": changed(pod_cidr6="fd01::/65").clusters["cluster"].pod_cidr6}))
        assert members6(state["k8s-1"], "cali60masq-ipam-pools") == set()
        assert ["CIDR cannot be modified" in line.text for line in state.control.logs] == [True]

    def test_a_pod_may_ask_its_node_for_neighbours_whatever_its_policy(self) -> None:
        rules = chain6(compiled()["k8s-1"], "filter", "cali-wl-to-host")
        assert len(rules) == 8
        assert all(rule.startswith("meta l4proto 58 icmpv6 type") and rule.endswith("accept") for rule in rules[:6])
        assert rules[6:] == ["jump cali-from-wl-dispatch", "accept"]

    def test_a_policy_denies_networks_of_each_version_in_its_own_table(self) -> None:
        policies = [{"name": "strangers", "deny_from": ["192.0.2.0/24", "2001:db8::/32"]}]
        node = compiled(changed(policies=policies))["k8s-1"]
        assert chain6(node, "filter", "cali-pi-default.strangers")[0] == "ip6 saddr 2001:db8::/32 drop"
        assert chain6(node, "filter", "cali-pi-default.strangers", "ip")[0] == "ip saddr 192.0.2.0/24 drop"

    def test_a_denied_pod_cannot_reach_another(self) -> None:
        state = compiled()
        denied = compiled(changed(policies=[{"name": "none", "deny_from": [f"{address6(state, 'pod-1')}/128"]}]))
        assert arrives(state, "pod-1", address6(state, "pod-3"))
        assert not arrives(denied, "pod-1", address6(denied, "pod-3"))
        assert arrives(denied, "pod-2", address6(denied, "pod-3"))


class TestServices:
    def test_each_family_of_a_service_has_its_rules_in_its_own_table(self) -> None:
        state = compiled()
        web, six, four = (service_chain(f"default/{name}", "tcp") for name in ("web", "six", "four"))
        assert chain6(state["k8s-1"], "nat", "KUBE-SERVICES") == [
            f"ip6 daddr fd02::64 tcp dport 80 jump {web}",
            f"ip6 daddr fd02::65 tcp dport 80 jump {six}",
        ]
        ipv4 = " ".join(chain6(state["k8s-1"], "nat", "KUBE-SERVICES", "ip"))
        assert (web in ipv4, four in ipv4, six in ipv4) == (True, True, False)

    def test_clients_from_elsewhere_and_a_pod_that_meets_itself_are_masqueraded(self) -> None:
        state = compiled()
        web = service_chain("default/web", "tcp")
        assert chain6(state["k8s-1"], "nat", web)[0] == "ip6 saddr != fd01::/64 ip6 daddr fd02::64 tcp dport 80 jump KUBE-MARK-MASQ"
        own = address6(state, "pod-1")
        assert chain6(state["k8s-1"], "nat", endpoint_chain("default/web", "tcp", f"[{own}]:8080")) == [
            f"ip6 saddr {own} jump KUBE-MARK-MASQ",
            f"meta l4proto tcp dnat to [{own}]:8080",
        ]

    def test_services_lead_to_pods_as_the_model_has_it(self) -> None:
        state = compiled()
        assert arrives(state, "pod-1", "fd02::65", 80)
        assert arrives(state, "k8s-1", "fd02::65", 80)
        assert not arrives(state, "pod-1", "fd02::66", 80)

    def test_the_api_and_the_names_show_what_a_service_has(self) -> None:
        state = compiled()
        specs = {item.name: item.body["spec"] for item in state.control.of("Service")}
        assert specs["web"]["clusterIPs"] == ["10.96.0.100", "fd02::64"]  # type: ignore[call-overload, index]
        assert (specs["six"]["clusterIP"], specs["six"]["ipFamilyPolicy"]) == ("fd02::65", "SingleStack")  # type: ignore[call-overload, index]
        assert "clusterIPs" not in specs["four"]  # type: ignore[operator]
        slices = {item.name: item.body for item in state.control.of("EndpointSlice")}
        assert slices["six.ipv6"]["addressType"] == "IPv6"
        names = next(program for program in state["cluster-dns"].programs if program.name == "dnsmasq").files["names"].splitlines()
        assert [line for line in names if line.endswith(("web.default.svc.cluster.local", "six.default.svc.cluster.local"))] == [
            "10.96.0.100 web.default.svc.cluster.local",
            "fd02::64 web.default.svc.cluster.local",
            "fd02::65 six.default.svc.cluster.local",
        ]

    def test_the_first_family_is_the_primary_one(self) -> None:
        services = {"web": {"pods": ["pod-1"], "families": ["IPv6", "IPv4"], "address6": "fd02::80"}}
        spec = next(item.body["spec"] for item in compiled(changed(services=services)).control.of("Service") if item.name == "web")
        assert (spec["clusterIP"], spec["clusterIPs"]) == ("fd02::80", ["fd02::80", "10.96.0.100"])  # type: ignore[call-overload, index]


class TestSubmariner:
    def joined(self, *flags: Join) -> State:
        topology = Topology.model_validate({**two_clusters(), "submariner": {"version": "0.17.0"}})
        return compile(topology, History(events=flags or (Join(cluster="cluster"), Join(cluster="other"))))

    def test_it_takes_the_ipv4_ranges_of_dual_stack_clusters(self) -> None:
        state = self.joined()
        endpoints = {item.name: item.body["spec"]["subnets"] for item in state.control.of("Endpoint", "cluster")}  # type: ignore[call-overload, index]
        assert {tuple(subnets) for subnets in endpoints.values()} == {
            ("10.96.0.0/16", "10.244.0.0/16"),
            ("10.97.0.0/16", "10.245.0.0/16"),
        }

    def test_pods_of_joined_clusters_reach_each_other_by_ipv4_alone(self) -> None:
        state = self.joined()
        own = str(next(e.interface.ip for e in state["other-1"].addresses_of("eth0") if e.interface.version == 4))
        assert arrives(state, "pod-1", own)
        assert not arrives(state, "pod-1", address6(state, "other-1"))

    def test_an_ipv6_service_cannot_be_exported(self) -> None:
        with pytest.raises(InputError, match="service 'six' has no IPv4 address"):
            compile(
                Topology.model_validate({**two_clusters(), "submariner": {}}),
                History(events=(Join(cluster="cluster"), ExportEdit(cluster="cluster", service="six"))),
            )


def two_clusters() -> dict[str, Any]:
    """Return the shipped topology with a second dual-stack cluster in the office, and a gateway in each."""
    topology = written()
    first = topology["clusters"]["cluster"]
    nodes = {name: {**node, "gateway": name == "k8s-1"} for name, node in first["nodes"].items()}
    other = {
        "pod_cidr": "10.245.0.0/16",
        "service_cidr": "10.97.0.0/16",
        "pod_cidr6": "fd03::/64",
        "service_cidr6": "fd04::/108",
        "segment": "office",
        "distribution": "kubeadm",
        "nodes": {"far-1": {"address": "192.168.20.2", "gateway": True, "pods": {"other-1": {}}}},
    }
    return {**topology, "clusters": {"cluster": {**first, "nodes": nodes}, "other": other}}
