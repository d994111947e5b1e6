"""The libreswan cable, imitated: its IPsec policies stood in for by policy routing with the same selectors.

Libreswan makes one tunnel for every pair of a local and a remote subnet. The kernel then tunnels exactly the packets whose source
*and* destination lie in such a pair; what matches none goes on in clear, by the ordinary route. There is no device, no table and no
route of its own. A kernel without ESP cannot do that, so here

- ``ip rule from LOCAL to REMOTE lookup 100`` for each pair stands for an outbound policy, and a plain VXLAN device on the cable's
  port, with the remote gateways as permanent neighbours, for the tunnel;
- a chain before all address translation stands for the inbound policies: out of the tunnel comes only what a pair allows, and what
  a pair says must come through the tunnel does not come in clear. The kernel, too, compares the addresses from before the
  translation (net/xfrm/xfrm_policy.c, __xfrm_policy_check and nf_nat_decode_session);
- a chain of type route lets packets of the gateway's own processes be routed once more when their source is known, as
  xfrm_lookup comes after the first routing.

Not imitated: encryption, ESP's overhead, IKE's messages. The device and the table are called *ipsec-imitation*.
Source: submariner:pkg/cable/libreswan/libreswan.go; man pages ip-xfrm(8), ipsec.conf(5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from lab.cluster.rules import ACCEPT, DROP, destination, iif, rule, set_mark, source
from lab.cluster.submariner.agent.interfaces import LOOSE
from lab.cluster.submariner.cable.base import Selectors
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import CABLE_PORT, CABLE_TABLE, VXLAN_OVERHEAD
from lab.cluster.submariner.objects import ConnectionStatus, Endpoint, Subnet
from lab.cluster.sysctls import conf
from lab.state.nft import Chain, NftTable
from lab.state.objects import FdbEntry, Link, Neighbour, Route, Rule, Vxlan
from lab.state.provenance import Provenance

IMITATION = "ipsec-imitation"
IMITATION_VNI = 50
"""The number of ESP among IP protocols; it means nothing to a VXLAN device."""
REROUTED = 0x50
"""Set on the gateway's own packets that match a pair, so that the kernel routes them again."""

Say = Callable[[str, str, Provenance], None]
Pair = tuple[IPv4Network, IPv4Network]


class LibreswanCable:
    """The driver on one gateway. What it configures becomes a tunnel where the other end configures the same."""

    def __init__(self, host: Host, local: Endpoint, say: Say) -> None:
        self._host = host
        self._local = local
        self._say = say
        self._component = f"submariner gateway on {host.name}"
        self._remotes: dict[str, Endpoint] = {}
        self._up: dict[str, tuple[Pair, ...]] = {}

    def start(self) -> None:
        """Make the device that stands for all tunnels, and say so."""
        why = self._because("cable driver libreswan, imitated", self._local.provenance)
        self._say("info", f"the libreswan cable is an imitation: no encryption, selectors as policy routing into {IMITATION}", why)
        self.cleanup()
        uplink = self._host.default_device
        kind = Vxlan(IMITATION_VNI, CABLE_PORT, learning=False)
        mtu = self._host.mtu(uplink) - VXLAN_OVERHEAD
        self._host.ensure_vxlan(Link(IMITATION, kind, mtu=mtu, mac=tunnel_mac(self._local.private_ip), provenance=why))
        self._host.write(conf(IMITATION, "rp_filter"), LOOSE)
        self._host.write(conf(IMITATION, "forwarding"), "1")

    def connect(self, remote: Endpoint) -> None:
        """Configure one connection for every pair of subnets."""
        self._remotes[remote.cluster_id] = remote
        why = self._because(f"Endpoint {remote.cluster_id}, gateway {remote.private_ip}", remote.provenance)
        mac = tunnel_mac(remote.private_ip)
        self._host.replace_neighbour(Neighbour(IMITATION, remote.private_ip, mac, provenance=why))
        self._host.replace_fdb(FdbEntry(IMITATION, mac, destination=remote.private_ip, provenance=why))

    def disconnect(self, remote: Endpoint) -> None:
        """Take all connections to a remote gateway down."""
        if self._remotes.pop(remote.cluster_id, None) is not None:
            self._host.delete_neighbour(IMITATION, remote.private_ip)
            self._host.delete_fdb(IMITATION, remote.private_ip, tunnel_mac(remote.private_ip))

    def selectors(self, cluster: str) -> Selectors:
        """Return every pair of an own and a remote subnet."""
        remote = self._remotes.get(cluster)
        return frozenset((ours.network, theirs.network) for ours, theirs in self._pairs(remote)) if remote else frozenset()

    def settle(self, peers: Mapping[str, Selectors]) -> None:
        """Bring up the pairs that both ends have configured alike: IKE agrees on equal traffic selectors only (narrowing=no)."""
        self._take_policies_away()
        chosen: list[tuple[Endpoint, Subnet, Subnet]] = []
        self._up = {}
        for cluster, remote in self._remotes.items():
            agreed = [(ours, theirs) for ours, theirs in self._pairs(remote) if (ours.network, theirs.network) in peers.get(cluster, ())]
            chosen += ((remote, ours, theirs) for ours, theirs in agreed)
            self._up[cluster] = tuple((ours.network, theirs.network) for ours, theirs in agreed)
        for remote, ours, theirs in chosen:
            why = self._why(remote, ours, theirs)
            self._host.ensure_rule(Rule(CABLE_TABLE, table=CABLE_TABLE, source=ours.network, destination=theirs.network, provenance=why))
            self._host.replace_route(
                Route(theirs.network, via=remote.private_ip, device=IMITATION, table=CABLE_TABLE, onlink=True, provenance=why)
            )
        self._host.put_table(self._policies(chosen))

    def status(self, cluster: str) -> tuple[ConnectionStatus, str]:
        """Return connected as long as any one of the tunnels is up."""
        up, wanted = len(self._up.get(cluster, ())), len(self.selectors(cluster))
        return ("connected", "") if up else ("error", f"none of {wanted} tunnels is up")

    def cleanup(self) -> None:
        """Delete everything that stands for policies and tunnels."""
        self._take_policies_away()
        self._host.delete_table(IMITATION)
        self._host.delete_device(IMITATION)

    def _take_policies_away(self) -> None:
        self._host.flush_table(CABLE_TABLE)
        self._host.delete_rules(CABLE_TABLE)

    def _pairs(self, remote: Endpoint) -> Iterator[tuple[Subnet, Subnet]]:
        return ((ours, theirs) for ours in self._local.subnets for theirs in remote.subnets)

    def _policies(self, chosen: list[tuple[Endpoint, Subnet, Subnet]]) -> NftTable:
        inbound = [
            rule(iif(IMITATION), source(theirs.network), destination(ours.network), then=ACCEPT, why=self._why(remote, ours, theirs))
            for remote, ours, theirs in chosen
        ]
        why = self._because("out of a tunnel comes only what one of its selectors allows", self._local.provenance)
        inbound.append(rule(iif(IMITATION), then=DROP, why=why, comment="in policy: no selector matches"))
        inbound += (
            rule(
                source(theirs.network),
                destination(ours.network),
                then=DROP,
                why=self._why(remote, ours, theirs),
                comment="in policy: must come through the tunnel",
            )
            for remote, ours, theirs in chosen
        )
        own = tuple(
            rule(source(ours.network), destination(theirs.network), then=set_mark(REROUTED), why=self._why(remote, ours, theirs))
            for remote, ours, theirs in chosen
        )
        return NftTable(
            "ip",
            IMITATION,
            (
                Chain("policy-in", tuple(inbound), type="filter", hook="prerouting", priority=-300, policy="accept", provenance=why),
                Chain("policy-own", own, type="route", hook="output", priority=-150, policy="accept", provenance=why),
            ),
            provenance=why,
        )

    def _why(self, remote: Endpoint, ours: Subnet, theirs: Subnet) -> Provenance:
        text = f"imitated IPsec policy {ours} to {theirs}, tunnel to Endpoint {remote.cluster_id}"
        return self._because(text, ours.provenance, theirs.provenance)

    def _because(self, reason: str, *behind: Provenance) -> Provenance:
        return Provenance(self._component, reason, because=behind)


def tunnel_mac(gateway: IPv4Address) -> str:
    """Return the MAC address that both ends give to a gateway's end of the imitated tunnel."""
    return bytes([0x02, IMITATION_VNI, *gateway.packed]).hex(":")
