"""A run as JUnit XML: a test suite per phase, a test case per expectation; what CI systems read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from lab.scenario.result import PhaseResult, SameResult, ScenarioResult, Status, Verdict, names_of

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold at all (https://www.w3.org/TR/xml/#charsets)."""


def junit_xml(results: Sequence[ScenarioResult]) -> str:
    """Return runs as one JUnit document. An undecided expectation is an error: it says nothing about the network."""
    named = list(zip(names_of(results), results, strict=True))
    suites = [_suite(name, phase) for name, result in named for phase in result.phases]
    suites += [_comparison(name, result.same) for name, result in named if result.same is not None]
    return document(suites)


def document(suites: Sequence[ElementTree.Element]) -> str:
    """Return suites as one JUnit document."""
    root = ElementTree.Element("testsuites", counts([case for suite in suites for case in suite]) | {"name": "lab"})
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(scenario: str, phase: PhaseResult) -> ElementTree.Element:
    cases = [_case(f"{scenario}.{phase.name}", verdict) for verdict in phase.verdicts]
    name = {"name": clean(f"{scenario}.{phase.name}"), "time": f"{phase.duration_ns / 1e9:.3f}"}
    suite = ElementTree.Element("testsuite", name | counts(cases))
    suite.extend(cases)
    return suite


def _comparison(scenario: str, same: SameResult) -> ElementTree.Element:
    name = f"{scenario}.compare"
    case = ElementTree.Element("testcase", {"classname": clean(name), "name": f"{same.second} behaves as {same.first}", "time": "0"})
    if same.differences:
        text = "\n".join(f"{d.flow}: {d.before} | {d.after}" for d in same.differences)
        failure = ElementTree.SubElement(
            case, "failure", {"message": f"{len(same.differences)} of {same.flows} flows differ", "type": "compare"}
        )
        failure.text = clean(text)
    suite = ElementTree.Element("testsuite", {"name": clean(name), "time": "0"} | counts([case]))
    suite.append(case)
    return suite


def _case(classname: str, verdict: Verdict) -> ElementTree.Element:
    name = clean(f"{verdict.expected} (line {verdict.place.line})")
    took = max((finding.outcome.duration_ns for finding in verdict.findings if finding.outcome is not None), default=0)  # they ran at once
    case = ElementTree.Element("testcase", {"classname": clean(classname), "name": name, "time": f"{took / 1e9:.3f}"})
    if verdict.status is not Status.HELD:
        wrong = [finding for finding in verdict.findings if finding.status is not Status.HELD]
        kind = "failure" if verdict.status is Status.FAILED else "error"
        message = clean(f"{wrong[0].subject}: {wrong[0].detail}")
        element = ElementTree.SubElement(case, kind, {"message": message, "type": verdict.kind})
        element.text = clean("\n".join([f"{f.subject}: {f.detail}" for f in wrong] + [f"expected at {verdict.place}"]))
    return case


def counts(cases: Sequence[ElementTree.Element]) -> dict[str, str]:
    """Return how many of some test cases failed, as attributes of their suite."""
    return {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": "0",
    }


def clean(text: str) -> str:
    """Return a text without what XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
