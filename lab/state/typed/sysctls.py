"""`sysctl` and `echo VALUE > /proc/sys/...`, read and carried out on a namespace as the kernel does it.

Sources: sysctl(8) for how names are written, devinet_sysctl_forward and inet_forward_change in net/ipv4/devinet.c and
addrconf_fixup_forwarding in net/ipv6/addrconf.c for what a write of ip_forward, or of forwarding for all, does to the interfaces,
devinet_sysctl in the former and neigh_sysctl_template in net/core/neighbour.c for the names of a device.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

from lab.errors import did_you_mean, quoted
from lab.state.builder import NamespaceBuilder
from lab.state.typed.words import REDIRECT, NotModelled, Reader

_PATH: Final = re.compile(r"net/[\w./*-]+")
_OF_DEVICE: Final = re.compile(r"net/(ipv[46]/(?:conf|neigh))/(.+)/([^/]+)")
_FOR_ALL: Final = ("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding")
_FORWARDING: Final = re.compile(r"net/ipv4/conf/[^/]+/forwarding")
_FOR_ALL6: Final = "net/ipv6/conf/all/forwarding"
_FORWARDING6: Final = re.compile(r"net/ipv6/conf/[^/]+/forwarding")
_OF_CONF: Final = """
accept_local accept_redirects accept_source_route arp_accept arp_announce arp_evict_nocarrier arp_filter arp_ignore arp_notify bc_forwarding
bootp_relay disable_policy disable_xfrm drop_gratuitous_arp drop_unicast_in_l2_multicast force_igmp_version forwarding
igmpv2_unsolicited_report_interval igmpv3_unsolicited_report_interval ignore_routes_with_linkdown log_martians mc_forwarding medium_id
promote_secondaries proxy_arp proxy_arp_pvlan route_localnet rp_filter secure_redirects send_redirects shared_media src_valid_mark tag
"""
_OF_NEIGH: Final = """
anycast_delay app_solicit base_reachable_time base_reachable_time_ms delay_first_probe_time gc_interval gc_stale_time gc_thresh1 gc_thresh2
gc_thresh3 interval_probe_time_ms locktime mcast_resolicit mcast_solicit proxy_delay proxy_qlen retrans_time retrans_time_ms ucast_solicit
unres_qlen unres_qlen_bytes
"""
_NAMES: Final = {"ipv4/conf": frozenset(re.findall(r"\w+", _OF_CONF)), "ipv4/neigh": frozenset(re.findall(r"\w+", _OF_NEIGH))}
_ALMOST: Final = 0.88
"""How like a name that is known another has to be to be taken for a slip of the pen (difflib's ratio)."""
_FLAGS: Final = ("-w", "--write", "-q", "--quiet", "-e", "--ignore", "-n", "--values")


def change_sysctls(reader: Reader, namespace: NamespaceBuilder) -> None:
    """Carry out `sysctl ...`: what is only asked for changes nothing. Raises InputError."""
    if reader.peek() in ("-p", "--load", "--system"):
        reader.take("an option")
        raise NotModelled("no file is read: write each sysctl on a line of its own", place=reader.place)
    while reader.peek() is not None:
        said = reader.take("NAME=VALUE")
        if said in _FLAGS or said in ("-a", "--all"):
            continue
        name, assigned, value = said.partition("=")
        if not assigned and reader.skip("="):
            value = reader.take("a value")
        elif not assigned:
            continue
        elif not value:
            value = reader.take("a value")
        set_sysctl(reader, namespace, sysctl_path(name), value)


def echo_into(reader: Reader, namespace: NamespaceBuilder) -> None:
    """Carry out `echo VALUE > /proc/sys/net/...`, and no other `echo`. Raises InputError."""
    values = []
    while reader.peek() not in (REDIRECT, None):
        values.append(reader.take("a value"))
    if reader.peek() is None:
        return
    reader.take(REDIRECT)
    file = reader.take("a file below /proc/sys/net")
    if not file.startswith("/proc/sys/net/") or ".." in file or reader.peek() is not None:
        reader.fail("no shell reads this: only `echo VALUE > /proc/sys/net/...` is understood")
    set_sysctl(reader, namespace, file.removeprefix("/proc/sys/"), " ".join(values))


def sysctl_path(name: str) -> str:
    """Return the path of a sysctl: its first separator says which of . and / parts the name (sysctl(8))."""
    first = next((character for character in name if character in "./"), "/")
    return name if first == "/" else "".join({".": "/", "/": "."}.get(character, character) for character in name)


def set_sysctl(reader: Reader, namespace: NamespaceBuilder, path: str, value: str) -> None:
    """Write a sysctl, with what else that changes. Raises InputError when a namespace has none of that name."""
    if not _PATH.fullmatch(path):
        reader.fail(f"{quoted(path)} is no sysctl of a network namespace", "those are below net/")
    _check_name(reader, namespace, path)
    if path in _FOR_ALL:
        for every in (*_FOR_ALL, "net/ipv4/conf/default/forwarding", *(p for p in namespace.sysctls if _FORWARDING.fullmatch(p))):
            namespace.sysctl(every, value)
    if path == _FOR_ALL6:
        for every in [p for p in namespace.sysctls if _FORWARDING6.fullmatch(p)]:
            namespace.sysctl(every, value)
    namespace.sysctl(path, value)


def _check_name(reader: Reader, namespace: NamespaceBuilder, path: str) -> None:
    """Raise InputError for a device that is not there, a name that no device has, and one that is almost that of a stated sysctl."""
    of_device = _OF_DEVICE.fullmatch(path)
    if of_device is not None:
        where, device, name = of_device.groups()
        if device not in ("all", "default", *namespace.links):
            known = ["all", "default", *namespace.links]
            hint = did_you_mean(device, known, "device")
            if "." in path or any("." in link for link in namespace.links):
                hint = "a name with a dot in it is written with slashes: net/ipv4/conf/vxlan.calico/rp_filter"
            reader.fail(f"{namespace.name} has no device {quoted(device)}", hint)
        if name not in _NAMES.get(where, (name,)):
            reader.fail(f"there is no sysctl {quoted(name)} of a device", did_you_mean(name, sorted(_NAMES[where]), "sysctl"))
    elif path not in namespace.sysctls and (meant := get_close_matches(path, namespace.sysctls, 1, _ALMOST)):
        reader.fail(f"there is no sysctl {quoted(path)}", f"did you mean {meant[0]!r}?")
