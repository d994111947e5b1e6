"""What the kernel does with an IPv6 route that is asked for, where it is not what it does with one of IPv4.

Sources: fib6_add_rt2node in net/ipv6/ip6_fib.c, ip6_validate_gw and ip6_route_check_nh in net/ipv6/route.c.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from lab.state.builder import NamespaceBuilder
from lab.state.objects import NextHop, Route, Table
from lab.state.typed.words import NotModelled, Reader


def change_route6(reader: Reader, namespace: NamespaceBuilder, verb: str, route: Route) -> None:
    """Carry out `add`, `replace`, `change`, `append` or `prepend` of an IPv6 route: routes of one metric become ways of one."""
    same = [number for number, other in enumerate(namespace.routes) if other.key == route.key]
    match verb:
        case "add" if same:
            reader.refuse("File exists (a route of this destination, table and metric is there)")
        case "append" | "prepend" if same:
            raise NotModelled("what becomes of several IPv6 routes of one metric is not modelled", place=reader.words[0].place)
        case "change" | "chg" if not same:
            reader.refuse("No such file or directory (there is no such route to change)")
        case "replace" | "change" | "chg" if len(same) > 1:
            raise NotModelled("which of several IPv6 routes of one metric is replaced is not modelled", place=reader.words[0].place)
        case "replace" | "change" | "chg" if same:
            namespace.routes[same[0]] = route
        case _:
            namespace.routes.append(route)


def checked_device6(reader: Reader, namespace: NamespaceBuilder, table: int, hop: NextHop, via: IPv6Address) -> str:
    """Return the device of a next hop over IPv6: the one that the longest route to it leads out by, which has no next hop itself."""
    if any(entry.interface.ip == via for entry in namespace.addresses):
        reader.refuse(f"Gateway can not be a local address ({via} is one of {namespace.name})")
    if via.is_link_local and hop.device is None:
        reader.refuse(f"Egress device not specified ({via} is on every link: say `dev`)")
    if hop.device is not None and (hop.onlink or via.is_link_local):
        return hop.device
    device = _direct(namespace, (table,), via, hop.device) or _direct(namespace, (Table.LOCAL, Table.MAIN), via, hop.device)
    if device is None:
        where = f" on {hop.device}" if hop.device else ""
        reader.refuse(f"No route to host (no subnet of {namespace.name}{where} holds {via})")
    return device


def _direct(namespace: NamespaceBuilder, tables: tuple[int, ...], via: IPv6Address, device: str | None) -> str | None:
    """Return the device by which the longest route to an address, of the first table that has one, leads straight there; None for none."""
    for table in tables:
        ways = [r for r in namespace.routes if r.table == table and via in r.destination and (device is None or r.device in (None, device))]
        found = min(ways, key=lambda route: (-route.destination.prefixlen, route.metric), default=None)
        if found is not None:
            return found.device if found.type == "unicast" and found.via is None and not found.hops else None
    return None
