"""Which of two ordered collections goes and which comes, where the kernel can only append."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def remade(before: Sequence[T], after: Sequence[T], group: Callable[[T], Hashable]) -> tuple[list[T], list[T]]:
    """Return what must be removed and then appended, so that each group of items ends up in the order of `after`.

    Of a group stays what both begin with; everything behind the first difference is removed and made anew. Both results
    keep the order they had.
    """
    old, new = _grouped(before, group), _grouped(after, group)
    kept = {key: _common(items, new.get(key, [])) for key, items in old.items()}
    return _behind(before, group, kept), _behind(after, group, kept)


def _grouped(items: Sequence[T], group: Callable[[T], Hashable]) -> dict[Hashable, list[T]]:
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(group(item), []).append(item)
    return groups


def _common(left: Sequence[T], right: Sequence[T]) -> int:
    """Return with how many items both sequences begin."""
    pairs = zip(left, right, strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))


def _behind(items: Sequence[T], group: Callable[[T], Hashable], kept: Mapping[Hashable, int]) -> list[T]:
    """Return the items that stand behind as many of their group as are kept."""
    seen: dict[Hashable, int] = {}
    found: list[T] = []
    for item in items:
        key = group(item)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > kept.get(key, 0):
            found.append(item)
    return found
