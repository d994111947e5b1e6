"""The library of incidents: every one is reproduced, explained and cured, from its files alone."""

from __future__ import annotations

import ast
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from lab.spec import open_scenarios
from lab.spec.yaml import read_yaml
from lab.testing import Answer
from tests.e2e.command import FLAGSHIP, SCENARIOS, VARIANTS, differently, lab

pytestmark = pytest.mark.e2e

ROOT = SCENARIOS.parent
INCIDENTS = sorted(set(SCENARIOS.glob("*.yaml")) - {FLAGSHIP, VARIANTS})
ADDRESS = r"\d+\.\d+\.\d+\.\d+(?:/\d+)?"
PUBLISHED = [file for file in INCIDENTS if "fault-kinds" not in file.stem]
SECTIONS = ["Who it hits", "What one sees", "Cause", "Cure", "How to recognise it", "What the lab leaves out, or chose"]
CURES = {("k8s-20475", "without-bridge-rules"), ("k8s-74839", "liberal")}
"""Phases that show another cure, so that what holds in them holds in a healthy network as well."""
NAMED = {
    "calico-2457 broken": "route blackhole 10.96.0.0/23 in node-2",
    "calico-3194 broken": "BGP speaker 172.18.0.1 AS 64512 with nobody in node-1",
    "calico-3246 broken": "route blackhole 10.192.79.128/26 in node-1",
    "calico-7183 broken": "IPPool default-ipv6-ippool in k8s-1",
    "calico-4662 broken": "rule 30400: from 192.168.10.11/32 lookup 30400 in node-1",
    "calicoctl-2149 broken": "IPPool default-pool 192.168.0.0/16 in node-1",
    "firewalld-594 broken": "nft chain ip6 filter INPUT: policy drop in nginx",
    "firewalld-594 outgoing": "nft chain ip6 filter INPUT: policy drop in nginx",
    "flannel-vagrant broken": "FDB entry 02:38:85:89:9f:2b dev flannel.1 dst 10.0.2.15 in vm-1",
    "k8s-20475 broken": "link vetha7a3e029 mtu 1450 in node-1",
    "k8s-40182 broken": "nft chain ip filter FORWARD: policy drop in node-1",
    "k8s-48370 broken": "tracked connection udp 10.96.0.101:53 without translation in node-1",
    "k8s-74839 broken": "no nft rule ct state invalid drop in node-1",
    "kops-710 broken": "route 172.17.0.0/16 dev docker0 in node-1",
    "kube-router-685 broken": "nft rule ip forwarding forward: ip daddr 10.104.10.66 meta l4proto icmp counter drop "
    'comment "no-other-icmp" in sw-servers',
    "light-1602 broken": "no DNS zone clusterset.local in cluster-1-dns",
    "metallb-123 broken": "neighbour 192.0.2.100 dev lan lladdr 02:41:c3:ae:41:6b in router",
    "metallb-533 broken": "route default via 10.45.0.1 dev eth0 in node",
    "moby-37823 broken": "route 192.168.0.0/20 dev br-compose in node-1",
    "subm-1583 broken": "nft rule ip nat FLANNEL-POSTRTG: ip saddr 10.44.0.0/16 ip daddr != 224.0.0.0/4 "
    "counter masquerade fully-random in a-2",
    "subm-2121 broken": "nft chain ip filter FORWARD: policy drop in c1-gw",
    "subm-2305 broken": "no nft rule dnat of 242.1.0.9 in c2-gw",
    "subm-2841 at-the-switch": 'nft rule ip forwarding forward: udp dport 4800 counter drop comment "no-4800" in sw-site-1',
    "subm-2841 at-the-host": 'nft rule ip filter INPUT: udp dport 4800 counter drop comment "no-4800" in c1-gw',
    "subm-3007 no-variables": "no variable http_proxy in gateway",
    "subm-3007 no-exemptions": "variable no_proxy=localhost,172.22.1.0/24 in gateway",
    "subm-4099 broken": "sysctl net.ipv4.conf.eth0.rp_filter = 1 in worker",
    "subm-520 broken": "no route 10.44.0.0/17 via 10.168.0.14 in west-worker",
}
"""By incident and phase, an object that an explanation holds responsible: what was changed, or what of it the packet met."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answer, Path]:
    """A run of all of it, and its JUnit report."""
    report = tmp_path_factory.mktemp("library") / "report.xml"
    return lab("run", *map(str, INCIDENTS), "--json", "--junit", str(report)), report


def test_every_incident_is_reproduced_and_cured(library: tuple[Answer, Path]) -> None:
    ran, report = library
    _all_hold(ran)
    suites = ElementTree.parse(report).getroot()
    assert {suite.get("name", "").partition(".")[0] for suite in suites} == {file.stem for file in INCIDENTS}


def test_the_injected_cause_is_named(library: tuple[Answer, Path]) -> None:
    named = {f"{run['scenario']} {phase['name']}": _named(phase) for run in library[0].json for phase in run["phases"]}
    assert {where: named[where] for where, thing in NAMED.items() if thing not in named[where]} == {}
    assert {file.stem for file in PUBLISHED} == {where.partition(" ")[0] for where in NAMED}


def _named(phase: Any) -> set[str]:
    """Every object that a phase's explanations hold responsible: what is to blame, and what decided at the place."""
    causes = [expectation["explanation"]["cause"] for expectation in phase["expectations"] if expectation["explanation"]]
    things = [cause[key] for cause in causes if cause is not None for key in ("object", "decided_by") if cause[key]]
    return {f"{'no ' if thing['absent'] else ''}{thing['kind']} {thing['text']} in {thing['namespace']}" for thing in things}


def test_what_is_expected_of_a_broken_network_does_not_hold_in_a_healthy_one(tmp_path: Path) -> None:
    for file in PUBLISHED:
        (tmp_path / file.name).write_text(json.dumps(_broken_expected_of_healthy(file)))
    ran = lab("run", *(str(tmp_path / file.name) for file in PUBLISHED), "--json")
    assert [run["scenario"] for run in ran.json] == [file.stem for file in PUBLISHED]
    asked = [(run["scenario"], phase) for run in ran.json for phase in run["phases"][1:] if not phase["name"].endswith(_ITSELF)]
    assert {(scenario, phase["name"]) for scenario, phase in asked if not _fails(phase)} == CURES


_ITSELF = "-itself"
"""What the name of a phase ends with that is as the incident's file has it."""


def _fails(phase: Any) -> bool:
    return any(expectation["status"] == "failed" for expectation in phase["expectations"])


def _broken_expected_of_healthy(file: Path) -> dict[str, Any]:
    """A scenario whose phases have the healthy network: the first as it is, each to the last but one with what it expects otherwise.

    The others follow, and expect nothing: what is named has to be in some phase.
    """
    written: Any = read_yaml(file.read_bytes(), str(file)).root.plain()
    healthy = written["phases"]["healthy"]
    between = list(written["phases"].items())[1:-1]
    phases = {name: {**healthy, "title": name, "expect": broken["expect"], "then": []} for name, broken in between}
    for name, broken in between:
        after = {"after": f"{broken['after']}{_ITSELF}"} if broken.get("after") in phases else {}
        phases[f"{name}{_ITSELF}"] = {**broken, **after, "expect": [], "then": []}
    return {key: value for key, value in written.items() if key != "compare"} | {"phases": {"healthy": healthy, **phases}}


@pytest.mark.skipif(os.geteuid() != 0, reason="is what the test above does")
def test_an_ordinary_user_sees_the_same() -> None:
    _all_hold(lab("run", *map(str, INCIDENTS), "--json", who="ordinary user"))


def _all_hold(ran: Answer) -> None:
    assert {run["scenario"]: differently(run) for run in ran.json if differently(run)} == {}
    assert {run["scenario"]: (run["conclusion"], run["same"]) for run in ran.json if run["exit_code"]} == {}
    assert ran.code == 0, ran.err
    assert [run["scenario"] for run in ran.json] == [file.stem for file in INCIDENTS]


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
class TestWhatAnIncidentHas:
    def test_a_healthy_a_broken_and_a_fixed_phase_and_a_link(self, file: Path) -> None:
        for scenario, _ in open_scenarios(str(file)).values():
            phases = list(scenario.model.phases)
            assert (phases[0], phases[-1]) == ("healthy", "fixed")
            assert len(phases) > 2
            assert scenario.model.compare.same == ("healthy", "fixed")
            assert scenario.model.links
            assert scenario.model.title
            assert scenario.model.description

    def test_a_page_that_names_its_file_and_its_link(self, file: Path) -> None:
        page = (ROOT / "docs" / "incidents" / f"{file.stem}.md").read_text()
        links = yaml.safe_load(file.read_text())["links"]
        assert links[0] in page
        assert f"scenarios/{file.name}" in page
        assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
        assert "\n```\n" in page.partition("## Cause")[0], "a picture of what happens"

    def test_no_module_knows_it(self, file: Path) -> None:
        """Neither by its name nor by an address of it: what is in a file is not in the code."""
        topology = (ROOT / "topologies" / f"{yaml.safe_load(file.read_text())['topology']}.yaml").read_text()
        addresses = set(re.findall(ADDRESS, file.read_text() + topology))
        for source, (text, constants) in _sources().items():
            assert file.stem not in text, f"{source} names {file.stem}"
            assert not addresses & constants, f"{source} names {addresses & constants}"


@cache
def _sources() -> dict[Path, tuple[str, frozenset[str]]]:
    """Every module with its text, and the addresses that are values in it."""
    found = {}
    for path in sorted((ROOT / "lab").rglob("*.py")):
        text = path.read_text()
        strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        found[path] = (text, frozenset(word for word in strings if re.fullmatch(ADDRESS, word)))
    return found
