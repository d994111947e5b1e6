"""Which of its own addresses a namespace puts into a packet.

After `inet_select_addr`, `in_dev_select_addr` and `confirm_addr_indev` in net/ipv4/devinet.c.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from lab.forwarding.fib import SCOPES, Lookup
from lab.forwarding.packet import Address

if TYPE_CHECKING:
    from lab.forwarding.network import Node

HOST_SCOPE, LINK_SCOPE, GLOBAL_SCOPE = SCOPES["host"], SCOPES["link"], SCOPES["global"]


def select_address(node: Node, device: str, towards: int, scope: int) -> IPv4Address | None:
    """Return the source address for sending out of `device` to the address `towards` (0: to nobody in particular).

    It is the primary address of the device in whose subnet `towards` lies, else the device's first primary address. A
    device without a suitable one borrows the first of any device in order of registration; addresses of scope link are not
    lent.
    """
    settings = node.settings_of(device)
    nearest = LINK_SCOPE if settings.route_localnet else HOST_SCOPE
    first: IPv4Address | None = None
    for assigned in node.addresses.get(device, ()):
        if assigned.secondary or min(assigned.scope, nearest) > scope:
            continue
        if not towards or assigned.covers(towards):
            return assigned.address
        first = first or assigned.address
    if first is not None:
        return first
    for name in node.registered:
        for assigned in node.addresses[name]:
            if not assigned.secondary and assigned.scope != LINK_SCOPE and assigned.scope <= scope:
                return assigned.address
    return None


def preferred_source(node: Node, answer: Lookup, device: str, via: Address | None) -> IPv4Address | None:
    """Return the source address a route gives to a packet that has none yet (`fib_result_prefsrc`)."""
    route = answer.route
    if route is not None and isinstance(route.source, IPv4Address):
        return route.source
    scope = GLOBAL_SCOPE if route is None else SCOPES[route.scope]
    if route is not None and route.nexthop is not None:
        # The kernel chose when the nexthop object was made, by the scope that a route through it would have (`nh_create_ipv4`).
        scope = LINK_SCOPE if via is None else LINK_SCOPE - 1
    return select_address(node, device, 0 if via is None else int(via), scope)


def on_link(node: Node, device: str, first: int, second: int) -> bool:
    """Whether a subnet of `device` holds both addresses (`inet_addr_onlink`)."""
    return any(a.covers(first) and (not second or a.covers(second)) for a in node.addresses.get(device, ()))


def confirmed(node: Node, device: str | None, towards: int, address: int, scope: int) -> bool:
    """Whether `address` is configured on `device` (None: anywhere) and may be told to `towards` (`inet_confirm_addr`)."""
    devices = node.addresses.values() if device is None else (node.addresses.get(device, ()),)
    for assigned in devices:
        has = any(a.number == address and min(a.scope, HOST_SCOPE) <= scope for a in assigned)
        near = not towards or any(a.covers(address) and a.covers(towards) for a in assigned)
        if has and near:
            return True
    return False
