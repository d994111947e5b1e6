"""What the versions of Submariner do differently, as far as it reaches the data plane or a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One version. Sources are named per field: repositories `operator` and `submariner` of submariner-io."""

    version: str
    pod_cidr_fallback: Literal["first-node", "only-node"]
    """Whose node.spec.podCIDR discovery falls back to: of the first node that has one, or of the only node (operator PR 2770)."""
    reads_args: bool
    """Whether a component's flags are looked for in `args` too, and not in `command` alone (operator PR 3219)."""
    knows_calico_by_daemonset: bool
    """Whether a DaemonSet calico-node is enough to be Calico; before, only a ConfigMap calico-config was (operator PR 2769)."""
    knows_canal_by_daemonset: bool
    """Whether canal is a DaemonSet with its label; before, a ConfigMap canal-config was."""
    makes_ip_pools: bool
    """Whether the gateway's route agent makes Calico IPPools for remote subnets (submariner 0.16)."""
    disables_bgp_export: bool
    """Whether these pools say disableBGPExport (submariner 0.19)."""
    annotates_nodes: bool
    """Whether route agents write submariner.io/cniIfaceIp on their node (until submariner 0.17)."""
    own_forward_chain: bool
    """Whether SUBMARINER-FORWARD exists, or FORWARD itself holds the rule (submariner 0.18)."""
    quotes_all_cidrs: bool
    """Whether the error about a missing CNI interface quotes the list of cluster CIDRs, or the first one (submariner 0.18)."""
    reports_route_agents: bool
    """Whether there are RouteAgent objects (submariner 0.19)."""


_BEHAVIOURS: Mapping[str, Behaviour] = {
    "0.15.0": Behaviour(
        version="0.15.0",
        pod_cidr_fallback="first-node",
        reads_args=False,
        knows_calico_by_daemonset=False,
        knows_canal_by_daemonset=False,
        makes_ip_pools=False,
        disables_bgp_export=False,
        annotates_nodes=True,
        own_forward_chain=False,
        quotes_all_cidrs=False,
        reports_route_agents=False,
    ),
    "0.17.0": Behaviour(
        version="0.17.0",
        pod_cidr_fallback="only-node",
        reads_args=False,
        knows_calico_by_daemonset=True,
        knows_canal_by_daemonset=False,
        makes_ip_pools=True,
        disables_bgp_export=False,
        annotates_nodes=True,
        own_forward_chain=False,
        quotes_all_cidrs=False,
        reports_route_agents=False,
    ),
    "0.19.0": Behaviour(
        version="0.19.0",
        pod_cidr_fallback="only-node",
        reads_args=True,
        knows_calico_by_daemonset=True,
        knows_canal_by_daemonset=True,
        makes_ip_pools=True,
        disables_bgp_export=True,
        annotates_nodes=False,
        own_forward_chain=True,
        quotes_all_cidrs=True,
        reports_route_agents=True,
    ),
}


def behaviour(version: str) -> Behaviour:
    """Return what a version does; the schema admits only versions that are known here."""
    return _BEHAVIOURS[version]
