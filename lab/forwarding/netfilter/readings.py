"""What nft rules read of a packet in transit, of its connection, and of routing.

After net/netfilter/nft_payload.c, nft_meta.c, nft_ct.c, nft_fib.c and net/ipv4/netfilter/nft_fib_ipv4.c.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from lab.forwarding.addresses6 import has_address6
from lab.forwarding.fib import Query
from lab.forwarding.netfilter.conntrack import CtState
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.netfilter.values import Value
from lab.forwarding.packet import (
    ECHO_REQUEST,
    ECHO_REQUEST_V6,
    ICMP,
    ICMPV6,
    IPV6_HEADER,
    TCP,
    TCP_HEADER,
    UDP,
    FlowKey,
    Packet,
    TcpFlags,
)
from lab.forwarding.rules import ROUTING_TOS
from lab.forwarding.unknown import Undecided
from lab.state.nft import Ct, Fib, Meta, Numgen, Payload

Evaluate = Callable[[Transit], Value | None]
"""An expression, compiled."""


def undecided(why: str, subject: object) -> Evaluate:
    """Return what leaves open how a rule ends, and says why."""

    def ask(t: Transit) -> Value | None:
        raise Undecided(why, subject)

    return ask


def _socket_uid(t: Transit) -> Value | None:
    """Whose socket made a packet. What the kernel says by itself (errors, resets, replies to pings, neighbour discovery) leaves by sockets
    that belong to no file, or by none at all (`nft_meta_get_eval_skugid`)."""
    by_kernel = TcpFlags.RST in t.packet.tcp or (t.packet.icmp is not None and t.packet.icmp.type not in (ECHO_REQUEST, ECHO_REQUEST_V6))
    return t.uid if t.made_here and t.hook in ("output", "postrouting") and not by_kernel else None


# -- the packet ----------------------------------------------------------------------------------------------------


def payload_of(expression: Payload) -> Evaluate:
    """Return what reads a header field."""
    protocol, name = expression.protocol, expression.field
    match protocol, name:
        case "ip6", "nexthdr":
            return lambda t: _next_header(t) if t.packet.version == 6 else None
        case (("ip" | "ip6"), _) if (protocol, name) in _IP_FIELDS:
            read, version = _IP_FIELDS[protocol, name], 4 if protocol == "ip" else 6
            return lambda t: read(t.packet) if t.packet.version == version else None
        case (("tcp" | "udp" | "th"), ("sport" | "dport")):
            protocols = {"tcp": (TCP,), "udp": (UDP,)}.get(protocol, (TCP, UDP))
            return lambda t: _port(t, protocols, name)
        case "tcp", "flags":
            return lambda t: None if t.packet.protocol != TCP or t.later_fragment else int(t.packet.tcp)
        case (("icmp" | "icmpv6"), ("type" | "code" | "id" | "mtu")):
            wanted = ICMP if protocol == "icmp" else ICMPV6
            return lambda t: _icmp(t, name) if t.packet.protocol == wanted else None
        case _:
            return undecided(f"the header field {protocol} {name} is not modelled", expression)


def _next_header(t: Transit) -> int:
    """What follows the IPv6 header: of a fragment that nobody has put together with the others it is the header that says so."""
    in_pieces = t.packet.fragment is not None and not t.node.ruleset.of(6).tracks
    return _FRAGMENT_HEADER if in_pieces else t.packet.protocol


_FRAGMENT_HEADER = 44
"""RFC 8200, 4.5."""
_IP_FIELDS: dict[tuple[str, str], Callable[[Packet], int]] = {
    ("ip", "saddr"): lambda packet: int(packet.source),
    ("ip", "daddr"): lambda packet: int(packet.destination),
    ("ip", "protocol"): lambda packet: packet.protocol,
    ("ip", "ttl"): lambda packet: packet.ttl,
    ("ip", "dscp"): lambda packet: packet.tos >> 2,
    ("ip", "length"): lambda packet: packet.size,
    ("ip6", "saddr"): lambda packet: int(packet.source),
    ("ip6", "daddr"): lambda packet: int(packet.destination),
    ("ip6", "hoplimit"): lambda packet: packet.ttl,
    ("ip6", "dscp"): lambda packet: packet.tos >> 2,
    ("ip6", "length"): lambda packet: packet.size - IPV6_HEADER,
}

_PAYLOAD = -1
"""What rules read where a later fragment has data instead of a transport header: no port and no type that anybody would ask for.

The kernel's fast way of loading a field of up to four bytes does not look at the fragment's offset (`nft_payload_fast_eval` in
net/netfilter/nf_tables_core.c), so `udp dport != 53` holds for such a piece.
"""


def _port(t: Transit, protocols: tuple[int, ...], name: str) -> Value | None:
    packet = t.packet
    if packet.protocol not in protocols:
        return None
    if t.later_fragment:
        return _PAYLOAD
    return packet.source_port if name == "sport" else packet.destination_port


def _icmp(t: Transit, name: str) -> Value | None:
    icmp = t.packet.icmp
    if icmp is None:
        return None
    if t.later_fragment:
        return _PAYLOAD
    return {"type": icmp.type, "code": icmp.code, "id": icmp.identifier, "mtu": icmp.mtu}[name]


def meta_of(expression: Meta) -> Evaluate:
    """Return what reads something the kernel keeps beside the packet."""
    match expression.key:
        case "iifname" | "iif":
            return lambda t: t.iif or ""
        case "oifname" | "oif":
            return lambda t: t.oif or ""
        case "mark":
            return lambda t: t.packet.mark
        case "l4proto":
            return lambda t: t.packet.protocol
        case "nfproto":
            return lambda t: "ipv4" if t.packet.version == 4 else "ipv6"
        case "protocol":
            return lambda t: "ip" if t.packet.version == 4 else "ip6"
        case "length":
            return lambda t: t.packet.length
        case "pkttype":
            return lambda t: t.link_type
        case "skuid":
            return _socket_uid
        case key:
            return undecided(f"meta {key} is not modelled", expression)


def routing_mtu(t: Transit) -> Value | None:
    """`rt mtu` is the maximum segment size that fits the route (`get_tcpmss`, net/netfilter/nft_rt.c)."""
    if t.route_mtu is None:
        return None
    mtu = min(t.route_mtu, t.world.mtu_towards(t.node, t.packet.source))
    return mtu - t.packet.header - TCP_HEADER


# -- its connection ------------------------------------------------------------------------------------------------


def ct_of(expression: Ct) -> Evaluate:
    """Return what reads something of the packet's connection."""
    key = expression.key.removeprefix("ip ")
    if key == "state":
        return lambda t: int(CtState.INVALID if t.tracked is None else t.tracked.state)
    if key == "mark":
        return lambda t: None if t.tracked is None or t.tracked.connection is None else t.tracked.connection.mark
    if key == "direction" and expression.direction is None:
        return lambda t: None if t.tracked is None or t.tracked.connection is None else int(t.tracked.direction == "reply")
    if key == "status":
        return lambda t: None if t.tracked is None or t.tracked.connection is None else int(t.tracked.connection.status) & 0x7F
    read = _KEY_FIELDS.get(key)
    direction = expression.direction
    if read is None or direction is None:
        return undecided(f"ct {expression.key} is not modelled", expression)

    def of_key(t: Transit) -> Value | None:
        if t.tracked is None or t.tracked.connection is None:
            return None
        return read(t.tracked.connection.key(direction))

    return of_key


_KEY_FIELDS: dict[str, Callable[[FlowKey], int]] = {
    "saddr": lambda key: key.source,
    "daddr": lambda key: key.destination,
    "protocol": lambda key: key.protocol,
    "proto-src": lambda key: key.source_port,
    "proto-dst": lambda key: 0 if key.protocol in (ICMP, ICMPV6) else key.destination_port,
}


# -- lookups made by rules -----------------------------------------------------------------------------------------


def fib_of(expression: Fib) -> Evaluate:
    """Return what asks the routing tables."""
    flags = frozenset(expression.flags)
    if expression.result == "type":

        def address_type(t: Transit) -> Value | None:
            address, other = (t.packet.destination, t.packet.source) if "daddr" in flags else (t.packet.source, t.packet.destination)
            device = t.oif if "oif" in flags else t.iif if "iif" in flags else None
            if isinstance(address, IPv6Address):
                return _type_in_ipv6(t, address, int(other), device, t.packet.mark if "mark" in flags else 0)
            return t.node.fib.local_type(int(address), device)

        return address_type

    def device_towards(t: Transit) -> Value | None:
        packet = t.packet
        if t.hook in ("prerouting", "input") and t.iif == "lo":
            return "lo"
        iif = "lo"
        if "daddr" in flags:
            to, source = packet.destination, packet.source
        else:
            to, source = packet.source, packet.destination
            if t.hook == "forward" and "iif" in flags and t.oif is not None:
                iif = t.oif
        mark = packet.mark if "mark" in flags else 0
        query = Query(int(to), int(source), iif, None, mark, packet.tos & ROUTING_TOS, packet.protocol)
        answer = t.node.fib_of(packet.version).lookup(query, ignore_linkstate=True)
        if answer.error is not None or answer.type == "local":
            return ""
        wanted = t.oif if "oif" in flags else t.iif if "iif" in flags else None
        if wanted is not None:
            return wanted if any(way.device == wanted for way in answer.exits) else ""
        return answer.exits[0].device if answer.exits else ""

    return device_towards


def _type_in_ipv6(t: Transit, address: IPv6Address, other: int, device: str | None, mark: int) -> str:
    """Return what an address is: IPv6 looks for a way to it, by all rules (`__nft_fib6_eval_type` in net/ipv6/netfilter/nft_fib_ipv6.c)."""
    if address.is_multicast:
        return "multicast"
    if device is not None and has_address6(t.node, device, address):
        return "local"
    bound: str | None = None
    if address.is_link_local:
        # Of what a bridge sends on the device is a port by now, which no address is on.
        if not t.made_here and t.hook in ("forward", "postrouting"):
            return "unreachable"
        bound = device or (t.oif if t.made_here else t.iif)
    found = t.node.fib6.lookup(Query(int(address), other, "lo", bound, mark, 0, t.packet.protocol))
    if found.error is not None:
        kind = found.rule.action if found.route is None and found.rule is not None else found.type
        return kind if kind in ("blackhole", "prohibit", "throw") else "unreachable"
    if found.type == "local":
        return "unicast" if device is not None else "local"
    if found.type == "unicast" and all(way.device == "lo" for way in found.exits):
        return "unreachable"
    return found.type


def number_of(expression: Numgen) -> Evaluate:
    """Return what draws a number: every one of a few is a world of its own."""
    if expression.modulus > _FEW:
        return undecided(f"a random number below {expression.modulus} decides", expression)
    meanings = tuple(str(expression.offset + number) for number in range(expression.modulus))

    def draw(t: Transit) -> Value | None:
        key = (t.node.name, id(expression), t.packet.key)
        return expression.offset + t.world.chooser.choose(key, f"a number drawn in {t.node.name}", meanings)

    return draw


_FEW = 32
"""Up to so many numbers each is a world of its own; a comparison of a larger one is split in two, see `statements`."""
