"""What rules of the families bridge, netdev and arp read: of a frame its addresses, of an ARP message its fields, of a packet as elsewhere.

After nft_payload.c, nft_meta.c and nft_meta_bridge.c. What a rule asks that is not modelled is said with the table's name.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.netfilter.values import Value
from lab.forwarding.packet import ZERO_MAC, Arp, Frame
from lab.forwarding.unknown import Undecided
from lab.state.nft import Ct, Expression, Fib, Meta, Payload, RoutingMtu, TcpOption

Evaluate = Callable[[Transit], Value | None]


def of_frame(expression: Expression, otherwise: Evaluate) -> Evaluate:
    """Return how an expression is read from a frame; `otherwise` is how it is read from a packet."""
    match expression:
        case Payload("ether", "saddr"):
            return lambda t: _frame(t).source.lower()
        case Payload("ether", "daddr"):
            return lambda t: _frame(t).destination.lower()
        case Payload("ether", "type") | Meta("protocol"):
            return _protocol
        case Payload("arp", name):
            read = _ARP_FIELDS.get(name)
            return _undecided(f"the header field arp {name} is not modelled") if read is None else lambda t: _of_arp(t, read)
        case Meta("ibrname"):
            return lambda t: _bridge_of(t, t.iif)
        case Meta("obrname"):
            return lambda t: _bridge_of(t, t.oif)
        case Meta("nfproto" | "skuid" | "length"):
            return _undecided(f"meta {expression.key} of a frame is not modelled")
        case Ct() | Fib():
            return _undecided(f"{type(expression).__name__.lower()} is not modelled for frames")
        case Payload() | TcpOption() | RoutingMtu() | Meta("l4proto"):
            return lambda t: None if isinstance(_frame(t).payload, Arp) else otherwise(t)
    return otherwise


def _frame(t: Transit) -> Frame:
    assert t.frame is not None, "rules that see frames are asked about frames"
    return t.frame


def _protocol(t: Transit) -> Value | None:
    payload = _frame(t).payload
    return "arp" if isinstance(payload, Arp) else "ip" if payload.version == 4 else "ip6"


def _bridge_of(t: Transit, device: str | None) -> Value | None:
    link = t.node.links.get(device or "")
    return None if link is None or link.master is None else link.master


def _of_arp(t: Transit, read: Callable[[Arp], Value]) -> Value | None:
    payload = _frame(t).payload
    return read(payload) if isinstance(payload, Arp) else None


_ARP_FIELDS: dict[str, Callable[[Arp], Value]] = {
    "htype": lambda arp: 1,
    "ptype": lambda arp: "ip",
    "hlen": lambda arp: 6,
    "plen": lambda arp: 4,
    "operation": lambda arp: 1 if arp.operation == "request" else 2,
    "saddr ether": lambda arp: arp.sender_mac.lower(),
    "daddr ether": lambda arp: (arp.target_mac or ZERO_MAC).lower(),
    "saddr ip": lambda arp: int(arp.sender),
    "daddr ip": lambda arp: int(arp.target),
}


def _undecided(why: str) -> Evaluate:
    def ask(t: Transit) -> Value | None:
        raise Undecided(why)

    return ask
