"""The relay: a program that holds Ethernet frames for a while and gives them back, each to the device by which it came.

`lab.kernel.delays` sends frames to it and takes them back. It runs in a network namespace of the lab's own, in which every device is one
end of a veth pair, and is started as `python -I -S relay.py`, for speed: so it imports nothing of the lab. It reads commands from its
standard input, a JSON object in each line (`Relay.hold`), answers each with a line, `ready` or what went wrong, and ends with its input.

Frames come through a ring of mapped memory (Documentation/networking/packet_mmap.rst), which holds far more than an ordinary user's socket
may, and bear a header (struct virtio_net_hdr) that says what of a check sum is still to be worked out: they leave as they came.
"""

from __future__ import annotations

import gc
import heapq
import json
import mmap
import os
import random
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from struct import Struct
from typing import Any, Final

_ETH_P_ALL: Final = 0x0003
_SOL_PACKET: Final = 263
_RX_RING, _VERSION, _VNET_HDR, _IGNORE_OUTGOING = 5, 10, 15, 23
"""PACKET_RX_RING, PACKET_VERSION, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING (include/uapi/linux/if_packet.h)."""
_TPACKET_V2: Final = 1
_REQUEST: Final = Struct("=4I")
"""struct tpacket_req: size and number of blocks, size and number of slots."""
_SLOT: Final = Struct("=IIIHHIIHH")
"""struct tpacket2_hdr: status, length, captured, places of the frame and of its payload, time in two parts, VLAN tag, its protocol."""
_STATUS: Final = Struct("=I")
_INDEX: Final = Struct("=i")
_INDEX_AT: Final = 36
"""Where in a slot the interface index is: in the struct sockaddr_ll after the header of 32 bytes."""
_BEFORE: Final = 96
"""Bytes of a slot before its frame, at most."""
_OURS, _TAGGED, _TAGGED_AS = 1 << 0, 1 << 4, 1 << 6
"""TP_STATUS_USER, TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID."""
_NO_OFFER: Final = _STATUS.pack(0)
_OFFLOAD: Final = 10
"""Length of struct virtio_net_hdr (include/uapi/linux/virtio_net.h): flags, kind, and four numbers of 16 bits."""
_CHECKSUM_START: Final = Struct("=H")
_CHECKSUM_START_AT: Final = 6
_NEEDS_CHECKSUM: Final = 1
_TAG_AT: Final = _OFFLOAD + 12
_TAG: Final = Struct(">HH")
_TAG_PROTOCOL: Final = 0x8100

_RING: Final = 8 << 20
"""Bytes of frames that may wait to be read."""
_HELD: Final = 16 << 20
"""Bytes of frames that are held of a device, the memory around them included; what comes beyond is lost, as behind a full queue."""
_AROUND: Final = 256
_PATIENCE: Final = 1_000_000_000
"""Nanoseconds for which a frame whose time has come waits for the device's queue: as long as where there is a rate and no delay."""
_AT_ONCE: Final = 64
"""Frames that are read before others are sent: who sends without a break must not keep those waiting whose time has come."""
_MS: Final = 1_000_000


class _Line:
    """A device whose frames are held."""

    __slots__ = ("delay", "held", "latest", "stuck", "way")

    def __init__(self) -> None:
        self.way: socket.socket
        """Sends by the device."""
        self.delay = 0
        self.latest = 0
        """When the latest of its frames is due: none that comes later leaves before."""
        self.held = 0
        self.stuck: deque[tuple[int, bytes]] = deque()
        """Frames whose time has come while the device's queue is full."""


class Relay:
    """Holds frames."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}
        self._waiting: list[tuple[int, int, _Line, bytes]] = []
        """A heap of frames: when due, in which order they came, whose, and what."""
        self._count = 0
        self._poll = select.poll()
        self._ways: dict[int, _Line] = {}
        """Those that wait for room in a queue, by the descriptors of their sockets."""
        self._ear: socket.socket | None = None
        self._ring = mmap.mmap(-1, mmap.PAGESIZE)
        self._slot = 0
        self._at = 0

    def hold(self, ends: list[tuple[str, int, int]], longest: int) -> None:
        """Hold what comes by these devices, given with their interface index and milliseconds, in place of those before.

        `longest` is how many bytes a frame may have.
        """
        for line in self._lines.values():
            self._loosen(line)
            line.way.close()
        lines = {}
        for name, index, delay in ends:
            line = lines[index] = self._lines.get(index) or _Line()
            line.delay = delay * _MS
            line.way = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            line.way.setblocking(False)
            line.way.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
            line.way.bind((name, 0))
            if line.stuck:
                self._get_stuck(line)
        self._lines = lines
        if longest + _BEFORE > self._slot:
            self._listen(longest)

    def _listen(self, longest: int) -> None:
        """Have frames of this length put into a ring; they may come by any device of the namespace."""
        if self._ear is not None:
            while self._take():
                pass
            self._poll.unregister(self._ear)
            self._ear.close()
            self._ring.close()
        self._slot = 1 << max(11, (longest + _BEFORE - 1).bit_length())
        block = max(self._slot, 1 << 16)
        self._ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        for option in ((_VERSION, _TPACKET_V2), (_VNET_HDR, 1), (_IGNORE_OUTGOING, 1)):
            self._ear.setsockopt(_SOL_PACKET, *option)
        self._ear.setsockopt(_SOL_PACKET, _RX_RING, _REQUEST.pack(block, _RING // block, self._slot, _RING // self._slot))
        self._ring = mmap.mmap(self._ear.fileno(), _RING)
        self._at = 0
        self._poll.register(self._ear, select.POLLIN)

    def run(self, commands: int) -> None:
        """Hold frames until the descriptor by which commands come is closed at its other end."""
        self._poll.register(commands, select.POLLIN)
        unread = b""
        while True:
            while self._take() or self._send_what_is_due():
                pass
            for descriptor, _ in self._poll.poll(self._idle()):
                if descriptor == commands:
                    data = os.read(commands, 1 << 16)
                    if not data:
                        return
                    *lines, unread = (unread + data).split(b"\n")
                    for line in lines:
                        self._obey(json.loads(line))
                elif descriptor in self._ways:
                    self._try_again(self._ways[descriptor])

    def _obey(self, command: Any) -> None:
        try:
            self.hold(command["ends"], command["longest"])
            answer = "ready"
        except OSError as error:
            answer = error.strerror or str(error)
        os.write(1, f"{answer}\n".encode())

    def _idle(self) -> int | None:
        """How many whole milliseconds there is nothing to do; what is less than one passes here."""
        if not self._waiting:
            return None
        left = self._waiting[0][0] - time.monotonic_ns()
        if left < _MS:
            time.sleep(max(0, left) / 1e9)
            return 0
        return left // _MS

    def _take(self) -> bool:
        """Take in some of the frames that have come; whether there were any."""
        ring, now, today = self._ring, time.monotonic_ns(), time.time_ns()
        taken = 0
        while self._slot and taken < _AT_ONCE:
            at = self._at
            status, length, captured, place, _, seconds, nanoseconds, tag, tag_protocol = _SLOT.unpack_from(ring, at)
            if not status & _OURS:
                break
            line = self._lines.get(_INDEX.unpack_from(ring, at + _INDEX_AT)[0])
            if line is not None and captured == length:
                frame = ring[at + place - _OFFLOAD : at + place + captured]
                if status & _TAGGED:
                    frame = _with_tag(frame, tag, tag_protocol if status & _TAGGED_AS else _TAG_PROTOCOL)
                # The time it bears is of a clock that may be set.
                age = min(max(0, today - seconds * 1_000_000_000 - nanoseconds), line.delay)
                self._keep(line, now - age + line.delay, frame)
            ring[at : at + 4] = _NO_OFFER
            self._at = (at + self._slot) % _RING
            taken += 1
        return bool(taken)

    def _keep(self, line: _Line, due: int, frame: bytes) -> None:
        if line.held + len(frame) + _AROUND > _HELD:
            return
        line.held += len(frame) + _AROUND
        line.latest = max(due, line.latest)
        self._count += 1
        heapq.heappush(self._waiting, (line.latest, self._count, line, frame))

    def _send_what_is_due(self) -> bool:
        """Send the frames whose time has come; whether there were any."""
        waiting, now = self._waiting, time.monotonic_ns()
        if not waiting or waiting[0][0] > now:
            return False
        while waiting and waiting[0][0] <= now:
            due, _, line, frame = heapq.heappop(waiting)
            if line.stuck or not self._send(line, frame):
                line.stuck.append((due, frame))
                self._get_stuck(line)
        return True

    def _send(self, line: _Line, frame: bytes) -> bool:
        """Let a frame go; whether there was room for it. What a device does not take for another reason is lost."""
        with suppress(OSError):
            try:
                line.way.send(frame)
            except BlockingIOError:
                return False
        line.held -= len(frame) + _AROUND
        return True

    def _get_stuck(self, line: _Line) -> None:
        """Wait for room in the queue of a device, and lose what has waited for it too long."""
        now = time.monotonic_ns()
        while line.stuck and now - line.stuck[0][0] > _PATIENCE:
            _, frame = line.stuck.popleft()
            line.held -= len(frame) + _AROUND
        if line.way.fileno() not in self._ways:
            self._ways[line.way.fileno()] = line
            self._poll.register(line.way, select.POLLOUT)

    def _try_again(self, line: _Line) -> None:
        while line.stuck and self._send(line, line.stuck[0][1]):
            line.stuck.popleft()
        if not line.stuck:
            self._loosen(line)

    def _loosen(self, line: _Line) -> None:
        """Wait no longer for room."""
        if self._ways.pop(line.way.fileno(), None) is not None:
            self._poll.unregister(line.way)


def _with_tag(frame: bytes, tag: int, protocol: int) -> bytes:
    """Put a VLAN tag back into a frame, behind its addresses: the kernel takes it out for whoever receives (IEEE 802.1Q)."""
    start = frame[_CHECKSUM_START_AT : _CHECKSUM_START_AT + 2]
    if frame[0] & _NEEDS_CHECKSUM:
        start = _CHECKSUM_START.pack(_CHECKSUM_START.unpack(start)[0] + _TAG.size)
    offload = frame[:_CHECKSUM_START_AT] + start + frame[_CHECKSUM_START_AT + 2 : _OFFLOAD]
    return offload + frame[_OFFLOAD:_TAG_AT] + _TAG.pack(protocol, tag) + frame[_TAG_AT:]


def main() -> None:
    """Hold frames until standard input ends."""
    # What one processor has taken over, another could overtake: a veth end queues what it gets on the processor that sent it.
    os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})
    gc.disable()  # frames form no cycles
    Relay().run(sys.stdin.fileno())


if __name__ == "__main__":
    main()
