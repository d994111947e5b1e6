"""Cluster DNS: which names a cluster knows, the server that answers for them, and how pods and nodes find it."""

from lab.cluster.dns.files import NODE_RESOLVER, hosts_file, pod_resolver
from lab.cluster.dns.server import Elsewhere, dns_server, host_dns_server
from lab.cluster.dns.zones import CLUSTERSET, Zones, zones

__all__ = [
    "CLUSTERSET",
    "NODE_RESOLVER",
    "Elsewhere",
    "Zones",
    "dns_server",
    "host_dns_server",
    "hosts_file",
    "pod_resolver",
    "zones",
]
