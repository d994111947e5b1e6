"""From a topology and what happened to a network state: the table of contents of this room.

Nothing here touches a kernel. Every component acts on namespaces and API servers as the real one acts on nodes, in the order of
events; what it does follows from what it finds there, and every object says who made it and why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from lab.cluster import kubernetes, plugin
from lab.cluster.addressing import build_world
from lab.cluster.api import ApiRefused, ApiServer
from lab.cluster.dns import CLUSTERSET, Elsewhere, Zones, dns_server, zones
from lab.cluster.emulation import Emulation
from lab.cluster.kubeproxy import program as kubeproxy
from lab.cluster.logs import CALICOCTL
from lab.cluster.objects import ConfigMap, IPPool, Node, ServiceExport
from lab.cluster.submariner import Submariner
from lab.cluster.underlay.network import add_machine, build_underlay
from lab.cluster.world import ClusterFacts, NodeFacts, Places, nowhere, v4
from lab.errors import InputError, Place, did_you_mean
from lab.spec.events import Event, ExportEdit, FelixResync, History, IPPoolEdit, NodeAdded
from lab.spec.topology import Topology
from lab.state.control import LogLine
from lab.state.implied import complete
from lab.state.network import Listener, Program, State
from lab.state.provenance import Provenance
from lab.state.state_builder import StateBuilder

NOTHING_HAPPENED: Final = History()
"""All nodes are there, and no multi-cluster software has run."""


def compile(topology: Topology, history: History = NOTHING_HAPPENED, *, place: Places = nowhere) -> State:
    """Return the state that a topology is in after the events of a history.

    `place` says where in the topology's file something stands. Raises InputError where the topology asks for what cannot be,
    or an event names what is not there.
    """
    lab, submariner = _begun(topology, history, place)
    _happen(lab, submariner, history)
    return _finished(lab, submariner)


def compile_further(topology: Topology, history: History, further: History, found: State, *, place: Places = nowhere) -> State:
    """Return what becomes of a state when something happens to it that came about by a history and by hand.

    `found` is what the kernel holds, whoever changed it since the history; the components know what the history told them, and act
    upon what they find, as they do when somebody has been at a node: what they own they put right, and the rest they leave alone.
    Raises InputError as `compile` does.
    """
    lab, submariner = _begun(topology, history, place)
    _happen(lab, submariner, history)
    lab.builder.resume(found)
    _happen(lab, submariner, further)
    return _finished(lab, submariner)


def _begun(topology: Topology, history: History, place: Places) -> tuple[Emulation, Submariner | None]:
    """Return the lab before anything happens, and the software that joins its clusters, where there is any."""
    world = build_world(topology, place)
    apis = {name: ApiServer(name, calico_api=cluster.spec.cni.api_server) for name, cluster in world.clusters.items()}
    lab = Emulation(world, StateBuilder(), apis)
    absent = {world.node(name).name for name in history.absent}
    first = [node for cluster in world.clusters.values() for node in cluster.nodes.values() if node.name not in absent]
    build_underlay(lab, first)
    for cluster in world.clusters.values():
        kubernetes.install(apis[cluster.name], cluster)
    for node in first:
        _join(lab, node)
    for cluster in world.clusters.values():
        kubeproxy.sync(lab, cluster)
        plugin.sync(lab, cluster)
    return lab, Submariner(topology.submariner, world, lab.builder, apis, lab.builder.log) if topology.submariner else None


def _happen(lab: Emulation, submariner: Submariner | None, history: History) -> None:
    """Let events happen, in their order."""
    for event, written in history.dated():
        try:
            _react(lab, event, written)
            if submariner is not None:
                submariner.handle(event, written)
        except InputError as error:
            raise error.at(written) from None
        for cluster in lab.world.clusters.values():
            if submariner is not None and submariner.makes_services:
                kubeproxy.sync(lab, cluster)
            plugin.sync(lab, cluster)


def _finished(lab: Emulation, submariner: Submariner | None) -> State:
    """Return the state as the components have left it."""
    for cluster in lab.world.clusters.values():
        _serve_names(lab, cluster, submariner.connected(cluster.name) if submariner is not None else frozenset())
    for api in (*lab.apis.values(), *((submariner.broker,) if submariner is not None else ())):
        for thing in api.exported():
            lab.builder.put_object(thing)
    return complete(lab.builder.freeze())


def _join(lab: Emulation, node: NodeFacts) -> None:
    """A node joins its cluster: the API knows it, its network plug-in programs it."""
    cluster = lab.world.clusters[node.cluster]
    kubernetes.join(lab.apis[cluster.name], cluster, node)
    plugin.join(lab, node)


def _react(lab: Emulation, event: Event, written: Place | None) -> None:
    """What an event means to the cluster itself, whoever else reacts to it."""
    match event:
        case NodeAdded():
            _add_node(lab, lab.world.node(event.node))
        case IPPoolEdit():
            _edit_pool(lab, event, written)
        case ExportEdit():
            _edit_export(lab, event)
        case FelixResync():
            plugin.resync(lab, lab.world.clusters[event.cluster])
        case _:
            pass


def _add_node(lab: Emulation, node: NodeFacts) -> None:
    if lab.apis[node.cluster].get(Node, node.name) is not None:
        raise InputError(f"node {node.name} cannot join, it is there already", hint="name it in `absent` of the first phase")
    cluster = lab.world.clusters[node.cluster]
    add_machine(lab, node)
    _join(lab, node)
    kubeproxy.sync(lab, cluster)
    plugin.sync(lab, cluster)


def _edit_pool(lab: Emulation, event: IPPoolEdit, written: Place | None) -> None:
    """An operator makes, changes or deletes a pool; what Calico refuses, the log says."""
    api = lab.apis[event.cluster]
    if event.cidr is None:
        api.delete(IPPool, event.name)
        return
    why = Provenance("operator", f"calicoctl apply of IPPool {event.name}", written)
    there = api.get(IPPool, event.name)
    try:
        if there is None:
            api.create(IPPool(event.name, event.cidr, nat_outgoing=event.nat_outgoing, disabled=event.disabled, provenance=why))
        elif there.cidr == event.cidr:
            api.replace(replace(there, nat_outgoing=event.nat_outgoing, disabled=event.disabled, provenance=why))
        else:
            raise ApiRefused(f"error with field IPPool.Spec.CIDR = '{event.cidr}' (IPPool CIDR cannot be modified)")
    except ApiRefused as refusal:
        lab.builder.log(LogLine(event.cluster, "", CALICOCTL, "error", str(refusal), why))


def _edit_export(lab: Emulation, event: ExportEdit) -> None:
    services = lab.world.clusters[event.cluster].services
    service = services.get(event.service)
    if service is None:
        hint = did_you_mean(event.service, list(services), "service")
        raise InputError(f"{event.cluster} has no service {event.service!r}", hint=hint)
    if service.address is None:
        raise InputError(
            f"service {event.service!r} has no IPv4 address", hint="Submariner exports nothing else: give it IPv4 in `families`"
        )
    api = lab.apis[event.cluster]
    if event.action == "delete":
        api.delete(ServiceExport, service.name, service.namespace)
    elif api.get(ServiceExport, service.name, service.namespace) is None:
        why = Provenance("operator", f"export of service {service.name}", because=(service.provenance,))
        api.create(ServiceExport(service.name, service.namespace, provenance=why))


def _serve_names(lab: Emulation, cluster: ClusterFacts, connected: frozenset[str]) -> None:
    """Start what serves the cluster itself: the API on its first node, and DNS in its pod, which knows the `connected` clusters."""
    present = lab.present(cluster)
    if not present:
        return
    first = present[0]
    why = Provenance("kubernetes", f"API server of {cluster.name}", because=(cluster.provenance,))
    lab.builder[first.name].listeners["kube-apiserver"] = Listener("kube-apiserver", "tcp", kubernetes.API_PORT, provenance=why)
    known = zones(lab.apis[cluster.name], cluster.domain, connected)
    why = Provenance("kubernetes", f"cluster DNS of {cluster.name}", because=(cluster.provenance,))
    if cluster.dns_pod in lab.builder:
        server = _cluster_dns(lab, cluster, known, why)
        lab.builder[cluster.dns_pod].programs[server.name] = server
    if cluster.lighthouse_pod is not None and cluster.lighthouse_pod in lab.builder:
        server = dns_server(known.within(CLUSTERSET), (CLUSTERSET,), (), why)
        lab.builder[cluster.lighthouse_pod].programs[server.name] = server


def _cluster_dns(lab: Emulation, cluster: ClusterFacts, known: Zones, why: Provenance) -> Program:
    """Return the cluster's server: it forwards what its Corefile has blocks for, and asks its upstream for what it does not know.

    Submariner's operator adds a block for Lighthouse: to the Corefile, or, on RKE2, to a key beside it (operator:controllers/
    servicediscovery/servicediscovery_controller.go).
    """
    dns, upstream = cluster.spec.dns, cluster.spec.dns.upstream
    forwards = {zone.rstrip("."): v4(address) for zone, address in dns.forward.items()}
    if dns.lighthouse is not None and lab.world.topology.submariner is not None:
        block = f"{CLUSTERSET}:53 {{ forward . {dns.lighthouse} }}"
        beside = cluster.spec.distribution == "rke2"
        name, key = ("rke2-coredns-rke2-coredns", "lighthouse.server") if beside else ("coredns", "Corefile")
        lab.apis[cluster.name].replace(ConfigMap(name, "kube-system", {key: block}, provenance=why))
        if dns.imports or not beside:
            forwards.setdefault(CLUSTERSET, v4(dns.lighthouse))
        else:
            written = lab.world.written("clusters", cluster.name, "dns", "imports")
            why = Provenance("kubernetes", f"{why.reason}, whose Corefile imports nothing", because=(*why.because, written))
    rest = None if upstream is None else v4(lab.world.topology.hosts[upstream].address)
    own = (cluster.domain, CLUSTERSET) if dns.lighthouse is None else (cluster.domain,)
    known = known if dns.lighthouse is None else known.within(CLUSTERSET, inside=False)
    outside = lab.outside_names() if upstream is None else ()
    return dns_server(known, own, outside, why, Elsewhere(tuple(forwards.items()), rest))
