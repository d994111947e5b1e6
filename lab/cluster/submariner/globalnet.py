"""Globalnet: addresses that mean the same in every cluster, for clusters whose own ranges overlap.

What a pod sends to another cluster gets a global source on the gateway: its own GlobalEgressIP where one selects it, else one of the
cluster's. An exported service has a global address by an internal service with that as external address, which kube-proxy translates; a
pod of an exported headless service has a GlobalIngressIP, which the gateway translates. Nothing leads to an egress address.

Source: submariner:pkg/globalnet/constants/constants.go, pkg/globalnet/controllers/{base_controllers,gateway_monitor,
global_ingressip_controller,cluster_egressip_controller}.go, pkg/globalnet/controllers/packetfilter/iface.go. A cluster has eight egress
addresses; the lab translates to the first of them. Chains that stay empty here are left out.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from lab.cluster.api import ApiServer
from lab.cluster.objects import SERVICE_NAME_LABEL, EndpointSlice, Service, ServiceExport
from lab.cluster.rules import destination, jump, marked, rule, set_mark, source
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import POSTROUTING_CHAIN
from lab.cluster.submariner.objects import Subnet
from lab.cluster.submariner.operator import Ranges
from lab.cluster.world import World, v4_network
from lab.errors import InputError
from lab.spec.cluster import Submariner as Spec
from lab.state.nft import Chain, Nat, NftRule
from lab.state.provenance import Provenance

CLUSTER_PREFIX: Final = 16
CLUSTER_EGRESS: Final = 8
"""How many addresses every cluster has for pods that no GlobalEgressIP selects."""
MARK: Final = 0xC0000
EGRESS, INGRESS = "SUBMARINER-GN-EGRESS", "SUBMARINER-GN-INGRESS"
MARKING, PODS, CLUSTER = "SUBMARINER-GN-MARK", "SM-GN-EGRESS-PODS", "SM-GN-EGRESS-CLUSTER"
COMPONENT: Final = "submariner globalnet"
EXPORTED: Final = "submariner.io/exportedServiceRef"
"""The label of an internal service: whose it is."""


@dataclass(slots=True)
class GlobalAddresses:
    """A cluster's global range, and who has which address of it; addresses are handed out as they are asked for, and kept."""

    network: IPv4Network
    provenance: Provenance
    egress: Mapping[IPv4Address, tuple[IPv4Address, Provenance]] = field(default_factory=dict)
    """Pods' own addresses to their GlobalEgressIPs."""
    ingress: Mapping[IPv4Address, tuple[IPv4Address, Provenance]] = field(default_factory=dict)
    """GlobalIngressIPs to the pods they lead to."""
    services: dict[tuple[str, str], IPv4Address] = field(default_factory=dict)
    used: int = CLUSTER_EGRESS

    @property
    def of_cluster(self) -> IPv4Address:
        """The source of what no GlobalEgressIP selects."""
        return self.network.network_address + 1

    def next(self) -> IPv4Address:
        """Hand out the next address."""
        self.used += 1
        return self.network.network_address + self.used

    def of_service(self, namespace: str, name: str) -> IPv4Address:
        """Return an exported service's address."""
        if (namespace, name) not in self.services:
            self.services[namespace, name] = self.next()
        return self.services[namespace, name]


def global_addresses(spec: Spec, world: World) -> dict[str, GlobalAddresses]:
    """Return what each cluster has, nothing without Globalnet. Raises InputError where the range is too small."""
    if spec.globalnet is None:
        return {}
    why = world.written("submariner", "globalnet")
    pool = v4_network(spec.globalnet, why.place)
    if pool.prefixlen > CLUSTER_PREFIX or len(world.clusters) > 1 << (CLUSTER_PREFIX - pool.prefixlen):
        raise InputError(f"{pool} has no /{CLUSTER_PREFIX} for each of {len(world.clusters)} clusters", place=why.place)
    networks = pool.subnets(new_prefix=CLUSTER_PREFIX)
    return {name: _of_pods(world, name, GlobalAddresses(network, why)) for name, network in zip(world.clusters, networks, strict=False)}


def _of_pods(world: World, cluster: str, addresses: GlobalAddresses) -> GlobalAddresses:
    written = {pod: values for node in world.clusters[cluster].spec.nodes.values() for pod, values in node.pods.items()}
    pods = [pod for pod in world.clusters[cluster].pods if pod.name in written]
    addresses.egress = {
        pod.address: (addresses.next(), Provenance(COMPONENT, f"GlobalEgressIP of pod {pod.name}", because=(pod.provenance,)))
        for pod in pods
        if written[pod.name].global_egress
    }
    addresses.ingress = {
        addresses.next(): (pod.address, Provenance(COMPONENT, f"GlobalIngressIP of pod {pod.name}", because=(pod.provenance,)))
        for pod in pods
        if written[pod.name].global_ingress
    }
    return addresses


def translate(host: Host, addresses: GlobalAddresses, ranges: Ranges, remote: Sequence[Subnet]) -> None:
    """Program the gateway's node: mark what goes to other clusters, give it a global source, lead global destinations to pods."""
    why = Provenance(COMPONENT, f"Globalnet on {host.name}", because=(addresses.provenance,))
    for name, rules in (
        (MARKING, _marking(remote)),
        (PODS, _egress_of_pods(addresses)),
        (CLUSTER, _egress_of_cluster(addresses, ranges, why)),
        (EGRESS, (rule(then=jump(chain), why=why) for chain in (MARKING, PODS, CLUSTER))),
        (INGRESS, _ingress(addresses)),
    ):
        host.put_chain("nat", Chain(name, tuple(rules), provenance=why))
    host.prepend_unique("nat", POSTROUTING_CHAIN, rule(then=jump(EGRESS), why=why))
    host.prepend_unique("nat", "PREROUTING", rule(then=jump(INGRESS), why=why))


def _marking(remote: Sequence[Subnet]) -> Iterator[NftRule]:
    for subnet in remote:
        yield rule(destination(subnet.network), then=set_mark(MARK), why=subnet.provenance)


def _egress_of_pods(addresses: GlobalAddresses) -> Iterator[NftRule]:
    for pod, (address, why) in addresses.egress.items():
        yield rule(source(pod), marked(MARK), then=Nat("snat", address=address), why=why)


def _egress_of_cluster(addresses: GlobalAddresses, ranges: Ranges, why: Provenance) -> Iterator[NftRule]:
    for subnet in (ranges.pods, ranges.services):
        yield rule(source(subnet.network), marked(MARK), then=Nat("snat", address=addresses.of_cluster), why=why)


def _ingress(addresses: GlobalAddresses) -> Iterator[NftRule]:
    for address, (pod, why) in addresses.ingress.items():
        yield rule(destination(address), then=Nat("dnat", address=pod), why=why)


def internal_name(service: str) -> str:
    """Return the name of the internal service of an exported one."""
    digest = base64.b32encode(hashlib.sha256(service.encode()).digest()).decode().lower()
    return f"submariner-{digest[:32]}"


def expose_services(api: ApiServer, addresses: GlobalAddresses) -> None:
    """Have an internal service with a global address for every export, and none for what is no longer exported."""
    wanted = {(export.namespace, internal_name(export.name)): export for export in api.list(ServiceExport)}
    for there in api.list(Service):
        if EXPORTED in there.labels and (there.namespace, there.name) not in wanted:
            api.delete(Service, there.name, there.namespace)
            api.delete(EndpointSlice, there.name, there.namespace)
    for (namespace, name), export in wanted.items():
        exported = api.get(Service, export.name, namespace)
        behind = api.get(EndpointSlice, export.name, namespace)
        if exported is None or behind is None:
            continue
        address = addresses.of_service(namespace, export.name)
        why = Provenance(COMPONENT, f"global address {address} of service {export.name}", because=(export.provenance,))
        labels = {EXPORTED: export.name}
        api.replace(replace(exported, name=name, labels=labels, external=(address,), keeps_source=False, provenance=why))
        api.replace(replace(behind, name=name, labels={SERVICE_NAME_LABEL: name}, provenance=why))


def global_address(api: ApiServer, service: Service) -> IPv4Address | None:
    """Return the global address of an exported service, None without Globalnet."""
    internal = api.get(Service, internal_name(service.name), service.namespace)
    return internal.external[0] if internal is not None and internal.external else None
