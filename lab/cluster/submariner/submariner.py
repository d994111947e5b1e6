"""Submariner across all clusters: every event goes to the cluster it concerns, and the broker carries Endpoints to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from lab.cluster.api import ApiServer
from lab.cluster.objects import Node
from lab.cluster.submariner import globalnet, lighthouse
from lab.cluster.submariner.discovery import Refusal
from lab.cluster.submariner.globalnet import global_addresses
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.member import Member
from lab.cluster.submariner.names import BROKER_NAMESPACE
from lab.cluster.submariner.objects import Cluster, Endpoint, Subnet
from lab.cluster.submariner.operator import Operator, Ranges
from lab.cluster.submariner.versions import behaviour
from lab.cluster.world import World, v4_network
from lab.errors import InputError, Place, did_you_mean
from lab.spec.cluster import Submariner as Spec
from lab.spec.events import AgentRestart, Detect, Event, Join, NodeAdded, OperatorRestart
from lab.state.control import LogLine
from lab.state.provenance import Provenance
from lab.state.state_builder import StateBuilder

BROKER = "broker"
"""What the broker's API server is called where the topology names no host for it."""


class Submariner:
    """The cluster set. It acts on the nodes' kernels through `builder`, on API servers, and writes log lines, in order."""

    def __init__(
        self,
        spec: Spec,
        world: World,
        builder: StateBuilder,
        apis: Mapping[str, ApiServer],
        log: Callable[[LogLine], None],
    ) -> None:
        does = behaviour(spec.version)
        self._world = world
        self.broker = ApiServer(spec.broker or BROKER, calico_api=False)
        """The broker: an API server with copies of every Endpoint and Cluster; its objects belong to the state as well."""
        self._global = global_addresses(spec, world)
        self._builder = builder
        self._members: dict[str, Member] = {}
        for name, api in apis.items():
            services = Subnet(world.clusters[name].service_cidr, world.written("clusters", name, "service_cidr"))
            operator = Operator(name, does, services, api.exported, log, improved=spec.discovery == "improved")
            self._members[name] = Member(
                api, operator, does, spec.cable, lambda node: Host(builder[node]), log, overlay=spec.workers == "overlay"
            )

    @property
    def makes_services(self) -> bool:
        """Whether events change services: Globalnet's controllers make some of their own."""
        return bool(self._global)

    def handle(self, event: Event, place: Place | None = None) -> None:
        """Let the cluster set react to an event that stands somewhere in a file.

        A node that is added is there already, with everything but Submariner.
        """
        match event:
            case Join():
                self._join(event, place)
            case Detect():
                self._member(event.cluster).operator.force(v4_network(event.clustercidr), place)
            case NodeAdded():
                self._node_added(event.node)
            case AgentRestart():
                self._agents_restart(event)
            case OperatorRestart():
                self._operator_restarts(self._member(event.cluster))
            case _:
                pass
        self._agree_on_cables()
        for member in self._members.values():
            member.report()
            self._translate(member)
        lighthouse.publish({name: member.api for name, member in self._members.items() if member.joined})

    def connected(self, cluster: str) -> frozenset[str]:
        """Return the clusters whose connection this cluster's gateway reports as connected."""
        gateway = self._member(cluster).gateway
        report = gateway.report() if gateway else None
        return frozenset(c.endpoint.cluster_id for c in report.connections if c.status == "connected") if report else frozenset()

    # -- events ----------------------------------------------------------------------------------------------------

    def _join(self, event: Join, place: Place | None) -> None:
        member = self._member(event.cluster)
        if member.joined and event.recreate_endpoint:
            self._leave(member)
        ranges = member.operator.ranges(event, place)
        if isinstance(ranges, Refusal):
            return
        member.install(event, self._globally(member, ranges))
        self._publish(member)

    def _globally(self, member: Member, ranges: Ranges) -> Ranges:
        """Return a cluster's ranges with its global one, where there is Globalnet."""
        found = self._global.get(member.name)
        if found is None:
            return ranges
        why = Provenance("submariner broker", f"global range {found.network} of {member.name}", because=(found.provenance,))
        return replace(ranges, everywhere=Subnet(found.network, why))

    def _leave(self, member: Member) -> None:
        endpoint = member.endpoint
        member.uninstall()
        self.broker.delete(Cluster, member.name, BROKER_NAMESPACE)
        if endpoint is None:
            return
        self.broker.delete(Endpoint, endpoint.name, BROKER_NAMESPACE)
        for other in self._others(member):
            other.endpoint_went(endpoint)

    def _publish(self, member: Member) -> None:
        """Carry a cluster's Endpoint to the broker and from there to the others, and theirs to it."""
        endpoint = member.endpoint
        if endpoint is None:
            return
        self.broker.replace(endpoint.at_broker())
        for cluster in member.api.list(Cluster):
            self.broker.replace(cluster.at_broker())
        for other in self._others(member):
            other.endpoint_came(endpoint)
            theirs = other.endpoint
            if theirs is not None and theirs not in member.remotes:
                member.endpoint_came(theirs)

    def _node_added(self, name: str) -> None:
        member = self._members[self._world.node(name).cluster]
        node = member.api.get(Node, name)
        if node is None or not member.joined:
            return
        before = member.endpoint
        member.node_added(node)
        if before is None:
            self._publish(member)

    def _agents_restart(self, event: AgentRestart) -> None:
        member = self._member(event.cluster)
        there = [node.name for node in member.api.list(Node)]
        for name in event.nodes:
            if name not in there:
                raise InputError(f"cluster {event.cluster} has no node {name!r}", hint=did_you_mean(name, there, "node"))
        nodes = event.nodes or tuple(there)
        if member.gateway is not None and member.gateway.node in nodes:
            member.restart_gateway()
        member.restart_agents(nodes)
        self._publish(member)

    def _operator_restarts(self, member: Member) -> None:
        """It discovers anew; where it arrives elsewhere, the pods start again with that, and the Endpoint changes in place."""
        member.operator.forget()
        if member.flags is None:
            return
        ranges = member.operator.ranges_again(member.flags)
        if ranges is not None and ranges != member.ranges:
            member.install(member.flags, self._globally(member, ranges))
            self._publish(member)

    def _translate(self, member: Member) -> None:
        """Let Globalnet's controllers bring a cluster's gateway and services in line with what is exported and who is connected."""
        addresses = self._global.get(member.name)
        if addresses is None or member.ranges is None or member.gateway is None:
            return
        remote = tuple(subnet for endpoint in member.remotes for subnet in endpoint.subnets)
        globalnet.translate(Host(self._builder[member.gateway.node]), addresses, member.ranges, remote)
        globalnet.expose_services(member.api, addresses)

    # -- between clusters ------------------------------------------------------------------------------------------

    def _agree_on_cables(self) -> None:
        """Let the two ends of every cable compare what they have configured."""
        gateways = {name: member.gateway for name, member in self._members.items() if member.gateway is not None}
        for name, gateway in gateways.items():
            gateway.settle({peer: frozenset((b, a) for a, b in other.selectors(name)) for peer, other in gateways.items() if peer != name})

    def _others(self, member: Member) -> list[Member]:
        return [other for other in self._members.values() if other is not member and other.joined]

    def _member(self, cluster: str) -> Member:
        if cluster not in self._members:
            raise InputError(f"there is no cluster {cluster!r}", hint=did_you_mean(cluster, list(self._members), "cluster"))
        return self._members[cluster]
