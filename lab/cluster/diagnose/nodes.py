"""The checks of `subctl diagnose all` that run something on a node: here they read what the node's kernel holds."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from lab.cluster.diagnose.result import Answer, Patient
from lab.cluster.submariner.names import INTRA_CLUSTER_DEVICE, INTRA_CLUSTER_PORT
from lab.cluster.submariner.reading import networks, text
from lab.state import Namespace, Route, Vxlan
from lab.state.nft import AnonymousSet, Match, NftRule, Payload, Range, Reject, Verdict
from lab.state.objects import Address

IPVS_DEVICE = "kube-ipvs0"


def kube_proxy_mode(patient: Patient) -> Answer:
    """pkg/diagnose/kubeproxy.go: in IPVS mode kube-proxy has a device of that name on every node, the gateway's too."""
    if patient.active is None:
        return Answer("skip", "there is no active gateway to look at")
    if patient.active.link(IPVS_DEVICE) is not None:
        return Answer("fail", f"{patient.active.name} has {IPVS_DEVICE}: kube-proxy runs in IPVS mode, which is not supported")
    return Answer("pass", f"{patient.active.name} has no {IPVS_DEVICE}: kube-proxy is not in IPVS mode")


def firewall_vxlan(patient: Patient) -> Answer:
    """pkg/diagnose/firewall_vxlan.go: does a request of a pod elsewhere arrive on the gateway's vx-submariner, its source unchanged?

    The destination is the network address of the first remote subnet, which is the *service* range: the check says nothing about
    the pod range. Here the node's tables, FDB and rules are followed by hand, up to the gateway's INPUT.
    """
    gateway, workers = patient.active, [n for n in patient.nodes if n is not patient.active]
    if gateway is None:
        return Answer("skip", "there is no active gateway to listen on")
    if not workers:
        return Answer("skip", "a cluster of one node: subctl skips it")
    first = networks(patient.remote_subnets[0][:1]) if patient.remote_subnets else ()
    if not first:
        return Answer("skip", "there is no connection, so no remote subnet to ask for")
    worker, asked = workers[0], first[0].network_address
    broken = _why_not_seen(patient, worker, gateway, asked)
    if broken:
        return Answer("fail", f"a request from {worker.name} to {asked} is not seen on {gateway.name}:{INTRA_CLUSTER_DEVICE}: {broken}")
    return Answer(
        "pass", f"a request from {worker.name} to {asked} is seen on {gateway.name}; it asks for {first[0]}, the remote service range"
    )


def _why_not_seen(patient: Patient, worker: Namespace, gateway: Namespace, asked: IPv4Address) -> str:
    """Why a pod's request does not reach the gateway through the overlay, empty where it does."""
    route = _best(worker, asked)
    if route is None or route.device != INTRA_CLUSTER_DEVICE:
        return f"the route of {worker.name} leads to {route.device if route and route.device else 'nowhere'}"
    device, far = worker.link(INTRA_CLUSTER_DEVICE), gateway.link(INTRA_CLUSTER_DEVICE)
    if device is None or far is None or not isinstance(device.kind, Vxlan) or not isinstance(far.kind, Vxlan):
        return f"{INTRA_CLUSTER_DEVICE} is missing"
    if not (device.up and far.up) or (device.kind.vni, device.kind.port) != (far.kind.vni, far.kind.port):
        return f"the two {INTRA_CLUSTER_DEVICE} do not fit together"
    if patient.state.owner(device.kind.remote) is not gateway if device.kind.remote else True:
        return f"{INTRA_CLUSTER_DEVICE} of {worker.name} leads to {device.kind.remote}, which is not the gateway"
    for node in (worker, gateway, *(n for n in patient.state if n.role == "switch")):
        if _drops_overlay(node):
            return f"a rule of {node.name} drops UDP/{INTRA_CLUSTER_PORT}; allow it in the firewall"
    pools = networks(text(p, "spec", "cidr") for p in patient.of("IPPool"))
    if pools and not any(asked in pool for pool in pools):
        return f"{asked} is in no IPPool, so Calico masquerades it and the source is not the pod's"
    own = networks(text(n, "spec", "podCIDR") for n in patient.of("Node") if n.name == worker.name)
    detected = patient.cluster_cidr
    if not pools and own and detected and not own[0].subnet_of(detected):
        return f"pods of {worker.name} are of {own[0]}, outside {detected}, so they are masqueraded and the source is not the pod's"
    return ""


def _best(node: Namespace, to: Address) -> Route | None:
    """Return the route of the main table with the longest prefix."""
    fitting = [route for route in node.table() if to in route.destination]
    return max(fitting, key=lambda route: (route.destination.prefixlen, -route.metric), default=None)


def _drops_overlay(node: Namespace) -> bool:
    return any(_ends_in_loss(rule) and any(_names_port(m) for m in _matches(rule)) for rule in _rules(node))


def _rules(node: Namespace) -> Iterator[NftRule]:
    return (rule for table in node.tables for chain in table.chains for rule in chain.rules)


def _matches(rule: NftRule) -> Iterator[Match]:
    return (s for s in rule.statements if isinstance(s, Match))


def _ends_in_loss(rule: NftRule) -> bool:
    return any(isinstance(s, Reject) or (isinstance(s, Verdict) and s.kind == "drop") for s in rule.statements)


def _names_port(match: Match) -> bool:
    """Whether a match selects the overlay's UDP port."""
    if not isinstance(match.left, Payload) or match.left.field != "dport" or match.left.protocol not in ("udp", "th"):
        return False
    right = match.right.elements if isinstance(match.right, AnonymousSet) else (match.right,)
    return any(_holds(element) for element in right) is (match.operator == "==")


def _holds(element: object) -> bool:
    if isinstance(element, Range) and isinstance(element.first, int) and isinstance(element.last, int):
        return element.first <= INTRA_CLUSTER_PORT <= element.last
    return element == INTRA_CLUSTER_PORT
