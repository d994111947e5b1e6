"""Impaired links: what the kernel is told, what it gives back, and what stands in for netem where it is not there."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from lab.kernel.engine import Engine
from lab.kernel.impairments import TABLE, has_netem, realised, recognised
from lab.kernel.netlink.qdiscs import TCMSG, read_qdisc, replace_qdisc
from lab.kernel.netlink.wire import HEADER
from lab.kernel.recognition import as_stated
from lab.kernel.sandbox import Sandbox
from lab.state import LO, AddressEntry, Bucket, Impairment, Link, Namespace, State, Veth, commands_of, complete, difference

NETEM = bytes.fromhex(
    "00000000 01000000 00000000 ffffffff 00000000"  # tcmsg of lo
    "0a000100 6e6574656d000000"
    "3c000200 84d71700 e8030000 cccccc4c 00000000 00000000 00000000"
    "0c000400 cdcccc0c 00000000"
    "14000600 48e80100 00000000 00000000 00000000"
)
"""The body of what tc(8) of iproute2 6.1 sends for `tc qdisc replace dev lo root netem delay 100ms loss 30% corrupt 5% rate 1mbit`."""


def two(impairment: Impairment | None = None) -> State:
    """Two namespaces and a cable, with one end impaired."""
    ends = (("a", "b", 1), ("b", "a", 2))
    namespaces = {
        here: Namespace(
            here,
            links=(LO, Link("eth0", Veth(there, "eth0"), impairment=impairment if here == "a" else None)),
            addresses=(AddressEntry("eth0", IPv4Interface(f"10.0.0.{number}/24")),),
        )
        for here, there, number in ends
    }
    return complete(State(namespaces))


class TestWithoutAKernel:
    def test_netem_is_told_what_tc_tells_it(self) -> None:
        ours = replace_qdisc(1, Impairment(loss=3000, corruption=500, delay=100, rate=1000))[HEADER.size :]
        limit = slice(TCMSG.size + 12 + 4 + 4, TCMSG.size + 12 + 4 + 8)  # how many packets it holds is the lab's own choice
        assert ours[: limit.start] + ours[limit.stop :] == NETEM[: limit.start] + NETEM[limit.stop :]

    def test_what_netem_tells_is_read(self) -> None:
        assert read_qdisc(NETEM) == (1, Impairment(loss=3000, corruption=500, delay=100, rate=1000))

    @pytest.mark.parametrize("chance", [1, 333, 5000, 9999, 10_000])
    def test_every_chance_comes_back_as_it_was(self, chance: int) -> None:
        impairment = Impairment(loss=chance, corruption=chance, delay=60_000)
        assert read_qdisc(replace_qdisc(7, impairment)[HEADER.size :]) == (7, impairment)

    def test_a_rate_alone_is_a_token_bucket(self) -> None:
        body = replace_qdisc(7, Impairment(rate=30_000_000))[HEADER.size :]
        assert b"tbf\0" in body
        assert read_qdisc(body) == (7, Impairment(rate=30_000_000))

    def test_a_token_bucket_that_is_not_the_labs_own_is_told(self) -> None:
        read = read_qdisc(replace_qdisc(7, Impairment(rate=1000, bucket=Bucket(32768, 20000)))[HEADER.size :])
        assert read == (7, Impairment(rate=1000, bucket=Bucket(32768, 20000)))

    def test_where_there_is_netem_nothing_stands_in_for_it(self) -> None:
        state = two(Impairment(loss=1000, delay=5))
        assert realised(state, netem=True) is state

    def test_where_there_is_none_rules_stand_in_for_loss_and_damage(self) -> None:
        state = two(Impairment(loss=1000, corruption=10_000, rate=500))
        stood_in = realised(state, netem=False)
        assert stood_in["a"].link("eth0").impairment == Impairment(rate=500)  # type: ignore[union-attr]
        assert [(table.family, table.name) for table in stood_in["a"].tables] == [("netdev", TABLE)]
        assert recognised(stood_in.namespaces) == state.namespaces

    def test_it_is_printed_as_tc_has_it(self) -> None:
        def queueing(before: Impairment | None, after: Impairment | None) -> list[str]:
            return [" ".join(command.argv) for command in commands_of(difference(two(before), two(after))) if command.argv[0] == "tc"]

        (lossy,) = queueing(None, Impairment(loss=1250, delay=20))
        assert lossy == "tc qdisc replace dev eth0 root netem delay 20ms loss 12.5%"
        (slow,) = queueing(Impairment(loss=1250), Impairment(rate=64))
        assert slow == "tc qdisc replace dev eth0 root tbf rate 64kbit burst 16kb latency 1000ms"
        (small,) = queueing(Impairment(rate=64), Impairment(rate=64, bucket=Bucket(4096, 9000)))
        assert small == "tc qdisc replace dev eth0 root tbf rate 64kbit burst 4096 limit 9000"
        (healed,) = queueing(Impairment(rate=64), None)
        assert healed == "tc qdisc del dev eth0 root"


@pytest.mark.kernel
@pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
class TestOnTheKernel:
    def test_it_holds_them_one_after_the_other(self, sandbox: Sandbox) -> None:
        with Engine(sandbox) as engine:
            by_hand = Impairment(rate=1000, bucket=Bucket(32768, 20000))
            for impairment in (Impairment(loss=5000), by_hand, Impairment(loss=1, corruption=9999, rate=800), Impairment(rate=64), None):
                target = two(impairment)
                engine.apply(target)
                assert as_stated(engine.read_back(), target) == target
                assert engine.apply(target).is_empty
                engine.refresh()
                assert engine.apply(target).is_empty

    def test_what_is_lost_is_lost_one_way(self, sandbox: Sandbox) -> None:
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(loss=10_000)))
            assert sent(sandbox, "a") == 0
            assert sent(sandbox, "b") >= 1

    @pytest.mark.skipif(has_netem(), reason="netem turns over any bit of a frame")
    def test_what_is_damaged_arrives_and_is_discarded(self, sandbox: Sandbox, eventually: Callable[..., None]) -> None:
        with Engine(sandbox) as engine:
            engine.apply(two(Impairment(corruption=10_000)))
            before = engine.counters(["b"])["b"]["IpExtInCsumErrors"]
            assert sent(sandbox, "a") >= 1
            eventually(lambda: engine.counters(["b"])["b"]["IpExtInCsumErrors"] == before + 1, "one wrong check sum")

    def test_a_link_that_is_made_anew_is_impaired_again(self, sandbox: Sandbox) -> None:
        target = two(Impairment(loss=10_000))
        without = complete(State({"a": replace(target["a"], links=(LO,), addresses=(), routes=())}))
        with Engine(sandbox) as engine:
            engine.apply(target)
            engine.apply(without)
            engine.apply(target)
            assert as_stated(engine.read_back(), target) == target
            assert sent(sandbox, "a") == 0


def sent(sandbox: Sandbox, name: str) -> int:
    """Send a datagram to the other one, whose neighbour entry is stated; return how many frames the other one's device took.

    A veth pair counts a frame within the system call that sends it.
    """
    other, number = ("b", 2) if name == "a" else ("a", 1)

    def run(where: str, *argv: str) -> str:
        with sandbox.enter(where):
            return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    mac = run(other, "ip", "-o", "link", "show", "eth0").partition("link/ether ")[2].split()[0]
    run(name, "ip", "neigh", "replace", f"10.0.0.{number}", "lladdr", mac, "dev", "eth0")
    before = _taken(run(other, "cat", "/proc/self/net/dev"))
    with sandbox.enter(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.sendto(b"one", (f"10.0.0.{number}", 9))
    return _taken(run(other, "cat", "/proc/self/net/dev")) - before


def _taken(table: str) -> int:
    (line,) = (line for line in table.splitlines() if line.strip().startswith("eth0:"))
    return int(line.split()[2])
