"""A fault campaign: random faults of many kinds are installed, one packet goes to each, and the kernel's own report says where it died.

What is measured is how soon after a packet was sent it is known where and why it died: the verdict comes with its death, not with a timer.
"""

from __future__ import annotations

import os
import random
import socket
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from lab.kernel.bpf import DropEvent, Witness, open_witness
from lab.kernel.engine import Engine
from lab.kernel.nftables import Nftables
from lab.kernel.sandbox import Sandbox
from lab.state import AddressEntry, Link, Loopback, Route, State, StateBuilder, complete

ROWS: Final = 8
"""How many senders with a router and a receiver of their own there are."""
COOKIE: Final = b"lab%05d"
_IP_MTU_DISCOVER, _PROBE = 10, 3
_BOUND: Final = 1.0
"""Seconds after which a packet nobody reported counts as not located."""

KINDS: Final = {
    "no route": ("r", "left", "IP_INNOROUTES"),
    "blackhole route": ("r", "left", "NOT_SPECIFIED"),
    "unreachable route": ("r", "left", "NOT_SPECIFIED"),
    "prohibit route": ("r", "left", "NOT_SPECIFIED"),
    "reverse path filter": ("r", "left", "IP_RPFILTER"),
    "forwarding off": ("r", "off", "IP_INADDRERRORS"),
    "nft drop": ("r", "left", "NETFILTER_DROP"),
    "TTL": ("r", "left", "IP_INHDR"),
    "MTU": ("r", "left", "PKT_TOO_BIG"),
    "closed port": ("b", "eth0", "NO_SOCKET"),
}
"""Every kind of fault: whose namespace the packet dies in, on which interface, and the kernel's reason."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: where a packet has to go to die of it."""

    row: int
    kind: str
    destination: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class Campaign:
    """How it went."""

    faults: int
    located: int
    seconds: float
    median_us: float


def campaign(sandbox: Sandbox, faults: int, seed: int) -> Campaign:
    """Install random faults, send one packet to each, and compare what the kernel reports with what was installed."""
    chosen = _faults(faults, random.Random(seed))
    with Engine(sandbox) as engine:
        engine.apply(_state(chosen))
        for row in range(ROWS):
            _drop(sandbox, f"r{row}", [fault.destination for fault in chosen if fault.row == row and fault.kind == "nft drop"])
        names = {os.fstat(sandbox.descriptor(name)).st_ino: name for name in sandbox.namespaces}
        devices = {(name, index): device for name, indexes in engine.indexes.items() for device, index in indexes.items()}
        senders = [_senders(sandbox, row) for row in range(ROWS)]
        with open_witness(names) as witness:
            for row, by_kind in enumerate(senders):  # neighbours are known before the first packet
                for sender in by_kind.values():
                    sender.sendto(COOKIE % 0, (f"10.{row}.1.1", 9))
                by_kind["forwarding off"].sendto(COOKIE % 0, (f"10.{row}.3.1", 9))
                by_kind["closed port"].sendto(COOKIE % 0, (f"10.{row}.2.2", 9))
            witness.wait(0.2)
            return _measure(witness, chosen, senders, names, devices)


def _measure(
    witness: Witness,
    chosen: list[Fault],
    senders: list[dict[str, socket.socket]],
    names: dict[int, str],
    devices: dict[tuple[str, int], str],
) -> Campaign:
    located, took = 0, []
    witness.poll()
    began = time.perf_counter()
    for number, fault in enumerate(chosen, 1):
        cookie = COOKIE % number
        sent = time.perf_counter()
        senders[fault.row][fault.kind].sendto(cookie.ljust(900 if fault.kind == "MTU" else 32), (str(fault.destination), fault.port))
        drop = _death(witness, cookie, sent + _BOUND)
        took.append(time.perf_counter() - sent)
        if drop is not None:
            where = names[drop.netns]
            expected = (f"{KINDS[fault.kind][0]}{fault.row}", *KINDS[fault.kind][1:])
            located += (where, devices.get((where, drop.ifindex)), drop.reason) == expected
    seconds = time.perf_counter() - began
    return Campaign(len(chosen), located, seconds, sorted(took)[len(took) // 2] * 1e6)


def _death(witness: Witness, cookie: bytes, until: float) -> DropEvent | None:
    while True:
        for event in witness.poll():
            if isinstance(event, DropEvent) and cookie in event.data:
                return event
        if time.perf_counter() > until:
            return None


def _faults(count: int, chance: random.Random) -> list[Fault]:
    """Choose a kind and a row for each; no two share an address, so that no fault hides another and no path MTU is remembered."""
    chosen = []
    for number in range(count):
        row, kind = chance.randrange(ROWS), chance.choice(list(KINDS))
        low = f"{number >> 8 & 255}.{number & 255}"
        destination = {"closed port": f"10.{row}.2.2", "forwarding off": f"10.{row}.3.9"}.get(kind, f"172.{16 + row}.{low}")
        chosen.append(Fault(row, kind, IPv4Address(destination), 10_000 + number % 50_000 if kind == "closed port" else 9))
    return chosen


def _state(chosen: list[Fault]) -> State:
    builder = StateBuilder()
    for row in range(ROWS):
        for name, forwards in (("a", 0), ("r", 1), ("b", 0)):
            node = builder.add_namespace(f"{name}{row}")
            node.sysctl("net/ipv4/ip_forward", forwards)
            node.sysctl("net/ipv4/conf/all/rp_filter", 0)
        _cable(builder, ("a", "eth0", "2"), ("r", "left", "1"), row, 1)
        _cable(builder, ("b", "eth0", "2"), ("r", "right", "1"), row, 2)
        _cable(builder, ("a", "side", "2"), ("r", "off", "1"), row, 3)
        a, r = builder[f"a{row}"], builder[f"r{row}"]
        a.add_address(AddressEntry("eth0", IPv4Interface(f"198.51.100.{row + 1}/32")))
        r.sysctl("net/ipv4/conf/left/rp_filter", 1)
        r.sysctl("net/ipv4/conf/off/forwarding", 0)
        a.add_route(Route(IPv4Network("0.0.0.0/0"), via=IPv4Address(f"10.{row}.1.1"), device="eth0"))
        a.add_route(Route(IPv4Network(f"10.{row}.3.9/32"), via=IPv4Address(f"10.{row}.3.1"), device="side"))
        builder[f"b{row}"].add_route(Route(IPv4Network("0.0.0.0/0"), via=IPv4Address(f"10.{row}.2.1"), device="eth0"))
    for fault in chosen:
        network, r = IPv4Network(fault.destination), builder[f"r{fault.row}"]
        right = IPv4Address(f"10.{fault.row}.2.2")
        match fault.kind:
            case "blackhole route" | "unreachable route" | "prohibit route":
                r.add_route(Route(network, fault.kind.partition(" ")[0]))  # type: ignore[arg-type]
            case "MTU":
                r.add_route(Route(network, via=right, device="right", mtu=600))
            case "nft drop" | "TTL" | "reverse path filter":
                r.add_route(Route(network, via=right, device="right"))
    return complete(builder.freeze())


def _cable(builder: StateBuilder, one: tuple[str, str, str], other: tuple[str, str, str], row: int, subnet: int) -> None:
    ends = [(f"{name}{row}", Link(device, Loopback())) for name, device, _ in (one, other)]
    builder.add_veth(ends[0], ends[1])
    for name, device, host in (one, other):
        builder[f"{name}{row}"].add_address(AddressEntry(device, IPv4Interface(f"10.{row}.{subnet}.{host}/24")))


def _drop(sandbox: Sandbox, router: str, destinations: list[IPv4Address]) -> None:
    rules = "\n".join(f"    ip daddr {destination} drop" for destination in destinations)
    with sandbox.enter(router):
        nft = Nftables(router)
        nft.run_text(f"table ip campaign {{\n  chain forward {{\n    type filter hook forward priority 0\n{rules}\n  }}\n}}\n")
        nft.close()


def _senders(sandbox: Sandbox, row: int) -> dict[str, socket.socket]:
    made = {}
    for kind in KINDS:
        sender = made[kind] = sandbox.socket_in(f"a{row}", socket.AF_INET, socket.SOCK_DGRAM, 0)
        sender.setblocking(False)
        if kind == "reverse path filter":
            sender.bind((f"198.51.100.{row + 1}", 0))
        elif kind == "TTL":
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        elif kind == "MTU":
            sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
    return made
