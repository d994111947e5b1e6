"""What the engine keeps open of each network namespace of a lab: a netlink socket, an nft context, its tun devices, the relay in it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from lab.kernel.netlink.channel import NETLINK_ROUTE, Channel
from lab.kernel.nftables import Nftables
from lab.kernel.planning.steps import HeldEnd
from lab.kernel.relaying import RunningRelay
from lab.kernel.sysctl import Procfs, defaults_of_new_namespace

AF_NETLINK: Final = 16


class Namespaces(Protocol):
    """Where network namespaces come from: what the engine needs of a sandbox."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The names of the network namespaces, in the order they were added."""
        ...

    def add_namespace(self, name: str) -> int:
        """Make a network namespace; returns its descriptor."""
        ...

    def remove_namespace(self, name: str) -> None:
        """Let go of a network namespace."""
        ...

    def descriptor(self, name: str) -> int:
        """The descriptor of a network namespace."""
        ...

    def enter(self, name: str) -> AbstractContextManager[None]:
        """Be in a network namespace for as long as the block lasts."""
        ...

    def socket_in(self, name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Open a socket in a network namespace."""
        ...


class Handles:
    """The open handles of all namespaces of a lab. They keep namespaces alive, so they are closed with them."""

    def __init__(self, sandbox: Namespaces) -> None:
        self.sandbox = sandbox
        self.procfs = Procfs()
        self._channels: dict[str, Channel] = {}
        self._nftables: dict[str, Nftables] = {}
        self._tuns: dict[tuple[str, str], int] = {}
        self._relays: dict[str, RunningRelay] = {}
        self._defaults: dict[str, str] = {}

    def channel(self, namespace: str) -> Channel:
        """The rtnetlink socket of a namespace."""
        channel = self._channels.get(namespace)
        if channel is None:
            channel = Channel(self.sandbox.socket_in(namespace, AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE))
            self._channels[namespace] = channel
        return channel

    def nftables(self, namespace: str) -> Nftables:
        """The nft context of a namespace; to be used inside it."""
        return self._nftables.setdefault(namespace, Nftables(namespace))

    def keep_tun(self, namespace: str, link: str, descriptor: int) -> None:
        """Hold a tun device open."""
        self._tuns[namespace, link] = descriptor

    def close_tun(self, namespace: str, link: str) -> None:
        """Close a tun device, which ends it."""
        descriptor = self._tuns.pop((namespace, link), None)
        if descriptor is not None:
            os.close(descriptor)

    def hold(self, namespace: str, ends: Sequence[HeldEnd]) -> None:
        """Let a relay in a namespace hold what comes by some of its devices; it is started when it is needed first."""
        relay = self._relays.get(namespace)
        if relay is None:
            with self.sandbox.enter(namespace):
                relay = self._relays[namespace] = RunningRelay()
        relay.hold(ends)

    def check_relays(self) -> None:
        """Raise InconclusiveError when a relay has ended by itself: frames went to it and did not come back."""
        for relay in self._relays.values():
            relay.check()

    def defaults(self, paths: Sequence[str]) -> Mapping[str, str]:
        """What these sysctls are in a namespace nobody has touched, which does not change while a lab runs."""
        unknown = [path for path in paths if path not in self._defaults]
        if unknown:
            self._defaults |= defaults_of_new_namespace(unknown)
        return self._defaults

    def forget(self, namespace: str) -> None:
        """Close all handles of a namespace."""
        channel = self._channels.pop(namespace, None)
        if channel is not None:
            channel.close()
        relay = self._relays.pop(namespace, None)
        if relay is not None:
            relay.close()
        nftables = self._nftables.pop(namespace, None)
        if nftables is not None:
            nftables.close()
        for where, link in list(self._tuns):
            if where == namespace:
                self.close_tun(where, link)

    def close(self) -> None:
        """Close everything."""
        for namespace in {*self._channels, *self._nftables, *self._relays, *(where for where, _ in self._tuns)}:
            self.forget(namespace)
        self.procfs.close()
