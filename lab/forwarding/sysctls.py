"""The sysctls that decide about packets, read once per device, combined the way the kernel combines them.

A setting of `net/ipv4/conf` exists for `all`, for `default` (what a new device starts with) and for each device. How `all`
and the device combine differs from setting to setting: see the macros IN_DEV_MAXCONF, IN_DEV_ORCONF, IN_DEV_ANDCONF and
IN_DEV_CONF_GET in include/linux/inetdevice.h, and ip-sysctl.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_DEFAULTS = {"send_redirects": 1, "accept_redirects": 1, "shared_media": 1}
"""What the kernel starts with where that is not 0 (`ipv4_devconf` in net/ipv4/devinet.c)."""
DEFAULT_HOP_LIMIT = 64
"""Of IPv6 packets made here (IPV6_DEFAULT_HOPLIMIT)."""
_LARGEST = 65535


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """The effective settings of one device."""

    forwarding: bool
    rp_filter: int
    """0 off, 1 strict, 2 loose: the larger value of `all` and the device (RFC 3704)."""
    rp_filter_all: int
    rp_filter_device: int
    accept_local: bool
    src_valid_mark: bool
    route_localnet: bool
    send_redirects: bool
    accept_redirects: bool
    shared_media: bool
    proxy_arp: bool
    proxy_arp_pvlan: bool
    arp_filter: bool
    arp_ignore: int
    arp_announce: int
    ignore_linkdown: bool


@dataclass(frozen=True, slots=True)
class DeviceSettings6:
    """The IPv6 settings of one device. `conf/all` is one for the whole namespace here, or the last value written to every device."""

    disabled: bool
    forwarding: bool
    """That of `conf/all`, which alone counts for a packet (`ip6_forward`), or `force_forwarding` of the device (Linux 6.17)."""
    proxy_ndp: bool
    ignore_linkdown: bool
    """That of the device alone: `conf/all`, when it is written, is written to every device (`addrconf_fixup_linkdown`)."""
    hop_limit: int
    """Of packets made here that leave by the device, where their route names none (`ip6_dst_hoplimit`)."""
    mtu: int
    """The longest IPv6 packet that leaves by the device, in bytes, if the device itself takes as much (`idev->cnf.mtu6`)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a namespace that belong to no device."""

    default_ttl: int
    errors_use_inbound_address: bool
    icmp_ratelimit: int
    """Milliseconds between two ICMP errors to one address, of the types in `icmp_ratemask`; 0 is no limit."""
    icmp_ratemask: int
    echo_ignore_all: bool
    multipath_hash_policy: int
    multipath_hash_policy_v6: int
    """0 hashes addresses, 1 ports as well."""
    fwmark_reflect: bool
    fwmark_reflect_v6: bool
    tcp_fwmark_accept: bool
    forward_use_pmtu: bool
    nonlocal_bind: bool
    bridge_calls_iptables: bool
    bridge_calls_ip6tables: bool
    echo_ignore_all_v6: bool
    tcp_loose: bool

    def reflects_mark(self, version: int) -> bool:
        """Whether what the kernel answers by itself bears the mark of what it answers."""
        return self.fwmark_reflect if version == 4 else self.fwmark_reflect_v6


def device_settings(sysctls: Mapping[str, str], device: str) -> DeviceSettings:
    """Return the effective settings of `device`."""

    def of(scope: str, name: str) -> int:
        stated = sysctls.get(f"net/ipv4/conf/{scope}/{name}")
        if stated is None and scope != "all":
            stated = sysctls.get(f"net/ipv4/conf/default/{name}")
        if stated is None and name == "forwarding":
            stated = sysctls.get("net/ipv4/ip_forward")
        return _number(stated, _DEFAULTS.get(name, 0))

    def either(name: str) -> bool:
        return bool(of("all", name) or of(device, name))

    def larger(name: str) -> int:
        return max(of("all", name), of(device, name))

    forwarding = bool(of(device, "forwarding"))
    redirects = of("all", "accept_redirects"), of(device, "accept_redirects")
    return DeviceSettings(
        forwarding=forwarding,
        rp_filter=larger("rp_filter"),
        rp_filter_all=of("all", "rp_filter"),
        rp_filter_device=of(device, "rp_filter"),
        accept_local=either("accept_local"),
        src_valid_mark=either("src_valid_mark"),
        route_localnet=either("route_localnet"),
        send_redirects=either("send_redirects"),
        accept_redirects=all(redirects) if forwarding else any(redirects),
        shared_media=either("shared_media"),
        proxy_arp=either("proxy_arp"),
        proxy_arp_pvlan=bool(of(device, "proxy_arp_pvlan")),
        arp_filter=either("arp_filter"),
        arp_ignore=larger("arp_ignore"),
        arp_announce=larger("arp_announce"),
        ignore_linkdown=either("ignore_routes_with_linkdown"),
    )


def device_settings6(sysctls: Mapping[str, str], device: str) -> DeviceSettings6:
    """Return the IPv6 settings of `device`: what is stated of it, else what a new device starts with."""

    def of(scope: str, name: str, default: int = 0) -> int:
        stated = sysctls.get(f"net/ipv6/conf/{scope}/{name}")
        return _number(sysctls.get(f"net/ipv6/conf/default/{name}") if stated is None and scope != "all" else stated, default)

    return DeviceSettings6(
        disabled=bool(of(device, "disable_ipv6") or of("all", "disable_ipv6")),
        forwarding=bool(of("all", "forwarding") or of(device, "force_forwarding")),
        proxy_ndp=bool(of("all", "proxy_ndp") or of(device, "proxy_ndp")),
        ignore_linkdown=bool(of(device, "ignore_routes_with_linkdown")),
        hop_limit=of(device, "hop_limit", DEFAULT_HOP_LIMIT),
        mtu=_number(sysctls.get(f"net/ipv6/conf/{device}/mtu"), _LARGEST),
    )


def settings(sysctls: Mapping[str, str]) -> Settings:
    """Return the settings of a namespace."""
    return Settings(
        default_ttl=_number(sysctls.get("net/ipv4/ip_default_ttl"), 64),
        icmp_ratelimit=_number(sysctls.get("net/ipv4/icmp_ratelimit"), 1000),
        icmp_ratemask=_number(sysctls.get("net/ipv4/icmp_ratemask"), 0x1818),
        errors_use_inbound_address=_flag(sysctls, "net/ipv4/icmp_errors_use_inbound_ifaddr"),
        echo_ignore_all=_flag(sysctls, "net/ipv4/icmp_echo_ignore_all"),
        multipath_hash_policy=_number(sysctls.get("net/ipv4/fib_multipath_hash_policy"), 0),
        multipath_hash_policy_v6=_number(sysctls.get("net/ipv6/fib_multipath_hash_policy"), 0),
        fwmark_reflect=_flag(sysctls, "net/ipv4/fwmark_reflect"),
        fwmark_reflect_v6=_flag(sysctls, "net/ipv6/fwmark_reflect"),
        tcp_fwmark_accept=_flag(sysctls, "net/ipv4/tcp_fwmark_accept"),
        forward_use_pmtu=_flag(sysctls, "net/ipv4/ip_forward_use_pmtu"),
        nonlocal_bind=_flag(sysctls, "net/ipv4/ip_nonlocal_bind"),
        bridge_calls_iptables=_flag(sysctls, "net/bridge/bridge-nf-call-iptables"),
        bridge_calls_ip6tables=_flag(sysctls, "net/bridge/bridge-nf-call-ip6tables"),
        echo_ignore_all_v6=_flag(sysctls, "net/ipv6/icmp/echo_ignore_all"),
        tcp_loose=_number(sysctls.get("net/netfilter/nf_conntrack_tcp_loose"), 1) != 0,
    )


def decisive_sysctls(device: str) -> frozenset[str]:
    """Return the paths of all sysctls that decide about packets of a namespace with this device: those that are asked for above.

    Whoever reads a kernel reads these. They are told by asking, so that none can be asked for that nobody has read; with several answers,
    as one may make another superfluous.
    """
    asked: set[str] = set()
    for answer in (None, "0", "1"):
        noting = _Noting(asked, answer)
        settings(noting)
        device_settings(noting, device)
        device_settings6(noting, device)
    return frozenset(asked)


class _Noting(dict[str, str]):
    """Sysctls that all have one value, or none, and note which of them are asked for."""

    def __init__(self, asked: set[str], answer: str | None) -> None:
        super().__init__()
        self._asked = asked
        self._answer = answer

    def get(self, key: str, default: object = None) -> str | None:  # type: ignore[override]
        """Note the key, and give the answer."""
        self._asked.add(key)
        return self._answer


def _flag(sysctls: Mapping[str, str], key: str) -> bool:
    return _number(sysctls.get(key), 0) != 0


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        return int(text.split()[0])
    except (ValueError, IndexError):
        return default
