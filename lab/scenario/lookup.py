"""Addresses by the names people use: a namespace, ``service/NAME``, or an address as it is."""

from __future__ import annotations

from ipaddress import ip_address

from lab.errors import InputError, did_you_mean
from lab.spec.selectors import SERVICE, parse_address
from lab.spec.values import Address
from lab.state import Loopback, State


def namespace_address(state: State, namespace: str, version: int = 4) -> Address:
    """Return the address a namespace is reached at: the first of its uplink eth0, or else of any device but lo; not a link-local one.

    Raises InputError when it has none.
    """
    here = state[namespace]
    loopbacks = {link.name for link in here.links if isinstance(link.kind, Loopback)}
    reached = (e for e in here.addresses if e.device not in loopbacks and e.interface.version == version)
    entries = sorted((e for e in reached if version == 4 or not e.interface.ip.is_link_local), key=lambda e: e.device != "eth0")
    if not entries:
        raise InputError(f"{namespace!r} has no {'' if version == 4 else 'IPv6 '}address")
    return entries[0].interface.ip


def service_address(state: State, service: str) -> Address:
    """Return the ClusterIP of a service. Raises InputError, with the nearest name, when there is none of that name."""
    found: dict[str, object] = {}
    for item in state.control.of("Service"):
        spec = item.body.get("spec")
        if isinstance(spec, dict):
            found[item.name] = spec.get("clusterIP")
    if service not in found:
        raise InputError(f"there is no service {service!r}", hint=did_you_mean(service, list(found), "service"))
    return ip_address(str(found[service]))


def find_address(state: State, name: str) -> Address:
    """Return the address that a namespace, ``service/NAME`` or an address means. Raises InputError when it means none."""
    if name.startswith(SERVICE):
        return service_address(state, name.removeprefix(SERVICE))
    literal = parse_address(name)
    if literal is not None:
        return literal
    return namespace_address(state, find_namespace(state, name))


def find_namespace(state: State, name: str) -> str:
    """Return a namespace's name. Raises InputError, with the nearest name, when there is none of that name."""
    if name not in state.namespaces:
        hint = did_you_mean(name, list(state.namespaces), "name")
        raise InputError(f"there is no node or pod {name!r}", hint=hint)
    return name
