"""What an expectation makes of what was seen: held, failed, or not to be told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any, ClassVar

import pytest

from lab.scenario.questions import Memory, questions, seen_in_words
from lab.scenario.result import Status
from tests.scenario.outcomes import (
    cast,
    dns,
    expectation,
    http,
    judged,
    lost_at,
    ping,
    seen_at,
    sighting,
    status,
    tcp,
    traceroute,
    unreachable,
)

HELD, FAILED, UNDECIDED = Status.HELD, Status.FAILED, Status.UNDECIDED
PAIR: dict[str, Any] = {"from": ["c1-w1-a"], "to": ["c2-w1-a"]}


class TestWhatTheSenderSees:
    def test_a_reply_where_a_reply_is_expected(self) -> None:
        assert status(ping("reply"), ping=PAIR) is HELD

    @pytest.mark.parametrize("result", ["refused", "unreachable", "silence", "error"])
    def test_anything_else_is_no_reply(self, result: str) -> None:
        assert status(ping(result), ping=PAIR) is FAILED

    def test_the_right_error_from_somebody_else(self) -> None:
        entry = {**PAIR, "result": "unreachable", "icmp_source": "10.128.11.126"}
        assert status(ping("unreachable", **unreachable()), ping=entry) is HELD
        assert status(ping("unreachable", **unreachable("172.18.1.1")), ping=entry) is FAILED
        assert status(ping("unreachable"), ping=entry) is FAILED

    def test_another_error_from_the_right_one(self) -> None:
        entry = {**PAIR, "result": "unreachable", "icmp": "host-unreachable"}
        assert status(ping("unreachable", **unreachable(code=1)), ping=entry) is HELD
        assert status(ping("unreachable", **unreachable(code=0)), ping=entry) is FAILED

    def test_the_ttl_of_the_answer(self) -> None:
        assert status(ping(ttl=60), ping={**PAIR, "ttl": 60}) is HELD
        assert judged(ping(ttl=61), ping={**PAIR, "ttl": 60}).detail == "TTL 61, expected 60"

    def test_the_number_of_the_error(self) -> None:
        entry = {**PAIR, "result": "unreachable", "errno": "EHOSTUNREACH"}
        assert status(tcp("unreachable", errno=113), tcp=entry) is HELD
        assert judged(tcp("unreachable", errno=101), tcp=entry).detail == "connect failed with ENETUNREACH, expected EHOSTUNREACH"

    def test_the_hops_of_a_traceroute(self) -> None:
        entry = {**PAIR, "hops": ["172.18.1.3", "*", "10.128.11.126"]}
        assert status(traceroute("172.18.1.3", "*", "10.128.11.126"), traceroute=entry) is HELD
        assert status(traceroute("172.18.1.3", "10.128.11.126"), traceroute=entry) is FAILED


class TestWhomTheReceiverSees:
    @pytest.mark.parametrize(
        ("seen_as", "source"),
        [
            ("sender", "10.46.247.65"),
            ("node", "172.18.1.3"),
            ("another", "172.18.2.2"),
            ("10.42.136.192", "10.42.136.192"),
            ("{node}:vxlan.calico", "10.46.247.64"),
            ("c2-gw:vxlan-tunnel", "241.18.2.2"),
        ],
    )
    def test_it_may_be_said_in_many_ways(self, seen_as: str, source: str) -> None:
        entry = {**PAIR, "seen_as": seen_as}
        assert status(ping(seen_as=ip_address(source)), ping=entry) is HELD
        assert status(ping(seen_as=ip_address("10.46.247.65" if seen_as == "another" else "192.0.2.1")), ping=entry) is FAILED
        assert status(ping(), ping=entry) is FAILED

    def test_a_device_without_an_address_is_a_mistake_that_shows(self) -> None:
        assert "has no address in this phase" in judged(ping(), ping={**PAIR, "seen_as": "c2-gw:nothing"}).detail


class TestTheWay:
    def test_every_interface_it_crosses_must_have_been_seen(self) -> None:
        entry = {**PAIR, "crosses": ["{node}:eth0", "c2-*:eth0"]}
        assert status(ping(sightings=seen_at("c1-w1-a:eth0", "c1-w1:eth0", "c2-gw:eth0")), ping=entry) is HELD
        assert judged(ping(sightings=seen_at("c1-w1-a:eth0", "c1-w1:eth0")), ping=entry).detail == "the request was not seen on c2-*:eth0"

    def test_the_answers_way_is_not_the_requests(self) -> None:
        entry = {**PAIR, "reply_crosses": ["{peer_gateway}:eth0"]}
        assert status(ping(sightings=seen_at("c1-w1-a:eth0", "c2-gw:eth0")), ping=entry) is FAILED
        there = (*seen_at("c1-w1-a:eth0"), *seen_at("c2-gw:eth0", part="answer"))
        assert status(ping(sightings=there), ping=entry) is HELD

    def test_where_it_got_lost(self) -> None:
        entry = {**PAIR, "result": "silence", "lost_at": "{peer_node}:vxlan.calico"}
        assert status(ping("silence", **lost_at("c2-w1:vxlan.calico")), ping=entry) is HELD
        assert judged(ping("silence", **lost_at("c2-gw:eth0")), ping=entry).detail == "lost at c2-gw:eth0, expected c2-w1:vxlan.calico"
        assert status(ping("silence"), ping=entry) is FAILED


class TestAbsence:
    """Nothing counts as absent that could not have been seen."""

    ENTRY: ClassVar[dict[str, Any]] = {**PAIR, "result": "unreachable", "never_crosses": ["*:vx-submariner"]}

    @staticmethod
    def remembering(outcome: Any) -> Memory:
        memory = Memory()
        memory.learn(outcome)
        return memory

    def test_it_holds_once_such_a_probe_was_seen_there(self) -> None:
        memory = self.remembering(ping(sightings=seen_at("c1-w1-a:eth0", "c1-w2:vx-submariner")))
        assert judged(ping("unreachable"), memory=memory, ping=self.ENTRY).status is HELD

    def test_it_fails_when_seen_there_now(self) -> None:
        memory = self.remembering(ping(sightings=seen_at("c1-w1:vx-submariner")))
        now = ping("unreachable", sightings=seen_at("c1-w1-a:eth0", "c1-w1:vx-submariner"))
        assert judged(now, memory=memory, ping=self.ENTRY).status is FAILED

    def test_without_a_control_nobody_knows(self) -> None:
        finding = judged(ping("unreachable"), ping=self.ENTRY)
        assert finding.status is UNDECIDED
        assert "no such probe was ever seen on *:vx-submariner" in finding.detail

    def test_another_kind_of_probe_is_no_control(self) -> None:
        memory = self.remembering(tcp(sightings=seen_at("c1-w1:vx-submariner")))
        assert judged(ping("unreachable"), memory=memory, ping=self.ENTRY).status is UNDECIDED

    def test_a_probe_that_was_not_seen_to_leave_shows_nothing(self) -> None:
        memory = self.remembering(ping(sightings=seen_at("c1-w1:vx-submariner")))
        finding = judged(ping("unreachable", sightings=()), memory=memory, ping=self.ENTRY)
        assert finding.status is UNDECIDED
        assert "not seen to leave its sender" in finding.detail

    def test_silence_counts_only_of_what_was_sent(self) -> None:
        entry = {**PAIR, "result": "silence"}
        assert status(ping("silence"), ping=entry) is HELD
        assert status(ping("silence", sightings=()), ping=entry) is UNDECIDED
        assert status(ping("silence", sightings=seen_at("c1-gw:eth0")), ping=entry) is UNDECIDED

    def test_a_router_that_withholds_errors_makes_silence_undecided(self) -> None:
        assert status(ping("silence", rate_limited=True), ping={**PAIR, "result": "silence"}) is UNDECIDED

    def test_a_machine_without_room_for_neighbours_decides_nothing(self) -> None:
        assert status(ping("silence", neighbour_table_full=True), ping={**PAIR, "result": "silence"}) is UNDECIDED
        assert status(ping("unreachable", neighbour_table_full=True), ping=PAIR) is UNDECIDED

    def test_packets_that_the_lab_missed_make_absence_undecided_and_the_way_too(self) -> None:
        assert status(ping("silence", incomplete=True), ping={**PAIR, "result": "silence"}) is UNDECIDED
        assert status(ping(incomplete=True), ping={**PAIR, "crosses": ["c1-gw:eth0"]}) is UNDECIDED
        assert status(ping("silence", incomplete=True), ping=PAIR) is FAILED  # what the sender sees, it sees

    def test_no_answer_to_http_counts_only_of_a_request(self) -> None:
        entry = {"from": ["c1-w1-a"], "url": "http://www.example.com/", "status": None}
        assert status(http("silence"), http=entry) is HELD
        assert status(http("error", sightings=()), http=entry) is UNDECIDED
        assert status(http(status=200), http=entry) is FAILED


class TestCounters:
    ENTRY: ClassVar[dict[str, Any]] = {**PAIR, "counter": {"node": "c2-w1", "name": "IPReversePathFilter", "change": 1}}

    @pytest.mark.parametrize(("moved", "expected"), [(1, HELD), (0, FAILED), (2, FAILED)])
    def test_it_moves_by_exactly_so_much(self, moved: int, expected: Status) -> None:
        assert judged(ping(), moved={"TcpExtIPReversePathFilter": moved}, ping=self.ENTRY).status is expected

    def test_one_that_is_not_there_has_not_moved_by_nothing(self) -> None:
        finding = judged(ping(), moved={}, ping={**PAIR, "counter": {"node": "c2-w1", "name": "IPReversePathFilter", "change": 0}})
        assert finding.status is FAILED
        assert "is no counter" in finding.detail


class TestHttp:
    ENTRY: ClassVar[dict[str, Any]] = {"from": ["c1-w1-a"], "url": "http://www.example.com/"}

    def test_its_status(self) -> None:
        assert status(http(status=200), http=self.ENTRY) is HELD
        assert status(http(status=503), http=self.ENTRY) is FAILED
        assert status(http("silence"), http=self.ENTRY) is FAILED

    def test_whether_a_proxy_was_asked(self) -> None:
        proxied, direct = http(status=200, peer=("10.128.11.80", 3128)), http(status=200, peer=("203.0.113.254", 80))
        assert status(proxied, http={**self.ENTRY, "via_proxy": True}) is HELD
        assert status(direct, http={**self.ENTRY, "via_proxy": True}) is FAILED
        assert status(proxied, http={**self.ENTRY, "via_proxy": False}) is FAILED
        assert status(direct, http={**self.ENTRY, "via_proxy": False}) is HELD

    def test_whom_the_server_says_it_saw(self) -> None:
        said = http(status=200, body='{"served_by": "c2-w1-a", "client": "10.46.247.65"}')
        assert status(said, http={**self.ENTRY, "seen_as": "sender"}) is HELD
        assert status(said, http={**self.ENTRY, "seen_as": "node"}) is FAILED
        assert status(http(status=200, body="hello"), http={**self.ENTRY, "seen_as": "sender"}) is FAILED


class TestDns:
    ENTRY: ClassVar[dict[str, Any]] = {"from": ["c1-w1-a"], "name": "nginx.default.svc.clusterset.local"}

    def test_what_is_answered(self) -> None:
        right = dns(rcode="NOERROR", answers=(ip_address("10.43.0.100"),))
        assert status(right, dns={**self.ENTRY, "answers": ["service/nginx"]}) is HELD
        assert status(right, dns={**self.ENTRY, "answers": ["10.43.0.100"]}) is HELD
        assert status(right, dns={**self.ENTRY, "answers": ["service/web-1"]}) is FAILED
        assert status(right, dns=self.ENTRY) is HELD

    def test_a_name_without_an_address(self) -> None:
        empty = dns(rcode="NOERROR")
        assert status(empty, dns={**self.ENTRY, "answers": []}) is HELD
        assert status(empty, dns={**self.ENTRY, "answers": ["service/nginx"]}) is FAILED
        assert status(dns(rcode="NOERROR", answers=(ip_address("10.43.0.100"),)), dns={**self.ENTRY, "answers": []}) is FAILED

    def test_a_name_that_does_not_exist(self) -> None:
        assert status(dns(rcode="NXDOMAIN"), dns={**self.ENTRY, "rcode": "NXDOMAIN"}) is HELD
        assert status(dns(rcode="NXDOMAIN"), dns=self.ENTRY) is FAILED

    def test_no_answer_counts_only_of_a_question(self) -> None:
        entry = {**self.ENTRY, "rcode": None}
        assert status(dns("silence", sightings=seen_at("c1-w1-a:eth0")), dns=entry) is HELD
        assert status(dns("silence"), dns=entry) is UNDECIDED
        assert status(dns(rcode="SERVFAIL"), dns=entry) is FAILED


class TestWhoIsAsked:
    def test_every_pair_is_and_nobody_asks_itself(self) -> None:
        asked = [q.subject for q in questions(expectation(ping={"from": ["c1-w?-a"], "to": ["c1-w?-a", "c2-gw-a"]}).body, cast())]
        assert asked == ["c1-w1-a -> c1-w2-a", "c1-w1-a -> c2-gw-a", "c1-w2-a -> c1-w1-a", "c1-w2-a -> c2-gw-a"]

    def test_a_service_is_asked_at_its_address(self) -> None:
        (question,) = questions(expectation(tcp={"from": ["c1-w1-a"], "to": ["service/nginx"], "port": 80}).body, cast())
        assert (str(question.request.target), question.request.port) == ("10.43.0.100", 80)  # type: ignore[union-attr]
        assert question.subject == "c1-w1-a -> service/nginx"

    def test_an_address_may_be_anybodys(self) -> None:
        (question,) = questions(expectation(ping={"from": ["c1-w1-a"], "to": ["192.0.2.1"]}).body, cast())
        assert str(question.request.target) == "192.0.2.1"  # type: ignore[union-attr]


class TestInWords:
    def test_silence_says_where_and_by_whose_word(self) -> None:
        outcome = ping("silence", **lost_at("c2-w1:vxlan.calico"))
        assert outcome.loss is not None
        assert seen_in_words(outcome) == "silence; the request was last seen at c2-w1:vxlan.calico"
        told = replace(outcome, loss=replace(outcome.loss, reason="IP_RPFILTER"))
        assert seen_in_words(told).endswith("(IP_RPFILTER)")

    def test_an_error_says_whose(self) -> None:
        assert seen_in_words(ping("unreachable", **unreachable())) == "host-unreachable from 10.128.11.126"

    def test_sightings_know_what_left(self) -> None:
        assert ping(sightings=(sighting("c1-w1-a:eth0"),)).sent
        assert not ping(sightings=(sighting("c1-w1-a:eth0", "answer"),)).sent
