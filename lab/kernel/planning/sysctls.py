"""The steps that write sysctls, in an order in which none undoes another.

Three kinds of write have effects beyond their own file (net/ipv4/devinet.c, net/ipv6/addrconf.c; ip-sysctl in the kernel's documentation):
`ip_forward` and `conf/all/forwarding` set the forwarding of every link and reset `accept_redirects`; `conf/default/X` is inherited by new
links and by those whose X nobody has written yet; `conf/all/disable_ipv6` is written to all links. So these come first, and what is stated
of a link is written again after them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from lab.errors import InputError, did_you_mean
from lab.kernel.planning.changes import NamespaceChange
from lab.kernel.planning.steps import Phase, WriteSysctls
from lab.state import Vxlan

_OF_A_LINK: Final = re.compile(r"net/(?P<family>ipv4|ipv6|mpls)/(?:conf|neigh)/(?P<link>[^/]+)/(?P<key>[^/]+)")
_EVERYWHERE: Final = frozenset({"all", "default"})
_ALIASES: Final = {"net/ipv4/ip_forward": "net/ipv4/conf/all/forwarding"}
_ALLOWED: Final = re.compile(r"net/(?:[^/]+/)+[^/]+")


@lru_cache(maxsize=65536)
def _parts(path: str) -> tuple[str, str, str] | None:
    """Family, link and key of a sysctl that each link has; a lab repeats few paths many times."""
    match = _OF_A_LINK.fullmatch(path)
    return (match["family"], match["link"], match["key"]) if match else None


def link_of(path: str) -> str | None:
    """The link a sysctl belongs to, or None: `all` and `default` are no links."""
    parts = _parts(path)
    return parts[1] if parts and parts[1] not in _EVERYWHERE else None


def sysctl_steps(change: NamespaceChange) -> Iterator[WriteSysctls]:
    """Write what new links inherit and whatever else belongs to no link; and, when all links are there, what belongs to one."""
    values = _values(change)
    general = sorted(((path, value) for path, value in values.items() if link_of(path) is None), key=lambda item: _rank(item[0]))
    if general:
        yield WriteSysctls(change.after.name, Phase.SYSCTLS, tuple(general))
    switches = tuple((path, values[path]) for path in sorted(_switches_below_tunnels(change)) if path in values)
    if switches:
        yield WriteSysctls(change.after.name, Phase.LINKS, switches)
    of_links = tuple((path, value) for path, value in values.items() if link_of(path) is not None)
    if of_links:
        yield WriteSysctls(change.after.name, Phase.LINK_SYSCTLS, of_links)


def _switches_below_tunnels(change: NamespaceChange) -> set[str]:
    """What switches IPv6 on below a new VXLAN device over IPv6, which the kernel refuses where it is off (vxlan_config_validate)."""
    kinds = [link.kind for link in change.fresh if isinstance(link.kind, Vxlan) and link.kind.version == 6]
    return {f"net/ipv6/conf/{kind.device}/disable_ipv6" for kind in kinds if kind.device is not None}


def same_value(one: str, other: str) -> bool:
    """Whether two values are the same to the kernel, which separates numbers by tabs."""
    return one == other or one.split() == other.split()


def _values(change: NamespaceChange) -> dict[str, str | None]:
    """What differs; what is stated no longer, as None; what is stated of new links; and what the writes so far may have overwritten."""
    before, after = change.before.sysctls, change.after.sysctls
    _check(change)
    fresh = {link.name for link in change.fresh} | ({"lo"} if change.is_new else set())
    values: dict[str, str | None] = {}
    for path, value in after.items():
        if link_of(path) in fresh:
            if not _is_inherited(path, value, after):
                values[path] = value
        elif path not in before or not same_value(before[path], value):
            values[path] = value
    present = {None, "lo", *(link.name for link in change.after.links)} - change.lost
    for path in before:
        if path not in after and link_of(path) in present:
            values[path] = None
    overwritten = _overwritten(values)
    if overwritten:
        values |= {
            path: value
            for path, value in after.items()
            if path not in values and _setting(path) in overwritten and link_of(path) not in fresh
        }
    return values


def _is_inherited(path: str, value: str, stated: Mapping[str, str]) -> bool:
    """Whether a new link has this value already.

    It begins with a copy of what is stated of `default` (inetdev_init); to lo, which is there before, what is written to `default` is
    copied (devinet_copy_dflt_conf). Most of what a state says of links is such, and every file that is not opened saves 20 microseconds.
    """
    family, link, key = _parts(path) or ("", "", "")
    default = stated.get(f"net/ipv4/conf/default/{key}")
    return family == "ipv4" and default is not None and default == value and path == f"net/ipv4/conf/{link}/{key}"


def _overwritten(paths: Iterable[str]) -> set[str]:
    """The settings, as family and key, that writing these paths may have changed in other places."""
    settings: set[str] = set()
    for path in paths:
        family, link, key = _parts(_ALIASES.get(path, path)) or ("", "", "")
        if link in _EVERYWHERE:
            settings.add(f"{family}/{key}")
            if key == "forwarding":
                settings.add(f"{family}/accept_redirects")
    return settings


def _setting(path: str) -> str | None:
    parts = _parts(path)
    return f"{parts[0]}/{parts[2]}" if parts else None


def _rank(path: str) -> int:
    """What has effects elsewhere first."""
    parts = _parts(_ALIASES.get(path, path))
    if parts is None:
        return 3
    _, link, key = parts
    return 2 if link == "default" else 0 if key == "forwarding" else 1


def _check(change: NamespaceChange) -> None:
    """Refuse paths that are not a namespace's own, or a link's that is not there."""
    namespace = change.after
    links = ["lo", *(link.name for link in namespace.links)]
    for path in namespace.sysctls:
        if not _ALLOWED.fullmatch(path) or ".." in path.split("/"):
            raise InputError(
                f"{namespace.name}: {path} is no sysctl of a network namespace",
                hint="give its path below /proc/sys, as net/ipv4/conf/all/rp_filter; only those below net/ belong to a namespace",
            )
        link = link_of(path)
        if link is not None and link not in links:
            raise InputError(f"{namespace.name}: {path} is stated, but there is no link {link}", hint=did_you_mean(link, links, "link"))
