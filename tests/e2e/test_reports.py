"""What a machine reads of a run: JSON and JUnit, of one that holds, one that fails, and one that cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lab.testing import Answer
from tests.e2e.command import lab
from tests.e2e.junit import mistakes

pytestmark = pytest.mark.e2e

SCENARIO = """\
scenario: mixed
title: "Held, failed & <undecided>"
topology: two-single-node-clusters
phases:
  joined:
    events:
      - join: {cluster: cluster-1, clustercidr: 10.46.0.0/16, servicecidr: 10.45.0.0/16}
      - join: {cluster: cluster-2, clustercidr: 10.42.0.0/16, servicecidr: 10.43.0.0/16}
    expect:
      - ping: {from: [c1-a], to: [c2-a]}
        because: it should
      - ping: {from: [c1-a], to: [c2-a], result: silence}
      - ping: {from: [c1-a], to: [c2-a], never_crosses: ["c2-node:vxlan.calico"]}
      - log: {cluster: cluster-1, contains: "no <such> & \\"line\\""}
"""
HELD, FAILED, UNDECIDED, LOG = 10, 12, 13, 14
"""The lines the four expectations stand on."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mixed") / "mixed.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="module")
def ran(file: Path) -> Answer:
    return lab("run", str(file), "--json", "--junit", str(file.with_suffix(".xml")))


@pytest.fixture(scope="module")
def junit(ran: Answer, file: Path) -> ElementTree.Element:
    return ElementTree.parse(file.with_suffix(".xml")).getroot()


def test_a_failure_counts_for_more_than_doubt(ran: Answer) -> None:
    assert ran.code == 1
    assert ran.json["exit_code"] == 1


def test_doubt_alone_is_no_pass(tmp_path: Path) -> None:
    file = tmp_path / "doubtful.yaml"
    lines = SCENARIO.splitlines(keepends=True)
    file.write_text("".join(line for number, line in enumerate(lines, 1) if number not in (FAILED, LOG)))
    done = lab("run", str(file), "--json")
    assert done.code == 4
    assert done.json["conclusion"] == "something could not be found out"


def test_the_json_says_of_each_expectation_what_became_of_it_and_where_it_stands(ran: Answer, file: Path) -> None:
    (phase,) = ran.json["phases"]
    told = [(e["status"], e["place"]["line"], e["place"]["file"]) for e in phase["expectations"]]
    assert told == [
        ("held", HELD, str(file)),
        ("failed", FAILED, str(file)),
        ("undecided", UNDECIDED, str(file)),
        ("failed", LOG, str(file)),
    ]
    assert phase["expectations"][0]["because"] == "it should"


def test_the_json_shows_the_way_of_a_probe(ran: Answer) -> None:
    (phase,) = ran.json["phases"]
    probe: dict[str, Any] = phase["expectations"][0]["findings"][0]["probe"]
    assert probe["result"] == "reply"
    assert probe["ttl"] == 62
    assert probe["request_path"][0] == "c1-a:eth0"
    assert probe["request_path"][-1] == "c2-a:eth0"
    assert probe["answer_path"][-1] == "c1-a:eth0"


def test_the_json_stands_alone_on_standard_output_and_progress_on_the_other(ran: Answer) -> None:
    assert ran.out.startswith("{")
    assert "joined" in ran.err


def test_the_junit_report_is_what_its_readers_expect(junit: ElementTree.Element) -> None:
    assert list(mistakes(junit)) == []


def test_the_junit_report_tells_failure_from_doubt(junit: ElementTree.Element) -> None:
    assert [(root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) for root in (junit, junit[0])] == [("4", "2", "1")] * 2
    verdicts = [[child.tag for child in case] for case in junit.iter("testcase")]
    assert verdicts == [[], ["failure"], ["error"], ["failure"]]


def test_the_junit_report_names_the_line_and_survives_any_text(junit: ElementTree.Element, file: Path) -> None:
    failures = list(junit.iter("failure"))
    assert [f"expected at {file}:{line}:" in (failure.text or "") for failure, line in zip(failures, (FAILED, LOG), strict=True)] == [
        True,
        True,
    ]
    assert 'no <such> & "line"' in list(junit.iter("testcase"))[3].attrib["name"]


def test_a_checker_that_finds_nothing_can_find_something() -> None:
    broken = ElementTree.fromstring(
        '<testsuites tests="2" color="red"><testsuite><testcase/><testcase name="x"><failure/><error/></testcase></testsuite></testsuites>'
    )
    assert len(list(mistakes(broken))) == 5


def test_several_runs_are_one_report(file: Path, tmp_path: Path) -> None:
    report = tmp_path / "both.xml"
    done = lab("run", str(file), "flagship-variants#detected-directly", "-q", "--junit", str(report))
    root = ElementTree.parse(report).getroot()
    assert list(mistakes(root)) == []
    assert [suite.attrib["name"] for suite in root] == ["mixed.joined", "flagship-variants-detected-directly.broken"]
    assert done.code == 1
