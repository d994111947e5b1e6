"""The kinds of API objects that base components write and read: Kubernetes' own, Calico's, and those of multi-cluster services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar, Literal, Protocol

from lab.spec.values import IpFamily
from lab.state.control import Json
from lab.state.objects import Network
from lab.state.provenance import UNKNOWN, Provenance


class ApiKind(Protocol):
    """What every kind has: a name, labels, a reason, and a body as ``kubectl get -o json`` shows it (`spec`, `status`, ...)."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """Unique within kind and namespace."""

    @property
    def namespace(self) -> str:
        """Empty for kinds of the whole cluster."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Kubernetes labels."""

    @property
    def provenance(self) -> Provenance:
        """Who made it, and why."""

    def body(self) -> dict[str, Json]:
        """Return the fields beside kind and metadata."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Kubernetes node."""

    kind: ClassVar[str] = "Node"
    name: str
    internal_ip: IPv4Address
    pod_cidr: IPv4Network | None
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    kubelet: str = ""
    """The version of Kubernetes it runs, as ``v1.27.9``."""
    internal_ip6: IPv6Address | None = None
    pod_cidr6: IPv6Network | None = None
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return spec.podCIDR, the addresses, and what others annotated it with."""
        cidrs: list[Json] = [str(cidr) for cidr in (self.pod_cidr, self.pod_cidr6) if cidr]
        spec: dict[str, Json] = {"podCIDR": cidrs[0], "podCIDRs": cidrs} if cidrs else {}
        internal = [str(address) for address in (self.internal_ip, self.internal_ip6) if address]
        addresses: list[Json] = [{"type": "InternalIP", "address": address} for address in internal]
        addresses.append({"type": "Hostname", "address": self.name})
        status: dict[str, Json] = {"addresses": addresses, "nodeInfo": {"kubeletVersion": self.kubelet}}
        return {"metadata": {"annotations": dict(self.annotations)}, "spec": spec, "status": status}


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod: what Submariner's discovery reads is its `command`, from 0.18.1 on its `args` as well."""

    name: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, of a workload or of a component of the cluster."""

    kind: ClassVar[str] = "Pod"
    name: str
    namespace: str
    node: str
    address: IPv4Address
    containers: tuple[Container, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False
    address6: IPv6Address | None = None
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return where it runs and with which flags."""
        containers: list[Json] = [{"name": c.name, "command": [*c.command], "args": [*c.args]} for c in self.containers]
        status: dict[str, Json] = {"podIP": str(self.address), "phase": "Running"}
        if self.address6 is not None:
            status["podIPs"] = [{"ip": str(self.address)}, {"ip": str(self.address6)}]
        return {"spec": {"nodeName": self.node, "hostNetwork": self.host_network, "containers": containers}, "status": status}


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a service; `name` may be empty where there is only one."""

    port: int
    target_port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    name: str = ""

    def json(self) -> dict[str, Json]:
        """Return it as in a Service."""
        return {"name": self.name, "port": self.port, "targetPort": self.target_port, "protocol": self.protocol.upper()}


@dataclass(frozen=True, slots=True)
class Service:
    """A ClusterIP service."""

    kind: ClassVar[str] = "Service"
    name: str
    namespace: str
    cluster_ip: IPv4Address | None
    """Its IPv4 address; None where IPv6 is its only family."""
    ports: tuple[ServicePort, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    external: tuple[IPv4Address, ...] = ()
    keeps_source: bool = False
    """Whether clients from outside keep their address: only endpoints of the node itself serve them."""
    cluster_ip6: IPv6Address | None = None
    families: tuple[IpFamily, ...] = ("IPv4",)
    """Its IP versions, the primary one first."""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return its addresses and ports."""
        held: list[Json] = [str(self.cluster_ip if family == "IPv4" else self.cluster_ip6) for family in self.families]
        spec: dict[str, Json] = {"type": "ClusterIP", "clusterIP": held[0], "ports": [port.json() for port in self.ports]}
        if self.cluster_ip6 is not None:
            policy = "RequireDualStack" if len(held) > 1 else "SingleStack"
            spec |= {"clusterIPs": held, "ipFamilies": [*self.families], "ipFamilyPolicy": policy}
        if self.external:
            policy = "Local" if self.keeps_source else "Cluster"
            spec |= {"externalIPs": [str(address) for address in self.external], "externalTrafficPolicy": policy}
        return {"spec": spec}


SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""The slices with this label are kube-proxy's; those of other clusters' services do not bear it."""


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """The addresses behind a service, all of them ready."""

    kind: ClassVar[str] = "EndpointSlice"
    name: str
    namespace: str
    addresses: tuple[IPv4Address, ...]
    """Those of an IPv4 slice."""
    ports: tuple[ServicePort, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses6: tuple[IPv6Address, ...] = ()
    """Those of an IPv6 slice: every slice has one version of IP."""
    family: IpFamily = "IPv4"
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return endpoints and ports."""
        held = self.addresses if self.family == "IPv4" else self.addresses6
        endpoints: list[Json] = [{"addresses": [str(a)], "conditions": {"ready": True}} for a in held]
        ports: list[Json] = [{"name": p.name, "port": p.target_port, "protocol": p.protocol.upper()} for p in self.ports]
        return {"addressType": self.family, "endpoints": endpoints, "ports": ports}


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """A ConfigMap."""

    kind: ClassVar[str] = "ConfigMap"
    name: str
    namespace: str
    data: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return its data."""
        return {"data": dict(self.data)}


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """A DaemonSet, of which only the name matters here."""

    kind: ClassVar[str] = "DaemonSet"
    name: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return nothing: no field of it decides anything."""
        return {}


VxlanMode = Literal["Never", "Always", "CrossSubnet"]


@dataclass(frozen=True, slots=True)
class IPPool:
    """A Calico IPPool. `disabled` stops IPAM from using it and nothing else (Calico felix/calc, libcalico-go/lib/clientv3/ippool.go)."""

    kind: ClassVar[str] = "IPPool"
    name: str
    cidr: Network
    nat_outgoing: bool = False
    disabled: bool = False
    vxlan_mode: VxlanMode = "Never"
    block_size: int = 26
    disable_bgp_export: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return its spec."""
        spec: dict[str, Json] = {
            "cidr": str(self.cidr),
            "blockSize": self.block_size,
            "natOutgoing": self.nat_outgoing,
            "disabled": self.disabled,
            "disableBGPExport": self.disable_bgp_export,
            "vxlanMode": self.vxlan_mode,
            "ipipMode": "Never",
            "nodeSelector": "all()",
        }
        return {"spec": spec}


@dataclass(frozen=True, slots=True)
class IPAMBlock:
    """A block of addresses that Calico IPAM has given to a node."""

    kind: ClassVar[str] = "IPAMBlock"
    name: str
    cidr: Network
    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return its range and whose it is."""
        return {"spec": {"cidr": str(self.cidr), "affinity": f"host:{self.node}"}}


@dataclass(frozen=True, slots=True)
class ServiceExport:
    """A wish to make a service known to the other clusters (Multi-Cluster Services API, KEP-1645); `valid` says it was heard."""

    kind: ClassVar[str] = "ServiceExport"
    name: str
    namespace: str
    valid: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return the condition Valid, once a controller has looked at it."""
        return {"status": {"conditions": [{"type": "Valid", "status": "True"}]}} if self.valid else {}


@dataclass(frozen=True, slots=True)
class ServiceImport:
    """A service of the cluster set, known in this cluster; its addresses are in EndpointSlices, one for each exporting cluster."""

    kind: ClassVar[str] = "ServiceImport"
    name: str
    namespace: str
    ports: tuple[ServicePort, ...]
    clusters: tuple[str, ...] = ()
    """Which clusters export it."""
    addresses: tuple[IPv4Address, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return type, addresses and ports, and the clusters behind it."""
        ports: list[Json] = [{"name": p.name, "port": p.port, "protocol": p.protocol.upper()} for p in self.ports]
        clusters: list[Json] = [{"cluster": cluster} for cluster in self.clusters]
        return {"spec": {"type": "ClusterSetIP", "ips": [str(a) for a in self.addresses], "ports": ports}, "status": {"clusters": clusters}}


@dataclass(frozen=True, slots=True)
class GlobalNetworkPolicy:
    """A Calico policy on all pods: some ranges are denied, everything else is allowed."""

    kind: ClassVar[str] = "GlobalNetworkPolicy"
    name: str
    deny_from: tuple[Network, ...] = ()
    deny_to: tuple[Network, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    provenance: Provenance = field(default=UNKNOWN, compare=False, repr=False)

    def body(self) -> dict[str, Json]:
        """Return its rules, for each direction that has any."""
        spec: dict[str, Json] = {"selector": "all()"}
        for direction, peer, networks in (("ingress", "source", self.deny_from), ("egress", "destination", self.deny_to)):
            if networks:
                nets: list[Json] = [str(network) for network in networks]
                spec[direction] = [{"action": "Deny", peer: {"nets": nets}}, {"action": "Allow"}]
        return {"spec": spec}
