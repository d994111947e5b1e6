"""Who speaks BGP with whom: the nodes of clusters without encapsulation that are told to, and the routers they peer with.

A dual-stack cluster speaks twice: over IPv4 about its IPv4 blocks, and over IPv6 about those of IPv6, with the same peers.

Source: Calico's BGPConfiguration (nodeToNodeMeshEnabled, asNumber) and BGPPeer (nodes that are route reflectors, peers at the rack), and
confd's bird.cfg.template and bird6.cfg.template at v3.26, which leave out a peer that has the node's own address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_network
from typing import Final

from lab.cluster.bgp.bird import NAMES, bird
from lab.cluster.bgp.learned import Routes, learned
from lab.cluster.emulation import Emulation
from lab.cluster.world import ClusterFacts, NodeFacts, address6_on, v4, v4_interface
from lab.spec.bgp import Bgp
from lab.state.bgp import BgpSession, BgpSpeaker, Refusal, Version, is_learned
from lab.state.objects import Address, Network, Protocol, Route
from lab.state.provenance import Provenance

COMPONENT = "bird"
VERSIONS: Final[tuple[Version, ...]] = (4, 6)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a speaker is: the pool of its pods, and where the file says that it speaks."""

    pool: Network | None
    why: Provenance


def sync(lab: Emulation) -> None:
    """Tell every speaker what it is to do, and have the routes where they will be once all have told each other."""
    for version in VERSIONS:
        _sync(lab, version)


def _sync(lab: Emulation, version: Version) -> None:
    speakers: dict[str, BgpSpeaker] = {}
    places: dict[str, _Place] = {}
    spoken = [(cluster, bgp) for cluster, bgp in _speaking(lab) if version == 4 or cluster.pod_cidr6 is not None]
    for cluster, bgp in spoken:
        _add_nodes(lab, cluster, bgp, speakers, places, version)
    for cluster, bgp in spoken:
        _add_routers(lab, cluster, bgp, speakers, places, version)
    routes = learned(speakers)
    for name, speaker in speakers.items():
        namespace, place = lab.builder[name], places[name]
        namespace.programs[NAMES[version]] = bird(speaker, place.pool, place.why)
        namespace.routes = [route for route in namespace.routes if not (is_learned(route, version) and route.type == "unicast")]
        namespace.routes.extend(_routes(lab, name, routes[name], place.why))


def _speaking(lab: Emulation) -> Iterator[tuple[ClusterFacts, Bgp]]:
    for cluster in lab.world.clusters.values():
        if cluster.spec.cni.bgp is not None:
            yield cluster, cluster.spec.cni.bgp


def _add_nodes(
    lab: Emulation, cluster: ClusterFacts, bgp: Bgp, speakers: dict[str, BgpSpeaker], places: dict[str, _Place], version: Version
) -> None:
    nodes = lab.present(cluster)
    addresses = {node.name: _address(node, bgp, version) for node in nodes}
    why = lab.world.written("clusters", cluster.name, "cni", "bgp")
    for node in nodes:
        own = addresses[node.name]
        others = ((name, address) for name, address in addresses.items() if _peers(bgp, node.name, name) and address != own)
        sessions = [
            BgpSession(_symbol("node", name), own, address, bgp.asn, client=node.name in bgp.reflectors and name not in bgp.reflectors)
            for name, address in others
        ]
        sessions += [
            BgpSession(_symbol("router", router), own, _router(lab, router, node.segment, version), asn)
            for router, asn in bgp.peers.items()
        ]
        announced, refused = tuple(_announced(node, version)), _refused(bgp, node.name, version)
        identifier = own if isinstance(own, IPv4Address) else _address(node, bgp, 4)
        assert isinstance(identifier, IPv4Address)
        speakers[node.name] = BgpSpeaker(identifier, bgp.asn, tuple(sessions), announced, refused, version)
        reason = Provenance(COMPONENT, f"BGP of node {node.name} over IPv{version}", because=(node.provenance, why))
        places[node.name] = _Place(cluster.pod_cidr if version == 4 else cluster.pod_cidr6, reason)


def _add_routers(
    lab: Emulation, cluster: ClusterFacts, bgp: Bgp, speakers: dict[str, BgpSpeaker], places: dict[str, _Place], version: Version
) -> None:
    """A router has a session with every node that peers with it."""
    for router, asn in bgp.peers.items():
        interfaces = lab.world.topology.routers[router].interfaces
        first = next((interfaces[node.segment] for node in lab.present(cluster)), next(iter(interfaces.values())))
        speaker = speakers.get(router) or BgpSpeaker(v4(first), asn, version=version)
        sessions = [
            BgpSession(_symbol("node", node.name), _router(lab, router, node.segment, version), _address(node, bgp, version), bgp.asn)
            for node in lab.present(cluster)
        ]
        refused = (*speaker.refuses, *_refused(bgp, router, version))
        speakers[router] = replace(speaker, asn=asn, sessions=(*speaker.sessions, *sessions), refuses=refused)
        why = lab.world.written("clusters", cluster.name, "cni", "bgp", "peers", router)
        places[router] = _Place(None, Provenance(COMPONENT, f"BGP of router {router} over IPv{version}", because=(why,)))


def _peers(bgp: Bgp, one: str, other: str) -> bool:
    """Whether two nodes have a session: every two in a mesh, and with reflectors those of which one is."""
    return one != other and (not bgp.reflectors or one in bgp.reflectors or other in bgp.reflectors)


def _refused(bgp: Bgp, name: str, version: Version) -> tuple[Refusal, ...]:
    """Return what a node or router does not take, of a version of IP."""
    return tuple(
        Refusal(refusal.prefix, (max(refusal.longer_than + 1, refusal.prefix.prefixlen), refusal.prefix.max_prefixlen))
        for refusal in bgp.refuse
        if name in refusal.on and refusal.prefix.version == version
    )


def _address(node: NodeFacts, bgp: Bgp, version: Version) -> Address:
    """Return the address by which a node speaks: the one it detects (IP_AUTODETECTION_METHOD); a bridge has none of IPv6."""
    if version == 6:
        assert node.address6 is not None
        return node.address6
    bridge = node.written.bridges.get(bgp.interface) if bgp.interface is not None else None
    return node.address if bridge is None else v4_interface(bridge.address).ip


def _router(lab: Emulation, name: str, segment: str, version: Version) -> Address:
    """Return the address by which a router speaks on a segment."""
    router = lab.world.topology.routers[name]
    if version == 4:
        return v4(router.interfaces[segment])
    address = address6_on(lab.world.topology, segment, router.interfaces[segment], router.ipv6)
    assert address is not None
    return address


def _announced(node: NodeFacts, version: Version) -> Iterator[Network]:
    blocks: tuple[Network, ...] = node.blocks if version == 4 else node.blocks6
    yield from blocks
    for pod in node.pods:
        address = pod.address if version == 4 else pod.address6
        if address is not None and not any(address in block for block in blocks):
            yield ip_network(address)


def _routes(lab: Emulation, name: str, known: Routes, why: Provenance) -> Iterable[Route]:
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
