"""Names, numbers and addresses that Submariner derives from others, or fixes once for all."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

OPERATOR_NAMESPACE = "submariner-operator"
BROKER_NAMESPACE = "submariner-k8s-broker"

INTRA_CLUSTER_DEVICE = "vx-submariner"
INTRA_CLUSTER_VNI = 100
INTRA_CLUSTER_PORT = 4800
INTRA_CLUSTER_VTEPS = IPv4Network("240.0.0.0/8")
"""submariner:pkg/routeagent_driver/handlers/kubeproxy/constants.go and pkg/port/ports.go."""

CABLE_DEVICE = "vxlan-tunnel"
CABLE_VNI = 1000
CABLE_PORT = 4500
CABLE_VTEPS = IPv4Network("241.0.0.0/8")
CABLE_TABLE = 100
CABLE_METRIC = 100
"""submariner:pkg/cable/vxlan/vxlan.go."""

HOST_NETWORK_TABLE = 150
"""submariner:pkg/routeagent_driver/constants/constants.go, RouteAgentHostNetworkTableID."""

NAT_DISCOVERY_PORT = 4490
VXLAN_OVERHEAD = 50
"""Octets of outer Ethernet, IPv4, UDP and VXLAN headers; submariner:pkg/vxlan/vxlan.go."""

ALL_ZERO_MAC = "00:00:00:00:00:00"
"""The FDB entry that stands for every destination a VXLAN device does not know."""

POSTROUTING_CHAIN = "SUBMARINER-POSTROUTING"
INPUT_CHAIN = "SUBMARINER-INPUT"
FORWARD_CHAIN = "SUBMARINER-FORWARD"
LOCAL_SET = "SUBMARINER-LOCALCIDRS"
REMOTE_SET = "SUBMARINER-REMOTECIDRS"

IP_POOL_LABEL = "submariner.io/ippool"
GATEWAY_LABEL = "submariner.io/gateway"
CNI_ANNOTATION = "submariner.io/cniIfaceIp"


def cable_name(cluster: str, private_ip: IPv4Address) -> str:
    """Return ``submariner-cable-cluster-1-172-18-1-2``."""
    return f"submariner-cable-{cluster}-{str(private_ip).replace('.', '-')}"


def endpoint_name(cluster: str, private_ip: IPv4Address) -> str:
    """Return the name of a cluster's Endpoint: the cluster's id and the name of its cable."""
    return f"{cluster}-{cable_name(cluster, private_ip)}"


def ip_pool_name(cluster: str, subnet: IPv4Network) -> str:
    """Return ``submariner-cluster-2-10.42.0.0-16``, the IPPool for a subnet of that remote cluster."""
    return f"submariner-{cluster}-{str(subnet).replace('/', '-')}"


def vtep(network: IPv4Network, node: IPv4Address) -> IPv4Interface:
    """Return a node's tunnel address: its own last three octets in 240.0.0.0/8 or 241.0.0.0/8."""
    return IPv4Interface(f"{IPv4Address(int(network.network_address) | int(node) & 0x00FFFFFF)}/{network.prefixlen}")
