"""What no kernel takes is told at its place, before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import lab

TOPOLOGY = """\
topology: row
segments:
  left: {cidr: 192.0.2.0/26, cidr6: "2001:db8:1::/64", mtu: 1500}
  right: {cidr: 192.0.2.64/26}
routers: {r: {interfaces: {left: 192.0.2.1, right: 192.0.2.65}}}
hosts:
  a: {segment: left, address: 192.0.2.2, gateway: 192.0.2.1, sysctls: {net/ipv4/ip_default_ttl: 64}}
  b: {segment: right, address: 192.0.2.66, gateway: 192.0.2.65}
"""
SCENARIO = """\
scenario: ruled
topology: ./row.yaml
phases:
  only:
    changes:
      - rule: {on: [r], priority: 100, destination: 192.0.2.64/26, table: 99}
    expect: [{ping: {from: [a], to: [b]}}]
"""


def checked(folder: Path, was: str = "", is_now: str = "", scenario: str = SCENARIO) -> tuple[int, str]:
    """The exit code of a check and what it complains of, after a change of the topology."""
    assert was in TOPOLOGY
    (folder / "row.yaml").write_text(TOPOLOGY.replace(was, is_now, 1))
    (folder / "ruled.yaml").write_text(scenario)
    answer = lab("check", str(folder / "ruled.yaml"))
    return answer.code, answer.err


@pytest.mark.parametrize(
    ("was", "is_now", "said"),
    [
        ("2001:db8:1::/64", "ff02::/64", "3:37: ff02::/64 has multicast groups"),
        ("2001:db8:1::/64", "fe80::/64", "3:37: fe80::/64 has link-local addresses"),
        ("2001:db8:1::/64", "::ffff:10.1.0.0/112", "has IPv4 addresses as sockets of IPv6 write them"),
        ("192.0.2.64/26", "0.0.2.64/26", "0.0.2.64/26 has addresses of this host"),
        ("192.0.2.64/26", "127.0.2.64/26", "127.0.2.64/26 has loopback addresses"),
        ("192.0.2.64/26", "239.0.2.64/26", "239.0.2.64/26 has multicast groups"),
        ("mtu: 1500", "mtu: 1279", "IPv6 needs an MTU of 1280 bytes at least, and the segment 'left' has 1279"),
        ("gateway: 192.0.2.1", "gateway: 192.0.2.2", "'a' is its own gateway"),
        ("ip_default_ttl: 64", "ip_default_ttl: 999", "net/ipv4/ip_default_ttl takes a number from 1 to 255, not '999'"),
        ("ip_default_ttl: 64", "tcp_rmem: abc", "net/ipv4/tcp_rmem takes three numbers of bytes"),
        ("net/ipv4/ip_default_ttl: 64", "net/ipv6/conf/eth0/hop_limit: 0", "takes a number from 1 to 255, not '0'"),
    ],
)
def test_what_no_kernel_takes_is_refused(was: str, is_now: str, said: str, tmp_path: Path) -> None:
    code, errors = checked(tmp_path, was, is_now)
    assert (code, said in errors) == (2, True), errors


@pytest.mark.parametrize(
    ("was", "is_now"),
    [("mtu: 1500", "mtu: 1280"), ("ip_default_ttl: 64", "ip_default_ttl: 255"), ("ip_default_ttl: 64", "tcp_rmem: 4096 131072 6291456")],
)
def test_what_it_takes_is_correct(was: str, is_now: str, tmp_path: Path) -> None:
    code, errors = checked(tmp_path, was, is_now)
    assert code == 0, errors


@pytest.mark.parametrize(("hosts", "code"), [(1022, 0), (1023, 2)])
def test_a_switch_has_so_many_ports(hosts: int, code: int, tmp_path: Path) -> None:
    lines = [f"  h{n}: {{segment: s, address: 10.0.{n // 250}.{n % 250 + 1}}}" for n in range(1, hosts + 1)]
    text = "\n".join(["topology: wide", "segments: {s: {cidr: 10.0.0.0/16}}", "hosts:", "  h: {segment: s, address: 10.0.9.1}", *lines])
    (tmp_path / "wide.yaml").write_text(text)
    answer = lab("check", str(tmp_path / "wide.yaml"))
    assert (answer.code, "a switch has 1023 ports at most" in answer.err) == (code, code == 2), answer.err


def test_a_rule_into_a_table_that_nobody_fills_is_told(tmp_path: Path) -> None:
    code, said = checked(tmp_path)
    assert code == 0
    assert "note: table 99 of 'r' has no routes in any phase; the nearest that has some is 254" in said


@pytest.mark.parametrize(
    "filled",
    [
        "      - route: {on: [r], to: 192.0.2.64/26, table: 99, type: prohibit}\n",
        "      - run: {on: [r], commands: [ip route add prohibit 192.0.2.64/26 table 99]}\n",
    ],
)
def test_one_that_something_fills_is_not(filled: str, tmp_path: Path) -> None:
    code, said = checked(tmp_path, scenario=SCENARIO.replace("    expect:", f"{filled}    expect:"))
    assert (code, said) == (0, "")
