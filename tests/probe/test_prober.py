"""What becomes of probes on a small network, as both kinds of observers see it: by BPF, and by packet sockets."""

from __future__ import annotations

import errno
from itertools import count

import pytest

from lab.kernel.sandbox import Sandbox
from lab.probe import (
    Grade,
    HttpRequest,
    Outcome,
    PingRequest,
    TcpRequest,
    TracerouteRequest,
    UdpRequest,
)
from tests.probe.small import (
    BLACKHOLE,
    NOBODY,
    PROHIBITED,
    REJECTED_PORT,
    SILENT_PORT,
    UNREACHABLE,
    A,
    B,
    R,
    small_network,
)

pytestmark = pytest.mark.kernel

observed = pytest.mark.parametrize("bpf", [pytest.param(True, id="BPF", marks=pytest.mark.root), pytest.param(False, id="sockets")])
for_everyone = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)


def way(outcome: Outcome) -> list[str]:
    return [f"{s.interface} {s.direction} {s.part}" for s in outcome.sightings]


class TestAnswers:
    @observed
    def test_a_ping_is_answered_and_seen_on_every_interface_of_its_way(self, sandbox: Sandbox, bpf: bool) -> None:
        with small_network(sandbox, bpf=bpf) as small:
            outcome = small.one(PingRequest("a", B))
        assert (outcome.result, outcome.ttl, outcome.seen_as, outcome.loss) == ("reply", 63, A, None)
        assert way(outcome) == [
            "a:eth0 out request",
            "r:ra in request",
            "r:rb out request",
            "b:eth0 in request",
            "b:eth0 out answer",
            "r:rb in answer",
            "r:ra out answer",
            "a:eth0 in answer",
        ]

    @for_everyone
    def test_tcp_udp_and_http_are_answered(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            tcp, udp, http = small.probe(TcpRequest("a", B, 8080), UdpRequest("a", B, 8080), HttpRequest("a", f"http://{B}:8080/"))
        assert [outcome.result for outcome in (tcp, udp, http)] == ["reply"] * 3
        assert [outcome.seen_as for outcome in (tcp, udp, http)] == [A] * 3
        assert (http.status, http.peer) == (200, (str(B), 8080))
        assert f'"client": "{A}"' in http.body

    def test_many_at_once_are_told_apart(self, sandbox: Sandbox) -> None:
        requests = [
            kind
            for number in range(20)
            for kind in (PingRequest("a", B), PingRequest("b", A), TcpRequest("a", B, 8080), UdpRequest("a", B, 8080, 32 + number))
        ]
        with small_network(sandbox) as small:
            outcomes = small.probe(*requests)
        assert {outcome.result for outcome in outcomes} == {"reply"}
        assert [outcome.request for outcome in outcomes] == requests
        assert {len([w for w in way(outcome) if w.startswith("r:ra in")]) >= 1 for outcome in outcomes} == {True}

    def test_each_ping_is_a_flow_of_its_own(self, sandbox: Sandbox) -> None:
        """As each run of ping(8) is: connection tracking goes by addresses and identifier."""
        with small_network(sandbox) as small:
            outcomes = [*small.probe(PingRequest("a", B), PingRequest("a", B)), small.one(PingRequest("a", B))]
        assert len({sighting.ports for outcome in outcomes for sighting in outcome.sightings}) == 3

    def test_a_traceroute_names_every_hop(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            outcome = small.one(TracerouteRequest("a", B))
        assert outcome.hops == (R, B)
        assert outcome.result == "reply"


class TestRefusals:
    @observed
    def test_a_closed_port_refuses(self, sandbox: Sandbox, bpf: bool) -> None:
        with small_network(sandbox, bpf=bpf) as small:
            tcp, udp = small.probe(TcpRequest("a", B, 81), UdpRequest("a", B, 82))
        assert (tcp.result, tcp.errno) == ("refused", errno.ECONNREFUSED)
        assert udp.result == "refused"
        assert udp.icmp is not None
        assert (udp.icmp.name, udp.icmp.source) == ("port-unreachable", B)

    @pytest.mark.parametrize(
        ("request_", "name"),
        [
            (PingRequest("a", UNREACHABLE), "host-unreachable"),
            (PingRequest("a", PROHIBITED), "admin-prohibited"),
            (UdpRequest("a", B, REJECTED_PORT), "admin-prohibited"),
            (PingRequest("a", B, ttl=1), "ttl-exceeded"),
        ],
        ids=["unreachable route", "prohibit route", "firewall", "TTL"],
    )
    @observed
    def test_an_icmp_error_has_a_name_and_a_source(
        self, sandbox: Sandbox, bpf: bool, request_: PingRequest | UdpRequest, name: str
    ) -> None:
        with small_network(sandbox, bpf=bpf) as small:
            outcome = small.one(request_)
        assert outcome.result == "unreachable"
        assert outcome.icmp is not None
        assert (outcome.icmp.name, outcome.icmp.source) == (name, R)
        assert outcome.loss is not None
        assert outcome.loss.interface == "r:ra"

    def test_a_connection_fails_with_the_errors_number(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            outcome = small.one(TcpRequest("a", UNREACHABLE, 80))
        assert (outcome.result, outcome.errno) == ("unreachable", errno.EHOSTUNREACH)
        assert outcome.icmp is not None
        assert outcome.icmp.source == R

    def test_a_packet_too_big_is_told_the_mtu(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            small.run("ip -n r link set rb mtu 1400")
            outcome = small.one(PingRequest("a", B, size=1450, df=True))
        assert outcome.icmp is not None
        assert (outcome.icmp.name, outcome.icmp.mtu, outcome.icmp.source) == ("fragmentation-needed", 1400, R)

    def test_without_a_route_the_sender_itself_refuses(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            small.run("ip -n a route del default")
            outcomes = small.probe(PingRequest("a", B), TcpRequest("a", B, 8080), UdpRequest("a", B, 8080))
        assert [(outcome.result, outcome.errno, outcome.sent) for outcome in outcomes] == [("unreachable", errno.ENETUNREACH, False)] * 3


class TestSilence:
    @observed
    def test_it_was_last_seen_where_it_ended(self, sandbox: Sandbox, bpf: bool) -> None:
        with small_network(sandbox, bpf=bpf) as small:
            outcomes = small.probe(PingRequest("a", BLACKHOLE), TcpRequest("a", B, SILENT_PORT))
        for outcome in outcomes:
            assert outcome.result == "silence"
            assert outcome.sent
            assert outcome.loss is not None
            assert (outcome.loss.interface, outcome.loss.part) == ("r:ra", "request")
            assert outcome.loss.grade is (Grade.DROP if bpf else Grade.LAST_SEEN)

    @pytest.mark.root
    def test_bpf_knows_the_kernels_reason(self, sandbox: Sandbox) -> None:
        with small_network(sandbox, bpf=True) as small:
            dropped = small.one(TcpRequest("a", B, SILENT_PORT))
        assert dropped.loss is not None
        assert dropped.loss.reason == "NETFILTER_DROP"

    @observed
    def test_an_answer_may_be_what_gets_lost(self, sandbox: Sandbox, bpf: bool) -> None:
        with small_network(sandbox, bpf=bpf) as small:
            small.run("ip -n r route add blackhole 10.0.1.2/32")
            outcome = small.one(PingRequest("a", B))
        assert outcome.result == "silence"
        assert outcome.loss is not None
        assert (outcome.loss.interface, outcome.loss.part) == ("r:rb", "answer")

    @observed
    def test_an_error_that_gets_lost_is_not_the_loss(self, sandbox: Sandbox, bpf: bool) -> None:
        with small_network(sandbox, bpf=bpf) as small:
            small.run("ip -n r rule add from 10.0.1.2 iif ra lookup 99; ip -n r route add unreachable default table 99")
            small.run("ip netns exec r nft 'table ip out { chain o { type filter hook output priority 0; ip protocol icmp drop; }; }'")
            outcome = small.one(PingRequest("a", B))
        assert outcome.result == "silence"
        assert outcome.loss is not None
        assert (outcome.loss.interface, outcome.loss.part) == ("r:ra", "request")

    @observed
    def test_a_neighbour_that_does_not_answer_makes_it_unreachable_in_the_end(self, sandbox: Sandbox, bpf: bool) -> None:
        with small_network(sandbox, bpf=bpf) as small:
            small.run("ip netns exec r sysctl -qw net.ipv4.neigh.rb.retrans_time_ms=100")
            outcome = small.one(PingRequest("a", NOBODY))
        assert outcome.result == "unreachable"
        assert outcome.icmp is not None
        assert (outcome.icmp.name, outcome.icmp.source) == ("host-unreachable", R)

    def test_a_router_that_withholds_errors_is_known(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            small.run("ip netns exec r sysctl -qw net.ipv4.icmp_ratemask=6168 net.ipv4.icmp_ratelimit=60000")
            outcomes = small.probe(*[PingRequest("a", UNREACHABLE) for _ in range(20)])
        silent = [outcome for outcome in outcomes if outcome.result == "silence"]
        assert silent, "the limit let every error pass"
        assert all(outcome.rate_limited for outcome in silent)
        assert not any(outcome.rate_limited for outcome in outcomes if outcome.result != "silence")

    def test_silence_without_a_limit_is_silence(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            assert not small.one(PingRequest("a", BLACKHOLE)).rate_limited


class TestNat:
    MASQUERADE = (
        "ip netns exec r nft 'table ip nat { chain p { type nat hook postrouting priority 100; oifname rb masquerade fully-random; }; }'"
    )

    TRANSLATE = (
        "ip netns exec r nft 'table ip nat { chain p { type nat hook prerouting priority -100; "
        "meta l4proto { tcp, udp } th dport 80 dnat to 10.0.2.2:8080; }; }'"
    )

    @observed
    def test_a_masqueraded_probe_is_known_and_seen_as_the_router(self, sandbox: Sandbox, bpf: bool) -> None:
        with small_network(sandbox, bpf=bpf) as small:
            small.run(self.MASQUERADE)
            outcomes = small.probe(
                *[kind for _ in range(5) for kind in (PingRequest("a", B), TcpRequest("a", B, 8080), UdpRequest("a", B, 8080))]
            )
        assert {outcome.result for outcome in outcomes} == {"reply"}
        assert {str(outcome.seen_as) for outcome in outcomes} == {"10.0.2.1"}
        assert all("b:eth0" in outcome.interfaces("request") for outcome in outcomes)

    def test_an_error_about_a_masqueraded_packet_comes_to_its_probe(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            small.run(self.MASQUERADE)
            outcome = small.one(UdpRequest("a", B, 82))
        assert outcome.result == "refused"
        assert "a:eth0" in outcome.interfaces("icmp-error")

    def test_a_translated_destination_keeps_the_request_a_request(self, sandbox: Sandbox) -> None:
        with small_network(sandbox) as small:
            small.run(self.TRANSLATE)
            tcp, udp = small.probe(TcpRequest("a", UNREACHABLE, 80), UdpRequest("a", UNREACHABLE, 80))
        assert (tcp.result, udp.result) == ("reply", "reply")
        assert "b:eth0" in tcp.interfaces("request")
        assert "b:eth0" in udp.interfaces("request")
        assert (tcp.seen_as, udp.seen_as) == (A, A)


def test_what_went_on_before_is_none_of_its_business(sandbox: Sandbox) -> None:
    with small_network(sandbox) as small:
        small.run("ip netns exec a ping -c 2 -i 0.01 10.0.2.2")
        outcome = small.one(PingRequest("a", B))
    assert len(outcome.sightings) == 8


def test_an_observer_that_missed_packets_says_so_with_every_outcome(sandbox: Sandbox) -> None:
    class Blinking:
        """The observer, which misses one packet each time it is asked."""

        def __init__(self, real: object) -> None:
            self._real, self._missed = real, 0

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        @property
        def lost(self) -> int:
            self._missed += 1
            return self._missed

    with small_network(sandbox) as small:
        assert not small.one(PingRequest("a", B)).incomplete
        small.prober.observer = Blinking(small.observer)  # type: ignore[assignment]
        assert small.one(PingRequest("a", B)).incomplete


def test_it_knows_that_the_machine_had_no_room_for_neighbours(sandbox: Sandbox) -> None:
    """As if: to fill the table, which is the whole machine's, would hurt others."""
    with small_network(sandbox) as small:
        small.prober.read_overflows = count().__next__
        assert small.one(PingRequest("a", BLACKHOLE)).neighbour_table_full
        assert not small.one(PingRequest("a", B)).neighbour_table_full
        small.prober.read_overflows = lambda: 3
        assert not small.one(PingRequest("a", BLACKHOLE)).neighbour_table_full
