"""A pod's namespace as the kubelet sees to it, whatever plug-in connects it: sysctls, files, environment, what it serves."""

from __future__ import annotations

from lab.cluster.devices import add_namespace
from lab.cluster.dns.files import hosts_file, pod_resolver
from lab.cluster.emulation import Emulation
from lab.cluster.sysctls import conf, stated
from lab.cluster.underlay.network import listeners
from lab.cluster.underlay.proxy import proxy_environment
from lab.cluster.world import ClusterFacts, NodeFacts, PodFacts
from lab.state.builder import NamespaceBuilder
from lab.state.provenance import Provenance


def add_pod_namespace(lab: Emulation, cluster: ClusterFacts, node: NodeFacts, pod: PodFacts, why: Provenance) -> NamespaceBuilder:
    """Make the namespace of a pod on a node that is there, without any device yet."""
    namespace = add_namespace(lab.builder, pod.name, "pod", _sysctls(node), why, cluster=cluster.name, parent=node.name)
    namespace.files["/etc/resolv.conf"] = pod_resolver(cluster.dns_address, pod.namespace, cluster.domain, cluster.spec.dns.search)
    namespace.files["/etc/hosts"] = hosts_file((address, pod.name) for address in (pod.address, pod.address6) if address is not None)
    namespace.environment |= proxy_environment(cluster)
    for listener in listeners(pod.serves, pod.provenance):
        namespace.add_listener(listener)
    return namespace


def _sysctls(node: NodeFacts) -> dict[str, str]:
    """A pod's namespace copies conf.all and conf.default of its node when it is made; the CNI plug-in turns forwarding off."""
    copied = {
        path: value
        for path, value in node.sysctls.items()
        if path.startswith((conf("all", ""), conf("default", ""))) and not path.endswith("/forwarding")
    }
    return stated(forwarding=False, written=copied)
