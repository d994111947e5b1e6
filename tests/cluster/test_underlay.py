"""The corporate network: cables and switches, routes, policies, the proxy."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from lab.cluster.names import device_name
from lab.spec.topology import Topology
from lab.state import Bridge, BridgePort, Impairment, State, Veth
from lab.state.checks import check
from lab.state.nftables import rule_text
from tests.cluster.base_lab import chain, changed, compiled, loaded, routes, sysctl


def far_end(state: State, namespace: str, device: str) -> tuple[str, str]:
    link = state[namespace].link(device)
    assert link is not None
    assert isinstance(link.kind, Veth)
    return link.kind.peer_namespace, link.kind.peer_name


class TestWiring:
    def test_two_members_of_a_segment_are_joined_by_a_cable(self) -> None:
        state = compiled(changed(name="two-single-node-clusters"))
        assert far_end(state, "edge-1", "site-1") == ("c1-node", "eth0")
        assert "sw-site-1" not in state.namespaces

    def test_more_are_joined_by_a_switch_with_a_port_for_each(self) -> None:
        state = compiled()
        switch = state["sw-site-1"]
        assert isinstance(switch.links[1].kind, Bridge)
        assert {link.name for link in switch.links if link.master == "br0"} == {"edge-1", "c1-gw", "c1-w1", "c1-w2"}
        assert far_end(state, "c1-w1", "eth0") == ("sw-site-1", "c1-w1")

    def test_a_switch_does_not_filter_what_it_bridges(self) -> None:
        assert compiled()["sw-site-1"].sysctl("net/bridge/bridge-nf-call-iptables", "1") == "0"

    def test_both_ends_of_every_cable_exist_and_have_the_mtu_of_their_segment(self) -> None:
        state = compiled()
        for namespace in state:
            for link in namespace.links:
                if isinstance(link.kind, Veth):
                    peer = state[link.kind.peer_namespace].link(link.kind.peer_name)
                    assert peer is not None
                    assert peer.kind == Veth(namespace.name, link.name)
                    assert peer.mtu == link.mtu

    def test_no_two_devices_share_a_mac_but_the_ones_calico_makes_equal(self) -> None:
        macs = [link.mac for namespace in compiled() for link in namespace.links if link.mac and not link.name.startswith(("cali", "lo"))]
        assert len(macs) == len(set(macs))

    def test_names_too_long_for_a_device_stay_distinct(self) -> None:
        names = [device_name(f"a-rather-long-segment-{n}") for n in range(20)]
        assert len(set(names)) == 20
        assert max(map(len, names)) <= 15


class TestRouters:
    def test_a_router_has_an_address_on_each_of_its_segments_and_forwards(self) -> None:
        router = compiled()["core-router"]
        assert {a.device: str(a.interface) for a in router.addresses if a.device != "lo"} == {
            "core": "10.128.11.126/24",
            "outside": "203.0.113.1/24",
        }
        assert router.sysctl("net/ipv4/ip_forward") == "1"

    def test_static_routes_leave_by_the_device_their_next_hop_is_on(self) -> None:
        router = compiled()["core-router"]
        assert "172.18.2.0/24 via 10.128.11.2 proto 4 scope global" in routes(router, "core")
        assert "default via 203.0.113.254 proto 4 scope global" in routes(router, "outside")

    def test_routes_name_nexthop_objects_that_lead_out_by_the_device_their_next_hop_is_on(self) -> None:
        routers = loaded().model.model_dump(mode="json", exclude_unset=True)["routers"]
        routers["core-router"]["nexthops"] = [
            {"id": 1, "via": "10.128.11.2"},
            {"id": 2, "via": "203.0.113.254"},
            {"id": 3, "group": [1, 2]},
            {"id": 4, "blackhole": True},
        ]
        routers["core-router"]["routes"].append({"to": "198.51.100.0/24", "nexthop": 3})
        state = compiled(changed(routers=routers))
        check(state)
        router = state["core-router"]
        assert [(thing.device, thing.blackhole, len(thing.group)) for thing in router.nexthops] == [
            ("core", False, 0),
            ("outside", False, 0),
            (None, False, 2),
            (None, True, 0),
        ]
        route = next(route for route in router.routes if route.nexthop == 3)
        assert [hop.device for hop in router.ways(route)] == ["core", "outside"]

    def test_a_short_sysctl_is_written_where_the_kernel_has_it(self) -> None:
        assert compiled()["core-router"].sysctl("net/ipv4/icmp_ratelimit") == "0"
        assert compiled()["edge-1"].sysctl("net/ipv4/icmp_ratelimit") == "1000"

    def test_the_stranger_refuses_what_is_no_site(self) -> None:
        assert chain(compiled()["core-router"], "forwarding", "forward") == [
            "ip daddr { 172.18.0.0/16, 10.128.11.0/24 } accept",
            "ip saddr 10.128.11.80/32 accept",
            "reject with icmp type host-unreachable",
        ]

    def test_site_2_drops_in_silence_by_a_rule_with_a_name_and_a_counter(self) -> None:
        rules = compiled()["edge-2"].tables[0].chains[0].rules
        assert [rule.comment for rule in rules] == ["to-cluster-1-nodes", "to-core-services", "egress-filter"]
        assert all("Counter" in repr(rule.statements) for rule in rules)
        assert chain(compiled()["edge-2"], "forwarding", "forward")[-1] == 'oifname "core" drop'

    def test_a_router_without_a_policy_has_no_rules(self) -> None:
        assert compiled()["edge-1"].tables == ()

    def test_every_kind_of_condition_is_rendered(self) -> None:
        routers = loaded().model.model_dump(mode="json", exclude_unset=True)["routers"]
        routers["edge-1"]["policy"] = [
            {"established": True, "action": "accept"},
            {
                "into": "core",
                "source": ["10.0.0.0/8"],
                "protocol": "tcp",
                "ports": [22, 80],
                "action": "reject",
                "reject_with": "tcp-reset",
            },
            {"protocol": "udp", "ports": [53], "action": "drop"},
            {"ports": [7], "action": "drop"},
            {"protocol": "icmp", "action": "drop"},
        ]
        assert chain(compiled(changed(routers=routers))["edge-1"], "forwarding", "forward") == [
            "ct state established,related accept",
            'iifname "core" ip saddr 10.0.0.0/8 tcp dport { 22, 80 } reject with tcp reset',
            "udp dport 53 drop",
            "meta l4proto { tcp, udp } th dport 7 drop",
            "meta l4proto icmp drop",
        ]


class TestNodesAndHosts:
    def test_a_nodes_default_route_leads_to_the_router_of_its_segment(self) -> None:
        assert routes(compiled()["c1-w1"], "eth0") == ["default via 172.18.1.1 proto 4 scope global"]

    def test_a_named_gateway_is_taken_instead(self) -> None:
        state = compiled(changed(cluster_1={"gateway": "172.18.1.254"}))
        assert "default via 172.18.1.254 proto 4 scope global" in routes(state["c1-w1"], "eth0")

    def test_every_address_lies_in_the_network_of_its_segment(self) -> None:
        node = compiled()["c1-w1"].addresses_of("eth0")[0]
        assert node.interface.ip in ip_network("172.18.1.0/24")
        assert node.broadcast == ip_address("172.18.1.255")

    def test_names_outside_are_in_every_machines_hosts_file(self) -> None:
        state = compiled()
        for name in ("proxy", "c1-gw"):
            assert "203.0.113.254 www.example.com\n" in state[name].files["/etc/hosts"]

    def test_machines_do_not_forward_unless_they_are_nodes_or_routers(self) -> None:
        state = compiled()
        assert sysctl(state["proxy"], "all", "forwarding") == "0"
        assert sysctl(state["c1-gw"], "eth0", "forwarding") == "1"


class TestProxy:
    def test_the_proxy_listens_and_logs_every_request(self) -> None:
        (program,) = compiled()["proxy"].programs
        assert program.listens == (("tcp", 3128),)
        config = program.files["tinyproxy.conf"].splitlines()
        assert {"Port 3128", "LogLevel Connect", 'LogFile "{scratch}/access.log"', "ConnectPort 6443"} <= set(config)
        assert not [line for line in config if line.startswith(("User", "Group"))]

    def test_nodes_and_pods_are_sent_to_it_in_both_spellings(self) -> None:
        state = compiled()
        for name in ("c1-w1", "c1-w1-a"):
            environment = state[name].environment
            assert environment["HTTP_PROXY"] == environment["http_proxy"] == environment["HTTPS_PROXY"] == "http://10.128.11.80:3128"

    def test_rke2_adds_its_own_names_and_ranges_to_no_proxy_and_nobody_elses(self) -> None:
        no_proxy = compiled()["c1-w1-a"].environment["NO_PROXY"].split(",")
        assert {".svc", ".cluster.local", "10.46.0.0/16", "10.45.0.0/16"} <= set(no_proxy)
        written = {"172.18.0.0/16", "10.42.0.0/16", "10.43.0.0/16", ".clusterset.local"}
        assert set(no_proxy) - written == {".svc", ".cluster.local", "10.46.0.0/16", "10.45.0.0/16"}

    def test_kubeadm_adds_nothing(self) -> None:
        state = compiled(changed(cluster_1={"distribution": "kubeadm", "proxy": {"http": "http://10.128.11.80:3128", "no_proxy": ["x.y"]}}))
        assert state["c1-w1-a"].environment["no_proxy"] == "x.y"

    def test_a_cluster_without_a_proxy_has_no_environment(self) -> None:
        assert compiled(changed(name="three-clusters"))["c1-w1-a"].environment == {}


class TestPorts:
    """How a segment's switch treats ports, and what members send to it."""

    def test_two_members_have_a_switch_where_ports_are_written(self) -> None:
        assert "sw-outside" not in compiled(one_switch()).namespaces
        assert "sw-outside" in compiled(one_switch(outside={"ports": {"client": {"learning": False}}})).namespaces

    def test_the_first_key_that_matches_a_member_counts(self) -> None:
        state = compiled(one_switch(lan={"ports": {"server-1": {"isolated": True}, "*": {"flood": False}}}))
        ports = {link.name: link.port for link in state["sw-lan"].links if link.port is not None}
        assert ports["server-1"] == BridgePort(isolated=True)
        assert {ports[name] for name in ("server-2", "desktop", "router")} == {BridgePort(flood=False)}

    def test_a_port_takes_what_its_member_may_send_and_nothing_else(self) -> None:
        guarded = {"one_mac": True, "own_addresses": True, "also_from": ["10.9.0.0/16"]}
        state = compiled(one_switch(lan={"ports": {"server-1": guarded}}))
        mac = state["server-1"].link("eth0").mac  # type: ignore[union-attr]
        (table,) = state["sw-lan"].tables
        assert [rule_text(rule, "bridge").replace("counter ", "").split(" comment ")[0] for rule in table.chains[0].rules] == [
            f'iifname "server-1" ether saddr != {mac} drop',
            'iifname "server-1" ip saddr != { 192.0.2.11, 10.9.0.0/16 } drop',
            'iifname "server-1" arp saddr ip != { 192.0.2.11, 10.9.0.0/16 } drop',
        ]

    def test_of_an_ordinary_switch_nothing_is_checked(self) -> None:
        assert compiled(one_switch(lan={"ports": {"*": {"hairpin": True}}}))["sw-lan"].tables == ()

    def test_a_segment_impairs_what_each_member_sends_and_a_port_what_it_gets(self) -> None:
        written = {"impairment": {"loss": 0.5, "rate": 1000}, "ports": {"desktop": {"impairment": {"delay": 7}}}}
        state = compiled(one_switch(lan=written))
        for name, device in (("server-1", "eth0"), ("desktop", "eth0"), ("router", "lan")):
            assert state[name].link(device).impairment == Impairment(loss=50, rate=1000)  # type: ignore[union-attr]
        assert state["sw-lan"].link("desktop").impairment == Impairment(delay=7)  # type: ignore[union-attr]
        assert state["sw-lan"].link("server-1").impairment is None  # type: ignore[union-attr]
        assert state["router"].link("outside").impairment is None  # type: ignore[union-attr]


def one_switch(**segments: dict[str, object]) -> Topology:
    """The shipped network of one switch, with parts of its segments replaced, and no ports but those."""
    written = loaded("one-switch").model.model_dump(mode="json", exclude_unset=True)
    written["segments"]["lan"].pop("ports")
    for name, parts in segments.items():
        written["segments"][name] |= parts
    return Topology.model_validate(written)
