"""Which names nft(8) text can hold. libnftables' JSON holds any."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9/._-]*")

_WORDS = """
    accept add ah all arp auto-merge bridge cgroup chain comment comp constant continue counter cpu create ct day dccp define delete
    describe destroy device devices dnat drop dst dup dynamic ecn element elements esp ether exists export exthdr fib flags flow
    flowtable flush frag fwd gc-interval get goto handle hbh hook hour ibriport icmp icmpv6 iif iifgroup iifname iiftype include index
    inet insert interval ip ip6 ipsec jhash jump limit list log map mark masquerade meta meter mh missing monitor netdev nftrace notrack
    numgen obriport oif oifgroup oifname oiftype osf pkttype policy position priority queue quota random redirect reject rename replace
    reset return rt rt0 rt2 rtclassid rule ruleset sctp secmark set size skgid skuid snat socket srh symhash synproxy table tcp th timeout
    tproxy type typeof udp udplite undefine update vlan vmap xt
"""
"""Words of the language that nft 1.0.6 takes for nothing else (tried one by one), and one it learnt later."""

KEYWORDS = frozenset(_WORDS.split())


def is_name(text: str) -> bool:
    """Whether a table, chain, set or map may have this name in nft(8) text."""
    return _NAME.fullmatch(text) is not None and text not in KEYWORDS
