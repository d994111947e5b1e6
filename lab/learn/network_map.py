"""The map that a learner is given: who is where. It says nothing of routes."""

from __future__ import annotations

from collections.abc import Iterator

from lab.spec.selectors import switch_name
from lab.spec.topology import Topology
from lab.state import State


def draw_map(topology: Topology, state: State) -> str:
    """Return a map of a topology: each segment with its members and their addresses, each node with its pods."""
    return "\n".join(_lines(topology, state))


def _lines(topology: Topology, state: State) -> Iterator[str]:
    pods = {namespace.parent: [] for namespace in state if namespace.role == "pod"}  # type: dict[str | None, list[str]]
    for namespace in state:
        if namespace.role == "pod":
            pods[namespace.parent].append(f"{namespace.name} {_first_address(state, namespace.name)}")
    for name, segment in topology.segments.items():
        switch = f" (switch {switch_name(name)})" if switch_name(name) in state.namespaces else ""
        yield f"{name}  {segment.cidr}{switch}"
        members = [
            (namespace.name, str(entry.interface.ip), entry.device)
            for namespace in state
            for entry in namespace.addresses
            if namespace.role not in ("pod", "switch") and entry.interface.network == segment.cidr
        ]
        for number, (member, address, device) in enumerate(members):
            last = number == len(members) - 1
            yield f" {'└' if last else '├'}─ {member:<14} {address:<15} {device}"
            for pod in pods.get(member, ()):
                yield f" {' ' if last else '│'}     pod {pod}"
        yield ""
    for name, cluster in topology.clusters.items():
        yield f"{name}: pods {cluster.pod_cidr}, services {cluster.service_cidr}"


def _first_address(state: State, name: str) -> str:
    return next((str(entry.interface.ip) for entry in state[name].addresses if entry.device == "eth0"), "")
