"""XFRM policies: which packets IPsec is to protect, let pass or block (ip-xfrm(8), include/uapi/linux/xfrm.h)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final, Literal

from lab.kernel.netlink.channel import Channel
from lab.kernel.netlink.wire import AF_INET, AF_INET6
from lab.state import XfrmPolicy

_AF_NETLINK: Final = 16
_NETLINK_XFRM: Final = 6
_XFRM_MSG_GETPOLICY: Final = 0x15
_SELECTOR: Final = struct.Struct("=16s16s8xHBBB")
"""Of xfrm_selector: destination, source, family, their prefix lengths, protocol; ports are between."""
_DIRECTION: Final = 160
"""Where xfrm_userpolicy_info says its direction, and behind that its action."""
_DIRECTIONS: Final[dict[int, Literal["in", "out", "fwd"]]] = {0: "in", 1: "out", 2: "fwd"}
_BYTES: Final = {AF_INET: 4, AF_INET6: 16}


def has_policies(procfs: int) -> bool:
    """Whether this kernel has what programs set policies by; told by its own socket, as opening one could load a module."""
    try:
        descriptor = os.open("thread-self/net/netlink", os.O_RDONLY | os.O_CLOEXEC, dir_fd=procfs)
    except OSError:
        return False
    with os.fdopen(descriptor) as listed:
        return any(line.split()[1] == str(_NETLINK_XFRM) for line in listed)


def read_policies() -> tuple[XfrmPolicy, ...]:
    """Read all policies of the namespace the calling thread is in."""
    channel = Channel(socket.socket(_AF_NETLINK, socket.SOCK_RAW, _NETLINK_XFRM))
    try:
        return tuple(policy for body in channel.dump(_XFRM_MSG_GETPOLICY, b"") for policy in _read(body))
    finally:
        channel.close()


def _read(body: bytes) -> Iterator[XfrmPolicy]:
    """Yield a policy; one that selects both versions of IP as two. Those of single sockets are left out."""
    destination, source, family, length, source_length, protocol = _SELECTOR.unpack_from(body)
    direction = _DIRECTIONS.get(body[_DIRECTION])
    if direction is None:
        return
    for version in _BYTES if family not in _BYTES else (family,):
        size = _BYTES[version]
        yield XfrmPolicy(
            direction,
            ip_network((source[:size], source_length), strict=False),
            ip_network((destination[:size], length), strict=False),
            protocol or None,
            "block" if body[_DIRECTION + 1] else "allow",
        )
