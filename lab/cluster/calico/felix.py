"""Felix on a node: what it programs when the node joins, what it learns of others, and what it puts right afterwards."""

from __future__ import annotations

from ipaddress import ip_interface

from lab.cluster.calico.nat import TUNNELS, Version, nat_chains, pool_sets, raw_chain
from lab.cluster.calico.policy import VXLAN_HOSTS, filter_chains, forward_tail
from lab.cluster.calico.routes import COMPONENT, Advertisement, advertisement, own_block_routes, tunnel_device
from lab.cluster.calico.workload import add_pod
from lab.cluster.devices import add_device
from lab.cluster.emulation import Emulation
from lab.cluster.kubernetes import DEFAULT_POOL, IPV6_POOL
from lab.cluster.objects import IPPool
from lab.cluster.rules import IpTable, built_in, jump, put_chain, put_set, rule
from lab.cluster.world import ClusterFacts, NodeFacts
from lab.state.builder import NamespaceBuilder
from lab.state.nft import NftSet
from lab.state.objects import AddressEntry
from lab.state.provenance import Provenance

JUMPS = (("raw", "PREROUTING"), ("filter", "INPUT"), ("filter", "FORWARD"), ("filter", "OUTPUT"), ("nat", "POSTROUTING"))
"""The built-in chains that Felix jumps out of, to its own of the same name with ``cali-`` before it."""


def join(lab: Emulation, node: NodeFacts) -> None:
    """Program a node that has just joined, and let it and the nodes that are there learn of each other."""
    cluster, namespace = lab.world.clusters[node.cluster], lab.builder[node.name]
    _add_tunnels(lab, cluster, node, namespace)
    for route in own_block_routes(node, cluster):
        namespace.replace_route(route)
    for pod in node.pods:
        add_pod(lab, cluster, node, pod)
    _put_filter(lab, cluster, node, namespace)
    lab.advertisements[node.name] = advertisement(node, cluster)
    for peer in lab.present(cluster):
        if peer.name != node.name:
            _learn(namespace, lab.advertisements[peer.name])
            _learn(lab.builder[peer.name], lab.advertisements[node.name])


def sync(lab: Emulation, cluster: ClusterFacts) -> None:
    """Bring the nodes of a cluster in line with the IPPools as they are now, and Felix' jumps to the top of the built-in chains.

    Felix does so whenever pools change and, with ChainInsertMode insert, at every check of its rules (felix/iptables/table.go).
    """
    pools = lab.apis[cluster.name].list(IPPool)
    for node in lab.present(cluster):
        namespace = lab.builder[node.name]
        why = Provenance(COMPONENT, "outgoing NAT", because=tuple(pool.provenance for pool in pools if pool.nat_outgoing))
        first = Provenance(COMPONENT, "ChainInsertMode insert: Felix decides first", because=(node.provenance,))
        for family, version in _families(cluster):
            for nft_set in pool_sets(pools, COMPONENT, version):
                put_set(namespace, "nat", nft_set, family)
            for chain in nat_chains(pools, vxlan=_has_tunnel(cluster, version), why=why, version=version):
                put_chain(namespace, "nat", chain, family)
            for table, name in JUMPS:
                built_in(namespace, table, name, first, family).insert_unique(rule(then=jump(f"cali-{name}"), why=first))


def resync(lab: Emulation, cluster: ClusterFacts) -> None:
    """Put right on every node what leads to the others' pods, whoever has changed it since Felix programmed it.

    Of a tunnel end point's FDB entries only Felix' own stays (felix/dataplane/linux/vxlan_mgr.go); other routes are none of its business.
    """
    for node in lab.present(cluster):
        namespace = lab.builder[node.name]
        learned = (lab.advertisements[peer.name] for peer in lab.present(cluster) if peer.name != node.name)
        for told in learned:
            for vtep in told.vteps:
                if vtep.neighbour not in namespace.neighbours:
                    namespace.replace_neighbour(vtep.neighbour)
                others = [entry for entry in namespace.fdb if (entry.device, entry.mac) != (vtep.fdb.device, vtep.fdb.mac)]
                if vtep.fdb not in namespace.fdb or len(others) + 1 < len(namespace.fdb):
                    namespace.fdb = [*others, vtep.fdb]
            for route in told.routes:
                if route not in namespace.routes:
                    namespace.replace_route(route)


def _add_tunnels(lab: Emulation, cluster: ClusterFacts, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    for family, version in _families(cluster):
        own, name = (node.tunnel, DEFAULT_POOL) if version == 4 else (node.tunnel6, IPV6_POOL)
        if own is None:
            continue
        pool = lab.apis[cluster.name].get(IPPool, name)
        because = (pool.provenance,) if pool else ()
        why = Provenance(COMPONENT, f"IPPool {name} has vxlanMode {pool.vxlan_mode if pool else 'Never'}", because=because)
        add_device(namespace, tunnel_device(node, version, why))
        why = Provenance("calico ipam", f"tunnel address of {node.name}, the first of its first block", because=(node.provenance, *because))
        namespace.add_address(AddressEntry(TUNNELS[version], ip_interface(own), provenance=why))
        why = Provenance(COMPONENT, "hosts that may tunnel to this one", because=(node.provenance,))
        put_set(namespace, "filter", NftSet(VXLAN_HOSTS[version], (f"ipv{version}_addr",), provenance=why), family)


def _has_tunnel(cluster: ClusterFacts, version: Version) -> bool:
    return cluster.vxlan if version == 4 else cluster.vxlan6


def _put_filter(lab: Emulation, cluster: ClusterFacts, node: NodeFacts, namespace: NamespaceBuilder) -> None:
    why = Provenance(COMPONENT, "policy of pods and hosts", because=(node.provenance,))
    policies = tuple(
        (policy, Provenance(COMPONENT, f"policy {policy.name}", because=(lab.world.written("clusters", cluster.name, "policies"),)))
        for policy in cluster.spec.policies
    )
    for family, version in _families(cluster):
        for chain in filter_chains(node, policies, vxlan=_has_tunnel(cluster, version), why=why, version=version):
            put_chain(namespace, "filter", chain, family)
        put_chain(namespace, "raw", raw_chain(why), family)
        tail = built_in(namespace, "filter", "FORWARD", why, family)
        for last in forward_tail(why):
            tail.append_unique(last)


def _families(cluster: ClusterFacts) -> tuple[tuple[IpTable, Version], ...]:
    """Return the families of tables that Felix programs: ip6tables' too where there is an IPv6 pool (FELIX_IPV6SUPPORT)."""
    return (("ip", 4),) if cluster.pod_cidr6 is None else (("ip", 4), ("ip6", 6))


def _learn(namespace: NamespaceBuilder, learned: Advertisement) -> None:
    """Tell a node of a peer, which it hears of exactly once: nothing has to be looked for and replaced."""
    for vtep in learned.vteps:
        namespace.neighbours.append(vtep.neighbour)
        namespace.fdb.append(vtep.fdb)
        namespace.table("ip" if vtep.host.version == 4 else "ip6", "filter").sets[VXLAN_HOSTS[vtep.host.version]].add(vtep.host)
    namespace.routes.extend(learned.routes)
