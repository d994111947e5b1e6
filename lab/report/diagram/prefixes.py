"""Which prefix wins where: the address space of a node from top to bottom, each route a bar over what it covers, the winner beside it.

The ranges are those that the prefixes of all tables cut; for each the node's own rules and tables are asked, so a table that an earlier
rule looks into wins over a longer prefix in a later one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from lab.errors import InputError
from lab.forwarding import Network
from lab.forwarding.fib import Lookup, Query
from lab.forwarding.network import Node
from lab.forwarding.packet import ICMP, ICMPV6
from lab.forwarding.why import describe_route, table_name
from lab.report.diagram.metrics import shortened, shown, width
from lab.report.diagram.scene import Box, Element, Label, Layer, Scene
from lab.spec.findings import within
from lab.state import Route, State, Table, Vxlan

_ROW = 18.0
_BAR = 168.0
_LEFT = 250.0


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    last: int
    answer: Lookup
    version: int

    @property
    def text(self) -> str:
        kind = IPv4Address if self.version == 4 else IPv6Address
        first, last = kind(self.first), kind(self.last)
        return str(first) if first == last else f"{first} - {last}"


def prefixes(state: State, node: str, title: str = "", version: int = 4) -> Scene:
    """Return the routes of a node, of a version of IP, as a picture. Raises InputError for a node that has none but its own addresses."""
    namespace = state[node]
    routes = [route for route in namespace.routes if route.destination.version == version and _is_drawn(route)]
    if not routes:
        raise InputError(f"{node!r} has no {'' if version == 4 else 'IPv6 '}routes to draw")
    ranges = list(_ranges(Network(state).node(node), routes, version))
    left = max(_LEFT, max(width(range_.text, 10, fixed=True) for range_ in ranges) + 28)
    columns = _columns(routes)
    title = title or shown(f"Routes of {node}: which prefix wins where")
    depth = max(columns.values()) + 1
    right = left + depth * (_BAR + 6) + 14
    top = 78.0
    heads = [Label(left, top - 12, "prefixes, from short to long", "band"), Label(right, top - 12, "who takes the packet", "band")]
    elements: list[Element] = [Label(18, 46, _subtitle(state, node, version), "subtitle"), *heads]
    winners = {range_.answer.route for range_ in ranges if range_.answer.route is not None}
    for number, route in enumerate(sorted(routes, key=lambda route: (columns[route.key], int(route.destination.network_address)))):
        covered = [n for n, range_ in enumerate(ranges) if _covers(route, range_)]
        if covered:
            elements += _bar(
                number, route, covered, columns[route.key], (left, top), wins=route in winners, tunnel=_tunnel(state, node, route)
            )
    widest = 0.0
    for number, range_ in enumerate(ranges):
        y = top + number * _ROW
        elements.append(Label(left - 10, y + 13, range_.text, "axis-fixed", "end"))
        text = _answer(range_.answer)
        elements.append(Label(right, y + 13, text, "axis-fixed", title=text))
        widest = max(widest, width(text, 10, fixed=True))
    described = "\n".join(f"{range_.text}: {_answer(range_.answer)}" for range_ in ranges)
    bottom = top + len(ranges) * _ROW
    note = "A bar that is dashed never wins: a longer prefix, or a table that is asked before, takes all it covers."
    if any(route not in winners for route in routes):
        elements.append(Label(18, bottom + 22, note, "story-quiet"))
    wide = max(right + widest + 18, 640.0)
    elements.insert(0, Label(18, 26, shortened(title, wide - 36, 17, bold=True), "title", title=title))
    return Scene(wide, bottom + 36, title, Layer("", title, described, tuple(elements)))


def _is_drawn(route: Route) -> bool:
    """Whether a route is worth a bar: not of the node's own addresses, and not fe80::/64, which every link has for itself."""
    return route.table != Table.LOCAL and not (route.destination.version == 6 and route.destination.is_link_local)


def _ranges(node: Node, routes: Sequence[Route], version: int) -> Iterator[_Range]:
    """Yield the ranges that the prefixes cut, neighbours with the same route as one, each with what a lookup for it says."""
    fib = node.fib if version == 4 else node.fib6
    cuts = {0, 1 << (32 if version == 4 else 128)}
    for route in routes:
        first = int(route.destination.network_address)
        cuts |= {first, first + int(route.destination.num_addresses)}
    ordered = sorted(cuts)
    last: _Range | None = None
    for first, end in pairwise(ordered):
        middle = first + (end - first) // 2
        answer = fib.lookup(Query(middle, 0, "lo", None, 0, 0, ICMP if version == 4 else ICMPV6))
        covering = [
            route
            for route in routes
            if first >= int(route.destination.network_address) and end - 1 <= int(route.destination.broadcast_address)
        ]
        found = _Range(first, end - 1, answer, version)
        if last is not None and last.answer.route is answer.route and len(covering) <= 1:
            last = _Range(last.first, end - 1, answer, version)
            continue
        if last is not None:
            yield last
        last = found
    if last is not None:
        yield last


def _covers(route: Route, range_: _Range) -> bool:
    first, last = int(route.destination.network_address), int(route.destination.broadcast_address)
    return first <= range_.first and range_.last <= last


def _columns(routes: Sequence[Route]) -> dict[object, int]:
    """Give each route a column to the right of every other that covers it."""
    found: dict[object, int] = {}
    for route in sorted(routes, key=lambda route: (route.destination.prefixlen, int(route.destination.network_address), route.table)):
        above = [column for key, column in found.items() if _holds(key, route)]
        found[route.key] = max(above, default=-1) + 1
    return found


def _holds(key: object, route: Route) -> bool:
    assert isinstance(key, tuple)
    return within(route.destination, key[1])


def _bar(
    number: int, route: Route, covered: Sequence[int], column: int, corner: tuple[float, float], *, wins: bool, tunnel: bool
) -> Iterator[Element]:
    x = corner[0] + column * (_BAR + 6)
    y = corner[1] + covered[0] * _ROW
    kind = (
        "range-gap"
        if not wins
        else "range-tunnel"
        if tunnel
        else "range-local"
        if route.type != "unicast" or (route.via is None and route.nexthop is None)
        else "range"
    )
    table = f" ({table_name(route.table)})" if route.table != Table.MAIN else ""
    told = shown(describe_route(route))
    box = Box(f"route-{number}", x, y + 1.5, _BAR, (covered[-1] - covered[0] + 1) * _ROW - 3, kind, told, radius=3)
    yield box
    name = "default" if route.destination.prefixlen == 0 else str(route.destination)
    yield Label(x + 6, y + 13, shortened(f"{name}{table}", _BAR - 12, 10, fixed=True), kind, title=told, owner=box.id)


def _tunnel(state: State, node: str, route: Route) -> bool:
    links = [state[node].link(hop.device) for hop in state[node].ways(route) if hop.device]
    return any(link is not None and isinstance(link.kind, Vxlan) for link in links)


def _answer(answer: Lookup) -> str:
    if answer.route is None:
        return f"nobody: {answer.error}"
    rule = f"rule {answer.rule.priority}, " if answer.rule is not None and answer.rule.priority not in (0, 32766, 32767) else ""
    return shown(f"{rule}{describe_route(answer.route)}")


def _subtitle(state: State, node: str, version: int) -> str:
    rules = [rule for rule in state[node].rules if rule.family == version and rule.priority not in (0, 32766, 32767)]
    if not rules:
        return "one table: the longest prefix wins"
    asked = ", ".join(f"{rule.priority}" for rule in rules)
    return f"tables are asked in the order of the rules {asked}, then main; in each the longest prefix wins"
