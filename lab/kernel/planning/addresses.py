"""Which addresses are added and removed, so that their order becomes the one that is stated.

The order of a link's IPv4 addresses is part of a state: the first of a subnet is its primary address, and the first of all is what
packets to elsewhere get as their source. The kernel appends, and keeps primary addresses in front of secondary ones (__inet_insert_ifa).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lab.kernel.netlink.wire import SCOPES
from lab.kernel.planning.changes import NamespaceChange
from lab.state import AddressEntry, Namespace
from lab.state.implied import LOOPBACK_4, LOOPBACK_6, ipv6_is_off

_LO_ADDRESSES: Final = frozenset({LOOPBACK_4, LOOPBACK_6})


def address_changes(change: NamespaceChange, disturbed: frozenset[str]) -> tuple[Sequence[AddressEntry], Sequence[AddressEntry]]:
    """Addresses that go and that come.

    Of each link the addresses stay that stand in front in both states, and all others come anew, in order. With a primary address its
    secondary ones may go (promote_secondaries), so whatever stays behind a removed one is sent again, as is all of a disturbed link.
    """
    before, after = change.before.addresses, change.after.addresses
    removed: list[AddressEntry] = []
    added: list[AddressEntry] = []
    old, new = by_link(before), by_link(after)
    for place in dict.fromkeys((*old, *new)):
        device, _ = place
        held, wanted = old.get(place, []) if device not in change.lost else [], new.get(place, [])
        if device == "lo" and not wanted:
            continue
        kept = _leading(wanted, held)
        going = [entry for entry in held if entry not in kept]
        removed += going
        again = device in disturbed or going
        added += [entry for entry in wanted if again or entry not in kept]
    if ipv6_is_off(change.after):
        added = [entry for entry in added if entry.interface != LOOPBACK_6]
    return removed, added


def new_addresses_of(namespace: Namespace) -> Sequence[AddressEntry]:
    """The addresses of a new namespace that do not come with lo."""
    return [entry for entry in namespace.addresses if entry.device != "lo" or entry.interface not in _LO_ADDRESSES]


def by_link(entries: Iterable[AddressEntry]) -> dict[tuple[str, int], list[AddressEntry]]:
    """Addresses by link and IP version (neither takes notice of the other), in the order in which the kernel keeps them.

    IPv6 addresses are kept by scope, the latest in front, and chosen among by rules of their own (RFC 6724): their order is not compared.
    """
    groups: dict[tuple[str, int], list[AddressEntry]] = {}
    for entry in entries:
        groups.setdefault((entry.device, entry.interface.version), []).append(entry)
    for (_, version), group in groups.items():
        if len(group) > 1:
            group[:] = _primary_first(group) if version == 4 else sorted(group, key=lambda entry: entry.interface)
    return groups


def _primary_first(entries: Sequence[AddressEntry]) -> list[AddressEntry]:
    subnets = set()
    primary: list[AddressEntry] = []
    secondary: list[AddressEntry] = []
    for entry in entries:
        subnet = (entry.peer or entry.interface).network
        (secondary if subnet in subnets else primary).append(entry)
        subnets.add(subnet)
    return [*sorted(primary, key=lambda entry: -SCOPES[entry.scope]), *secondary]


def _leading(new: Sequence[AddressEntry], old: Sequence[AddressEntry]) -> list[AddressEntry]:
    """The longest beginning of `new` whose entries `old` has in the same order."""
    kept: list[AddressEntry] = []
    position = 0
    for entry in new:
        if entry not in old[position:]:
            break
        position = old.index(entry, position) + 1
        kept.append(entry)
    return kept
