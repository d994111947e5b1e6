"""The steps that configure a namespace whose links are all there: links up, addresses, neighbours, FDB entries, rules.

What the kernel does by itself is not asked of it: lo's own addresses, the routes that come with an address. What it may have undone (a
link that went down took its routes along) is sent again in a form that also suits when it has not; and what is removed may be gone
already. So no step depends on knowing every consequence of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TypeVar

from lab.kernel.netlink import links as nl
from lab.kernel.netlink.addresses import delete_address, new_address
from lab.kernel.netlink.links import Indexes
from lab.kernel.netlink.neighbours import delete_fdb_entry, delete_neighbour, new_fdb_entry, new_neighbour
from lab.kernel.netlink.routes import delete_route, new_route, replace_route
from lab.kernel.netlink.rules import delete_rule, new_rule
from lab.kernel.planning.addresses import address_changes, new_addresses_of
from lab.kernel.planning.batch import Batch
from lab.kernel.planning.changes import NamespaceChange
from lab.kernel.planning.routes import by_dependence, new_routes_of, route_changes, unwanted_routes
from lab.kernel.planning.steps import Phase, SendBatch, Verb
from lab.kernel.planning.sysctls import link_of
from lab.state import AddressEntry, FdbEntry, Namespace, Neighbour, Rule
from lab.state.implied import ipv6_is_off

T = TypeVar("T", Neighbour, FdbEntry)


def configuration(change: NamespaceChange) -> Iterator[SendBatch]:
    """One batch: first what goes, then what comes, each after what it needs."""
    return _of_new_namespace(change) if change.is_new else _of_existing_namespace(change)


def _of_new_namespace(change: NamespaceChange) -> Iterator[SendBatch]:
    """The same in short, for a namespace in which there is nothing to be removed. Most of a lab is built this way, and quickly."""
    after = change.after
    batch = Batch(after.name, change.indexes)
    old_rules, new_rules = rule_changes(change.before, after)
    batch.many(Verb.DELETE, old_rules, _delete_rule)
    _set_up_and_down(batch, change)
    addresses = new_addresses_of(after)
    batch.many(Verb.ADD, addresses, new_address)
    batch.many(Verb.DELETE, unwanted_routes(change, addresses), delete_route)
    batch.many(Verb.ADD, after.neighbours, new_neighbour)
    batch.many(Verb.ADD, after.fdb, new_fdb_entry)
    for routes in by_dependence(new_routes_of(after)):
        batch.many(Verb.ADD, routes, new_route)
    batch.many(Verb.ADD, [] if rules_are_last(change) else new_rules, add_rule)
    yield from batch.steps(Phase.CONFIGURATION)


def _of_existing_namespace(change: NamespaceChange) -> Iterator[SendBatch]:
    before, after = change.before, change.after
    batch = Batch(after.name, change.indexes)
    disturbed = change.disturbed | _links_that_lost_ipv6(change)
    old_rules, new_rules = rule_changes(before, after)
    old_addresses, new_addresses = address_changes(change, disturbed)
    silenced = _links_that_lose_ipv4(before, {*old_addresses, *new_addresses})
    old_neighbours, new_neighbours = _entries(before.neighbours, after.neighbours, disturbed | silenced, change.lost)
    old_fdb, new_fdb = _entries(before.fdb, after.fdb, disturbed, change.lost)
    staying = set(before.addresses).difference(old_addresses)
    really_new = [entry for entry in new_addresses if entry not in staying]
    routes = route_changes(change, disturbed | {entry.device for entry in old_addresses}, really_new)
    batch.many(Verb.DELETE, old_rules, _delete_rule)
    batch.many(Verb.DELETE, routes.removed, delete_route)
    batch.many(Verb.DELETE, old_neighbours, delete_neighbour)
    moved = {old.name for old, new in change.altered if old.master != new.master}
    # A bridge forgets what it knew behind a port that leaves it.
    batch.many(Verb.DELETE, [entry for entry in old_fdb if not entry.master or entry.device not in moved], delete_fdb_entry)
    batch.many(Verb.DELETE, old_addresses, delete_address)
    _set_up_and_down(batch, change)
    batch.many(Verb.ADD, new_addresses, new_address)
    batch.many(Verb.DELETE, unwanted_routes(change, new_addresses), delete_route)
    batch.many(Verb.ADD, new_neighbours, new_neighbour)
    batch.many(Verb.ADD, new_fdb, new_fdb_entry)
    added, replaced = by_dependence(routes.added), by_dependence(routes.replaced)
    for stage in (0, 1):
        batch.many(Verb.ADD, added[stage], new_route)
        batch.many(Verb.REPLACE, replaced[stage], replace_route)
    batch.many(Verb.ADD, [] if rules_are_last(change) else new_rules, add_rule)
    yield from batch.steps(Phase.CONFIGURATION)


def rules_are_last(change: NamespaceChange) -> bool:
    """Whether rules come after nexthop objects: a rule may keep the kernel from finding the gateway of one (`fib_check_nh`)."""
    return bool(change.after.nexthops)


def add_rule(rule: Rule, _: Indexes) -> bytes:
    """Add a rule, in the form in which a batch asks for it."""
    return new_rule(rule)


def _delete_rule(rule: Rule, _: Indexes) -> bytes:
    return delete_rule(rule)


def _set_up_and_down(batch: Batch, change: NamespaceChange) -> None:
    """Set links down and up. One that goes up is kept from choosing an IPv6 address: a state says every address there is."""
    for old, new in change.altered:
        if old.up and not new.up:
            batch.one(Verb.DOWN, new, nl.set_up(batch.indexes[new.name], up=False))
    off = ipv6_is_off(change.after)
    for link in change.rising:
        index = batch.indexes[link.name]
        if link.name != "lo" and not (off and change.after.sysctl(f"net/ipv6/conf/{link.name}/disable_ipv6", "1") == "1"):
            batch.one(Verb.NO_LINK_LOCAL, link, nl.set_no_link_local(index))
        batch.one(Verb.UP, link, nl.set_up(index, up=True))


def _links_that_lost_ipv6(change: NamespaceChange) -> frozenset[str]:
    """All links, when one that stays has its IPv6 switched off or on: addresses, routes and neighbours go with it."""
    before, after = change.before.sysctls, change.after.sysctls
    others = change.lost.union(link.name for link in change.fresh)
    switched = any(
        path.endswith("/disable_ipv6") and before.get(path, "0") != after.get(path, "0") and link_of(path) not in others
        for path in {*before, *after}
    )
    return frozenset(link.name for link in change.after.links) if switched else frozenset()


def _links_that_lose_ipv4(before: Namespace, moving: Set[AddressEntry]) -> frozenset[str]:
    """Links on which no IPv4 address stays, be it that others come: neighbours and proxy entries go with the last (fib_disable_ip)."""
    entries = [entry for entry in before.addresses if entry.interface.version == 4]
    return frozenset(entry.device for entry in entries) - {entry.device for entry in entries if entry not in moving}


def _entries(before: Sequence[T], after: Sequence[T], disturbed: frozenset[str], lost: frozenset[str]) -> tuple[list[T], list[T]]:
    """Neighbours or FDB entries that go and that come. What the kernel learned by itself is no part of a state and left alone."""
    if not before:
        return [], list(after)
    old, new = set(before), set(after)
    removed = [entry for entry in before if entry not in new and entry.device not in lost and _is_stated(entry)]
    return removed, [entry for entry in after if entry not in old or entry.device in disturbed]


def _is_stated(entry: Neighbour | FdbEntry) -> bool:
    if isinstance(entry, FdbEntry):
        return entry.permanent
    return entry.proxy or entry.state in {"permanent", "noarp"}


def rule_changes(before: Namespace, after: Namespace) -> tuple[list[Rule], list[Rule]]:
    """Rules that go and that come. Where anything changes at a priority, all its rules are made anew, for their order decides.

    The kernel removes the first rule that has what is asked for, and more; so the most particular ones go first.
    """
    if before.rules == after.rules:
        return [], []
    removed: list[Rule] = []
    added: list[Rule] = []
    old, new = _by_priority(before.rules), _by_priority(after.rules)
    for place in sorted({*old, *new}):
        if old.get(place) != new.get(place):
            removed += sorted(old.get(place, ()), key=lambda rule: -len(new_rule(rule)))
            added += new.get(place, ())
    return removed, added


def _by_priority(rules: Iterable[Rule]) -> dict[tuple[int, int], list[Rule]]:
    groups: dict[tuple[int, int], list[Rule]] = {}
    for rule in rules:
        groups.setdefault((rule.family, rule.priority), []).append(rule)
    return groups
