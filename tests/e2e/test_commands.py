"""Literal commands of a scenario, which may come from anybody: they configure a network, and do nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.kernel.impairments import has_netem
from lab.testing import Answer
from tests.e2e.command import lab

pytestmark = pytest.mark.e2e

SCENARIO = """\
scenario: commands
topology: two-single-node-clusters
phases:
  typed:
    events:
      - join: {cluster: cluster-1, clustercidr: 10.46.0.0/16, servicecidr: 10.45.0.0/16}
      - join: {cluster: cluster-2, clustercidr: 10.42.0.0/16, servicecidr: 10.43.0.0/16}
    changes:
      - run: {on: [c1-node], %s}
    expect:
      - ping: {from: [c1-a], to: [c2-a]}
"""


def play(folder: Path, typed: str) -> Answer:
    file = folder / "typed.yaml"
    file.write_text(SCENARIO % typed)
    return lab("run", "-q", str(file))


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    done = play(tmp_path, "commands: [ip monitor], timeout: 1")
    assert done.code == 2
    assert f"{tmp_path}/typed.yaml:9:14: `ip monitor` was still running in 'c1-node' after 1 s" in done.err


@pytest.mark.root
def test_one_cannot_write_a_sysctl_of_the_machine(tmp_path: Path) -> None:
    file = Path("/proc/sys/kernel/printk_ratelimit_burst")
    before = file.read_text()
    done = play(tmp_path, f"commands: [sysctl -w kernel.printk_ratelimit_burst={int(before) + 1}]")
    assert file.read_text() == before
    assert done.code == 2
    assert f"{tmp_path}/typed.yaml:9:14" in done.err


def test_one_cannot_start_another_program(tmp_path: Path) -> None:
    done = play(tmp_path, 'commands: ["ip netns exec c1-node touch /tmp/made-by-a-scenario"]')
    assert done.code == 2
    assert not Path("/tmp/made-by-a-scenario").exists()


def test_those_that_configure_the_network_work(tmp_path: Path) -> None:
    commands = "ip route add blackhole 192.0.2.0/24, sysctl -qw net.ipv4.conf.eth0.rp_filter=2, nft add table ip typed, tc qdisc show"
    assert play(tmp_path, f"commands: [{commands}]").code == 0


SLOW = """scenario: slow
topology: three-in-a-row
phases:
  slow:
    changes:
      - impairment: {on: [r1], device: middle, delay: 90}
      - impairment: {on: [r2], device: middle, delay: 10, rate: 100000}
    expect:
      - series: {from: [a], to: [b], count: 5, lost: [0, 0], fastest: 100}
      - tcp: {from: [a], to: [b], port: 80}
      - ping: {from: [a], to: [192.0.2.131], result: unreachable, icmp: host-unreachable, icmp_source: 192.0.2.66}
  slower:
    after: slow
    changes:
      - impairment: {on: [r1], device: middle, delay: 200}
    expect:
      - series: {from: [a], to: [b], count: 5, lost: [0, 0], fastest: 210}
  healed:
    after: slower
    changes:
      - impairment: {on: [r1, r2], device: middle}
    expect:
      - series: {from: [a], to: [b], count: 5, lost: [0, 0]}
"""


@pytest.mark.parametrize("who", ["root", "ordinary user"])
def test_delays_come_change_and_go(who: str, tmp_path: Path) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text(SLOW)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    done = lab("run", str(file), who=who)
    assert done.code == 0, done.out + done.err


@pytest.mark.skipif(has_netem(), reason="this kernel delays whatever there is")
def test_a_delay_that_this_kernel_cannot_make_is_named_with_its_line_and_what_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text(
        "scenario: slow\ntopology: three-in-a-row\nphases:\n  slow:\n"
        "    changes:\n      - impairment: {on: [r1], device: lo, delay: 50}\n"
        "    expect:\n      - ping: {from: [a], to: [b]}\n"
    )
    done = lab("run", str(file))
    assert done.code == 3
    assert f"{file}:6:21: r1:lo is to delay packets, which is not available here: it needs sch_netem" in done.err


def test_a_process_that_was_never_stopped_is_not_started_and_the_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "started.yaml"
    file.write_text(
        (SCENARIO % "commands: [ip link]").replace(
            "  - run: {on: [c1-node],", "  - process: {on: [proxy], name: tinyproxy, action: start}\n      - run: {on: [c1-node],"
        )
    )
    done = lab("run", "-q", str(file))
    assert (done.code, done.err) == (2, f"{file}:9:18: 'tinyproxy' of 'proxy' was not stopped\n")
