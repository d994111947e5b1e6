"""Who speaks BGP with whom: the nodes of clusters without encapsulation that are told to, and the routers they peer with.

Source: Calico's BGPConfiguration (nodeToNodeMeshEnabled, asNumber) and BGPPeer (nodes that are route reflectors, peers at the rack), and
confd's bird.cfg.template at v3.26, which leaves out a peer that has the node's own address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.cluster.bgp.bird import NAME, bird
from lab.cluster.bgp.learned import Learned, learned
from lab.cluster.emulation import Emulation
from lab.cluster.world import ClusterFacts, NodeFacts, v4, v4_interface, v4_network
from lab.spec.bgp import Bgp
from lab.state.bgp import BgpSession, BgpSpeaker, Refusal, is_learned
from lab.state.objects import Protocol, Route
from lab.state.provenance import Provenance

COMPONENT = "bird"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a speaker is: the pool of its pods, and where the file says that it speaks."""

    pool: IPv4Network | None
    why: Provenance


def sync(lab: Emulation) -> None:
    """Tell every speaker what it is to do, and have the routes where they will be once all have told each other."""
    speakers: dict[str, BgpSpeaker] = {}
    places: dict[str, _Place] = {}
    for cluster in lab.world.clusters.values():
        if cluster.spec.cni.bgp is not None:
            _add_nodes(lab, cluster, cluster.spec.cni.bgp, speakers, places)
    _add_routers(lab, speakers, places)
    routes = learned(speakers)
    for name, speaker in speakers.items():
        namespace, place = lab.builder[name], places[name]
        namespace.programs[NAME] = bird(speaker, place.pool, place.why)
        namespace.routes = [route for route in namespace.routes if not (is_learned(route) and route.type == "unicast")]
        namespace.routes.extend(_routes(lab, name, speakers, routes[name], place.why))


def _add_nodes(lab: Emulation, cluster: ClusterFacts, bgp: Bgp, speakers: dict[str, BgpSpeaker], places: dict[str, _Place]) -> None:
    nodes = lab.present(cluster)
    addresses = {node.name: _address(node, bgp) for node in nodes}
    why = lab.world.written("clusters", cluster.name, "cni", "bgp")
    for node in nodes:
        own = addresses[node.name]
        others = ((name, address) for name, address in addresses.items() if _peers(bgp, node.name, name) and address != own)
        sessions = [
            BgpSession(_symbol("node", name), own, address, bgp.asn, client=node.name in bgp.reflectors and name not in bgp.reflectors)
            for name, address in others
        ]
        sessions += [
            BgpSession(_symbol("router", router), own, v4(lab.world.topology.routers[router].interfaces[node.segment]), asn)
            for router, asn in bgp.peers.items()
        ]
        refused = tuple(
            Refusal(v4_network(refusal.prefix), (max(refusal.longer_than + 1, refusal.prefix.prefixlen), 32))
            for refusal in bgp.refuse
            if node.name in refusal.on
        )
        speakers[node.name] = BgpSpeaker(own, bgp.asn, tuple(sessions), tuple(_announced(node)), refused)
        places[node.name] = _Place(cluster.pod_cidr, Provenance(COMPONENT, f"BGP of node {node.name}", because=(node.provenance, why)))


def _add_routers(lab: Emulation, speakers: dict[str, BgpSpeaker], places: dict[str, _Place]) -> None:
    """A router has a session with every node that peers with it."""
    for cluster in lab.world.clusters.values():
        bgp = cluster.spec.cni.bgp
        for router, asn in bgp.peers.items() if bgp is not None else ():
            assert bgp is not None
            before = speakers.get(router)
            sessions = [*(before.sessions if before is not None else ())]
            for node in lab.present(cluster):
                local = v4(lab.world.topology.routers[router].interfaces[node.segment])
                sessions.append(BgpSession(_symbol("node", node.name), local, _address(node, bgp), bgp.asn))
            identifier = sessions[0].local if sessions else v4(next(iter(lab.world.topology.routers[router].interfaces.values())))
            refused = tuple(
                Refusal(v4_network(refusal.prefix), (max(refusal.longer_than + 1, refusal.prefix.prefixlen), 32))
                for refusal in bgp.refuse
                if router in refusal.on
            )
            speakers[router] = BgpSpeaker(identifier, asn, tuple(sessions), refuses=(*(before.refuses if before else ()), *refused))
            why = lab.world.written("clusters", cluster.name, "cni", "bgp", "peers", router)
            places[router] = _Place(None, Provenance(COMPONENT, f"BGP of router {router}", because=(why,)))


def _peers(bgp: Bgp, one: str, other: str) -> bool:
    """Whether two nodes have a session: every two in a mesh, and with reflectors those of which one is."""
    return one != other and (not bgp.reflectors or one in bgp.reflectors or other in bgp.reflectors)


def _address(node: NodeFacts, bgp: Bgp) -> IPv4Address:
    """Return the address by which a node speaks: the one it detects (IP_AUTODETECTION_METHOD)."""
    bridge = node.written.bridges.get(bgp.interface) if bgp.interface is not None else None
    return node.address if bridge is None else v4_interface(bridge.address).ip


def _announced(node: NodeFacts) -> Iterator[IPv4Network]:
    yield from node.blocks
    for pod in node.pods:
        if not any(pod.address in block for block in node.blocks):
            yield IPv4Network(pod.address)


def _routes(
    lab: Emulation, name: str, speakers: dict[str, BgpSpeaker], known: dict[IPv4Network, Learned], why: Provenance
) -> Iterable[Route]:
    namespace = lab.builder[name]
    for prefix, route in known.items():
        if route.next_hop is None:
            continue
        device = next(entry.device for entry in namespace.addresses if route.next_hop in entry.interface.network)
        reason = Provenance(COMPONENT, f"{prefix} of {route.origin}, told by {route.by}", because=(why,))
        yield Route(prefix, via=route.next_hop, device=device, protocol=Protocol.BIRD, provenance=reason)


def _symbol(kind: str, name: str) -> str:
    """Return a name as BIRD takes it."""
    return f"{kind}_{re.sub('[^A-Za-z0-9]', '_', name)}"
