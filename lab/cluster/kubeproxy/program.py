"""kube-proxy on the nodes: its chains follow the API, its jumps are put in front once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from lab.cluster.emulation import Emulation
from lab.cluster.kubeproxy.chains import filter_chains, nat_chains, service_ports
from lab.cluster.rules import built_in, jump, put_chain, rule, states
from lab.cluster.world import ClusterFacts
from lab.state.builder import NamespaceBuilder
from lab.state.nft import NftRule
from lab.state.provenance import Provenance

DROPS_INVALID_SINCE = 15
"""The minor version of Kubernetes whose kube-proxy first drops what is INVALID (kubernetes PR 74840)."""


def sync(lab: Emulation, cluster: ClusterFacts) -> None:
    """Bring the chains on all nodes of a cluster in line with its Services and EndpointSlices."""
    ports = service_ports(lab.apis[cluster.name])
    why = Provenance("kube-proxy", f"kube-proxy of {cluster.name}", because=(cluster.provenance,))
    versioned = replace(why, because=(*why.because, lab.world.written("clusters", cluster.name, "kubernetes")))
    filtering = filter_chains(ports, versioned, drops_invalid=_minor(cluster.spec.kubernetes) >= DROPS_INVALID_SINCE)
    jumps = tuple(_jumps(Provenance("kube-proxy", "jump from iptables' own chain", because=why.because)))
    for node in lab.present(cluster):
        namespace = lab.builder[node.name]
        for chain in nat_chains(ports, cluster.pod_cidr, [pod.address for pod in node.pods], why):
            put_chain(namespace, "nat", chain)
        for chain in filtering:
            put_chain(namespace, "filter", chain)
        _ensure_jumps(namespace, jumps)


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


def _ensure_jumps(namespace: NamespaceBuilder, jumps: tuple[tuple[str, str, NftRule], ...]) -> None:
    for table, name, jumping in jumps:
        chain = built_in(namespace, table, name, jumping.provenance)
        if jumping not in chain.rules:
            chain.insert(jumping)
