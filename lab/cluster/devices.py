"""Devices come and go with their sysctls: a new one starts with a copy of conf.default, and takes its settings along when it goes."""

from __future__ import annotations

from collections.abc import Mapping

from lab.cluster.sysctls import conf, conf6, seeded
from lab.state.builder import NamespaceBuilder
from lab.state.network import Role
from lab.state.objects import Link
from lab.state.provenance import Provenance
from lab.state.state_builder import StateBuilder


def add_namespace(
    builder: StateBuilder,
    name: str,
    role: Role,
    sysctls: Mapping[str, str],
    why: Provenance,
    *,
    cluster: str | None = None,
    parent: str | None = None,
) -> NamespaceBuilder:
    """Make a namespace with its sysctls; its loopback device gets those of a new device."""
    namespace = builder.add_namespace(name, role, cluster=cluster, parent=parent, provenance=why)
    namespace.change_link("lo", provenance=Provenance("kernel", "every namespace is born with it", because=(why,)))
    namespace.sysctls |= {**sysctls, **seeded("lo", sysctls)}
    return namespace


def add_device(namespace: NamespaceBuilder, link: Link) -> None:
    """Add a device; its settings are those of conf.default at this moment (net/ipv4/devinet.c, inetdev_init)."""
    namespace.add_link(link)
    namespace.sysctls |= seeded(link.name, namespace.sysctls)


def set_devices(namespace: NamespaceBuilder, written: Mapping[str, str]) -> None:
    """Write the settings of single devices that are there by now, as a boot script does; a device that comes later starts without them.

    What is written of all IPv6 devices goes before what the segments' networks ask for.
    """
    prefixes = (*(conf(device, "") for device in namespace.links), conf6("all", ""), conf6("default", ""))
    namespace.sysctls |= {path: value for path, value in written.items() if path.startswith(prefixes)}


def remove_device(namespace: NamespaceBuilder, name: str) -> None:
    """Remove a device, all that depends on it, and its settings: made again, it has forgotten them."""
    namespace.remove_link(name)
    for path in [path for path in namespace.sysctls if path.startswith((conf(name, ""), conf6(name, ""), f"net/ipv4/neigh/{name}/"))]:
        del namespace.sysctls[path]
