"""Links: their creation, change and removal (rtnetlink(7), ip-link(8), include/uapi/linux/if_link.h).

Every link gets an explicit interface index, so that what refers to it can be packed before it exists. A veth pair is created with its far
end already in place in the other network namespace: moving an end costs fifty times as much (it waits for RCU twice).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from lab.errors import InputError
from lab.kernel.netlink.wire import (
    AF_INET6,
    CHANGE,
    CREATE,
    NLA_F_NESTED,
    REMOVE,
    RTM_DELLINK,
    RTM_NEWLINK,
    address,
    attribute,
    be16,
    mac,
    message,
    text,
    u8,
    u32,
)
from lab.state import Bridge, BridgePort, Link, Loopback, Macvlan, OtherKind, Tun, Veth, Vxlan

Indexes = Mapping[str, int]
"""The interface index of every link of a namespace."""

IFLA_ADDRESS: Final = 1
IFLA_IFNAME: Final = 3
IFLA_MTU: Final = 4
IFLA_LINK: Final = 5
IFLA_MASTER: Final = 10
IFLA_LINKINFO: Final = 18
IFLA_AF_SPEC: Final = 26
IFLA_GROUP: Final = 27
IFLA_NET_NS_FD: Final = 28
IFLA_NUM_TX_QUEUES: Final = 31
IFLA_NUM_RX_QUEUES: Final = 32
IFLA_LINK_NETNSID: Final = 37
IFLA_GSO_MAX_SEGS: Final = 40

IFLA_INFO_KIND: Final = 1
IFLA_INFO_DATA: Final = 2
IFLA_INFO_SLAVE_KIND: Final = 4
IFLA_INFO_SLAVE_DATA: Final = 5

VETH_INFO_PEER: Final = 1
IFLA_INET6_ADDR_GEN_MODE: Final = 8
IN6_ADDR_GEN_MODE_NONE: Final = 1

IFLA_BR_FORWARD_DELAY: Final = 1
IFLA_BR_AGEING_TIME: Final = 4
IFLA_BR_STP_STATE: Final = 5

IFLA_BRPORT_HAIRPIN: Final = 4
IFLA_BRPORT_LEARNING: Final = 8
IFLA_BRPORT_UNICAST_FLOOD: Final = 9
IFLA_BRPORT_NEIGH_SUPPRESS: Final = 32
IFLA_BRPORT_ISOLATED: Final = 33

IFLA_VXLAN_ID: Final = 1
IFLA_VXLAN_GROUP: Final = 2
IFLA_VXLAN_LINK: Final = 3
IFLA_VXLAN_LOCAL: Final = 4
IFLA_VXLAN_TTL: Final = 5
IFLA_VXLAN_LEARNING: Final = 7
IFLA_VXLAN_PORT: Final = 15
IFLA_VXLAN_GROUP6: Final = 16
IFLA_VXLAN_LOCAL6: Final = 17
IFLA_VXLAN_UDP_CSUM: Final = 18
IFLA_VXLAN_UDP_ZERO_CSUM6_TX: Final = 19
IFLA_VXLAN_UDP_ZERO_CSUM6_RX: Final = 20
IFLA_VXLAN_DF: Final = 29

IFLA_MACVLAN_MODE: Final = 1
MACVLAN_MODES: Final = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}

IFF_UP: Final = 1
IFF_NOARP: Final = 0x80
USER_HZ: Final = 100
"""Ticks per second in which the bridge counts time, on every architecture (include/asm-generic/param.h)."""

IFINFOMSG: Final = struct.Struct("=BxHiII")
"""ifinfomsg: family, device type, index, flags, mask of the flags meant."""

_DOOMED: Final = 0x4C41_4200
"""A link group nobody else uses, for links that are about to go."""

_ONE_QUEUE: Final = u32(IFLA_NUM_TX_QUEUES, 1) + u32(IFLA_NUM_RX_QUEUES, 1)
"""One queue each way: with more, veth waits for RCU on creation (veth_init_queues in drivers/net/veth.c), and no lab has use for them."""

_NO_LINK_LOCAL: Final = attribute(
    IFLA_AF_SPEC | NLA_F_NESTED, attribute(AF_INET6 | NLA_F_NESTED, u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE))
)


def new_link(link: Link, index: int, indexes: Indexes) -> bytes:
    """Create a link that is neither lo, nor a veth pair, nor a tun device. `indexes` names the links it is built on.

    Raises InputError when no such link can be made.
    """
    kind, data = _kind(link, indexes)
    parent = u32(IFLA_LINK, indexes[link.kind.device]) if isinstance(link.kind, Macvlan) else b""
    return message(RTM_NEWLINK, CREATE, _head(link, index, indexes) + parent + _link_info(kind, data))


def new_veth(link: Link, index: int, indexes: Indexes, peer: Link, peer_index: int) -> bytes:
    """Create a veth pair with `link` here and `peer` in another network namespace.

    The last four bytes of the message are the descriptor of that namespace, to be filled in before it is sent. The far end cannot be
    created as a port of a bridge, nor up: both are done from its own namespace.
    """
    far_end = (
        IFINFOMSG.pack(0, 0, peer_index, 0, 0)
        + text(IFLA_IFNAME, peer.name)
        + _settings(peer)
        + _ONE_QUEUE
        + u32(IFLA_NET_NS_FD, 0xFFFF_FFFF)
    )
    info = attribute(VETH_INFO_PEER | NLA_F_NESTED, far_end)
    return message(RTM_NEWLINK, CREATE, _head(link, index, indexes) + _ONE_QUEUE + _link_info("veth", info))


def delete_link(index: int) -> bytes:
    """Remove a link, and with one end of a veth pair the other."""
    return message(RTM_DELLINK, REMOVE, IFINFOMSG.pack(0, 0, index, 0, 0))


def delete_links(indexes: Sequence[int]) -> list[bytes]:
    """Remove several links of a namespace: one message for each, and one that does it.

    Each removal waits for RCU, about 20 ms. Links of one group (ip-link(8)) are removed together and wait once.
    """
    if len(indexes) == 1:
        return [delete_link(indexes[0])]
    group = u32(IFLA_GROUP, _DOOMED)
    marked = [message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0, 0) + group) for index in indexes]
    return [*marked, message(RTM_DELLINK, REMOVE, IFINFOMSG.pack(0, 0, 0, 0, 0) + group)]


def set_up(index: int, *, up: bool) -> bytes:
    """Set a link up or down."""
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, IFF_UP if up else 0, IFF_UP))


def set_arp(index: int, *, on: bool) -> bytes:
    """Let a link ask for neighbours and answer, or not."""
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0 if on else IFF_NOARP, IFF_NOARP))


def set_no_link_local(index: int) -> bytes:
    """Keep IPv6 from giving a link an address of its own choice. Answered by EAFNOSUPPORT where the link has no IPv6: no matter."""
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0, 0) + _NO_LINK_LOCAL)


def set_master(index: int, master: int) -> bytes:
    """Make a link a port of the link `master`, or with 0 of none."""
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0, 0) + u32(IFLA_MASTER, master))


def set_mtu(index: int, mtu: int) -> bytes:
    """Set the MTU of a link."""
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0, 0) + u32(IFLA_MTU, mtu))


def set_one_segment(index: int) -> bytes:
    """Have what a sender hands over in one piece, for the device to cut (GSO), cut before a link sends it."""
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0, 0) + u32(IFLA_GSO_MAX_SEGS, 1))


def set_mac(index: int, value: str) -> bytes:
    """Set the link-layer address of a link."""
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0, 0) + mac(IFLA_ADDRESS, value))


def set_port(index: int, port: BridgePort) -> bytes:
    """Set all of a bridge port's settings that the state knows."""
    options = (
        u8(IFLA_BRPORT_HAIRPIN, port.hairpin)
        + u8(IFLA_BRPORT_LEARNING, port.learning)
        + u8(IFLA_BRPORT_UNICAST_FLOOD, port.flood)
        + u8(IFLA_BRPORT_NEIGH_SUPPRESS, port.neigh_suppress)
        + u8(IFLA_BRPORT_ISOLATED, port.isolated)
    )
    info = text(IFLA_INFO_SLAVE_KIND, "bridge") + attribute(IFLA_INFO_SLAVE_DATA | NLA_F_NESTED, options)
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0, 0) + attribute(IFLA_LINKINFO | NLA_F_NESTED, info))


def set_bridge(index: int, bridge: Bridge) -> bytes:
    """Set the options of an existing bridge."""
    return message(RTM_NEWLINK, CHANGE, IFINFOMSG.pack(0, 0, index, 0, 0) + _link_info("bridge", _bridge(bridge)))


def _head(link: Link, index: int, indexes: Indexes) -> bytes:
    master = b"" if link.master is None else u32(IFLA_MASTER, indexes[link.master])
    return IFINFOMSG.pack(0, 0, index, 0, 0) + text(IFLA_IFNAME, link.name) + _settings(link) + master


def _settings(link: Link) -> bytes:
    return u32(IFLA_MTU, link.mtu) + (b"" if link.mac is None else mac(IFLA_ADDRESS, link.mac))


def _link_info(kind: str, data: bytes) -> bytes:
    nested = attribute(IFLA_INFO_DATA | NLA_F_NESTED, data) if data else b""
    return attribute(IFLA_LINKINFO | NLA_F_NESTED, text(IFLA_INFO_KIND, kind) + nested)


def _kind(link: Link, indexes: Indexes) -> tuple[str, bytes]:
    """The kernel's name for a kind of link, and its options."""
    match link.kind:
        case Bridge():
            return "bridge", _bridge(link.kind)
        case Vxlan():
            return "vxlan", _vxlan(link.kind, indexes)
        case Macvlan():
            return "macvlan", u32(IFLA_MACVLAN_MODE, MACVLAN_MODES[link.kind.mode])
        case OtherKind():
            return link.kind.name, b""
        case Loopback() | Veth() | Tun():
            raise InputError(f"{link.name}: one message does not make a link of this kind")


def _bridge(bridge: Bridge) -> bytes:
    """No spanning tree and no forward delay, or a new port would learn for 15 seconds before it forwards (br_make_forwarding)."""
    return u32(IFLA_BR_FORWARD_DELAY, 0) + u32(IFLA_BR_STP_STATE, 0) + u32(IFLA_BR_AGEING_TIME, bridge.ageing_time * USER_HZ)


def _vxlan(vxlan: Vxlan, indexes: Indexes) -> bytes:
    options = [u32(IFLA_VXLAN_ID, vxlan.vni), be16(IFLA_VXLAN_PORT, vxlan.port)]
    options += [u8(IFLA_VXLAN_LEARNING, vxlan.learning), u8(IFLA_VXLAN_TTL, vxlan.ttl), u8(IFLA_VXLAN_DF, vxlan.df)]
    if vxlan.local is not None:
        options.append(address(IFLA_VXLAN_LOCAL if vxlan.local.version == 4 else IFLA_VXLAN_LOCAL6, vxlan.local))
    if vxlan.remote is not None:
        options.append(address(IFLA_VXLAN_GROUP if vxlan.remote.version == 4 else IFLA_VXLAN_GROUP6, vxlan.remote))
    if vxlan.device is not None:
        options.append(u32(IFLA_VXLAN_LINK, indexes[vxlan.device]))
    if vxlan.version == 6:
        # Over IPv6 a UDP datagram without checksum must be allowed in both directions (RFC 6935).
        options += [u8(kind, not vxlan.udp_checksum) for kind in (IFLA_VXLAN_UDP_ZERO_CSUM6_TX, IFLA_VXLAN_UDP_ZERO_CSUM6_RX)]
    else:
        options.append(u8(IFLA_VXLAN_UDP_CSUM, vxlan.udp_checksum))
    return b"".join(options)
