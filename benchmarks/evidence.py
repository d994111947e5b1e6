"""What it costs to see every packet, and what is seen: `python -m benchmarks evidence`.

Three bars. The flagship with everything on (hops and drop reasons by BPF, every packet recorded as pcapng) takes at most 1.3 times the run
with packet sockets alone, without reasons and record. A packet through 200 namespaces is seen on every device, in the kernel's order, every
time. Of a fault campaign every packet is located by namespace, interface and reason, at 5,000 a second or more.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from benchmarks.campaign import Campaign, campaign
from benchmarks.runs import as_ordinary_user, as_root, at_rest, median
from lab.explain.journey import Journey, journey_of
from lab.kernel.sandbox import Sandbox
from lab.probe import Part, PingRequest
from lab.scenario.play import run_scenario
from lab.scenario.stage import RunningLab
from lab.spec import open_scenario
from lab.state import AddressEntry, Link, Loopback, Route, State, StateBuilder, complete

COST, RATE = 1.3, 5000
PARTS: Final[tuple[Part, Part]] = ("request", "answer")
_FAR: Final = 255
"""TTL of packets that cross 200 routers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks evidence", description="What seeing every packet costs, and what is seen.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--length", type=int, default=200, help="namespaces in the chain")
    parser.add_argument("--packets", type=int, default=100)
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    missed = [_flagship(options.runs)]
    for who, run in (("root, BPF", as_root), ("ordinary user, packet sockets", as_ordinary_user)):
        seen = run(lambda sandbox: chain(sandbox, options.length, options.packets))
        print(f"chain of {options.length} namespaces, {who}: {seen} of {options.packets} packets on every device, in order")
        missed.append(seen != options.packets)
    found: Campaign = as_root(lambda sandbox: campaign(sandbox, options.faults, options.seed))
    rate = found.faults / found.seconds
    print(
        f"fault campaign: {found.located} of {found.faults} located, {rate:,.0f} a second, median {found.median_us:.0f} us (bar {RATE:,})"
    )
    missed.append(found.located != found.faults or rate < RATE)
    return int(any(missed))


def _flagship(runs: int) -> bool:
    """Compare runs with everything on, and with packet sockets alone, alternately."""
    scenario, topology = open_scenario("calico-24-mismatch")
    packets: list[bytes] = []
    took: dict[str, list[float]] = {"sockets": [], "BPF": [], "BPF and pcapng": []}
    for _ in range(runs):
        for name, bpf, record in (("sockets", False, None), ("BPF", True, None), ("BPF and pcapng", True, packets.append)):
            at_rest()
            packets.clear()
            began = time.perf_counter()
            run_scenario(scenario, topology, bpf=bpf, record=record)
            took[name].append(time.perf_counter() - began)
    floor = median(took["sockets"])
    for name, seconds in took.items():
        print(f"flagship, {name}: median {median(seconds):.2f} s, {median(seconds) / floor:.2f} times packet sockets alone")
    print(f"one run recorded: {sum(map(len, packets)) / 1e6:.1f} MB of pcapng (bar {COST} times)")
    return median(took["BPF and pcapng"]) > COST * floor


def chain(sandbox: Sandbox, length: int, packets: int) -> int:
    """Ping through a row of namespaces; returns how many requests and answers were seen on every device, in the order of the way."""
    exact = 0
    with RunningLab(sandbox) as lab:
        lab.reach(row_of(length))
        lab.probe([along(length)])  # every neighbour is known afterwards
        for _ in range(packets):
            (outcome,) = lab.probe([along(length)])
            exact += ways_of(journey_of(outcome)) == ways_along(length)
    return exact


Way = list[tuple[str, str, str]]
"""Namespace, device and direction of every passage, in order."""


def along(length: int) -> PingRequest:
    """Return a ping from one end of a row to the other."""
    return PingRequest("n0", IPv4Address(f"10.{(length - 2) >> 8}.{(length - 2) & 255}.2"), ttl=_FAR)


def ways_along(length: int) -> tuple[Way, Way]:
    """Return the ways that a request and its answer have to take."""
    hops = range(length - 1)
    there = [end for hop in hops for end in ((f"n{hop}", "right", "out"), (f"n{hop + 1}", "left", "in"))]
    back = [end for hop in reversed(hops) for end in ((f"n{hop + 1}", "left", "out"), (f"n{hop}", "right", "in"))]
    return there, back


def ways_of(journey: Journey) -> tuple[Way, Way]:
    """Return the ways that a request and its answer took."""
    request, answer = ([(p.namespace, p.device, p.direction) for p in journey.of(part)] for part in PARTS)
    return request, answer


def row_of(length: int) -> State:
    """Return namespaces in a row: each forwards, and knows the way to both ends."""
    builder = StateBuilder()
    for number in range(length):
        node = builder.add_namespace(f"n{number}")
        node.sysctl("net/ipv4/ip_forward", 1)
        node.sysctl("net/ipv4/ip_default_ttl", _FAR)
        node.sysctl("net/ipv4/conf/all/rp_filter", 0)
    for number in range(length - 1):
        subnet = f"10.{number >> 8}.{number & 255}"
        builder.add_veth((f"n{number}", Link("right", Loopback())), (f"n{number + 1}", Link("left", Loopback())))
        builder[f"n{number}"].add_address(AddressEntry("right", IPv4Interface(f"{subnet}.1/24")))
        builder[f"n{number + 1}"].add_address(AddressEntry("left", IPv4Interface(f"{subnet}.2/24")))
    first, last = IPv4Network("10.0.0.0/24"), IPv4Network(f"10.{(length - 2) >> 8}.{(length - 2) & 255}.0/24")
    for number in range(length):
        if number < length - 2:
            builder[f"n{number}"].add_route(Route(last, via=IPv4Address(f"10.{number >> 8}.{number & 255}.2"), device="right"))
        if number > 1:
            before = number - 1
            builder[f"n{number}"].add_route(Route(first, via=IPv4Address(f"10.{before >> 8}.{before & 255}.1"), device="left"))
    return complete(builder.freeze())


if __name__ == "__main__":
    raise SystemExit(main())
