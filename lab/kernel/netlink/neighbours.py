"""Neighbours, proxy neighbours and entries of the forwarding database: one message format for all of them.

Sources: ip-neighbour(8), bridge(8), include/uapi/linux/neighbour.h.
"""

from __future__ import annotations

import struct
from typing import Final

from lab.kernel.netlink.links import Indexes
from lab.kernel.netlink.wire import (
    AF_BRIDGE,
    AF_INET,
    AF_INET6,
    APPEND,
    REMOVE,
    REPLACE,
    RTM_DELNEIGH,
    RTM_NEWNEIGH,
    attribute,
    be16,
    hardware,
    message,
    u32,
)
from lab.state import FdbEntry, Neighbour

NDA_DST: Final = 1
NDA_LLADDR: Final = 2
NDA_PORT: Final = 6
NDA_VNI: Final = 7
NDA_IFINDEX: Final = 8
NDA_MASTER: Final = 9

NUD_INCOMPLETE: Final = 0x01
NUD_REACHABLE: Final = 0x02
NUD_STALE: Final = 0x04
NUD_DELAY: Final = 0x08
NUD_PROBE: Final = 0x10
NUD_FAILED: Final = 0x20
NUD_NOARP: Final = 0x40
NUD_PERMANENT: Final = 0x80

STATES: Final = {
    "permanent": NUD_PERMANENT,
    "noarp": NUD_NOARP,
    "reachable": NUD_REACHABLE,
    "stale": NUD_STALE,
    "failed": NUD_FAILED,
    "incomplete": NUD_INCOMPLETE,
}

NTF_SELF: Final = 0x02
NTF_MASTER: Final = 0x04
NTF_PROXY: Final = 0x08

ALL_ZERO: Final = "00:00:00:00:00:00"
"""The entry of a VXLAN device for everything without one of its own: broadcast, multicast and unknown addresses."""

NDMSG: Final = struct.Struct("=BxxxiHBB")
"""ndmsg: family, index, state, flags, type."""
_IPV4: Final = struct.Struct("=IHHIIBxxxiHBBHH6sxxHH4s")
"""The message that a mesh of nodes consists of, in one piece: header, ndmsg, link-layer address, IPv4 address."""
_IPV4_SIZE: Final = _IPV4.size
_pack_ipv4 = _IPV4.pack


def new_neighbour(neighbour: Neighbour, indexes: Indexes) -> bytes:
    """Add a neighbour or put it in the place of the one with the same address."""
    return _neighbour(RTM_NEWNEIGH, REPLACE, neighbour, indexes)


def delete_neighbour(neighbour: Neighbour, indexes: Indexes) -> bytes:
    """Remove a neighbour."""
    return _neighbour(RTM_DELNEIGH, REMOVE, neighbour, indexes)


def new_fdb_entry(entry: FdbEntry, indexes: Indexes) -> bytes:
    """Add an FDB entry. A VXLAN device may have several destinations for one multicast or all-zero address: these are appended.

    An entry of a bridge that stands for a station behind a port is *static* to the kernel (NUD_NOARP); what it calls permanent there are
    addresses of the bridge itself, whose frames go nowhere else (bridge(8), "permanent" and "static").
    """
    several = entry.destination is not None and (entry.mac == ALL_ZERO or hardware(entry.mac)[0] & 1)
    return _fdb(RTM_NEWNEIGH, APPEND if several else REPLACE, entry, indexes)


def delete_fdb_entry(entry: FdbEntry, indexes: Indexes) -> bytes:
    """Remove an FDB entry."""
    return _fdb(RTM_DELNEIGH, REMOVE, entry, indexes)


def _neighbour(kind: int, flags: int, neighbour: Neighbour, indexes: Indexes) -> bytes:
    index, destination, mac = indexes[neighbour.device], neighbour.address.packed, neighbour.mac
    state = STATES[neighbour.state]
    if len(destination) == 4 and mac is not None and not neighbour.proxy:
        return _pack_ipv4(
            _IPV4_SIZE, kind, flags, 0, 0, AF_INET, index, state, 0, 0, 10, NDA_LLADDR, hardware(mac), 8, NDA_DST, destination
        )
    family = AF_INET if len(destination) == 4 else AF_INET6
    body = NDMSG.pack(family, index, state, NTF_PROXY if neighbour.proxy else 0, 0) + attribute(NDA_DST, destination)
    return message(kind, flags, body if mac is None else body + attribute(NDA_LLADDR, hardware(mac)))


def _fdb(kind: int, flags: int, entry: FdbEntry, indexes: Indexes) -> bytes:
    index, mac = indexes[entry.device], hardware(entry.mac)
    if entry.master:
        state, which = (NUD_NOARP if entry.permanent else NUD_REACHABLE), NTF_MASTER
    else:
        state, which = (NUD_PERMANENT if entry.permanent else NUD_REACHABLE), NTF_SELF
    destination = None if entry.destination is None else entry.destination.packed
    plain = entry.port is None and entry.vni is None and entry.via is None
    if plain and destination is not None and len(destination) == 4:
        return _pack_ipv4(_IPV4_SIZE, kind, flags, 0, 0, AF_BRIDGE, index, state, which, 0, 10, NDA_LLADDR, mac, 8, NDA_DST, destination)
    body = NDMSG.pack(AF_BRIDGE, index, state, which, 0) + attribute(NDA_LLADDR, mac)
    if destination is not None:
        body += attribute(NDA_DST, destination)
    if entry.port is not None:
        body += be16(NDA_PORT, entry.port)
    if entry.vni is not None:
        body += u32(NDA_VNI, entry.vni)
    if entry.via is not None:
        body += u32(NDA_IFINDEX, indexes[entry.via])
    return message(kind, flags, body)
