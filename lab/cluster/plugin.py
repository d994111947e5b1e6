"""The network plug-in of a cluster, whichever it is: what it does when a node joins, and when something has happened."""

from __future__ import annotations

from lab.cluster.bgp import speakers
from lab.cluster.bridged import node as bridged
from lab.cluster.calico import felix
from lab.cluster.emulation import Emulation
from lab.cluster.world import ClusterFacts, NodeFacts


def join(lab: Emulation, node: NodeFacts) -> None:
    """Program a node that has just joined, and let it and the nodes that are there learn of each other."""
    if lab.world.clusters[node.cluster].calico:
        felix.join(lab, node)
    else:
        bridged.join(lab, node)


def sync(lab: Emulation, cluster: ClusterFacts) -> None:
    """Bring the nodes of a cluster in line with its API server's objects. Plug-ins with bridges follow none."""
    if cluster.calico:
        felix.sync(lab, cluster)
    if cluster.spec.cni.bgp is not None:
        speakers.sync(lab)


def resync(lab: Emulation, cluster: ClusterFacts) -> None:
    """Put right what the plug-in has programmed on the nodes, whoever has changed it. Plug-ins with bridges look at nothing twice."""
    if cluster.calico:
        felix.resync(lab, cluster)
