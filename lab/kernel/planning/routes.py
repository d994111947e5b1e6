"""Which routes are sent, replaced and removed, and which are left to the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lab.kernel.planning.changes import NamespaceChange
from lab.state import AddressEntry, Namespace, Protocol, Route, Table
from lab.state.objects import Network

_KERNEL: Final = Protocol.KERNEL
_FIRST_METRIC_IPV6: Final = 256
"""Of routes that come with an IPv6 address (IP6_RT_PRIO_ADDRCONF)."""


@dataclass(frozen=True, slots=True)
class RouteChanges:
    """Routes in the order in which they are sent: one through a gateway needs the route to that gateway."""

    removed: tuple[Route, ...]
    added: tuple[Route, ...]
    """Without a gateway, then with one."""
    replaced: tuple[Route, ...]
    """They take the place of a route with the same key, or may be there already."""


def route_changes(change: NamespaceChange, disturbed: frozenset[str], new_addresses: Sequence[AddressEntry]) -> RouteChanges:
    """Compare the routes of two states, knowing on which links (`disturbed`) the kernel may have dropped some.

    A namespace that states no route of the kernel's own, of a family, leaves them all to it.
    """
    before, after = change.before, change.after
    if before.routes == after.routes and not disturbed:
        return RouteChanges((), (), ())
    families = _families_of_kernel_routes(after)
    old, new = set(before.routes), set(after.routes)
    going = [
        route
        for route in before.routes
        if route not in new and not _is_lost(route, change.lost) and (route.protocol != _KERNEL or route.destination.version in families)
    ]
    taken = {route.key for route in going}
    shaken = _Shaken(disturbed, before)
    coming = [route for route in after.routes if route not in old or shaken.touches(route)]
    comes_by_itself = _ComesByItself(change, old, new_addresses)
    sent = [route for route in coming if not comes_by_itself(route)]
    keys = {route.key for route in sent}
    fresh = [r for r in sent if r not in old and r.key not in taken and r.protocol != _KERNEL and not shaken.touches(r)]
    first = set(fresh)
    return RouteChanges(
        removed=tuple(route for route in going if route.key not in keys),
        added=tuple(fresh),
        replaced=tuple(route for route in sent if route not in first),
    )


def new_routes_of(namespace: Namespace) -> list[Route]:
    """The routes of a new namespace that do not come with its addresses and links."""
    networks = _networks(namespace.addresses)
    return [route for route in namespace.routes if route.protocol != _KERNEL or not _is_implied(route, networks)]


def by_dependence(routes: Sequence[Route]) -> tuple[list[Route], list[Route]]:
    """Routes without a gateway, and those with one, which the kernel takes only if it can reach that gateway directly."""
    direct = [route for route in routes if route.via is None and not route.hops]
    return direct, [route for route in routes if route.via is not None or route.hops]


def unwanted_routes(change: NamespaceChange, new_addresses: Sequence[AddressEntry]) -> list[Route]:
    """Connected routes that the kernel makes with new addresses although the state, which does list the kernel's routes, has none such."""
    after = change.after
    families = _families_of_kernel_routes(after)
    if not families or not new_addresses:
        return []
    stated = {(route.device, route.destination) for route in after.routes if route.protocol == _KERNEL and route.table == Table.MAIN}
    up = {link.name for link in after.links if link.up}
    rising = {link.name for link in change.rising}
    already = set(change.before.addresses)
    unwanted = []
    for entry in new_addresses:
        network = (entry.peer or entry.interface).network
        if network.version not in families or entry.no_prefix_route or network.prefixlen == network.max_prefixlen:
            continue
        comes = entry.device in up and entry.device != "lo" and (entry.device in rising or entry not in already)
        if comes and (entry.device, network) not in stated:
            metric = 0 if network.version == 4 else _FIRST_METRIC_IPV6
            unwanted.append(Route(network, device=entry.device, protocol=_KERNEL, scope="link", metric=metric))
    return unwanted


class _Shaken:
    """Tells which routes may have gone with what happened to links."""

    def __init__(self, disturbed: frozenset[str], before: Namespace) -> None:
        self._links = disturbed
        self._sources = {entry.interface.ip for entry in before.addresses if entry.device in disturbed}

    def touches(self, route: Route) -> bool:
        """Whether a route leads over a disturbed link, may do so, or prefers an address there as its source."""
        if not self._links:
            return False
        if route.device in self._links or route.source in self._sources:
            return True
        unnamed = route.device is None and route.via is not None
        return unnamed or any(hop.device is None or hop.device in self._links for hop in route.hops)


class _ComesByItself:
    """Tells which routes the kernel makes, or has made, because of links and addresses."""

    def __init__(self, change: NamespaceChange, old: set[Route], new_addresses: Sequence[AddressEntry]) -> None:
        self._old = old
        self._rising = {link.name for link in change.rising}
        self._renewed = {entry.device for entry in new_addresses}
        self._made = _networks(new_addresses)
        self._connected = _networks(change.after.addresses)

    def __call__(self, route: Route) -> bool:
        """Whether a route need not be sent. One that somebody deleted under its address must be, where that is possible.

        Local routes of IPv6 have metric 0, which nobody can ask for: in a request it means the default of 1024.
        """
        if route.protocol != _KERNEL or not _is_implied(route, self._connected):
            return False
        if route in self._old or route.device in self._rising or (route.device, route.destination) in self._made:
            return True
        return route.table == Table.LOCAL and (route.device in self._renewed or route.destination.version == 6)


def _families_of_kernel_routes(namespace: Namespace) -> set[int]:
    """The IP versions of which a namespace states the kernel's own routes."""
    return {route.destination.version for route in namespace.routes if route.protocol == _KERNEL}


def _is_lost(route: Route, lost: frozenset[str]) -> bool:
    return route.device in lost


def _networks(addresses: Iterable[AddressEntry]) -> set[tuple[str, Network]]:
    """What addresses connect to, by link."""
    return {(entry.device, (entry.peer or entry.interface).network) for entry in addresses}


def _is_implied(route: Route, networks: set[tuple[str, Network]]) -> bool:
    """Whether a route of the kernel's own comes with an address, or with the link."""
    return route.table == Table.LOCAL or (route.device, route.destination) in networks
