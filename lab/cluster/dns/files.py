"""How programs find names: /etc/resolv.conf and /etc/hosts."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from lab.state.objects import Address


def pod_resolver(dns: IPv4Address, namespace: str, domain: str, search: Iterable[str] = ()) -> str:
    """Return a pod's resolv.conf (dnsPolicy ClusterFirst): names with fewer than five dots walk the search list first.

    `search` is the search list of its node, which it inherits.
    """
    domains = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *search)
    return f"search {' '.join(domains)}\nnameserver {dns}\noptions ndots:5\n"


NODE_RESOLVER = "# No name server of the corporate network is emulated: names of hosts outside are in /etc/hosts.\n"
"""A node's resolv.conf: cluster names are for pods, nodes do not resolve them."""


def hosts_file(own: Iterable[tuple[Address, str]], others: Iterable[tuple[str, Address]] = ()) -> str:
    """Return /etc/hosts with localhost, the own name, and names of hosts outside."""
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for address, name in own), *(f"{address} {name}" for name, address in others)]
    return "\n".join(lines) + "\n"
