"""The model: all fates of a large network, source checks for a million pairs, one changed route, and one explained packet.

    python -m benchmarks.model [--routers 1000] [--prefixes 10000] [--rounds 5]

The network is a tree three levels deep with a strict source check on every device: a core that knows a route for every prefix, regions
that know those of their leaves, leaves with a default route. Each prefix is an address somebody has. What is measured runs in a fresh
process each time, and is set beside two others: the *floor*, numpy copying the tables of fates as often as following them takes at least
(once for each doubling of the longest way), and the *explainer*, the other implementation, which walks each pair hop by hop.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from benchmarks.runs import median
from lab.state import AddressEntry, Link, Loopback, Route, State, StateBuilder, complete

BARS = {"all fates": 3.0, "a million pairs": 1.0, "one route": 0.010, "explained": 0.001, "memory": 1 << 30}
"""Seconds; bytes."""
EVERYTHING = IPv4Network("0.0.0.0/0")
LEAVES_OF_A_REGION = 31
PAIRS = 1000
"""Sources, and as many destinations."""
SAMPLE = 300
"""Pairs the explainer is asked about."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in fresh processes and print a table; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description="The model on a large network.")
    parser.add_argument("--routers", type=int, default=1000)
    parser.add_argument("--prefixes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--here", action="store_true", help="measure once, in this process, and print the numbers as JSON")
    options = parser.parse_args(arguments)
    if options.here:
        print(json.dumps(_measure(options.routers, options.prefixes)))
        return 0
    command = [sys.executable, "-m", "benchmarks.model", "--here", "--routers", str(options.routers), "--prefixes", str(options.prefixes)]
    rounds = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout) for _ in range(options.rounds)]
    found = {name: median([measured[name] for measured in rounds]) for name in rounds[0]}
    print(f"{options.routers} namespaces, {options.prefixes} prefixes, {found['routes']:.0f} routes; medians of {options.rounds}")
    print(f"  all fates, compiled from the state   {found['all fates']:8.3f} s  {found['all fates'] / found['floor']:8.1f} x the floor")
    print(
        f"  the same by the explainer            {found['explainer fates']:8.0f} s  {found['explainer fates'] / found['all fates']:8.0f} x"
    )
    print(f"  a million pairs with source checks   {found['a million pairs']:8.3f} s")
    ratio = found["explainer pairs"] / found["a million pairs"]
    print(f"  the same by the explainer            {found['explainer pairs']:8.0f} s  {ratio:8.0f} x")
    share = found["all fates"] / found["one route"]
    print(f"  one changed route                    {found['one route'] * 1e3:8.3f} ms   1/{share:.0f} of all")
    print(f"  one packet explained (flagship)      {found['explained'] * 1e3:8.3f} ms  {found['hops']:.0f} hops")
    print(f"  question and answer explained, cold  {found['explained cold'] * 1e3:8.3f} ms  {found['packets']:.0f} packets, ARP included")
    print(f"  memory                               {found['memory'] / (1 << 20):8.0f} MiB")
    missed = [name for name, bar in BARS.items() if found[name] > bar]
    for name in missed:
        print(f"  MISSED: {name} {found[name]:.4g}, bar {BARS[name]:.4g}")
    return int(bool(missed))


def tree(routers: int, prefixes: int) -> State:
    """A tree of routers; prefix number n, a /32, is an address on lo of leaf number n modulo the leaves."""
    builder = StateBuilder()
    regions = max(1, (routers - 1) // (LEAVES_OF_A_REGION + 1))
    leaves = routers - 1 - regions
    names = ["core", *(f"region{number}" for number in range(regions)), *(f"leaf{number}" for number in range(leaves))]
    for name in names:
        made = builder.add_namespace(name)
        made.sysctl("net/ipv4/ip_forward", 1)
        made.sysctl("net/ipv4/conf/all/rp_filter", 1)
    ways = {}
    parents = {f"region{number}": "core" for number in range(regions)}
    parents |= {f"leaf{number}": f"region{number % regions}" for number in range(leaves)}
    for link, (child, parent) in enumerate(parents.items()):
        above, below = IPv4Address(0x0A00_0000 + 4 * link + 1), IPv4Address(0x0A00_0000 + 4 * link + 2)
        down = f"d{link}"
        builder.add_veth((parent, Link(down, Loopback(), mac=_mac(2 * link))), (child, Link("up", Loopback(), mac=_mac(2 * link + 1))))
        builder[parent].add_address(AddressEntry(down, IPv4Interface((int(above), 30))))
        builder[child].add_address(AddressEntry("up", IPv4Interface((int(below), 30))))
        builder[child].add_route(Route(EVERYTHING, via=above, device="up"))
        ways[child] = (below, down)
    for number in range(prefixes):
        leaf = f"leaf{number % leaves}"
        address = address_of(number)
        builder[leaf].add_address(AddressEntry("lo", IPv4Interface((int(address), 32))))
        here = leaf
        while here != "core":
            (via, device), here = ways[here], parents[here]
            builder[here].add_route(Route(IPv4Network(address), via=via, device=device))
    return complete(builder.freeze())


def address_of(prefix: int) -> IPv4Address:
    """The address that is prefix number `prefix`."""
    return IPv4Address(0x1400_0000 + 256 * prefix + 1)


def _mac(number: int) -> str:
    return f"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def _measure(routers: int, prefixes: int) -> dict[str, float]:
    import numpy as np

    from lab.forwarding import Flow, Network, trace
    from lab.forwarding.reach.fast import Fate, compile_reach, host_pairs

    state = tree(routers, prefixes)
    leaves = [name for name in state.namespaces if name.startswith("leaf")]
    seconds, fast = _timed(lambda: compile_reach(state))
    found: dict[str, float] = {"all fates": seconds, "routes": sum(len(namespace.routes) for namespace in state)}
    longest_way = 4  # leaf, region, core, region, leaf
    found["floor"], _ = _timed(lambda: [np.copy(fast.out) for _ in range(longest_way.bit_length())])
    hosts = [(leaves[number % len(leaves)], address_of(number)) for number in range(PAIRS)]
    destinations = [address_of((7 * number + 3) % prefixes) for number in range(PAIRS)]
    found["a million pairs"], table = _timed(lambda: host_pairs(fast, hosts, destinations))
    assert (table == Fate.DELIVERED).all(), "every leaf reaches every other"
    changed = IPv4Network(address_of(prefixes // 2))
    found["one route"], _ = _timed(lambda: fast.change_route("core", changed, Fate.BLACKHOLE))
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    network = Network(state)

    def walk() -> None:
        for number in range(SAMPLE):
            name, address = hosts[number * 3 % PAIRS]
            trace(network, Flow(name, destinations[number * 11 % PAIRS], source_address=address))

    walked, _ = _timed(walk)
    found["explainer pairs"] = walked / SAMPLE * PAIRS * PAIRS
    found["explainer fates"] = walked / SAMPLE * fast.fate.size
    return found | _explained()


def _explained() -> dict[str, float]:
    """Explain a packet between pods of two clusters in the flagship; neighbours are known, unless it says cold."""
    from lab.api.inputs import open_state
    from lab.forwarding import Flow, Network, trace
    from lab.forwarding.memory import Memory

    state = open_state("calico-24-mismatch", "healthy")
    target = state["c2-w1-a"].addresses_of("eth0")[0].interface.ip
    assert isinstance(target, IPv4Address)
    network, flow = Network(state), Flow("c1-w1-a", target)
    cold = trace(network, flow)
    assert cold.must
    known = cold.memory
    # Question and answer are one conversation; the packet explained is one of the two.
    warm = min(_timed(lambda: trace(network, flow, memory=known))[0] for _ in range(50)) / len(cold.traces)
    return {
        "explained": warm,
        "hops": len(cold.request.hops),
        "explained cold": min(_timed(lambda: trace(network, flow, memory=Memory()))[0] for _ in range(50)),
        "packets": len(cold.traces) + sum(len(traced.resolutions) for traced in cold.traces),
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


if __name__ == "__main__":
    raise SystemExit(main())
