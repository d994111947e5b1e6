"""Network address translation: decided once for a flow, applied to each of its packets, undone for the answers.

After net/netfilter/nf_nat_core.c and nf_nat_proto.c. *Source* manipulation happens in postrouting and input, *destination*
manipulation in prerouting and output; which packets of which direction are touched where follows from that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from lab.forwarding.netfilter.conntrack import Connection, Conntrack, CtState, CtStatus, Direction, Tracked
from lab.forwarding.packet import ICMP, ICMPV6, FlowKey, Packet

Manipulation = Literal["source", "destination"]


def manipulation_of(hook: str) -> Manipulation:
    """Return what NAT does in a hook (`HOOK2MANIP`)."""
    return "source" if hook in ("postrouting", "input") else "destination"


def decided(connection: Connection, manipulation: Manipulation) -> bool:
    """Whether the flow has had its chance to be translated (`nf_nat_initialized`)."""
    done = CtStatus.SOURCE_DONE if manipulation == "source" else CtStatus.DESTINATION_DONE
    return bool(connection.status & done)


def bind(
    connection: Connection,
    manipulation: Manipulation,
    table: Conntrack,
    *,
    address: int | None = None,
    port: int | None = None,
    any_port: bool = False,
) -> Connection:
    """Decide a flow's translation (`nf_nat_setup_info`). Without address and port it is the decision to leave it alone.

    A key that another flow has already is avoided by another source port, as the kernel does; which one is left to chance there,
    so the number is only a stand-in. Where the destination is decided no port can be changed, but the identifier of a ping: to the first
    that is free, from 0 (`nf_nat_l4proto_unique_tuple`).
    """
    current = connection.reply.inverted()
    if manipulation == "source":
        done, bit = CtStatus.SOURCE_DONE, CtStatus.SOURCE_NAT
        wanted = current._replace(source=current.source if address is None else address)
        wanted = wanted if port is None else wanted._replace(source_port=port)
    else:
        done, bit = CtStatus.DESTINATION_DONE, CtStatus.DESTINATION_NAT
        wanted = current._replace(destination=current.destination if address is None else address)
        if port is not None and connection.original.protocol not in (ICMP, ICMPV6):
            wanted = wanted._replace(destination_port=port)
    if manipulation == "source":
        free = _free(wanted, table)
        any_port = any_port or free != wanted
        wanted = free
    elif connection.original.protocol in (ICMP, ICMPV6) and wanted.inverted() in table:
        wanted = _free(wanted, table, first=0)
    status = connection.status | done | (bit if wanted != current or any_port else 0)
    return connection._replace(reply=wanted.inverted(), status=status, any_port=connection.any_port or any_port)


def _free(wanted: FlowKey, table: Conntrack, first: int = 1024) -> FlowKey:
    port = first
    while wanted.inverted() in table:
        wanted = wanted._replace(source_port=port)
        port += 1
    return wanted


def apply(packet: Packet, tracked: Tracked, manipulation: Manipulation) -> Packet:
    """Rewrite a packet as its flow's translation asks for (`nf_nat_packet`, `nf_nat_icmp_reply_translation`)."""
    connection = tracked.connection
    if connection is None or not _touched(connection, tracked.direction, manipulation):
        return packet
    target = connection.key(_other(tracked.direction)).inverted()
    if tracked.state == CtState.RELATED:
        return _rewrite_error(packet, connection.key(_other(tracked.direction)), target, manipulation)
    return _rewrite(packet, target, manipulation)


def _other(direction: Direction) -> Direction:
    return "reply" if direction == "original" else "original"


def _touched(connection: Connection, direction: Direction, manipulation: Manipulation) -> bool:
    source = manipulation == "source"
    if direction == "reply":
        source = not source
    return bool(connection.status & (CtStatus.SOURCE_NAT if source else CtStatus.DESTINATION_NAT))


def _rewrite(packet: Packet, target: FlowKey, manipulation: Manipulation) -> Packet:
    icmp = packet.icmp
    if icmp is not None:
        icmp = replace(icmp, identifier=target.source_port)
        if manipulation == "source":
            return packet._replace(source=type(packet.source)(target.source), icmp=icmp)
        return packet._replace(destination=type(packet.destination)(target.destination), icmp=icmp)
    if manipulation == "source":
        return packet._replace(source=type(packet.source)(target.source), source_port=target.source_port)
    return packet._replace(destination=type(packet.destination)(target.destination), destination_port=target.destination_port)


def _rewrite_error(packet: Packet, quoted_as: FlowKey, target: FlowKey, manipulation: Manipulation) -> Packet:
    """Rewrite the quoted packet the other way round, and the outer address so that it looks like the flow's own answer.

    For a flow whose destination was rewritten the outer source becomes the address the client had asked for, whichever
    router complained.
    """
    icmp = packet.icmp
    if icmp is None or icmp.quoted is None:
        return packet
    quoted = _rewrite(icmp.quoted, quoted_as, "destination" if manipulation == "source" else "source")
    error = replace(icmp, quoted=quoted)
    if manipulation == "source":
        return packet._replace(source=type(packet.source)(target.source), icmp=error)
    return packet._replace(destination=type(packet.destination)(target.destination), icmp=error)
