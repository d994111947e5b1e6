"""Connection tracking: which flow a packet belongs to, and in which state the flow is.

After net/netfilter/nf_conntrack_core.c, nf_conntrack_proto_icmp.c and nf_conntrack_proto_tcp.c. Windows, time-outs and
helpers are not modelled: nothing here expires, and every segment is within its window.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final, Literal, NamedTuple

from lab.forwarding.packet import TCP, FlowKey, Packet, TcpFlags

Direction = Literal["original", "reply"]


class CtState(IntFlag):
    """`ct state`, with nft's own bits."""

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4
    NEW = 8
    UNTRACKED = 64


class CtStatus:
    """`ct status`, the bits of `enum ip_conntrack_status` that decide anything here. Plain numbers: every packet asks for them."""

    SEEN_REPLY: Final = 2
    CONFIRMED: Final = 8
    SOURCE_NAT: Final = 16
    DESTINATION_NAT: Final = 32
    SOURCE_DONE: Final = 128
    DESTINATION_DONE: Final = 256


class Connection(NamedTuple):
    """One flow: the key of its first packet, and the key its answers are expected with.

    A tuple, as `Tracked` is, because a new version is made with almost every packet.
    """

    original: FlowKey
    reply: FlowKey
    status: int = 0
    mark: int = 0
    tcp: Literal["none", "syn sent", "established"] = "none"
    masquerade: str | None = None
    """The device whose address a masquerade chose."""
    any_port: bool = False
    """The source port was drawn at random, so the number in `reply` is only a stand-in."""

    def key(self, direction: Direction) -> FlowKey:
        """Return the key of the packets of one direction."""
        return self.original if direction == "original" else self.reply


Conntrack = dict[FlowKey, Connection]
"""The table of one namespace: both keys of each connection lead to it."""


class Tracked(NamedTuple):
    """What connection tracking says of one packet."""

    state: CtState
    connection: Connection | None = None
    direction: Direction = "original"


UNTRACKED = Tracked(CtState.UNTRACKED)
INVALID = Tracked(CtState.INVALID)


def track(packet: Packet, table: Conntrack, *, loose: bool) -> Tracked:
    """Find or begin the connection of a packet (`nf_conntrack_in`). A new one is not in the table before `confirm`."""
    if packet.is_error:
        return _related(packet, table)
    if packet.icmp is not None and packet.icmp.discovers:
        return UNTRACKED
    key = packet.key
    connection = table.get(key)
    if connection is None:
        return _begin(packet, key, loose)
    direction: Direction = "original" if key == connection.original else "reply"
    if packet.protocol == TCP and not _continues(packet.tcp, connection, direction):
        return INVALID
    if direction == "reply":
        changed = connection._replace(status=connection.status | CtStatus.SEEN_REPLY, tcp=_tcp_after(packet, connection))
        remember(changed, table)
        if TcpFlags.RST in packet.tcp and not connection.status & CtStatus.SEEN_REPLY:
            # A reset is all the answer there was: the connection is forgotten at once (nf_conntrack_tcp_packet).
            del table[connection.original], table[connection.reply]
        return Tracked(CtState.ESTABLISHED, changed, direction)
    state = CtState.ESTABLISHED if connection.status & CtStatus.SEEN_REPLY else CtState.NEW
    return Tracked(state, connection, direction)


def remember(connection: Connection, table: Conntrack) -> None:
    """Put a connection, or its new version, into the table."""
    table[connection.original] = table[connection.reply] = connection


def _begin(packet: Packet, key: FlowKey, loose: bool) -> Tracked:
    tcp: Literal["none", "syn sent", "established"] = "none"
    if packet.icmp is not None:
        # `icmp_new`, `icmpv6_new`: only queries begin a flow; an echo reply nobody asked for is invalid.
        if not packet.icmp.asks:
            return INVALID
    elif packet.protocol == TCP:
        if TcpFlags.RST in packet.tcp or TcpFlags.SYN | TcpFlags.ACK in packet.tcp:
            return INVALID
        if TcpFlags.SYN in packet.tcp:
            tcp = "syn sent"
        elif loose:
            tcp = "established"
        else:
            return INVALID
    return Tracked(CtState.NEW, Connection(key, key.inverted(), tcp=tcp))


def _continues(flags: TcpFlags, connection: Connection, direction: Direction) -> bool:
    """Whether a segment fits the state of its connection (the table `tcp_conntracks`).

    After a SYN whose answer was not seen here, a bare ACK of the same side is out of state: what a firewall on one of two
    asymmetric ways sees.
    """
    return connection.tcp != "syn sent" or direction == "reply" or TcpFlags.SYN in flags or TcpFlags.RST in flags


def _tcp_after(packet: Packet, connection: Connection) -> Literal["none", "syn sent", "established"]:
    if connection.tcp == "syn sent" and TcpFlags.SYN | TcpFlags.ACK in packet.tcp:
        return "established"
    return connection.tcp


def _related(packet: Packet, table: Conntrack) -> Tracked:
    """Find the connection an ICMP error speaks about (`nf_conntrack_inet_error`); without one the error is invalid."""
    quoted = packet.icmp.quoted if packet.icmp is not None else None
    if quoted is None or quoted.is_error:
        return INVALID
    answer = quoted.key.inverted()
    connection = table.get(answer)
    if connection is None:
        return INVALID
    direction: Direction = "original" if answer == connection.original else "reply"
    if int(packet.destination) != connection.key(direction).destination:
        return INVALID
    return Tracked(CtState.RELATED, connection, direction)
