"""Routes and rules: a worker sends remote subnets to the gateway, the gateway gives its own packets a pod's source address.

Source: submariner:pkg/routeagent_driver/handlers/kubeproxy/{routes_iface,gw_transition}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from lab.cluster.submariner.agent.interfaces import CniInterface
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import HOST_NETWORK_TABLE, INTRA_CLUSTER_DEVICE
from lab.cluster.submariner.objects import Subnet
from lab.state.objects import Protocol, Route, Rule, Table
from lab.state.provenance import Provenance

Say = Callable[[str, str, Provenance], None]
"""Writes a line of a level to the agent's log."""


def add_worker_routes(host: Host, subnets: Iterable[Subnet], gateway_vtep: IPv4Address) -> None:
    """Send remote subnets over vx-submariner to the gateway; no source address, no metric, no rule."""
    for subnet in subnets:
        host.add_route(
            Route(subnet.network, via=gateway_vtep, device=INTRA_CLUSTER_DEVICE, protocol=Protocol.STATIC, provenance=subnet.provenance)
        )


def add_next_hop_routes(host: Host, subnets: Iterable[Subnet], gateway: IPv4Address, say: Say) -> None:
    """Send remote subnets to the gateway node's own address, as agents did before there was an overlay; a next hop must be on a link."""
    for subnet in subnets:
        if host.on_link(gateway):
            route = Route(subnet.network, via=gateway, device=host.default_device, protocol=Protocol.STATIC, provenance=subnet.provenance)
            host.add_route(route)
        else:
            refused = f"{{Dst: {subnet} Src: <nil> Gw: {gateway} Flags: [] Table: 0}}: network is unreachable"
            say("error", f"error while adding route {refused}", subnet.provenance)


def remove_worker_routes(host: Host, subnets: Iterable[Subnet], device: str | None = None) -> None:
    """Take remote subnets off vx-submariner, or off another device."""
    for subnet in subnets:
        host.delete_route(subnet.network, Table.MAIN, device=device or INTRA_CLUSTER_DEVICE)


def reconcile_worker_routes(host: Host, subnets: Iterable[Subnet], gateway_vtep: IPv4Address) -> None:
    """Remove from vx-submariner what leads to an unknown subnet or to another gateway, then add what is missing."""
    subnets = tuple(subnets)
    known = {subnet.network for subnet in subnets}
    for route in host.routes(Table.MAIN, device=INTRA_CLUSTER_DEVICE):
        if route.via is not None and (route.destination not in known or route.via != gateway_vtep):
            host.delete_route(route.destination, Table.MAIN, device=INTRA_CLUSTER_DEVICE)
    add_worker_routes(host, subnets, gateway_vtep)


def add_host_network_rule(host: Host, why: Provenance) -> None:
    """Have the gateway ask table 150, whether or not anything is in it."""
    host.ensure_rule(Rule(HOST_NETWORK_TABLE, table=HOST_NETWORK_TABLE, provenance=why))


def add_host_network_routes(host: Host, subnets: Iterable[tuple[Subnet, IPv4Address]], cni: CniInterface | None) -> None:
    """Fill table 150: the gateway's own packets to remote subnets get the CNI interface's address. Without one nothing is added.

    Each subnet comes with its gateway's address: where that lies inside the subnet itself, the route needs a next hop.
    """
    if cni is None:
        return
    for subnet, gateway in subnets:
        via = host.next_hop(gateway) if gateway in subnet.network else None
        host.add_route(
            Route(
                subnet.network,
                via=via,
                device=host.default_device,
                table=HOST_NETWORK_TABLE,
                source=cni.address,
                protocol=Protocol.STATIC,
                scope="global" if via else "link",
                provenance=subnet.provenance,
            )
        )


def remove_host_network_routes(host: Host, subnets: Iterable[Subnet], cni: CniInterface | None) -> None:
    """Take remote subnets out of table 150; without a CNI interface the agent returns early here too."""
    if cni is None:
        return
    for subnet in subnets:
        host.delete_route(subnet.network, HOST_NETWORK_TABLE)


def flush_host_network(host: Host) -> None:
    """Empty table 150 and take its rule away."""
    host.flush_table(HOST_NETWORK_TABLE)
    host.delete_rules(HOST_NETWORK_TABLE)
