"""The networks the benchmarks build: two clusters of nodes with two pods each on a corporate router, meshed by VXLAN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.state import (
    LO,
    AddressEntry,
    Bridge,
    FdbEntry,
    Link,
    Namespace,
    Neighbour,
    Protocol,
    Route,
    Rule,
    State,
    Veth,
    Vxlan,
    complete,
)

PODS = 2
ROUTES = 20
RULES = 5
VXLAN_PORT = 4789

_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/icmp_ratelimit": "0",
}
_ONLINK_GATEWAY = IPv4Address("169.254.1.1")
_EVERYTHING = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node is plugged in, and its address there. The router has the last address of the subnet, or the first of two."""

    port: str
    at: str
    interface: IPv4Interface

    @property
    def gateway(self) -> IPv4Address:
        network = self.interface.network
        return network.network_address if network.prefixlen == 31 else network.broadcast_address - 1


def clusters(nodes: int) -> State:
    """`nodes` nodes in two clusters, each meshed within itself: 20 routes, 5 rules and 6 sysctls a node, 3 n + 3 namespaces.

    Each node knows every other node of its cluster as a VTEP, by an FDB entry and a neighbour, and routes to some of them.
    """
    half = (nodes + 1) // 2
    namespaces = [_core()]
    for cluster, members in enumerate((range(half), range(half, nodes))):
        places = {node: _Place(f"port{node}", f"switch{cluster}", _interface(node, cluster)) for node in members}
        namespaces.append(_switch(f"switch{cluster}", places, cluster))
        for node in members:
            namespaces += _node(node, places, routes=ROUTES)
    return _complete(namespaces)


def full_mesh(nodes: int) -> State:
    """`nodes` nodes on one router, every node with a route, a neighbour and an FDB entry for every other one.

    On a router, because the kernel keeps at most 1024 neighbours that it learned, in all namespaces of a machine together
    (net.ipv4.neigh.default.gc_thresh3): on a switch a hundred nodes would learn ten thousand.
    """
    members = range(nodes)
    places = {node: _Place(f"c{node}", "core", IPv4Interface((0x0A00_0001 + 2 * node, 31))) for node in members}
    links = [LO, *(Link(place.port, Veth(f"n{node}", "eth0")) for node, place in places.items())]
    addresses = tuple(AddressEntry(place.port, IPv4Interface((int(place.gateway), 31))) for place in places.values())
    namespaces = [Namespace("core", "router", links=tuple(links), addresses=addresses, sysctls=_SYSCTLS)]
    for node in members:
        namespaces += _node(node, places, routes=None)
    return _complete(namespaces)


def pods(state: State) -> dict[str, IPv4Address]:
    """The address of every pod."""
    found = {}
    for namespace in state:
        if namespace.role == "pod":
            address = namespace.addresses_of("eth0")[0].interface.ip
            assert isinstance(address, IPv4Address)
            found[namespace.name] = address
    return found


def _complete(namespaces: list[Namespace]) -> State:
    return complete(State({namespace.name: namespace for namespace in namespaces}))


def _core() -> Namespace:
    links = [LO, *(Link(f"c{cluster}", Veth(f"switch{cluster}", "uplink")) for cluster in (0, 1))]
    addresses = tuple(AddressEntry(f"c{cluster}", IPv4Interface(f"10.{cluster}.255.254/16")) for cluster in (0, 1))
    return Namespace("core", "router", links=tuple(links), addresses=addresses, sysctls=_SYSCTLS)


def _switch(name: str, places: Mapping[int, _Place], cluster: int) -> Namespace:
    links = [LO, Link("br0", Bridge()), Link("uplink", Veth("core", f"c{cluster}"), master="br0")]
    links += [Link(place.port, Veth(f"n{node}", "eth0"), master="br0") for node, place in places.items()]
    return Namespace(name, "switch", links=tuple(links))


def _node(number: int, places: Mapping[int, _Place], *, routes: int | None) -> Iterator[Namespace]:
    """A node and its pods. `routes` limits how many routes it has; None is one for every other node."""
    name, place = f"n{number}", places[number]
    others = [other for other in places if other != number]
    links = [
        LO,
        Link("eth0", Veth(place.at, place.port)),
        *(Link(f"cali{pod}", Veth(f"p{number}-{pod}", "eth0"), mtu=1450, mac="ee:ee:ee:ee:ee:ee") for pod in range(PODS)),
        Link("vxlan", Vxlan(4096, VXLAN_PORT, local=place.interface.ip, learning=False), mtu=1450, mac=_mac(number)),
    ]
    table = [Route(IPv4Network(_pod_address(number, pod)), device=f"cali{pod}", scope="link") for pod in range(PODS)]
    table.append(Route(_block(number), "blackhole", protocol=Protocol.FELIX))
    table.append(Route(_EVERYTHING, via=place.gateway, device="eth0"))
    room = len(others) if routes is None else routes - len(table)
    for other in others[:room]:
        table.append(Route(_block(other), via=_tunnel(other), device="vxlan", onlink=True, protocol=Protocol.FELIX))
    for extra in range(room - len(others)):
        table.append(Route(IPv4Network((0xAC10_0000 + 256 * extra, 24)), via=place.gateway, device="eth0"))
    yield Namespace(
        name,
        "node",
        links=tuple(links),
        addresses=(
            AddressEntry("eth0", place.interface),
            AddressEntry("vxlan", IPv4Interface((int(_tunnel(number)), 32))),
        ),
        routes=tuple(table),
        rules=tuple(Rule(100 + rule, table=100 + rule, mark=0x100 << rule, mask=0xFF00) for rule in range(RULES)),
        neighbours=tuple(Neighbour("vxlan", _tunnel(other), _mac(other)) for other in others),
        fdb=tuple(FdbEntry("vxlan", _mac(other), places[other].interface.ip) for other in others),
        sysctls=_SYSCTLS,
    )
    for pod in range(PODS):
        yield Namespace(
            f"p{number}-{pod}",
            "pod",
            parent=name,
            links=(LO, Link("eth0", Veth(name, f"cali{pod}"), mtu=1450)),
            addresses=(AddressEntry("eth0", IPv4Interface((int(_pod_address(number, pod)), 32))),),
            routes=(
                Route(IPv4Network(_ONLINK_GATEWAY), device="eth0", scope="link"),
                Route(_EVERYTHING, via=_ONLINK_GATEWAY, device="eth0"),
            ),
            neighbours=(Neighbour("eth0", _ONLINK_GATEWAY, "ee:ee:ee:ee:ee:ee"),),
        )


def _interface(number: int, cluster: int) -> IPv4Interface:
    return IPv4Interface(((10 << 24) + (cluster << 16) + number + 1, 16))


def _block(number: int) -> IPv4Network:
    return IPv4Network((0x6440_0000 + 64 * number, 26))


def _tunnel(number: int) -> IPv4Address:
    return _block(number).network_address


def _pod_address(number: int, pod: int) -> IPv4Address:
    return _block(number).network_address + 2 + pod


def _mac(number: int) -> str:
    return f"66:00:00:00:{number >> 8:02x}:{number & 255:02x}"
