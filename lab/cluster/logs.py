"""Who writes the log lines of a state: each component under one name."""

from __future__ import annotations

from typing import Final

from lab.cluster.bridged.node import FLANNELD
from lab.cluster.submariner.agent.agent import COMPONENT as ROUTE_AGENT
from lab.cluster.submariner.gateway import COMPONENT as GATEWAY
from lab.cluster.submariner.operator import COMPONENT as OPERATOR
from lab.spec.topology import Topology

CALICOCTL: Final = "calicoctl"
"""What an operator edits IPPools with; what the API server refuses, it says."""


def log_components(topology: Topology, cluster: str) -> tuple[str, ...]:
    """Return the components that may log something in a cluster of a topology; none where it has no such cluster."""
    spec = topology.clusters.get(cluster)
    if spec is None:
        return ()
    flannel = (FLANNELD,) if spec.cni.plugin == "flannel" else ()
    submariner = (OPERATOR, GATEWAY, ROUTE_AGENT) if topology.submariner is not None else ()
    return (*submariner, *flannel, CALICOCTL)
