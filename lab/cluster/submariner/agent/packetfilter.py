"""Submariner's rules of the nat and filter tables.

The nat chain stands in front of kube-proxy's: an ACCEPT there ends nat processing, so that neither kube-proxy nor the CNI
masquerades what goes to or comes from another cluster. Nothing moves it back where Felix inserts itself above, hence the IPPools.
Source: submariner:pkg/routeagent_driver/handlers/kubeproxy/packetfilter_iface.go, of 0.17 iptables_iface.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from lab.cluster.rules import ACCEPT, destination, jump, oif, port, protocol, rule, source
from lab.cluster.submariner.agent.interfaces import CniInterface
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import (
    FORWARD_CHAIN,
    INPUT_CHAIN,
    INTRA_CLUSTER_DEVICE,
    INTRA_CLUSTER_PORT,
    INTRA_CLUSTER_VTEPS,
    POSTROUTING_CHAIN,
)
from lab.cluster.submariner.objects import Subnet
from lab.cluster.submariner.versions import Behaviour
from lab.state.nft import Nat, NftRule
from lab.state.provenance import UNKNOWN, Provenance


def make_chains(host: Host, cni: CniInterface | None, does: Behaviour, why: Provenance) -> None:
    """Make the chains and the rules that depend on no Endpoint. The SNAT of hosts' packets needs a CNI interface's address."""
    host.ensure_chain("nat", POSTROUTING_CHAIN, why)
    host.prepend_unique("nat", "POSTROUTING", rule(then=jump(POSTROUTING_CHAIN), why=why))
    host.ensure_chain("filter", INPUT_CHAIN, why)
    host.append_unique("filter", "INPUT", rule(protocol("udp"), then=jump(INPUT_CHAIN), why=why))
    host.append_unique("filter", INPUT_CHAIN, rule(port("udp", INTRA_CLUSTER_PORT), then=ACCEPT, why=why))
    to_overlay = rule(oif(INTRA_CLUSTER_DEVICE), then=ACCEPT, why=why)
    if does.own_forward_chain:
        host.ensure_chain("filter", FORWARD_CHAIN, why)
        host.prepend_unique("filter", "FORWARD", rule(then=jump(FORWARD_CHAIN), why=why))
        host.prepend_unique("filter", FORWARD_CHAIN, to_overlay)
    else:
        host.prepend_unique("filter", "FORWARD", to_overlay)
    if cni is not None:
        reason = Provenance(why.component, f"CNI interface {cni.device} with {cni.address}", because=(why,))
        from_hosts = (source(INTRA_CLUSTER_VTEPS), oif(INTRA_CLUSTER_DEVICE))
        host.append_unique("nat", POSTROUTING_CHAIN, rule(*from_hosts, then=Nat("snat", address=cni.address), why=reason))


def accept_remote(host: Host, local: Sequence[IPv4Network], subnets: Iterable[Subnet]) -> None:
    """Append, for every remote subnet and local pod range, that neither direction is translated. Local service ranges do not appear."""
    for accepted in _accepts(local, subnets):
        host.append_unique("nat", POSTROUTING_CHAIN, accepted)


def forget_remote(host: Host, local: Sequence[IPv4Network], subnets: Iterable[Subnet]) -> None:
    """Delete these rules again: those for the pod ranges that the agent runs with now."""
    for accepted in _accepts(local, subnets):
        host.delete_rule_of_chain("nat", POSTROUTING_CHAIN, accepted)


def _accepts(local: Sequence[IPv4Network], subnets: Iterable[Subnet]) -> Iterator[NftRule]:
    for subnet in subnets:
        for pods in local:
            yield rule(source(pods), destination(subnet.network), then=ACCEPT, why=subnet.provenance)
            yield rule(source(subnet.network), destination(pods), then=ACCEPT, why=subnet.provenance)


def delete_chains(host: Host) -> None:
    """Take all of it away, each chain with the jumps to it."""
    for table, chain in (("nat", POSTROUTING_CHAIN), ("filter", INPUT_CHAIN), ("filter", FORWARD_CHAIN)):
        host.delete_chain(table, chain)
    host.delete_rule_of_chain("filter", "FORWARD", rule(oif(INTRA_CLUSTER_DEVICE), then=ACCEPT, why=UNKNOWN))
