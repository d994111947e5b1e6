"""One mistake of a state, and what several checks need."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from lab.errors import did_you_mean
from lab.state.network import Namespace
from lab.state.provenance import Provenance

T = TypeVar("T")

MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
"""A MAC address as states hold it: lower case, colons."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with an object, which says by its provenance where it comes from."""

    message: str
    provenance: Provenance
    hint: str | None = None


def missing_link(namespace: Namespace, name: str, what: str, why: Provenance) -> Iterator[Mistake]:
    """Yield a mistake when a link that something refers to is not there."""
    if namespace.link(name) is None:
        yield Mistake(f"{what}: there is no link {name}", why, did_you_mean(name, [link.name for link in namespace.links], "link"))


def repeated(items: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[T]:
    """Yield the items whose key has occurred before."""
    seen: set[Hashable] = set()
    for item in items:
        value = key(item)
        if value in seen:
            yield item
        seen.add(value)
