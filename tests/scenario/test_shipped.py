"""The shipped scenarios, and the document that sends its readers to them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.scenario.phases import compile_stage, stages
from lab.spec import open_scenarios

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "when-to-set-cidrs.md").read_text()
VARIANTS = tuple(open_scenarios("flagship-variants"))


def test_every_scenario_the_document_names_can_be_run() -> None:
    named = set(re.findall(r"`(calico-24-mismatch|flagship-variants#[\w-]+)`", DOCUMENT))
    assert {name.partition("#")[2] for name in named} <= {"", *VARIANTS}


def test_the_document_leaves_no_variant_out() -> None:
    assert [name for name in VARIANTS if f"`flagship-variants#{name}`" not in DOCUMENT] == []


def test_every_row_of_its_tables_says_where_to_see_it() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("|") and not set(line) <= set("|- ") and "see it |" not in line]
    assert [row for row in rows if "calico-24-mismatch" not in row.split("|")[-2] and "flagship-variants#" not in row.split("|")[-2]] == []


@pytest.mark.parametrize("name", ["calico-24-mismatch", *(f"flagship-variants#{variant}" for variant in VARIANTS)])
def test_every_stage_compiles_and_expects_something(name: str) -> None:
    for scenario, topology in open_scenarios(name).values():
        for stage in stages(scenario.model):
            assert compile_stage(topology, scenario, stage).namespaces
            assert stage.source.expect


def test_what_no_probe_may_cross_is_crossed_in_an_earlier_phase_or_by_another_probe() -> None:
    """The control of an absence must be in the same file; here that of the flagship, where every absence is of three interfaces."""
    ((scenario, _),) = open_scenarios("calico-24-mismatch").values()
    crossed = {i.partition(":")[2] for e in scenario.model.phases["healthy"].expect if e.ping is not None for i in e.ping.crosses}
    never = {
        i.partition(":")[2]
        for e in scenario.model.phases["broken"].expect
        for p in (e.ping, e.tcp)
        if p is not None
        for i in p.never_crosses
    }
    assert never == {"vx-submariner", "vxlan.calico", "vxlan-tunnel"}
    assert never <= crossed
