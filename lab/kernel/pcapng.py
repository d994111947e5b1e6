"""Capture files of many interfaces: pcapng (draft-ietf-opsawg-pcapng), as Wireshark, tshark and tcpdump read them.

An interface is described before its first packet; every packet may bear a comment. Times are in nanoseconds since 1970.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, Literal

SNAP_LENGTH: Final = 65535
"""What interfaces are said to capture; tcpdump wants the same of all."""
ETHERNET: Final = 1
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_MAGIC: Final = 0x1A2B3C4D
_COMMENT, _NAME, _RESOLUTION, _FLAGS, _APPLICATION = 1, 2, 9, 2, 4
_NANOSECONDS: Final = b"\x09"
_HEAD: Final = struct.Struct("<IIIIIII")
_OPTION: Final = struct.Struct("<HH")
_SIZE: Final = struct.Struct("<I")
_PADDING: Final = (b"", bytes(3), bytes(2), bytes(1))
_END: Final = {way: struct.pack("<HHIHH", _FLAGS, 4, bits, 0, 0) for way, bits in (("in", 1), ("out", 2))}
"""The last options of a packet: its direction, in the lowest bits of epb_flags, and their end."""
_FRAME: Final = _HEAD.size + len(_END["in"]) + _SIZE.size
"""What a packet's block has around data and comment, in bytes."""


@dataclass(slots=True)
class PcapngWriter:
    """Makes the blocks of one file; it knows which interfaces were described."""

    application: str = "lab"
    _interfaces: dict[str, int] = field(default_factory=dict)

    def header(self) -> bytes:
        """Return the block a file begins with."""
        return _block(_SECTION, struct.pack("<IHHq", _MAGIC, 1, 0, -1) + _options((_APPLICATION, self.application.encode())))

    def packet(self, interface: str, direction: Literal["in", "out"], time_ns: int, data: bytes, length: int, comment: str = "") -> bytes:
        """Return a packet of `length` bytes, of which `data` are the first; its interface is described before, if it is new."""
        number = self._interfaces.get(interface)
        described = b""
        if number is None:
            number = self._interfaces[interface] = len(self._interfaces)
            options = _options((_NAME, interface.encode()), (_RESOLUTION, _NANOSECONDS))
            described = _block(_INTERFACE, struct.pack("<HHI", ETHERNET, 0, SNAP_LENGTH) + options)
        said = comment.encode()
        captured, told = len(data), len(said)
        noted = _OPTION.pack(_COMMENT, told) + said + _PADDING[told & 3] if told else b""
        padding = _PADDING[captured & 3]
        size = _FRAME + captured + len(padding) + len(noted)
        head = _HEAD.pack(_PACKET, size, number, time_ns >> 32, time_ns & 0xFFFFFFFF, captured, max(length, captured))
        return b"".join((described, head, data, padding, noted, _END[direction], _SIZE.pack(size)))


def _options(*options: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options) + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size
