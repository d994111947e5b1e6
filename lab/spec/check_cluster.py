"""Whether a cluster makes sense: pods and blocks inside its pod CIDR, services inside its service CIDR, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

from lab.errors import InputError, Place
from lab.spec.document import Path
from lab.spec.findings import Mistakes, dangling, overlap, overlaps, twice, within
from lab.spec.load import Loaded
from lab.spec.topology import Cluster, Topology
from lab.spec.values import Address, Network

SMALLEST_SERVICE_CIDR = 28
"""The API has its address 1, DNS its address 10."""


def check_cluster(loaded: Loaded[Topology], name: str) -> Mistakes:
    """Yield everything in a cluster that contradicts itself."""
    cluster = loaded.model.clusters[name]
    path: Path = ("clusters", name)
    size = cluster.cni.block_size
    if cluster.cni.plugin == "calico" and cluster.pod_cidr.prefixlen > size:
        place = loaded.place(*path, "pod_cidr")
        yield InputError(
            f"the pod CIDR {cluster.pod_cidr} is smaller than one IPAM block (/{size})", place=place, hint="see `block_size` of `cni`"
        )
    if cluster.service_cidr.prefixlen > SMALLEST_SERVICE_CIDR:
        place = loaded.place(*path, "service_cidr")
        yield InputError(f"the service CIDR {cluster.service_cidr} is too small: a /{SMALLEST_SERVICE_CIDR} at least", place=place)
        return
    if cluster.dns_node is not None and cluster.dns_node not in cluster.nodes:
        yield dangling("node", cluster.dns_node, cluster.nodes, loaded.place(*path, "dns_node"), " in this cluster")
    yield from _dns(loaded, cluster, path)
    yield from _nodes(loaded, cluster, path)
    yield from _services(loaded, cluster, path)
    policies = ((repr(policy.name), loaded.place(*path, "policies", index, "name")) for index, policy in enumerate(cluster.policies))
    yield from twice("the name", policies, loaded.document.file)


def _dns(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    dns, servers = cluster.dns, [name for name, host in loaded.model.hosts.items() if host.dns is not None]
    if dns.upstream is not None and dns.upstream not in servers:
        yield dangling("DNS server", dns.upstream, servers, loaded.place(*path, "dns", "upstream"))
    if dns.lighthouse is not None and dns.lighthouse not in cluster.service_cidr:
        place = loaded.place(*path, "dns", "lighthouse")
        yield InputError(f"{dns.lighthouse} lies outside the service CIDR {cluster.service_cidr}", place=place)


def _nodes(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    yield from _blocks(loaded, cluster, path)
    yield from _node_cidrs(loaded, cluster, path)
    yield from twice("the address", _pod_addresses(loaded, cluster, path), loaded.document.file)
    for node_name, node in cluster.nodes.items():
        for pod_name, pod in node.pods.items():
            pod_path = (*path, "nodes", node_name, "pods", pod_name)
            if pod.address is not None and pod.address not in cluster.pod_cidr:
                place = loaded.place(*pod_path, "address")
                yield InputError(f"the pod's address {pod.address} lies outside the pool {cluster.pod_cidr}", place=place)
            ports = ((f"{serve.port}/{serve.protocol}", loaded.place(*pod_path, "serves", i)) for i, serve in enumerate(pod.serves))
            yield from twice("the port", ports, loaded.document.file)


def _blocks(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    blocks = [
        (block, loaded.place(*path, "nodes", node_name, "blocks", index))
        for node_name, node in cluster.nodes.items()
        for index, block in enumerate(node.blocks)
    ]
    for block, place in blocks:
        if not within(block, cluster.pod_cidr):
            yield InputError(f"the block {block} lies outside the pod CIDR {cluster.pod_cidr}", place=place)
        elif block.prefixlen != cluster.cni.block_size:
            yield InputError(f"the block {block} is not a /{cluster.cni.block_size}, the cluster's block size", place=place)
    yield from _overlapping("the block", blocks, loaded.document.file)


def _node_cidrs(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    cidrs = [
        (node.pod_cidr, loaded.place(*path, "nodes", name, "pod_cidr")) for name, node in cluster.nodes.items() if node.pod_cidr is not None
    ]
    for cidr, place in cidrs:
        if not within(cidr, cluster.pod_cidr):
            yield InputError(f"the node's pod CIDR {cidr} lies outside the cluster's {cluster.pod_cidr}", place=place)
    yield from _overlapping("the node's pod CIDR", cidrs, loaded.document.file)


def _overlapping(what: str, ranges: list[tuple[Network, Place]], file: str) -> Mistakes:
    for (first, there), (second, place) in overlaps(ranges):
        yield overlap((f"{what} {first}", there), (f"{what} {second}", place), file)


def _pod_addresses(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Iterator[tuple[Address, Place]]:
    for node_name, node in cluster.nodes.items():
        for pod_name, pod in node.pods.items():
            if pod.address is not None:
                yield pod.address, loaded.place(*path, "nodes", node_name, "pods", pod_name, "address")


def _services(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    known = {pod: None for node in cluster.nodes.values() for pod in node.pods}
    cidr = cluster.service_cidr
    reserved = {cidr[0]: "is the network's own", cidr[1]: "belongs to the kubernetes API", cidr[10]: "belongs to the cluster's DNS"}
    addresses: list[tuple[Address, Place]] = []
    for name, service in cluster.services.items():
        for index, pod in enumerate(service.pods):
            if pod not in known:
                yield dangling("pod", pod, known, loaded.place(*path, "services", name, "pods", index), " in this cluster")
        if service.address is None:
            continue
        place = loaded.place(*path, "services", name, "address")
        addresses.append((service.address, place))
        if service.address not in cidr:
            yield InputError(f"the service's address {service.address} lies outside {cidr}", place=place)
        elif service.address in reserved:
            yield InputError(f"the address {service.address} {reserved[service.address]}", place=place)
    yield from twice("the address", addresses, loaded.document.file)
