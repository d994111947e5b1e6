"""Calico IPPools for the subnets of other clusters, which keep Felix from masquerading what goes there.

They are made by the route agent of the active gateway, through projectcalico.org/v3: without the Calico API server, or where
another pool overlaps, there is an error in the log and no pool.
Source: submariner:pkg/routeagent_driver/handlers/calico/ippool_handler.go.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.cluster.api import AlreadyExists, ApiRefused, ApiServer
from lab.cluster.objects import IPPool
from lab.cluster.submariner.names import IP_POOL_LABEL, ip_pool_name
from lab.cluster.submariner.objects import Endpoint
from lab.cluster.submariner.versions import Behaviour
from lab.state.provenance import Provenance

Say = Callable[[str, str, Provenance], None]
"""Log a line: level, text, reason."""

NOT_SERVED = "the server could not find the requested resource (post ippools.projectcalico.org)"


def make_ip_pools(api: ApiServer, endpoint: Endpoint, does: Behaviour, say: Say) -> None:
    """Make a disabled pool without natOutgoing for every subnet of a remote Endpoint; an existing one of that name will do."""
    for subnet in endpoint.subnets:
        pool = IPPool(
            ip_pool_name(endpoint.cluster_id, subnet.network),
            subnet.network,
            nat_outgoing=False,
            disabled=True,
            disable_bgp_export=does.disables_bgp_export,
            labels={IP_POOL_LABEL: "true"},
            provenance=subnet.provenance,
        )
        try:
            if not api.calico_api:
                raise ApiRefused(NOT_SERVED)
            api.create(pool)
        except AlreadyExists:
            continue
        except ApiRefused as refused:
            failed = f'error creating Calico IPPool for ClusterID "{endpoint.cluster_id}" subnet "{subnet}"'
            text = f"{failed} (is Calico API server running?): {refused}"
            say("error", text, subnet.provenance)
        else:
            say("info", f'Successfully created Calico IPPool "{pool.name}"', subnet.provenance)


def delete_ip_pools(api: ApiServer, endpoint: Endpoint, say: Say) -> None:
    """Delete the pools of a remote Endpoint, by their names."""
    for subnet in endpoint.subnets:
        name = ip_pool_name(endpoint.cluster_id, subnet.network)
        if api.calico_api and api.delete(IPPool, name):
            say("info", f'Successfully deleted Calico IPPool "{name}"', subnet.provenance)


def delete_all_ip_pools(api: ApiServer) -> None:
    """Delete every pool with Submariner's label, as uninstalling does."""
    for pool in api.list(IPPool):
        if api.calico_api and pool.labels.get(IP_POOL_LABEL) == "true":
            api.delete(IPPool, pool.name)
