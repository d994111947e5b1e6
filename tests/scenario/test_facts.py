"""Expectations about state, judged on the flagship's broken phase as it is computed."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from lab.scenario.facts import Moved, added_to_logs, judge_fact
from lab.scenario.result import Finding, Status
from tests.scenario.outcomes import cast, expectation

HELD, FAILED, UNDECIDED = Status.HELD, Status.FAILED, Status.UNDECIDED
NOTHING = Moved({}, {})
LOG = ("proxy", "tinyproxy", "access.log")


def judge(phase: str = "broken", moved: Moved = NOTHING, **entry: Any) -> list[Finding]:
    return list(judge_fact(expectation(**entry).body, cast(phase), moved))


def status(phase: str = "broken", **entry: Any) -> Status:
    """What becomes of an entry that is about one thing."""
    (finding,) = judge(phase, **entry)
    return finding.status


class TestRoutes:
    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ({"to": "10.42.0.0/24"}, HELD),
            ({"to": "10.42.0.0/24", "device": "vx-submariner", "via": "240.18.1.2"}, HELD),
            ({"to": "10.42.0.0/24", "via": "240.18.1.9"}, FAILED),
            ({"to": "10.42.0.0/16"}, FAILED),
            ({"to": "10.42.0.0/16", "present": False}, HELD),
            ({"to": "10.42.0.0/24", "present": False}, FAILED),
            ({"to": "10.42.0.0/24", "table": 100}, FAILED),
            ({"to": "default", "via": "172.18.1.1"}, HELD),
        ],
    )
    def test_what_is_stated_of_one_must_fit(self, entry: dict[str, Any], expected: Status) -> None:
        assert status(route={"on": ["c1-w1"], **entry}) is expected

    def test_each_node_is_judged_by_itself(self) -> None:
        assert [finding.subject for finding in judge(route={"on": ["c1-w?"], "to": "default"})] == ["c1-w1", "c1-w2"]

    def test_one_that_is_there_is_shown_where_none_was_wanted(self) -> None:
        (finding,) = judge(route={"on": ["c1-w1"], "to": "10.42.0.0/24", "present": False})
        assert finding.detail == "10.42.0.0/24 via 240.18.1.2 dev vx-submariner; expected none"

    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ({"on": ["c1-gw"], "table": 150, "destinations": []}, HELD),
            ({"on": ["c1-gw"], "table": 100, "destinations": ["10.42.0.0/24", "10.43.0.0/16"]}, HELD),
            ({"on": ["c1-gw"], "table": 100, "destinations": ["10.43.0.0/16"]}, FAILED),
            ({"on": ["c1-gw"], "table": 100, "destinations": []}, FAILED),
            ({"on": ["c1-w1"], "device": "eth0", "destinations": ["default", "172.18.1.0/24"]}, HELD),
        ],
    )
    def test_a_table_leads_exactly_there(self, entry: dict[str, Any], expected: Status) -> None:
        assert status(table=entry) is expected

    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ({"priority": 150, "table": 150}, HELD),
            ({"priority": 150, "table": 100}, FAILED),
            ({"priority": 151}, FAILED),
            ({"priority": 151, "present": False}, HELD),
            ({"priority": 150, "source": "10.46.0.0/16"}, FAILED),
        ],
    )
    def test_rules(self, entry: dict[str, Any], expected: Status) -> None:
        assert status(rule={"on": ["c1-gw"], **entry}) is expected


class TestNft:
    RULES = ("jump cali-POSTROUTING", "jump SUBMARINER-POSTROUTING", "jump KUBE-POSTROUTING")

    def test_a_chain_is_its_rules_in_order(self) -> None:
        entry = {"on": ["c1-w1"], "table": "nat", "chain": "POSTROUTING"}
        assert status(chain={**entry, "rules": self.RULES}) is HELD
        assert status(chain={**entry, "rules": self.RULES[::-1]}) is FAILED
        assert status(chain={**entry, "rules": self.RULES[:2]}) is FAILED

    def test_a_chain_that_is_not_there_is_not_empty(self) -> None:
        assert status(chain={"on": ["c1-w1"], "table": "nat", "chain": "NO-SUCH", "rules": []}) is FAILED

    def test_a_set_is_its_elements_however_they_are_cut(self) -> None:
        entry = {"on": ["c1-w1"], "table": "mangle", "name": "SUBMARINER-LOCALCIDRS"}
        assert status(set={**entry, "elements": ["10.46.0.0/24", "10.45.0.0/16"]}) is HELD
        assert status(set={**entry, "elements": ["10.45.0.0/17", "10.45.128.0/17", "10.46.0.0/24"]}) is HELD
        assert status(set={**entry, "elements": ["10.45.0.0/16"]}) is FAILED
        assert status(set={**entry, "name": "NO-SUCH", "elements": []}) is FAILED


def test_a_sysctl_that_is_not_stated_has_no_value() -> None:
    assert status(sysctl={"on": ["c1-w1"], "name": "net/ipv4/conf/vxlan.calico/rp_filter", "value": 1}) is HELD
    assert status(sysctl={"on": ["c1-w1"], "name": "net/ipv4/conf/vxlan.calico/rp_filter", "value": 2}) is FAILED
    assert status(sysctl={"on": ["c1-w1"], "name": "net/ipv4/conf/nothing/rp_filter", "value": 0}) is FAILED


class TestLogs:
    AGENT: ClassVar[dict[str, Any]] = {
        "cluster": "cluster-1",
        "component": "submariner-routeagent",
        "contains": "unable to find CNI Interface",
    }

    def test_a_line_is_looked_for_on_every_node_that_is_named(self) -> None:
        assert [(f.subject, f.status) for f in judge(log={**self.AGENT, "node": "c1-*"})] == [
            ("c1-gw", HELD),
            ("c1-w1", HELD),
            ("c1-w2", HELD),
        ]
        assert [f.status for f in judge(log={**self.AGENT, "node": "c1-*", "present": False})] == [FAILED] * 3

    def test_a_node_that_is_not_there_has_no_log(self) -> None:
        assert status(log={**self.AGENT, "node": "c2-?", "present": False}) is FAILED

    def test_what_a_silent_component_did_not_say_shows_nothing(self) -> None:
        assert status(log={**self.AGENT, "component": "submariner-rotueagent", "present": False}) is UNDECIDED
        assert status(log={**self.AGENT, "contains": "something else", "present": False}) is HELD

    @pytest.mark.parametrize(
        ("written", "present", "expected"),
        [
            ("GET http://www.example.com/\n", True, HELD),
            ("CONNECT\n", True, FAILED),
            ("CONNECT\n", False, HELD),
            ("GET http://www.example.com/\n", False, FAILED),
            ("", True, FAILED),
            ("", False, UNDECIDED),
        ],
    )
    def test_what_a_program_wrote(self, written: str, present: bool, expected: Status) -> None:
        entry = {"on": ["proxy"], "program": "tinyproxy", "file": "access.log", "contains": "www.example.com", "present": present}
        (finding,) = judge(moved=Moved({}, {LOG: written}), program_log=entry)
        assert finding.status is expected

    def test_only_what_was_added_counts_unless_the_program_began_anew(self) -> None:
        assert added_to_logs({LOG: "old\n"}, {LOG: "old\nnew\n"}) == {LOG: "new\n"}
        assert added_to_logs({LOG: "old\n"}, {LOG: "new\n"}) == {LOG: "new\n"}


class TestObjects:
    def test_its_body_holds_at_least_what_is_stated(self) -> None:
        endpoint = {"cluster": "cluster-1", "kind": "Endpoint", "name": "cluster-2-*"}
        assert status(object={**endpoint, "has": {"spec": {"subnets": ["10.43.0.0/16", "10.42.0.0/24"]}}}) is HELD
        assert status(object={**endpoint, "has": {"spec": {"subnets": ["10.42.0.0/24", "10.43.0.0/16"]}}}) is FAILED
        assert status(object={**endpoint, "has": {"spec": {"subnets": ["10.43.0.0/16"]}}}) is FAILED
        assert status(object={**endpoint, "has": {"spec": {"no_such_key": ""}}}) is FAILED

    def test_what_differs_is_named(self) -> None:
        entry = {"cluster": "cluster-1", "kind": "Submariner", "name": "submariner", "has": {"status": {"clusterCIDR": "10.46.0.0/16"}}}
        (finding,) = judge(object=entry)
        assert finding.detail == "status.clusterCIDR is '10.46.0.0/24', expected '10.46.0.0/16'"

    def test_one_that_must_not_be_there(self) -> None:
        pool = {"cluster": "cluster-1", "kind": "IPPool", "present": False}
        assert status(object={**pool, "name": "submariner-cluster-2-10.42.0.0-16"}) is HELD
        assert status(object={**pool, "name": "submariner-*"}) is FAILED

    def test_a_kind_that_nobody_has_is_not_absent_but_misspelt(self) -> None:
        assert status(object={"cluster": "cluster-1", "kind": "IPPol", "name": "*", "present": False}) is UNDECIDED

    def test_one_that_is_missing_says_what_there_is(self) -> None:
        (finding,) = judge(object={"cluster": "cluster-1", "kind": "IPPool", "name": "default"})
        assert "default-ipv4-ippool" in finding.detail


class TestDiagnoses:
    def test_one_check(self) -> None:
        assert status(diagnose={"cluster": "cluster-1", "check": "detected-ranges", "status": "fail"}) is HELD
        assert status(diagnose={"cluster": "cluster-1", "check": "detected-ranges", "status": "pass"}) is FAILED
        assert status("healthy", diagnose={"cluster": "cluster-1", "check": "detected-ranges", "status": "pass"}) is HELD

    def test_what_it_says(self) -> None:
        entry = {"cluster": "cluster-1", "check": "detected-ranges", "status": "fail"}
        assert status(diagnose={**entry, "contains": "--clustercidr 10.46.0.0/16"}) is HELD
        assert status(diagnose={**entry, "contains": "--clustercidr 10.42.0.0/16"}) is FAILED

    def test_all_that_subctl_has(self) -> None:
        findings = judge(diagnose={"cluster": "cluster-1", "check": "*", "status": "not-fail"})
        assert len(findings) == 13
        assert {finding.status for finding in findings} == {HELD}
        assert "cluster-1: detected-ranges" not in {finding.subject for finding in findings}

    def test_one_that_does_not_exist(self) -> None:
        assert status(diagnose={"cluster": "cluster-1", "check": "no-such-check", "status": "pass"}) is FAILED


class TestCounters:
    MOVED = Moved({"c1-w1": {"TcpExtIPReversePathFilter": 0, "rule/egress-filter": 3}}, {})

    @pytest.mark.parametrize(
        ("name", "change", "expected"),
        [
            ("IPReversePathFilter", 0, HELD),
            ("IPReversePathFilter", 1, FAILED),
            ("IPReversePathFilter", "some", FAILED),
            ("rule/egress-filter", "some", HELD),
            ("rule/egress-filter", 3, HELD),
            ("IPReversePathFliter", 0, UNDECIDED),
        ],
    )
    def test_by_how_much_it_moved(self, name: str, change: int | str, expected: Status) -> None:
        (finding,) = judge(moved=self.MOVED, counter={"on": ["c1-w1"], "name": name, "change": change})
        assert finding.status is expected


def test_every_finding_that_fails_says_what_was_seen_and_what_was_expected() -> None:
    (finding,) = judge(sysctl={"on": ["c1-w1"], "name": "net/ipv4/ip_forward", "value": 0})
    assert finding.detail == "net/ipv4/ip_forward = 1; expected 0"
