"""What distinguishes two states: added, removed and changed objects, by namespace and kind.

Two objects are the same one when they share their natural key (a link its name, a route its table, destination, TOS and
metric, a neighbour its device and address, ...). Where the kernel distinguishes an order, so does the difference: of the
addresses of one subnet on a device (the first is primary), of the rules of one priority, of the routes of one key, of the
rules of a chain. Rule sets are compared in canonical form. Provenance is never compared. A MAC address that the second
state leaves to the kernel is no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import SequenceMatcher
from typing import Generic, TypeVar

from lab.state.control import ApiObject, LogLine
from lab.state.implied import states_ipv6, with_bare_ipv6, without_multicast
from lab.state.network import Listener, Namespace, Program, State
from lab.state.nft_difference import TableDifference, difference_of_tables
from lab.state.objects import AddressEntry, FdbEntry, Link, Neighbour, NextHopObject, Route, Rule, XfrmPolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One object before and after."""

    before: T
    after: T


@dataclass(frozen=True, slots=True)
class Delta(Generic[T]):
    """What distinguishes two collections. False when nothing does."""

    removed: tuple[T, ...] = ()
    added: tuple[T, ...] = ()
    changed: tuple[Change[T], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed)

    def __len__(self) -> int:
        return len(self.removed) + len(self.added) + len(self.changed)


@dataclass(frozen=True, slots=True)
class Setting:
    """A name and its value: a sysctl by its path, a file by its path, a variable of the environment."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class NamespaceDifference:
    """What distinguishes a namespace before and after. False when nothing does."""

    before: Namespace
    after: Namespace
    about: Delta[Setting] = Delta()
    """Role, cluster and parent."""
    links: Delta[Link] = Delta()
    addresses: Delta[AddressEntry] = Delta()
    nexthops: Delta[NextHopObject] = Delta()
    routes: Delta[Route] = Delta()
    rules: Delta[Rule] = Delta()
    neighbours: Delta[Neighbour] = Delta()
    fdb: Delta[FdbEntry] = Delta()
    policies: Delta[XfrmPolicy] = Delta()
    sysctls: Delta[Setting] = Delta()
    tables: tuple[TableDifference, ...] = ()
    listeners: Delta[Listener] = Delta()
    programs: Delta[Program] = Delta()
    files: Delta[Setting] = Delta()
    environment: Delta[Setting] = Delta()

    @property
    def name(self) -> str:
        """The name of the namespace."""
        return self.after.name

    def __bool__(self) -> bool:
        return any(bool(getattr(self, part.name)) for part in fields(self) if part.name not in ("before", "after"))


@dataclass(frozen=True, slots=True)
class Difference:
    """What distinguishes two states. False when nothing does: then they are equal."""

    removed: tuple[Namespace, ...] = ()
    added: tuple[Namespace, ...] = ()
    changed: tuple[NamespaceDifference, ...] = ()
    objects: Delta[ApiObject] = Delta()
    logs: Delta[LogLine] = Delta()

    def __bool__(self) -> bool:
        return bool(self.network or self.objects or self.logs)

    @property
    def network(self) -> bool:
        """Whether anything differs that the kernel or a process would notice."""
        return bool(self.removed or self.added or self.changed)

    def __iter__(self) -> Iterator[NamespaceDifference]:
        return iter(self.changed)

    def __getitem__(self, namespace: str) -> NamespaceDifference:
        """Return the difference of a namespace that is in both states and differs. KeyError otherwise."""
        for changed in self.changed:
            if changed.name == namespace:
                return changed
        raise KeyError(namespace)


def difference(before: State, after: State) -> Difference:
    """Return what distinguishes two states; removed objects in the order of the first, the rest in that of the second."""
    common = (name for name in after.namespaces if name in before.namespaces)
    changed = (difference_of_namespaces(before[name], after[name]) for name in common if before[name] is not after[name])
    return Difference(
        removed=tuple(namespace for namespace in before if namespace.name not in after.namespaces),
        added=tuple(namespace for namespace in after if namespace.name not in before.namespaces),
        changed=tuple(found for found in changed if found),
        objects=_delta(before.control.objects, after.control.objects, lambda o: (o.cluster, o.kind, o.namespace, o.name)),
        logs=_delta(before.control.logs, after.control.logs, lambda line: None, ordered=True, pairs=False),
    )


def difference_of_namespaces(before: Namespace, after: Namespace) -> NamespaceDifference:
    """Return what distinguishes one namespace before and after.

    Where only one of them speaks of IPv6, the other is taken to have what every namespace has of it.
    """
    before, after = without_multicast(before), without_multicast(after)
    if states_ipv6(before) != states_ipv6(after):
        before, after = with_bare_ipv6(before), with_bare_ipv6(after)
    return NamespaceDifference(
        before,
        after,
        about=_settings(_about(before), _about(after)),
        links=_delta(_with_free_macs(before.links, after.links), after.links, lambda link: link.name),
        addresses=_delta(before.addresses, after.addresses, subnet_of, ordered=True),
        nexthops=_delta(before.nexthops, after.nexthops, lambda thing: thing.id),
        routes=_delta(before.routes, after.routes, slot_of, ordered=True),
        rules=_delta(before.rules, after.rules, lambda rule: (rule.family, rule.priority), ordered=True),
        neighbours=_delta(before.neighbours, after.neighbours, lambda n: (n.device, n.address, n.proxy)),
        fdb=_delta(before.fdb, after.fdb, lambda entry: (entry.device, entry.mac, entry.master)),
        policies=_delta(before.policies, after.policies, lambda p: (p.direction, p.source, p.destination)),
        sysctls=_settings(before.sysctls, after.sysctls),
        tables=difference_of_tables(before.tables, after.tables),
        listeners=_delta(before.listeners, after.listeners, lambda listener: listener.name),
        programs=_delta(before.programs, after.programs, lambda program: program.name),
        files=_settings(before.files, after.files),
        environment=_settings(before.environment, after.environment),
    )


def _with_free_macs(links: Sequence[Link], wanted: Sequence[Link]) -> Sequence[Link]:
    """Leave out MAC addresses that the other side leaves to the kernel: any will do."""
    free = {link.name for link in wanted if link.mac is None}
    return [replace(link, mac=None) if link.name in free else link for link in links] if free else links


def _about(namespace: Namespace) -> dict[str, str]:
    known = {"role": namespace.role, "cluster": namespace.cluster, "parent": namespace.parent}
    return {name: value for name, value in known.items() if value is not None}


def slot_of(route: Route) -> Hashable:
    """Routes among which the kernel takes the first. IPv6 lets routes of one key stand side by side, one for each way out."""
    return route.key if route.destination.version == 4 else (route.key, route.device, route.via, route.nexthop)


def subnet_of(entry: AddressEntry) -> Hashable:
    """Addresses among which the first is primary: those of one device and subnet. IPv6 knows no primary addresses."""
    far = entry.peer or entry.interface
    return (entry.device, far.network if far.version == 4 else entry.interface)


def _settings(before: Mapping[str, str], after: Mapping[str, str]) -> Delta[Setting]:
    if before == after:
        return Delta()
    return _delta(
        [Setting(name, value) for name, value in before.items()],
        [Setting(name, value) for name, value in after.items()],
        lambda setting: setting.name,
    )


def _delta(before: Sequence[T], after: Sequence[T], key: Callable[[T], Hashable], *, ordered: bool = False, pairs: bool = True) -> Delta[T]:
    """Compare two collections, group by group of equal keys.

    Within a group equal objects are set aside (in `ordered` groups as many as keep their order); of what is left the first
    of either side are one changed object, and so on, if `pairs`; what only changed its place is removed and added.
    """
    if before is after or before == after:
        return Delta()
    old, new = _grouped(before, key), _grouped(after, key)
    removed: list[T] = []
    added: list[T] = []
    changed: list[Change[T]] = []
    for group in dict.fromkeys((*new, *old)):
        left, right = _without_equal(old.get(group, []), new.get(group, []), ordered=ordered)
        paired = min(len(left), len(right)) if pairs else 0
        for one, other in zip(left[:paired], right[:paired], strict=True):
            if one == other:
                removed.append(one)
                added.append(other)
            else:
                changed.append(Change(one, other))
        removed += left[paired:]
        added += right[paired:]
    return Delta(tuple(removed), tuple(added), tuple(changed))


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Hashable, list[T]]:
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _without_equal(before: list[T], after: list[T], *, ordered: bool) -> tuple[list[T], list[T]]:
    if before == after:
        return [], []
    if not before or not after or len(before) == len(after) == 1:
        return before, after
    if not ordered:
        left, right = list(before), []
        for item in after:
            if item in left:
                left.remove(item)
            else:
                right.append(item)
        return left, right
    left, right = [], []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            left += before[i1:i2]
            right += after[j1:j2]
    return left, right
