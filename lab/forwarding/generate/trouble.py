"""What goes wrong in a random network, and what is merely unusual: routes, rules, sysctls, MTUs, neighbours, links."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

from lab.forwarding.generate.shape import Shape
from lab.state import AddressEntry, BaseChain, Neighbour, NextHop, PortRange, Route, Rule, Table, Veth
from lab.state.nft import Mangle, Match, Meta, Payload, Prefix
from lab.state.objects import RouteType, Scope

Trouble = Callable[[Shape, str], None]


def make_trouble(shape: Shape) -> None:
    """Do several random things to a network."""
    for _ in range(shape.random.randint(1, 8)):
        kind = shape.random.choices([trouble for trouble, _ in _ALL], [weight for _, weight in _ALL])[0]
        kind(shape, shape.random.choice(shape.routers))
    for made in shape.builder:
        _lose_gateways_that_became_local(shape, made)


def _lose_gateways_that_became_local(shape: Shape, name: str) -> None:
    """All of a prefix on lo is local, and the kernel refuses an onlink gateway that is (`fib_check_nh` in net/ipv4/fib_semantics.c)."""
    made = shape.builder[name]
    local = [entry.interface.network for entry in made.addresses if entry.device == "lo"]
    made.routes = [route for route in made.routes if not (route.onlink and any(route.via in network for network in local))]


def some_network(shape: Shape) -> IPv4Network:
    """Return a subnet, a part of one, something larger, or something nobody has."""
    subnet = shape.random.choice(shape.subnets)
    match shape.random.randint(0, 6):
        case 0:
            return IPv4Network(f"{subnet[shape.random.randint(1, 4)]}/32")
        case 1:
            return next(iter(subnet.subnets(1)))
        case 2:
            return subnet.supernet(4)
        case 3:
            return IPv4Network("172.31.0.0/16")
        case _:
            return subnet


def some_way(shape: Shape, name: str) -> tuple[str, IPv4Address] | None:
    """Return a device and the address of somebody on its link."""
    choices = [
        (device, address)
        for subnet, members in shape.members.items()
        for member, device, _ in members
        if member == name and shape.builder[name].links[device].up
        for other, _, address in members
        if other != name
    ]
    return shape.random.choice(choices) if choices else None


def _lose_route(shape: Shape, name: str) -> None:
    routes = [route for route in shape.builder[name].routes if route.table == Table.MAIN]
    if routes:
        lost = shape.random.choice(routes)
        shape.builder[name].delete_routes(lost.destination)


def _other_route(shape: Shape, name: str) -> None:
    way = some_way(shape, name)
    if way is None:
        return
    destination = some_network(shape) if shape.random.random() < 0.7 else IPv4Network("0.0.0.0/0")
    table = shape.random.choice((Table.MAIN, Table.MAIN, 100))
    route = Route(
        destination,
        via=way[1],
        device=way[0],
        table=table,
        metric=shape.random.choice((0, 0, 10)),
        mtu=shape.random.choice((None, None, None, 900)),
        tos=shape.random.choice((0, 0, 0, 0x10)),
        source=shape.random.choice((None, None, _own(shape, name))),
    )
    put_route(shape, name, route)


def put_route(shape: Shape, name: str, route: Route) -> None:
    """Add a route, in the place of one of its key; a connected one stays."""
    made = shape.builder[name]
    connected = {entry.interface.network for entry in made.addresses}
    plain = route.table == Table.MAIN and not route.metric and not route.tos
    if not (plain and route.destination in connected):
        made.replace_route(route)


def _own(shape: Shape, name: str) -> IPv4Address | None:
    found = [entry.interface.ip for entry in shape.builder[name].addresses]
    chosen = shape.random.choice(found) if found else None
    return chosen if isinstance(chosen, IPv4Address) else None


def _ecmp(shape: Shape, name: str) -> None:
    ways = [some_way(shape, name) for _ in range(2)]
    if ways[0] is None or ways[1] is None or ways[0] == ways[1]:
        return
    hops = tuple(NextHop(via=way[1], device=way[0]) for way in ways if way is not None)
    put_route(shape, name, Route(some_network(shape), hops=hops))


def _special_route(shape: Shape, name: str) -> None:
    kinds: tuple[RouteType, ...] = ("blackhole", "unreachable", "prohibit", "throw")
    route = Route(some_network(shape), shape.random.choice(kinds), table=shape.random.choice((Table.MAIN, 100)))
    put_route(shape, name, route)


def _rule(shape: Shape, name: str) -> None:
    random = shape.random
    rule = Rule(random.randint(1, 32764), table=100)
    for _ in range(random.randint(1, 2)):
        rule = _with_selector(shape, name, rule)
    match random.randint(0, 9):
        case 0:
            rule = replace(rule, action=random.choice(("blackhole", "unreachable", "prohibit")), table=None)
        case 1:
            # What main may not answer goes to another table.
            shape.builder[name].add_rule(replace(rule, table=100, priority=rule.priority + 1))
            rule = replace(rule, table=Table.MAIN, suppress_prefix_length=random.choice((0, 16, 23, 24)))
        case 2:
            rule = replace(rule, inverted=True)
        case 3:
            rule = replace(rule, action="goto", table=None, goto=32766)
    if rule not in shape.builder[name].rules:
        shape.builder[name].add_rule(rule)
    if random.random() < 0.3:
        kinds: tuple[RouteType, ...] = ("throw", "blackhole", "unreachable")
        put_route(shape, name, Route(some_network(shape), random.choice(kinds), table=100))
    for _ in range(random.randint(0, 2)):
        way = some_way(shape, name)
        if way is not None:
            route = Route(some_network(shape) if random.random() < 0.5 else IPv4Network("0.0.0.0/0"), via=way[1], device=way[0], table=100)
            put_route(shape, name, route)


def _with_selector(shape: Shape, name: str, rule: Rule) -> Rule:
    random = shape.random
    devices = list(shape.builder[name].links)
    match random.randint(0, 7):
        case 0 | 1:
            return replace(rule, source=some_network(shape))
        case 2 | 3:
            return replace(rule, destination=some_network(shape))
        case 4:
            return replace(rule, iif=random.choice(devices))
        case 5:
            return replace(rule, mark=random.choice((1, 2)), mask=random.choice((0xFFFFFFFF, 1, 3)))
        case 6:
            return replace(rule, tos=0x10)
        case _:
            ports = None if random.random() < 0.5 else PortRange(5000, 5000)
            return replace(rule, ip_protocol=random.choice((6, 17)), destination_ports=ports)


def _marked(shape: Shape, name: str) -> None:
    """Marks that rules set and policy rules read: on the way, on the way back, in answers, through tunnels."""
    random = shape.random
    made = shape.builder[name]
    hook: Literal["prerouting", "output", "forward"] = random.choice(("prerouting", "prerouting", "output", "forward"))
    base = BaseChain("route" if hook == "output" else "filter", hook, -150)
    side = random.choice(("saddr", "daddr"))
    made.chain("ip", "marks", hook, base).add(
        Match(Payload("ip", side), Prefix(_subnet(shape))), Mangle(Meta("mark"), random.choice((1, 3)))
    )
    rule = Rule(random.randint(1, 99), table=101, mark=1, mask=random.choice((0xFFFFFFFF, 1)))
    if all(other.priority != rule.priority for other in made.rules):
        made.add_rule(rule)
    way = some_way(shape, name)
    if way is not None:
        put_route(shape, name, Route(IPv4Network("0.0.0.0/0"), via=way[1], device=way[0], table=101))
    if random.random() < 0.5:
        made.sysctl("net/ipv4/fwmark_reflect", 1)
    for device in made.links:
        made.sysctl(f"net/ipv4/conf/{device}/rp_filter", random.choice((0, 1)))
        made.sysctl(f"net/ipv4/conf/{device}/src_valid_mark", random.choice((0, 1)))


def _subnet(shape: Shape) -> IPv4Network:
    return shape.random.choice(shape.subnets)


def _foreign_source(shape: Shape, name: str) -> None:
    """An address others do not expect on their link, and neighbours that look at the source."""
    random = shape.random
    own = IPv4Interface(f"192.168.{random.randint(4, 9)}.{random.randint(1, 9)}/32")
    if all(entry.interface.ip != own.ip for entry in shape.builder[name].addresses):
        shape.builder[name].add_address(AddressEntry("lo", own))
    shape.builder[name].sysctl("net/ipv4/conf/all/arp_announce", random.choice((0, 1, 2)))
    for link in shape.builder[name].links.values():
        if isinstance(link.kind, Veth):
            shape.builder[link.kind.peer_namespace].sysctl(f"net/ipv4/conf/{link.kind.peer_name}/rp_filter", random.choice((1, 1, 2)))
            if random.random() < 0.5 and shape.builder[link.kind.peer_namespace].links[link.kind.peer_name].up:
                put_route(shape, link.kind.peer_namespace, Route(IPv4Network(own.ip), via=None, device=link.kind.peer_name, scope="link"))


def _unnumbered(shape: Shape, name: str) -> None:
    """A device without an address of its own, as Calico's are; its routes say onlink."""
    made = shape.builder[name]
    veths = [link.name for link in made.links.values() if isinstance(link.kind, Veth) and link.master is None and link.up]
    if not veths:
        return
    device = shape.random.choice(veths)
    lost = [entry for entry in made.addresses if entry.device == device]
    made.addresses = [entry for entry in made.addresses if entry.device != device]
    gone = {entry.interface.ip for entry in lost}
    made.routes = [
        replace(route, onlink=route.onlink or (route.device == device and route.via is not None))
        for route in made.routes
        if all(hop.device != device for hop in route.hops) and route.source not in gone
    ]
    for entry in lost:
        if isinstance(entry.interface, IPv4Interface) and entry.interface.network.prefixlen < 32:
            put_route(shape, name, Route(entry.interface.network, device=device, scope="link"))
    made.sysctl(f"net/ipv4/conf/{device}/rp_filter", shape.random.choice((0, 1, 2, 2)))
    for subnet, members in shape.members.items():
        shape.members[subnet] = [member for member in members if member[:2] != (name, device)]


def _rp_filter(shape: Shape, name: str) -> None:
    for device in ("all", *shape.builder[name].links):
        if shape.random.random() < 0.5:
            shape.builder[name].sysctl(f"net/ipv4/conf/{device}/rp_filter", shape.random.choice((0, 1, 1, 2)))


def _device_sysctl(shape: Shape, name: str) -> None:
    key, values = shape.random.choice(
        (
            ("forwarding", (0,)),
            ("accept_local", (1,)),
            ("src_valid_mark", (1,)),
            ("arp_ignore", (1, 2, 3, 8)),
            ("arp_announce", (1, 2)),
            ("arp_filter", (1,)),
            ("proxy_arp", (1,)),
            ("ignore_routes_with_linkdown", (1,)),
        )
    )
    device = shape.random.choice(list(shape.builder[name].links))
    shape.builder[name].sysctl(f"net/ipv4/conf/{device}/{key}", shape.random.choice(values))


def _namespace_sysctl(shape: Shape, name: str) -> None:
    key = shape.random.choice(("icmp_errors_use_inbound_ifaddr", "icmp_echo_ignore_all", "fwmark_reflect", "ip_forward_use_pmtu"))
    shape.builder[name].sysctl(f"net/ipv4/{key}", 1)


def _mtu(shape: Shape, name: str) -> None:
    devices = [link for link in shape.builder[name].links if link != "lo"]
    device = shape.random.choice(devices)
    shape.builder[name].change_link(device, mtu=shape.random.choice((1400, 1200, 1000, 800)))


def _down(shape: Shape, name: str) -> None:
    devices = [link for link in shape.builder[name].links if link != "lo"]
    _take_down(shape, name, shape.random.choice(devices))


def _take_down(shape: Shape, name: str, device: str) -> None:
    """Take a device down, and with it what the kernel takes away then."""
    made = shape.builder[name]
    made.change_link(device, up=False)
    made.routes = [route for route in made.routes if device not in (route.device, *(hop.device for hop in route.hops))]
    made.neighbours = [entry for entry in made.neighbours if entry.device != device]


def _extra_address(shape: Shape, name: str) -> None:
    random = shape.random
    device = random.choice(list(shape.builder[name].links))
    if random.random() < 0.5:
        interface = IPv4Interface(f"192.168.{random.randint(0, 3)}.{random.randint(1, 9)}/32")
    else:
        interface = IPv4Interface(f"{random.choice(shape.subnets)[random.randint(100, 110)]}/{random.choice((24, 25, 32))}")
    scope: Scope = random.choice(("global", "link")) if interface.network.prefixlen == 32 else "global"
    # Two devices in one subnet: which connected route is first depends on the order of configuration.
    taken = any(route.destination == interface.network for route in shape.builder[name].routes)
    taken = taken or any(e.interface.network == interface.network and e.device != device for e in shape.builder[name].addresses)
    if not taken and all(entry.interface.ip != interface.ip for entry in shape.builder[name].addresses):
        shape.builder[name].add_address(AddressEntry(device, interface, scope=scope))


def _neighbour(shape: Shape, name: str) -> None:
    way = some_way(shape, name)
    if way is not None:
        mac = "02:00:00:00:ff:ff" if shape.random.random() < 0.3 else _mac_of(shape, way[1])
        shape.builder[name].replace_neighbour(Neighbour(way[0], way[1], mac))


def _mac_of(shape: Shape, address: IPv4Address) -> str:
    for members in shape.members.values():
        for name, device, own in members:
            if own == address:
                return shape.builder[name].links[device].mac or "02:00:00:00:ff:ff"
    return "02:00:00:00:ff:ff"


_ALL: list[tuple[Trouble, int]] = [
    (_lose_route, 4),
    (_other_route, 6),
    (_ecmp, 2),
    (_special_route, 3),
    (_rule, 6),
    (_marked, 5),
    (_foreign_source, 4),
    (_unnumbered, 2),
    (_rp_filter, 6),
    (_device_sysctl, 5),
    (_namespace_sysctl, 2),
    (_mtu, 2),
    (_down, 1),
    (_extra_address, 4),
    (_neighbour, 2),
]
