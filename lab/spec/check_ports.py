"""Whether what a topology says of the ports of its switches is about anybody."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from lab.errors import InputError, did_you_mean, quoted
from lab.spec.findings import Mistakes
from lab.spec.load import Loaded
from lab.spec.topology import Topology


def check_ports(loaded: Loaded[Topology]) -> Mistakes:
    """Yield a mistake for every key of a segment's ports that is no member of it."""
    for name, segment in loaded.model.segments.items():
        members = list(members_of(loaded.model, name))
        for key in segment.ports:
            if not any(fnmatchcase(member, key) for member in members):
                place = loaded.key_place("segments", name, "ports", key)
                hint = did_you_mean(key, members, "member")
                yield InputError(f"nobody on segment {name!r} is called {quoted(key)}", place=place, hint=hint)


def members_of(topology: Topology, segment: str) -> Iterator[str]:
    """Yield the names of those that are on a segment."""
    yield from (name for name, router in topology.routers.items() if segment in router.interfaces)
    yield from (name for name, host in topology.hosts.items() if segment in (host.segment, *host.interfaces))
    for cluster in topology.clusters.values():
        yield from (name for name, node in cluster.nodes.items() if segment in (node.segment or cluster.segment, *node.interfaces))
