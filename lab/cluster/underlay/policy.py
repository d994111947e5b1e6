"""Packet filters that a file writes line by line: a router's or switch's policy as a table, a machine's firewall in iptables' chains.

Each line becomes a rule with a counter of its own, named by its comment; one that speaks about both versions of IP becomes two, in tables
of their own, whose counters are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from lab.cluster.rules import ACCEPT, BUILT_IN, DROP, IpTable, iif, oif, protocol, rule, states
from lab.spec.site import FAMILIES, FilterRule, Firewall, HostRule, RouterRule
from lab.state.builder import NamespaceBuilder
from lab.state.nft import AnonymousSet, Chain, Expression, Match, Meta, NftRule, NftTable, Payload, Prefix, Reject, Verdict
from lab.state.nft_builder import TableBuilder
from lab.state.objects import Network
from lab.state.provenance import Provenance

TABLE: Final = "forwarding"
"""`policy` is a word of nft(8), which takes no such name."""
CHAIN: Final = "forward"


NEIGHBOUR_DISCOVERY: Final = AnonymousSet(("nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert"))
"""What does for IPv6 what ARP does for IPv4 (RFC 4861)."""
_CODES6: Final = {
    "net-unreachable": "no-route",
    "host-unreachable": "addr-unreachable",
    "host-prohibited": "admin-prohibited",
}
"""What stands in ICMPv6 for codes of ICMP that it has not (nft(8), icmpx: `nft_icmpv6_code` in net/netfilter/nft_reject.c)."""


def add_forwarding_policy(
    namespace: NamespaceBuilder, rules: Sequence[FilterRule], device: Callable[[str], str], why: Provenance, *, ipv6: bool
) -> None:
    """Add the tables for a policy; `device` names the router's device on a segment. What no line matches passes.

    `ipv6`: whether it has IPv6. Of lines about IPv6 alone there is nothing to be made without.
    """
    for version in (4, 6) if ipv6 else (4,):
        lines = filter_rules(rules, device, why, version)
        if lines:
            chain = Chain(CHAIN, lines, type="filter", hook="forward", priority=0, policy="accept", provenance=why)
            table = NftTable(_family(version), TABLE, (chain,), provenance=why)
            namespace.tables[table.family, table.name] = TableBuilder.opened(table)


def let_neighbours_be_found(namespace: NamespaceBuilder, why: Provenance) -> None:
    """Let neighbour discovery pass a switch that filters IPv6, as ARP passes one that filters IPv4."""
    table = namespace.tables.get(("ip6", TABLE))
    if table is not None:
        chain = table.chain(CHAIN, None, why)
        reason = Provenance(why.component, "neighbour discovery passes a switch, as ARP does", because=(why,))
        chain.insert(rule(Match(Payload("icmpv6", "type"), NEIGHBOUR_DISCOVERY), then=ACCEPT, why=reason))


def add_firewall(namespace: NamespaceBuilder, firewall: Firewall, why: Provenance, *, ipv6: bool) -> None:
    """Write a machine's firewall into the own chains of iptables, and of ip6tables where it has IPv6, before anybody else does."""
    for version in sorted(FAMILIES[family] for family in firewall.families):
        if version == 4 or ipv6:
            _add_to_chains(namespace, firewall, why, version)


def _add_to_chains(namespace: NamespaceBuilder, firewall: Firewall, why: Provenance, version: int) -> None:
    for name, policy, rules in (
        ("INPUT", firewall.input_policy, firewall.input),
        ("FORWARD", firewall.forward_policy, firewall.forward),
    ):
        table = namespace.table(_family(version), "filter", why)
        chain = table.chain(name, replace(BUILT_IN["filter", name], policy=policy), why)
        for each in filter_rules(rules, str, why, version):
            chain.append(each)


def filter_rules(rules: Sequence[FilterRule], device: Callable[[str], str], why: Provenance, version: int) -> tuple[NftRule, ...]:
    """Return a rule for each line about a version of IP, in order; `device` names the device that `into` or `out_of` means."""
    numbered = enumerate(rules, start=1)
    return tuple(_line(line, number, device, why, version) for number, line in numbered if version in line.versions)


def _family(version: int) -> IpTable:
    return "ip" if version == 4 else "ip6"


def _line(line: FilterRule, number: int, device: Callable[[str], str], why: Provenance, version: int) -> NftRule:
    name = line.name or f"line-{number}"
    reason = Provenance(why.component, f"policy line {name}", because=(why,))
    return rule(*_conditions(line, device, version), then=_verdict(line, version), why=reason, comment=name)


def _conditions(line: FilterRule, device: Callable[[str], str], version: int) -> Iterator[Match]:
    if isinstance(line, RouterRule | HostRule):
        if line.into is not None:
            yield iif(device(line.into))
        if line.out_of is not None:
            yield oif(device(line.out_of))
    if line.established:
        yield states("established", "related")
    if line.source:
        yield Match(Payload(_family(version), "saddr"), _networks(line.source, version))
    if line.destination:
        yield Match(Payload(_family(version), "daddr"), _networks(line.destination, version))
    if line.ports and line.protocol is None:  # bytes where others have ports must not be taken for one
        yield Match(Meta("l4proto"), AnonymousSet(("tcp", "udp")))
        yield Match(Payload("th", "dport"), _one_or_any(line.ports))
    elif line.ports:
        yield Match(Payload(str(line.protocol), "dport"), _one_or_any(line.ports))
    elif line.icmp:
        yield Match(Payload(str(line.protocol), "type"), _one_or_any(line.icmp))
    elif line.protocol is not None:
        yield protocol(line.protocol)


def _verdict(line: FilterRule, version: int) -> Verdict | Reject:
    if line.action != "reject":
        return ACCEPT if line.action == "accept" else DROP
    if line.reject_with == "tcp-reset":
        return Reject("tcp reset")
    return Reject("icmp", line.reject_with) if version == 4 else Reject("icmpv6", _CODES6.get(line.reject_with, line.reject_with))


def _networks(networks: tuple[Network, ...], version: int) -> Expression:
    return _one_or_any(tuple(Prefix(network) for network in networks if network.version == version))


def _one_or_any(values: tuple[Expression, ...]) -> Expression:
    return values[0] if len(values) == 1 else AnonymousSet(values)
