"""Counters of the kernel and of nft rules: their names, and by how much they moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from lab.spec.counter_names import is_by_type
from lab.state.nft import Counter, NftTable

Counters = Mapping[str, Mapping[str, int]]
"""By namespace, by name as nstat(8) prints it."""

GROUPS: Final = ("TcpExt", "IpExt", "Ip")
"""Groups that may be left out of a counter's name."""
_SHORT: Final = {"TcpExt": "Tcp", "IpExt": "Ip"}
"""What the second group of a protocol's counters is named after; nobody remembers in which of the two a counter is."""
RULE = "rule/"
"""What the name of a rule's counter begins with; the rule's comment follows."""


def rule_counters(tables: Iterable[NftTable]) -> dict[str, int]:
    """Return the packets that every commented rule with a counter has counted; rules of one comment are added up."""
    found: dict[str, int] = {}
    rules = (rule for table in tables for chain in table.chains for rule in chain.rules if rule.comment)
    for rule in rules:
        for statement in rule.statements:
            if isinstance(statement, Counter):
                name = f"{RULE}{rule.comment}"
                found[name] = found.get(name, 0) + statement.packets
    return found


def find_counter(name: str, counters: Mapping[str, int]) -> str | None:
    """Return the counter a name means: as nstat(8) prints it, or as `spellings` has it.

    Messages of a type of ICMP have a counter before a kernel lists it.
    """
    candidates = [name, *(f"{group}{name}" for group in GROUPS)]
    candidates += [name.replace(short, group, 1) for group, short in _SHORT.items() if name.startswith(short)]
    return next((candidate for candidate in candidates if candidate in counters or is_by_type(candidate)), None)


def spellings(counter: str) -> set[str]:
    """Return how else a name may be written: without its group (``InNoRoutes``), or as if there were one only (``IpInNoRoutes``)."""
    found = {counter.removeprefix(group) for group in GROUPS}
    return found | {counter.replace(group, short, 1) for group, short in _SHORT.items() if counter.startswith(group)}


def moved_counters(before: Counters, after: Counters) -> dict[str, dict[str, int]]:
    """Return by how much each counter moved."""
    return {
        name: {counter: value - before.get(name, {}).get(counter, 0) for counter, value in counters.items()}
        for name, counters in after.items()
    }
