"""Addresses by the names people use: a namespace, ``service/NAME``, or an address as it is."""

from __future__ import annotations

from lab.errors import InputError, did_you_mean
from lab.spec.selectors import SERVICE, parse_address
from lab.spec.values import Address
from lab.state import AddressEntry, ApiObject, Loopback, State


def namespace_address(state: State, namespace: str, version: int = 4) -> Address:
    """Return the address a namespace is reached at: the first of its uplink eth0, or else of any device but lo; not a link-local one.

    Raises InputError when it has none.
    """
    entries = _reached_at(state, namespace, version)
    if not entries:
        raise InputError(f"{namespace!r} has no {'' if version == 4 else 'IPv6 '}address")
    return entries[0].interface.ip


def _reached_at(state: State, namespace: str, version: int) -> list[AddressEntry]:
    here = state[namespace]
    loopbacks = {link.name for link in here.links if isinstance(link.kind, Loopback)}
    reached = (e for e in here.addresses if e.device not in loopbacks and e.interface.version == version)
    return sorted((e for e in reached if version == 4 or not e.interface.ip.is_link_local), key=lambda e: e.device != "eth0")


def has_address(state: State, namespace: str, version: int) -> bool:
    """Whether a namespace has an address that it is reached at by a version of IP."""
    return bool(_reached_at(state, namespace, version))


def service_address(state: State, service: str, version: int = 4) -> Address:
    """Return the ClusterIP of a service by a version of IP.

    Raises InputError, with the nearest name, when there is none of that name, and when it has no such address.
    """
    addresses = service_addresses(state, service)
    if version not in addresses:
        hint = "it has an IPv6 address, which `ipv6` (--ipv6) asks for" if version == 4 else "give it IPv6 in its `families`"
        raise InputError(f"the service {service!r} has no IPv{version} address", hint=hint)
    return addresses[version]


def service_addresses(state: State, service: str) -> dict[int, Address]:
    """Return the ClusterIPs of a service by version of IP. Raises InputError, with the nearest name, when there is none of that name."""
    found = {item.name: item for item in state.control.of("Service")}
    if service not in found:
        raise InputError(f"there is no service {service!r}", hint=did_you_mean(service, list(found), "service"))
    return cluster_ips(found[service])


def cluster_ips(service: ApiObject) -> dict[int, Address]:
    """Return the addresses of a service by version of IP."""
    spec = service.body.get("spec")
    if not isinstance(spec, dict):
        return {}
    listed = spec.get("clusterIPs")
    written = listed if isinstance(listed, list) else [spec.get("clusterIP")]
    found = (parse_address(str(text)) for text in written)
    return {address.version: address for address in found if address is not None}


def find_address(state: State, name: str, version: int = 4) -> Address:
    """Return the address, of a version of IP, that a namespace or ``service/NAME`` means, or the address it is.

    Raises InputError when it means none.
    """
    if name.startswith(SERVICE):
        return service_address(state, name.removeprefix(SERVICE), version)
    literal = parse_address(name)
    if literal is not None:
        return literal
    return namespace_address(state, find_namespace(state, name), version)


def find_namespace(state: State, name: str) -> str:
    """Return a namespace's name. Raises InputError, with the nearest name, when there is none of that name."""
    if name not in state.namespaces:
        hint = did_you_mean(name, list(state.namespaces), "name")
        raise InputError(f"there is no node or pod {name!r}", hint=hint)
    return name
