"""Where the model is mistaken about what the kernel does, a run says so and fails, whatever was expected."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from lab.forwarding import Conversation, Flow, Network, trace
from lab.forwarding.results import Outcome
from lab.state import State
from tests.cli.command import lab as run_command

pytestmark = pytest.mark.kernel

TOPOLOGY = """\
topology: row
segments:
  left: {cidr: 192.0.2.0/26, cidr6: "2001:db8:1::/64"}
  right: {cidr: 192.0.2.64/26, cidr6: "2001:db8:2::/64"}
routers: {r: {interfaces: {left: 192.0.2.1, right: 192.0.2.65}}}
hosts:
  a: {segment: left, address: 192.0.2.2, gateway: 192.0.2.1}
  b: {segment: right, address: 192.0.2.66, gateway: 192.0.2.65, serves: [{port: 80}]}
"""
SCENARIO = """\
scenario: narrow
topology: ./row.yaml
phases:
  only:
    changes:
      - link: {on: [r], device: right, mtu: 1280}
    expect:
      - ping: {from: [a], to: [b], ipv6: true, size: 1352, result: unreachable, icmp: packet-too-big}
"""
ANSWERED = """\
scenario: answered
topology: ./row.yaml
phases:
  only:
    expect:
      - ping: {from: [a], to: [b]}
"""


@pytest.fixture
def narrow(tmp_path: Path) -> str:
    (tmp_path / "row.yaml").write_text(TOPOLOGY)
    (tmp_path / "narrow.yaml").write_text(SCENARIO)
    return str(tmp_path / "narrow.yaml")


@pytest.fixture
def answered(tmp_path: Path) -> str:
    (tmp_path / "row.yaml").write_text(TOPOLOGY)
    (tmp_path / "answered.yaml").write_text(ANSWERED)
    return str(tmp_path / "answered.yaml")


def _wide(state: State) -> Network:
    """The model's network, where it takes every device for one of 1500 bytes."""
    spaces = {n.name: replace(n, links=tuple(replace(link, mtu=1500) for link in n.links)) for n in state}
    return Network(replace(state, namespaces=spaces))


def _silent(network: Network, flow: Flow) -> Conversation:
    return replace(trace(network, flow), outcome=Outcome("silence"))


def test_a_model_that_is_right_disturbs_nobody(narrow: str) -> None:
    answer = run_command("run", narrow)
    assert (answer.code, "witnesses" in answer.out) == (0, False)


def test_one_that_knows_no_narrow_link_is_contradicted_although_the_sender_learned_of_it(narrow: str) -> None:
    """Asked a second time, the sender knows the path MTU and cuts the packet, which the model would predict as well."""
    with patch("lab.scenario.play.Network", _wide), patch("lab.scenario.witness.Network", _wide):
        answer = run_command("run", narrow)
    assert "the witnesses disagree: the model predicts a reply from 2001:db8:2::2, and the sender sees unreachable" in " ".join(
        answer.out.split()
    )
    assert answer.code == 1


def test_an_answer_that_the_model_does_not_predict_fails_a_run(answered: str) -> None:
    with patch("lab.scenario.witness.trace", _silent):
        answer = run_command("run", answered)
    assert "the witnesses disagree: the model predicts silence, and the sender sees reply" in " ".join(answer.out.split())
    assert answer.code == 1


def test_what_only_ends_otherwise_beside_others_is_called_that(narrow: str) -> None:
    """The explanation is of the first probe, and the witnesses, who agree, have heard the second, which was sent by itself."""
    with patch("lab.explain.cause.trace", _silent):
        answer = run_command("run", narrow)
    assert (answer.code, "the model predicts another end" in answer.out) == (0, False)
    assert "but sent by itself it ends as the model predicts" in answer.out


def test_one_answer_shows_nothing_where_chance_decides(answered: str) -> None:
    scenario = Path(answered)
    rare = "table ip t {\n chain f {\n type filter hook forward priority 0\n numgen random mod 1000000 0 drop\n }\n }"
    change = f"    changes: [{{nft: {{on: [r], script: {json.dumps(rare)}}}}}]\n"
    scenario.write_text(scenario.read_text().replace("    expect:", f"{change}    expect:"))
    answer = run_command("run", answered)
    assert answer.code == 4
    assert "the next one may end otherwise, it depends on a number drawn in r: of one probe nothing follows" in " ".join(answer.out.split())
