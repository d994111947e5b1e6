"""The ranges that clusters use for pods and services, as their control planes state them."""

from __future__ import annotations

from ipaddress import ip_network

from lab.forwarding.packet import Address
from lab.state import State
from lab.state.control import ApiObject, Json
from lab.state.objects import Network


def overlay_range(state: State, address: Address) -> Network | None:
    """Return the range of pods or services that an address is of, as its own cluster uses it; None for other addresses."""
    owner = state.owner(address)
    for pool in state.control.of("IPPool"):
        cidr = cidr_of(pool)
        if cidr is not None and address in cidr and not pool.name.startswith("submariner-") and owner is not None:
            return cidr if owner.cluster == pool.cluster else None
    for service in state.control.of("Service"):
        spec = service.body.get("spec")
        if isinstance(spec, dict) and str(address) in (spec.get("clusterIP"), *_listed(spec.get("clusterIPs"))):
            return ip_network(f"{address}/{16 if address.version == 4 else 108}", strict=False)
    return None


def cidr_of(pool: ApiObject) -> Network | None:
    """Return the range of an IPPool."""
    spec = pool.body.get("spec")
    return ip_network(str(spec["cidr"])) if isinstance(spec, dict) and "cidr" in spec else None


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
