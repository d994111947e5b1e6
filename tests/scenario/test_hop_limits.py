"""What a node's packets may cross, where its own settings say it: model, lookup and packet agree, as with ping(8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import lab

pytestmark = pytest.mark.kernel

TOPOLOGY = """\
topology: row
segments:
  left: {cidr: 192.0.2.0/26, cidr6: "2001:db8:1::/64"}
  middle: {cidr: 192.0.2.128/26, cidr6: "2001:db8:3::/64"}
  right: {cidr: 192.0.2.64/26, cidr6: "2001:db8:2::/64"}
routers:
  r:
    interfaces: {left: 192.0.2.1, middle: 192.0.2.129}
    routes: [{to: 192.0.2.64/26, via: 192.0.2.130}, {to: "2001:db8:2::/64", via: "2001:db8:3::2"}]
  q:
    interfaces: {middle: 192.0.2.130, right: 192.0.2.65}
    routes: [{to: 192.0.2.0/26, via: 192.0.2.129}, {to: "2001:db8:1::/64", via: "2001:db8:3::1"}]
hosts:
  a:
    segment: left
    address: 192.0.2.2
    gateway: 192.0.2.1
    sysctls: {net/ipv4/ip_default_ttl: 2, net/ipv6/conf/eth0/hop_limit: 2}
  b:
    segment: right
    address: 192.0.2.66
    gateway: 192.0.2.65
    sysctls: {net/ipv4/ip_default_ttl: 40, net/ipv6/conf/eth0/hop_limit: 40}
    serves: [{port: 80}]
"""
SCENARIO = """\
scenario: hops
topology: ./row.yaml
phases:
  only:
    expect:
      - ping: {from: [a], to: [b], result: unreachable, icmp: ttl-exceeded, icmp_source: 192.0.2.130}
      - ping: {from: [a], to: [b], ipv6: true, result: unreachable, icmp: ttl-exceeded, icmp_source: "2001:db8:3::2"}
      - ping: {from: [r], to: [b], ttl: 39}
      - ping: {from: [r], to: [b], ipv6: true, ttl: 39}
      - ping: {from: [b], to: [q], ttl: 64}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "row.yaml").write_text(TOPOLOGY)
    (tmp_path / "hops.yaml").write_text(SCENARIO)
    return str(tmp_path / "hops.yaml")


def test_a_run_sends_what_the_node_would(file: str) -> None:
    answer = lab("run", file)
    assert answer.code == 0, answer.out


@pytest.mark.parametrize("options", [(), ("--ipv6",), ("--proto", "tcp"), ("--proto", "tcp", "--ipv6")], ids=" ".join)
def test_the_witnesses_agree(file: str, options: tuple[str, ...]) -> None:
    answer = lab("trace", file, "a", "b", "--observe", *options)
    assert "the three witnesses agree" in answer.out
    assert "the sender sees: error: " in answer.out
    assert answer.code == 1


@pytest.mark.parametrize("options", [(), ("--ipv6",)], ids=" ".join)
def test_who_states_how_many_gets_as_many(file: str, options: tuple[str, ...]) -> None:
    answer = lab("trace", file, "a", "b", "--observe", "--ttl", "3", *options)
    assert "the three witnesses agree" in answer.out
    assert answer.code == 0, answer.out
