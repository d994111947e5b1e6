"""Sysctls of namespaces: what the file sets, and what is stated where it sets nothing.

A new namespace copies conf.all and conf.default from the machine's first one (net/ipv4/devinet.c, devinet_init_net), so
everything that decides about packets is stated for every namespace; nothing is left to the machine the lab runs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lab.spec.sysctls import OF_INTERFACES

KERNEL_DEFAULTS: Final[Mapping[str, str]] = {
    "accept_local": "0",
    "accept_redirects": "0",
    "accept_source_route": "0",
    "arp_announce": "0",
    "arp_filter": "0",
    "arp_ignore": "0",
    "forwarding": "0",
    "log_martians": "0",
    "proxy_arp": "0",
    "route_localnet": "0",
    "rp_filter": "0",
    "send_redirects": "1",
    "src_valid_mark": "0",
}
"""Settings that exist for all, default and every device, with the kernel's own defaults (Documentation/networking/ip-sysctl.rst).

One departs from them: no namespace follows ICMP redirects. Forwarding hosts do not either (turning ip_forward on clears
conf.all.accept_redirects), and a redirect in a pod would only hide what the tables say.
"""

ICMP_DEFAULTS: Final[Mapping[str, str]] = {
    "net/ipv4/icmp_echo_ignore_all": "0",
    "net/ipv4/icmp_errors_use_inbound_ifaddr": "0",
    "net/ipv4/icmp_ratelimit": "1000",
    "net/ipv4/icmp_ratemask": "6168",
}

IPV6_OFF: Final[Mapping[str, str]] = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}
"""Networks are IPv4 unless the file says otherwise: no link-local addresses, no duplicate address detection, no noise in captures."""


IPV6_ON: Final[Mapping[str, str]] = dict.fromkeys(IPV6_OFF, "0")
"""Where the file asks for IPv6."""


def conf6(device: str, name: str) -> str:
    """Return the path of a device's IPv6 setting."""
    return f"net/ipv6/conf/{device}/{name}"


def conf(device: str, name: str) -> str:
    """Return the path of a device's IPv4 setting; `device` may be ``all`` or ``default``."""
    return f"net/ipv4/conf/{device}/{name}"


def stated(*, forwarding: bool, written: Mapping[str, str] | None = None, **per_device: str) -> dict[str, str]:
    """Return the sysctls of a namespace: defaults, then `per_device` settings for all and default, then those that a file `written`."""
    values = {**KERNEL_DEFAULTS, "forwarding": str(int(forwarding)), **per_device}
    sysctls = {conf(scope, name): value for name, value in values.items() for scope in ("all", "default")}
    return {"net/ipv4/ip_forward": str(int(forwarding)), **sysctls, **ICMP_DEFAULTS, **IPV6_OFF, **(written or {})}


def seeded(device: str, sysctls: Mapping[str, str]) -> dict[str, str]:
    """Return what a device made now starts with: a copy of conf.default (net/ipv4/devinet.c, inetdev_init)."""
    prefix = "net/ipv4/conf/default/"
    return {conf(device, path.removeprefix(prefix)): value for path, value in sysctls.items() if path.startswith(prefix)}


def sysctl_paths(sysctls: Mapping[str, int | str]) -> dict[str, str]:
    """Return a file's sysctls by full path.

    ``rp_filter`` is that of all and default, and so of every device made later; ``icmp_ratelimit`` is net/ipv4/icmp_ratelimit.
    """
    paths: dict[str, str] = {}
    for name, value in sysctls.items():
        if "/" in name:
            paths[name] = str(value)
        elif name in OF_INTERFACES:
            paths |= {conf(scope, name): str(value) for scope in ("all", "default")}
        else:
            paths[f"net/ipv4/{name}"] = str(value)
    return paths
