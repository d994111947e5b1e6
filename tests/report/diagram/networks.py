"""Networks for pictures: large ones, and ones with names that mean harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from lab.spec.shipped import find
from lab.state import State

HOSTILE = (
    "<script>alert(1)</script>",
    '"]; end',
    "a`b$(x)|{y}",
    "--> n1",
    "%%{init}%%",
    "name&amp;\x1b[31m\x00\u202e",
    "]]>",
    "#quot;",
    "=cmd|'/c calc'!A1",
)

LONG = tuple(f"{name}{number}" for number, name in enumerate(("w" * 252, "界" * 63, "-".join(["pod"] * 60), "M" * 252) * 3))
"""Names as long as a domain name may be, and of signs that take more room than letters."""


def twenty_nodes_each(folder: Path) -> Path:
    """Write the flagship's topology with twenty nodes in each cluster."""
    topology = yaml.safe_load(find("two-clusters", "topologies").read_text())
    for number, (cluster, net) in enumerate((("cluster-1", "172.18.1"), ("cluster-2", "172.18.2")), 1):
        names = [f"c{number}-gw", *(f"c{number}-w{node}" for node in range(1, 20))]
        topology["clusters"][cluster]["nodes"] = {
            name: {"address": f"{net}.{at + 2}", "gateway": at == 0, "pods": {f"{name}-{pod}": {} for pod in "abcde"[: 1 + at % 5]}}
            for at, name in enumerate(names)
        }
        topology["clusters"][cluster]["services"] = {}
    file = folder / "twenty-nodes-each.yaml"
    file.write_text(yaml.safe_dump(topology, sort_keys=False))
    return file


def renamed(state: State, names: dict[str, str]) -> State:
    """Return a state in which namespaces bear other names, as a state that somebody sends may."""

    def new(name: str | None) -> str | None:
        return names.get(name, name) if name is not None else None

    namespaces = {}
    for namespace in state:
        links = tuple(
            replace(link, kind=replace(link.kind, peer_namespace=new(link.kind.peer_namespace)))
            if hasattr(link.kind, "peer_namespace")
            else link
            for link in namespace.links
        )
        name = str(new(namespace.name))
        namespaces[name] = replace(namespace, name=name, parent=new(namespace.parent), cluster=new(namespace.cluster), links=links)
    return State(namespaces, state.control)
