"""Mistakes that several checks look for: names that lead nowhere, things that are there twice, networks that overlap."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import TypeVar

from lab.errors import InputError, Place, did_you_mean, quoted
from lab.spec.sysctl_names import unknown_sysctl
from lab.spec.sysctls import MACHINE_WIDE, misunderstood
from lab.spec.values import Network

Mistakes = Iterator[InputError]
T = TypeVar("T")


def dangling(what: str, name: str, known: Collection[str], place: Place, where: str = "") -> InputError:
    """Return the mistake of a name that leads nowhere, with the nearest one that does not."""
    return InputError(f"there is no {what} {quoted(name)}{where}", place=place, hint=did_you_mean(name, list(known), what))


def twice(what: str, found: Iterable[tuple[Hashable, Place]], file: str) -> Mistakes:
    """Yield a mistake for everything that is there a second time; `what` it is, as "the address". `file` is as in `blamed`."""
    first: dict[Hashable, Place] = {}
    for key, place in found:
        if key in first:
            here, other = blamed(first[key], place, file)
            shown = key[-1] if isinstance(key, tuple) else key
            yield InputError(f"{what} {shown} is used twice; the other is {seen_from(here, other)}", place=here)
        first.setdefault(key, place)


def overlap(first: tuple[str, Place], second: tuple[str, Place], file: str) -> InputError:
    """Return the mistake of two networks that overlap, each as it is called and where it stands. `file` is as in `blamed`."""
    place, other = blamed(first[1], second[1], file)
    this, that = (first, second) if place is first[1] else (second, first)
    return InputError(f"{this[0]} overlaps {that[0]} {seen_from(place, other)}", place=place)


def blamed(first: Place, second: Place, file: str) -> tuple[Place, Place]:
    """Return which of two places that contradict each other to point at, and the other one.

    It is the second, unless the first is what a scenario changed in the topology's `file`.
    """
    return (first, second) if first.file != file and second.file == file else (second, first)


def seen_from(here: Place, there: Place) -> str:
    """Say where something is to a reader who looks at `here`."""
    return f"on line {there.line}" if here.file == there.file else f"at {there.file}:{there.line}"


def overlaps(ranges: Iterable[tuple[Network, T]]) -> Iterator[tuple[tuple[Network, T], tuple[Network, T]]]:
    """Yield the pairs of networks that overlap, for each network one it lies in, in the order they are given.

    Two networks overlap only where one holds the other, so it is enough to keep those that hold the current one.
    """
    numbered = [(int(network.network_address), -network.num_addresses, index, network, of) for index, (network, of) in enumerate(ranges)]
    around: list[tuple[int, Network, T]] = []
    found: list[tuple[int, tuple[Network, T], tuple[Network, T]]] = []
    for start, _, index, network, of in sorted(numbered, key=lambda entry: entry[:3]):
        while around and int(around[-1][1].broadcast_address) < start:
            around.pop()
        if around:
            other_index, other, other_of = around[-1]
            pair = ((other, other_of), (network, of)) if other_index < index else ((network, of), (other, other_of))
            found.append((max(index, other_index), *pair))
        around.append((index, network, of))
    return ((first, second) for _, first, second in sorted(found, key=lambda entry: entry[0]))


def sysctl_value(name: str, value: int | str, place: Place) -> Mistakes:
    """Yield a mistake when a sysctl cannot have a value, or none of a lab's own."""
    if name in MACHINE_WIDE:
        yield InputError(f"{name} is the whole machine's: no network namespace may write it", place=place, hint="leave it out")
    wrong = misunderstood(name, value)
    if wrong is not None:
        yield InputError(f"{name} takes {wrong[0]}, not {quoted(str(value))}", place=place, hint=wrong[1])


def sysctl_name(path: str, place: Place) -> Mistakes:
    """Yield a mistake when a path leads to a sysctl that no kernel has."""
    unknown = unknown_sysctl(path)
    if unknown is not None:
        name, known = unknown
        yield InputError(f"there is no sysctl {quoted(path)}", place=place, hint=did_you_mean(name, known, "sysctl"))


def within(inner: Network, outer: Network) -> bool:
    """Whether a network lies in another one."""
    return inner.version == outer.version and inner.network_address in outer and inner.prefixlen >= outer.prefixlen
