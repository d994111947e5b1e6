"""Is anything still under way? In a lab of veth pairs a packet is being worked on, queued at a processor, or waiting for a neighbour.

The receiver's side of a veth pair runs within the sender's system call, unless the queue of received packets of a processor (its
backlog) grows long; what waits for an answer to an ARP request or a solicitation hangs on an incomplete neighbour entry. Where there is
neither, no timer is needed to know that a packet nobody heard of so far will not be heard of. What a timer alone brings back (a
repetition of TCP's, the rest of a fragmented packet that never comes) is not under way in this sense.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from lab.kernel.handles import AF_NETLINK
from lab.kernel.netlink.channel import NETLINK_ROUTE, Channel
from lab.kernel.netlink.neighbours import NDMSG
from lab.kernel.netlink.wire import RTM_GETNEIGH

_SOFTNET: Final = Path("/proc/net/softnet_stat")
_BACKLOG: Final = 11
"""Which column holds the length of a processor's backlog (softnet_seq_show in net/core/net-procfs.c)."""
_NUD_INCOMPLETE: Final = 0x01
_AF_UNSPEC: Final = 0
_QUESTION: Final = NDMSG.pack(_AF_UNSPEC, 0, 0, 0, 0)
"""Asks for the neighbours of both versions of IP."""


class Places(Protocol):
    """What opens sockets in namespaces: the sandbox."""

    def socket_in(self, name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Return a socket that belongs to a namespace."""


@dataclass(slots=True)
class Stillness:
    """Tells whether some namespaces are at rest. `close` it: it keeps sockets of them open."""

    channels: list[Channel]

    @classmethod
    def of(cls, places: Places, namespaces: Iterable[str]) -> Self:
        """Look after these namespaces."""
        return cls([Channel(places.socket_in(name, AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)) for name in namespaces])

    def waiting(self) -> bool:
        """Whether a packet waits for a neighbour in any of these namespaces."""
        for number, channel in enumerate(self.channels):
            if _waits(channel):
                # The next look begins with this one.
                self.channels.insert(0, self.channels.pop(number))
                return True
        return False

    def close(self) -> None:
        """Close the sockets."""
        for channel in self.channels:
            channel.close()


def queued() -> bool:
    """Whether a packet is queued at any processor of this machine, whosever it is."""
    return any(int(line.split()[_BACKLOG], 16) for line in _SOFTNET.read_bytes().splitlines())


def _waits(channel: Channel) -> bool:
    """Whether a neighbour of a namespace is being asked for."""
    return any(NDMSG.unpack_from(body)[2] & _NUD_INCOMPLETE for body in channel.dump(RTM_GETNEIGH, _QUESTION))
