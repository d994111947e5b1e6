"""Packet filters that a file writes line by line: a router's or switch's policy as a table, a machine's firewall in iptables' chains.

Each line becomes a rule with a counter of its own, named by its comment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from lab.cluster.rules import ACCEPT, BUILT_IN, DROP, iif, oif, protocol, rule, states
from lab.spec.site import FilterRule, Firewall, HostRule, RouterRule
from lab.state.builder import NamespaceBuilder
from lab.state.nft import AnonymousSet, Chain, Expression, Match, Meta, NftRule, NftTable, Payload, Prefix, Reject, Verdict
from lab.state.objects import Network
from lab.state.provenance import Provenance

TABLE: Final = "forwarding"
"""`policy` is a word of nft(8), which takes no such name."""
CHAIN: Final = "forward"


def forwarding_policy(rules: Sequence[FilterRule], device: Callable[[str], str], why: Provenance) -> NftTable:
    """Return the table for a policy; `device` names the router's device on a segment. What no line matches passes."""
    lines = filter_rules(rules, device, why)
    chain = Chain(CHAIN, lines, type="filter", hook="forward", priority=0, policy="accept", provenance=why)
    return NftTable("ip", TABLE, (chain,), provenance=why)


def add_firewall(namespace: NamespaceBuilder, firewall: Firewall, why: Provenance) -> None:
    """Write a machine's firewall into iptables' own chains, before anybody else does."""
    for name, policy, rules in (
        ("INPUT", firewall.input_policy, firewall.input),
        ("FORWARD", firewall.forward_policy, firewall.forward),
    ):
        chain = namespace.table("ip", "filter", why).chain(name, replace(BUILT_IN["filter", name], policy=policy), why)
        for each in filter_rules(rules, str, why):
            chain.append(each)


def filter_rules(rules: Sequence[FilterRule], device: Callable[[str], str], why: Provenance) -> tuple[NftRule, ...]:
    """Return a rule for each line, in order; `device` names the device that `into` or `out_of` means."""
    return tuple(_line(line, number, device, why) for number, line in enumerate(rules, start=1))


def _line(line: FilterRule, number: int, device: Callable[[str], str], why: Provenance) -> NftRule:
    name = line.name or f"line-{number}"
    reason = Provenance(why.component, f"policy line {name}", because=(why,))
    return rule(*_conditions(line, device), then=_verdict(line), why=reason, comment=name)


def _conditions(line: FilterRule, device: Callable[[str], str]) -> Iterator[Match]:
    if isinstance(line, RouterRule | HostRule):
        if line.into is not None:
            yield iif(device(line.into))
        if line.out_of is not None:
            yield oif(device(line.out_of))
    if line.established:
        yield states("established", "related")
    if line.source:
        yield Match(Payload("ip", "saddr"), _networks(line.source))
    if line.destination:
        yield Match(Payload("ip", "daddr"), _networks(line.destination))
    if line.ports and line.protocol is None:  # bytes where others have ports must not be taken for one
        yield Match(Meta("l4proto"), AnonymousSet(("tcp", "udp")))
        yield Match(Payload("th", "dport"), _one_or_any(line.ports))
    elif line.ports:
        yield Match(Payload(str(line.protocol), "dport"), _one_or_any(line.ports))
    elif line.icmp:
        yield Match(Payload("icmp", "type"), _one_or_any(line.icmp))
    elif line.protocol is not None:
        yield protocol(line.protocol)


def _verdict(line: FilterRule) -> Verdict | Reject:
    if line.action == "reject":
        return Reject("tcp reset") if line.reject_with == "tcp-reset" else Reject("icmp", line.reject_with)
    return ACCEPT if line.action == "accept" else DROP


def _networks(networks: tuple[Network, ...]) -> Expression:
    return _one_or_any(tuple(Prefix(network) for network in networks))


def _one_or_any(values: tuple[Expression, ...]) -> Expression:
    return values[0] if len(values) == 1 else AnonymousSet(values)
