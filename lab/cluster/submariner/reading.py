"""Reading the objects of an API server, wherever they come from: the emulated control planes or a cluster's own dump."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from lab.state.control import ApiObject, Json


def of_kind(objects: Iterable[ApiObject], kind: str, namespace: str | None = None) -> Iterator[ApiObject]:
    """Yield the objects of a kind, in all namespaces or in one."""
    return (o for o in objects if o.kind == kind and namespace in (None, o.namespace))


def value(found: ApiObject, *path: str) -> Json:
    """Return what stands at a path of the object's body, or None."""
    here: Json = dict(found.body)
    for step in path:
        if not isinstance(here, dict) or step not in here:
            return None
        here = here[step]
    return here


def text(found: ApiObject, *path: str) -> str:
    """Return the text at a path, empty where there is none."""
    here = value(found, *path)
    return here if isinstance(here, str) else ""


def members(found: ApiObject, *path: str) -> list[Json]:
    """Return the list at a path, empty where there is none."""
    here = value(found, *path)
    return here if isinstance(here, list) else []


def texts(found: ApiObject, *path: str) -> tuple[str, ...]:
    """Return the texts of the list at a path."""
    return tuple(member for member in members(found, *path) if isinstance(member, str))


def part(of: Json, *path: str) -> Json:
    """Return what stands at a path inside a JSON value, or None."""
    here = of
    for step in path:
        here = here.get(step) if isinstance(here, dict) else None
    return here


def network(written: str) -> IPv4Network | None:
    """Return an IPv4 network as it is written in an object; None where it is none."""
    try:
        return IPv4Network(written)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None


def networks(written: Iterable[str]) -> tuple[IPv4Network, ...]:
    """Return those of some texts that are IPv4 networks."""
    return tuple(found for found in map(network, written) if found is not None)
