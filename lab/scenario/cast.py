"""Who is who in a state: what the names of a scenario's expectations mean, as addresses, nodes and interfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lab.scenario.lookup import has_address, namespace_address, service_address
from lab.spec import Names, Topology
from lab.spec.selectors import SERVICE, parse_address
from lab.spec.values import Address
from lab.state import State


@dataclass(frozen=True, slots=True)
class Target:
    """Where a probe goes: an address, and the namespace or service it was written as."""

    name: str
    address: Address
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """The namespaces and services of one state of a topology."""

    state: State
    names: Names
    gateways: Mapping[str, str]
    """Cluster to its gateway node."""

    @staticmethod
    def of(state: State, topology: Topology) -> Cast:
        """Read who is who from a state and its topology."""
        gateways = {
            cluster_name: next((name for name, node in cluster.nodes.items() if node.gateway), next(iter(cluster.nodes)))
            for cluster_name, cluster in topology.clusters.items()
        }
        return Cast(state, Names.of(topology), gateways)

    def senders(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return the namespaces that are there now and match any pattern."""
        return tuple(name for name in self.names.expand(tuple(patterns)) if name in self.state.namespaces)

    def probed(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return those of them that probes can go out from and to: a switch has no address."""
        return tuple(name for name in self.senders(patterns) if name not in self.names.switches)

    def targets(self, patterns: Sequence[str], *, version: int = 4) -> tuple[Target, ...]:
        """Return what the patterns mean: namespaces by their first global address, services by their ClusterIP, addresses as they are."""
        found: dict[str, Target] = {}
        for pattern in patterns:
            literal = parse_address(pattern)
            if pattern.startswith(SERVICE):
                found[pattern] = Target(pattern, self.service_address(pattern.removeprefix(SERVICE), version))
            elif literal is not None:
                owner = self.state.owner(literal)
                found[pattern] = Target(pattern, literal, owner.name if owner else None)
            else:
                for name in self.probed((pattern,)):
                    found[name] = Target(name, self.address(name, version), name)
        return tuple(found.values())

    def service_address(self, service: str, version: int = 4) -> Address:
        """Return the ClusterIP of a service by a version of IP. Raises InputError when there is none."""
        return service_address(self.state, service, version)

    def address(self, namespace: str, version: int = 4) -> Address:
        """Return the address a namespace is reached at by a version of IP."""
        return namespace_address(self.state, namespace, version)

    def has_address(self, namespace: str, version: int) -> bool:
        """Whether a namespace can be reached by a version of IP."""
        return has_address(self.state, namespace, version)

    def interface_address(self, interface: str, version: int = 4) -> Address | None:
        """Return the first address of ``NAMESPACE:DEVICE``, None where there is none."""
        namespace, _, device = interface.partition(":")
        entries = self.state[namespace].addresses_of(device) if namespace in self.state.namespaces else ()
        return next((entry.interface.ip for entry in entries if entry.interface.version == version), None)

    def kind_of(self, namespace: str) -> str:
        """Say in words what a namespace is one of: `pods of cluster-1`; what belongs to no cluster is called by its own name."""
        found = self.state[namespace]
        return f"{found.role}s of {found.cluster}" if found.cluster else namespace

    def node_of(self, name: str | None) -> str | None:
        """Return the node a pod lives on; any other namespace stands for itself."""
        if name is None or name not in self.state.namespaces:
            return None
        return self.state[name].parent or name

    def interface_patterns(self, patterns: Sequence[str], source: str, target: Target | None) -> tuple[str, ...]:
        """Fill in the placeholders of interfaces for one probe; without a target there are no peers."""
        ours, theirs = self._cluster(source), self._cluster_of(target) if target is not None else None
        values = {
            "{node}": self.node_of(source),
            "{peer_node}": self.node_of(target.namespace) if target is not None else None,
            "{gateway}": self.gateways.get(ours or ""),
            "{peer_gateway}": self.gateways.get(theirs or ""),
        }
        return tuple(_filled(pattern, values) for pattern in patterns)

    def _cluster(self, name: str | None) -> str | None:
        return self.state[name].cluster if name in self.state.namespaces and name is not None else None

    def _cluster_of(self, target: Target) -> str | None:
        if target.name.startswith(SERVICE):
            service = target.name.removeprefix(SERVICE)
            return next((item.cluster for item in self.state.control.of("Service") if item.name == service), None)
        return self._cluster(target.namespace)


def matches_interface(pattern: str, interface: str) -> bool:
    """Whether ``NAMESPACE:DEVICE`` matches a pattern of that form."""
    wanted, _, device = pattern.partition(":")
    namespace, _, name = interface.partition(":")
    return fnmatchcase(namespace, wanted) and fnmatchcase(name, device)


def _filled(pattern: str, values: Mapping[str, str | None]) -> str:
    for placeholder, value in values.items():
        pattern = pattern.replace(placeholder, value or "?none?")
    return pattern
