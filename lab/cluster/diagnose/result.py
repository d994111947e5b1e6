"""What a check says, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from lab.cluster.submariner.names import OPERATOR_NAMESPACE
from lab.cluster.submariner.reading import members, network, of_kind, part, text
from lab.state import ApiObject, Namespace, State
from lab.state.control import Json

Status = Literal["pass", "fail", "warn", "skip"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The answer of one check in one cluster.

    `reason` is a sentence, of a green check as well: why it is green is half of this incident. `detail` are further lines.
    """

    name: str
    title: str
    cluster: str
    status: Status
    reason: str
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check found, before it is put under its name."""

    status: Status
    reason: str
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patient:
    """One cluster of a state, as a check sees it."""

    state: State
    cluster: str
    objects: tuple[ApiObject, ...]
    """The objects of its API server."""
    resource: ApiObject
    """The operator's Submariner resource."""

    @property
    def plugin(self) -> str:
        """status.networkPlugin."""
        return text(self.resource, "status", "networkPlugin")

    @property
    def version(self) -> str:
        """Which Submariner it is, as 0.17.0."""
        return text(self.resource, "spec", "version")

    @property
    def cluster_cidr(self) -> IPv4Network | None:
        """status.clusterCIDR: what this cluster takes its pod range for."""
        return network(text(self.resource, "status", "clusterCIDR"))

    @property
    def service_cidr(self) -> IPv4Network | None:
        """status.serviceCIDR."""
        return network(text(self.resource, "status", "serviceCIDR"))

    @property
    def gateway(self) -> ApiObject | None:
        """The Gateway object of the active gateway."""
        return next((g for g in self.of("Gateway", OPERATOR_NAMESPACE) if text(g, "status", "haStatus") == "active"), None)

    @property
    def connections(self) -> tuple[Json, ...]:
        """The connections that the active gateway reports."""
        return tuple(members(self.gateway, "status", "connections")) if self.gateway else ()

    @property
    def remote_subnets(self) -> tuple[tuple[str, ...], ...]:
        """For every connection, the remote subnets as text, in the order of the Endpoint."""
        return tuple(strings(part(connection, "endpoint", "subnets")) for connection in self.connections)

    @property
    def nodes(self) -> tuple[Namespace, ...]:
        """The namespaces of its nodes."""
        return tuple(n for n in self.state if n.role == "node" and n.cluster == self.cluster)

    @property
    def active(self) -> Namespace | None:
        """The namespace of the active gateway's node."""
        return self.state.namespaces.get(self.gateway.name) if self.gateway else None

    def of(self, kind: str, namespace: str | None = None) -> tuple[ApiObject, ...]:
        """Return its objects of a kind."""
        return tuple(of_kind(self.objects, kind, namespace))


Check = Callable[[Patient], Answer]


def strings(found: Json) -> tuple[str, ...]:
    """Return the texts in a JSON list."""
    return tuple(member for member in found if isinstance(member, str)) if isinstance(found, list) else ()
