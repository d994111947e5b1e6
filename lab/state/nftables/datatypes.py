"""The data types of nft(8): what a key holds, and the names its numbers go by."""

from __future__ import annotations

from lab.state.nft import BinaryOperation, Concat, Ct, Expression, Fib, MapLookup, Meta, Numgen, Payload, RoutingMtu, TcpOption

TRANSPORTS = ("tcp", "udp", "sctp", "dccp", "udplite", "icmp", "icmpv6", "igmp", "ah", "esp", "comp", "th")
"""Headers that follow the IP header; ``th`` is any of those that begin with ports."""

WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
"""Headers that ``th`` may stand for."""

PROTOCOLS = {
    1: "icmp",
    2: "igmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    132: "sctp",
    136: "udplite",
}
"""Protocols whose name is the same on every machine; nft takes the others from /etc/protocols, and so they stay numbers."""

PROTOCOL_NUMBERS = {name: number for number, name in PROTOCOLS.items()} | {
    "icmpv6": 58,
    "ipip": 4,
    "ipencap": 4,
    "ipv4": 4,
    "ipv6": 41,
    "ospf": 89,
    "ospfigp": 89,
    "pim": 103,
    "comp": 108,
    "ipcomp": 108,
    "vrrp": 112,
    "l2tp": 115,
}

ICMP_TYPES = {
    0: "echo-reply",
    3: "destination-unreachable",
    4: "source-quench",
    5: "redirect",
    8: "echo-request",
    9: "router-advertisement",
    10: "router-solicitation",
    11: "time-exceeded",
    12: "parameter-problem",
    13: "timestamp-request",
    14: "timestamp-reply",
    15: "info-request",
    16: "info-reply",
    17: "address-mask-request",
    18: "address-mask-reply",
}

ICMP_CODES = {
    0: "net-unreachable",
    1: "host-unreachable",
    2: "prot-unreachable",
    3: "port-unreachable",
    4: "frag-needed",
    9: "net-prohibited",
    10: "host-prohibited",
    13: "admin-prohibited",
}

ICMPV6_TYPES = {
    1: "destination-unreachable",
    2: "packet-too-big",
    3: "time-exceeded",
    4: "parameter-problem",
    128: "echo-request",
    129: "echo-reply",
    130: "mld-listener-query",
    131: "mld-listener-report",
    132: "mld-listener-done",
    133: "nd-router-solicit",
    134: "nd-router-advert",
    135: "nd-neighbor-solicit",
    136: "nd-neighbor-advert",
    137: "nd-redirect",
    138: "router-renumbering",
    141: "ind-neighbor-solicit",
    142: "ind-neighbor-advert",
    143: "mld2-listener-report",
}

NAMES: dict[str, dict[int, str]] = {
    "inet_proto": PROTOCOLS,
    "icmp_type": ICMP_TYPES,
    "icmp_code": ICMP_CODES,
    "icmpv6_type": ICMPV6_TYPES,
}
"""The names of numbers, by data type."""

NUMBERS: dict[str, dict[str, int]] = {
    kind: PROTOCOL_NUMBERS if kind == "inet_proto" else {name: number for number, name in names.items()} for kind, names in NAMES.items()
}
"""The numbers of names, aliases included, by data type."""

WIDTHS = {"mark": 32, "uid": 32, "gid": 32, "inet_service": 16}
"""Bits of the types that hold plain numbers."""

FLAGS = ("tcp_flag", "ct_state", "ct_status")
"""Types that hold a set of flags, which ``in`` tests."""

_META = {
    "l4proto": "inet_proto",
    "mark": "mark",
    "iifname": "ifname",
    "oifname": "ifname",
    "iif": "iface_index",
    "oif": "iface_index",
    "nfproto": "nf_proto",
    "protocol": "ether_type",
    "pkttype": "pkt_type",
    "skuid": "uid",
    "skgid": "gid",
}
_CT = {"state": "ct_state", "status": "ct_status", "mark": "mark", "protocol": "inet_proto", "direction": "ct_dir", "helper": "string"}
_PAYLOAD = {
    ("ip", "saddr"): "ipv4_addr",
    ("ip", "daddr"): "ipv4_addr",
    ("ip6", "saddr"): "ipv6_addr",
    ("ip6", "daddr"): "ipv6_addr",
    ("ip", "protocol"): "inet_proto",
    ("ip6", "nexthdr"): "inet_proto",
    ("ip", "dscp"): "dscp",
    ("ip6", "dscp"): "dscp",
    ("icmp", "type"): "icmp_type",
    ("icmp", "code"): "icmp_code",
    ("icmpv6", "type"): "icmpv6_type",
    ("tcp", "flags"): "tcp_flag",
    ("ether", "saddr"): "ether_addr",
    ("ether", "daddr"): "ether_addr",
    ("ether", "type"): "ether_type",
    ("arp", "saddr ip"): "ipv4_addr",
    ("arp", "daddr ip"): "ipv4_addr",
    ("arp", "saddr ether"): "ether_addr",
    ("arp", "daddr ether"): "ether_addr",
    ("arp", "operation"): "arp_op",
}
_FIB = {"type": "fib_addrtype", "oif": "iface_index", "oifname": "ifname"}
_CT_ADDRESS = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}


def datatypes(key: Expression) -> tuple[str, ...]:
    """Return the data type of a key, or the types of the parts of a concatenated one; ``integer`` where it has no name here."""
    if isinstance(key, Concat):
        return tuple(kind for part in key.parts for kind in datatypes(part))
    return (_datatype(key),)


def _datatype(key: Expression) -> str:
    match key:
        case Payload(_, "sport" | "dport"):
            return "inet_service"
        case Payload(protocol, field):
            return _PAYLOAD.get((protocol, field), "integer")
        case Meta(name):
            return _META.get(name, "integer")
        case Ct("saddr" | "daddr", _, family):
            return _CT_ADDRESS.get(family or "", "integer")
        case Ct("proto-src" | "proto-dst"):
            return "inet_service"
        case Ct(name):
            return _CT.get(name, "integer")
        case Fib(result):
            return _FIB[result]
        case BinaryOperation(_, left):
            return _datatype(left)
        case Numgen() | TcpOption() | RoutingMtu() | MapLookup():
            return "integer"
        case _:
            return "integer"


def protocol_name(value: Expression) -> str | None:
    """Return the name a transport header has in expressions (``tcp``, ``icmpv6``) for a protocol number or name."""
    if isinstance(value, str):
        value = PROTOCOL_NUMBERS.get(value, value)
    if isinstance(value, int) and not isinstance(value, bool):
        name = PROTOCOLS.get(value)
        return "icmpv6" if name == "ipv6-icmp" else name
    return None
