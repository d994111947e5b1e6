"""The checks of `subctl diagnose all` that only ask API servers. Each function's docstring names the file of subctl it follows."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from lab.cluster.diagnose.result import Answer, Patient
from lab.cluster.submariner.globalnet import internal_name
from lab.cluster.submariner.names import BROKER_NAMESPACE, OPERATOR_NAMESPACE
from lab.cluster.submariner.objects import RESTARTS_OF_A_CRASHING_POD
from lab.cluster.submariner.reading import members, network, networks, of_kind, part, text, texts, value
from lab.state import ApiObject

MINIMUM_KUBERNETES = (1, 21)
"""With service discovery, which needs EndpointSlices of discovery.k8s.io/v1; 1.19 without."""

SUPPORTED_PLUGINS = frozenset({"generic", "canal-flannel", "weave-net", "OpenShiftSDN", "OVNKubernetes", "calico"})


def kubernetes_version(patient: Patient) -> Answer:
    """pkg/diagnose/k8s_version.go."""
    versions = sorted({text(node, "status", "nodeInfo", "kubeletVersion") for node in patient.of("Node")} - {""})
    if not versions:
        return Answer("skip", "the state does not say which Kubernetes runs")
    old = [v for v in versions if _version(v) < MINIMUM_KUBERNETES]
    least = ".".join(map(str, MINIMUM_KUBERNETES))
    if old:
        return Answer("fail", f"Kubernetes {old[0]} is older than {least}")
    return Answer("pass", f"Kubernetes {versions[0]} is at least {least}")


def cidr_overlap(patient: Patient) -> Answer:
    """pkg/diagnose/cidr.go: the Endpoints at the broker are compared with each other, and with nothing real."""
    endpoints = [o for o in patient.state.control.objects if o.kind == "Endpoint" and o.namespace == BROKER_NAMESPACE]
    for one, other in combinations(endpoints, 2):
        clash = _overlap(texts(one, "spec", "subnets"), texts(other, "spec", "subnets"))
        if clash:
            return Answer(
                "fail", f"{clash[0]} of {text(one, 'spec', 'cluster_id')} overlaps {clash[1]} of {text(other, 'spec', 'cluster_id')}"
            )
    advertised = "; ".join(f"{text(e, 'spec', 'cluster_id')} {', '.join(texts(e, 'spec', 'subnets'))}" for e in endpoints)
    return Answer("pass", f"the advertised ranges do not overlap ({advertised}); whether they are the real ones is not asked")


def deployments(patient: Patient) -> Answer:
    """pkg/diagnose/deployments.go: counts, phases and restarts. A missing CNI interface is a line in a log and nothing here."""
    for workload in patient.of("DaemonSet", OPERATOR_NAMESPACE):
        desired, scheduled = value(workload, "status", "desiredNumberScheduled"), value(workload, "status", "currentNumberScheduled")
        if desired != scheduled:
            return Answer("fail", f"DaemonSet {workload.name}: {desired} pods wanted, {scheduled} scheduled")
    pods = patient.of("Pod", OPERATOR_NAMESPACE)
    for pod in pods:
        if text(pod, "status", "phase") not in ("Running", "Succeeded"):
            return Answer("fail", f"pod {pod.name} is {text(pod, 'status', 'phase')}")
    restarting = [pod for pod in pods if _restarts(pod) >= RESTARTS_OF_A_CRASHING_POD]
    if restarting:
        return Answer("warn", f"pod {restarting[0].name} was restarted {_restarts(restarting[0])} times")
    return Answer("pass", f"all {len(pods)} pods of Submariner run")


def metrics(patient: Patient) -> Answer:
    """pkg/diagnose/deployment_metrics.go: a pod on another node fetches the gateway's metrics, within the cluster."""
    if len(patient.nodes) < 2:
        return Answer("skip", "a cluster of one node: subctl skips it")
    return Answer("skip", "the lab runs no metrics exporter; the check stays inside the cluster and says nothing about the others")


def cni_plugin(patient: Patient) -> Answer:
    """pkg/diagnose/cni.go."""
    if patient.plugin in SUPPORTED_PLUGINS:
        return Answer("pass", f"the network plug-in {patient.plugin} is supported")
    return Answer("fail", f"the network plug-in {patient.plugin or 'unknown'} is not supported")


def calico_ip_pools(patient: Patient) -> Answer:
    """pkg/diagnose/cni.go: every subnet of every connection must be the CIDR of an IPPool, letter by letter."""
    skipped = _not_calico(patient)
    if skipped:
        return skipped
    pools = {text(pool, "spec", "cidr"): pool for pool in patient.of("IPPool")}
    if not pools:
        return Answer("warn", "there is no IPPool at all")
    subnets = [subnet for remote in patient.remote_subnets for subnet in remote]
    for subnet in subnets:
        if subnet not in pools:
            return Answer("fail", f"no IPPool for the remote subnet {subnet}", _pool_lines(patient))
        if value(pools[subnet], "spec", "disabled") is not True:
            return Answer("fail", f"IPPool {pools[subnet].name} for the remote subnet {subnet} is not disabled", _pool_lines(patient))
        if value(pools[subnet], "spec", "natOutgoing") is True:
            return Answer("fail", f"IPPool {pools[subnet].name} for the remote subnet {subnet} has natOutgoing", _pool_lines(patient))
    if not subnets:
        return Answer("pass", "there is no connection, so no remote subnet needs a pool")
    named = ", ".join(subnets)
    return Answer(
        "pass", f"each remote subnet ({named}) has its disabled IPPool: pools and subnets come from the same Endpoints, right or wrong"
    )


def calico_encapsulation(patient: Patient) -> Answer:
    """pkg/diagnose/cni.go: the pool of a local subnet must use VXLAN always. Where no pool equals one, nothing is said."""
    skipped = _not_calico(patient)
    if skipped or patient.gateway is None:
        return skipped or Answer("skip", "there is no active gateway")
    subnets = texts(patient.gateway, "status", "localEndpoint", "subnets")
    judged = [pool for pool in patient.of("IPPool") if text(pool, "spec", "cidr") in subnets]
    for pool in judged:
        mode = text(pool, "spec", "vxlanMode")
        if mode != "Always":
            return Answer("fail", f"IPPool {pool.name} has vxlanMode {mode or 'Never'}, where Always is wanted")
    if not judged:
        asked = " or ".join([str(patient.cluster_cidr)] if patient.cluster_cidr else subnets)
        return Answer("pass", f"skipped: no IPPool equals {asked}", _pool_lines(patient))
    return Answer("pass", f"IPPool {judged[0].name} ({text(judged[0], 'spec', 'cidr')}) uses VXLAN always")


def gateway_connections(patient: Patient) -> Answer:
    """pkg/diagnose/connections.go: what the active gateway reports of its connections."""
    if patient.gateway is None:
        return Answer("fail", "there is no active gateway")
    for connection in patient.connections:
        remote, status = part(connection, "endpoint", "cluster_id"), part(connection, "status")
        if status != "connected":
            return Answer("fail", f"the connection to {remote} is {status}: {part(connection, 'statusMessage')}")
    if not patient.connections:
        return Answer("warn", "the gateway has no connection")
    return Answer("pass", f"{len(patient.connections)} connected; {_why_connected(patient)}")


def route_agent_connections(patient: Patient) -> Answer:
    """pkg/diagnose/connections.go, from 0.19 on: what route agents report."""
    agents = patient.of("RouteAgent", OPERATOR_NAMESPACE)
    if not agents:
        return Answer("skip", f"Submariner {patient.version} has no RouteAgent objects")
    for agent in agents:
        for remote in members(agent, "status", "remoteEndpoints"):
            if part(remote, "status") in ("error", "connecting"):
                return Answer("fail", f"node {agent.name}: {part(remote, 'spec', 'cluster_id')} is {part(remote, 'status')}")
    return Answer("pass", "no route agent reports an error; without health check none of them pings")


def globalnet(patient: Patient) -> Answer:
    """pkg/diagnose/globalnet.go: every exported service has its internal one, with an address of the cluster's global range."""
    everywhere = network(text(patient.resource, "status", "globalCIDR"))
    if everywhere is None:
        return Answer("skip", "Globalnet is not installed")
    internal = {(o.namespace, o.name): texts(o, "spec", "externalIPs") for o in patient.of("Service")}
    exports = patient.of("ServiceExport")
    for export in exports:
        addresses = internal.get((export.namespace, internal_name(export.name)), ())
        if not any(IPv4Address(address) in everywhere for address in addresses):
            return Answer(
                "fail", f"service {export.namespace}/{export.name} is exported, and has no internal service with a global address"
            )
    return Answer("pass", f"the cluster has {everywhere}, and each of {len(exports)} exported services an address of it")


def service_discovery(patient: Patient) -> Answer:
    """pkg/diagnose/servicediscovery.go: every export is valid and has its slice and its import; objects, no packets."""
    exports = patient.of("ServiceExport")
    imports = {(o.namespace, o.name) for o in patient.of("ServiceImport")}
    for export in exports:
        name = f"{export.namespace}/{export.name}"
        conditions = {part(c, "type"): c for c in members(export, "status", "conditions")}
        if "Valid" not in conditions:
            return Answer("fail", f"ServiceExport {name} is not Valid: no agent has accepted it")
        invalid = next((kind for kind, c in conditions.items() if part(c, "status") != "True"), None)
        if invalid is not None:
            return Answer("fail", f"ServiceExport {name} is not {invalid}: {part(conditions[invalid], 'message')}")
        if (export.namespace, export.name) not in imports:
            return Answer("fail", f"ServiceExport {name} has no ServiceImport")
        if not _own_slice(patient, export):
            return Answer("fail", f"ServiceExport {name} has no EndpointSlice")
    return Answer("pass", f"{len(exports)} exports are valid and have their slices and imports; no request was sent to any")


def _own_slice(patient: Patient, export: ApiObject) -> bool:
    wanted = {"multicluster.kubernetes.io/service-name": export.name, "multicluster.kubernetes.io/source-cluster": patient.cluster}
    slices = of_kind(patient.objects, "EndpointSlice", export.namespace)
    return any(wanted.items() <= dict(found.labels).items() for found in slices)


def _why_connected(patient: Patient) -> str:
    checked = value(patient.resource, "spec", "connectionHealthCheck", "enabled") is True
    if checked:
        return "health checks are on; the lab takes them to be answered and sends none"
    return "with --health-check=false nobody pings, and the cable reports connected once it is installed"


def _not_calico(patient: Patient) -> Answer | None:
    return None if patient.plugin == "calico" else Answer("skip", f"the network plug-in is {patient.plugin}, not calico")


def _pool_lines(patient: Patient) -> tuple[str, ...]:
    return tuple(f"IPPool {pool.name}: {text(pool, 'spec', 'cidr')}" for pool in patient.of("IPPool"))


def _overlap(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[IPv4Network, IPv4Network] | None:
    return next(((a, b) for a in networks(ours) for b in networks(theirs) if a.overlaps(b)), None)


def _restarts(pod: ApiObject) -> int:
    counts = [part(container, "restartCount") for container in members(pod, "status", "containerStatuses")]
    return sum(count for count in counts if isinstance(count, int))


def _version(written: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", written)[:2])
