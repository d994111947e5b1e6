"""Frames: bridges, VXLAN, MTUs, fragments."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from lab.forwarding import Dropped, Reason
from lab.state import BridgePort


def lan(net: Any) -> Any:
    """a, b and c on one bridge in namespace sw."""
    for number, name in enumerate("abc", start=2):
        net.wire(f"{name}:eth0 10.1.0.{number}/24", f"sw:{name}")
    return net.bridge("sw", "br", "a", "b", "c")


class TestBridge:
    def test_a_request_floods_and_teaches_the_bridge_the_way_of_the_packet(self, net: Any) -> None:
        conversation = lan(net).trace("a", "10.1.0.3")
        assert conversation.outcome.kind == "reply"
        assert conversation.request.path == ("a", "sw", "b")
        assert conversation.request.others == ()

    def test_isolated_ports_do_not_reach_each_other(self, net: Any) -> None:
        lan(net)
        for port in ("a", "b"):
            net.builder["sw"].change_link(port, port=BridgePort(isolated=True))
        assert net.trace("a", "10.1.0.3").outcome.kind == "error"
        assert net.trace("a", "10.1.0.4").outcome.kind == "reply"

    def test_a_frame_too_long_for_a_port_vanishes_without_a_word(self, net: Any) -> None:
        lan(net).builder["sw"].change_link("b", mtu=1400)
        net.builder["b"].change_link("eth0", mtu=1400)
        conversation = net.trace("a", "10.1.0.3", size=1500)
        assert str(conversation.outcome) == "silence"
        assert isinstance(conversation.request.verdict, Dropped)
        assert conversation.request.verdict.reason == Reason.TOO_LONG_FOR_BRIDGE

    @pytest.mark.parametrize(("call", "outcome"), [(0, "reply"), (1, "silence")])
    def test_ip_rules_see_bridged_packets_only_where_bridge_nf_call_iptables_says_so(self, net: Any, call: int, outcome: str) -> None:
        lan(net).chain("sw", "forward", policy="drop").sysctl("sw", "net/bridge/bridge-nf-call-iptables", call)
        assert net.trace("a", "10.1.0.3").outcome.kind == outcome


def test_a_veth_takes_frames_up_to_a_vlan_tag_longer_than_its_mtu_and_drops_longer_ones(row: Any) -> None:
    row.builder["r"].change_link("left", mtu=1400)
    assert row.trace("a", "10.2.0.2", size=1404, df=False).request.delivered
    verdict = row.trace("a", "10.2.0.2", size=1405, df=False).request.verdict
    assert isinstance(verdict, Dropped)
    assert verdict.reason == Reason.TOO_LONG_FOR_PEER


class TestMtu:
    def test_without_df_a_router_cuts_the_packet(self, row: Any) -> None:
        row.builder["r"].change_link("right", mtu=1000)
        row.builder["b"].change_link("eth0", mtu=1000)
        assert row.trace("a", "10.2.0.2", size=1300, df=False).outcome.kind == "reply"

    def test_a_socket_that_forbids_fragments_fails_before_the_wire(self, row: Any) -> None:
        row.builder["a"].change_link("eth0", mtu=1000)
        conversation = row.trace("a", "10.2.0.2", "udp", size=1300, df=True)
        assert (conversation.outcome.kind, conversation.outcome.errno) == ("local error", "EMSGSIZE")

    def test_the_first_packet_is_lost_and_the_next_is_cut_at_the_sender(self, row: Any) -> None:
        row.builder["r"].change_link("right", mtu=1000)
        row.builder["b"].change_link("eth0", mtu=1000)
        first = row.listen("b", "udp", 80).trace("a", "10.2.0.2", "udp", size=1300)
        assert str(first.outcome) == "error: fragmentation needed (mtu 1000) from 10.1.0.1"
        assert row.trace("a", "10.2.0.2", "udp", size=1300, memory=first.memory, source_port=41000).outcome.kind == "reply"

    def test_tcp_finds_the_path_mtu_by_itself(self, row: Any) -> None:
        row.builder["r"].change_link("right", mtu=1000)
        conversation = row.listen("b", "tcp", 80).trace("a", "10.2.0.2", "tcp", size=1400, answer_size=200)
        assert conversation.outcome.kind == "reply"
        assert [trace.packet.size for trace in conversation.traces if trace.purpose == "data"] == [1400, 1000]

    def test_a_route_may_state_an_mtu(self, row: Any) -> None:
        row.builder["a"].delete_routes(ip_network("0.0.0.0/0"))
        row.route("a", "default via 10.1.0.1 dev eth0 mtu 900")
        assert row.trace("a", "10.2.0.2", size=1000, df=True).outcome.errno == "EMSGSIZE"


class TestVxlan:
    def nodes(self, net: Any, **more: Any) -> Any:
        """Two nodes with a VXLAN device each, stated entry by entry, as Calico does."""
        net.router("n1").router("n2").wire("n1:eth0 172.18.0.1/24", "n2:eth0 172.18.0.2/24")
        for me, other in ((1, 2), (2, 1)):
            net.vxlan(f"n{me}", "vxlan.calico", 4096, f"172.18.0.{me}", **more).address(f"n{me}", "vxlan.calico", f"10.46.{me}.0/32")
            net.route(f"n{me}", f"10.46.{other}.0/26 via 10.46.{other}.0 dev vxlan.calico onlink")
        for me, other in ((1, 2), (2, 1)):
            mac = net.mac_of(f"n{other}", "vxlan.calico")
            net.neighbour(f"n{me}", "vxlan.calico", f"10.46.{other}.0", mac).fdb(f"n{me}", "vxlan.calico", mac, f"172.18.0.{other}")
        return net

    def test_a_packet_is_wrapped_and_unwrapped_on_the_way(self, net: Any) -> None:
        conversation = self.nodes(net).trace("n1", "10.46.2.0")
        assert conversation.outcome.kind == "reply"
        assert conversation.seen.source == ip_address("10.46.1.0")
        outer = next(step.after for _, step in conversation.request.steps if step.stage == "encapsulation")
        assert (str(outer.destination), outer.size, outer.ttl, outer.df) == ("172.18.0.2", 134, 64, False)

    def test_without_an_fdb_entry_the_packet_vanishes_without_a_word(self, net: Any) -> None:
        self.nodes(net).builder["n1"].fdb.clear()
        conversation = net.trace("n1", "10.46.2.0")
        assert str(conversation.outcome) == "silence"
        assert conversation.request.verdict.reason == Reason.NO_FDB_ENTRY

    def test_without_a_neighbour_the_sender_is_told_after_some_seconds(self, net: Any) -> None:
        self.nodes(net).builder["n1"].neighbours.clear()
        assert net.trace("n1", "10.46.2.0").outcome.kind == "error"

    def test_another_vni_at_the_far_end_loses_everything(self, net: Any) -> None:
        self.nodes(net)
        link = net.builder["n2"].links["vxlan.calico"]
        net.builder["n2"].change_link("vxlan.calico", kind=replace(link.kind, vni=7))
        assert net.trace("n1", "10.46.2.0").request.verdict.reason == Reason.UNKNOWN_VNI

    def test_a_wrong_inner_mac_is_somebody_elses_frame(self, net: Any) -> None:
        self.nodes(net).builder["n2"].change_link("vxlan.calico", mac="02:00:00:00:99:99")
        assert net.trace("n1", "10.46.2.0").request.verdict.reason == Reason.OTHER_HOST

    def test_the_mark_of_the_inner_packet_routes_the_outer_one(self, net: Any) -> None:
        self.nodes(net).route("n1", "blackhole 172.18.0.0/24 table 7").rule("n1", "100: fwmark 0x4000 lookup 7")
        assert net.trace("n1", "10.46.2.0").outcome.kind == "reply"
        verdict = net.trace("n1", "10.46.2.0", mark=0x4000, source_port=1).request.verdict
        assert verdict.reason in (Reason.TUNNEL_NO_ROUTE, Reason.RULE_BLACKHOLE, Reason.NO_ROUTE)

    def test_an_outer_packet_too_long_for_the_underlay_is_cut(self, net: Any) -> None:
        self.nodes(net, mtu=1500)
        conversation = net.trace("n1", "10.46.2.0", size=1500, df=False)
        assert conversation.outcome.kind == "reply"
        assert any(step.stage == "fragmentation" for _, step in conversation.request.steps)

    def test_flooding_and_learning_work_without_stated_entries(self, net: Any) -> None:
        net.router("n1").router("n2").wire("n1:eth0 172.18.0.1/24", "n2:eth0 172.18.0.2/24")
        for me, other in ((1, 2), (2, 1)):
            net.vxlan(f"n{me}", "vx", 100, f"172.18.0.{me}", port=4800, learning=True).address(f"n{me}", "vx", f"240.0.0.{me}/24")
            net.fdb(f"n{me}", "vx", "00:00:00:00:00:00", f"172.18.0.{other}")
        assert net.trace("n1", "240.0.0.2").outcome.kind == "reply"

    def bound(self, net: Any, *, remote: bool) -> Any:
        """Two cables between two nodes, and a tunnel on the one whose subnet the far end is not on."""
        net.router("n1").router("n2").wire("n1:e0 10.8.0.1/24", "n2:e0 10.8.0.2/24").wire("n1:e1 172.18.0.1/24", "n2:e1 172.18.0.2/24")
        net.vxlan("n1", "vx", 100, "10.8.0.1", remote=ip_address("172.18.0.2") if remote else None)
        net.builder["n1"].change_link("vx", kind=replace(net.builder["n1"].links["vx"].kind, device="e0"))
        net.vxlan("n2", "vx", 100, "172.18.0.2").address("n1", "vx", "240.0.0.1/24").address("n2", "vx", "240.0.0.2/24")
        for me, other in ((1, 2), (2, 1)):
            net.neighbour(f"n{me}", "vx", f"240.0.0.{other}", net.mac_of(f"n{other}", "vx"))
        return net.fdb("n2", "vx", net.mac_of("n1", "vx"), "10.8.0.1")

    def test_an_fdb_entry_is_not_bound_to_the_lower_device(self, net: Any) -> None:
        self.bound(net, remote=False).fdb("n1", "vx", net.mac_of("n2", "vx"), "172.18.0.2")
        conversation = net.trace("n1", "240.0.0.2")
        assert conversation.outcome.kind == "reply"
        assert conversation.request.hops[0].left_by == ("e1",)

    def test_the_default_destination_is_and_is_taken_to_be_on_its_link_where_no_route_leads_there(self, net: Any) -> None:
        conversation = self.bound(net, remote=True).trace("n1", "240.0.0.2")
        assert conversation.request.hops[0].left_by == ("e0",)
        assert conversation.outcome.kind == "reply"

    def test_a_default_destination_bound_to_a_device_is_not_sought_in_the_own_namespace(self, net: Any) -> None:
        net.router("n1").wire("n1:e0 10.8.0.1/24", "n2:e0 10.8.0.2/24")
        net.vxlan("n1", "vx", 100, "10.8.0.1", remote=ip_address("10.8.0.1")).address("n1", "vx", "240.0.0.1/24")
        net.builder["n1"].change_link("vx", kind=replace(net.builder["n1"].links["vx"].kind, device="e0"))
        net.neighbour("n1", "vx", "240.0.0.2", "02:00:00:00:99:99")
        assert net.trace("n1", "240.0.0.2").request.verdict.reason == Reason.UNKNOWN_VNI
