"""What the names in a scenario mean in its topology: patterns of namespaces, services, interfaces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address

from lab.errors import InputError, Place, did_you_mean, quoted
from lab.spec.cluster import Cluster
from lab.spec.topology import Topology
from lab.spec.values import Address

WILDCARDS = frozenset("*?")
SERVICE = "service/"
PLACEHOLDERS = ("{node}", "{peer_node}", "{gateway}", "{peer_gateway}")
"""In an interface of a probe: the node of the sender or of the target, the gateway of the one's cluster or the other's."""


def has_wildcard(text: str) -> bool:
    """Whether a text is a pattern rather than a name."""
    return not WILDCARDS.isdisjoint(text)


def matching(pattern: str, names: Collection[str]) -> list[str]:
    """Return the names that a pattern means; ``*`` and ``?`` stand for any characters, nothing else is special."""
    if not has_wildcard(pattern):
        return [pattern] if pattern in names else []
    literal = pattern.replace("[", "[[]")
    return [name for name in names if fnmatchcase(name, literal)]


@dataclass(frozen=True, slots=True)
class Names:
    """The names a scenario may use: every namespace of the lab, and every service."""

    namespaces: tuple[str, ...]
    services: tuple[str, ...]
    """With those that several clusters have under the same name."""
    clusters: tuple[str, ...]
    nodes: tuple[str, ...]
    switches: frozenset[str]
    """Namespaces that hold a segment's switch and have no address."""
    hosted: Mapping[str, str]
    """Each pod to the node it lives on."""

    @staticmethod
    def of(topology: Topology) -> Names:
        """Collect the names of a topology."""
        clusters = topology.clusters
        nodes = {name: node for cluster in clusters.values() for name, node in cluster.nodes.items()}
        pods = {pod: name for name, node in nodes.items() for pod in node.pods}
        dns = {pod: cluster.dns_node or next(iter(cluster.nodes)) for name, cluster in clusters.items() for pod in dns_pods(name, cluster)}
        switches = [switch_name(name) for name in topology.segments]
        return Names(
            namespaces=(*topology.routers, *topology.hosts, *nodes, *pods, *dns, *switches),
            services=tuple(service for cluster in clusters.values() for service in cluster.services),
            clusters=tuple(clusters),
            nodes=tuple(nodes),
            switches=frozenset(switches),
            hosted=pods | dns,
        )

    def expand(self, patterns: tuple[str, ...], place: Place | None = None) -> tuple[str, ...]:
        """Return the namespaces that any of the patterns means, in the topology's order. Raises InputError when one means none."""
        wanted: set[str] = set()
        for pattern in patterns:
            matches = matching(pattern, self.namespaces)
            if not matches:
                what = "nothing in the topology matches" if has_wildcard(pattern) else "the topology has no"
                raise InputError(f"{what} {quoted(pattern)}", place=place, hint=did_you_mean(pattern, self.namespaces, "name"))
            wanted.update(matches)
        return tuple(name for name in self.namespaces if name in wanted)

    def check_target(self, target: str, place: Place | None = None) -> tuple[str, ...]:
        """Return the namespaces a probe's target means: none for a service or an address. Raises InputError when it is neither."""
        if target.startswith(SERVICE):
            service = target.removeprefix(SERVICE)
            if service not in self.services:
                hint = did_you_mean(service, self.services, "service")
                raise InputError(f"there is no service {quoted(service)}", place=place, hint=hint)
            if self.services.count(service) > 1:
                hint = "write the address of one of them"
                raise InputError(f"several clusters have a service {service!r}", place=place, hint=hint)
            return ()
        address = parse_address(target)
        return self.expand((target,), place) if address is None else ()

    def check_interface(self, interface: str, place: Place | None = None) -> None:
        """Raise InputError when the namespace of ``NAMESPACE:DEVICE`` is none of the lab's."""
        namespace = interface.partition(":")[0]
        if not namespace.startswith("{"):
            self.expand((namespace,), place)
        elif namespace not in PLACEHOLDERS:
            hint = did_you_mean(namespace, PLACEHOLDERS, "placeholder")
            raise InputError(f"{quoted(namespace)} is no placeholder", place=place, hint=hint)


def parse_address(text: str) -> Address | None:
    """Return the address a text is, or None when it is not one."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def dns_pod_name(cluster: str) -> str:
    """Return the name of the pod that runs a cluster's DNS server."""
    return f"{cluster}-dns"


def lighthouse_pod_name(cluster: str) -> str:
    """Return the name of the pod that runs Lighthouse's own DNS server."""
    return f"{cluster}-lighthouse"


def dns_pods(name: str, cluster: Cluster) -> tuple[str, ...]:
    """Return the pods that serve names in a cluster."""
    return (dns_pod_name(name), *((lighthouse_pod_name(name),) if cluster.dns.lighthouse is not None else ()))


def switch_name(segment: str) -> str:
    """Return the name of the namespace that holds a segment's switch."""
    return f"sw-{segment}"
