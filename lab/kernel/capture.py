"""See the packets of many namespaces through AF_PACKET sockets: what an ordinary user may do, and BPF need not.

One socket per namespace, bound to no device, sees what every device of the namespace sends and receives (packet(7)), before any filter
or reverse path check. Packets are ordered by the kernel's time stamps.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from lab.kernel.delays import is_near_end
from lab.kernel.sandbox import Sandbox

ETH_P_ALL: Final = 0x0003
_SO_TIMESTAMPNS: Final = 35
_SO_TIMESTAMPING: Final = 37
_RECEIVED, _BY_SOFTWARE = 1 << 3, 1 << 4
"""SOF_TIMESTAMPING_RX_SOFTWARE and SOF_TIMESTAMPING_SOFTWARE (include/uapi/linux/net_tstamp.h)."""
_PATIENCE: Final = 0.1
_TRIES: Final = 10_000
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_PACKET_OUTGOING: Final = 4
_TIMESPEC: Final = struct.Struct("@qq")
_SO_RCVBUFFORCE: Final = 33
SNAP_LENGTH: Final = 256
BUFFER: Final = 4 << 20
"""Bytes of packets that may wait in a socket; the kernel gives an ordinary user no more than `net.core.rmem_max`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that a device sent or received. `time_ns` is the real-time clock's; `data` begins with the Ethernet header."""

    time_ns: int
    namespace: str
    device: str
    outgoing: bool
    length: int
    data: bytes


@dataclass(slots=True)
class Capture:
    """Open sockets on namespaces; `poll` returns what they saw. Close it when done: closing waits for the kernel (an RCU period)."""

    sandbox: Sandbox
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    """Namespaces by the descriptors of their sockets."""
    _ready: select.epoll = field(default_factory=select.epoll)

    def watch(self, namespaces: Iterable[str]) -> None:
        """See these namespaces from now on."""
        first = not self.sockets
        for name in namespaces:
            if name in self.sockets:
                continue
            opened = self.sandbox.socket_in(name, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            stamp(opened)
            make_room(opened, BUFFER)
            self.sockets[name] = opened
            self._names[opened.fileno()] = name
            self._ready.register(opened, select.EPOLLIN)
            if first:
                first = False
                await_clock(self.sandbox.socket_in(name, socket.AF_INET, socket.SOCK_DGRAM, 0))
                self.poll()  # what was sent for this

    def forget(self, namespaces: Iterable[str]) -> None:
        """See these namespaces no longer."""
        for name in namespaces:
            opened = self.sockets.pop(name, None)
            if opened is not None:
                self._ready.unregister(opened)
                del self._names[opened.fileno()]
                opened.close()

    def poll(self) -> list[Frame]:
        """Return what was seen since the last call, in order of time."""
        waiting = [self._names[descriptor] for descriptor, _ in self._ready.poll(0, max(1, len(self.sockets)))]
        frames = [frame for name in waiting for frame in received(self.sockets[name], name, flags=socket.MSG_TRUNC)]
        return sorted(frames, key=lambda frame: frame.time_ns)

    def lost(self) -> int:
        """Return how many packets found a socket's buffer full since the last call."""
        return sum(map(missed, self.sockets.values()))

    def close(self) -> None:
        """Close every socket."""
        self.forget(list(self.sockets))
        self._ready.close()


def missed(opened: socket.socket) -> int:
    """Return how many packets found a packet socket's buffer full since the last call (PACKET_STATISTICS, packet(7))."""
    statistics = struct.Struct("@II")
    _, drops = statistics.unpack(opened.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, statistics.size))
    return int(drops)


def make_room(opened: socket.socket, size: int) -> None:
    """Let `size` bytes wait in a socket (socket(7), SO_RCVBUFFORCE), or as many as an ordinary user may have."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def stamp(opened: socket.socket) -> None:
    """Let a packet socket stamp what it receives, and wait for nothing."""
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.setblocking(False)


def await_clock(own: socket.socket) -> None:
    """Wait until packets bear the time at which they came; `own` is a UDP socket of a namespace that is watched, and is closed.

    That somebody wants to know it, the kernel makes known to itself in its own time (net_enable_timestamp in net/core/dev.c); until
    then a packet bears the time at which it was read. A packet to oneself tells, by a kind of time stamp that is left out where there
    is none.
    """
    with own:
        own.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RECEIVED | _BY_SOFTWARE)
        own.settimeout(_PATIENCE)
        with suppress(OSError):  # no loopback, or a filter on it: there is no telling
            own.bind(("127.0.0.1", 0))
            own.connect(own.getsockname())
            for _ in range(_TRIES):
                own.send(b"")
                _, ancillary, _, _ = own.recvmsg(1, 128)
                if any(kind == _SO_TIMESTAMPING for _, kind, _ in ancillary):
                    break


def received(opened: socket.socket, namespace: str, most: int = SNAP_LENGTH, flags: int = 0) -> Iterator[Frame]:
    """Return the frames that wait in a socket of `namespace`, `most` bytes of each; its length is what `recvmsg` says with `flags`.

    A frame that is delayed counts on the device that sends it, not on its way to where it waits.
    """
    while True:
        try:
            data, ancillary, _, address = opened.recvmsg(most, 64, flags)
        except BlockingIOError:
            return
        except OSError:  # ENETDOWN: a device went down; what follows is still there
            continue
        device, _, kind = address[:3]
        if is_near_end(device):
            continue
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
        yield Frame(seconds * 1_000_000_000 + nanoseconds, namespace, device, kind == _PACKET_OUTGOING, len(data), data)
