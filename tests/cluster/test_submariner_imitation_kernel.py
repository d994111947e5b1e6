"""The imitated libreswan cable on the real kernel: it tunnels what IPsec's selectors would, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from lab.kernel.engine import Engine
from lab.kernel.sandbox import Sandbox, run_in_sandbox
from lab.state import State
from lab.state.nft import Counter
from tests.cluster.submariner_lab import JOINED, JOINED_SMALL, WORKERS, after, two_clusters

pytestmark = pytest.mark.kernel

LIBRESWAN = two_clusters(submariner={"cable": "libreswan"})


def run(sandbox: Sandbox, node: str, *argv: str) -> str:
    process = sandbox.spawn(node, list(argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate()
    return output.decode()


def ping(sandbox: Sandbox, node: str, to: str, *options: str) -> str:
    """Return how one ping was answered; it is given up after a second, which is only waited for where nothing comes."""
    output = run(sandbox, node, "ping", "-n", "-c1", "-W1", *options, to)
    lines = [line for line in output.splitlines() if "ttl=" in line or "Unreachable" in line]
    return lines[0] if lines else "silence"


def address(state: State, pod: str) -> str:
    return str(state[pod].addresses_of("eth0")[0].interface.ip)


def refused_in_clear(engine: Engine) -> int:
    """Return how many packets came in clear although a policy wants them in the tunnel."""
    chains = (c for t in engine.read_back()["c1-gw"].tables if t.name == "ipsec-imitation" for c in t.chains)
    rules = (rule for chain in chains for rule in chain.rules if rule.comment == "in policy: must come through the tunnel")
    return sum(s.packets for rule in rules for s in rule.statements if isinstance(s, Counter))


def in_lab(state: State, work: Callable[[Sandbox, Engine], list[str]]) -> list[str]:
    def inside(sandbox: Sandbox, report: Callable[[object], None]) -> list[str]:
        with Engine(sandbox) as engine:
            engine.apply(state)
            return work(sandbox, engine)

    return run_in_sandbox(inside)


def test_pods_and_hosts_reach_the_other_cluster_through_it() -> None:
    state = after(*JOINED, topology=LIBRESWAN)
    senders = ("c1-gw-a", "c1-w1-a", "c1-gw", "c1-w1")
    answers = in_lab(state, lambda sandbox, _: [ping(sandbox, sender, address(state, "c2-w1-a")) for sender in senders])
    assert [answer.split("ttl=")[-1].split()[0] for answer in answers] == ["61", "60", "62", "61"]


def test_a_pod_inside_the_24_is_tunnelled_and_a_real_one_leaves_in_clear() -> None:
    lucky = {"c1-gw": "10.46.0.0/26", "c2-gw": "10.42.0.0/26"}
    topology = two_clusters(submariner={"cable": "libreswan"}, blocks=lucky)
    state = after(*JOINED_SMALL, absent=WORKERS, topology=topology)
    targets = (address(state, "c2-gw-a"), address(state, "c2-w1-a"))
    inside, outside = in_lab(state, lambda sandbox, _: [ping(sandbox, "c1-gw-a", target) for target in targets])
    assert "ttl=62" in inside
    assert outside == "From 10.128.11.126 icmp_seq=1 Destination Host Unreachable"


def test_what_must_come_through_the_tunnel_does_not_come_in_clear() -> None:
    state = after(*JOINED, topology=LIBRESWAN)
    pod, forged = address(state, "c1-gw-a"), address(state, "c2-gw-a")

    def work(sandbox: Sandbox, engine: Engine) -> list[str]:
        run(sandbox, "edge-1", "ip", "route", "add", "10.46.0.0/16", "via", "172.18.1.2")
        run(sandbox, "edge-1", "ip", "address", "add", f"{forged}/32", "dev", "lo")
        own = ping(sandbox, "edge-1", pod)
        before = refused_in_clear(engine)
        return [own, ping(sandbox, "edge-1", pod, "-I", forged), str(refused_in_clear(engine) - before)]

    own, in_clear, counted = in_lab(state, work)
    assert "ttl=63" in own
    assert (in_clear, counted) == ("silence", "1")
