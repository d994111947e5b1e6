"""Errors as packets: which address they come from, whether they come home, and what is never answered by one."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network
from typing import Any

from lab.forwarding import Dropped, Reason
from lab.state.nft import Reject


def source_of_error(conversation: Any) -> str:
    return str(conversation.outcome.source)


class TestSource:
    """r1 refuses what is beyond it; the address it answers from depends on its way back to the sender."""

    def build(self, net: Any) -> Any:
        net.node("c").router("r1").router("back")
        net.wire("c:eth0 10.1.0.2/24", "r1:in 10.1.0.1/24").wire("r1:other 10.4.0.1/24", "back:a 10.4.0.2/24").wire(
            "back:b 10.5.0.1/24", "c:back 10.5.0.2/24"
        )
        return net.route("c", "default via 10.1.0.1 dev eth0").route("back", "10.1.0.2/32 via 10.5.0.2 dev b")

    def test_normally_the_address_on_the_way_back(self, net: Any) -> None:
        assert source_of_error(self.build(net).trace("c", "10.9.9.9")) == "10.1.0.1"

    def test_with_a_return_by_another_link_the_address_there(self, net: Any) -> None:
        self.build(net).route("r1", "10.1.0.2/32 via 10.4.0.2 dev other")
        assert source_of_error(net.trace("c", "10.9.9.9")) == "10.4.0.1"

    def test_with_icmp_errors_use_inbound_ifaddr_the_address_of_arrival(self, net: Any) -> None:
        self.build(net).route("r1", "10.1.0.2/32 via 10.4.0.2 dev other").sysctl("r1", "net/ipv4/icmp_errors_use_inbound_ifaddr", 1)
        assert source_of_error(net.trace("c", "10.9.9.9")) == "10.1.0.1"

    def test_a_source_hint_of_the_route_back_counts(self, net: Any) -> None:
        self.build(net).address("r1", "lo", "10.12.0.1/32").route("r1", "10.1.0.2/32 dev in src 10.12.0.1")
        assert source_of_error(net.trace("c", "10.9.9.9")) == "10.12.0.1"

    def test_an_unnumbered_link_borrows_an_address_and_lo_is_asked_first(self, net: Any) -> None:
        net.node("c").router("r1").wire("c:eth0 10.1.0.2/32", "r1:in").wire("r1:up 10.12.0.1/24", "x:eth0 10.12.0.2/24")
        net.route("c", "10.9.0.0/16 dev eth0").route("r1", "10.1.0.2/32 dev in", "prohibit 10.9.9.0/24", "10.9.0.0/16 via 10.12.0.2 dev up")
        net.neighbour("c", "eth0", "10.9.9.9", net.mac_of("r1", "in"))
        assert source_of_error(net.trace("c", "10.9.9.9")) == "10.12.0.1"
        assert source_of_error(net.address("r1", "lo", "10.99.0.9/32").trace("c", "10.9.9.9")) == "10.99.0.9"

    def test_a_host_without_any_address_answers_from_the_dummy_one(self, net: Any) -> None:
        net.node("c").router("r1").wire("c:eth0 10.1.0.2/32", "r1:in").route("c", "10.9.0.0/16 dev eth0").route("r1", "10.1.0.2/32 dev in")
        net.neighbour("c", "eth0", "10.9.9.9", net.mac_of("r1", "in"))
        net.builder["r1"].add_route(__import__("lab.state", fromlist=["Route"]).Route(ip_network("10.9.0.0/16"), "unreachable"))
        net.builder["r1"].change_link("lo", up=False)
        assert source_of_error(net.trace("c", "10.9.9.9")) == "192.0.0.8"

    def test_a_closed_port_answers_from_the_address_that_was_asked(self, net: Any) -> None:
        self.build(net)
        assert source_of_error(net.trace("c", "10.4.0.1", "udp")) == "10.4.0.1"

    def test_a_reject_before_routing_answers_from_the_way_back_even_for_a_local_address(self, net: Any) -> None:
        self.build(net).chain("r1", "prerouting", Reject("icmp", "port-unreachable"))
        assert source_of_error(net.trace("c", "10.4.0.1", "udp")) == "10.1.0.1"
        net.builder["r1"].chain("ip", "t", "filter-prerouting-0").flush()
        net.chain("r1", "input", Reject("icmp", "port-unreachable"))
        assert source_of_error(net.trace("c", "10.4.0.1", "udp")) == "10.4.0.1"


class TestWhatIsAnswered:
    def test_a_reset_and_a_refusal(self, row: Any) -> None:
        assert str(row.trace("a", "10.2.0.2", "tcp").outcome) == "refused: reset from 10.2.0.2"
        assert str(row.trace("a", "10.2.0.2", "udp").outcome) == "refused: port unreachable from 10.2.0.2"

    def test_an_error_is_never_answered_by_an_error(self, row: Any) -> None:
        row.route("r", "unreachable 10.2.0.2/32").address("a", "lo", "172.16.0.9/32")
        conversation = row.trace("a", "10.2.0.2", source_address=IPv4Address("172.16.0.9"))
        assert [trace.purpose for trace in conversation.traces] == ["request", "error"]
        assert isinstance(conversation.traces[1].verdict, Dropped)
        assert conversation.traces[1].verdict.reason == Reason.NO_ROUTE

    def test_a_loop_ends_by_the_ttl_and_says_so(self, net: Any) -> None:
        net.node("a").router("x").router("y").wire("a:eth0 10.1.0.2/24", "x:in 10.1.0.1/24").wire("x:y 10.3.0.1/24", "y:x 10.3.0.2/24")
        net.route("a", "default via 10.1.0.1 dev eth0").route("x", "default via 10.3.0.2 dev y").route("y", "default via 10.3.0.1 dev x")
        conversation = net.trace("a", "10.9.9.9")
        assert conversation.outcome.kind == "error"
        assert "time exceeded" in str(conversation.outcome)
        assert len(conversation.request.path) == 64 + 1

    def test_a_namespace_of_its_own_errors_sees_them_too(self, row: Any) -> None:
        assert str(row.trace("a", "10.1.0.77").outcome) == "error: host unreachable from 10.1.0.2"

    def test_local_failures_are_errno_and_no_packet(self, row: Any) -> None:
        row.route("a", "prohibit 10.77.0.0/16", "blackhole 10.78.0.0/16", "unreachable 10.79.0.0/16", "throw 10.80.0.0/16")
        row.builder["a"].delete_routes(ip_network("0.0.0.0/0"))
        found = [row.trace("a", f"10.{number}.0.1").outcome.errno for number in (77, 78, 79, 80, 81)]
        assert found == ["EACCES", "EINVAL", "EHOSTUNREACH", "ENETUNREACH", "ENETUNREACH"]


def test_the_trace_notes_where_an_error_may_be_withheld_by_a_rate_limit(row: Any) -> None:
    def notes() -> list[str]:
        conversation = row.trace("a", "10.9.0.2")
        return [step.sentence for traced in conversation.traces for _, step in traced.steps if step.stage == "rate limit"]

    assert notes() == ["icmp_ratelimit=1000: 10.1.0.2 is sent one such error in that many ms, after the first six"]
    row.sysctl("r", "net/ipv4/icmp_ratemask", 0)
    assert notes() == []
