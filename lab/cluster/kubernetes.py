"""What a cluster's API server holds: Kubernetes' own objects, Calico's, and the components whose flags others look for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Network
from typing import Final

from lab.cluster.api import ApiServer
from lab.cluster.objects import (
    SERVICE_NAME_LABEL,
    ConfigMap,
    Container,
    DaemonSet,
    EndpointSlice,
    GlobalNetworkPolicy,
    IPAMBlock,
    IPPool,
    Node,
    Pod,
    Service,
    ServiceExport,
    ServicePort,
    VxlanMode,
)
from lab.cluster.world import LIGHTHOUSE_NAMESPACE, ClusterFacts, NodeFacts, PodFacts, v4
from lab.state.objects import Network
from lab.state.provenance import Provenance

DEFAULT_POOL: Final = "default-ipv4-ippool"
IPV6_POOL: Final = "default-ipv6-ippool"
API_PORT: Final = 6443
GATEWAY_LABEL: Final = "submariner.io/gateway"
TUNNEL_ANNOTATION: Final = "projectcalico.org/IPv4VXLANTunnelAddr"
"""The address of a node's vxlan.calico (Calico node/pkg/allocateip)."""
TUNNEL6_ANNOTATION: Final = "projectcalico.org/IPv6VXLANTunnelAddr"
"""The same of vxlan-v6.calico."""
VXLAN_MODES: Final[dict[str, VxlanMode]] = {"vxlan": "Always", "vxlan-cross-subnet": "CrossSubnet", "none": "Never"}
LIGHTHOUSE: Final = "submariner-lighthouse-coredns"
DNS_PORTS: Final = (ServicePort(53, 53, "udp", "dns"), ServicePort(53, 53, "tcp", "dns-tcp"))


def install(api: ApiServer, cluster: ClusterFacts) -> None:
    """Write what a cluster's API server holds before its first node has joined."""
    if cluster.calico:
        _install_calico(api, cluster)
    elif cluster.spec.cni.plugin == "flannel" and cluster.spec.distribution != "k3s":
        _install_flannel(api, cluster)
    why = Provenance("kubernetes", "service of the API", because=(cluster.provenance,))
    https = (ServicePort(443, API_PORT, "tcp", "https"),)
    api.create(Service("kubernetes", "default", cluster.api_address, https, provenance=why))
    why = Provenance("kubernetes", "service of cluster DNS", because=(cluster.provenance,))
    api.create(Service("kube-dns", "kube-system", cluster.dns_address, DNS_PORTS, {"k8s-app": "kube-dns"}, provenance=why))
    if cluster.spec.dns.lighthouse is not None:
        why = Provenance("submariner", "service of Lighthouse's DNS", because=(cluster.provenance,))
        api.create(Service(LIGHTHOUSE, LIGHTHOUSE_NAMESPACE, v4(cluster.spec.dns.lighthouse), DNS_PORTS, provenance=why))
    for service in cluster.services.values():
        spec = service.spec
        ports = (ServicePort(spec.port, spec.target_port, spec.protocol),)
        outside = tuple(v4(address) for address in spec.external)
        api.create(
            Service(
                service.name,
                service.namespace,
                service.address,
                ports,
                external=outside,
                keeps_source=spec.keep_source,
                cluster_ip6=service.address6,
                families=spec.families,
                provenance=service.provenance,
            )
        )
        if spec.export:
            api.create(ServiceExport(service.name, service.namespace, provenance=service.provenance))


def join(api: ApiServer, cluster: ClusterFacts, node: NodeFacts) -> None:
    """Write what changes when a node joins: the node, its blocks, its pods, and the endpoints of services."""
    first = not api.list(Node)
    labels = {"kubernetes.io/hostname": node.name} | ({GATEWAY_LABEL: "true"} if node.gateway else {})
    tunnels = {TUNNEL_ANNOTATION: node.tunnel, TUNNEL6_ANNOTATION: node.tunnel6}
    annotations = {name: str(address) for name, address in tunnels.items() if address is not None}
    version = cluster.spec.kubernetes
    api.create(
        Node(
            node.name,
            node.address,
            node.pod_cidr,
            labels,
            annotations=annotations,
            kubelet=version,
            internal_ip6=node.address6,
            pod_cidr6=node.pod_cidr6,
            provenance=node.provenance,
        )
    )
    blocks: tuple[Network, ...] = (*node.blocks, *node.blocks6)
    for block in blocks:
        why = Provenance("calico ipam", f"affinity of node {node.name}", because=(node.provenance,))
        name = str(block).translate(str.maketrans(".:/", "---"))
        api.create(IPAMBlock(name, block, node.name, provenance=why))
    for component in _component_pods(cluster, node, server=first):
        api.create(component)
    for pod in node.pods:
        api.create(Pod(pod.name, pod.namespace, node.name, pod.address, address6=pod.address6, provenance=pod.provenance))
    for slice_ in _endpoint_slices(api, cluster):
        api.replace(slice_)


def _default_pool(cluster: ClusterFacts) -> IPPool:
    cni = cluster.spec.cni
    return IPPool(
        DEFAULT_POOL,
        cluster.pod_cidr,
        nat_outgoing=cni.nat_outgoing,
        vxlan_mode=VXLAN_MODES[cni.mode],
        block_size=cni.block_size,
        provenance=Provenance("calico", f"pool of {cluster.name}", because=(cluster.pod_cidr_written,)),
    )


def _ipv6_pool(cluster: ClusterFacts, cidr: IPv6Network) -> IPPool:
    """Return the second pool of a dual-stack cluster, as calico-node makes it (node/pkg/lifecycle/startup)."""
    cni = cluster.spec.cni
    why = Provenance("calico", f"IPv6 pool of {cluster.name}", because=(cluster.pod_cidr6_written,))
    return IPPool(
        IPV6_POOL,
        cidr,
        nat_outgoing=cni.nat_outgoing6,
        vxlan_mode=VXLAN_MODES[cni.mode6],
        block_size=cni.block_size6,
        provenance=why,
    )


def _install_flannel(api: ApiServer, cluster: ClusterFacts) -> None:
    """flannel's manifest has a DaemonSet and a ConfigMap; k3s runs it within its own process, without either."""
    why = Provenance("flannel", f"installation by {cluster.spec.distribution}", because=(cluster.provenance,))
    api.create(DaemonSet("kube-flannel-ds", "kube-system", {"app": "flannel"}, provenance=why))
    six = {} if cluster.pod_cidr6 is None else {"EnableIPv6": True, "IPv6Network": str(cluster.pod_cidr6)}
    network = json.dumps({"Network": str(cluster.pod_cidr), **six, "Backend": {"Type": cluster.spec.cni.mode}})
    api.create(ConfigMap("kube-flannel-cfg", "kube-system", {"net-conf.json": network}, provenance=why))


def _install_calico(api: ApiServer, cluster: ClusterFacts) -> None:
    """RKE2 installs Calico by its operator, the manifest others use has a ConfigMap."""
    api.create(_default_pool(cluster))
    if cluster.pod_cidr6 is not None:
        api.create(_ipv6_pool(cluster, cluster.pod_cidr6))
    for policy in cluster.spec.policies:
        why = Provenance("calico", f"policy {policy.name}", because=(cluster.provenance,))
        api.create(GlobalNetworkPolicy(policy.name, policy.deny_from, policy.deny_to, provenance=why))
    why = Provenance("calico", f"installation by {cluster.spec.distribution}", because=(cluster.provenance,))
    operator = cluster.spec.distribution == "rke2"
    api.create(DaemonSet("calico-node", "calico-system" if operator else "kube-system", {"k8s-app": "calico-node"}, provenance=why))
    if not operator:
        # Blocks of a pool without encapsulation are announced by BGP.
        routed = not cluster.vxlan or (cluster.pod_cidr6 is not None and not cluster.vxlan6)
        api.create(ConfigMap("calico-config", "kube-system", {"calico_backend": "bird" if routed else "vxlan"}, provenance=why))


# -- components ----------------------------------------------------------------------------------------------------


def _component_pods(cluster: ClusterFacts, node: NodeFacts, *, server: bool) -> Iterator[Pod]:
    """Yield the pods of Kubernetes' components on a node; the first node of a cluster is its server.

    kubeadm writes the flags of static pods into `command`, RKE2 into `args`; k3s runs everything in one process, without pods.
    kubeadm's kube-proxy reads a file and has no flag that tells the cluster's range.
    """
    distribution = cluster.spec.distribution
    if distribution == "k3s":
        return
    cidr = f"--cluster-cidr={_listed(cluster.pod_cidr, cluster.pod_cidr6)}"
    services = f"--service-cluster-ip-range={_listed(cluster.service_cidr, cluster.service_cidr6)}"
    if server:
        yield _component(cluster, node, "kube-apiserver", (services,))
        yield _component(cluster, node, "kube-controller-manager", ("--allocate-node-cidrs=true", cidr, services))
    if distribution == "rke2":
        yield _component(cluster, node, "kube-proxy", (cidr, "--proxy-mode=iptables"))
    else:
        yield _pod(
            cluster, node, "kube-proxy", Container("kube-proxy", ("kube-proxy", "--config=/var/lib/kube-proxy/config.conf")), "k8s-app"
        )


def _listed(*ranges: Network | None) -> str:
    """Return ranges as flags have them: a dual-stack cluster's IPv4 range first."""
    return ",".join(str(network) for network in ranges if network is not None)


def _component(cluster: ClusterFacts, node: NodeFacts, name: str, flags: tuple[str, ...]) -> Pod:
    container = Container(name, (name,), flags) if cluster.spec.distribution == "rke2" else Container(name, (name, *flags))
    return _pod(cluster, node, name, container, "component")


def _pod(cluster: ClusterFacts, node: NodeFacts, name: str, container: Container, label: str) -> Pod:
    why = Provenance(cluster.spec.distribution, f"{name} on {node.name}", because=(cluster.provenance,))
    pod_name = f"{name}-{node.name}"
    return Pod(pod_name, "kube-system", node.name, node.address, (container,), {label: name}, host_network=True, provenance=why)


# -- endpoints -----------------------------------------------------------------------------------------------------


def _endpoint_slices(api: ApiServer, cluster: ClusterFacts) -> Iterator[EndpointSlice]:
    """Yield the slices of all services as the nodes that are there make them."""
    nodes = [cluster.nodes[node.name] for node in api.list(Node)]
    pods = {pod.name: pod for node in nodes for pod in node.pods}
    server = nodes[0]
    yield _slice("kubernetes", "default", (server.address,), (ServicePort(443, API_PORT, "tcp", "https"),), (server.provenance,))
    for name, namespace, pod in (("kube-dns", "kube-system", cluster.dns_pod), (LIGHTHOUSE, LIGHTHOUSE_NAMESPACE, cluster.lighthouse_pod)):
        if pod is not None:
            dns = (pods[pod],) if pod in pods else ()
            yield _slice(name, namespace, tuple(p.address for p in dns), DNS_PORTS, tuple(p.provenance for p in dns))
    for service in cluster.services.values():
        spec = service.spec
        behind = tuple(pods[name] for name in spec.pods if name in pods)
        ports = (ServicePort(spec.port, spec.target_port, spec.protocol),)
        because = (service.provenance, *(pod.provenance for pod in behind))
        if "IPv4" in spec.families:
            yield _slice(service.name, service.namespace, tuple(pod.address for pod in behind), ports, because)
        if "IPv6" in spec.families:
            yield _slice6(service.name, service.namespace, behind, ports, because)


def _slice(
    service: str, namespace: str, addresses: tuple[IPv4Address, ...], ports: tuple[ServicePort, ...], because: tuple[Provenance, ...]
) -> EndpointSlice:
    why = Provenance("kubernetes", f"endpoints of service {namespace}/{service}", because=because)
    return EndpointSlice(service, namespace, addresses, ports, {SERVICE_NAME_LABEL: service}, provenance=why)


def _slice6(
    service: str, namespace: str, pods: tuple[PodFacts, ...], ports: tuple[ServicePort, ...], because: tuple[Provenance, ...]
) -> EndpointSlice:
    why = Provenance("kubernetes", f"IPv6 endpoints of service {namespace}/{service}", because=because)
    addresses = tuple(pod.address6 for pod in pods if pod.address6 is not None)
    labels = {SERVICE_NAME_LABEL: service}
    return EndpointSlice(f"{service}.ipv6", namespace, (), ports, labels, addresses6=addresses, family="IPv6", provenance=why)
