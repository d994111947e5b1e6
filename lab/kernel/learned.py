"""Routes that routing daemons put into the kernel: they are theirs, and come when they come.

The kernel tells of every route that comes and goes (rtnetlink(7), RTNLGRP_IPV4_ROUTE), so that nobody has to ask again and again.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from lab.kernel.handles import AF_NETLINK
from lab.kernel.netlink.attributes import read_attributes
from lab.kernel.netlink.channel import NETLINK_ROUTE, Channel
from lab.kernel.netlink.routes import RTA_DST, RTA_GATEWAY, RTMSG
from lab.kernel.netlink.wire import AF_INET, RTM_GETROUTE
from lab.kernel.stillness import Places
from lab.state import Namespace, Protocol, Route, State, Table
from lab.state.bgp import is_learned

Way = tuple[IPv4Network, IPv4Address | None]
"""Where a route leads, and its next hop; a blackhole has none."""

_RTMGRP_IPV4_ROUTE: Final = 0x40
_ALL: Final = RTMSG.pack(AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
_PATIENCE: Final = 15.0
"""Seconds without any news after which nothing more is expected: sessions open after one second, and are tried again every other."""


def left_to_daemons(state: State, daemons: State) -> State:
    """Return a state without the routes that are up to the daemons of another (or the same) state."""
    speaking = {namespace.name for namespace in daemons if any(program.speaker is not None for program in namespace.programs)}
    if not speaking:
        return state
    return replace(state, namespaces={name: _without(ns) if name in speaking else ns for name, ns in state.namespaces.items()})


def _without(namespace: Namespace) -> Namespace:
    return replace(namespace, routes=tuple(route for route in namespace.routes if not is_learned(route)))


def way(route: Route) -> Way:
    """Return what tells one learned route from another."""
    assert isinstance(route.destination, IPv4Network)
    return route.destination, route.via if isinstance(route.via, IPv4Address) else None


def await_routes(places: Places, wanted: Mapping[str, Collection[Way]]) -> dict[str, set[Way]]:
    """Wait until the daemons of some namespaces have put exactly these routes into their kernels.

    Returns, by namespace, in what they still differ when there has been no news of any for long: nothing, mostly.
    """
    with ExitStack() as closing:
        channels: dict[int, tuple[str, Channel, socket.socket]] = {}
        poll = select.poll()
        for name in wanted:
            news = closing.enter_context(places.socket_in(name, AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE))
            news.bind((0, _RTMGRP_IPV4_ROUTE))
            news.setblocking(False)
            channel = Channel(closing.enter_context(places.socket_in(name, AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)))
            channels[news.fileno()] = (name, channel, news)
            poll.register(news, select.POLLIN)
        differing = {name: _learned(channel) ^ set(wanted[name]) for name, channel, _ in channels.values()}
        last = time.monotonic()
        while any(differing.values()) and (left := last + _PATIENCE - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                name, channel, news = channels[descriptor]
                _drain(news)
                differing[name] = _learned(channel) ^ set(wanted[name])
                last = time.monotonic()
    return {name: ways for name, ways in differing.items() if ways}


def _drain(news: socket.socket) -> None:
    """Read all news of a socket; that some of it found no room is news as well."""
    while True:
        try:
            news.recv(65536)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS
            continue


def _learned(channel: Channel) -> set[Way]:
    """Return the routes of a namespace that a daemon has put there."""
    found: set[Way] = set()
    for body in channel.dump(RTM_GETROUTE, _ALL):
        family, length, _, _, table, protocol, *_ = RTMSG.unpack_from(body)
        if (family, table, protocol) != (AF_INET, Table.MAIN, Protocol.BIRD):
            continue
        attributes = read_attributes(body, RTMSG.size)
        gateway = attributes.get(RTA_GATEWAY)
        network = IPv4Network((attributes.get(RTA_DST, bytes(4)), length))
        found.add((network, IPv4Address(gateway) if gateway is not None else None))
    return found
