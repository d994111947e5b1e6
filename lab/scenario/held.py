"""Judge expectations about what a namespace's kernel holds: routes, rules, nft chains and sets, sysctls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, ip_network, summarize_address_range
from typing import Literal

from lab.scenario.result import Finding
from lab.spec.expectations import (
    ChainExpectation,
    RouteExpectation,
    RuleExpectation,
    SetExpectation,
    SysctlExpectation,
    TableExpectation,
)
from lab.spec.values import Network
from lab.state import Namespace, Route, Rule
from lab.state.nft import Counter, Family, NftRule, NftTable
from lab.state.nftables import canonical_chain, expression_text, statement_text

HeldExpectation = RouteExpectation | TableExpectation | RuleExpectation | ChainExpectation | SetExpectation | SysctlExpectation


def judge_held(expectation: HeldExpectation, namespace: Namespace) -> Finding:
    """Judge an expectation for one of the namespaces it is about, as the kernel holds it."""
    match expectation:
        case RouteExpectation():
            return _route(expectation, namespace)
        case TableExpectation():
            return _table(expectation, namespace)
        case RuleExpectation():
            return _rule(expectation, namespace)
        case ChainExpectation():
            return _chain(expectation, namespace)
        case SetExpectation():
            return _set(expectation, namespace)
        case SysctlExpectation():
            value = namespace.sysctl(expectation.name, "not set")
            held = value == str(expectation.value)
            return Finding.of(namespace.name, held, f"{expectation.name} = {value}", f"expected {expectation.value}")


def _destination(written: Network | Literal["default"]) -> Network:
    return ip_network("0.0.0.0/0") if written == "default" else written


def _route(expectation: RouteExpectation, namespace: Namespace) -> Finding:
    wanted = _destination(expectation.to)
    there = [route for route in namespace.table(expectation.table) if route.destination == wanted]
    found = [route for route in there if _states(expectation, route, ("device", "via", "nexthop", "source"))]
    seen = "; ".join(map(_route_text, there)) or f"no route to {wanted} in table {expectation.table}"
    return Finding.of(namespace.name, bool(found) == expectation.present, seen, _wanted(expectation.present))


def _route_text(route: Route) -> str:
    words = [str(route.destination) if route.type == "unicast" else f"{route.type} {route.destination}"]
    named = (("via", route.via), ("dev", route.device), ("nhid", route.nexthop), ("src", route.source))
    words += [f"{word} {value}" for word, value in named if value]
    return " ".join(words)


def _table(expectation: TableExpectation, namespace: Namespace) -> Finding:
    routes = [r for r in namespace.table(expectation.table) if expectation.device in (None, r.device)]
    found, wanted = {route.destination for route in routes}, {_destination(to) for to in expectation.destinations}
    return Finding.of(namespace.name, found == wanted, _networks(found), f"expected {_networks(wanted)}")


def _networks(networks: set[Network]) -> str:
    return ", ".join(sorted(map(str, networks))) or "empty"


def _rule(expectation: RuleExpectation, namespace: Namespace) -> Finding:
    there = [rule for rule in namespace.rules if rule.priority == expectation.priority]
    found = [rule for rule in there if _states(expectation, rule, ("table", "source", "destination"))]
    seen = "; ".join(map(_rule_text, there)) or f"no rule of priority {expectation.priority}"
    return Finding.of(namespace.name, bool(found) == expectation.present, seen, _wanted(expectation.present))


def _rule_text(rule: Rule) -> str:
    to = f" to {rule.destination}" if rule.destination else ""
    return f"{rule.priority}: from {rule.source or 'all'}{to} {rule.action} {rule.table or ''}".strip()


def _chain(expectation: ChainExpectation, namespace: Namespace) -> Finding:
    for table in _tables(namespace, expectation.family, expectation.table):
        for chain in table.chains:
            if chain.name == expectation.chain:
                found = tuple(_rule_in_words(rule, table.family) for rule in canonical_chain(chain, table.family).rules)
                seen = "; ".join(found) or "no rules"
                return Finding.of(namespace.name, found == expectation.rules, seen, f"expected {'; '.join(expectation.rules) or 'none'}")
    return Finding.of(namespace.name, False, f"no chain {expectation.family} {expectation.table} {expectation.chain}", "expected one")


def _rule_in_words(rule: NftRule, family: Family) -> str:
    """Return a rule as nft(8) writes it, without its counter and its comment."""
    return " ".join(statement_text(statement, family) for statement in rule.statements if not isinstance(statement, Counter))


def _set(expectation: SetExpectation, namespace: Namespace) -> Finding:
    for table in _tables(namespace, expectation.family, expectation.table):
        for found in table.sets:
            if found.name == expectation.name:
                elements, wanted = _merged(map(expression_text, found.elements)), _merged(expectation.elements)
                return Finding.of(namespace.name, elements == wanted, _listed(elements), f"expected {_listed(wanted)}")
    return Finding.of(namespace.name, False, f"no set {expectation.family} {expectation.table} {expectation.name}", "expected one")


def _merged(elements: Iterable[str]) -> set[str]:
    """Return addresses as the fewest networks that hold them, since nft merges what touches; anything else as it is."""
    networks: list[IPv4Network] = []
    others = set()
    for element in elements:
        try:
            first, _, last = element.partition("-")
            networks += summarize_address_range(IPv4Address(first), IPv4Address(last)) if last else [IPv4Network(element)]
        except ValueError:
            others.add(element)
    return {str(network) for network in collapse_addresses(networks)} | others


def _listed(elements: set[str]) -> str:
    return ", ".join(sorted(elements)) or "empty"


def _tables(namespace: Namespace, family: str, name: str) -> Iterator[NftTable]:
    return (table for table in namespace.tables if (table.family, table.name) == (family, name))


def _states(expectation: object, thing: object, keys: tuple[str, ...]) -> bool:
    """Whether a thing is as the expectation states it, in those of the keys that it states."""
    return all(getattr(expectation, key) in (None, getattr(thing, key)) for key in keys)


def _wanted(present: bool) -> str:
    return "expected one that fits" if present else "expected none"
