"""What the tests of the base share: the shipped topologies with parts changed, and state as text."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from lab.cluster import compile
from lab.spec.events import Event, History
from lab.spec.load import Loaded, load_topology
from lab.spec.topology import Topology
from lab.state import Namespace, Protocol, Route, State
from lab.state.nftables.text import rule_text

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


@cache
def loaded(name: str = "two-clusters") -> Loaded[Topology]:
    return load_topology(TOPOLOGIES / f"{name}.yaml", f"{name}.yaml")


def changed(*, name: str = "two-clusters", cluster_1: dict[str, Any] | None = None, **others: Any) -> Topology:
    """Return a shipped topology without Submariner, with parts of its first cluster or of the whole replaced."""
    written = loaded(name).model.model_dump(mode="json", exclude_unset=True)
    written["clusters"]["cluster-1"] |= cluster_1 or {}
    return Topology.model_validate({**written, "submariner": None, **others})


def compiled(topology: Topology | None = None, *events: Event, absent: tuple[str, ...] = ()) -> State:
    """Return the state of a topology, by default the two clusters as they are before anybody joins them."""
    return compile(topology or changed(), History(absent=absent, events=events), place=loaded().place)


def chain(namespace: Namespace, table: str, name: str) -> list[str]:
    """Return a chain's rules as nft writes them, without counters and comments."""
    found = (c for t in namespace.tables if t.name == table for c in t.chains if c.name == name)
    return [rule_text(rule, "ip").replace("counter ", "").split(" comment ")[0] for c in found for rule in c.rules]


def chains(namespace: Namespace, table: str) -> list[str]:
    return [c.name for t in namespace.tables if t.name == table for c in t.chains]


def members(namespace: Namespace, table: str, name: str) -> set[str]:
    """Return what is in a named set."""
    found = (s for t in namespace.tables if t.name == table for s in t.sets if s.name == name)
    return {str(getattr(element, "network", element)) for s in found for element in s.elements}


def routes(namespace: Namespace, of: str) -> list[str]:
    """Return the routes through a device (or of a type) as ``ip -details route`` shows them, without the kernel's own."""
    return [_text(r) for r in namespace.routes if r.protocol != Protocol.KERNEL and of in (r.device, r.type)]


def _text(route: Route) -> str:
    words = [] if route.type == "unicast" else [route.type]
    words += ["default" if route.destination.prefixlen == 0 else str(route.destination)]
    words += [f"via {route.via}"] if route.via else []
    words += [f"proto {int(route.protocol)}", f"scope {route.scope}"]
    words += ["onlink"] if route.onlink else []
    return " ".join(words)


def sysctl(namespace: Namespace, device: str, name: str) -> str:
    return namespace.sysctl(f"net/ipv4/conf/{device}/{name}", "not stated")
