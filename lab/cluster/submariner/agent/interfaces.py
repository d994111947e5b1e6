"""The devices a route agent looks for and makes: the node's CNI interface, and vx-submariner.

Source: submariner:pkg/cni/cni_iface.go, pkg/routeagent_driver/handlers/kubeproxy/{vxlan,node_handler}.go, pkg/vxlan/vxlan.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.cluster.submariner.host import Host
from lab.cluster.submariner.names import (
    INTRA_CLUSTER_DEVICE,
    INTRA_CLUSTER_PORT,
    INTRA_CLUSTER_VNI,
    INTRA_CLUSTER_VTEPS,
    VXLAN_OVERHEAD,
    vtep,
)
from lab.cluster.submariner.versions import Behaviour
from lab.cluster.sysctls import conf
from lab.state.objects import Link, Vxlan
from lab.state.provenance import Provenance

LOOSE = "2"
"""rp_filter: some route back to the source exists, by whatever device (RFC 3704, loose mode)."""


@dataclass(frozen=True, slots=True)
class CniInterface:
    """The device through which a node has an address among the pods' own: vxlan.calico on a Calico node."""

    device: str
    address: IPv4Address


def find_cni_interface(host: Host, cluster_cidrs: Sequence[IPv4Network], does: Behaviour) -> CniInterface | None:
    """Return the first address, in the order of interface indexes, that lies in a cluster CIDR; until 0.17 only the first CIDR counts."""
    for cidr in cluster_cidrs if does.quotes_all_cidrs else cluster_cidrs[:1]:
        for device, address in host.addresses():
            if address in cidr:
                return CniInterface(device, address)
    return None


def missing_cni_interface(cluster_cidrs: Sequence[IPv4Network], does: Behaviour) -> str:
    """Return the error about it, as this version words it."""
    quoted = " ".join(f'"{cidr}"' for cidr in cluster_cidrs)
    asked = f"[{quoted}]" if does.quotes_all_cidrs else f'"{cluster_cidrs[0]}"'
    return f"unable to find CNI Interface on the host which has IP from {asked}"


def make_worker_device(host: Host, gateway: IPv4Address, why: Provenance) -> None:
    """Make a worker's vx-submariner, which leads to the gateway and nowhere else."""
    _make_device(host, gateway, why)


def make_gateway_device(host: Host, nodes: Iterable[tuple[IPv4Address, Provenance]], why: Provenance) -> None:
    """Make the gateway's vx-submariner: it floods to every node of the cluster, itself included, and lets any source in."""
    _make_device(host, None, why)
    for address, reason in nodes:
        host.append_fdb(INTRA_CLUSTER_DEVICE, address, reason)
    host.write(conf(INTRA_CLUSTER_DEVICE, "rp_filter"), LOOSE)


def _make_device(host: Host, remote: IPv4Address | None, why: Provenance) -> None:
    uplink = host.default_device
    kind = Vxlan(INTRA_CLUSTER_VNI, INTRA_CLUSTER_PORT, remote=remote, learning=False)
    host.ensure_vxlan(Link(INTRA_CLUSTER_DEVICE, kind, mtu=host.mtu(uplink) - VXLAN_OVERHEAD, provenance=why))
    host.ensure_address(INTRA_CLUSTER_DEVICE, vtep(INTRA_CLUSTER_VTEPS, host.first_address(uplink)), why)
    host.write(conf(INTRA_CLUSTER_DEVICE, "forwarding"), "1")
