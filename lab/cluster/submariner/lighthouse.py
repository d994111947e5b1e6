"""Service discovery between clusters: exports become imports and slices in every cluster.

It works on API objects alone: that a service's address is known says nothing of whether it can be reached. The slices lack the label
that kube-proxy looks for, so the client's node translates nothing; the remote gateway's kube-proxy does.
Source: lighthouse:pkg/agent/controller/{agent,service_import,service_endpoint_slices,endpoint_slice}.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from lab.cluster.api import ApiServer
from lab.cluster.objects import SERVICE_NAME_LABEL, EndpointSlice, Service, ServiceExport, ServiceImport
from lab.cluster.submariner import globalnet
from lab.cluster.submariner.names import OPERATOR_NAMESPACE
from lab.state.provenance import Provenance

MANAGED_BY = {"endpointslice.kubernetes.io/managed-by": "lighthouse-agent.submariner.io"}
SOURCE_CLUSTER = "multicluster.kubernetes.io/source-cluster"
SERVICE_NAME = "multicluster.kubernetes.io/service-name"
SOURCE_NAMESPACE = "lighthouse.submariner.io/sourceNamespace"
HEADLESS = "lighthouse.submariner.io/is-headless"


@dataclass(frozen=True, slots=True)
class _Exported:
    """A valid export, seen from all clusters."""

    cluster: str
    service: Service
    slice: EndpointSlice
    why: Provenance


def publish(apis: Mapping[str, ApiServer]) -> None:
    """Bring exports, imports and slices of all clusters that have service discovery in agreement. Idempotent."""
    exported = [found for cluster, api in apis.items() for found in _judge(cluster, api)]
    for api in apis.values():
        _withdraw(api, exported)
        for found in exported:
            api.replace(found.slice)
        for found in exported:
            _aggregate(api, found, exported)
    for found in exported:
        _local_import(apis[found.cluster], found)


def retract(api: ApiServer) -> None:
    """Take everything away that came from here, as uninstalling does."""
    _withdraw(api, [])
    for export in api.list(ServiceExport):
        api.replace(replace(export, valid=False))


def _judge(cluster: str, api: ApiServer) -> list[_Exported]:
    valid: list[_Exported] = []
    for export in api.list(ServiceExport):
        service = api.get(Service, export.name, export.namespace)
        why = Provenance(f"lighthouse agent of {cluster}", f"ServiceExport {export.namespace}/{export.name}", because=(export.provenance,))
        api.replace(replace(export, valid=service is not None))
        if service is not None:
            valid.append(_Exported(cluster, service, _slice(cluster, api, service, why), why))
    return valid


def _slice(cluster: str, api: ApiServer, service: Service, why: Provenance) -> EndpointSlice:
    """Return the slice of an exported ClusterIP service: its one address, as long as anything ready is behind it."""
    behind = [s for s in api.list(EndpointSlice, service.namespace) if s.labels.get(SERVICE_NAME_LABEL) == service.name]
    ready = any(s.addresses for s in behind)
    labels = {
        **MANAGED_BY,
        SOURCE_CLUSTER: cluster,
        SERVICE_NAME: service.name,
        SOURCE_NAMESPACE: service.namespace,
        HEADLESS: "false",
    }
    return EndpointSlice(
        f"{service.name}-{service.namespace}-{cluster}",
        service.namespace,
        (_address(api, service),) if ready else (),
        service.ports,
        labels,
        provenance=why,
    )


def _address(api: ApiServer, service: Service) -> IPv4Address:
    """Return the address that other clusters are told: only services with an IPv4 address are exported."""
    address = globalnet.global_address(api, service) or service.cluster_ip
    assert address is not None
    return address


def _withdraw(api: ApiServer, exported: list[_Exported]) -> None:
    """Remove what stands for exports that are no more."""
    slices = {(e.slice.namespace, e.slice.name) for e in exported}
    for there in api.list(EndpointSlice):
        if MANAGED_BY.items() <= dict(there.labels).items() and (there.namespace, there.name) not in slices:
            api.delete(EndpointSlice, there.name, there.namespace)
    services = {(e.service.namespace, e.service.name) for e in exported}
    local = {_local_name(e) for e in exported if e.cluster == api.cluster}
    for found in api.list(ServiceImport):
        wanted = found.name in local if found.namespace == OPERATOR_NAMESPACE else (found.namespace, found.name) in services
        if not wanted:
            api.delete(ServiceImport, found.name, found.namespace)


def _aggregate(api: ApiServer, found: _Exported, exported: list[_Exported]) -> None:
    name, namespace = found.service.name, found.service.namespace
    alike = [e for e in exported if (e.service.name, e.service.namespace) == (name, namespace)]
    clusters = tuple(e.cluster for e in alike)
    why = Provenance(f"lighthouse agent of {api.cluster}", f"exported by {', '.join(clusters)}", because=tuple(e.why for e in alike))
    api.replace(ServiceImport(name, namespace, found.service.ports, clusters, provenance=why))


def _local_import(api: ApiServer, found: _Exported) -> None:
    name, ports, address = _local_name(found), found.service.ports, _address(api, found.service)
    api.replace(ServiceImport(name, OPERATOR_NAMESPACE, ports, (found.cluster,), (address,), provenance=found.why))


def _local_name(found: _Exported) -> str:
    return f"{found.service.name}-{found.service.namespace}-{found.cluster}"
