"""What is not asked about: whether a change touches IPv6, so that nobody takes silence about it for an answer."""

from __future__ import annotations

from lab.state import Namespace, State
from lab.state.implied import states_ipv6
from lab.validate.result import Check, Status

NAME = "ipv6"
TITLE = "nothing changes over IPv6"
_BOTH = ("ip6", "inet")
"""Families of tables that IPv6 packets meet."""


def ipv6_checks(before: State, after: State) -> tuple[Check, ...]:
    """Return a check that is undecided where a change touches what IPv6 packets meet; questions are asked over IPv4 alone."""
    names = dict.fromkeys((*before.namespaces, *after.namespaces))
    touched = [name for name in names if _of_ipv6(before.namespaces.get(name)) != _of_ipv6(after.namespaces.get(name))]
    if not touched:
        return ()
    note = f"questions are asked over IPv4, and the change touches IPv6 in {', '.join(touched)}: see `lab reach --ipv6` and `lab run`"
    return (Check(NAME, TITLE, Status.UNDECIDED, note=note),)


def _of_ipv6(namespace: Namespace | None) -> object:
    """Return what decides about IPv6 packets in a namespace; None where it has no IPv6."""
    if namespace is None or not states_ipv6(namespace):
        return None
    return (
        [entry for entry in namespace.addresses if entry.interface.version == 6],
        [route for route in namespace.routes if route.destination.version == 6],
        [rule for rule in namespace.rules if rule.family == 6],
        [entry for entry in namespace.neighbours if entry.address.version == 6],
        {path: value for path, value in namespace.sysctls.items() if path.startswith("net/ipv6/")},
        [table for table in namespace.tables if table.family in _BOTH],
    )
