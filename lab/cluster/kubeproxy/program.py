"""kube-proxy on the nodes: its chains follow the API, its jumps are put in front once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from lab.cluster.emulation import Emulation
from lab.cluster.kubeproxy.chains import PortOfService, filter_chains, nat_chains, service_ports
from lab.cluster.rules import IpTable, built_in, jump, put_chain, rule, states
from lab.cluster.world import ClusterFacts
from lab.state.builder import NamespaceBuilder
from lab.state.nft import NftRule
from lab.state.objects import Network
from lab.state.provenance import Provenance

DROPS_INVALID_SINCE = 15
"""The minor version of Kubernetes whose kube-proxy first drops what is INVALID (kubernetes PR 74840)."""


def sync(lab: Emulation, cluster: ClusterFacts) -> None:
    """Bring the chains on all nodes of a cluster in line with its Services and EndpointSlices."""
    api = lab.apis[cluster.name]
    _sync(lab, cluster, service_ports(api), cluster.pod_cidr, "ip")
    if cluster.pod_cidr6 is not None:
        _sync(lab, cluster, service_ports(api, 6), cluster.pod_cidr6, "ip6")


def _sync(lab: Emulation, cluster: ClusterFacts, ports: tuple[PortOfService, ...], pod_cidr: Network, family: IpTable) -> None:
    """Bring the chains of a family in line with the ports of services; of a dual-stack cluster kube-proxy runs twice, once for each."""
    why = Provenance("kube-proxy", f"kube-proxy of {cluster.name}", because=(cluster.provenance,))
    versioned = replace(why, because=(*why.because, lab.world.written("clusters", cluster.name, "kubernetes")))
    filtering = filter_chains(ports, versioned, drops_invalid=_minor(cluster.spec.kubernetes) >= DROPS_INVALID_SINCE)
    jumps = tuple(_jumps(Provenance("kube-proxy", "jump from iptables' own chain", because=why.because)))
    for node in lab.present(cluster):
        namespace = lab.builder[node.name]
        local = [pod.address if family == "ip" else pod.address6 for pod in node.pods]
        for chain in nat_chains(ports, pod_cidr, [address for address in local if address is not None], why):
            put_chain(namespace, "nat", chain, family)
        for chain in filtering:
            put_chain(namespace, "filter", chain, family)
        _ensure_jumps(namespace, jumps, family)


def _minor(version: str) -> int:
    """Return the minor number of a version of Kubernetes, one that nobody reaches where there is none."""
    found = re.match(r"v?1\.(\d+)", version)
    return int(found[1]) if found else 99


def _jumps(why: Provenance) -> Iterator[tuple[str, str, NftRule]]:
    """Yield the jumps in the order in which they are put in front: the last one of a chain stands first."""
    portals, forwarding = "kubernetes service portals", "kubernetes forwarding rules"
    yield "nat", "PREROUTING", rule(then=jump("KUBE-SERVICES"), why=why, comment=portals)
    yield "nat", "OUTPUT", rule(then=jump("KUBE-SERVICES"), why=why, comment=portals)
    yield "nat", "POSTROUTING", rule(then=jump("KUBE-POSTROUTING"), why=why, comment="kubernetes postrouting rules")
    yield "filter", "OUTPUT", rule(states("new"), then=jump("KUBE-SERVICES"), why=why, comment=portals)
    yield "filter", "FORWARD", rule(states("new"), then=jump("KUBE-SERVICES"), why=why, comment=portals)
    yield "filter", "FORWARD", rule(then=jump("KUBE-FORWARD"), why=why, comment=forwarding)


def _ensure_jumps(namespace: NamespaceBuilder, jumps: tuple[tuple[str, str, NftRule], ...], family: IpTable) -> None:
    for table, name, jumping in jumps:
        chain = built_in(namespace, table, name, jumping.provenance, family)
        if jumping not in chain.rules:
            chain.insert(jumping)
