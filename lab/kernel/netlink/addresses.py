"""Addresses on links (ip-address(8), include/uapi/linux/if_addr.h)."""

from __future__ import annotations

import struct
from typing import Final

from lab.kernel.netlink.links import Indexes
from lab.kernel.netlink.wire import REMOVE, REPLACE, RTM_DELADDR, RTM_NEWADDR, SCOPES, address, attribute, family_of, message, u32
from lab.state import AddressEntry

IFA_ADDRESS: Final = 1
IFA_LOCAL: Final = 2
IFA_BROADCAST: Final = 4
IFA_CACHEINFO: Final = 6
IFA_FLAGS: Final = 8

IFA_F_NODAD: Final = 0x02
IFA_F_DEPRECATED: Final = 0x20
IFA_F_TENTATIVE: Final = 0x40
IFA_F_NOPREFIXROUTE: Final = 0x200

IFADDRMSG: Final = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix length, flags, scope, index."""


_DEPRECATED: Final = struct.pack("=IIII", 0, 0xFFFF_FFFF, 0, 0)
"""ifa_cacheinfo: preferred for no time, valid for ever; when it was made and changed is for the kernel to say."""


def new_address(entry: AddressEntry, indexes: Indexes) -> bytes:
    """Put an address on a link. It replaces itself: what was there already stays.

    IPv6 addresses come without duplicate address detection: they are at work at once, and a lab that wants a duplicate may have it.
    """
    return message(RTM_NEWADDR, REPLACE, _body(entry, indexes))


def delete_address(entry: AddressEntry, indexes: Indexes) -> bytes:
    """Take an address off a link; the kernel removes the routes that depend on it."""
    return message(RTM_DELADDR, REMOVE, _body(entry, indexes))


def _body(entry: AddressEntry, indexes: Indexes) -> bytes:
    local = entry.interface.ip
    far = entry.interface if entry.peer is None else entry.peer
    flags = (IFA_F_NODAD if local.version == 6 else 0) | (IFA_F_NOPREFIXROUTE if entry.no_prefix_route else 0)
    body = IFADDRMSG.pack(family_of(local), far.network.prefixlen, 0, SCOPES[entry.scope], indexes[entry.device])
    body += address(IFA_LOCAL, local) + address(IFA_ADDRESS, far.ip)
    if entry.broadcast is not None:
        body += address(IFA_BROADCAST, entry.broadcast)
    if entry.deprecated:
        body += attribute(IFA_CACHEINFO, _DEPRECATED)
    return body + u32(IFA_FLAGS, flags) if flags else body
