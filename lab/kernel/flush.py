"""Making the kernel forget what it learned from packets: connections, neighbours, path MTUs.

What one phase of a scenario taught the kernel would otherwise decide the next one: a connection keeps its NAT, a neighbour its MAC
address, a route its lowered MTU.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from typing import Final

from lab.errors import MachineError
from lab.kernel.handles import AF_NETLINK, Handles
from lab.kernel.netlink.attributes import ip_address, read_attributes
from lab.kernel.netlink.channel import NETLINK_NETFILTER, Channel
from lab.kernel.netlink.neighbours import NDA_DST, NDMSG, NUD_NOARP, NUD_PERMANENT
from lab.kernel.netlink.routes import RTMSG
from lab.kernel.netlink.tables import is_cloned
from lab.kernel.netlink.wire import (
    AF_BRIDGE,
    AF_INET6,
    AF_UNSPEC,
    REMOVE,
    RTM_DELNEIGH,
    RTM_DELROUTE,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    message,
)
from lab.kernel.sysctl import write_sysctls
from lab.state.objects import Address

_IPCTNL_MSG_CT_DELETE: Final = (1 << 8) | 2
"""Subsystem NFNL_SUBSYS_CTNETLINK, message CT_DELETE: without a tuple it deletes all (ctnetlink_del_conntrack)."""
_NFGENMSG_ANY: Final = bytes(4)
_NO_CONNTRACK: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT})


def flush_connections(handles: Handles, namespace: str) -> None:
    """Forget all tracked connections, with their NAT."""
    with handles.sandbox.socket_in(namespace, AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as opened:
        refusal = Channel(opened).command(_IPCTNL_MSG_CT_DELETE, _NFGENMSG_ANY)
    if refusal is not None and refusal.error not in _NO_CONNTRACK:
        raise MachineError(f"{namespace}: connections cannot be flushed: {refusal}", hint="the kernel needs nf_conntrack_netlink")


def flush_neighbours(handles: Handles, namespace: str, keep: Collection[tuple[int, Address]] = ()) -> None:
    """Forget neighbours and FDB entries that were learned; those that were configured stay, and those of `keep`: device and address."""
    channel = handles.channel(namespace)
    learned = []
    for family in (AF_UNSPEC, AF_BRIDGE):  # of no family: those of every version of IP
        for body in channel.dump(RTM_GETNEIGH, NDMSG.pack(family, 0, 0, 0, 0)):
            state = NDMSG.unpack_from(body)[2]
            if not state & (NUD_PERMANENT | NUD_NOARP) and (family == AF_BRIDGE or not keep or _named(body) not in keep):
                learned.append(message(RTM_DELNEIGH, REMOVE, body))
    if learned:
        channel.send(learned)


def _named(body: bytes) -> tuple[int, Address] | None:
    """The interface index and address of a neighbour."""
    destination = read_attributes(body, NDMSG.size).get(NDA_DST)
    return None if destination is None else (NDMSG.unpack_from(body)[1], ip_address(destination))


def flush_routes(handles: Handles, namespace: str) -> None:
    """Forget path MTUs and redirects of both versions of IP.

    Those of IPv4 go with net.ipv4.route.flush. Its namesake of IPv6 only looks for what has run out (`fib6_run_gc`), so each is deleted,
    as `ip -6 route flush cache` does: a dump tells of them as cached copies of their routes.
    """
    with handles.sandbox.enter(namespace):
        write_sysctls(handles.procfs.visit(), [("net/ipv4/route/flush", "1")], namespace)
    channel = handles.channel(namespace)
    routes = channel.dump(RTM_GETROUTE, RTMSG.pack(AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0))
    learned = [message(RTM_DELROUTE, REMOVE, body) for body in routes if is_cloned(body)]
    if learned:
        channel.send(learned)
