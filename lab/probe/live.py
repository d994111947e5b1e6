"""`python -m lab.probe.live MS`: the journeys of all packets of a lab, as they end, a line or more for each; `lab watch` runs this inside.

A packet is known again by what neither NAT nor tunnels change: its IP identification, and what it carries. Its journey is over when it was
seen nowhere for a while, beside the milliseconds that it may wait in links.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from lab.kernel.capture import BUFFER, ETH_P_ALL, await_clock, make_room, missed, received, stamp
from lab.kernel.capture import Frame as CapturedFrame
from lab.kernel.delays import WAITING_ROOM
from lab.kernel.packet import ETHERTYPE_ARP, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP
from lab.kernel.syscalls import Namespace, setns
from lab.probe.frame import Frame
from lab.probe.glance import Glance, marks, quoted

_NETNS: Final = Path("/run/netns")
_SETTLED: Final = 10_000_000
"""Nanoseconds after which no socket holds an older packet unread: they are read one after the other while packets go on."""
_OVER: Final = 150_000_000
"""Nanoseconds after which a packet that was seen nowhere has ended its journey."""
_NAMES: Final = {PROTOCOL_TCP: "TCP", PROTOCOL_UDP: "UDP", PROTOCOL_ICMP: "ICMP"}
_ICMP: Final = {0: "echo reply", 8: "echo request", 3: "unreachable", 11: "time exceeded", 5: "redirect"}

Key = tuple[int, bytes]
"""What tells a packet from all others: protocol, and bytes that nothing rewrites."""


@dataclass(slots=True)
class Way:
    """A packet on its way: where it was seen, and as what."""

    name: str
    began_ns: int
    last_ns: int
    ends: tuple[str, str]
    steps: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return its journey in a line."""
        began = datetime.fromtimestamp(self.began_ns / 1e9).astimezone()
        return f"{began:%H:%M:%S}.{self.began_ns // 1000 % 1_000_000:06} {self.name}: {' '.join(self.steps)}"


@dataclass(slots=True)
class Journeys:
    """Puts the sightings of packets together."""

    waits_ns: int = 0
    """How long links may hold a packet."""
    under_way: dict[Key, Way] = field(default_factory=dict)

    def see(self, time_ns: int, namespace: str, device: str, direction: str, data: bytes) -> None:
        """Take in a packet on a device; ARP is left out."""
        look = Frame(data).look()
        if look is None or look.protocol == ETHERTYPE_ARP or look.later:
            return
        key = _key(data, look)
        ends = _ends(data, look)
        way = self.under_way.get(key)
        if way is None:
            way = self.under_way[key] = Way(f"{_name(data, look)} {ends[0]} > {ends[1]}", time_ns, time_ns, ends)
        elif way.ends != ends:
            way.steps.append(f"[{ends[0]} > {ends[1]}]")
        way.ends, way.last_ns = ends, time_ns
        interface = f"{namespace}:{device}{'*' if look.encapsulated else ''}"
        step = f">{interface}" if direction == "out" else f"{interface}>"
        way.steps.append(step)

    def over(self, now_ns: int) -> Iterator[Way]:
        """Yield the packets that are seen no more, in the order in which they began."""
        ended = [(key, way) for key, way in self.under_way.items() if now_ns - way.last_ns > _OVER + self.waits_ns]
        for key, way in sorted(ended, key=lambda item: item[1].began_ns):
            del self.under_way[key]
            yield way


def _key(data: bytes, look: Glance) -> Key:
    """Addresses, ports, identifiers, check sums and TTL change on the way; sequence numbers and payloads do not."""
    at = look.start
    identification = data[at - 16 : at - 14]  # of a header without options
    kept = {
        PROTOCOL_ICMP: data[at : at + 2] + data[at + 6 : at + 24],
        PROTOCOL_TCP: data[at + 4 : at + 14],
        PROTOCOL_UDP: data[at + 8 : at + 24],
    }
    return look.protocol, identification + kept.get(look.protocol, data[at : at + 16])


def _ends(data: bytes, look: Glance) -> tuple[str, str]:
    source, destination = ip_address(look.source), ip_address(look.destination)
    if look.protocol not in (PROTOCOL_TCP, PROTOCOL_UDP):
        return str(source), str(destination)
    first, second = marks(data, look)
    return f"{source}:{first}", f"{destination}:{second}"


def _name(data: bytes, look: Glance) -> str:
    name = _NAMES.get(look.protocol, f"protocol {look.protocol}")
    if look.protocol == PROTOCOL_ICMP and len(data) > look.start:
        about = quoted(data, look)
        name += f" {_ICMP.get(data[look.start], f'type {data[look.start]}')}"
        name += f" (about {ip_address(about.source)} > {ip_address(about.destination)})" if about is not None else ""
    return name


def main(waits_ms: int) -> int:
    """Print journeys until somebody ends it; returns the exit code."""
    sockets = {opened.fileno(): (opened, name) for name, opened in _open_all()}
    if sockets:
        await_clock(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))  # in the namespace that was opened last
        for watched in sockets.values():
            list(received(*watched))  # what was sent for this
    poll = select.poll()
    for descriptor in sockets:
        poll.register(descriptor, select.POLLIN)
    journeys = Journeys(waits_ms * 1_000_000)
    unseen: list[CapturedFrame] = []
    sys.stderr.write(f"watching {len(sockets)} namespaces; Ctrl-C ends it\n")
    sys.stderr.flush()
    try:
        while True:
            ready = poll.poll(50 if journeys.under_way or unseen else 1000)
            unseen += [frame for descriptor, _ in ready for frame in received(*sockets[descriptor])]
            unseen.sort(key=lambda frame: frame.time_ns)
            settled = bisect_right(unseen, time.time_ns() - _SETTLED, key=lambda frame: frame.time_ns)
            for frame in unseen[:settled]:
                journeys.see(frame.time_ns, frame.namespace, frame.device, "out" if frame.outgoing else "in", frame.data)
            del unseen[:settled]
            for way in journeys.over(time.time_ns()):
                sys.stdout.write(f"{way.line()}\n")
            sys.stdout.flush()
            if lost := sum(missed(opened) for opened, _ in sockets.values()):
                sys.stderr.write(f"{lost} packets were missed: they came faster than they were read, and journeys may have gaps\n")
                sys.stderr.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _open_all() -> Iterator[tuple[str, socket.socket]]:
    """Open a packet socket in every namespace of the lab this process is in."""
    for path in sorted(path for path in _NETNS.iterdir() if path.name != WAITING_ROOM):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        setns(descriptor, Namespace.NET)
        os.close(descriptor)
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        stamp(opened)
        make_room(opened, BUFFER)
        yield path.name, opened


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
