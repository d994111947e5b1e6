"""The ranges that clusters use for pods and services, as their control planes state them."""

from __future__ import annotations

from ipaddress import IPv4Network

from lab.forwarding.packet import Address
from lab.state import State
from lab.state.control import ApiObject


def overlay_range(state: State, address: Address) -> IPv4Network | None:
    """Return the range of pods or services that an address is of, as its own cluster uses it; None for other addresses."""
    owner = state.owner(address)
    for pool in state.control.of("IPPool"):
        cidr = cidr_of(pool)
        if cidr is not None and address in cidr and not pool.name.startswith("submariner-") and owner is not None:
            return cidr if owner.cluster == pool.cluster else None
    for service in state.control.of("Service"):
        spec = service.body.get("spec")
        if isinstance(spec, dict) and spec.get("clusterIP") == str(address):
            return IPv4Network((int(address) & 0xFFFF0000, 16))
    return None


def cidr_of(pool: ApiObject) -> IPv4Network | None:
    """Return the range of an IPPool."""
    spec = pool.body.get("spec")
    return IPv4Network(str(spec["cidr"])) if isinstance(spec, dict) and "cidr" in spec else None
