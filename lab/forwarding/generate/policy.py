"""Policy rules that ask for everything a rule can ask for, and tables of routes of every kind: for comparing lookups, not packets."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from random import Random

from lab.forwarding.generate.nexthops import with_nexthops
from lab.forwarding.generate.shape import Shape, random_shape
from lab.forwarding.generate.trouble import make_trouble, put_route, some_network, some_way
from lab.state import NextHop, PortRange, Route, Rule, State, Table, complete
from lab.state.objects import RouteType

TABLES = (100, 101, 102)
_LAST = 32_700


def policy_state(random: Random) -> State:
    """Return a random network in which every namespace has several tables and rules between them."""
    shape = random_shape(random)
    make_trouble(shape)
    for name in shape.routers:
        for _ in range(random.randint(2, 8)):
            _some_route(shape, name)
        for _ in range(random.randint(1, 8)):
            rule = _some_rule(shape, name)
            if all(rule != other for other in shape.builder[name].rules):
                shape.builder[name].add_rule(rule)
    state = shape.builder.freeze()
    return complete(with_nexthops(state, random) if random.random() < 0.5 else state)


def _some_route(shape: Shape, name: str) -> None:
    random = shape.random
    destination = some_network(shape) if random.random() < 0.7 else IPv4Network("0.0.0.0/0")
    route = Route(destination, table=random.choice(TABLES), metric=random.choice((0, 0, 10, 20)), tos=random.choice((0, 0, 0, 0x10, 0x08)))
    ways = [way for way in (some_way(shape, name), some_way(shape, name)) if way is not None]
    match random.randint(0, 4):
        case 0:
            kinds: tuple[RouteType, ...] = ("throw", "throw", "blackhole", "unreachable", "prohibit")
            put_route(shape, name, replace(route, type=random.choice(kinds)))
        case 1 if len(ways) == 2 and ways[0] != ways[1]:
            put_route(shape, name, replace(route, hops=tuple(NextHop(via=via, device=device) for device, via in ways)))
        case 2 if ways:
            put_route(shape, name, replace(route, device=ways[0][0], scope="link"))
        case _ if ways:
            put_route(shape, name, replace(route, via=ways[0][1], device=ways[0][0], onlink=random.random() < 0.2))


def _some_rule(shape: Shape, name: str) -> Rule:
    random = shape.random
    rule = Rule(random.randint(1, _LAST - 1), table=random.choice((*TABLES, Table.MAIN)), inverted=random.random() < 0.15)
    for _ in range(random.randint(1, 3)):
        rule = _with_a_selector(shape, name, rule)
    match random.randint(0, 9):
        case 0:
            return replace(rule, table=None, action=random.choice(("blackhole", "unreachable", "prohibit")))
        case 1 | 2:
            # To a rule that is there, or to a number that nobody has.
            later = [other.priority for other in shape.builder[name].rules if other.priority > rule.priority]
            return replace(rule, table=None, action="goto", goto=random.choice((*later, 32_766, _LAST)))
        case 3 | 4:
            return replace(rule, suppress_prefix_length=random.choice((0, 15, 16, 23, 24, 31)))
        case _:
            return rule


def _with_a_selector(shape: Shape, name: str, rule: Rule) -> Rule:
    random = shape.random
    device = random.choice(list(shape.builder[name].links))
    match random.randint(0, 10):
        case 0 | 1:
            return replace(rule, source=some_network(shape))
        case 2 | 3:
            return replace(rule, destination=some_network(shape))
        case 4:
            return replace(rule, iif=device)
        case 5:
            return replace(rule, oif=device)
        case 6:
            return replace(rule, mark=random.choice((1, 2, 3)), mask=random.choice((0xFFFFFFFF, 1, 2, 3)))
        case 7:
            return replace(rule, tos=random.choice((0x10, 0x08)))
        case 8:
            first = random.choice((0, 500, 1000))
            return replace(rule, uid_first=first, uid_last=first + random.choice((0, 499, 1000)))
        case 9:
            return replace(rule, ip_protocol=random.choice((1, 6, 17)))
        case _:
            ports = random.choice((PortRange(5000, 5000), PortRange(50, 60), PortRange(1, 65534)))
            return replace(rule, source_ports=ports) if random.random() < 0.5 else replace(rule, destination_ports=ports)
