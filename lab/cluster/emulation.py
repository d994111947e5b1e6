"""What the emulated software acts on: the facts, the kernels of all namespaces, and the API servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lab.cluster.api import ApiServer
from lab.cluster.calico.routes import Advertisement
from lab.cluster.objects import Node
from lab.cluster.world import ClusterFacts, NodeFacts, World, address6_on, v4
from lab.state.objects import Address
from lab.state.state_builder import StateBuilder


@dataclass(frozen=True, slots=True)
class Emulation:
    """The world, which does not change, and what does while events happen."""

    world: World
    builder: StateBuilder
    apis: Mapping[str, ApiServer]
    advertisements: dict[str, Advertisement] = field(default_factory=dict)
    """What each node that has joined makes the others program."""

    def present(self, cluster: ClusterFacts) -> tuple[NodeFacts, ...]:
        """Return the nodes that have joined a cluster, in the order they did."""
        return tuple(cluster.nodes[node.name] for node in self.apis[cluster.name].list(Node))

    def outside_names(self) -> Iterator[tuple[str, Address]]:
        """Yield the names of hosts, which no cluster answers for, each with its addresses."""
        for name, host in self.world.topology.hosts.items():
            address = v4(host.address, self.world.place("hosts", name, "address"))
            address6 = address6_on(self.world.topology, host.segment, address, host.ipv6)
            for called in (name, *host.names):
                yield called, address
                if address6 is not None:
                    yield called, address6
