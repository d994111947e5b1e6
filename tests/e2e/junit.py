"""What a JUnit report may contain: the common structure that Jenkins, GitLab and others read (Jenkins' junit-10.xsd)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element


@dataclass(frozen=True)
class Rule:
    """An element: its attributes, those of them that must be there, and its children, of which at most one may be a verdict."""

    attributes: frozenset[str]
    required: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()


def _rule(attributes: str, required: str = "", children: str = "") -> Rule:
    return Rule(frozenset(attributes.split()), frozenset(required.split()), frozenset(children.split()))


RULES = {
    "testsuites": _rule("name time tests failures disabled errors skipped", children="testsuite"),
    "testsuite": _rule(
        "name tests failures errors time disabled skipped timestamp hostname id package",
        "name tests",
        "properties testcase system-out system-err",
    ),
    "testcase": _rule("name assertions time classname status", "name", "skipped error failure system-out system-err"),
    "failure": _rule("type message"),
    "error": _rule("type message"),
    "skipped": _rule("message"),
}
NUMBERS = frozenset({"tests", "failures", "errors", "skipped", "disabled"})
COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def mistakes(element: Element, path: str = "") -> Iterator[str]:
    """Everything about an element, and what is in it, that a reader of JUnit reports might stumble over."""
    here = f"{path}/{element.tag}"
    rule = RULES.get(element.tag)
    if rule is None:
        yield f"{here}: no such element"
        return
    yield from (f"{here}: no attribute {name}" for name in element.attrib.keys() - rule.attributes)
    yield from (f"{here}: {name} is missing" for name in rule.required - element.attrib.keys())
    yield from (f"{here}: {child.tag} may not be in it" for child in element if child.tag not in rule.children)
    yield from (f"{here}: {name} is no number" for name in NUMBERS & element.attrib.keys() if not element.attrib[name].isdigit())
    if "time" in element.attrib and float(element.attrib["time"]) < 0:
        yield f"{here}: time runs backwards"
    cases = list(element.iter("testcase"))
    if element.tag != "testcase" and "tests" in element.attrib and int(element.attrib["tests"]) != len(cases):
        yield f"{here}: says {element.attrib['tests']} tests and has {len(cases)}"
    for attribute, tag in COUNTED.items():
        found = sum(case.find(tag) is not None for case in cases)
        if attribute in element.attrib and int(element.attrib[attribute]) != found:
            yield f"{here}: says {element.attrib[attribute]} {attribute} and has {found}"
    if element.tag == "testcase" and sum(child.tag in ("failure", "error", "skipped") for child in element) > 1:
        yield f"{here}: two verdicts"
    for child in element:
        yield from mistakes(child, here)
