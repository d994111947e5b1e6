"""Whether the BGP of a cluster makes sense: nodes, routers and devices that are there."""

from __future__ import annotations

from lab.errors import InputError
from lab.spec.cluster import Cluster
from lab.spec.document import Path
from lab.spec.findings import Mistakes, dangling
from lab.spec.load import Loaded
from lab.spec.topology import Topology


def check_bgp(loaded: Loaded[Topology], cluster: Cluster, path: Path) -> Mistakes:
    """Yield everything in the BGP of a cluster, which stands at `path`, that leads nowhere."""
    bgp, routers, path = cluster.cni.bgp, loaded.model.routers, (*path, "cni", "bgp")
    if bgp is None:
        return
    for index, reflector in enumerate(bgp.reflectors):
        if reflector not in cluster.nodes:
            yield dangling("node", reflector, cluster.nodes, loaded.place(*path, "reflectors", index), " in this cluster")
    for router in bgp.peers:
        place = loaded.key_place(*path, "peers", router)
        if router not in routers:
            yield dangling("router", router, routers, place)
            continue
        for name, node in cluster.nodes.items():
            segment = node.segment or cluster.segment
            if segment not in routers[router].interfaces:
                yield InputError(f"the router {router!r} is not on {segment!r}, where {name!r} is", place=place)
    if bgp.interface is not None:
        for name, node in cluster.nodes.items():
            if bgp.interface not in ("eth0", *node.bridges):
                yield dangling(
                    "device", bgp.interface, ["eth0", *node.bridges], loaded.place(*path, "interface"), f" with an address on {name!r}"
                )
    known = [*cluster.nodes, *bgp.peers]
    for number, refusal in enumerate(bgp.refuse):
        if refusal.prefix.version == 6 and cluster.pod_cidr6 is None:
            hint = f"give {path[1]!r} a `pod_cidr6`"
            yield InputError("nobody speaks about IPv6 here", place=loaded.place(*path, "refuse", number, "prefix"), hint=hint)
        for index, name in enumerate(refusal.on):
            if name not in known:
                yield dangling("speaker", name, known, loaded.place(*path, "refuse", number, "on", index), " of this cluster")
