"""The bytes of rtnetlink: message header, attributes, and the numbers the kernel gives to things.

Everything here is plain packing in the machine's own byte order, as netlink(7) and rtnetlink(7) lay it down; it runs on any system.
Numbers come from include/uapi/linux/: netlink.h, rtnetlink.h, if_link.h, if_addr.h, neighbour.h, fib_rules.h, nexthop.h.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

AF_UNSPEC: Final = 0
AF_INET: Final = 2
AF_BRIDGE: Final = 7
AF_INET6: Final = 10
"""Linux's numbers, not those of the system this runs on."""

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800

CREATE: Final = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL
REPLACE: Final = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE
APPEND: Final = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND
REMOVE: Final = NLM_F_REQUEST
CHANGE: Final = NLM_F_REQUEST

NLMSG_NOOP: Final = 1
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_GETADDR: Final = 22
RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
RTM_GETROUTE: Final = 26
RTM_NEWNEIGH: Final = 28
RTM_DELNEIGH: Final = 29
RTM_GETNEIGH: Final = 30
RTM_NEWRULE: Final = 32
RTM_DELRULE: Final = 33
RTM_GETRULE: Final = 34
RTM_NEWNEXTHOP: Final = 104
RTM_DELNEXTHOP: Final = 105
RTM_GETNEXTHOP: Final = 106

NLA_F_NESTED: Final = 0x8000
NLA_TYPE_MASK: Final = 0x3FFF

SCOPES: Final = {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}

HEADER: Final = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port."""
ATTRIBUTE: Final = struct.Struct("=HH")
"""nlattr: length, type."""

_HEADER_SIZE: Final = HEADER.size
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
_U8: Final = struct.Struct("=HHBxxx")
_BE16: Final = struct.Struct(">Hxx")
_U32: Final = struct.Struct("=HHI")
_IPV4: Final = struct.Struct("=HH4s")
_IPV6: Final = struct.Struct("=HH16s")

_pack_header = HEADER.pack
_pack_attribute = ATTRIBUTE.pack

END_OF_BATCH: Final = HEADER.pack(_HEADER_SIZE, NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 0, 0)
"""A message without content that asks for an answer. At the end of a batch, its answer says that the batch has been worked off."""


def message(kind: int, flags: int, body: bytes) -> bytes:
    """One netlink message. Every body here is a multiple of four bytes long, so messages may follow one another directly.

    The sequence number stays 0: a refusal quotes the message it is about, which says more than its number in a batch.
    """
    return _pack_header(_HEADER_SIZE + len(body), kind, flags, 0, 0) + body


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute of any content, padded to four bytes."""
    length = len(payload) + 4
    return _pack_attribute(length, kind) + payload + _PADDING[length & 3]


def text(kind: int, value: str) -> bytes:
    """A string with its terminating zero."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """An attribute of one byte."""
    return _U8.pack(5, kind, value)


def be16(kind: int, value: int) -> bytes:
    """An attribute of two bytes in network byte order, as ports have it."""
    return _pack_attribute(6, kind) + _BE16.pack(value)


def u32(kind: int, value: int) -> bytes:
    """An attribute of four bytes."""
    return _U32.pack(8, kind, value)


def address(kind: int, value: IPv4Address | IPv6Address) -> bytes:
    """An IP address."""
    packed = value.packed
    return _IPV4.pack(8, kind, packed) if len(packed) == 4 else _IPV6.pack(20, kind, packed)


@lru_cache(maxsize=65536)
def hardware(value: str) -> bytes:
    """The bytes of a link-layer address, written with colons. In a mesh each is packed once for every other node."""
    return bytes.fromhex(value.replace(":", ""))


def mac(kind: int, value: str) -> bytes:
    """A link-layer address."""
    return attribute(kind, hardware(value))


def family_of(value: IPv4Address | IPv6Address) -> int:
    """The address family of an address."""
    return AF_INET if value.version == 4 else AF_INET6
