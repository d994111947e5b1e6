"""Routes that routing daemons put into the kernel: they are theirs, and come when they come.

The kernel tells of every route that comes and goes (rtnetlink(7), RTNLGRP_IPV4_ROUTE and RTNLGRP_IPV6_ROUTE), so that nobody has to ask
again and again.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Final

from lab.kernel.handles import AF_NETLINK
from lab.kernel.netlink.attributes import read_attributes
from lab.kernel.netlink.channel import NETLINK_ROUTE, Channel
from lab.kernel.netlink.routes import RTA_DST, RTA_GATEWAY, RTMSG
from lab.kernel.netlink.wire import AF_INET, AF_INET6, RTM_GETROUTE
from lab.kernel.stillness import Places
from lab.state import Namespace, Protocol, Route, State, Table
from lab.state.bgp import Version, is_learned
from lab.state.objects import Address, Network

Way = tuple[Network, Address | None]
"""Where a route leads, and its next hop; a blackhole has none."""

_FAMILIES: Final[dict[Version, tuple[int, int, int]]] = {4: (AF_INET, 0x40, 4), 6: (AF_INET6, 0x400, 16)}
"""By version of IP: its number in the kernel, the group in which the kernel tells of its routes, and the bytes of an address."""
_PATIENCE: Final = 15.0
"""Seconds without any news after which nothing more is expected: sessions open after one second, and are tried again every other."""


def left_to_daemons(state: State, daemons: State) -> State:
    """Return a state without the routes that are up to the daemons of another (or the same) state."""
    speaking = {ns.name: versions for ns in daemons if (versions := {p.speaker.version for p in ns.programs if p.speaker is not None})}
    if not speaking:
        return state
    return replace(state, namespaces={name: _without(ns, speaking.get(name, ())) for name, ns in state.namespaces.items()})


def _without(namespace: Namespace, versions: Collection[Version]) -> Namespace:
    """Return a namespace without the routes that daemons learn over some versions of IP."""
    if not versions:
        return namespace
    left = tuple(route for route in namespace.routes if not any(is_learned(route, version) for version in versions))
    return replace(namespace, routes=left)


def way(route: Route) -> Way:
    """Return what tells one learned route from another."""
    return route.destination, route.via


def await_routes(places: Places, wanted: Mapping[tuple[str, Version], Collection[Way]]) -> dict[tuple[str, Version], set[Way]]:
    """Wait until the daemons of some namespaces have put exactly these routes of a version of IP into their kernels.

    Returns, by namespace and version, in what they still differ when there has been no news of any for long: nothing, mostly.
    """
    with ExitStack() as closing:
        channels: dict[int, tuple[tuple[str, Version], Channel, socket.socket]] = {}
        poll = select.poll()
        for key in wanted:
            name, version = key
            news = closing.enter_context(places.socket_in(name, AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE))
            news.bind((0, _FAMILIES[version][1]))
            news.setblocking(False)
            channel = Channel(closing.enter_context(places.socket_in(name, AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)))
            channels[news.fileno()] = (key, channel, news)
            poll.register(news, select.POLLIN)
        differing = {key: _learned(channel, key[1]) ^ set(wanted[key]) for key, channel, _ in channels.values()}
        last = time.monotonic()
        while any(differing.values()) and (left := last + _PATIENCE - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                key, channel, news = channels[descriptor]
                _drain(news)
                differing[key] = _learned(channel, key[1]) ^ set(wanted[key])
                last = time.monotonic()
    return {key: ways for key, ways in differing.items() if ways}


def _drain(news: socket.socket) -> None:
    """Read all news of a socket; that some of it found no room is news as well."""
    while True:
        try:
            news.recv(65536)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS
            continue


def _learned(channel: Channel, version: Version) -> set[Way]:
    """Return the routes of a version of IP that a daemon has put into a namespace."""
    found: set[Way] = set()
    number, _, size = _FAMILIES[version]
    for body in channel.dump(RTM_GETROUTE, RTMSG.pack(number, 0, 0, 0, 0, 0, 0, 0, 0)):
        family, length, _, _, table, protocol, *_ = RTMSG.unpack_from(body)
        if (family, table, protocol) != (number, Table.MAIN, Protocol.BIRD):
            continue
        attributes = read_attributes(body, RTMSG.size)
        gateway = attributes.get(RTA_GATEWAY)
        network = ip_network((attributes.get(RTA_DST, bytes(size)), length))
        found.add((network, ip_address(gateway) if gateway is not None else None))
    return found
