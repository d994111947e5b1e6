"""The kernel's neighbour table, of which there is one for the whole machine.

All network namespaces share it: at most net.ipv4.neigh.default.gc_thresh3 entries that were learned, 1024 by default, and only the
machine's own namespace may set that. A packet whose next hop finds no room is dropped as if its next hop did not answer (arp(7);
neigh_alloc() in net/core/neighbour.c): what a lab sees then is not the network's doing.
"""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from typing import Final

from lab.kernel.netlink.attributes import read_attributes, string
from lab.kernel.netlink.channel import NETLINK_ROUTE, Channel
from lab.kernel.netlink.wire import AF_INET

_RTM_GETNEIGHTBL: Final = 66
_NDTMSG: Final = struct.Struct("=B3x")
_NDTA_NAME, _NDTA_STATS = 1, 7
_TABLE_FULLS: Final = struct.Struct("=80xQ")
"""ndt_stats (include/uapi/linux/neighbour.h): the eleventh of its 64-bit counters. Kernels before 3.19 have only ten."""


def neighbour_table_overflows() -> int:
    """How often, since the machine started and in any namespace, there was no room for another IPv4 neighbour."""
    with closing(Channel(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE))) as channel:
        for body in channel.dump(_RTM_GETNEIGHTBL, _NDTMSG.pack(AF_INET)):
            attributes = read_attributes(body, _NDTMSG.size)
            stats = attributes.get(_NDTA_STATS, b"")
            if string(attributes[_NDTA_NAME]) == "arp_cache" and len(stats) >= _TABLE_FULLS.size:
                return int(_TABLE_FULLS.unpack_from(stats)[0])
    return 0
