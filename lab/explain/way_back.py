"""Why a rule that asks the routing tables for the way back drops a packet: which rule or route leads the way back elsewhere.

Source: nft_fib_ipv4.c: `fib saddr . iif oif` looks up the packet turned round, with its destination for a source, so that rules meet that.
"""

from __future__ import annotations

from lab.explain.explanation import Responsible
from lab.explain.objects import responsible
from lab.forwarding import Network, Packet, Trace
from lab.forwarding.fib import Query
from lab.forwarding.why import describe_route
from lab.state import Table
from lab.state.nft import Fib, Match, NftRule


def way_back(network: Network, found: Trace, namespace: str, rule: object) -> tuple[str, Responsible] | None:
    """Return where the way back leads that a rule asked about, in words, and what leads it there; None for a rule that asks nothing."""
    packet = found.packet
    if not isinstance(rule, NftRule) or not isinstance(packet, Packet) or not any(map(_asks, rule.statements)):
        return None
    query = Query(int(packet.source), int(packet.destination), protocol=packet.protocol)
    answer = network.node(namespace).fib_of(packet.version).lookup(query, ignore_linkstate=True)
    if answer.route is None or answer.rule is None:
        return None
    by_rule = answer.rule.table not in (Table.MAIN, Table.DEFAULT)
    decided = responsible(network, namespace, answer.rule if by_rule else answer.route)
    if decided is None:
        return None
    told = f", by {decided.text}" if by_rule else ""
    return f"the way back to {packet.source} is {describe_route(answer.route)}{told}", decided


def _asks(statement: object) -> bool:
    return (
        isinstance(statement, Match)
        and isinstance(statement.left, Fib)
        and statement.left.result == "oif"
        and "saddr" in statement.left.flags
    )
