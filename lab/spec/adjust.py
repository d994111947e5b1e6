"""Lay a file's values over another's: mappings are merged key by key, null removes a key, all else replaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.errors import InputError, InputErrors, did_you_mean, quoted
from lab.spec.document import Document, Node
from lab.spec.load import Loaded, validate
from lab.spec.scenario import Scenario
from lab.spec.topology import Topology


def adjusted(topology: Document, overlay: Node | None) -> Loaded[Topology]:
    """Return a topology with a scenario's `adjust` over it; each value keeps the place it was written at. Raises InputErrors."""
    if overlay is None:
        return validate(topology, Topology)
    mistakes = list(_lost(topology.root, overlay))
    if mistakes:
        raise InputErrors(mistakes)
    return validate(Document(topology.file, merged(topology.root, overlay)), Topology)


def topology_of(topology: Loaded[Topology], scenario: Loaded[Scenario], phase: str) -> Loaded[Topology]:
    """Return the topology a phase of a scenario has: the scenario's own, with what the phases it continues and it itself adjust.

    Raises InputErrors.
    """
    phases = scenario.model.phases
    before = phases[phase].after
    earlier = list(phases)[: list(phases).index(phase)]
    below = topology_of(topology, scenario, before) if before in earlier else topology
    return adjusted(below.document, scenario.document.node("phases", phase, "adjust")) if phases[phase].adjust else below


def merged(below: Node, above: Node, *, removing: bool = True) -> Node:
    """Return a value laid over another. With `removing` null takes a key away; without, it stays for whom this is laid over next."""
    if not isinstance(below.content, Mapping) or not isinstance(above.content, Mapping):
        return above
    content = dict(below.content)
    for key, node in above.content.items():
        if removing and node.content is None:
            content.pop(key, None)
        else:
            content[key] = merged(content[key], node, removing=removing) if key in content else node
    # The keys that were taken away keep their place: what is missing then was removed there.
    return Node(below.place, content, {**below.keys, **above.keys})


def _lost(below: Node, above: Node) -> Iterator[InputError]:
    """Yield a mistake for every key that is to be removed and is not there."""
    if not isinstance(below.content, Mapping) or not isinstance(above.content, Mapping):
        return
    for key, node in above.content.items():
        if key in below.content:
            yield from _lost(below.content[key], node)
        elif node.content is None:
            hint = did_you_mean(key, list(below.content), "key")
            yield InputError(f"the topology has no {quoted(key)} here to remove", place=above.keys[key], hint=hint)
