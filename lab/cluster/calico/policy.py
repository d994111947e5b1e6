"""Felix' chains of the filter table: which pods may talk to whom, and which hosts may tunnel to this one.

Source: Calico felix/rules/{static,endpoints,dispatch,policy}.go at v3.26. Left out are the chains that stay empty without host
endpoints, floating IPs, WireGuard, IPIP and blocked service CIDRs; nothing a packet could notice is missing.

"Accept" of a policy sets a mark and returns. The verdict comes from the end of the built-in FORWARD chain, after kube-proxy's chains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from lab.cluster.calico.marks import ACCEPTED, ALL, PASSED
from lab.cluster.names import felix_chain
from lab.cluster.rules import (
    ACCEPT,
    DROP,
    LOCAL_DESTINATION,
    LOCAL_SOURCE,
    RETURN,
    IpTable,
    clear_mark,
    destination,
    goto,
    icmpv6,
    iif,
    jump,
    marked,
    oif,
    port,
    protocol,
    rule,
    set_mark,
    source,
    states,
    unmarked,
)
from lab.cluster.world import NodeFacts, PodFacts
from lab.spec.cluster import NetworkPolicy
from lab.state.nft import Chain, NftRule, SetRef
from lab.state.provenance import Provenance

VXLAN_PORT: Final = 4789
VXLAN_HOSTS: Final[Mapping[int, str]] = {4: "cali40all-vxlan-net", 6: "cali60all-vxlan-net"}
"""The set of hosts that may send VXLAN packets to this one, by version of IP."""
IPIP: Final = 4
"""The IP protocol number of IP in IP."""
ICMPV6: Final = 58
"""The IP protocol number of ICMPv6."""
ASKED_OF_ROUTERS: Final = (130, 131, 132, 133, 135, 136)
"""ICMPv6 types: multicast listener queries, reports and goodbyes, router and neighbour solicitations, neighbour advertisements."""
WORKLOADS: Final = "cali*"

Direction = Literal["ingress", "egress"]


def policed(policy: NetworkPolicy, direction: Direction) -> bool:
    """Whether a policy has anything to say about a direction, seen from the pod."""
    return bool(policy.deny_from if direction == "ingress" else policy.deny_to)


def filter_chains(
    node: NodeFacts, policies: Sequence[tuple[NetworkPolicy, Provenance]], *, vxlan: bool, why: Provenance, version: int = 4
) -> tuple[Chain, ...]:
    """Return Felix' chains of the filter table of a version of IP on a node; the jumps to them stand in the built-in chains.

    `vxlan`: whether packets of this version go through a tunnel.
    """
    pods = node.pods
    namespaces = dict.fromkeys(pod.namespace for pod in pods)
    return (
        Chain("cali-INPUT", _input(vxlan, version, why), provenance=why),
        Chain("cali-FORWARD", _forward(why), provenance=why),
        Chain("cali-OUTPUT", _output(vxlan, version, why), provenance=why),
        Chain("cali-wl-to-host", _to_host(version, why), provenance=why),
        _dispatch("cali-from-wl-dispatch", "cali-fw-", pods, why),
        _dispatch("cali-to-wl-dispatch", "cali-tw-", pods, why),
        *(_workload(pod, "egress", policies, why) for pod in pods),
        *(_workload(pod, "ingress", policies, why) for pod in pods),
        *(_policy(policy, "ingress", reason, version) for policy, reason in policies if policed(policy, "ingress")),
        *(_policy(policy, "egress", reason, version) for policy, reason in policies if policed(policy, "egress")),
        *(_profile(prefix, namespace, why) for namespace in namespaces for prefix in ("cali-pri-", "cali-pro-")),
    )


def forward_tail(why: Provenance) -> tuple[NftRule, ...]:
    """Return what Felix appends to FORWARD: what policy accepted is accepted, what nobody refused is marked so."""
    return (
        rule(marked(ACCEPTED), then=ACCEPT, why=why, comment="Policy explicitly accepted packet."),
        rule(then=set_mark(ACCEPTED), why=why),
    )


def _input(vxlan: bool, version: int, why: Provenance) -> tuple[NftRule, ...]:
    arriving = (port("udp", VXLAN_PORT), LOCAL_DESTINATION)
    allowed, packets = source(SetRef(VXLAN_HOSTS[version]), _family(version)), f"IPv{version} VXLAN packets"
    tunnel = (
        rule(allowed, *arriving, then=ACCEPT, why=why, comment=f"Allow {packets} from allowed hosts"),
        rule(*arriving, then=DROP, why=why, comment=f"Drop {packets} from non-allowed hosts"),
    )
    return (
        *(tunnel if vxlan else ()),
        rule(iif(WORKLOADS), then=goto("cali-wl-to-host"), why=why),
        rule(marked(ACCEPTED), then=ACCEPT, why=why),
        rule(then=clear_mark(ALL), why=why),
    )


def _to_host(version: int, why: Provenance) -> tuple[NftRule, ...]:
    """A pod may always ask its node, which is its IPv6 router, for neighbours and the like; all else is subject to its egress policy."""
    asking = tuple(rule(protocol(ICMPV6), icmpv6(kind), then=ACCEPT, why=why) for kind in ASKED_OF_ROUTERS) if version == 6 else ()
    return (*asking, rule(then=jump("cali-from-wl-dispatch"), why=why), rule(then=ACCEPT, why=why))


def _forward(why: Provenance) -> tuple[NftRule, ...]:
    return (
        rule(then=clear_mark(ALL & ~ACCEPTED), why=why),
        rule(iif(WORKLOADS), then=jump("cali-from-wl-dispatch"), why=why),
        rule(oif(WORKLOADS), then=jump("cali-to-wl-dispatch"), why=why),
    )


def _output(vxlan: bool, version: int, why: Provenance) -> tuple[NftRule, ...]:
    leaving = (destination(SetRef(VXLAN_HOSTS[version]), _family(version)), port("udp", VXLAN_PORT), LOCAL_SOURCE)
    return (
        rule(marked(ACCEPTED), then=ACCEPT, why=why),
        rule(oif(WORKLOADS), then=RETURN, why=why),
        *((rule(*leaving, then=ACCEPT, why=why, comment=f"Allow IPv{version} VXLAN packets to other allowed hosts"),) if vxlan else ()),
        rule(then=clear_mark(ALL), why=why),
    )


def _family(version: int) -> IpTable:
    return "ip" if version == 4 else "ip6"


def _dispatch(name: str, prefix: str, pods: Sequence[PodFacts], why: Provenance) -> Chain:
    match = iif if prefix == "cali-fw-" else oif
    to_pods = tuple(rule(match(pod.host_device), then=goto(prefix + pod.host_device), why=why) for pod in pods)
    return Chain(name, (*to_pods, rule(then=DROP, why=why, comment="Unknown interface")), provenance=why)


def _workload(pod: PodFacts, direction: Direction, policies: Sequence[tuple[NetworkPolicy, Provenance]], node: Provenance) -> Chain:
    why = Provenance(node.component, f"pod {pod.namespace}/{pod.name}", because=(pod.provenance,))
    short, prefix = ("i", "cali-tw-") if direction == "ingress" else ("o", "cali-fw-")
    tunnels = (
        rule(port("udp", VXLAN_PORT), then=DROP, why=why, comment="Drop VXLAN encapped packets originating in workloads"),
        rule(protocol(IPIP), then=DROP, why=why, comment="Drop IPinIP encapped packets originating in workloads"),
    )
    rules = [
        rule(states("established", "related"), then=ACCEPT, why=why),
        rule(states("invalid"), then=DROP, why=why),
        rule(then=clear_mark(ACCEPTED | PASSED), why=why),
        *(tunnels if direction == "egress" else ()),
    ]
    applying = [policy for policy, _ in policies if policed(policy, direction)]
    if applying:
        rules.append(rule(then=clear_mark(PASSED), why=why, comment="Start of policies"))
        for policy in applying:
            rules.append(rule(unmarked(PASSED), then=jump(_policy_chain(policy, short)), why=why))
            rules.append(rule(marked(ACCEPTED), then=RETURN, why=why, comment="Return if policy accepted"))
        rules.append(rule(unmarked(PASSED), then=DROP, why=why, comment="Drop if no policies passed packet"))
    rules += [
        rule(then=jump(felix_chain(f"cali-pr{short}-", f"kns.{pod.namespace}")), why=why),
        rule(marked(ACCEPTED), then=RETURN, why=why, comment="Return if profile accepted"),
        rule(then=DROP, why=why, comment="Drop if no profiles matched"),
    ]
    return Chain(prefix + pod.host_device, tuple(rules), provenance=why)


def _policy_chain(policy: NetworkPolicy, short: str) -> str:
    return felix_chain(f"cali-p{short}-", f"default.{policy.name}")


def _policy(policy: NetworkPolicy, direction: Direction, why: Provenance, version: int) -> Chain:
    """A policy's first rules deny, its last allows everything else. Networks of the other version of IP are none of a table's business."""
    named, match = (policy.deny_from, source) if direction == "ingress" else (policy.deny_to, destination)
    networks = [network for network in named if network.version == version]
    denied = [rule(match(network), then=DROP, why=why, comment=f"Policy {policy.name} {direction}") for network in networks]
    allowed = (rule(then=set_mark(ACCEPTED), why=why), rule(marked(ACCEPTED), then=RETURN, why=why))
    return Chain(_policy_chain(policy, "i" if direction == "ingress" else "o"), (*denied, *allowed), provenance=why)


def _profile(prefix: str, namespace: str, why: Provenance) -> Chain:
    """The profile of a Kubernetes namespace allows everything that no policy decided about."""
    allowed = (rule(then=set_mark(ACCEPTED), why=why), rule(marked(ACCEPTED), then=RETURN, why=why))
    return Chain(felix_chain(prefix, f"kns.{namespace}"), allowed, provenance=why)
