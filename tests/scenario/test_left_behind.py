"""What one phase did to the kernel, and what packets taught it there, is gone in the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import lab

pytestmark = pytest.mark.kernel
OBSERVERS = pytest.mark.parametrize("observer", [(), ("--no-bpf",)], ids=["with BPF", "without"])

TOPOLOGY = """\
topology: row
segments:
  left: {cidr: 192.0.2.0/26, cidr6: "2001:db8:1::/64"}
  right: {cidr: 192.0.2.64/26, cidr6: "2001:db8:2::/64"}
routers: {r: {interfaces: {left: 192.0.2.1, right: 192.0.2.65}, sysctls: {icmp_ratelimit: 0, icmp_ratemask: 0}}}
hosts:
  a: {segment: left, address: 192.0.2.2, gateway: 192.0.2.1}
  b: {segment: right, address: 192.0.2.66, gateway: 192.0.2.65, serves: [{port: 80}]}
  c: {segment: right, address: 192.0.2.67, gateway: 192.0.2.65}
"""
TYPED = """\
scenario: typed
topology: ./row.yaml
phases:
  healthy:
    expect:
      - ping: {from: [a], to: [b]}
      - tcp: {from: [a], to: [b], port: 80}
  broken:  # for whoever asks for b, which the state does not tell
    after: healthy
    changes:
      - run: {on: [sw-right], commands: [bridge link set dev b bcast_flood off]}
    expect:
      - ping: {from: [a], to: [r]}
  again:
    after: healthy
    expect:
      - ping: {from: [a], to: [b], seen_as: sender}
      - tcp: {from: [a], to: [b], port: 80}
"""
LEARNED = """\
scenario: learned
topology: ./row.yaml
phases:
  told:
    changes:
      - link: {on: [r], device: left, mtu: 1280}
    expect:
      - tcp: {from: [a], to: [b], port: 80, ipv6: true, bytes: 50000}
  untold:
    after: told
    changes:
      - nft:
          on: [r]
          script: |
            table ip6 t {
              chain o {
                type filter hook output priority 0
                icmpv6 type packet-too-big drop
              }
            }
    expect:
      - tcp: {from: [a], to: [b], port: 80, ipv6: true, bytes: 50000, result: stalled}
"""
OF_THE_KERNEL = """\
scenario: owners
topology: ./row.yaml
phases:
  only:
    changes:
      - nft:
          on: [b, r]
          script: |
            table inet t {
              chain o {
                type filter hook output priority 0
                meta skuid 0 drop
              }
            }
    expect:
      - ping: {from: [a], to: [b]}
      - ping: {from: [a], to: [b], ipv6: true}
      - tcp: {from: [a], to: [b], port: 80, result: silence}
      - tcp: {from: [a], to: [b], port: 81, result: refused}
      - tcp: {from: [a], to: [b], port: 81, ipv6: true, result: refused}
      - ping: {from: [a], to: [203.0.113.1], result: unreachable, icmp: net-unreachable}
"""


@OBSERVERS
@pytest.mark.parametrize("scenario", [TYPED, LEARNED], ids=["typed", "learned"])
def test_nothing_is_left_behind(scenario: str, observer: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "row.yaml").write_text(TOPOLOGY)
    (tmp_path / "played.yaml").write_text(scenario)
    answer = lab("run", *observer, str(tmp_path / "played.yaml"))
    assert answer.code == 0, answer.out + answer.err


def test_what_the_kernel_says_by_itself_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "row.yaml").write_text(TOPOLOGY)
    (tmp_path / "played.yaml").write_text(OF_THE_KERNEL)
    answer = lab("run", str(tmp_path / "played.yaml"))
    assert answer.code == 0, answer.out + answer.err
