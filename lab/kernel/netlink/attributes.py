"""Reading attributes: the other direction of `lab.kernel.netlink.wire`."""

from __future__ import annotations

import sys
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from lab.kernel.netlink.wire import ATTRIBUTE, NLA_TYPE_MASK

Attributes = dict[int, bytes]

_unpack: Final = ATTRIBUTE.unpack_from


def read_attributes(data: bytes, at: int = 0) -> Attributes:
    """Return the attributes from offset `at` on by their type; of several of one type the last."""
    found: Attributes = {}
    end = len(data)
    while at + 4 <= end:
        length, kind = _unpack(data, at)
        if length < 4:
            break
        found[kind & NLA_TYPE_MASK] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def number(data: bytes) -> int:
    """An unsigned number of the machine's byte order."""
    return int.from_bytes(data, sys.byteorder)


def string(data: bytes) -> str:
    """A zero-terminated string."""
    return data.rstrip(b"\0").decode(errors="replace")


def mac_address(data: bytes) -> str:
    """A link-layer address with colons."""
    return data.hex(":")


@lru_cache(maxsize=65536)
def ip_address(data: bytes) -> IPv4Address | IPv6Address:
    """An IP address; a lab repeats the same few thousand, so they are kept."""
    return IPv4Address(data) if len(data) == 4 else IPv6Address(data)
