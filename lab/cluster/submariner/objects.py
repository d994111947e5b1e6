"""Submariner's own API objects, with the fields that matter to the data plane.

Source: submariner:pkg/apis/submariner.io/v1/types.go, operator:api/v1alpha1/submariner_types.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, Literal

from lab.cluster.objects import DaemonSet, Pod
from lab.cluster.submariner.names import (
    BROKER_NAMESPACE,
    CABLE_PORT,
    NAT_DISCOVERY_PORT,
    OPERATOR_NAMESPACE,
    cable_name,
    endpoint_name,
)
from lab.state.control import Json
from lab.state.provenance import UNKNOWN, Provenance

Backend = Literal["vxlan", "libreswan"]
ConnectionStatus = Literal["connected", "connecting", "error"]
RemoteStatus = Literal["connected", "error", "none"]


@dataclass(frozen=True, slots=True)
class Subnet:
    """A range that an Endpoint advertises, and how its cluster came to believe in it."""

    network: IPv4Network
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def __str__(self) -> str:
        return str(self.network)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A cluster as its active gateway offers it to the others. `subnets`: the service ranges first, then the pod ranges."""

    kind: ClassVar[str] = "Endpoint"
    cluster_id: str
    hostname: str
    private_ip: IPv4Address
    subnets: tuple[Subnet, ...]
    backend: Backend
    nat_enabled: bool
    health_check_ip: IPv4Address | None = None
    public_ip: str = ""
    namespace: str = OPERATOR_NAMESPACE
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    @property
    def name(self) -> str:
        """``<cluster>-<cable>``."""
        return endpoint_name(self.cluster_id, self.private_ip)

    @property
    def cable(self) -> str:
        """The name of the cable that leads here."""
        return cable_name(self.cluster_id, self.private_ip)

    def at_broker(self) -> Endpoint:
        """Return the copy that the broker holds."""
        return replace(self, namespace=BROKER_NAMESPACE)

    def spec(self) -> dict[str, Json]:
        """Return its spec."""
        return {
            "cluster_id": self.cluster_id,
            "cable_name": self.cable,
            "hostname": self.hostname,
            "private_ip": str(self.private_ip),
            "public_ip": self.public_ip,
            "nat_enabled": self.nat_enabled,
            "backend": self.backend,
            "backend_config": {"udp-port": str(CABLE_PORT), "natt-discovery-port": str(NAT_DISCOVERY_PORT), "preferred-server": "false"},
            "healthCheckIP": str(self.health_check_ip) if self.health_check_ip else "",
            "subnets": [str(subnet) for subnet in self.subnets],
        }

    def body(self) -> dict[str, Json]:
        """Return its fields."""
        return {"spec": self.spec()}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of the cluster set, as the broker lists it."""

    kind: ClassVar[str] = "Cluster"
    name: str
    service_cidr: tuple[IPv4Network, ...]
    cluster_cidr: tuple[IPv4Network, ...]
    global_cidr: tuple[IPv4Network, ...] = ()
    """With Globalnet: what the others know it by."""
    namespace: str = OPERATOR_NAMESPACE
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def at_broker(self) -> Cluster:
        """Return the copy that the broker holds."""
        return replace(self, namespace=BROKER_NAMESPACE)

    def body(self) -> dict[str, Json]:
        """Return its ranges."""
        spec: dict[str, Json] = {
            "cluster_id": self.name,
            "service_cidr": [str(cidr) for cidr in self.service_cidr],
            "cluster_cidr": [str(cidr) for cidr in self.cluster_cidr],
            "global_cidr": [str(cidr) for cidr in self.global_cidr],
            "color_codes": ["blue"],
        }
        return {"spec": spec}


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway's view of one remote Endpoint."""

    endpoint: Endpoint
    status: ConnectionStatus
    message: str = ""

    def json(self) -> dict[str, Json]:
        """Return it as in a Gateway."""
        return {
            "status": self.status,
            "statusMessage": self.message,
            "usingIP": str(self.endpoint.private_ip),
            "usingNAT": False,
            "endpoint": self.endpoint.spec(),
        }


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gateway process of a node reports; it is refreshed every five seconds."""

    kind: ClassVar[str] = "Gateway"
    name: str
    endpoint: Endpoint
    connections: tuple[Connection, ...]
    version: str
    namespace: str = OPERATOR_NAMESPACE
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return its status."""
        status: dict[str, Json] = {
            "version": f"v{self.version}",
            "haStatus": "active",
            "localEndpoint": self.endpoint.spec(),
            "statusFailure": "",
            "connections": [connection.json() for connection in self.connections],
        }
        return {"status": status}


@dataclass(frozen=True, slots=True)
class RouteAgentReport:
    """What a route agent reports about remote gateways (0.19 on). Without health check nobody pings: the status is none."""

    kind: ClassVar[str] = "RouteAgent"
    name: str
    remotes: tuple[tuple[Endpoint, RemoteStatus], ...]
    version: str
    namespace: str = OPERATOR_NAMESPACE
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return its status."""
        remotes: list[Json] = [{"status": status, "spec": endpoint.spec()} for endpoint, status in self.remotes]
        return {"status": {"version": f"v{self.version}", "remoteEndpoints": remotes}}


@dataclass(frozen=True, slots=True)
class SubmarinerResource:
    """The operator's resource: what a person asked for (spec), and what the pods are started with (status)."""

    kind: ClassVar[str] = "Submariner"
    cluster_id: str
    version: str
    cable_driver: Backend
    nat_enabled: bool
    air_gapped: bool
    health_check: bool
    force_udp_encaps: bool
    spec_cluster_cidr: str
    """What a person gave; empty where discovery decides."""
    spec_service_cidr: str
    cluster_cidr: IPv4Network
    service_cidr: IPv4Network
    network_plugin: str
    global_cidr: IPv4Network | None = None
    name: str = "submariner"
    namespace: str = OPERATOR_NAMESPACE
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return spec and status."""
        spec: dict[str, Json] = {
            "clusterID": self.cluster_id,
            "version": self.version,
            "cableDriver": self.cable_driver,
            "natEnabled": self.nat_enabled,
            "airGappedDeployment": self.air_gapped,
            "connectionHealthCheck": {"enabled": self.health_check},
            "ceIPSecForceUDPEncaps": self.force_udp_encaps,
            "clusterCIDR": self.spec_cluster_cidr,
            "serviceCIDR": self.spec_service_cidr,
            "globalCIDR": str(self.global_cidr or ""),
            "serviceDiscoveryEnabled": True,
        }
        status: dict[str, Json] = {
            "clusterID": self.cluster_id,
            "clusterCIDR": str(self.cluster_cidr),
            "serviceCIDR": str(self.service_cidr),
            "networkPlugin": self.network_plugin,
            "globalCIDR": str(self.global_cidr or ""),
        }
        return {"spec": spec, "status": status}


@dataclass(frozen=True, slots=True)
class CrashingPod(Pod):
    """A pod whose process ends right after its start, again and again."""

    def body(self) -> dict[str, Json]:
        """Return what a Pod does, with the state of a container that waits for its next start."""
        body = super(CrashingPod, self).body()
        waiting: dict[str, Json] = {"waiting": {"reason": "CrashLoopBackOff"}}
        status: list[Json] = [{"name": self.name, "restartCount": RESTARTS_OF_A_CRASHING_POD, "ready": False, "state": waiting}]
        return {**body, "status": {"podIP": str(self.address), "phase": "Running", "containerStatuses": status}}


RESTARTS_OF_A_CRASHING_POD = 5
"""From here on `subctl diagnose` warns (subctl:pkg/diagnose/deployments.go)."""


@dataclass(frozen=True, slots=True)
class DaemonSetStatus(DaemonSet):
    """A DaemonSet and how many of its pods there should be and are."""

    desired: int = 0
    ready: int = 0

    def body(self) -> dict[str, Json]:
        """Return its counts."""
        return {"status": {"desiredNumberScheduled": self.desired, "currentNumberScheduled": self.desired, "numberReady": self.ready}}
