"""In which order things stand from left to right: one order for the ways of all phases, so that nothing moves from one to another."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def merged(sequences: Iterable[Sequence[T]]) -> list[T]:
    """Return one order that agrees with all sequences, and, where they contradict each other, with the earlier of them."""
    import networkx as nx

    graph: nx.DiGraph[T] = nx.DiGraph()
    for sequence in sequences:
        graph.add_nodes_from(sequence)
        for one, other in pairwise(sequence):
            if one != other and not graph.has_edge(one, other) and not nx.has_path(graph, other, one):
                graph.add_edge(one, other)
    first = {item: number for number, item in enumerate(graph)}
    return list(nx.lexicographical_topological_sort(graph, key=lambda item: first[item]))


def nested(sequences: Sequence[Sequence[T]], keys: Sequence[Callable[[T], Hashable]]) -> list[T]:
    """Return one order in which whatever has the first key in common stands together, within that the second, and so on."""
    if not keys:
        return merged(sequences)
    key, inner = keys[0], keys[1:]
    found: list[T] = []
    for group in merged([[key(item) for item in sequence] for sequence in sequences]):
        parts = [[item for item in sequence if key(item) == group] for sequence in sequences]
        found += nested([part for part in parts if part], inner)
    return found
