"""`lab show` and its sisters print what a machine can read, and what a person can use."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab.spec import json_schema
from tests.cli.command import lab

ROOT = Path(__file__).parents[2]


def test_the_spec_of_a_topology_is_a_topology_with_its_defaults(tmp_path: Path) -> None:
    shown = lab("show", "two-clusters", "--as", "spec")
    assert json.loads(shown.out)["clusters"]["cluster-1"]["cni"]["block_size"] == 26
    (tmp_path / "spec.yaml").write_text(shown.out)
    assert lab("check", str(tmp_path / "spec.yaml")).code == 0
    assert json.loads(lab("show", str(tmp_path / "spec.yaml"), "--as", "spec").out) == json.loads(shown.out)


def test_the_spec_of_a_scenario_is_a_scenario(tmp_path: Path) -> None:
    shown = lab("show", "calico-24-mismatch", "--as", "spec")
    (tmp_path / "spec.yaml").write_text(shown.out)
    assert lab("check", str(tmp_path / "spec.yaml")).err == ""


def test_a_state_is_json() -> None:
    assert json.loads(lab("show", "two-clusters", "--as", "state").out)


def test_commands_are_those_of_one_node_where_one_is_named() -> None:
    every = lab("show", "calico-24-mismatch", "--phase", "broken").out
    one = lab("show", "calico-24-mismatch", "--phase", "broken", "--node", "c1-w1").out
    assert "10.42.0.0/24" in one
    assert "10.42.0.0/16" not in one
    assert len(one) < len(every) / 5


def test_commands_and_plans_are_json_for_machines() -> None:
    commands = json.loads(lab("show", "calico-24-mismatch", "--phase", "broken", "--node", "c1-w1", "--json").out)
    assert {entry["node"] for entry in commands} == {None, "c1-w1"}
    assert "ip route replace 10.42.0.0/24 via 240.18.1.2 dev vx-submariner proto static" in [entry["command"] for entry in commands]
    plan = json.loads(lab("show", "calico-24-mismatch", "--as", "plan", "--node", "c1-w1", "--json").out)
    assert {step["node"] for step in plan} == {"c1-w1"}
    assert all(step["phase"] and step["lines"] for step in plan)


@pytest.mark.parametrize("kind", ["topology", "scenario"])
def test_the_schema_is_the_one_that_editors_read(kind: str) -> None:
    shown = lab("schema", kind).out
    assert json.loads(shown) == json_schema(kind)
    assert shown == (ROOT / "docs" / "schema" / f"{kind}.schema.json").read_text()


def test_what_is_shipped_is_listed() -> None:
    shipped = json.loads(lab("list", "--json").out)
    assert ("topology", "two-clusters") in [(entry["kind"], entry["name"]) for entry in shipped]
    for entry in shipped:
        assert entry["title"]
        assert re.search(rf"{entry['kind']}\s+{re.escape(entry['name'])}", lab("list").out)


def test_diagnose_is_judged_from_files_and_fails_where_a_range_is_wrong() -> None:
    broken = lab("diagnose", "calico-24-mismatch", "--phase", "broken", "--cluster", "cluster-1", "--json")
    fixed = lab("diagnose", "calico-24-mismatch", "--phase", "fixed", "--json")
    assert (broken.code, fixed.code) == (1, 0)
    assert "--clustercidr 10.46.0.0/16" in json.dumps(json.loads(broken.out))
    json.loads(fixed.out)
