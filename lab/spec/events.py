"""What happens to clusters, in order: the events a scenario writes down and the control planes react to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import ClassVar, Literal

from lab.errors import Place
from lab.spec.values import AnyNetwork, Many, Model, Name, Network, ObjectName, OneOf


class JoinFlags(Model):
    """The flags of ``subctl join``; the defaults are those of the published incident."""

    clustercidr: Network | None = None
    """The pod network (--clustercidr). By default Submariner discovers it."""
    servicecidr: Network | None = None
    """The service network (--servicecidr). By default Submariner discovers it."""
    natt: bool = False
    """Whether gateways look for each other behind NAT (--natt)."""
    air_gapped: bool = True
    """Whether the gateways do without a server that tells them their public address (--air-gapped)."""
    health_check: bool = False
    """Whether gateways ping each other's clusters (--health-check)."""
    force_udp_encaps: bool = True
    """Whether IPsec is always encapsulated in UDP (--force-udp-encaps)."""
    cable_driver: Literal["vxlan", "libreswan"] | None = None
    """The cable driver (--cable-driver). By default the topology's."""


class Join(JoinFlags):
    """``subctl join`` of a cluster.

    A cluster that joins again leaves first, as by ``subctl uninstall``: its Endpoint is deleted everywhere, its nodes are cleaned and
    its operator forgets what it discovered; then everything is made anew.
    """

    cluster: Name
    """The cluster that joins."""
    recreate_endpoint: bool = True
    """If false, joining again is a second ``subctl join`` and nothing else: the cluster's own gateway and agents restart with the new
    networks, and its Endpoint is updated in place, which the other clusters do not act upon until they restart."""


class Detect(Model):
    """The cause put directly: what the operator's discovery answers at the cluster's next join."""

    cluster: Name
    """The cluster."""
    clustercidr: Network
    """The pod network that is discovered."""


class NodeAdded(Model):
    """A node of the topology that was `absent` joins its cluster."""

    node: Name
    """The node."""


class AgentRestart(Model):
    """The route agents (and the gateway, where there is one) of some nodes restart and read everything anew."""

    cluster: Name
    """The cluster."""
    nodes: Many[Name] = ()
    """The nodes whose agents restart. By default all of the cluster."""


class OperatorRestart(Model):
    """The operator restarts and forgets what it discovered."""

    cluster: Name
    """The cluster."""


class FelixResync(Model):
    """Felix checks its rules and routes and repairs them, as it does every 90 seconds in a real cluster."""

    cluster: Name
    """The cluster."""


class IPPoolEdit(Model):
    """An operator makes a Calico IPPool by hand (``kubectl apply``), changes what one says, or deletes one."""

    cluster: Name
    """The cluster."""
    name: ObjectName
    """The pool's name."""
    cidr: AnyNetwork | None = None
    """The pool's network; that of a pool that is there cannot change. Without it, the pool is deleted."""
    nat_outgoing: bool = False
    """Its spec.natOutgoing."""
    disabled: bool = True
    """Its spec.disabled: whether no pod gets an address from it."""


class ExportEdit(Model):
    """A ServiceExport is made or deleted."""

    cluster: Name
    """The cluster."""
    service: Name
    """The service."""
    action: Literal["create", "delete"] = "create"
    """What happens to its export."""


Event = Join | Detect | NodeAdded | AgentRestart | OperatorRestart | FelixResync | IPPoolEdit | ExportEdit


class EventItem(OneOf):
    """Something that happens to a cluster: exactly one of these."""

    what: ClassVar[str] = "kind of event"

    join: Join | None = None
    """A cluster joins the others."""
    detect: Detect | None = None
    """What a cluster's next join discovers."""
    node_added: NodeAdded | None = None
    """A node comes that was absent."""
    agent_restart: AgentRestart | None = None
    """Route agents and gateways restart."""
    operator_restart: OperatorRestart | None = None
    """The operator restarts."""
    felix_resync: FelixResync | None = None
    """Felix repairs what it programmed."""
    ippool: IPPoolEdit | None = None
    """An IPPool is made, changed or deleted by hand."""
    export: ExportEdit | None = None
    """A service's export is made or deleted."""

    @property
    def happening(self) -> Event:
        """The one event this entry holds."""
        value: Event = getattr(self, self.kind)
        return value


@dataclass(frozen=True, slots=True)
class History:
    """The events that lead to a phase, in order, starting with all nodes present except `absent`."""

    absent: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    places: tuple[Place | None, ...] = ()
    """Where in a file each event stands, as far as that is known."""

    def dated(self) -> Iterator[tuple[Event, Place | None]]:
        """Yield the events in order, each with its place."""
        return zip(self.events, chain(self.places, repeat(None)), strict=False)
