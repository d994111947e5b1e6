"""A name that leads nowhere is found before anything is built, and what kernels count is known without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.errors import InputErrors
from lab.kernel.counters import parse
from lab.kernel.sandbox import Sandbox, run_in_sandbox
from lab.scenario.counters import find_counter
from lab.scenario.play import Play, Progress, run_scenario
from lab.spec import open_scenario
from lab.spec.counter_names import is_by_type, known_counters

SCENARIO = """
scenario: misspelt
topology: two-clusters
phases:
  one:
    expect:
      - log: {cluster: cluster-1, component: submariner-routagent, contains: x, present: false}
      - counter: {on: [c1-gw], name: IPReversePathFiltr, change: 0}
      - ping: {from: [c1-gw-a], to: [c1-w1-a]}
"""


@dataclass
class NotToBeBuilt:
    """A lab that nobody is to touch."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the lab is asked for its {name}")


def test_a_misspelt_name_ends_a_run_before_the_lab_is_touched(tmp_path: Path) -> None:
    (tmp_path / "misspelt.yaml").write_text(SCENARIO)
    scenario, topology = open_scenario(str(tmp_path / "misspelt.yaml"))
    heard: list[object] = []
    with pytest.raises(InputErrors) as raised:
        Play(NotToBeBuilt(), scenario, topology, heard.append).run()  # type: ignore[arg-type]
    assert heard == []
    assert [(error.place.line, error.hint) for error in raised.value.errors if error.place] == [
        (7, "did you mean 'submariner-routeagent'?"),
        (8, "did you mean 'IPReversePathFilter'?"),
    ]


@pytest.mark.kernel
def test_the_mistakes_of_a_run_come_out_of_its_sandbox_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "misspelt.yaml").write_text(SCENARIO)
    heard: list[Progress] = []
    with pytest.raises(InputErrors) as raised:
        run_scenario(*open_scenario(str(tmp_path / "misspelt.yaml")), listen=heard.append)
    assert (len(raised.value.errors), heard) == (2, [])


@pytest.mark.kernel
def test_every_counter_of_a_namespace_is_known() -> None:
    def work(sandbox: Sandbox, report: object) -> set[str]:
        sandbox.add_namespace("n")
        with sandbox.enter("n"):
            texts = [Path("/proc/thread-self/net", name).read_text() for name in ("snmp", "netstat", "snmp6")]
        return {name for text in texts for name in parse(text)}

    counted = run_in_sandbox(work)
    assert len(counted) > 100
    assert {name for name in counted if not is_by_type(name)} - known_counters() == set()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("IcmpMsgOutType3", "IcmpMsgOutType3"),
        ("Icmp6InType135", "Icmp6InType135"),
        ("IPReversePathFilter", "TcpExtIPReversePathFilter"),
        ("IcmpMsgOutTypes3", None),
    ],
)
def test_messages_of_a_type_have_a_counter_before_the_first_of_them(name: str, found: str | None) -> None:
    assert find_counter(name, {"TcpExtIPReversePathFilter": 0}) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("InNoRoutes", "IpExtInNoRoutes"),
        ("IpInNoRoutes", "IpExtInNoRoutes"),
        ("TcpIPReversePathFilter", "TcpExtIPReversePathFilter"),
        ("IpInReceives", "IpInReceives"),
        ("Ip6InNoRoutes", None),
    ],
)
def test_nobody_has_to_know_in_which_of_two_groups_a_counter_is(name: str, found: str | None) -> None:
    assert find_counter(name, {"IpExtInNoRoutes": 0, "TcpExtIPReversePathFilter": 0, "IpInReceives": 0}) == found


def test_the_nearest_counter_is_of_the_same_protocol(tmp_path: Path) -> None:
    (tmp_path / "misspelt.yaml").write_text(SCENARIO.replace("IPReversePathFiltr", "IpInNoRoutse"))
    scenario, topology = open_scenario(str(tmp_path / "misspelt.yaml"))
    with pytest.raises(InputErrors) as raised:
        Play(NotToBeBuilt(), scenario, topology, lambda _: None).run()  # type: ignore[arg-type]
    assert "did you mean 'IpInNoRoutes'?" in [error.hint for error in raised.value.errors]
