"""The sysctls that a topology may call by a short name; any other is written as a path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

OF_INTERFACES: Final = (
    "accept_local",
    "accept_redirects",
    "accept_source_route",
    "arp_announce",
    "arp_filter",
    "arp_ignore",
    "forwarding",
    "log_martians",
    "proxy_arp",
    "route_localnet",
    "rp_filter",
    "send_redirects",
    "src_valid_mark",
)
"""Below net/ipv4/conf: a short name means that of all interfaces, and the default of new ones."""

OF_THE_NAMESPACE: Final = (
    "fib_multipath_hash_policy",
    "icmp_echo_ignore_all",
    "icmp_errors_use_inbound_ifaddr",
    "icmp_ratelimit",
    "icmp_ratemask",
    "ip_default_ttl",
    "ip_forward",
    "ip_no_pmtu_disc",
    "tcp_mtu_probing",
)
"""In net/ipv4 itself."""

SHORT_NAMES: Final = (*OF_INTERFACES, *OF_THE_NAMESPACE)

MACHINE_WIDE: Final = frozenset(
    {
        *(f"net/core/{name}" for name in ("busy_poll", "busy_read", "default_qdisc", "dev_weight", "netdev_budget", "netdev_budget_usecs")),
        *(f"net/core/{name}" for name in ("netdev_max_backlog", "rmem_default", "rmem_max", "rps_sock_flow_entries", "wmem_default")),
        *(f"net/core/{name}" for name in ("wmem_max", "bpf_jit_enable", "bpf_jit_harden", "message_burst", "message_cost", "warnings")),
        *(f"net/ipv4/{name}" for name in ("inet_peer_maxttl", "inet_peer_minttl", "inet_peer_threshold", "tcp_max_orphans")),
        *(f"net/ipv4/{name}" for name in ("tcp_allowed_congestion_control", "tcp_mem", "udp_mem")),
        *(f"net/ipv4/route/{name}" for name in ("error_burst", "error_cost", "gc_elasticity", "gc_interval", "gc_thresh", "gc_timeout")),
        *(f"net/ipv4/route/{name}" for name in ("max_size", "redirect_load", "redirect_number", "redirect_silence")),
        *(f"net/netfilter/{name}" for name in ("nf_conntrack_buckets", "nf_conntrack_expect_max", "nf_conntrack_max")),
        "net/nf_conntrack_max",
    }
)
"""The whole machine's: absent from a namespace, or there to be read only (net_core_table in net/core/sysctl_net_core.c, ipv4_table in
net/ipv4/sysctl_net_ipv4.c, ipv4_route_table in net/ipv4/route.c, nf_conntrack_standalone_init_sysctl() in
net/netfilter/nf_conntrack_standalone.c)."""

_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)
_THREE: Final = re.compile(r"\d{1,10}(?:\s+\d{1,10}){2}", re.ASCII)
_RP_FILTER: Final[Mapping[str, int]] = {"off": 0, "none": 0, "strict": 1, "on": 1, "loose": 2}
"""What people call the modes of rp_filter (ip-sysctl.rst, RFC 3704)."""


_TAKES: Final[Mapping[str, tuple[re.Pattern[str], range, str]]] = {
    "net/ipv4/ip_default_ttl": (_NUMBER, range(1, 256), "a number from 1 to 255"),
    "net/ipv4/tcp_rmem": (_THREE, range(1, 1 << 31), "three numbers of bytes, as 4096 131072 6291456"),
    "net/ipv4/tcp_wmem": (_THREE, range(1, 1 << 31), "three numbers of bytes, as 4096 16384 4194304"),
}
"""Of some sysctls: how a value is written, of which numbers, and both in words (ip-sysctl.rst)."""
_HOP_LIMIT: Final = re.compile(r"net/ipv6/conf/[^/]+/hop_limit")


def _refused(path: str, value: str) -> str | None:
    """Return what a sysctl takes whose numbers the kernel bounds, None where it takes the value."""
    form, numbers, words = _TAKES["net/ipv4/ip_default_ttl" if _HOP_LIMIT.fullmatch(path) else path]
    return None if form.fullmatch(value) and all(int(part) in numbers for part in value.split()) else words


def misunderstood(name: str, value: int | str) -> tuple[str, str | None] | None:
    """Return what a sysctl takes and what was probably meant, None where its value can be; `name` is short or a path.

    Those that have a short name are known, all of which take whole numbers, and some whose numbers the kernel bounds.
    """
    path = name if "/" in name else f"net/ipv4/{name}"
    if path in _TAKES or _HOP_LIMIT.fullmatch(path):
        wanted = _refused(path, str(value))
        return None if wanted is None else (wanted, None)
    short = name.rpartition("/")[2]
    known = short in OF_INTERFACES if name.startswith("net/ipv4/conf/") else short in SHORT_NAMES and name in (short, f"net/ipv4/{short}")
    if not known:
        return None
    number = isinstance(value, int) or value.isdecimal()
    if short == "rp_filter" and not (number and int(value) in range(3)):
        meant = _RP_FILTER.get(str(value).lower())
        return "0 (off), 1 (strict) or 2 (loose)", None if meant is None else f"write {meant}"
    return None if number else ("a whole number", None)
