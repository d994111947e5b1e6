"""Why a lookup came out as it did: every rule and route that was considered, and the edits that would have changed it.

A near miss is a promise: making exactly that edit, and nothing else, changes the decision. Each is tried out before it is
told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lab.forwarding.fib import Entry, Fib, Lookup, Query, TableIndex, suppressed
from lab.forwarding.results import Detail
from lab.forwarding.rules import failing_selectors, mismatch, table_of
from lab.forwarding.unknown import Undecided
from lab.state import Route, Rule, Table
from lab.state.commands.nexthops import nexthop_text

_TABLE_NAMES: dict[int, str] = {Table.LOCAL: "local", Table.MAIN: "main", Table.DEFAULT: "default"}


@dataclass(frozen=True, slots=True)
class NearMiss(Detail):
    """A route or rule that nearly decided: with `edited` in place of `subject` it would."""

    edited: Route | Rule | None = None


def table_name(number: int) -> str:
    """Return what iproute2 calls a table."""
    return _TABLE_NAMES.get(number, str(number))


def describe_route(route: Route) -> str:
    """Return a route as `ip route` would print it, without what is default."""
    destination = "default" if route.destination.prefixlen == 0 else str(route.destination)
    words = [destination] if route.type == "unicast" else [route.type, destination]
    if route.hops:
        words += [f"nexthop{f' via {hop.via}' if hop.via else ''}{f' dev {hop.device}' if hop.device else ''}" for hop in route.hops]
    else:
        words += [f"via {route.via}"] if route.via is not None else []
        words += [f"dev {route.device}"] if route.device is not None else []
        words += [f"nhid {route.nexthop}"] if route.nexthop is not None else []
    words += [f"metric {route.metric}"] if route.metric else []
    words += [f"tos {route.tos:#x}"] if route.tos else []
    words += [f"table {table_name(route.table)}"] if route.table != Table.MAIN else []
    return " ".join(words)


def describe_rule(rule: Rule) -> str:
    """Return a rule as `ip rule` would print it."""
    words = [f"{rule.priority}:", *(["not"] if rule.inverted else []), "from", str(rule.source) if rule.source else "all"]
    words += [f"to {rule.destination}"] if rule.destination else []
    words += [f"tos {rule.tos:#x}"] if rule.tos else []
    words += [f"fwmark {rule.mark:#x}" + (f"/{rule.mask:#x}" if rule.mask != 0xFFFFFFFF else "")] if rule.mark is not None else []
    words += [f"iif {rule.iif}"] if rule.iif else []
    words += [f"oif {rule.oif}"] if rule.oif else []
    words += [f"uidrange {rule.uid_first}-{rule.uid_last}"] if rule.uid_first is not None else []
    words += [f"ipproto {rule.ip_protocol}"] if rule.ip_protocol else []
    words += [f"sport {rule.source_ports.first}-{rule.source_ports.last}"] if rule.source_ports else []
    words += [f"dport {rule.destination_ports.first}-{rule.destination_ports.last}"] if rule.destination_ports else []
    words += ["l3mdev"] if rule.l3mdev else []
    words += [f"lookup {table_name(table_of(rule))}" if rule.action == "lookup" else rule.action]
    words += [str(rule.goto)] if rule.goto is not None else []
    words += [f"suppress_prefixlength {rule.suppress_prefix_length}"] if rule.suppress_prefix_length is not None else []
    return " ".join(words)


def describe_lookup(answer: Lookup) -> str:
    """Return the outcome of a lookup in one line."""
    address = answer.destination
    if answer.route is None:
        if answer.rule is not None:
            return f"{address}: rule {describe_rule(answer.rule)}: {answer.error}"
        return f"{address}: no route in any table: {answer.error}"
    rule = f"rule {answer.rule.priority}, " if answer.rule is not None else ""
    return f"{address}: {rule}{describe_route(answer.route)}"


def lookup_details(answer: Lookup) -> tuple[Detail, ...]:
    """Return how each rule was met, which routes were passed over, and what nearly decided."""
    return (*_walk_details(answer.fib, answer.query), *_nexthop_details(answer), *near_misses(answer))


def _nexthop_details(answer: Lookup) -> Iterator[Detail]:
    """Tell of a nexthop object where it leads, and of a group where its members do."""
    objects = answer.fib.objects
    named = None if answer.route is None or answer.route.nexthop is None else objects.get(answer.route.nexthop)
    if named is not None:
        for thing in (named, *(objects[member.id] for member in named.group)):
            yield Detail(f"nexthop {nexthop_text(thing)}", thing)


def _walk_details(fib: Fib, query: Query) -> Iterator[Detail]:
    if not fib.custom_rules:
        return
    position = 0
    while position < len(fib.rules):
        rule = fib.rules[position]
        position += 1
        try:
            failed = mismatch(rule, query)
        except Undecided as unknown:
            yield Detail(f"rule {describe_rule(rule)}: unknown, {unknown.why}", rule)
            return
        if failed is not None:
            yield Detail(f"rule {describe_rule(rule)}: does not apply, {_selector_text(fib, rule, query, failed)}", rule)
            continue
        if rule.action == "goto":
            target = next((i for i, other in enumerate(fib.rules) if other.priority == rule.goto and i >= position), None)
            yield Detail(f"rule {describe_rule(rule)}: {'goes on there' if target is not None else 'leads nowhere'}", rule)
            position = position if target is None else target
            continue
        if rule.action != "lookup":
            yield Detail(
                f"rule {describe_rule(rule)}: {'nothing happens' if rule.action == 'nop' else 'applies and ends the search'}", rule
            )
            if rule.action == "nop":
                continue
            return
        table = fib.tables.get(table_of(rule))
        found = None if table is None else fib.in_table(table, query, rule, ignore_linkstate=False)
        if found is None:
            yield Detail(f"rule {describe_rule(rule)}: applies, its table has nothing", rule)
        elif suppressed(rule, found) and found.route is not None:
            yield Detail(f"rule {describe_rule(rule)}: applies, but suppresses {describe_route(found.route)}", rule)
        else:
            yield Detail(f"rule {describe_rule(rule)}: applies", rule)
            return


def _selector_text(fib: Fib, rule: Rule, query: Query, failed: str) -> str:
    match failed:
        case "from":
            return f"source {fib.address(query.source)} is not in {rule.source}"
        case "to":
            return f"destination {fib.address(query.destination)} is not in {rule.destination}"
        case "fwmark":
            return f"mark {query.mark:#x} is not {rule.mark or 0:#x}"
        case "iif":
            return f"it came in by {query.iif}"
        case "oif":
            return f"it is not bound to {rule.oif}"
        case "not":
            return "all its selectors match, and it is inverted"
        case _:
            return f"{failed} does not match"


def near_misses(answer: Lookup, limit: int = 3) -> tuple[NearMiss, ...]:
    """Return the routes and rules that would have decided after one small edit, the smallest edits first."""
    found = [*_near_rules(answer), *_near_routes(answer)]
    return tuple(miss for _, miss in sorted(found, key=lambda item: item[0])[:limit])


def _near_routes(answer: Lookup) -> Iterator[tuple[int, NearMiss]]:
    """Routes whose prefix is too long, or covers another range, by a few bits."""
    fib, query = answer.fib, answer.query
    address = fib.address(query.destination)
    table_number = _table_of(answer)
    for entry in _entries(fib, table_number):
        if entry.route is answer.route or entry.route.type in ("local", "broadcast", "throw"):
            continue
        common = fib.bits - (entry.network ^ query.destination).bit_length()
        if common >= entry.length or entry.length - common > _BITS or common == 0:
            continue
        wider = entry.route.destination.supernet(new_prefix=common)
        edited = replace(entry.route, destination=wider)
        after = fib.with_route(entry.route, edited).lookup(query)
        if after.route != edited:
            continue
        instead = "no route is left" if answer.route is None else f"it falls to {describe_route(answer.route)}"
        bits = entry.length - common
        by = f"{bits} bit{'s' if bits > 1 else ''}"
        text = f"{address} misses {describe_route(entry.route)} by {by}: as {wider} it would take the packet; {instead}"
        yield bits, NearMiss(text, entry.route, edited)


_BITS = 12


def _near_rules(answer: Lookup) -> Iterator[tuple[int, NearMiss]]:
    """Rules that fail by one selector only, and whose table would have answered otherwise."""
    fib, query = answer.fib, answer.query
    for rule in fib.rules:
        if rule.inverted or rule.l3mdev or rule.action == "goto":
            continue
        failed = failing_selectors(rule, query)
        if len(failed) != 1:
            continue
        edited = _without(rule, failed[0])
        try:
            after = fib.with_rule(rule, edited).lookup(query)
        except Undecided:
            continue
        if (after.rule, after.route, after.error) != (edited, answer.route, answer.error) and after.rule == edited:
            text = f"rule {describe_rule(rule)} misses by its {failed[0]} only ({_selector_text(fib, rule, query, failed[0])})"
            yield 1, NearMiss(text, rule, edited)


def _without(rule: Rule, selector: str) -> Rule:
    match selector:
        case "iif":
            return replace(rule, iif=None)
        case "oif":
            return replace(rule, oif=None)
        case "fwmark":
            return replace(rule, mark=None)
        case "uidrange":
            return replace(rule, uid_first=None, uid_last=None)
        case "from":
            return replace(rule, source=None)
        case "to":
            return replace(rule, destination=None)
        case "tos":
            return replace(rule, tos=0)
        case "ipproto":
            return replace(rule, ip_protocol=None)
        case "sport":
            return replace(rule, source_ports=None)
        case _:
            return replace(rule, destination_ports=None)


def _table_of(answer: Lookup) -> int:
    if answer.route is not None and answer.route.table != Table.LOCAL:
        return answer.route.table
    return Table.MAIN


def _entries(fib: Fib, table: int) -> Iterator[Entry]:
    """The routes of the table that answered, then those of other tables."""
    index: TableIndex | None = fib.tables.get(table)
    if index is not None:
        yield from index.entries
    for number, other in fib.tables.items():
        if number not in (table, Table.LOCAL):
            yield from other.entries
