"""ICMP errors and other answers a host makes by itself: whether, to whom, from which address.

After `__icmp_send` in net/ipv4/icmp.c and `nf_send_unreach`, `nf_send_reset` in net/ipv4/netfilter/nf_reject_ipv4.c. An error
is a packet like any other: it is routed, filtered, translated, checked for its source, and it may be lost.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from lab.forwarding.addresses import LINK_SCOPE, select_address
from lab.forwarding.addresses6 import select_address6
from lab.forwarding.fib import Query
from lab.forwarding.journey import ANY, Sending
from lab.forwarding.netfilter.conntrack import CtState, Tracked
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.network import Node
from lab.forwarding.packet import (
    ADDRESS_V6,
    BY_THE_WAY,
    ECHO_REPLY,
    ECHO_REPLY_V6,
    FILTERED,
    FRAGMENTATION_NEEDED,
    HOST,
    ICMP,
    ICMP_ERROR_LIMIT,
    ICMP_HEADER,
    ICMPV6,
    IP_HEADER,
    IPV6_HEADER,
    LEAST_MTU_V6,
    NET,
    NO_ROUTE_V6,
    PARAMETER_PROBLEM_V6,
    PORT,
    PORT_V6,
    PROHIBITED_V6,
    PROTOCOL,
    TCP,
    TCP_HEADER,
    TIME_EXCEEDED,
    TIME_EXCEEDED_V6,
    TOO_BIG_V6,
    UNKNOWN_HEADER_V6,
    UNREACHABLE,
    UNREACHABLE_V6,
    Address,
    Icmp,
    Packet,
    TcpFlags,
)
from lab.forwarding.unknown import Undecided
from lab.state.nft import Reject

_REJECT_CODES = {
    "net-unreachable": 0,
    "host-unreachable": 1,
    "prot-unreachable": 2,
    "port-unreachable": 3,
    "net-prohibited": 9,
    "host-prohibited": 10,
    "admin-prohibited": 13,
    "no-route": 0,
}
"""Names of nft's reject for `icmp`, and those of `icmpx` as they become codes of ICMP (`nft_icmp_code`)."""


_REJECT_CODES_V6 = {
    "no-route": 0,
    "admin-prohibited": 1,
    "addr-unreachable": 3,
    "host-unreachable": 3,
    "port-unreachable": 4,
    "policy-fail": 5,
    "reject-route": 6,
}
"""Names of nft's reject for `icmpv6`, and those of `icmpx` as they become codes of ICMPv6 (`nft_icmpv6_code`)."""


_LOOPBACK = IPv4Address("127.0.0.1")


def error_about(
    t: Transit, kind: int, code: int, *, arrived_by: str | None, was_local: bool, mtu: int | None = None, attach: bool = True
) -> Sending | None:
    """Return the error a namespace sends about a packet, or None where it keeps silent.

    `was_local`: the packet had been routed to this namespace itself, so the error comes from the address it was sent to.
    `attach`: the error belongs to the packet's connection even if that was never confirmed.
    """
    packet = t.packet
    if packet.version == 6:
        return _error_about6(t, *_AS_ICMPV6[kind, code], arrived_by=arrived_by, was_local=was_local, mtu=mtu, attach=attach)
    here = arrived_by is None and packet.source == ANY
    if packet.is_error or t.link_type != "host" or (int(packet.source) >> 24 == 0 and not here) or int(packet.source) == 0xFFFFFFFF:
        return None
    source: Address = ANY
    if here:
        # A packet that left without an address: nobody is this host itself, and lo speaks to lo (`ip_route_output_key_hash_rcu`).
        source = _LOOPBACK
    elif was_local:
        source = packet.destination
    elif arrived_by is not None and t.node.settings.errors_use_inbound_address:
        source = select_address(t.node, arrived_by, int(packet.source), LINK_SCOPE) or ANY
    quoted = packet._replace(mark=0)
    error = Packet(
        source,
        _LOOPBACK if here else packet.source,
        ICMP,
        ttl=BY_THE_WAY,
        tos=packet.tos & 0x1E | 0xC0,
        size=min(IP_HEADER + ICMP_HEADER + packet.length, ICMP_ERROR_LIMIT),
        icmp=Icmp(kind, code, mtu=mtu, quoted=quoted),
        mark=_reflected(t),
    )
    return Sending(t.node.name, error, "error", tracked=_attached(t) if attach else None)


_AS_ICMPV6 = {
    (UNREACHABLE, NET): (UNREACHABLE_V6, NO_ROUTE_V6),
    (UNREACHABLE, HOST): (UNREACHABLE_V6, ADDRESS_V6),
    (UNREACHABLE, PROTOCOL): (PARAMETER_PROBLEM_V6, UNKNOWN_HEADER_V6),
    (UNREACHABLE, PORT): (UNREACHABLE_V6, PORT_V6),
    (UNREACHABLE, FRAGMENTATION_NEEDED): (TOO_BIG_V6, 0),
    (UNREACHABLE, FILTERED): (UNREACHABLE_V6, PROHIBITED_V6),
    (TIME_EXCEEDED, 0): (TIME_EXCEEDED_V6, 0),
}
"""What the stack says of the same trouble in ICMPv6 (RFC 4443, section 3)."""


def _error_about6(
    t: Transit, kind: int, code: int, *, arrived_by: str | None, was_local: bool, mtu: int | None = None, attach: bool
) -> Sending | None:
    """Return the ICMPv6 error about a packet (`icmp6_send` in net/ipv6/icmp.c), or None where the namespace keeps silent.

    It comes from the address the packet was sent to where that is an own one; else from one of the device the packet came in by, unless the
    route back names a source. The way back is looked up with that source, so rules that ask for it count.
    """
    packet = t.packet
    source = packet.source
    assert isinstance(source, IPv6Address)
    if packet.is_error or t.link_type != "host" or source.is_multicast or source.is_unspecified:
        return None
    own = packet.destination if was_local or int(packet.destination) in t.node.own_addresses6 else IPv6Address(0)
    if int(own) == 0 and arrived_by is not None:
        back = t.node.fib6.lookup(Query(int(source), mark=_reflected(t), protocol=ICMPV6))
        if back.error is not None or back.route is None or back.route.source is None:
            own = select_address6(t.node, arrived_by, source) or own
    error = Packet(
        own,
        source,
        ICMPV6,
        ttl=BY_THE_WAY,
        size=min(IPV6_HEADER + ICMP_HEADER + packet.length, LEAST_MTU_V6),
        icmp=Icmp(kind, code, mtu=mtu, quoted=packet._replace(mark=0), version=6),
        mark=_reflected(t),
    )
    return Sending(t.node.name, error, "error", tracked=_attached(t) if attach else None)


def _reflected(t: Transit) -> int:
    """The mark of what the kernel answers by itself."""
    return t.packet.mark if t.node.settings.reflects_mark(t.packet.version) else 0


def rejection(t: Transit, reject: Reject, *, arrived_by: str | None, was_local: bool) -> Sending | None:
    """Return what a rule's reject sends."""
    if reject.type == "tcp reset":
        return reset_for(t, any_source=True, attach=True)
    code = reject.code or "port-unreachable"
    if t.packet.version == 6:
        if code not in _REJECT_CODES_V6:
            raise Undecided(f"reject with {code} is not modelled", reject)
        return _error_about6(t, UNREACHABLE_V6, _REJECT_CODES_V6[code], arrived_by=arrived_by, was_local=was_local, attach=True)
    if code not in _REJECT_CODES:
        raise Undecided(f"reject with {code} is not modelled", reject)
    return error_about(t, UNREACHABLE, _REJECT_CODES[code], arrived_by=arrived_by, was_local=was_local)


def reset_for(t: Transit, *, tos: int = 0, any_source: bool = False, attach: bool = False) -> Sending | None:
    """Return the TCP reset that answers a segment; a reset is answered by nothing."""
    packet = t.packet
    if packet.protocol != TCP or TcpFlags.RST in packet.tcp:
        return None
    reset = Packet(
        packet.destination,
        packet.source,
        TCP,
        ttl=BY_THE_WAY,
        tos=tos,
        df=True,
        size=packet.header + TCP_HEADER,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
        tcp=TcpFlags.RST | TcpFlags.ACK,
        mark=_reflected(t),
    )
    return Sending(t.node.name, reset, "reset", any_source=any_source, df=True, tracked=_attached(t) if attach else None)


def echo_reply(node: Node, packet: Packet) -> Sending:
    """Return the answer to an echo request, from the address that was asked (`icmp_reply`, `icmpv6_echo_reply`)."""
    icmp = packet.icmp
    assert icmp is not None
    reply = Packet(
        packet.destination,
        packet.source,
        packet.protocol,
        ttl=BY_THE_WAY,
        tos=packet.tos,
        size=packet.size,
        icmp=Icmp(ECHO_REPLY if icmp.version == 4 else ECHO_REPLY_V6, 0, icmp.identifier, version=icmp.version),
        mark=packet.mark if node.settings.reflects_mark(icmp.version) else 0,
    )
    return Sending(node.name, reply, "reply")


def _attached(t: Transit) -> Tracked | None:
    """The connection of the packet, seen from the other side (`nf_conntrack_attach`)."""
    if t.tracked is None or t.tracked.connection is None:
        return None
    return Tracked(CtState.RELATED, t.tracked.connection, "reply" if t.tracked.direction == "original" else "original")
