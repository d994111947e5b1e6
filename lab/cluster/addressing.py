"""From a topology to the addresses of its clusters: every node's blocks, every pod's and service's address, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from lab.cluster.ipam import Ipam, PoolExhausted
from lab.cluster.sysctls import sysctl_paths
from lab.cluster.world import (
    LIGHTHOUSE_NAMESPACE,
    ClusterFacts,
    NodeFacts,
    Places,
    PodFacts,
    ServiceFacts,
    World,
    address6_on,
    nowhere,
    v4,
    v4_network,
    v6,
    v6_network,
)
from lab.errors import InputError, did_you_mean
from lab.spec.cluster import Cluster, Node, Service
from lab.spec.selectors import dns_pods
from lab.spec.topology import Topology
from lab.spec.values import IpFamily
from lab.state.objects import Address, Network
from lab.state.provenance import Provenance

NODE_CIDR_PREFIX: Final = 24
"""Length of node.spec.podCIDR (kube-controller-manager, --node-cidr-mask-size)."""
NODE_CIDR6_PREFIX: Final = 64
"""The same of IPv6 (--node-cidr-mask-size-ipv6)."""
API_SERVICE_HOST, DNS_SERVICE_HOST, FIRST_SERVICE_HOST = 1, 10, 100
"""Which hosts of the service CIDR the API, DNS and the first service of a file get."""


def build_world(topology: Topology, place: Places = nowhere) -> World:
    """Work out all addresses of a topology; raises InputError where it asks for one that cannot be had."""
    world = World(topology, {}, place)
    return World(topology, {name: _cluster(world, name, spec) for name, spec in topology.clusters.items()}, place)


def _cluster(world: World, name: str, spec: Cluster) -> ClusterFacts:
    pod_cidr = v4_network(spec.pod_cidr, world.place("clusters", name, "pod_cidr"))
    service_cidr = v4_network(spec.service_cidr, world.place("clusters", name, "service_cidr"))
    dns_node = spec.dns_node or next(iter(spec.nodes))
    dns_pod, *lighthouse = dns_pods(name, spec)
    pod_cidrs = _node_cidrs(spec, pod_cidr)
    if spec.cni.plugin == "calico":
        addresses = _assign(world, name, spec, pod_cidr, dns_node, (dns_pod, *lighthouse))
    else:
        addresses = _assign_locally(world, name, spec, pod_cidrs, dns_node, (dns_pod, *lighthouse))
    pod_cidrs6, addresses6 = _node_cidrs6(spec), _NONE
    if spec.pod_cidr6 is not None and spec.cni.plugin == "calico":
        addresses6 = _assign(world, name, spec, spec.pod_cidr6, dns_node, (dns_pod, *lighthouse))
    elif spec.pod_cidr6 is not None:
        addresses6 = _assign_locally(world, name, spec, pod_cidrs6, dns_node, (dns_pod, *lighthouse), version=6)
    bridged = spec.cni.plugin != "calico"

    def address6(pod: str) -> IPv6Address | None:
        return v6(addresses6.pods[pod]) if pod in addresses6.pods else None

    def facts(node: str, written: Node) -> NodeFacts:
        pods: list[PodFacts] = []
        if node == dns_node:
            for pod, namespace in ((dns_pod, "kube-system"), *((pod, LIGHTHOUSE_NAMESPACE) for pod in lighthouse)):
                reason = Provenance("kubernetes", f"DNS of {name}", because=(world.written("clusters", name),))
                pods.append(PodFacts(pod, namespace, name, node, v4(addresses.pods[pod]), (), bridged, reason, address6(pod)))
        for pod, values in written.pods.items():
            reason = world.written("clusters", name, "nodes", node, "pods", pod)
            address = v4(addresses.pods[pod])
            pods.append(PodFacts(pod, values.namespace, name, node, address, values.serves, bridged, reason, address6(pod)))
        on = written.segment or spec.segment
        segment = world.topology.segments[on]
        gateway = spec.gateway if spec.gateway and spec.gateway in segment.cidr else _router_of(world.topology, on)
        return NodeFacts(
            name=node,
            cluster=name,
            segment=on,
            interface=IPv4Interface(f"{v4(written.address)}/{segment.host_prefix or segment.cidr.prefixlen}"),
            gateway=written.gateway,
            mtu=segment.mtu,
            default_gateway=v4(gateway) if gateway else None,
            pod_cidr=pod_cidrs[node],
            blocks=tuple(map(v4_network, addresses.blocks.get(node, ()))),
            tunnel=v4(addresses.tunnels[node]) if node in addresses.tunnels else None,
            pods=tuple(pods),
            sysctls={**sysctl_paths(spec.sysctls), **sysctl_paths(written.sysctls)},
            written=written,
            provenance=world.written("clusters", name, "nodes", node),
            address6=None if spec.pod_cidr6 is None else address6_on(world.topology, on, written.address, written.ipv6),
            blocks6=tuple(map(v6_network, addresses6.blocks.get(node, ()))),
            pod_cidr6=pod_cidrs6.get(node),
            tunnel6=v6(addresses6.tunnels[node]) if node in addresses6.tunnels else None,
        )

    return ClusterFacts(
        name=name,
        spec=spec,
        pod_cidr=pod_cidr,
        service_cidr=service_cidr,
        nodes={node: facts(node, written) for node, written in spec.nodes.items()},
        services=_services(world, name, spec, service_cidr),
        pod_cidr6_written=world.written("clusters", name, "pod_cidr6"),
        pod_cidr6=spec.pod_cidr6,
        service_cidr6=spec.service_cidr6,
        api_address=service_cidr.network_address + API_SERVICE_HOST,
        dns_address=service_cidr.network_address + DNS_SERVICE_HOST,
        dns_pod=dns_pod,
        lighthouse_pod=next(iter(lighthouse), None),
        provenance=world.written("clusters", name),
        pod_cidr_written=world.written("clusters", name, "pod_cidr"),
    )


@dataclass(frozen=True, slots=True)
class _Addresses:
    blocks: Mapping[str, tuple[Network, ...]]
    tunnels: Mapping[str, Address]
    pods: Mapping[str, Address]


_NONE: Final = _Addresses({}, {}, {})


def _assign(world: World, cluster: str, spec: Cluster, pool: Network, dns_node: str, dns_pods: Sequence[str]) -> _Addresses:
    """Hand out addresses: first every tunnel its own, then to pods that ask for one, then to the DNS pod and to all others in order."""
    four = pool.version == 4
    fixed = {node: blocks for node, values in spec.nodes.items() if (blocks := values.blocks if four else values.blocks6)}
    ipam = Ipam(pool, spec.cni.block_size if four else spec.cni.block_size6, fixed, strict=spec.cni.strict_affinity)
    tunnels: dict[str, Address] = {}
    pods: dict[str, Address] = {}
    wanted = [(node, pod, p.address if four else p.address6) for node, n in spec.nodes.items() for pod, p in n.pods.items()]
    at: tuple[str, ...] = ("clusters", cluster, "pod_cidr" if four else "pod_cidr6")
    try:
        if (spec.cni.mode if four else spec.cni.mode6) != "none":
            tunnels |= {node: ipam.assign(node) for node in spec.nodes}
        for node, pod, asked in wanted:
            if asked is not None:
                at = ("clusters", cluster, "nodes", node, "pods", pod, "address" if four else "address6")
                pods[pod] = asked
                ipam.reserve(node, asked)
        at = ("clusters", cluster, "pod_cidr" if four else "pod_cidr6")
        pods |= {pod: ipam.assign(dns_node) for pod in dns_pods}
        for node, pod, asked in wanted:
            if asked is None:
                pods[pod] = ipam.assign(node)
    except PoolExhausted as exhausted:
        raise InputError(f"Calico IPAM of {cluster}: {exhausted}", place=world.place(*at)) from None
    return _Addresses({node: ipam.blocks(node) for node in spec.nodes}, tunnels, pods)


def _assign_locally(
    world: World,
    cluster: str,
    spec: Cluster,
    cidrs: Mapping[str, Network | None],
    dns_node: str,
    dns_pods: Sequence[str],
    *,
    version: int = 4,
) -> _Addresses:
    """Hand out addresses of each node's podCIDR in order, its first two left out (host-local IPAM): those asked for, DNS, all others."""
    pods: dict[str, Address] = {}
    suffix = "" if version == 4 else "6"
    for node, written in spec.nodes.items():
        path, cidr = ("clusters", cluster, "nodes", node), cidrs.get(node)
        if cidr is None:
            hint = f"enlarge the cluster's `pod_cidr{suffix}`"
            raise InputError(f"no podCIDR is left for node {node}", place=world.place(*path), hint=hint)
        for pod, values in written.pods.items():
            asked = values.address if version == 4 else values.address6
            if asked is not None:
                pods[pod] = asked
                if asked not in cidr or int(asked) - 2 < int(cidr.network_address):
                    place = world.place(*path, "pods", pod, f"address{suffix}")
                    raise InputError(f"the pod's address {asked} is none that node {node} gives to pods ({cidr})", place=place)
        taken = set(pods.values())
        free = (cidr.network_address + host for host in range(2, cidr.num_addresses - 1))
        unused = (address for address in free if address not in taken)
        for pod in (*(dns_pods if node == dns_node else ()), *(pod for pod in written.pods if pod not in pods)):
            address = next(unused, None)
            if address is None:
                raise InputError(f"{cidr} has no address left for pod {pod}", place=world.place(*path, "pods"))
            pods[pod] = address
    return _Addresses({}, {}, pods)


def _node_cidrs(spec: Cluster, pool: IPv4Network) -> dict[str, IPv4Network | None]:
    taken = [v4_network(node.pod_cidr) for node in spec.nodes.values() if node.pod_cidr is not None]
    free = (c for c in pool.subnets(new_prefix=max(NODE_CIDR_PREFIX, pool.prefixlen)) if not any(c.overlaps(t) for t in taken))
    return {name: next(free, None) if node.pod_cidr is None else v4_network(node.pod_cidr) for name, node in spec.nodes.items()}


def _node_cidrs6(spec: Cluster) -> dict[str, IPv6Network]:
    """Return each node's part of the pod CIDR of IPv6, as long as there are any."""
    if spec.pod_cidr6 is None:
        return {}
    return dict(zip(spec.nodes, spec.pod_cidr6.subnets(new_prefix=max(NODE_CIDR6_PREFIX, spec.pod_cidr6.prefixlen)), strict=False))


def _unused(cidr: Network, written: Iterable[Address | None]) -> Iterator[Address]:
    """Yield the addresses that services without one get, in order."""
    base = cidr.network_address
    taken = {base + API_SERVICE_HOST, base + DNS_SERVICE_HOST, *written}
    return (base + host for host in range(FIRST_SERVICE_HOST, cidr.num_addresses - 1) if base + host not in taken)


def _services(world: World, cluster: str, spec: Cluster, cidr: IPv4Network) -> dict[str, ServiceFacts]:
    known = [pod for node in spec.nodes.values() for pod in node.pods]
    free = _unused(cidr, (service.address for service in spec.services.values()))
    cidr6 = spec.service_cidr6
    free6 = iter(()) if cidr6 is None else _unused(cidr6, (service.address6 for service in spec.services.values()))

    def address_of(service: Service, family: IpFamily, path: tuple[str, ...]) -> Address | None:
        """Return the address that a service has of one of its families."""
        if family not in service.families:
            return None
        written, unused, network = (service.address, free, cidr) if family == "IPv4" else (service.address6, free6, cidr6)
        address = next(unused, None) if written is None else written
        if address is None or network is None or address not in network:
            raise InputError(f"no address of {network} for service {path[-1]}", place=world.place(*path))
        return address

    services: dict[str, ServiceFacts] = {}
    for name, service in spec.services.items():
        path = ("clusters", cluster, "services", name)
        for pod in service.pods:
            if pod not in known:
                raise InputError(
                    f"service {name} names a pod {pod!r}", place=world.place(*path, "pods"), hint=did_you_mean(pod, known, "pod")
                )
        four, six = address_of(service, "IPv4", path), address_of(service, "IPv6", path)
        address, address6 = None if four is None else v4(four), None if six is None else v6(six)
        services[name] = ServiceFacts(name, service.namespace, cluster, address, address6, service, world.written(*path))
    return services


def _router_of(topology: Topology, segment: str) -> IPv4Address | IPv6Address | None:
    return next((router.interfaces[segment] for router in topology.routers.values() if segment in router.interfaces), None)
