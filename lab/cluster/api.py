"""A cluster's API server: the objects it holds, and what it refuses."""

from __future__ import annotations

from typing import TypeVar, cast

from lab.cluster.objects import ApiKind, IPPool
from lab.state.control import ApiObject

Kind = TypeVar("Kind", bound=ApiKind)


class ApiRefused(Exception):
    """The server refused a request; the text is its answer."""


class AlreadyExists(ApiRefused):
    """An object of that kind, namespace and name is there already."""


class ApiServer:
    """The objects of one cluster, in the order of their creation.

    `calico_api`: whether projectcalico.org/v3 is served. Calico's own components write their objects without it; others
    (Submariner) need it for IPPools.
    """

    def __init__(self, cluster: str, *, calico_api: bool) -> None:
        self.cluster = cluster
        self.calico_api = calico_api
        self._objects: dict[tuple[str, str, str], ApiKind] = {}

    def create(self, new: ApiKind) -> None:
        """Add an object; raises AlreadyExists, and ApiRefused for an IPPool that overlaps another, as Calico does."""
        if _key(new) in self._objects:
            raise AlreadyExists(f'{new.kind} "{new.name}" already exists')
        if isinstance(new, IPPool):
            for pool in self.list(IPPool):
                if pool.cidr.overlaps(new.cidr):
                    raise ApiRefused(f'IPPool "{new.name}": IPPool({new.cidr}) CIDR overlaps with IPPool {pool.name}({pool.cidr}) CIDR')
        self._objects[_key(new)] = new

    def replace(self, new: ApiKind) -> None:
        """Create or overwrite an object."""
        self._objects[_key(new)] = new

    def get(self, kind: type[Kind], name: str, namespace: str = "") -> Kind | None:
        """Return the object of that name, if there is one."""
        return cast("Kind | None", self._objects.get((kind.kind, namespace, name)))

    def list(self, kind: type[Kind], namespace: str | None = None) -> tuple[Kind, ...]:
        """Return all objects of a kind, of one namespace or of all."""
        found = (o for (k, n, _), o in self._objects.items() if k == kind.kind and namespace in (None, n))
        return tuple(cast("Kind", o) for o in found)

    def delete(self, kind: type[ApiKind], name: str, namespace: str = "") -> bool:
        """Remove an object; return whether it was there."""
        return self._objects.pop((kind.kind, namespace, name), None) is not None

    def exported(self) -> tuple[ApiObject, ...]:
        """Return everything as part of a network state."""
        return tuple(
            ApiObject(self.cluster, o.kind, o.name, o.namespace, dict(o.labels), o.body(), o.provenance) for o in self._objects.values()
        )


def _key(value: ApiKind) -> tuple[str, str, str]:
    return (value.kind, value.namespace, value.name)
