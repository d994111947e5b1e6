"""The vxlan cable: one device to all remote gateways, its routes in a table that is asked before main.

It has no source filter: what has a route goes out. Its connections are connected from the moment they are installed.
Source: submariner:pkg/cable/vxlan/vxlan.go, pkg/vxlan/vxlan.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.cluster.submariner.agent.interfaces import LOOSE, find_cni_interface
from lab.cluster.submariner.cable.base import Selectors
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import (
    CABLE_DEVICE,
    CABLE_METRIC,
    CABLE_PORT,
    CABLE_TABLE,
    CABLE_VNI,
    CABLE_VTEPS,
    VXLAN_OVERHEAD,
    vtep,
)
from lab.cluster.submariner.objects import ConnectionStatus, Endpoint, Subnet
from lab.cluster.submariner.versions import Behaviour
from lab.cluster.sysctls import conf
from lab.state.objects import Link, Protocol, Route, Rule, Vxlan
from lab.state.provenance import Provenance

Say = Callable[[str, str, Provenance], None]


class VxlanCable:
    """The driver on one gateway. `pods` is the cluster CIDR it was started with."""

    def __init__(self, host: Host, local: Endpoint, pods: Subnet, does: Behaviour, say: Say) -> None:
        self._host = host
        self._local = local
        self._pods = pods
        self._does = does
        self._say = say
        self._component = f"submariner gateway on {host.name}"

    def start(self) -> None:
        """Make vxlan-tunnel and the rule that asks table 100; a device of an earlier start is used again."""
        why = Provenance(self._component, "cable driver vxlan", because=(self._local.provenance,))
        kind = Vxlan(CABLE_VNI, CABLE_PORT, learning=False)
        mtu = self._host.mtu(self._host.default_device) - VXLAN_OVERHEAD
        self._host.ensure_vxlan(Link(CABLE_DEVICE, kind, mtu=mtu, provenance=why))
        self._host.ensure_rule(Rule(CABLE_TABLE, table=CABLE_TABLE, provenance=why))
        self._host.write(conf(CABLE_DEVICE, "rp_filter"), LOOSE)
        self._host.ensure_address(CABLE_DEVICE, vtep(CABLE_VTEPS, self._local.private_ip), why)
        self._host.write(conf(CABLE_DEVICE, "forwarding"), "1")

    def connect(self, remote: Endpoint) -> None:
        """Flood to the remote gateway too, and route its subnets to it; `src` needs a CNI interface."""
        cni = find_cni_interface(self._host, (self._pods.network,), self._does)
        if cni is None:
            text = f'Failed to get the CNI interface IP for cluster CIDR "{self._pods}", host-networking use-cases may not work'
            self._say("error", text, self._pods.provenance)
        why = Provenance(self._component, f"Endpoint {remote.cluster_id}, gateway {remote.private_ip}", because=(remote.provenance,))
        self._host.append_fdb(CABLE_DEVICE, remote.private_ip, why)
        for subnet in remote.subnets:
            self._host.replace_route(
                Route(
                    subnet.network,
                    via=vtep(CABLE_VTEPS, remote.private_ip).ip,
                    device=CABLE_DEVICE,
                    table=CABLE_TABLE,
                    metric=CABLE_METRIC,
                    source=cni.address if cni else None,
                    protocol=Protocol.BOOT,
                    provenance=Provenance(self._component, f"Endpoint {remote.cluster_id}, subnet {subnet}", because=(subnet.provenance,)),
                )
            )

    def disconnect(self, remote: Endpoint) -> None:
        """Take the gateway out of the FDB and its subnets out of table 100."""
        self._host.delete_fdb(CABLE_DEVICE, remote.private_ip)
        for subnet in remote.subnets:
            self._host.delete_route(subnet.network, CABLE_TABLE)

    def selectors(self, cluster: str) -> Selectors:
        """Return none: any packet with a route goes out."""
        return frozenset()

    def settle(self, peers: Mapping[str, Selectors]) -> None:
        """Do nothing: the ends of this cable agree on nothing."""

    def status(self, cluster: str) -> tuple[ConnectionStatus, str]:
        """Return connected, whatever the packets do."""
        return "connected", ""

    def cleanup(self) -> None:
        """Delete device, routes and rule."""
        self._host.delete_device(CABLE_DEVICE)
        self._host.flush_table(CABLE_TABLE)
        self._host.delete_rules(CABLE_TABLE)
