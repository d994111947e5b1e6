"""Namespaces to watch: made and linked here, alive only as long as this process holds their descriptors."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

import pytest

from lab.kernel.bpf import Direction, DropEvent, Event, Witness

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
SIOCETHTOOL, ETHTOOL_GLINK = 0x8946, 0x0A
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2
BOUND = 10.0
"""Seconds after which a test gives up waiting for the kernel; nothing waits that long when all is well."""

_libc = ctypes.CDLL(None, use_errno=True)
_markers = count(int.from_bytes(os.urandom(4), "big"))
_links = count()


@dataclass
class Namespaces:
    """Network namespaces by name."""

    descriptors: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, setup: str = "") -> None:
        def make() -> int:
            assert _libc.unshare(CLONE_NEWNET) == 0
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        self.descriptors[name] = _in_a_thread(make)
        self.run(name, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1\nip link set lo up\n" + setup)

    def inode(self, name: str) -> int:
        return os.fstat(self.descriptors[name]).st_ino

    def inodes(self) -> list[int]:
        return [self.inode(name) for name in self.descriptors]

    def run(self, name: str, script: str) -> None:
        """Run shell lines in a namespace; every one must succeed."""
        descriptor = self.descriptors[name]
        command = ["nsenter", f"--net=/proc/self/fd/{descriptor}", "sh", "-e", "-c", script]
        done = subprocess.run(command, pass_fds=[descriptor], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}: {done.stderr}"

    def socket(self, name: str, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        return self._inside(name, lambda: socket.socket(socket.AF_INET, kind))

    def place(self, name: str, device: str) -> tuple[int, int]:
        """A device as events name it: inode number of the namespace and interface index."""
        return self.inode(name), self._inside(name, lambda: socket.if_nametoindex(device))

    def mac(self, name: str, device: str) -> str:
        return _mac(self.place(name, device)[1])

    def link(self, left: str, left_device: str, right: str, right_device: str) -> None:
        """A veth pair with both ends up and forwarding."""
        # Interface indexes that differ on both ends: where they are equal, the kernel handles the carrier up to a second late.
        number = 100 + 2 * next(_links)
        peer = f"/proc/{os.getpid()}/fd/{self.descriptors[right]}"
        self.run(
            left,
            f"ip link add {left_device} index {number} address {_mac(number)} type veth "
            f"peer name {right_device} index {number + 1} address {_mac(number + 1)} netns {peer}\n"
            f"ip link set {left_device} up",
        )
        self.run(right, f"ip link set {right_device} up")
        self._inside(left, lambda: _settle(left_device))
        self._inside(right, lambda: _settle(right_device))

    def send(self, name: str, to: str, *, source: str = "", ttl: int = 64, size: int = 32, df: bool = False) -> bytes:
        """Send one UDP packet to port 9; return the marker its payload begins with."""
        marker = b"mark" + next(_markers).to_bytes(8, "big")
        with self.socket(name) as sock:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO if df else IP_PMTUDISC_DONT)
            if source:
                sock.bind((source, 0))
            with suppress(PermissionError):  # what the sender's own firewall says
                sock.sendto(marker.ljust(size, b"."), (to, 9))
        return marker

    def vxlan(self, name: str, device: str, vni: int, here: int, there: int, remote: str) -> None:
        """A device vx0 with address 10.50.0.`here` that reaches 10.50.0.`there` at the address `remote`."""
        self.run(
            name,
            f"ip link add vx0 address 02:01:00:00:00:0{here} type vxlan id {vni} dstport 4789 dev {device} nolearning\n"
            f"ip addr add 10.50.0.{here}/24 dev vx0; ip link set vx0 up\n"
            f"ip neigh add 10.50.0.{there} lladdr 02:01:00:00:00:0{there} dev vx0\n"
            f"bridge fdb add 02:01:00:00:00:0{there} dev vx0 dst {remote}",
        )

    def _inside(self, name: str, work: Callable[[], T]) -> T:
        def enter() -> T:
            assert _libc.setns(self.descriptors[name], CLONE_NEWNET) == 0
            return work()

        return _in_a_thread(enter)


def _in_a_thread(work: Callable[[], T]) -> T:
    """Run work in a thread of its own, which takes its change of namespace with it, and return the result."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def _mac(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 0xFF:02x}"


def _settle(device: str) -> None:
    """Ask for the carrier, which makes the kernel handle its change now: before that a device swallows packets."""
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_GLINK, 0), 8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, SIOCETHTOOL, struct.pack("16sP16x", device.encode(), ctypes.addressof(value)))


@pytest.fixture
def namespaces() -> Iterator[Namespaces]:
    made = Namespaces()
    yield made
    for descriptor in made.descriptors.values():
        os.close(descriptor)


@pytest.fixture
def routed(namespaces: Namespaces) -> Namespaces:
    """sender (s0) - (r0) router (r1) - (d0) receiver, with every neighbour known. The sender has a second address that nobody routes."""
    for name in ("sender", "router", "receiver"):
        namespaces.add(name)
    namespaces.link("sender", "s0", "router", "r0")
    namespaces.link("router", "r1", "receiver", "d0")
    namespaces.run(
        "sender",
        "ip addr add 10.1.0.2/24 dev s0; ip addr add 10.9.0.2/32 dev lo\n"
        f"ip route add default via 10.1.0.1; ip neigh add 10.1.0.1 lladdr {namespaces.mac('router', 'r0')} dev s0",
    )
    namespaces.run(
        "router",
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.r0.rp_filter=0 net.ipv4.conf.r1.rp_filter=0\n"
        "ip addr add 10.1.0.1/24 dev r0; ip addr add 10.2.0.1/24 dev r1\n"
        f"ip neigh add 10.1.0.2 lladdr {namespaces.mac('sender', 's0')} dev r0\n"
        f"ip neigh add 10.2.0.2 lladdr {namespaces.mac('receiver', 'd0')} dev r1",
    )
    namespaces.run(
        "receiver",
        "ip addr add 10.2.0.2/24 dev d0; ip route add default via 10.2.0.1\n"
        f"ip neigh add 10.2.0.1 lladdr {namespaces.mac('router', 'r1')} dev d0",
    )
    return namespaces


@dataclass
class Chain:
    """Namespaces in a row, n0 the first. `way` is what a packet from n0 to `address` crosses, in order."""

    namespaces: Namespaces
    address: str
    way: list[tuple[int, int, Direction]]

    def listener(self) -> socket.socket:
        sock = self.namespaces.socket(list(self.namespaces.descriptors)[-1])
        sock.settimeout(BOUND)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.bind(("", 9))
        return sock


@pytest.fixture
def chain(namespaces: Namespaces) -> Chain:
    """Twenty namespaces in a row, all neighbours known."""
    length = 20
    for number in range(length):
        namespaces.add(f"n{number}", "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0")
    for number in range(length - 1):
        namespaces.link(f"n{number}", "right", f"n{number + 1}", "left")
    way: list[tuple[int, int, Direction]] = []
    for number in range(length - 1):
        here, there = f"n{number}", f"n{number + 1}"
        way += [(*namespaces.place(here, "right"), Direction.OUT), (*namespaces.place(there, "left"), Direction.IN)]
        namespaces.run(there, f"ip addr add 10.0.{number}.2/24 dev left")
        onward = f"; ip route add 10.0.{length - 2}.0/24 via 10.0.{number}.2" if number < length - 2 else ""
        neighbour = f"ip neigh add 10.0.{number}.2 lladdr {namespaces.mac(there, 'left')} dev right"
        namespaces.run(here, f"ip addr add 10.0.{number}.1/24 dev right; {neighbour}{onward}")
    return Chain(namespaces, f"10.0.{length - 2}.2", way)


Seen = Callable[[Witness, Callable[[list[Event]], bool]], list[Event]]
Dropped = Callable[[Witness, bytes], DropEvent]


@pytest.fixture
def seen() -> Seen:
    """`seen(witness, enough)`: the events up to the moment when they are enough; a failure when that moment does not come."""

    def wait(witness: Witness, enough: Callable[[list[Event]], bool]) -> list[Event]:
        events: list[Event] = []
        deadline = time.monotonic() + BOUND
        while not enough(events):
            assert time.monotonic() < deadline, "not seen:\n" + "\n".join(map(str, events))
            events += witness.wait(deadline - time.monotonic())
        return events

    return wait


@pytest.fixture
def dropped(seen: Seen) -> Dropped:
    """`dropped(witness, marker)`: the one drop of the marked packet."""

    def wait(witness: Witness, marker: bytes) -> DropEvent:
        def deaths(events: list[Event]) -> list[DropEvent]:
            return [event for event in events if isinstance(event, DropEvent) and marker in event.data]

        found = deaths(seen(witness, lambda events: bool(deaths(events))))
        assert len(found) == 1, found
        return found[0]

    return wait
