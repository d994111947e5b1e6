"""A dual-stack scenario on the kernel: probes, changes, explanation and the three witnesses over IPv6."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import lab

TOPOLOGY = """\
topology: dual
segments:
  left: {cidr: 192.0.2.0/25, cidr6: "2001:db8:1::/64"}
  right: {cidr: 192.0.2.128/25, cidr6: "2001:db8:2::/64"}
routers: {r: {interfaces: {left: 192.0.2.1, right: 192.0.2.129}}}
hosts:
  a: {segment: left, address: 192.0.2.2, gateway: 192.0.2.1}
  b: {segment: right, address: 192.0.2.130, gateway: 192.0.2.129, serves: [{port: 80}]}
clusters: {one: {segment: left, pod_cidr: 10.1.0.0/16, service_cidr: 10.2.0.0/16, nodes: {n: {address: 192.0.2.3}}}}
"""
SCENARIO = """\
scenario: sixes
topology: ./dual.yaml
phases:
  healthy:
    expect:
      - ping: {from: [a, n], to: [b], ipv6: true, seen_as: sender, ttl: 63, crosses: ["r:right"]}
      - tcp: {from: [a, n], to: [b], port: 80, ipv6: true}
      - traceroute: {from: [a], to: [b], ipv6: true, hops: ["2001:db8:1::1", "2001:db8:2::2"]}
  broken:
    after: healthy
    changes:
      - route: {on: [r], to: "2001:db8:2::2/128", type: prohibit}
    expect:
      - ping: {from: [a], to: [b], ipv6: true, result: unreachable, icmp: admin-prohibited, icmp_source: "2001:db8:1::1"}
      - ping: {from: [a], to: [b]}
"""


@pytest.mark.kernel
def test_it_is_played_and_explained(tmp_path: Path) -> None:
    (tmp_path / "dual.yaml").write_text(TOPOLOGY)
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    answer = lab("run", str(tmp_path / "scenario.yaml"), "--json")
    assert answer.code == 0, answer.err
    broken = json.loads(answer.out)["phases"][1]["expectations"][0]
    assert "prohibit route 2001:db8:2::2/128" in json.dumps(broken)
    assert "scenario.yaml:12" in json.dumps(broken), "the line that did it"
