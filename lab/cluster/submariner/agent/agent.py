"""The route agent of one node: what it remembers, and what it does when Endpoints and nodes come and go.

It handles Endpoints that are created and removed. Nothing handles one that is *updated*: whoever changes the subnets of an
Endpoint in place leaves the other clusters' agents with the old ones until they restart (submariner:pkg/event/controller/
endpoint_updated.go and the handlers under pkg/routeagent_driver).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from lab.cluster.api import ApiServer
from lab.cluster.objects import Node
from lab.cluster.submariner.agent import interfaces, ippools, mtu, packetfilter, routes
from lab.cluster.submariner.agent.interfaces import CniInterface
from lab.cluster.submariner.discovery.plugins import CALICO
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import CNI_ANNOTATION, INTRA_CLUSTER_DEVICE, INTRA_CLUSTER_VTEPS, LOCAL_SET, REMOTE_SET, vtep
from lab.cluster.submariner.objects import Endpoint, Subnet
from lab.cluster.submariner.operator import Ranges
from lab.cluster.submariner.versions import Behaviour
from lab.cluster.sysctls import conf
from lab.state.control import LogLine
from lab.state.provenance import Provenance

COMPONENT = "submariner-routeagent"


class RouteAgent:
    """One process of the DaemonSet submariner-routeagent, from its start to its end; a restart is another object."""

    def __init__(
        self, host: Host, api: ApiServer, ranges: Ranges, does: Behaviour, log: Callable[[LogLine], None], *, overlay: bool
    ) -> None:
        self._overlay = overlay
        self._host = host
        self._api = api
        self._ranges = ranges
        self._does = does
        self._log = log
        self._component = f"submariner route agent on {host.name}"
        self._cni: CniInterface | None = None
        self._local: Endpoint | None = None
        self._remotes: dict[str, Endpoint] = {}

    def start(self) -> None:
        """Find the CNI interface and loosen it, make the chains; a failure to find it is logged, and some of it does not happen."""
        cidrs, why = (self._ranges.pods.network,), self._because(self._ranges.pods, "cluster CIDR")
        self._cni = interfaces.find_cni_interface(self._host, cidrs, self._does)
        missing = interfaces.missing_cni_interface(cidrs, self._does)
        if self._cni is not None:
            self._host.write(conf(self._cni.device, "rp_filter"), interfaces.LOOSE)
        else:
            self._say("error", f"Error discovering the CNI interface: {missing}", why)
        packetfilter.make_chains(self._host, self._cni, self._does, why)
        mtu.make_clamp(self._host, why)
        if not self._does.annotates_nodes:
            return
        if self._cni is None:
            retrieving = f"Error retrieving the CNI interface for {cidrs[0]}: {missing}"
            self._say("error", f"error annotating node with CNI interface IP: {retrieving}", why)
        else:
            self._annotate(self._cni)

    def local_created(self, endpoint: Endpoint) -> None:
        """Become the gateway's node, or lead to it."""
        self._local = endpoint
        mine = self._subnets(endpoint)
        mtu.add_ranges(self._host, LOCAL_SET, (*mine, replace(self._ranges.pods, provenance=mine[-1].provenance)))
        why = Provenance(self._component, f"gateway of the cluster is {endpoint.hostname}", because=(endpoint.provenance,))
        if endpoint.hostname == self._host.name:
            self._become_gateway(why)
            return
        if not self._overlay:
            routes.add_next_hop_routes(self._host, self._known(), endpoint.private_ip, self._say)
            return
        interfaces.make_worker_device(self._host, endpoint.private_ip, why)
        routes.reconcile_worker_routes(self._host, self._known(), self._gateway_vtep(endpoint))

    def remote_created(self, endpoint: Endpoint) -> None:
        """Make way for another cluster's subnets, unless they overlap the cluster's own."""
        clash = next((s for s in endpoint.subnets for own in self._own if s.network.overlaps(own.network)), None)
        if clash is not None:
            text = f"overlappingSubnets for new remote {endpoint.name} returned error: {clash} overlaps a local CIDR"
            self._say("error", text, clash.provenance)
            return
        self._remotes[endpoint.name] = endpoint
        subnets = self._subnets(endpoint)
        if self._is_gateway:
            routes.add_host_network_routes(self._host, ((s, endpoint.private_ip) for s in subnets), self._cni)
        elif self._local is not None and not self._overlay:
            routes.add_next_hop_routes(self._host, subnets, self._local.private_ip, self._say)
        elif self._local is not None:
            routes.add_worker_routes(self._host, subnets, self._gateway_vtep(self._local))
        packetfilter.accept_remote(self._host, self._local_pods, subnets)
        mtu.add_ranges(self._host, REMOTE_SET, subnets)
        if self._makes_pools:
            ippools.make_ip_pools(self._api, replace(endpoint, subnets=subnets), self._does, self._say)

    def remote_removed(self, endpoint: Endpoint) -> None:
        """Undo what was done for another cluster's Endpoint."""
        if self._remotes.pop(endpoint.name, None) is None:
            return
        if self._is_gateway:
            routes.remove_host_network_routes(self._host, endpoint.subnets, self._cni)
        else:
            routes.remove_worker_routes(self._host, endpoint.subnets, None if self._overlay else self._host.default_device)
        packetfilter.forget_remote(self._host, self._local_pods, endpoint.subnets)
        mtu.remove_ranges(self._host, REMOTE_SET, endpoint.subnets)
        if self._makes_pools:
            ippools.delete_ip_pools(self._api, endpoint, self._say)

    def node_created(self, node: Node) -> None:
        """On the gateway: flood to one node more."""
        if self._is_gateway and self._overlay:
            self._host.append_fdb(INTRA_CLUSTER_DEVICE, node.internal_ip, self._flooding_to(node))

    def uninstall(self) -> None:
        """Clean the node, as the pod does that `subctl uninstall` starts on it; sysctls stay as they were written."""
        routes.flush_host_network(self._host)
        self._host.delete_device(INTRA_CLUSTER_DEVICE)
        packetfilter.delete_chains(self._host)
        mtu.delete_clamp(self._host)
        if self._makes_pools:
            ippools.delete_all_ip_pools(self._api)

    def _become_gateway(self, why: Provenance) -> None:
        routes.remove_worker_routes(self._host, self._known())
        if self._overlay:
            nodes = ((node.internal_ip, self._flooding_to(node)) for node in self._api.list(Node))
            interfaces.make_gateway_device(self._host, nodes, why)
        routes.add_host_network_rule(self._host, why)
        known = ((s, e.private_ip) for e in self._remotes.values() for s in self._subnets(e))
        routes.add_host_network_routes(self._host, known, self._cni)
        for endpoint in self._remotes.values():
            if self._makes_pools:
                ippools.make_ip_pools(self._api, replace(endpoint, subnets=self._subnets(endpoint)), self._does, self._say)

    @property
    def _is_gateway(self) -> bool:
        return self._local is not None and self._local.hostname == self._host.name

    @property
    def _makes_pools(self) -> bool:
        return self._does.makes_ip_pools and self._ranges.plugin == CALICO and self._is_gateway

    @property
    def _own(self) -> tuple[Subnet, Subnet]:
        return (self._ranges.services, self._ranges.pods)

    @property
    def _local_pods(self) -> tuple[IPv4Network]:
        return (self._ranges.pods.network,)

    def _known(self) -> tuple[Subnet, ...]:
        return tuple(subnet for endpoint in self._remotes.values() for subnet in self._subnets(endpoint))

    def _subnets(self, endpoint: Endpoint) -> tuple[Subnet, ...]:
        """Return an Endpoint's subnets with this agent as the first link of their chains of reasons."""
        return tuple(Subnet(s.network, self._because(s, f"Endpoint {endpoint.cluster_id}")) for s in endpoint.subnets)

    def _because(self, subnet: Subnet, what: str) -> Provenance:
        return Provenance(self._component, f"{what}, subnet {subnet}", because=(subnet.provenance,))

    def _flooding_to(self, node: Node) -> Provenance:
        return Provenance(self._component, f"node {node.name} of the cluster", because=(node.provenance,))

    def _annotate(self, cni: CniInterface) -> None:
        node = self._api.get(Node, self._host.name)
        if node is not None:
            self._api.replace(replace(node, annotations={**node.annotations, CNI_ANNOTATION: str(cni.address)}))

    @staticmethod
    def _gateway_vtep(endpoint: Endpoint) -> IPv4Address:
        return vtep(INTRA_CLUSTER_VTEPS, endpoint.private_ip).ip

    def _say(self, level: str, text: str, why: Provenance) -> None:
        self._log(LogLine(self._api.cluster, self._host.name, COMPONENT, level, text, why))
