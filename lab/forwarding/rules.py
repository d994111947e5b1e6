"""Policy rules: which of them applies to a query (`fib_rule_match`, net/core/fib_rules.c; `fib4_rule_match`, net/ipv4/fib_rules.c)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Literal

from lab.forwarding.unknown import Undecided
from lab.state import UNKNOWN, Rule, Table

if TYPE_CHECKING:
    from lab.forwarding.fib import Query

Version = Literal[4, 6]

ROUTING_TOS = 0x1C
"""The bits of a packet's TOS byte that rules and routes are compared with (IPTOS_RT_MASK, `fib_dscp_masked_match`), so the
precedence an ICMP error bears makes no difference."""


_DEFAULT_RULES = ((0, Table.LOCAL), (32766, Table.MAIN), (32767, Table.DEFAULT))
"""What a namespace is born with; the kernel says so by protocol 2, iproute2 by saying nothing."""


def only_default_rules(rules: Sequence[Rule], version: Version = 4) -> bool:
    """Whether the rules of a version of IP among these are those a namespace is born with: IPv6 has no table default."""
    mine = [rule for rule in rules if rule.family == version]
    born_with = _DEFAULT_RULES if version == 4 else _DEFAULT_RULES[:2]
    plain = [Rule(priority, table=table, family=version) for priority, table in born_with]
    return [replace(rule, protocol=0, provenance=UNKNOWN) for rule in mine] == plain


def table_of(rule: Rule) -> int:
    """Return the table a lookup rule leads to."""
    return Table.MAIN if rule.table is None else rule.table


Selector = Literal["iif", "oif", "fwmark", "uidrange", "from", "to", "tos", "ipproto", "sport", "dport"]


def mismatch(rule: Rule, query: Query) -> Selector | Literal["not"] | None:
    """Return the first selector by which a rule does not apply to a query, or None when it applies.

    ``not`` is returned for an inverted rule whose selectors all match. Raises Undecided for a rule with `l3mdev`, whose
    outcome depends on VRF devices the model does not have.
    """
    selector = _failing(rule, query)
    if rule.l3mdev and selector is None:
        raise Undecided("an l3mdev rule asks for VRF devices, which are not modelled", rule)
    if rule.inverted:
        return "not" if selector is None else None
    return selector


def failing_selectors(rule: Rule, query: Query) -> tuple[Selector, ...]:
    """Return all selectors of a rule that a query does not meet."""
    return tuple(_failures(rule, query))


def _failing(rule: Rule, query: Query) -> Selector | None:
    return next(_failures(rule, query), None)


def _failures(rule: Rule, query: Query) -> Iterator[Selector]:
    """The checks of `fib_rule_match` and `fib4_rule_match`, in their order."""
    if rule.iif is not None and rule.iif != query.iif:
        yield "iif"
    if rule.oif is not None and rule.oif != query.oif:
        yield "oif"
    if rule.mark is not None and (rule.mark ^ query.mark) & rule.mask:
        yield "fwmark"
    if rule.uid_first is not None and not rule.uid_first <= query.uid <= (rule.uid_first if rule.uid_last is None else rule.uid_last):
        yield "uidrange"
    if not _covers(rule.source, query.source):
        yield "from"
    if not _covers(rule.destination, query.destination):
        yield "to"
    if rule.tos and rule.tos != query.tos & ROUTING_TOS:
        yield "tos"
    if rule.ip_protocol and rule.ip_protocol != query.protocol:
        yield "ipproto"
    if rule.source_ports is not None and not rule.source_ports.first <= query.source_port <= rule.source_ports.last:
        yield "sport"
    if rule.destination_ports is not None and not rule.destination_ports.first <= query.destination_port <= rule.destination_ports.last:
        yield "dport"


def _covers(network: object, address: int) -> bool:
    if not isinstance(network, IPv4Network | IPv6Network):
        return True
    return address & int(network.netmask) == int(network.network_address)
