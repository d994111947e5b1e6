"""How Submariner's own discovery arrives at a cluster's ranges, version by version.

For Calico it asks the generic discovery and no one else: IPPools are never read. The pod range is --cluster-cidr of
kube-controller-manager, else that of kube-proxy, else a node's podCIDR: of the first node in old versions, of the only node
since 0.16. Source: operator:pkg/discovery/network/{generic,calico}.go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lab.cluster.submariner.discovery.findings import Denial, Discovered, Finding, Look
from lab.cluster.submariner.discovery.flags import API_SERVER, CONTROLLER_MANAGER, POD_FLAG, PROXY, SERVICE_FLAG, look_for_flag
from lab.cluster.submariner.discovery.plugins import FLANNEL, plugin_of
from lab.cluster.submariner.reading import network, of_kind, text
from lab.cluster.submariner.versions import Behaviour
from lab.state.control import ApiObject
from lab.state.provenance import Provenance

_NETWORK = re.compile(r'"Network": *"([0-9./]+)"')
_VALID_RANGE = re.compile(r"[Tt]he range of valid IPs is ([0-9.]+/[0-9]+)")


def discover(objects: Sequence[ApiObject], does: Behaviour, denial: Denial) -> Discovered:
    """Discover as that version does; `denial` is what the API server answers to a Service with the ClusterIP 1.1.1.1."""
    plugin = plugin_of(objects, does)
    stated = _flannel(objects) if plugin == FLANNEL else None
    pods = Finding((stated,)) if stated is not None and stated.found is not None else _pods(objects, does)
    return Discovered(plugin, pods, look_for_services(objects, denial, args=does.reads_args))


def _flannel(objects: Sequence[ApiObject]) -> Look | None:
    """Read the network of flannel's own configuration (operator:pkg/discovery/network/flannel.go)."""
    configured = next((o for o in of_kind(objects, "ConfigMap", "kube-system") if "flannel" in o.name), None)
    if configured is None:
        return None
    found = _NETWORK.search(text(configured, "data", "net-conf.json"))
    written = found[1] if found else ""
    return Look("net-conf.json of flannel", written or "names no network", network(written), configured.provenance)


def _pods(objects: Sequence[ApiObject], does: Behaviour) -> Finding:
    looks: list[Look] = []
    for component in (CONTROLLER_MANAGER, PROXY):
        looks.append(look_for_flag(objects, component, POD_FLAG, args=does.reads_args))
        if looks[-1].found is not None:
            return Finding(tuple(looks))
    return Finding((*looks, _node_cidr(objects, does)))


def _node_cidr(objects: Sequence[ApiObject], does: Behaviour) -> Look:
    nodes = tuple(of_kind(objects, "Node"))
    if does.pod_cidr_fallback == "first-node":
        source = "node.spec.podCIDR of the first node that has one"
        node = next((n for n in nodes if text(n, "spec", "podCIDR")), None)
    else:
        source = "node.spec.podCIDR of the only node"
        if len(nodes) != 1:
            return Look(source, f"the cluster has {len(nodes)} nodes")
        node = nodes[0]
    written = text(node, "spec", "podCIDR") if node else ""
    if node is None or not written:
        return Look(source, "no node has one")
    reason = Provenance("kubernetes", f"node {node.name} has podCIDR {written}", because=(node.provenance,))
    return Look(source, f"{written}, of node {node.name}", network(written), reason)


def look_for_services(objects: Sequence[ApiObject], denial: Denial, *, args: bool) -> Finding:
    """Find the service range: the API server's flag, else what it says when a Service asks for an address outside it."""
    flag = look_for_flag(objects, API_SERVER, SERVICE_FLAG, args=args)
    if flag.found is not None:
        return Finding((flag,))
    source = "the API server's refusal of a Service with ClusterIP 1.1.1.1"
    named = _VALID_RANGE.search(denial.text)
    if named is None:
        return Finding((flag, Look(source, "names no range")))
    return Finding((flag, Look(source, named[1], network(named[1]), denial.provenance)))
