"""What the kernel takes away by itself when links and addresses go.

Sources: fib_disable_ip, fib_inetaddr_event and fib_sync_down_addr in net/ipv4, __inet_del_ifa in net/ipv4/devinet.c, nexthop_flush_dev in
net/ipv4/nexthop.c,
rt6_remove_prefsrc in net/ipv6/route.c, neigh_ifdown and neigh_changeaddr in net/core/neighbour.c; each effect was seen on
Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from lab.state.network import Namespace
from lab.state.objects import Address, Bridge, Link, Macvlan, Neighbour, NextHopObject, Route, Table, Veth
from lab.state.ways import without_lost


def surviving_routes(namespace: Namespace, before: Namespace, no_longer_implied: Collection[Route]) -> Iterator[Route]:
    """Yield the routes that stay: not those of addresses that are gone, nor those through lost devices."""
    lost = {version: _lost_devices(namespace, before, version) for version in (4, 6)}
    lost_addresses = _lost_addresses(namespace, before)
    for route in namespace.routes:
        version = route.destination.version
        if route.nexthop is not None and all(thing.id != route.nexthop for thing in namespace.nexthops):
            continue
        devices = {route.device, *(hop.device for hop in route.hops)} - {None}
        stays_when_down = route.type == "local" and version == 4
        if route in no_longer_implied or (devices and devices <= lost[version] and not stays_when_down):
            continue
        if route.source not in lost_addresses:
            yield route
        elif version == 6:
            yield replace(route, source=None)
        elif route.table != Table.MAIN:  # fib_sync_down_addr compares the table
            yield route


def surviving_nexthops(namespace: Namespace, before: Namespace) -> tuple[NextHopObject, ...]:
    """Return the nexthop objects that stay: those over devices that went down or away do not."""
    return without_lost(namespace.nexthops, _lost_devices(namespace, before, 6)) if namespace.nexthops else ()


def without_carrier(namespaces: Mapping[str, Namespace]) -> dict[str, Namespace]:
    """Return namespaces without the nexthop objects over devices that have no carrier, and without the routes that name them."""
    return {name: _without_carrier(namespace, namespaces) if namespace.nexthops else namespace for name, namespace in namespaces.items()}


def _without_carrier(namespace: Namespace, namespaces: Mapping[str, Namespace]) -> Namespace:
    kept = without_lost(namespace.nexthops, {link.name for link in namespace.links if not has_carrier(link, namespace, namespaces)})
    if kept == namespace.nexthops:
        return namespace
    there = {thing.id for thing in kept}
    return replace(namespace, nexthops=kept, routes=tuple(r for r in namespace.routes if r.nexthop is None or r.nexthop in there))


def has_carrier(link: Link, namespace: Namespace, namespaces: Mapping[str, Namespace]) -> bool:
    """Whether a link of a namespace, one of these, is up and can send."""
    match link.kind:
        case Veth(peer_namespace, peer_name):
            other = namespaces[peer_namespace].link(peer_name) if peer_namespace in namespaces else None
            return link.up and other is not None and other.up
        case Bridge():
            ports = (port for port in namespace.links if port.master == link.name)
            return link.up and any(has_carrier(port, namespace, namespaces) for port in ports)
        case Macvlan(device):
            below = namespace.link(device)
            return link.up and below is not None and has_carrier(below, namespace, namespaces)
        case _:
            return link.up


def surviving_neighbours(namespace: Namespace, before: Namespace) -> tuple[Neighbour, ...]:
    """Return the neighbours that stay, be they permanent or not.

    A lost device loses them all, one that gets another MAC address all but proxy entries.
    """
    lost = {version: _lost_devices(namespace, before, version) for version in (4, 6)}
    old = {link.name: link.mac for link in before.links}
    renumbered = {link.name for link in namespace.links if link.mac is not None and old.get(link.name) != link.mac}
    asking = {link.name: link.arp for link in before.links}
    renumbered |= {link.name for link in namespace.links if asking.get(link.name, link.arp) != link.arp}
    return tuple(
        entry
        for entry in namespace.neighbours
        if entry.device not in lost[entry.address.version] and (entry.proxy or entry.device not in renumbered)
    )


def _lost_devices(namespace: Namespace, before: Namespace, version: int) -> set[str]:
    """Return the devices that lose their routes and neighbours: those that went down or away.

    For IPv4 also those that lost their last address, be it only to get another one.
    """
    up = {link.name for link in namespace.links if link.up}
    lost = {link.name for link in before.links if link.up} - up
    if version == 4:
        had = {entry.device for entry in before.addresses if entry.interface.version == 4}
        lost |= had - {entry.device for entry in namespace.addresses if entry.interface.version == 4}
    return lost


def _lost_addresses(namespace: Namespace, before: Namespace) -> set[Address]:
    """Return the addresses whose going is noticed by routes that have them as their source.

    When a device goes away its primary addresses go first, and then nobody asks for the routes of its secondary ones
    (fib_del_ifaddr finds no primary address and returns): those routes stay. Nor does anybody ask where a device that goes down
    loses its IPv6 addresses (addrconf_ifdown).
    """
    there = {link.name for link in namespace.links}
    went_down = {link.name for link in namespace.links if not link.up}
    lost: set[Address] = set()
    subnets: set[object] = set()
    for entry in before.addresses:
        far = entry.peer or entry.interface
        subnet = entry.device, far.network
        secondary = far.version == 4 and subnet in subnets
        subnets.add(subnet)
        if entry.interface.version == 6 and entry.device in went_down:
            continue
        if entry.device in there or not secondary:
            lost.add(entry.interface.ip)
    return lost - {entry.interface.ip for entry in namespace.addresses}
