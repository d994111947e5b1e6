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
      - tcp: {from: [a], to: [b], port: 80, ipv6: true, result: unreachable, icmp: admin-prohibited, errno: EACCES}
      - ping: {from: [a], to: [b]}
"""
FILTERED = """\
topology: filtered
segments:
  left: {cidr: 192.0.2.0/25, cidr6: "2001:db8:1::/64", policy: [{name: telnet, protocol: tcp, ports: [23], action: drop}]}
  right: {cidr: 192.0.2.128/25, cidr6: "2001:db8:2::/64"}
routers:
  r:
    interfaces: {left: 192.0.2.1, right: 192.0.2.129}
    policy:
      - {established: true, action: accept}
      - {name: one, into: left, source: ["2001:db8:1::3/128", 192.0.2.3/32], action: drop}
      - {name: web, protocol: tcp, ports: [80], action: accept}
      - {name: mail, protocol: tcp, ports: [25], action: reject, reject_with: host-prohibited}
      - {name: closed, protocol: tcp, action: reject, reject_with: tcp-reset}
      - {name: strangers, destination: ["2001:db8:2::/127", 192.0.2.128/31], action: reject, reject_with: net-unreachable}
      - {name: six, family: IPv6, protocol: udp, action: reject, reject_with: policy-fail}
      - {name: rest, protocol: udp, action: reject, reject_with: admin-prohibited}
hosts:
  a: {segment: left, address: 192.0.2.2, gateway: 192.0.2.1}
  c: {segment: left, address: 192.0.2.3, gateway: 192.0.2.1, serves: [{port: 23}, {port: 80}]}
  b:
    segment: right
    address: 192.0.2.130
    gateway: 192.0.2.129
    serves: [{port: 80}, {port: 22}, {port: 7, protocol: udp, behaviour: echo}]
    firewall:
      input_policy: drop
      input:
        - {protocol: icmpv6, icmp: [nd-neighbor-solicit, nd-neighbor-advert], action: accept}
        - {established: true, action: accept}
        - {name: mine, ports: [22, 80, 7], action: accept}
"""
PLAYED = """\
scenario: filtered
topology: ./filtered.yaml
phases:
  only:
    expect:
      - tcp: {from: [a], to: [b], port: 80, ipv6: true}
      - tcp: {from: [a], to: [b], port: 80}
      - tcp: {from: [c], to: [b], port: 80, ipv6: true, result: silence}
      - counter: {on: [r], name: rule/one, change: some}
      - tcp: {from: [a], to: [b], port: 22, ipv6: true, result: refused}
      - tcp: {from: [a], to: [b], port: 25, ipv6: true, result: unreachable, icmp: admin-prohibited, icmp_source: "2001:db8:1::1"}
      - ping: {from: [a], to: ["2001:db8:2::1"], ipv6: true}
      - ping: {from: [a], to: [b], ipv6: true, result: silence}
      - udp: {from: [a], to: [b], port: 7, ipv6: true, result: unreachable, icmp: policy-fail, icmp_source: "2001:db8:1::1"}
      - udp: {from: [a], to: [b], port: 7, result: unreachable, icmp: admin-prohibited, icmp_source: 192.0.2.1}
      - tcp: {from: [a], to: [c], port: 23, ipv6: true, result: silence}
      - tcp: {from: [a], to: [c], port: 80, ipv6: true}
"""


@pytest.mark.kernel
def test_policies_firewalls_and_switches_filter_both_versions(tmp_path: Path) -> None:
    (tmp_path / "filtered.yaml").write_text(FILTERED)
    (tmp_path / "scenario.yaml").write_text(PLAYED)
    answer = lab("run", str(tmp_path / "scenario.yaml"), "--json")
    assert answer.code == 0, answer.out + answer.err


@pytest.mark.kernel
def test_it_is_played_and_explained(tmp_path: Path) -> None:
    (tmp_path / "dual.yaml").write_text(TOPOLOGY)
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    answer = lab("run", str(tmp_path / "scenario.yaml"), "--json")
    assert answer.code == 0, answer.err
    broken = json.loads(answer.out)["phases"][1]["expectations"][0]
    assert "prohibit route 2001:db8:2::2/128" in json.dumps(broken)
    assert "scenario.yaml:12" in json.dumps(broken), "the line that did it"
