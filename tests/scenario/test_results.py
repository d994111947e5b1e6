"""What a run as a whole comes to: its exit code, its one sentence, and what is compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.errors import ExitCode, Place
from lab.scenario.compare import Flow, compare_behaviour, compare_commands, flows, signature
from lab.scenario.result import Difference, Finding, PhaseResult, SameResult, ScenarioResult, Status, Verdict
from lab.scenario.words import in_words
from tests.scenario.outcomes import cast, expectation, lost_at, ping, seen_at

HELD, FAILED, UNDECIDED = Status.HELD, Status.FAILED, Status.UNDECIDED


def verdict(phase: str, *statuses: Status) -> Verdict:
    findings = tuple(Finding("x", status, "") for status in statuses)
    return Verdict(phase, "", "ping", "something", Place("x.yaml", 1), None, findings)


def result(same: SameResult | None = None, **phases: Status) -> ScenarioResult:
    """A run with one verdict per phase."""
    played = tuple(PhaseResult(name, "", (verdict(name, status),), 1) for name, status in phases.items())
    return ScenarioResult("s", "", "x.yaml", (), played, same, None, 1, rootless=False, sees_drops=True, fixed_phases=("fixed",))


SAME = SameResult("healthy", "fixed", 2, ())
DIFFERENT = replace(SAME, differences=(Difference("ping a -> b", "reply", "silence"),))


class TestVerdicts:
    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [((HELD,), HELD), ((HELD, UNDECIDED), UNDECIDED), ((UNDECIDED, FAILED, HELD), FAILED)],
    )
    def test_the_worst_finding_decides(self, statuses: tuple[Status, ...], expected: Status) -> None:
        assert verdict("p", *statuses).status is expected


class TestTheWholeRun:
    @pytest.mark.parametrize(
        ("run", "code", "conclusion"),
        [
            (result(SAME, healthy=HELD, broken=HELD, fixed=HELD), ExitCode.OK, "all expectations hold"),
            (
                result(SAME, healthy=FAILED, broken=HELD),
                ExitCode.EXPECTATION,
                "something else is broken: healthy, before anything was changed",
            ),
            (result(SAME, healthy=HELD, broken=FAILED), ExitCode.EXPECTATION, "the symptom was not reproduced: broken"),
            (result(None, broken=FAILED), ExitCode.EXPECTATION, "the symptom was not reproduced: broken"),
            (result(SAME, healthy=HELD, fixed=FAILED), ExitCode.EXPECTATION, "the fix failed: fixed"),
            (result(DIFFERENT, healthy=HELD, fixed=HELD), ExitCode.EXPECTATION, "fixed does not behave as healthy does"),
            (result(SAME, healthy=HELD, broken=UNDECIDED), ExitCode.INCONCLUSIVE, "something could not be found out"),
            (result(SAME, healthy=UNDECIDED, broken=FAILED), ExitCode.EXPECTATION, "the symptom was not reproduced: broken"),
        ],
    )
    def test_it_ends_with_a_code_and_a_sentence(self, run: ScenarioResult, code: ExitCode, conclusion: str) -> None:
        assert run.exit_code is code
        assert run.conclusion.startswith(conclusion)


class TestComparison:
    def test_what_differs_is_listed_and_what_is_missing_too(self) -> None:
        before = {"a": "reply", "b": "reply", "c": "reply"}
        same = compare_behaviour(("healthy", before), ("fixed", {"a": "reply", "b": "silence"}))
        assert same.flows == 3
        assert same.differences == (Difference("b", "reply", "silence"), Difference("c", "reply", "not there"))

    def test_every_pod_pair_and_every_service_is_a_flow(self) -> None:
        names = [flow.name for flow in flows(cast("healthy"))]
        pings, services = [n for n in names if n.startswith("ping")], [n for n in names if n.startswith("tcp")]
        assert (len(pings), len(services)) == (12 * 11, 12 * 2)
        assert len(set(names)) == len(names)

    def test_the_way_of_a_ping_is_part_of_how_it_behaves(self) -> None:
        flow = Flow("f", ping().request)
        one, other = (ping(sightings=seen_at("c1-w1-a:eth0", interface)) for interface in ("c1-w1:vx-submariner", "c1-w1:eth0"))
        assert signature(flow, one, cast()) != signature(flow, other, cast())
        assert signature(flow, one, cast()) == signature(flow, one, cast())

    def test_which_backend_a_service_picks_is_not(self) -> None:
        flow = Flow("f", ping().request, service="another cluster's")
        one, other = (ping(sightings=seen_at(interface)) for interface in ("c2-w1-a:eth0", "c2-gw-a:eth0"))
        assert signature(flow, one, cast()) == signature(flow, other, cast())

    def test_where_a_silent_probe_ended_is(self) -> None:
        flow = Flow("f", ping().request)
        one, other = (ping("silence", **lost_at(interface)) for interface in ("c2-w1:vxlan.calico", "edge-2:site-2"))
        assert signature(flow, one, cast()) != signature(flow, other, cast())

    def test_the_commands_lead_from_one_phase_to_the_other(self) -> None:
        commands = compare_commands(("broken", cast("broken").state), ("fixed", cast("fixed").state)).commands
        assert ("c1-w1", "ip route del 10.42.0.0/24 via 240.18.1.2 dev vx-submariner proto static") in commands
        assert compare_commands(("fixed", cast("fixed").state), ("fixed", cast("fixed").state)).commands == ()


class TestInWords:
    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ({"ping": {"from": ["a"], "to": ["b"], "ttl": 60}}, "ping a -> b: reply, ttl 60"),
            (
                {"ping": {"from": ["a"], "to": ["b"], "result": "unreachable", "icmp": "host-unreachable", "icmp_source": "192.0.2.1"}},
                "ping a -> b: host-unreachable from 192.0.2.1",
            ),
            ({"tcp": {"from": ["a"], "to": ["b"], "port": 80, "seen_as": "sender"}}, "tcp/80 a -> b: reply, seen as sender"),
            ({"udp": {"from": ["a"], "to": ["b"], "result": "silence", "lost_at": "c:eth0"}}, "udp/8080 a -> b: silence, lost at c:eth0"),
            ({"dns": {"from": ["a"], "name": "x.example", "rcode": "NXDOMAIN"}}, "a asks for x.example: NXDOMAIN"),
            ({"dns": {"from": ["a"], "name": "x.example", "answers": []}}, "a asks for x.example: NOERROR and no address"),
            ({"http": {"from": ["a"], "url": "http://x/", "via_proxy": True}}, "a GET http://x/: HTTP 200 by the proxy"),
            ({"http": {"from": ["a"], "url": "http://x/", "status": None}}, "a GET http://x/: no answer"),
            ({"route": {"on": ["a"], "to": "default", "present": False}}, "a: no route to default"),
            ({"table": {"on": ["a"], "table": 150, "destinations": []}}, "a: table 150 leads to nowhere"),
            ({"rule": {"on": ["a"], "priority": 150, "table": 150}}, "a: rule 150 lookup 150"),
            ({"set": {"on": ["a"], "table": "nat", "name": "s", "elements": ["10.0.0.0/8"]}}, "a: set nat s = 10.0.0.0/8"),
            ({"chain": {"on": ["a"], "table": "nat", "chain": "c", "rules": []}}, "a: chain nat c is: no rules"),
            ({"counter": {"on": ["a"], "name": "rule/x", "change": "some"}}, "a: rule/x moves"),
            ({"diagnose": {"cluster": "c", "check": "*", "status": "not-fail"}}, "diagnose c: every stock check is not-fail"),
            (
                {"program_log": {"on": ["p"], "program": "tinyproxy", "file": "access.log", "contains": "x", "present": False}},
                "p: no line with 'x' in tinyproxy's access.log",
            ),
        ],
    )
    def test_an_expectation_is_one_phrase(self, entry: dict[str, object], words: str) -> None:
        assert in_words(expectation(**entry).body) == words
