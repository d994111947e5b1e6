"""Nexthop objects (ip-nexthop(8), include/uapi/linux/nexthop.h)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from lab.kernel.netlink.attributes import ip_address, number, read_attributes
from lab.kernel.netlink.links import Indexes
from lab.kernel.netlink.routes import RTNH_F_ONLINK
from lab.kernel.netlink.wire import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    REMOVE,
    REPLACE,
    RTM_DELNEXTHOP,
    RTM_NEWNEXTHOP,
    address,
    attribute,
    message,
    u32,
)
from lab.state import GroupMember, NextHopObject

NHA_ID: Final = 1
NHA_GROUP: Final = 2
NHA_BLACKHOLE: Final = 4
NHA_OIF: Final = 5
NHA_GATEWAY: Final = 6
NHA_FDB: Final = 11

NHMSG: Final = struct.Struct("=BBBxI")
"""nhmsg: family, scope, protocol, flags."""
_MEMBER: Final = struct.Struct("=IBBxx")
"""nexthop_grp: number, weight - 1 in two bytes, of which kernels before 6.12 know the first only."""


def replace_nexthop(thing: NextHopObject, indexes: Indexes) -> bytes:
    """Add a nexthop object, or put it in the place of the one with its number."""
    family = AF_UNSPEC if thing.group else AF_INET if thing.version == 4 else AF_INET6
    body = NHMSG.pack(family, 0, thing.protocol, RTNH_F_ONLINK if thing.onlink else 0) + u32(NHA_ID, thing.id)
    if thing.group:
        members = (_MEMBER.pack(member.id, member.weight - 1 & 255, member.weight - 1 >> 8) for member in thing.group)
        body += attribute(NHA_GROUP, b"".join(members))
    if thing.blackhole:
        body += attribute(NHA_BLACKHOLE, b"")
    if thing.device is not None:
        body += u32(NHA_OIF, indexes[thing.device])
    if thing.via is not None:
        body += address(NHA_GATEWAY, thing.via)
    return message(RTM_NEWNEXTHOP, REPLACE, body)


def delete_nexthop(thing: NextHopObject, _: Indexes) -> bytes:
    """Remove a nexthop object; the kernel removes what cannot be without it."""
    return message(RTM_DELNEXTHOP, REMOVE, NHMSG.pack(AF_UNSPEC, 0, 0, 0) + u32(NHA_ID, thing.id))


def read_nexthop(body: bytes, names: Mapping[int, str]) -> NextHopObject | None:
    """A nexthop object of a dump; None for one of an FDB, which routes cannot name, or over an interface that is gone."""
    family, _, protocol, flags = NHMSG.unpack_from(body)
    attributes = read_attributes(body, NHMSG.size)
    blackhole = NHA_BLACKHOLE in attributes
    group = attributes.get(NHA_GROUP, b"")
    device = None if blackhole else names.get(number(attributes.get(NHA_OIF, b"")))
    if NHA_FDB in attributes or (device is None and not blackhole and not group):
        return None
    gateway = attributes.get(NHA_GATEWAY)
    return NextHopObject(
        id=number(attributes[NHA_ID]),
        via=None if gateway is None else ip_address(gateway),
        device=device,
        onlink=bool(flags & RTNH_F_ONLINK),
        blackhole=blackhole,
        group=tuple(GroupMember(member, 1 + low + (high << 8)) for member, low, high in _MEMBER.iter_unpack(group)),
        family=6 if family == AF_INET6 and gateway is None else 4,
        protocol=protocol,
    )
