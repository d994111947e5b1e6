"""Felix' chains of the nat and raw tables, and the two sets of pools that decide who is masqueraded.

A pod's packet is masqueraded when its source lies in a pool with natOutgoing and its destination in no pool at all. So a pool that
hands out no addresses, as Submariner makes them for the ranges of other clusters, exempts its range and does nothing else.
Source: Calico felix/rules/nat.go, felix/dataplane/linux/masq_mgr.go, felix/rules/static.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from lab.cluster.calico.marks import ALL, FROM_WORKLOAD
from lab.cluster.calico.policy import WORKLOADS
from lab.cluster.objects import IPPool
from lab.cluster.rules import (
    DROP,
    LOCAL_SOURCE,
    MASQUERADE,
    NO_WAY_BACK,
    SOURCE_OF_OTHER_DEVICE,
    IpTable,
    clear_mark,
    iif,
    jump,
    marked,
    not_destination,
    oif,
    rule,
    set_mark,
    source,
)
from lab.state.nft import Chain, NftRule, NftSet, Prefix, SetRef
from lab.state.provenance import Provenance

Version = Literal[4, 6]
"""Of IP."""
ALL_POOLS: Final = "all-ipam-pools"
MASQUERADED_POOLS: Final = "masq-ipam-pools"
PREFIXES: Final[Mapping[Version, str]] = {4: "cali40", 6: "cali60"}
"""What the names of Felix' sets begin with (felix/ipsets/ipset_defs.go)."""
TUNNELS: Final[Mapping[Version, str]] = {4: "vxlan.calico", 6: "vxlan-v6.calico"}
"""The tunnel devices, by version of IP inside and outside (felix/dataplane/linux/dataplanedefs)."""


def pool_sets(pools: Iterable[IPPool], component: str, version: Version = 4) -> tuple[NftSet, NftSet]:
    """Return the two sets of a version of IP as the pools of the API make them; a pool's `disabled` does not count."""
    pools = of_version(pools, version)
    everyone = Provenance(component, "every IPPool, disabled ones too", because=tuple(pool.provenance for pool in pools))
    masqueraded = tuple(pool for pool in pools if pool.nat_outgoing)
    some = Provenance(component, "IPPools with natOutgoing", because=tuple(pool.provenance for pool in masqueraded))
    return _networks(ALL_POOLS, pools, everyone, version), _networks(MASQUERADED_POOLS, masqueraded, some, version)


def of_version(pools: Iterable[IPPool], version: Version) -> tuple[IPPool, ...]:
    """Return the pools of a version of IP."""
    return tuple(pool for pool in pools if pool.cidr.version == version)


def nat_chains(pools: Iterable[IPPool], *, vxlan: bool, why: Provenance, version: Version = 4) -> tuple[Chain, ...]:
    """Return Felix' chains of the nat table of a version of IP; cali-nat-outgoing is empty unless some pool wants it.

    `vxlan`: whether packets of this version go through a tunnel.
    """
    wanted = any(pool.nat_outgoing for pool in of_version(pools, version))
    family: IpTable = "ip" if version == 4 else "ip6"
    masqueraded, everyone = (SetRef(PREFIXES[version] + name) for name in (MASQUERADED_POOLS, ALL_POOLS))
    outgoing = rule(source(masqueraded, family), not_destination(everyone, family), then=MASQUERADE, why=why)
    to_tunnel = rule(oif(TUNNELS[version]), SOURCE_OF_OTHER_DEVICE, LOCAL_SOURCE, then=MASQUERADE, why=why)
    postrouting = (rule(then=jump("cali-nat-outgoing"), why=why), *((to_tunnel,) if vxlan else ()))
    return (
        Chain("cali-POSTROUTING", postrouting, provenance=why),
        Chain("cali-nat-outgoing", (outgoing,) if wanted else (), provenance=why),
    )


def raw_chain(why: Provenance) -> Chain:
    """Return Felix' reverse path check of what pods send: strict, aware of marks, and beyond the reach of the rp_filter sysctls."""
    rules: tuple[NftRule, ...] = (
        rule(then=clear_mark(ALL), why=why),
        rule(iif(WORKLOADS), then=set_mark(FROM_WORKLOAD), why=why),
        rule(marked(FROM_WORKLOAD), NO_WAY_BACK, then=DROP, why=why),
    )
    return Chain("cali-PREROUTING", rules, provenance=why)


def _networks(name: str, pools: Iterable[IPPool], why: Provenance, version: Version) -> NftSet:
    elements = tuple(Prefix(pool.cidr) for pool in pools)
    name = PREFIXES[version] + name
    return NftSet(name, (f"ipv{version}_addr",), elements, flags=("interval",), auto_merge=True, provenance=why)
