"""All checks by name, in the order of subctl (subctl:cmd/subctl/diagnose.go), and how they are run."""

from __future__ import annotations

from lab.cluster.diagnose import control, nodes
from lab.cluster.diagnose.ranges import detected_ranges
from lab.cluster.diagnose.result import Check, CheckResult, Patient
from lab.cluster.submariner.names import OPERATOR_NAMESPACE
from lab.cluster.submariner.reading import of_kind
from lab.errors import InputError, did_you_mean
from lab.state import State

CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("kubernetes-version", "Kubernetes version is supported", control.kubernetes_version),
    ("cidr-overlap", "Advertised ranges of the clusters do not overlap", control.cidr_overlap),
    ("deployments", "Submariner's pods run", control.deployments),
    ("metrics", "Metrics of the gateway can be fetched", control.metrics),
    ("cni-plugin", "Network plug-in is supported", control.cni_plugin),
    ("calico-ippools", "Calico has an IPPool for every remote subnet", control.calico_ip_pools),
    ("calico-encapsulation", "Calico encapsulates with VXLAN", control.calico_encapsulation),
    ("gateway-connections", "Connections of the gateway", control.gateway_connections),
    ("route-agent-connections", "Connections of the route agents", control.route_agent_connections),
    ("kube-proxy-mode", "Mode of kube-proxy", nodes.kube_proxy_mode),
    ("firewall-vxlan", "UDP/4800 passes between the nodes", nodes.firewall_vxlan),
    ("globalnet", "Globalnet", control.globalnet),
    ("service-discovery", "Service discovery", control.service_discovery),
    ("detected-ranges", "Joined ranges against the addresses in use", detected_ranges),
)
"""Name, title and function of every check."""

DETECTED_RANGES = "detected-ranges"
STOCK = tuple(name for name, _, _ in CHECKS if name != DETECTED_RANGES)
"""The names of the checks that subctl has."""


def diagnose(state: State, cluster: str | None = None) -> tuple[CheckResult, ...]:
    """Run all checks in one cluster or in all; raises InputError where there is no such cluster."""
    clusters = list(dict.fromkeys(n.cluster for n in state if n.role == "node" and n.cluster is not None))
    if cluster is not None and cluster not in clusters:
        raise InputError(f"there is no cluster {cluster!r}", hint=did_you_mean(cluster, clusters, "cluster"))
    return tuple(result for name in clusters if cluster in (None, name) for result in _examine(state, name))


def _examine(state: State, cluster: str) -> tuple[CheckResult, ...]:
    objects = tuple(o for o in state.control.objects if o.cluster == cluster)
    resource = next(of_kind(objects, "Submariner", OPERATOR_NAMESPACE), None)
    if resource is None:
        reason = "Submariner is not installed in this cluster"
        return tuple(CheckResult(name, title, cluster, "skip", reason) for name, title, _ in CHECKS)
    patient = Patient(state, cluster, objects, resource)
    answers = ((name, title, check(patient)) for name, title, check in CHECKS)
    return tuple(CheckResult(name, title, cluster, a.status, a.reason, a.detail) for name, title, a in answers)
