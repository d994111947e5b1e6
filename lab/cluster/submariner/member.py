"""One cluster of the cluster set: its operator, its processes on its nodes, and what its API server knows of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lab.cluster.api import ApiServer
from lab.cluster.objects import DaemonSet, Node, Pod
from lab.cluster.submariner import lighthouse
from lab.cluster.submariner.agent import RouteAgent
from lab.cluster.submariner.agent.agent import COMPONENT as ROUTE_AGENT
from lab.cluster.submariner.gateway import COMPONENT as GATEWAY
from lab.cluster.submariner.gateway import GatewayProcess
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import GATEWAY_LABEL, OPERATOR_NAMESPACE
from lab.cluster.submariner.objects import (
    Backend,
    Cluster,
    CrashingPod,
    DaemonSetStatus,
    Endpoint,
    Gateway,
    RemoteStatus,
    RouteAgentReport,
    SubmarinerResource,
)
from lab.cluster.submariner.operator import COMPONENT as OPERATOR
from lab.cluster.submariner.operator import Operator, Ranges
from lab.cluster.submariner.versions import Behaviour
from lab.spec.events import JoinFlags
from lab.state.control import LogLine
from lab.state.provenance import Provenance

Log = Callable[[LogLine], None]


class Member:
    """A cluster, joined or not. `host` opens the kernel of a node; `overlay`: whether its workers reach their gateway by vx-submariner."""

    def __init__(
        self, api: ApiServer, operator: Operator, does: Behaviour, cable: Backend, host: Callable[[str], Host], log: Log, *, overlay: bool
    ) -> None:
        self._overlay = overlay
        self.api = api
        self.operator = operator
        self._does = does
        self._cable = cable
        self._host = host
        self._log = log
        self._agents: dict[str, RouteAgent] = {}
        self.flags: JoinFlags | None = None
        self.ranges: Ranges | None = None
        self.gateway: GatewayProcess | None = None

    @property
    def name(self) -> str:
        """The cluster's id."""
        return self.api.cluster

    @property
    def joined(self) -> bool:
        """Whether Submariner is installed here."""
        return self.ranges is not None

    @property
    def endpoint(self) -> Endpoint | None:
        """The cluster's own Endpoint, as its API server holds it."""
        return next((e for e in self.api.list(Endpoint) if e.cluster_id == self.name), None)

    @property
    def remotes(self) -> tuple[Endpoint, ...]:
        """The Endpoints of other clusters that its API server holds."""
        return tuple(e for e in self.api.list(Endpoint) if e.cluster_id != self.name)

    # -- its own pods ----------------------------------------------------------------------------------------------

    def install(self, flags: JoinFlags, ranges: Ranges) -> None:
        """Start gateway and agents with these ranges, or restart them where they run."""
        self.flags, self.ranges = flags, ranges
        self.api.replace(self._resource(flags, ranges))
        self.restart_gateway()
        self.restart_agents(node.name for node in self.api.list(Node))

    def restart_gateway(self) -> None:
        """Start the gateway process on the node that holds the lease: the one that held it, else the first that is labelled."""
        node = self.gateway.node if self.gateway else next((n.name for n in self.api.list(Node) if GATEWAY_LABEL in n.labels), None)
        if self.flags is None or self.ranges is None:
            return
        if node is None:
            text = f"no node is labelled {GATEWAY_LABEL}=true: no gateway is deployed"
            self._log(LogLine(self.name, "", OPERATOR, "warning", text, Provenance(f"submariner operator of {self.name}", "gateway")))
            return
        self.gateway = GatewayProcess(self._host(node), self._resource(self.flags, self.ranges), self.ranges, self._does, self._log)
        self.gateway.start()
        if self.gateway.endpoint is not None:
            self.api.replace(self.gateway.endpoint)
            self.api.replace(_cluster(self.name, self.ranges))
        for remote in self.remotes:
            self.gateway.connect(remote)

    def restart_agents(self, nodes: Iterable[str]) -> None:
        """Start the route agents of some nodes, which read all Endpoints that there are."""
        if self.ranges is None:
            return
        for node in nodes:
            agent = RouteAgent(self._host(node), self.api, self.ranges, self._does, self._log, overlay=self._overlay)
            self._agents[node] = agent
            agent.start()
            if self.endpoint is not None:
                agent.local_created(self.endpoint)
            for remote in self.remotes:
                agent.remote_created(remote)

    def node_added(self, node: Node) -> None:
        """A node has joined: its agent starts, the others hear of it; it becomes the gateway where there was none."""
        for agent in self._agents.values():
            agent.node_created(node)
        if self.gateway is None and GATEWAY_LABEL in node.labels:
            self.restart_gateway()
        self.restart_agents((node.name,))

    def uninstall(self) -> None:
        """Leave the cluster set: clean every node, delete every object, forget everything."""
        for agent in self._agents.values():
            agent.uninstall()
        if self.gateway is not None:
            self.gateway.uninstall()
        lighthouse.retract(self.api)
        for kind in (Endpoint, Cluster, Gateway, RouteAgentReport, SubmarinerResource, DaemonSet, Pod):
            for there in self.api.list(kind, OPERATOR_NAMESPACE):
                self.api.delete(kind, there.name, OPERATOR_NAMESPACE)
        self._agents = {}
        self.flags = self.ranges = self.gateway = None
        self.operator.forget()

    # -- what the broker brings ------------------------------------------------------------------------------------

    def endpoint_came(self, remote: Endpoint) -> None:
        """Receive another cluster's Endpoint from the broker: a new one is acted upon, one changed in place hardly."""
        if self.gateway is None or self.gateway.endpoint is None or self.gateway.refuses(remote):
            return
        known = any(e.name == remote.name for e in self.remotes)
        self.api.replace(remote)
        if known:
            self.gateway.update(remote)
            return
        self.gateway.connect(remote)
        for agent in self._agents.values():
            agent.remote_created(remote)

    def endpoint_went(self, remote: Endpoint) -> None:
        """Another cluster's Endpoint is gone."""
        if not self.api.delete(Endpoint, remote.name, OPERATOR_NAMESPACE):
            return
        if self.gateway is not None:
            self.gateway.disconnect(remote)
        for agent in self._agents.values():
            agent.remote_removed(remote)

    # -- what it reports -------------------------------------------------------------------------------------------

    def report(self) -> None:
        """Bring the objects that only report up to date: Gateway, RouteAgents, pods, DaemonSets."""
        if self.ranges is None:
            return
        gateway = self.gateway.report() if self.gateway else None
        if gateway is not None:
            self.api.replace(gateway)
        elif self.gateway is not None:
            self.api.delete(Gateway, self.gateway.node, OPERATOR_NAMESPACE)
        why = Provenance(f"submariner operator of {self.name}", "its pods")
        for node in self.api.list(Node):
            self.api.replace(_pod(ROUTE_AGENT, node, why, crashing=False))
            if self._does.reports_route_agents and node.name in self._agents:
                unpinged: tuple[tuple[Endpoint, RemoteStatus], ...] = tuple((remote, "none") for remote in self.remotes)
                self.api.replace(RouteAgentReport(node.name, unpinged, self._does.version, provenance=why))
            if self.gateway is not None and node.name == self.gateway.node:
                self.api.replace(_pod(GATEWAY, node, why, crashing=self.gateway.endpoint is None))
        nodes, gateways = len(self.api.list(Node)), 1 if self.gateway else 0
        self.api.replace(DaemonSetStatus(ROUTE_AGENT, OPERATOR_NAMESPACE, provenance=why, desired=nodes, ready=nodes))
        self.api.replace(DaemonSetStatus(GATEWAY, OPERATOR_NAMESPACE, provenance=why, desired=gateways, ready=1 if gateway else 0))

    def _resource(self, flags: JoinFlags, ranges: Ranges) -> SubmarinerResource:
        behind = (ranges.services.provenance, ranges.pods.provenance)
        return SubmarinerResource(
            cluster_id=self.name,
            version=self._does.version,
            cable_driver=flags.cable_driver or self._cable,
            nat_enabled=flags.natt,
            air_gapped=flags.air_gapped,
            health_check=flags.health_check,
            force_udp_encaps=flags.force_udp_encaps,
            spec_cluster_cidr=str(flags.clustercidr or ""),
            spec_service_cidr=str(flags.servicecidr or ""),
            cluster_cidr=ranges.pods.network,
            service_cidr=ranges.services.network,
            network_plugin=ranges.plugin,
            global_cidr=ranges.everywhere.network if ranges.everywhere else None,
            provenance=Provenance(f"submariner operator of {self.name}", "status of the deployment", because=behind),
        )


def _cluster(name: str, ranges: Ranges) -> Cluster:
    services, pods = ranges.services, ranges.pods
    why = Provenance(f"submariner gateway of {name}", "its ranges", because=(services.provenance, pods.provenance))
    everywhere = (ranges.everywhere.network,) if ranges.everywhere else ()
    return Cluster(name, (services.network,), (pods.network,), everywhere, provenance=why)


def _pod(component: str, node: Node, why: Provenance, *, crashing: bool) -> Pod:
    kind = CrashingPod if crashing else Pod
    name = f"{component}-{node.name}"
    labels = {"app": component}
    return kind(name, OPERATOR_NAMESPACE, node.name, node.internal_ip, labels=labels, host_network=True, provenance=why)
