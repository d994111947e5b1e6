"""Which of its own IPv6 addresses a namespace puts into a packet: RFC 6724, as `ipv6_dev_get_saddr` in net/ipv6/addrconf.c has it.

Every address of a state is valid, permanent and public, so the rules about those never decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Final

from lab.forwarding.fib import Lookup

if TYPE_CHECKING:
    from lab.forwarding.network import Node

_LABELS: Final = tuple(
    (IPv6Network(prefix), label)
    for prefix, label in (
        ("::1/128", 0),
        ("::/96", 3),
        ("::ffff:0:0/96", 4),
        ("2001:10::/28", 7),
        ("2001::/32", 6),
        ("2002::/16", 2),
        ("3ffe::/16", 12),
        ("fec0::/10", 11),
        ("fc00::/7", 5),
        ("::/0", 1),
    )
)
"""The kernel's policy table (`ip6addrlbl_init_table` in net/ipv6/addrlabel.c), longest prefix first."""
_NODE, _LINK, _SITE, _GLOBAL = 0x1, 0x2, 0x5, 0xE


def select_address6(node: Node, device: str, towards: IPv6Address) -> IPv6Address | None:
    """Return the source address for sending out of `device` to `towards`."""
    scope = _scope(towards)
    near = towards.is_multicast or scope <= _LINK
    best: tuple[tuple[int, ...], IPv6Address] | None = None
    for name, interface in _candidates(node, device if near else None):
        preferred = interface.ip not in node.deprecated6.get(name, ())
        score = _score(interface, preferred=preferred, same_device=name == device, towards=towards, scope=scope)
        if best is None or score > best[0]:
            best = score, interface.ip
    return None if best is None else best[1]


def first_address6(node: Node, device: str, *, link_local: bool) -> IPv6Address | None:
    """Return the first address in a device's list, for a packet to a link-local address the first such one.

    The list is sorted by scope, widest first, and of one scope the newest comes first (`ipv6_link_dev_addr` in net/ipv6/addrconf.c).
    """
    fitting = [one.ip for one in reversed(node.addresses6.get(device, ())) if one.ip.is_link_local or not link_local]
    return max(fitting, key=_scope, default=None)


def _candidates(node: Node, device: str | None) -> Iterator[tuple[str, IPv6Interface]]:
    for name in node.registered if device is None else (device,):
        yield from ((name, interface) for interface in node.addresses6.get(name, ()))


def _score(interface: IPv6Interface, *, preferred: bool, same_device: bool, towards: IPv6Address, scope: int) -> tuple[int, ...]:
    """The rules in the kernel's order: same address, scope, preferred, outgoing device, label, longest prefix."""
    own = _scope(interface.ip)
    common = 128 - (int(interface.ip) ^ int(towards)).bit_length()
    return (
        int(interface.ip == towards),
        -own if own >= scope else own - 128,
        int(preferred or interface.ip.is_loopback),
        int(same_device),
        int(_label(interface.ip) == _label(towards)),
        min(common, interface.network.prefixlen),
    )


def _label(address: IPv6Address) -> int:
    return next(label for prefix, label in _LABELS if address in prefix)


def _scope(address: IPv6Address) -> int:
    """The scope of an address (`ipv6_addr_scope2type`); a multicast address bears it (RFC 4291, section 2.7)."""
    if address.is_multicast:
        return address.packed[1] & 0xF
    if address.is_loopback:
        return _NODE
    if address.is_link_local:
        return _LINK
    return _SITE if address.is_site_local else _GLOBAL


def preferred_source6(node: Node, answer: Lookup, device: str, towards: IPv6Address) -> IPv6Address | None:
    """Return the source address of a packet that has none yet: the route's own, else the best by RFC 6724 (`ip6_route_get_saddr`)."""
    route = answer.route
    if route is not None and isinstance(route.source, IPv6Address):
        return route.source
    return select_address6(node, device, towards)


def link_local_of(node: Node, device: str) -> IPv6Address | None:
    """Return the link-local address of a device (`ipv6_get_lladdr`)."""
    return next((interface.ip for interface in node.addresses6.get(device, ()) if interface.ip.is_link_local), None)


def has_address6(node: Node, device: str, address: IPv6Address) -> bool:
    """Whether a device has an address."""
    return any(interface.ip == address for interface in node.addresses6.get(device, ()))


def solicited_node(address: IPv6Address) -> tuple[IPv6Address, str]:
    """Return the multicast address that whoever has `address` listens to (RFC 4291, section 2.7.1), and its MAC (RFC 2464)."""
    low = int(address) & 0xFFFFFF
    group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | low)
    return group, f"33:33:ff:{low >> 16:02x}:{low >> 8 & 0xFF:02x}:{low & 0xFF:02x}"
