"""Who is masqueraded on a node with a bridge: by flannel's rules, or by those of ip-masq-agent.

Source: flannel pkg/trafficmngr/iptables/iptables.go (v0.22); kubernetes-sigs/ip-masq-agent cmd/ip-masq-agent/ip-masq-agent.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from lab.cluster.rules import (
    ACCEPT,
    MASQUERADE,
    RETURN,
    destination,
    jump,
    marked,
    not_destination,
    not_local_destination,
    not_source,
    rule,
    source,
)
from lab.state.nft import Chain, NftRule
from lab.state.objects import Network
from lab.state.provenance import Provenance

FLANNEL: Final = "FLANNEL-POSTRTG"
AGENT: Final = "IP-MASQ-AGENT"
FORWARD: Final = "FLANNEL-FWD"
MULTICAST: Final[Mapping[int, Network]] = {4: IPv4Network("224.0.0.0/4"), 6: IPv6Network("ff00::/8")}
"""By version of IP."""
_KUBE_PROXY: Final = 0x4000


def flannel_chain(cluster: Network, own: Network, why: Provenance) -> Chain:
    """Return flannel's chain of the nat table: pods talk to pods with their own addresses, and to everybody else with their node's."""

    def rules() -> Iterator[NftRule]:
        yield rule(marked(_KUBE_PROXY), then=RETURN, why=why)
        yield rule(source(own), destination(cluster), then=RETURN, why=why)
        yield rule(source(cluster), destination(own), then=RETURN, why=why)
        yield rule(not_source(cluster), destination(own), then=RETURN, why=why)
        yield rule(source(cluster), not_destination(MULTICAST[cluster.version]), then=MASQUERADE, why=why)
        yield rule(not_source(cluster), destination(cluster), then=MASQUERADE, why=why)

    return Chain(FLANNEL, tuple(rules()), provenance=why)


def agent_chain(cluster: IPv4Network, why: Provenance) -> Chain:
    """Return the chain of ip-masq-agent: what goes to pods, or to the node itself, keeps its source."""
    return Chain(AGENT, (rule(destination(cluster), then=RETURN, why=why), rule(then=MASQUERADE, why=why)), provenance=why)


def agent_jump(why: Provenance) -> NftRule:
    """Return the jump to ip-masq-agent's chain."""
    return rule(not_local_destination(), then=jump(AGENT), why=why)


def forward_chain(cluster: Network, why: Provenance) -> Chain:
    """Return flannel's chain of the filter table: whatever the policy of FORWARD, pods' packets pass."""
    return Chain(FORWARD, (rule(source(cluster), then=ACCEPT, why=why), rule(destination(cluster), then=ACCEPT, why=why)), provenance=why)
