"""The names a cluster's DNS knows: its own services, and those of the cluster set.

``cluster.local`` follows the Services of the API (Kubernetes DNS-Based Service Discovery, 2.3.1). ``clusterset.local`` follows the
ServiceImports and their EndpointSlices as Lighthouse answers for them (lighthouse: coredns/plugin/handler.go, coredns/resolver):
the own cluster where it exports the service, else the clusters that are connected; asked for a cluster by name, that cluster
whether it is connected or not. A name whose clusters are all away exists and has no address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from lab.cluster.api import ApiServer
from lab.cluster.objects import EndpointSlice, Service, ServiceImport
from lab.state.objects import Address

CLUSTERSET: Final = "clusterset.local"
IMPORTED_NAME_LABEL: Final = "multicluster.kubernetes.io/service-name"
SOURCE_CLUSTER_LABEL: Final = "multicluster.kubernetes.io/source-cluster"
"""KEP-1645, Multi-Cluster Services API."""


@dataclass(frozen=True, slots=True)
class Zones:
    """Names with their addresses; `empty` are names that exist without any."""

    addresses: tuple[tuple[str, Address], ...]
    empty: tuple[str, ...] = ()

    def within(self, domain: str, *, inside: bool = True) -> Zones:
        """Return the names of a domain alone, or all but those."""
        return Zones(
            tuple(entry for entry in self.addresses if entry[0].endswith(f".{domain}") is inside),
            tuple(name for name in self.empty if name.endswith(f".{domain}") is inside),
        )


def zones(api: ApiServer, domain: str, connected: Collection[str]) -> Zones:
    """Return all names of a cluster, `connected` being the other clusters its gateway is connected to."""
    local = tuple(
        (f"{service.name}.{service.namespace}.svc.{domain}", address)
        for service in api.list(Service)
        for address in (service.cluster_ip, service.cluster_ip6)
        if address is not None
    )
    addresses: list[tuple[str, Address]] = []
    empty: list[str] = []
    for imported in api.list(ServiceImport):
        slices = {each.labels[SOURCE_CLUSTER_LABEL]: each for each in _slices(api, imported)}
        if not slices:
            continue
        name = f"{imported.name}.{imported.namespace}.svc.{CLUSTERSET}"
        chosen = [slices[api.cluster]] if api.cluster in slices else [each for cluster, each in slices.items() if cluster in connected]
        answers = [(name, address) for each in chosen for address in each.addresses]
        addresses += answers
        if not answers:
            empty.append(name)
        addresses += ((f"{cluster}.{name}", address) for cluster, each in slices.items() for address in each.addresses)
    return Zones((*local, *addresses), tuple(empty))


def _slices(api: ApiServer, imported: ServiceImport) -> Iterator[EndpointSlice]:
    for each in api.list(EndpointSlice, imported.namespace):
        if each.labels.get(IMPORTED_NAME_LABEL) == imported.name and SOURCE_CLUSTER_LABEL in each.labels:
            yield each
