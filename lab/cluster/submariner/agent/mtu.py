"""The clamp of TCP's maximum segment size between clusters, and the two sets of ranges it applies to.

Source: submariner:pkg/routeagent_driver/handlers/mtu/mtuhandler.go. The sets are ipsets of type hash:net there; here they are sets
of the nft table that stands for mangle.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.cluster.rules import destination, jump, rule, source
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import LOCAL_SET, POSTROUTING_CHAIN, REMOTE_SET
from lab.cluster.submariner.objects import Subnet
from lab.state.nft import BinaryOperation, Mangle, Match, NftRule, Payload, RoutingMtu, SetRef, TcpOption
from lab.state.provenance import Provenance

_SYN = Match(BinaryOperation("&", Payload("tcp", "flags"), BinaryOperation("|", "syn", "rst")), "syn")
"""--tcp-flags SYN,RST SYN."""
_CLAMP = Mangle(TcpOption("maxseg", "size"), RoutingMtu())
"""TCPMSS --clamp-mss-to-pmtu."""


def make_clamp(host: Host, why: Provenance) -> None:
    """Make the two sets, empty, and the chain that looks into them."""
    for name in (LOCAL_SET, REMOTE_SET):
        host.ensure_set("mangle", name, why)
    host.ensure_chain("mangle", POSTROUTING_CHAIN, why)
    host.prepend_unique("mangle", "POSTROUTING", rule(then=jump(POSTROUTING_CHAIN), why=why))
    host.append_unique("mangle", POSTROUTING_CHAIN, _clamp(LOCAL_SET, REMOTE_SET, why))
    host.append_unique("mangle", POSTROUTING_CHAIN, _clamp(REMOTE_SET, LOCAL_SET, why))


def _clamp(origin: str, target: str, why: Provenance) -> NftRule:
    return rule(source(SetRef(origin)), destination(SetRef(target)), _SYN, then=_CLAMP, why=why)


def add_ranges(host: Host, name: str, subnets: Iterable[Subnet]) -> None:
    """Add subnets of an Endpoint to one of the sets."""
    for subnet in subnets:
        host.add_to_set("mangle", name, subnet.network)


def remove_ranges(host: Host, name: str, subnets: Iterable[Subnet]) -> None:
    """Remove subnets of an Endpoint from one of the sets."""
    for subnet in subnets:
        host.remove_from_set("mangle", name, subnet.network)


def delete_clamp(host: Host) -> None:
    """Take chain and sets away."""
    host.delete_chain("mangle", POSTROUTING_CHAIN)
    for name in (LOCAL_SET, REMOTE_SET):
        host.delete_set("mangle", name)
