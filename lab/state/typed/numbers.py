"""Numbers that iproute2 has names for, and the verbs that change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lab.state.objects import Table
from lab.state.typed.words import Reader

_TABLES: Final[Mapping[str, int]] = {"main": Table.MAIN, "local": Table.LOCAL, "default": Table.DEFAULT}
_PROTOCOLS: Final[Mapping[str, int]] = {
    "redirect": 1,
    "kernel": 2,
    "boot": 3,
    "static": 4,
    "gated": 8,
    "ra": 9,
    "mrt": 10,
    "zebra": 11,
    "bird": 12,
    "dnrouted": 13,
    "xorp": 14,
    "ntk": 15,
    "dhcp": 16,
    "keepalived": 18,
    "babel": 42,
    "bgp": 186,
    "isis": 187,
    "ospf": 188,
    "rip": 189,
    "eigrp": 192,
}
"""rt_protos of iproute2."""
READING: Final = ("show", "list", "lst", "get", "help", "save", "showdump", "monitor")
"""Verbs that change nothing."""


def table_number(reader: Reader) -> int:
    """Take the number or name of a routing table."""
    return named_number(reader, "a routing table", _TABLES, 0xFFFFFFFF)


def named_number(reader: Reader, what: str, names: Mapping[str, int], largest: int) -> int:
    """Take one of some names, or a number up to `largest`."""
    if reader.peek() in names:
        return names[reader.take(what)]
    return reader.number(what, largest)


def protocol_number(reader: Reader) -> int:
    """Take the number or name of who made a route or rule."""
    return named_number(reader, "a protocol", _PROTOCOLS, 255)
