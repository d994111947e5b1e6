"""Links as a dump of the kernel tells them, before the ends of veth pairs have been matched (rtnetlink(7), if_link.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from lab.kernel.netlink import links as nl
from lab.kernel.netlink.attributes import Attributes, ip_address, mac_address, number, read_attributes, string
from lab.kernel.netlink.foreign import foreign_of_link
from lab.kernel.netlink.wire import AF_INET, AF_INET6, AF_UNSPEC, u32
from lab.state import Bridge, BridgePort, Link, Loopback, Macvlan, OtherKind, Tun, Vxlan
from lab.state.objects import LinkKind

IFLA_EXT_MASK: Final = 29
_SKIP_STATISTICS: Final = 1 << 3
_IFF_LOOPBACK: Final = 8
_IFLA_INET_CONF: Final = 1
_IFLA_INET6_CONF: Final = 2
_IFLA_TUN_TYPE: Final = 3
_IFF_TAP: Final = 2

DUMP_LINKS: Final = nl.IFINFOMSG.pack(AF_UNSPEC, 0, 0, 0, 0) + u32(IFLA_EXT_MASK, _SKIP_STATISTICS)
"""The body of a request for all links, without the statistics that nobody asked for."""

_MacvlanMode = Literal["private", "vepa", "bridge", "passthru"]
_MACVLAN_MODES: Final = cast(dict[int, _MacvlanMode], {number: name for name, number in nl.MACVLAN_MODES.items()})

IPV4_CONF: Final = {
    "forwarding": 1,
    "proxy_arp": 3,
    "accept_redirects": 4,
    "send_redirects": 6,
    "shared_media": 7,
    "rp_filter": 8,
    "log_martians": 11,
    "arp_filter": 13,
    "arp_announce": 18,
    "arp_ignore": 19,
    "arp_accept": 21,
    "accept_local": 23,
    "src_valid_mark": 24,
    "proxy_arp_pvlan": 25,
    "route_localnet": 26,
    "ignore_routes_with_linkdown": 29,
}
"""The IPv4 settings of an interface that decide what becomes of packets, with their place in the kernel's array (uapi/linux/ip.h)."""

IPV6_CONF: Final = {
    "hop_limit": 1,
    "mtu": 2,
    "proxy_ndp": 22,
    "disable_ipv6": 26,
    "ignore_routes_with_linkdown": 39,
    "force_forwarding": 59,
}
"""Those of IPv6, with their place in its array, which begins with 0 (uapi/linux/ipv6.h)."""


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A link with what ties it to others by number. A veth end is of kind `OtherKind("veth")` until its peer is known."""

    index: int
    kind: str
    """The kernel's name of its kind."""
    link: Link
    below: int
    """Index of the link it is built on; of the other end, for a veth end. 0 is none."""
    below_elsewhere: bool
    """Whether that link is in another network namespace."""
    ipv4_conf: tuple[int, ...]
    """The kernel's IPv4 settings of the interface, in the order of IPV4_DEVCONF_*."""
    ipv6_conf: tuple[int, ...]
    """Its IPv6 settings, in the order of DEVCONF_*; empty where it has no IPv6."""


def found_links(bodies: Iterator[bytes]) -> list[FoundLink]:
    """Read a dump of all links of a namespace; in the order of their indexes, which is that of their creation here."""
    read = sorted(((_unpack(body), read_attributes(body, nl.IFINFOMSG.size)) for body in bodies), key=lambda pair: pair[0][1])
    names = {index: string(attributes[nl.IFLA_IFNAME]) for (_, index, _), attributes in read}
    return [_found(index, flags, attributes, names) for (_, index, flags), attributes in read]


def _unpack(body: bytes) -> tuple[int, int, int]:
    """Family, index and flags."""
    family, _, index, flags, _ = _IFINFOMSG.unpack_from(body)
    return family, index, flags


_IFINFOMSG: Final = struct.Struct("=BxHiII")


def _found(index: int, flags: int, attributes: Attributes, names: Mapping[int, str]) -> FoundLink:
    info = read_attributes(attributes.get(nl.IFLA_LINKINFO, b""))
    master = number(attributes.get(nl.IFLA_MASTER, b""))
    below = number(attributes.get(nl.IFLA_LINK, b""))
    port = _port(info) if master else None
    kind = _kind(flags, info, below, names)
    link = Link(
        name=names[index],
        kind=kind,
        mtu=number(attributes[nl.IFLA_MTU]),
        mac=_mac(attributes.get(nl.IFLA_ADDRESS, b"")),
        up=bool(flags & nl.IFF_UP),
        arp=not flags & nl.IFF_NOARP or isinstance(kind, Tun),  # a tun device never asks
        master=names.get(master) if master else None,
        port=port,
        foreign=foreign_of_link(attributes, info),
    )
    elsewhere = nl.IFLA_LINK_NETNSID in attributes
    families = read_attributes(attributes.get(nl.IFLA_AF_SPEC, b""))
    settings = (_conf(families.get(family, b""), place) for family, place in ((AF_INET, _IFLA_INET_CONF), (AF_INET6, _IFLA_INET6_CONF)))
    return FoundLink(index, string(info.get(nl.IFLA_INFO_KIND, b"")), link, below, elsewhere, *settings)


def _mac(data: bytes) -> str | None:
    return mac_address(data) if len(data) == 6 else None


def _kind(flags: int, info: Attributes, below: int, names: Mapping[int, str]) -> LinkKind:
    if flags & _IFF_LOOPBACK:
        return Loopback()
    kind = string(info.get(nl.IFLA_INFO_KIND, b""))
    data = read_attributes(info.get(nl.IFLA_INFO_DATA, b""))
    match kind:
        case "bridge":
            return Bridge(ageing_time=number(data[nl.IFLA_BR_AGEING_TIME]) // nl.USER_HZ)
        case "vxlan":
            return _vxlan(data, names)
        case "macvlan":
            mode = _MACVLAN_MODES.get(number(data[nl.IFLA_MACVLAN_MODE]))
            return Macvlan(names[below], mode) if mode and below in names else OtherKind(kind)
        case "tun":
            return Tun(tap=number(data.get(_IFLA_TUN_TYPE, b"")) == _IFF_TAP)
        case _:
            return OtherKind(kind or "device")


def _vxlan(data: Attributes, names: Mapping[int, str]) -> Vxlan:
    local = data.get(nl.IFLA_VXLAN_LOCAL) or data.get(nl.IFLA_VXLAN_LOCAL6)
    remote = data.get(nl.IFLA_VXLAN_GROUP) or data.get(nl.IFLA_VXLAN_GROUP6)
    over_ipv6 = any(end is not None and len(end) == 16 for end in (local, remote))
    without_checksum = bool(number(data.get(nl.IFLA_VXLAN_UDP_ZERO_CSUM6_TX, b"")))
    return Vxlan(
        vni=number(data[nl.IFLA_VXLAN_ID]),
        port=int.from_bytes(data[nl.IFLA_VXLAN_PORT], "big"),
        local=None if local is None else ip_address(local),
        remote=None if remote is None else ip_address(remote),
        device=names.get(number(data.get(nl.IFLA_VXLAN_LINK, b""))),
        learning=bool(number(data.get(nl.IFLA_VXLAN_LEARNING, b""))),
        ttl=number(data.get(nl.IFLA_VXLAN_TTL, b"")),
        df=number(data.get(nl.IFLA_VXLAN_DF, b"")) == 1,
        udp_checksum=not without_checksum if over_ipv6 else bool(number(data.get(nl.IFLA_VXLAN_UDP_CSUM, b"\1"))),
    )


def _port(info: Attributes) -> BridgePort | None:
    if string(info.get(nl.IFLA_INFO_SLAVE_KIND, b"")) != "bridge":
        return None
    data = read_attributes(info.get(nl.IFLA_INFO_SLAVE_DATA, b""))

    def is_set(option: int) -> bool:
        return bool(number(data.get(option, b"")))

    return BridgePort(
        hairpin=is_set(nl.IFLA_BRPORT_HAIRPIN),
        isolated=is_set(nl.IFLA_BRPORT_ISOLATED),
        learning=is_set(nl.IFLA_BRPORT_LEARNING),
        flood=is_set(nl.IFLA_BRPORT_UNICAST_FLOOD),
        neigh_suppress=is_set(nl.IFLA_BRPORT_NEIGH_SUPPRESS),
    )


def _conf(family: bytes, place: int) -> tuple[int, ...]:
    """The settings of an interface for one version of IP, out of what its dump says of that."""
    array = read_attributes(family).get(place, b"")
    return struct.unpack(f"={len(array) // 4}i", array)
