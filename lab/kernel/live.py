"""`python -m lab.kernel.live NODE [DEVICE]`: what the devices of this network namespace see, as pcapng on standard output, live.

`lab capture` runs this inside a lab. Every packet is written at once, so that a reader at the other end of a pipe sees it; the end of that
reader, and Ctrl-C, are the end. Packets that came faster than they were read are counted on standard error.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Iterator
from typing import Final, Literal

from lab.kernel.capture import ETH_P_ALL, make_room, missed, received, stamp
from lab.kernel.pcapng import SNAP_LENGTH, PcapngWriter

_BUFFER: Final = 8 << 20
_OUT: Final = 1


def main(node: str, device: str | None) -> int:
    """Capture until somebody ends it; returns the exit code."""
    names = [name for _, name in socket.if_nameindex()]
    if device is not None and device not in names:
        from lab.errors import InputError, did_you_mean

        sys.stderr.write(f"{InputError(f'{node!r} has no device {device!r}', hint=did_you_mean(device, names, 'device'))}\n")
        return 2
    writer = PcapngWriter("lab capture")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as opened:
        if device is not None:
            opened.bind((device, ETH_P_ALL))
        stamp(opened)
        make_room(opened, _BUFFER)
        try:
            _write(writer.header())
            while _wait(opened):
                _write(b"".join(_packets(opened, node, writer)))
                if lost := missed(opened):
                    sys.stderr.write(f"{lost} packets are missing here: they came faster than they were read\n")
                    sys.stderr.flush()
        except (KeyboardInterrupt, BrokenPipeError):
            pass
    return 0


def _wait(opened: socket.socket) -> bool:
    """Wait for a packet; whether there is still somebody who reads."""
    poll = select.poll()
    poll.register(opened, select.POLLIN)
    poll.register(_OUT, 0)
    return all(descriptor != _OUT for descriptor, _ in poll.poll())


def _packets(opened: socket.socket, node: str, writer: PcapngWriter) -> Iterator[bytes]:
    for frame in received(opened, node, SNAP_LENGTH):
        direction: Literal["in", "out"] = "out" if frame.outgoing else "in"
        yield writer.packet(f"{node}:{frame.device}", direction, frame.time_ns, frame.data, frame.length)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(_OUT, data) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
