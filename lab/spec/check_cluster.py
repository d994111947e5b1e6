"""Whether a cluster makes sense: pods and blocks inside its pod CIDR, services inside its service CIDR, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

from lab.errors import InputError, Place
from lab.spec.check_bgp import check_bgp
from lab.spec.cluster import Cluster
from lab.spec.document import Path
from lab.spec.findings import Mistakes, dangling, overlap, overlaps, twice, within
from lab.spec.load import Loaded
from lab.spec.topology import Topology
from lab.spec.values import Address, Network

SMALLEST_SERVICE_CIDR = 28
"""The API has its address 1, DNS its address 10."""
SERVICE_CIDR6 = range(108, 125)
"""Prefix lengths of a service CIDR of IPv6: the API server takes none of more than 20 bits (kubernetes cmd/kube-apiserver/app/options)."""
SMALLEST_MTU6 = 1280
"""Bytes that every IPv6 link carries (RFC 8200, section 5): on a device with a smaller MTU Linux has no IPv6."""
NODE_CIDR6_PREFIX = 64
"""Length of the IPv6 one of node.spec.podCIDRs (kube-controller-manager, --node-cidr-mask-size-ipv6)."""
VXLAN_OVERHEAD = {4: 50, 6: 70}
"""Bytes of Ethernet, IP, UDP and VXLAN headers, by version of IP; Calico leaves room in every packet of a pod for the longer in use."""


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
    yield from check_bgp(loaded, cluster, path)
    yield from _nodes(loaded, cluster, path)
    yield from _services(loaded, cluster, path)
    yield from _dual_stack(loaded, cluster, path)
    policies = ((repr(policy.name), loaded.place(*path, "policies", index, "name")) for index, policy in enumerate(cluster.policies))
    yield from twice("the name", policies, loaded.document.file)


def _dual_stack(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    """Check what makes a cluster dual stack, or that nothing in it asks for IPv6."""
    pods, services, size = cluster.pod_cidr6, cluster.service_cidr6, cluster.cni.block_size6
    if pods is None:
        yield from _without_ipv6(loaded, cluster, path)
        return
    place = loaded.place(*path, "pod_cidr6")
    if cluster.cni.plugin == "bridge":
        hint = "Calico's and flannel's may be dual stack"
        yield InputError(f"with `plugin: {cluster.cni.plugin}` pods are emulated with IPv4 only", place=place, hint=hint)
    elif cluster.cni.plugin == "flannel":
        room = (1 << NODE_CIDR6_PREFIX) >> pods.prefixlen
        if room < len(cluster.nodes):
            hint = f"a /{NODE_CIDR6_PREFIX} for each node"
            yield InputError(f"the pod CIDR {pods} has room for {room} of {len(cluster.nodes)} nodes", place=place, hint=hint)
    elif pods.prefixlen > size:
        yield InputError(f"the pod CIDR {pods} is smaller than one IPAM block (/{size})", place=place, hint="see `block_size6` of `cni`")
    if services is None:
        yield from _no_services(loaded, cluster, path)
    elif services.prefixlen not in SERVICE_CIDR6:
        wanted = f"the API server takes a /{SERVICE_CIDR6[0]} to a /{SERVICE_CIDR6[-1]}"
        yield InputError(f"the service CIDR {services} has the wrong size", place=loaded.place(*path, "service_cidr6"), hint=wanted)
    yield from _underlay6(loaded, cluster, path)
    yield from _pods6(loaded, cluster, path)


def _without_ipv6(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    hint = f"give {path[-1]!r} a `pod_cidr6`"
    if cluster.cni.mode6 != "none":
        yield InputError(f"{path[-1]!r} has no IPv6 pool", place=loaded.place(*path, "cni", "mode6"), hint=hint)
    if cluster.service_cidr6 is not None:
        yield InputError("IPv6 services lead to pods with IPv6 addresses", place=loaded.place(*path, "service_cidr6"), hint=hint)
    else:
        yield from _no_services(loaded, cluster, path)
    for name, node in cluster.nodes.items():
        if node.blocks6:
            yield InputError(f"{path[-1]!r} has no IPv6 pool", place=loaded.place(*path, "nodes", name, "blocks6"), hint=hint)
        for pod_name, pod in node.pods.items():
            if pod.address6 is not None:
                place = loaded.place(*path, "nodes", name, "pods", pod_name, "address6")
                yield InputError(f"pods of {path[-1]!r} have no IPv6 address", place=place, hint=hint)


def _no_services(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    for name, service in cluster.services.items():
        if "IPv6" in service.families:
            place = loaded.place(*path, "services", name, "families")
            yield InputError(f"{path[-1]!r} has no IPv6 addresses for services", place=place, hint="give it a `service_cidr6`")


def _underlay6(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    """Nodes have IPv6 addresses, and their links room for IPv6 in pods. Without encapsulation every node is the next hop of its pods, so
    all of them are neighbours."""
    cni = cluster.cni
    tunnelled = (cni.mode if cni.plugin == "flannel" else cni.mode6) == "vxlan"
    on: dict[str, Path] = {cluster.segment: (*path, "segment")}
    for name, node in cluster.nodes.items():
        if node.segment is None or node.segment == cluster.segment:
            continue
        place = loaded.place(*path, "nodes", name, "segment")
        if not tunnelled:
            hint = "pods' IPv6 packets go unencapsulated here, and no router knows where to; see `mode6` of `cni`"
            hint = hint if cni.plugin == "calico" else hint.replace("mode6", "mode")
            yield InputError(f"the nodes of a dual-stack cluster are on one segment, {cluster.segment!r}", place=place, hint=hint)
        else:
            on.setdefault(node.segment, (*path, "nodes", name, "segment"))
    modes = {4: cni.mode, 6: cni.mode if cni.plugin == "flannel" else cni.mode6}
    needed = SMALLEST_MTU6 + max(VXLAN_OVERHEAD[version] if mode.startswith("vxlan") else 0 for version, mode in modes.items())
    for name, written in on.items():
        segment = loaded.model.segments.get(name)
        if segment is None:
            continue
        if segment.cidr6 is None:
            hint = f"give it `cidr6`: the nodes of {path[-1]!r} are dual stack"
            yield InputError(f"the segment {name!r} has no IPv6 network", place=loaded.place(*written), hint=hint)
        if segment.mtu < needed:
            hint = f"{name!r} needs {needed}: pods have what encapsulation leaves, and IPv6 {SMALLEST_MTU6} at least"
            what = f"an MTU of {segment.mtu} is too small for IPv6 in pods"
            yield InputError(what, place=loaded.place("segments", name, "mtu"), hint=hint)


def _pods6(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    pods, size = cluster.pod_cidr6, cluster.cni.block_size6
    assert pods is not None
    blocks: list[tuple[Network, Place]] = []
    addresses: list[tuple[Address, Place]] = []
    for node_name, node in cluster.nodes.items():
        for index, block in enumerate(node.blocks6):
            place = loaded.place(*path, "nodes", node_name, "blocks6", index)
            blocks.append((block, place))
            if not within(block, pods):
                yield InputError(f"the block {block} lies outside the pod CIDR {pods}", place=place)
            elif block.prefixlen != size:
                yield InputError(f"the block {block} is not a /{size}, the cluster's block size for IPv6", place=place)
        for pod_name, pod in node.pods.items():
            if pod.address6 is not None:
                place = loaded.place(*path, "nodes", node_name, "pods", pod_name, "address6")
                addresses.append((pod.address6, place))
                if pod.address6 not in pods:
                    yield InputError(f"the pod's address {pod.address6} lies outside the pool {pods}", place=place)
    yield from _overlapping("the block", blocks, loaded.document.file)
    yield from twice("the address", addresses, loaded.document.file)


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
    for name, service in cluster.services.items():
        for index, pod in enumerate(service.pods):
            if pod not in known:
                yield dangling("pod", pod, known, loaded.place(*path, "services", name, "pods", index), " in this cluster")
    yield from _cluster_ips(loaded, cluster, path, "address", cluster.service_cidr)
    if cluster.service_cidr6 is not None:
        yield from _cluster_ips(loaded, cluster, path, "address6", cluster.service_cidr6)


def _cluster_ips(loaded: Loaded[Topology], cluster: Cluster, path: Path, key: str, cidr: Network) -> Mistakes:
    reserved = {cidr[0]: "is the network's own", cidr[1]: "belongs to the kubernetes API", cidr[10]: "belongs to the cluster's DNS"}
    addresses: list[tuple[Address, Place]] = []
    for name, service in cluster.services.items():
        address: Address | None = getattr(service, key)
        if address is None:
            continue
        place = loaded.place(*path, "services", name, key)
        addresses.append((address, place))
        if address not in cidr:
            yield InputError(f"the service's address {address} lies outside {cidr}", place=place)
        elif address in reserved:
            yield InputError(f"the address {address} {reserved[address]}", place=place)
    yield from twice("the address", addresses, loaded.document.file)
