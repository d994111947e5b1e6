"""The discovery that the /24 incident calls for: ask who gives pods their addresses, check it against all else, or refuse.

With Calico the enabled IPPools decide, because Calico IPAM hands out nothing outside them. Without pools the components' flags
decide. A node's podCIDR never does: it is a part of the range at best. Whatever decides must

- contain every IPAM block and every tunnel address, which are addresses in use, and
- be nested, one way or the other, with every flag and every podCIDR: a pool inside the flag's range is a cluster that gives
  pods a part of it, a podCIDR inside the pool is the part that one node would have had.

Otherwise the sources contradict each other, and discovery says which, in place of an answer. This is the lab's own; no released
Submariner has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, collapse_addresses

from lab.cluster.submariner.discovery.findings import Denial, Disagreement, Discovered, Finding, Look, Refusal
from lab.cluster.submariner.discovery.plugins import plugin_of
from lab.cluster.submariner.discovery.sources import Source, blocks, flags, local_pools, node_cidrs, tunnels
from lab.cluster.submariner.discovery.stock import look_for_services
from lab.cluster.submariner.versions import Behaviour
from lab.state.control import ApiObject
from lab.state.provenance import Provenance


def discover_improved(cluster: str, objects: Sequence[ApiObject], does: Behaviour, denial: Denial) -> Discovered | Refusal:
    """Discover from all sources; `denial` as in `stock.discover`. `does` only tells how this version names the plug-in."""
    plugin = plugin_of(objects, does)
    pools, stated = tuple(local_pools(objects)), tuple(flags(objects))
    used = (*blocks(objects), *tunnels(objects))
    parts = tuple(node_cidrs(objects))
    looks = tuple(Look(source.name, str(source.network), provenance=source.provenance) for source in (*pools, *used, *stated, *parts))
    deciding = pools or stated
    if not deciding:
        nothing = Disagreement("no source", "what the whole range is", "neither an enabled IPPool nor a --cluster-cidr flag exists")
        return Refusal(cluster, plugin, (nothing,), looks)
    ranges = tuple(collapse_addresses(source.network for source in deciding))
    chosen = ranges[0]
    complaints = [
        *_not_one(ranges, deciding),
        *_outside(used, chosen, deciding[0]),
        *_foreign((*stated, *parts), chosen, deciding[0]),
    ]
    if complaints:
        return Refusal(cluster, plugin, tuple(complaints), looks)
    reason = Provenance(
        "improved discovery",
        f"{deciding[0]}, which contains {len(used)} blocks and tunnel addresses in use and agrees with {len(stated) + len(parts)} "
        "flags and podCIDRs",
        because=tuple(dict.fromkeys(source.provenance for source in deciding)),
    )
    answer = Look(str(deciding[0]), f"{chosen}, where pods get their addresses", chosen, reason)
    return Discovered(plugin, Finding((*looks, answer)), look_for_services(objects, denial, args=True))


def _not_one(ranges: Sequence[IPv4Network], deciding: Sequence[Source]) -> list[Disagreement]:
    """An Endpoint of this version carries one pod range: several that do not join into one need a person's decision."""
    if len(ranges) == 1:
        return []
    first = deciding[0]
    return [
        Disagreement(
            source.name,
            str(source.network),
            f"beside {first}: one pod range is advertised, and they do not join into one",
            source.provenance,
        )
        for source in deciding
        if not source.network.subnet_of(ranges[0])
    ] or [Disagreement(first.name, str(first.network), f"beside {', '.join(map(str, ranges[1:]))}", first.provenance)]


def _outside(used: Sequence[Source], chosen: IPv4Network, deciding: Source) -> list[Disagreement]:
    return [
        Disagreement(source.name, str(source.network), f"outside {deciding}", source.provenance)
        for source in used
        if not source.network.subnet_of(chosen)
    ]


def _foreign(claims: Sequence[Source], chosen: IPv4Network, deciding: Source) -> list[Disagreement]:
    return [
        Disagreement(source.name, str(source.network), f"which shares no address with {deciding}", source.provenance)
        for source in claims
        if not source.network.overlaps(chosen)
    ]
