"""What the model is told of the scripts and commands of a phase, and what it says where chance decides or nobody can read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import lab

TOPOLOGY = """\
topology: row
segments: {left: {cidr: 192.0.2.0/26}, right: {cidr: 192.0.2.64/26}}
routers: {r: {interfaces: {left: 192.0.2.1, right: 192.0.2.65}}}
hosts:
  a: {segment: left, address: 192.0.2.2, gateway: 192.0.2.1}
  b: {segment: right, address: 192.0.2.66, gateway: 192.0.2.65, serves: [{port: 80}]}
"""
SCENARIO = """\
scenario: foreseen
topology: ./row.yaml
phases:
  half:
    changes:
      - nft:
          on: [r]
          script: |
            # half of what comes from the left
            table ip t {
              chain f {
                type filter hook forward priority 0; policy drop
                numgen random mod 100 < 50 jump chosen
                ip saddr 192.0.2.64/26 accept   # the way back
              }
              chain chosen { counter accept; }
            }
    expect: [{ping: {from: [a], to: [b], result: silence}}]
  counted:
    changes:
      - nft: {on: [r], script: "table ip t {\\n chain f {\\n type filter hook forward priority 0\\n numgen inc mod 3 0 drop\\n }\\n }"}
    expect: [{ping: {from: [a], to: [b], result: silence}}]
  dropped:
    changes:
      - run: {on: [r], commands: ["nft add table ip t", "nft add chain ip t f '{ type filter hook forward priority 0; policy drop; }'"]}
    expect: [{ping: {from: [a], to: [b], result: silence}}]
  unread:
    changes:
      - run: {on: [r], commands: ["ip xfrm policy add src 192.0.2.2/32 dst 192.0.2.66/32 dir fwd action block"]}
    expect: [{ping: {from: [a], to: [b], result: silence}}]
  stopped:
    changes:
      - process: {on: [b], name: tcp-80, action: stop}
    expect: [{tcp: {from: [a], to: [b], port: 80, result: refused}}]
    then:
      - title: Again
        changes:
          - process: {on: [b], name: tcp-80, action: start}
        expect: [{tcp: {from: [a], to: [b], port: 80}}]
  again:
    after: stopped
    expect: [{tcp: {from: [a], to: [b], port: 80}}]
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "row.yaml").write_text(TOPOLOGY)
    (tmp_path / "foreseen.yaml").write_text(SCENARIO)
    return str(tmp_path / "foreseen.yaml")


@pytest.mark.parametrize(
    ("phase", "proto", "code", "sees"),
    [
        ("half", "icmp", 4, "a reply from 192.0.2.66, or silence: it depends on a number drawn in r"),
        ("counted", "icmp", 4, "silence, or a reply from 192.0.2.66: it depends on a number drawn in r"),
        ("dropped", "icmp", 1, "silence"),
        ("unread", "icmp", 4, "unknown: unknown at r: the statement `ip xfrm policy add"),
        ("stopped", "icmp", 0, "a reply"),
        ("again", "tcp", 0, "a reply"),
    ],
)
def test_a_packet_meets_what_was_typed(file: str, phase: str, proto: str, code: int, sees: str) -> None:
    answer = lab("trace", f"{file}@{phase}", "a", "b", "--proto", proto)
    assert f"the sender sees: {sees}" in " ".join(answer.out.split())
    assert answer.code == code


def test_a_stopped_server_refuses(file: str) -> None:
    scenario = Path(file)
    scenario.write_text(scenario.read_text().split("    then:")[0])
    answer = lab("trace", f"{file}@stopped", "a", "b", "--proto", "tcp")
    assert (answer.code, "refused: reset from 192.0.2.66" in answer.out) == (1, True)


@pytest.mark.parametrize(
    ("phase", "answer"), [("half", "1 depends"), ("counted", "1 depends"), ("dropped", "1 lost"), ("unread", "1 unknown")]
)
def test_so_does_everybody(file: str, phase: str, answer: str) -> None:
    assert answer in lab("reach", f"{file}@{phase}", "--from", "a", "--to", "192.0.2.66/32").out


WORDED = """\
scenario: worded
topology: ./row.yaml
phases:
  only:
    changes:
      - nft:
          on: [r]
          script: |
            table ip t {
              chain f {
                type filter hook forward priority 0
                tcp dport 443 accept
                udp dport 53 accept
                ct state invalid accept
                ip saddr 192.0.2.9 accept
                ip daddr 192.0.2.66 drop
              }
            }
    expect: [{ping: {from: [a], to: [b], result: silence}}]
"""


def test_a_rule_without_a_name_is_told_by_its_text_and_another_by_what_it_misses(tmp_path: Path) -> None:
    (tmp_path / "row.yaml").write_text(TOPOLOGY)
    (tmp_path / "worded.yaml").write_text(WORDED)
    out = " ".join(lab("trace", str(tmp_path / "worded.yaml"), "a", "b", "--proto", "tcp", "-v").out.split())
    assert "dropped by a rule of chain ip t f (ip daddr 192.0.2.66 drop)" in out
    assert "rule tcp dport 443 accept: does not apply, tcp dport is 80, wants 443" in out
    assert "rule udp dport 53 accept: does not apply, udp dport is nothing, of a packet of tcp, wants 53" in out
    assert "rule ct state invalid accept: does not apply, ct state is new, wants invalid" in out
    assert "rule ip saddr 192.0.2.9 accept: does not apply, ip saddr is 192.0.2.2, wants 192.0.2.9" in out


@pytest.mark.parametrize(
    ("loss", "said"),
    [("30%", "expected a number, found '30%'\n  hint: write 30, without"), (".nan", "expected a number, found nan")],
)
def test_what_is_no_number_of_percent_is_told_so(loss: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "row.yaml").write_text(TOPOLOGY)
    impaired = WORDED.split("      - nft:")[0] + f"      - impairment: {{on: [r], device: left, loss: {loss}}}\n"
    (tmp_path / "lossy.yaml").write_text(f"{impaired}    expect: [{{ping: {{from: [a], to: [b]}}}}]\n")
    answer = lab("check", str(tmp_path / "lossy.yaml"))
    assert (answer.code, f"changes[0].impairment.loss: {said}" in answer.err) == (2, True), answer.err
