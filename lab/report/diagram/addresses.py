"""The addresses that pictures show: those a person knows a namespace by, of the version of IP that a packet is of."""

from __future__ import annotations

from collections.abc import Iterable

from lab.state import AddressEntry, Namespace


def address_text(namespace: Namespace, version: int = 4) -> str:
    """Return the address a person knows a namespace by, and how many more it has; one of this version of IP, if it has any."""
    own = [entry for entry in namespace.addresses if entry.device != "lo" and not entry.interface.is_link_local]
    own = [entry for entry in own if entry.interface.version == version] or own
    own.sort(key=lambda entry: entry.device != "eth0")
    if not own:
        return ""
    return f"{own[0].interface.ip}" + (f" +{len(own) - 1}" if len(own) > 1 else "")


def worth_telling(entries: Iterable[AddressEntry]) -> list[AddressEntry]:
    """Return what is worth telling of some addresses: no link-local one and no ::1, which every device and every namespace has."""
    return [
        entry for entry in entries if entry.interface.version == 4 or not (entry.interface.is_link_local or entry.interface.is_loopback)
    ]
