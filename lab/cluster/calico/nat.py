"""Felix' chains of the nat and raw tables, and the two sets of pools that decide who is masqueraded.

A pod's packet is masqueraded when its source lies in a pool with natOutgoing and its destination in no pool at all. So a pool that
hands out no addresses, as Submariner makes them for the ranges of other clusters, exempts its range and does nothing else.
Source: Calico felix/rules/nat.go, felix/dataplane/linux/masq_mgr.go, felix/rules/static.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lab.cluster.calico.marks import ALL, FROM_WORKLOAD
from lab.cluster.calico.policy import WORKLOADS
from lab.cluster.objects import IPPool
from lab.cluster.rules import (
    DROP,
    LOCAL_SOURCE,
    MASQUERADE,
    NO_WAY_BACK,
    SOURCE_OF_OTHER_DEVICE,
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

ALL_POOLS: Final = "cali40all-ipam-pools"
MASQUERADED_POOLS: Final = "cali40masq-ipam-pools"
VXLAN_DEVICE: Final = "vxlan.calico"


def pool_sets(pools: Iterable[IPPool], component: str) -> tuple[NftSet, NftSet]:
    """Return the two sets as the pools of the API make them; a pool's `disabled` does not count."""
    pools = tuple(pools)
    everyone = Provenance(component, "every IPPool, disabled ones too", because=tuple(pool.provenance for pool in pools))
    masqueraded = tuple(pool for pool in pools if pool.nat_outgoing)
    some = Provenance(component, "IPPools with natOutgoing", because=tuple(pool.provenance for pool in masqueraded))
    return _networks(ALL_POOLS, pools, everyone), _networks(MASQUERADED_POOLS, masqueraded, some)


def nat_chains(pools: Iterable[IPPool], *, vxlan: bool, why: Provenance) -> tuple[Chain, ...]:
    """Return Felix' chains of the nat table; cali-nat-outgoing is empty unless some pool wants it."""
    wanted = any(pool.nat_outgoing for pool in pools)
    outgoing = rule(source(SetRef(MASQUERADED_POOLS)), not_destination(SetRef(ALL_POOLS)), then=MASQUERADE, why=why)
    to_tunnel = rule(oif(VXLAN_DEVICE), SOURCE_OF_OTHER_DEVICE, LOCAL_SOURCE, then=MASQUERADE, why=why)
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


def _networks(name: str, pools: Iterable[IPPool], why: Provenance) -> NftSet:
    return NftSet(name, ("ipv4_addr",), tuple(Prefix(pool.cidr) for pool in pools), flags=("interval",), auto_merge=True, provenance=why)
