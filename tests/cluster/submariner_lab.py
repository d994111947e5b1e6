"""What the tests of Submariner share: the two clusters with known blocks, the histories of the flagship, and state as text."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from lab.cluster import compile
from lab.errors import Place
from lab.spec.events import Event, History, Join, NodeAdded
from lab.spec.load import load_topology
from lab.spec.topology import Topology
from lab.state import Namespace, Protocol, State, Table
from lab.state.nftables.text import rule_text

BLOCKS = {
    "cluster-1": {"c1-gw": "10.46.10.0/26", "c1-w1": "10.46.104.192/26", "c1-w2": "10.46.33.0/26"},
    "cluster-2": {"c2-gw": "10.42.20.0/26", "c2-w1": "10.42.200.64/26", "c2-w2": "10.42.77.128/26"},
}
WORKERS = ("c1-w1", "c1-w2", "c2-w1", "c2-w2")
ONE, TWO = "cluster-1", "cluster-2"

JOINED = (
    Join(cluster=ONE, clustercidr="10.46.0.0/16", servicecidr="10.45.0.0/16"),
    Join(cluster=TWO, clustercidr="10.42.0.0/16", servicecidr="10.43.0.0/16"),
)
WORKERS_COME = tuple(NodeAdded(node=node) for node in WORKERS)
JOINED_SMALL = (Join(cluster=ONE), Join(cluster=TWO), *WORKERS_COME)
"""Joined without flags while each cluster has one node."""


@cache
def _loaded() -> Any:
    return load_topology(Path(__file__).parents[2] / "topologies" / "two-clusters.yaml")


def two_clusters(
    *, submariner: dict[str, Any] | None = None, clusters: dict[str, dict[str, Any]] | None = None, blocks: dict[str, str] | None = None
) -> Topology:
    """Return the two clusters with the blocks above; the arguments change parts of them."""
    written = _loaded().model.model_dump(mode="json", exclude_unset=True)
    written["submariner"] |= submariner or {}
    for name, nodes in BLOCKS.items():
        written["clusters"][name] |= (clusters or {}).get(name, {})
        for node, block in nodes.items():
            written["clusters"][name]["nodes"][node]["blocks"] = [(blocks or {}).get(node, block)]
    return Topology.model_validate(written)


def after(*events: Event, absent: Iterable[str] = (), topology: Topology | None = None) -> State:
    """Return the state after some events, the nth of which stands on line n of a scenario."""
    places = tuple(Place("scenario.yaml", line + 1) for line in range(len(events)))
    history = History(absent=tuple(absent), events=events, places=places)
    return compile(topology or two_clusters(), history, place=_loaded().place)


@cache
def healthy() -> State:
    return after(*JOINED)


@cache
def broken() -> State:
    return after(*JOINED_SMALL, absent=WORKERS)


@cache
def fixed() -> State:
    return after(*JOINED_SMALL, *JOINED, absent=WORKERS)


def routes(namespace: Namespace, table: int = Table.MAIN) -> list[str]:
    """Return a table as `ip route` shows it, without what the kernel and Calico put there."""
    return [_route(r, table) for r in namespace.table(table) if r.protocol != Protocol.KERNEL and not _calico(r)]


def _calico(route: Any) -> bool:
    return route.type == "blackhole" or (route.device or "").startswith(("vxlan.calico", "cali"))


def _route(route: Any, table: int) -> str:
    words = ["default" if route.destination.prefixlen == 0 else str(route.destination)]
    words += [f"via {route.via}"] if route.via else []
    words += [f"dev {route.device}"] if route.device else []
    words += ["proto static"] if route.protocol == Protocol.STATIC and route.destination.prefixlen else []
    words += ["scope link"] if route.scope == "link" else []
    words += [f"src {route.source}"] if route.source else []
    words += [f"metric {route.metric}"] if route.metric else []
    return " ".join(words)


def rules(namespace: Namespace) -> list[str]:
    """Return the policy rules, without the kernel's three."""
    shown = (r for r in namespace.rules if r.priority not in (0, 32766, 32767))
    return [f"{r.priority}: from {r.source or 'all'} {f'to {r.destination} ' if r.destination else ''}lookup {r.table}" for r in shown]


def fdb(namespace: Namespace, device: str) -> list[str]:
    return [f"{entry.mac} dst {entry.destination}" for entry in namespace.fdb if entry.device == device]


def chain(namespace: Namespace, table: str, name: str) -> list[str]:
    """Return a chain's rules as nft writes them, without counters."""
    found = (c for t in namespace.tables if t.name == table for c in t.chains if c.name == name)
    return [rule_text(rule, "ip").replace("counter packets 0 bytes 0 ", "").replace("counter ", "") for c in found for rule in c.rules]


def members(namespace: Namespace, name: str) -> set[str]:
    """Return the networks in a named set of the mangle table."""
    found = (s for t in namespace.tables if t.name == "mangle" for s in t.sets if s.name == name)
    return {str(element.network) for s in found for element in s.elements}  # type: ignore[union-attr]


def sysctl(namespace: Namespace, device: str, name: str) -> str:
    return namespace.sysctl(f"net/ipv4/conf/{device}/{name}")


def pools(state: State, cluster: str) -> dict[str, str]:
    return {pool.name: str(pool.body["spec"]["cidr"]) for pool in state.control.of("IPPool", cluster)}  # type: ignore[index,call-overload]


def subnets(state: State, cluster: str, seen_by: str | None = None) -> list[str]:
    """Return the subnets of a cluster's Endpoint as one cluster sees it."""
    endpoints = [e for e in state.control.of("Endpoint", seen_by or cluster) if e.name.startswith(f"{cluster}-submariner")]
    return [str(s) for e in endpoints for s in e.body["spec"]["subnets"]]  # type: ignore[index,call-overload,union-attr]


def logged(state: State, node: str, contains: str) -> bool:
    return any(line.node == node and contains in line.text for line in state.control.logs)
