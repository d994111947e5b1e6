"""The check that `subctl diagnose all` lacks: do the ranges a cluster was joined with hold the addresses it uses?

Every other check compares things that were made from the same Endpoint with each other, so they agree however wrong it is. This
one compares the Endpoint's cluster with what no Submariner ever wrote: Calico's enabled pools, blocks, tunnel addresses, the pods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, collapse_addresses

from lab.cluster.diagnose.result import Answer, Patient
from lab.cluster.submariner.discovery.flags import API_SERVER, SERVICE_FLAG, look_for_flag
from lab.cluster.submariner.discovery.sources import Source, blocks, flags, local_pools, tunnels
from lab.cluster.submariner.names import HOST_NETWORK_TABLE, INTRA_CLUSTER_DEVICE, INTRA_CLUSTER_VTEPS, POSTROUTING_CHAIN
from lab.cluster.submariner.reading import network, text, value
from lab.state import Namespace
from lab.state.nft import Nat

SHOWN = 6
"""Addresses outside the range that are listed one by one."""


def detected_ranges(patient: Patient) -> Answer:
    """Compare status.clusterCIDR and status.serviceCIDR with the addresses in use; name the flags that cure a difference."""
    pods, services = patient.cluster_cidr, patient.service_cidr
    if pods is None or services is None:
        return Answer("skip", "the cluster was joined without ranges")
    pools = tuple(local_pools(patient.objects))
    used = (*pools, *blocks(patient.objects), *tunnels(patient.objects), *_pods(patient))
    stray = [source for source in used if not source.network.subnet_of(pods)]
    stray_services = [source for source in _services(patient) if not source.network.subnet_of(services)]
    if not stray and not stray_services:
        return Answer("pass", f"{pods} holds all {len(used)} pools, blocks, tunnel and pod addresses, and {services} all services")
    reasons, cures = [], []
    if stray:
        reasons.append(f"the cluster was joined as {pods}, which does not hold {stray[0]}")
        cures.append(f"--clustercidr {_actual_pods(patient, pools, used)}")
    if stray_services:
        reasons.append(f"its services as {services}, which does not hold {stray_services[0]}")
        cures.append(f"--servicecidr {_actual_services(patient, stray_services)}")
    detail = (*map(str, stray[:SHOWN]), *map(str, stray_services[:SHOWN]), *_symptoms(patient))
    return Answer("fail", f"{'; '.join(reasons)}; join again with {' '.join(cures)}", detail)


def _pods(patient: Patient) -> Iterator[Source]:
    for pod in patient.of("Pod"):
        address = network(text(pod, "status", "podIP"))
        if address is not None and value(pod, "spec", "hostNetwork") is not True:
            yield Source(f"pod {pod.namespace}/{pod.name}", address, pod.provenance)


def _services(patient: Patient) -> Iterator[Source]:
    for service in patient.of("Service"):
        address = network(text(service, "spec", "clusterIP"))
        if address is not None:
            yield Source(f"service {service.namespace}/{service.name}", address, service.provenance)


def _actual_pods(patient: Patient, pools: Sequence[Source], used: Sequence[Source]) -> str:
    """What to join with: the enabled pools, else what the components' flags say, else the least range that holds everything."""
    known = [s.network for s in pools] or [s.network for s in flags(patient.objects)][:1]
    return ",".join(map(str, collapse_addresses(known))) if known else str(_hull([s.network for s in used]))


def _actual_services(patient: Patient, stray: Sequence[Source]) -> str:
    flag = look_for_flag(patient.objects, API_SERVER, SERVICE_FLAG, args=True)
    return str(flag.found or _hull([s.network for s in stray]))


def _hull(ranges: Sequence[IPv4Network]) -> IPv4Network:
    """Return the least network that contains all of some."""
    hull = ranges[0]
    while not all(inner.subnet_of(hull) for inner in ranges):
        hull = hull.supernet()
    return hull


def _symptoms(patient: Patient) -> Iterator[str]:
    """Say what a missing CNI interface left undone on the nodes: evidence, wherever it shows."""
    active = patient.active
    if active is not None and any(r.table == HOST_NETWORK_TABLE for r in active.rules) and not active.table(HOST_NETWORK_TABLE):
        yield f"{active.name}: table {HOST_NETWORK_TABLE} is empty, though a rule leads to it"
    for node in patient.nodes:
        if node.link(INTRA_CLUSTER_DEVICE) is not None and not _translates_vteps(node):
            yield f"{node.name}: no SNAT of {INTRA_CLUSTER_VTEPS} in {POSTROUTING_CHAIN}"
    if patient.gateway is not None and not text(patient.gateway, "status", "localEndpoint", "healthCheckIP"):
        yield "healthCheckIP of the Endpoint is empty: no gateway is pinged"


def _translates_vteps(node: Namespace) -> bool:
    chains = (chain for table in node.tables if table.name == "nat" for chain in table.chains if chain.name == POSTROUTING_CHAIN)
    return any(isinstance(s, Nat) and s.kind == "snat" for chain in chains for rule in chain.rules for s in rule.statements)
