"""The plan: every step from one state to another, in order, each of them printable. Nothing here touches the kernel.

>>> for line in plan(State(), target).lines(): print(line)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import Final

from lab.kernel.planning.changes import NamespaceChange, changes_between, with_kernels_own
from lab.kernel.planning.delays import delay_steps
from lab.kernel.planning.links import foundations, removals, stacks_and_settings
from lab.kernel.planning.nexthops import nexthop_steps, without_named
from lab.kernel.planning.steps import AddNamespace, AwaitLinks, Indexes, LoadRuleset, Phase, RemoveNamespace, SendBatch, Step
from lab.kernel.planning.sysctls import sysctl_steps
from lab.kernel.planning.tables import configuration
from lab.state import State
from lab.state.nftables import canonical

NO_INDEXES: Final[Indexes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered steps, and what they lead to."""

    steps: tuple[Step, ...]
    after: State
    """What the kernel holds once they are done."""
    indexes: Indexes
    """The interface index that every link has then."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    @property
    def messages(self) -> int:
        """How many netlink messages it sends."""
        return sum(len(step.messages) for step in self.steps if isinstance(step, SendBatch))

    @property
    def removed_namespaces(self) -> tuple[str, ...]:
        """The namespaces it removes."""
        return tuple(step.namespace for step in self.steps if isinstance(step, RemoveNamespace))

    def lines(self) -> Iterator[str]:
        """The plan for people: phases, within them namespaces, within them what is done."""
        for phase, steps in groupby(self.steps, key=lambda step: step.phase):
            yield f"{phase.value}. {phase.title}"
            for namespace, in_namespace in groupby(steps, key=lambda step: step.namespace):
                yield f"  {namespace}"
                yield from (f"    {line}" for step in in_namespace for line in step.lines())


def plan(before: State, after: State, indexes: Indexes = NO_INDEXES) -> Plan:
    """Plan the way from `before`, whose links have these `indexes`, to `after`.

    What `after` does not say is left to the kernel: see `with_kernels_own`; a namespace that states no route of the kernel's making has
    those that its addresses bring. Raises InputError when `after` contradicts itself, as with a route over a
    link that is not there.
    """
    before, after = _with_kernels_own(before), _with_kernels_own(after)
    changes = changes_between(before, after, indexes)
    shaken = any(change.disturbed for change in changes.namespaces)
    steps: list[Step] = list(removals(changes, indexes))
    steps += (RemoveNamespace(name) for name in changes.removed)
    steps += (AddNamespace(change.after.name, change.after.provenance) for change in changes.namespaces if change.is_new)
    steps += foundations(changes, after)
    steps += stacks_and_settings(changes)
    for change in changes.namespaces:
        steps += sysctl_steps(change)
        steps += configuration(without_named(change))
        steps += nexthop_steps(change, shaken=shaken)
        steps += delay_steps(change)
        steps += _rule_set(change)
    if any(change.fresh or change.altered for change in changes.namespaces):
        steps += _barrier(after, changes.indexes)
    # Sorting is stable: within a phase, namespaces and steps stay in the order above.
    return Plan(tuple(sorted(steps, key=lambda step: step.phase)), after, changes.indexes)


def _with_kernels_own(state: State) -> State:
    return replace(state, namespaces={namespace.name: with_kernels_own(namespace) for namespace in state})


def _rule_set(change: NamespaceChange) -> Iterator[Step]:
    """Tables that differ are made anew as a whole, all in one transaction; so are those with a hook on a link that goes and comes back."""
    namespace, before, after = change.after.name, change.before.tables, change.after.tables
    remade = {(table.family, table.name) for table in after if any(change.lost.intersection(chain.devices) for chain in table.chains)}
    if before == after and not remade:
        return
    old = {(table.family, table.name): table for table in before}
    new = {(table.family, table.name): table for table in after}
    changed = remade | {
        name for name in new if name not in old or (old[name] != new[name] and canonical(old[name]) != canonical(new[name]))
    }
    made = tuple(table for name, table in new.items() if name in changed)
    deleted = tuple(table for name, table in old.items() if name in changed or name not in new)
    if made or deleted:
        yield LoadRuleset(namespace, made, deleted)


def _barrier(after: State, indexes: Indexes) -> Iterator[Step]:
    for namespace in after:
        links = tuple(link.name for link in namespace.links if link.up and link.name != "lo")
        if links:
            devices = dict.fromkeys(entry.device for entry in namespace.addresses if entry.interface.version == 6)
            yield AwaitLinks(namespace.name, links, tuple((name, indexes[namespace.name][name]) for name in devices if name in links))


__all__ = ["NO_INDEXES", "Indexes", "Phase", "Plan", "Step", "plan"]
