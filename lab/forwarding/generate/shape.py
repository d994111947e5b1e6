"""The shape of a random network: who is wired to whom, with which addresses, and routes that would all work.

What goes wrong in it is put there afterwards (`lab.forwarding.generate.trouble`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from random import Random

from lab.state import AddressEntry, BridgePort, FdbEntry, Link, Listener, Loopback, Neighbour, Route, StateBuilder, Vxlan

PORT = 5000
"""Where every namespace listens, with TCP and UDP."""

_SYSCTLS = {
    # The reports of a lab that asks often must not be rationed, and must not change routes behind the model's back. It is the mask that
    # does it: a rate limit of 0 would let every error empty the account from which errors of routing are paid (`inet_peer_xrlim_allow`).
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/icmp_ratemask": "0",
    "net/ipv4/icmp_msgs_per_sec": "100000",
    "net/ipv4/icmp_msgs_burst": "10000",
    "net/ipv4/icmp_echo_ignore_all": "0",
    "net/ipv4/icmp_errors_use_inbound_ifaddr": "0",
    "net/ipv4/fib_multipath_hash_policy": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
}
_DEVICE_SYSCTLS = {
    "rp_filter": 0,
    "accept_local": 0,
    "src_valid_mark": 0,
    "proxy_arp": 0,
    "proxy_arp_pvlan": 0,
    "arp_ignore": 0,
    "arp_announce": 0,
    "arp_filter": 0,
    "route_localnet": 0,
    "shared_media": 1,
    "ignore_routes_with_linkdown": 0,
    "forwarding": 1,
    "send_redirects": 0,
}
"""Stated of `default` too: what a device has from its beginning need not be written."""
SOLICITATIONS = 2
"""How often a neighbour is asked for that does not answer."""
_NEIGHBOUR_SYSCTLS = {"retrans_time_ms": 10, "mcast_solicit": SOLICITATIONS, "proxy_delay": 0, "delay_first_probe_time": 60}
"""Who does not answer is given up after 20 ms, and nobody is asked again whether he is still there."""


@dataclass
class Shape:
    """A network while it grows."""

    random: Random
    builder: StateBuilder = field(default_factory=StateBuilder)
    routers: list[str] = field(default_factory=list)
    switches: list[str] = field(default_factory=list)
    subnets: list[IPv4Network] = field(default_factory=list)
    members: dict[IPv4Network, list[tuple[str, str, IPv4Address]]] = field(default_factory=dict)
    """Who has a device and an address in a subnet."""
    macs: int = 0

    def add_node(self, name: str) -> None:
        """Add a namespace that forwards and listens."""
        made = self.builder.add_namespace(name)
        for path, value in _SYSCTLS.items():
            made.sysctl(path, value)
        made.sysctl("net/ipv4/ip_forward", 1)
        for key, start in _DEVICE_SYSCTLS.items():
            for scope in ("all", "default", "lo"):
                made.sysctl(f"net/ipv4/conf/{scope}/{key}", start)
        made.add_listener(Listener("tcp", "tcp", PORT, behaviour="echo"))
        made.add_listener(Listener("udp", "udp", PORT, behaviour="echo"))

    def mac(self) -> str:
        """Return a MAC nobody has."""
        self.macs += 1
        return f"02:00:00:00:{self.macs >> 8:02x}:{self.macs & 255:02x}"

    def settle(self, name: str, device: str) -> None:
        """State the sysctls of a new device."""
        made = self.builder[name]
        for key, value in _DEVICE_SYSCTLS.items():
            made.sysctl(f"net/ipv4/conf/{device}/{key}", value)
        for key, value in _NEIGHBOUR_SYSCTLS.items():
            made.sysctl(f"net/ipv4/neigh/{device}/{key}", value)

    def next_device(self, name: str, stem: str) -> str:
        """Return a device name that is free."""
        taken = self.builder[name].links
        return next(f"{stem}{number}" for number in range(99) if f"{stem}{number}" not in taken)

    def new_subnet(self) -> IPv4Network:
        """Return the next /24."""
        subnet = IPv4Network(f"10.{len(self.subnets) // 8}.{len(self.subnets) % 8 * 16 + len(self.subnets)}.0/24")
        self.subnets.append(subnet)
        self.members[subnet] = []
        return subnet

    def join(self, name: str, device: str, subnet: IPv4Network) -> None:
        """Give a device the next address of a subnet."""
        address = subnet[len(self.members[subnet]) + 1]
        assert isinstance(address, IPv4Address)
        self.builder[name].add_address(AddressEntry(device, IPv4Interface(f"{address}/{subnet.prefixlen}")))
        self.members[subnet].append((name, device, address))

    def cable(self, one: str, other: str, mtu: int = 1500) -> tuple[str, str]:
        """Join two namespaces by a veth pair; return the names of its ends."""
        first, second = self.next_device(one, "e"), self.next_device(other, "e")
        kind = Loopback()
        self.builder.add_veth((one, Link(first, kind, mtu, self.mac())), (other, Link(second, kind, mtu, self.mac())))
        self.settle(one, first)
        self.settle(other, second)
        return first, second


def random_shape(random: Random, nodes: int | None = None) -> Shape:
    """Return a connected network of `nodes` namespaces, at least 5, or of 3 to 12, in which everybody could reach everybody."""
    shape = Shape(random)
    switches = random.choice((0, 0, 1, 1, 2))
    count = random.randint(3, 9) if nodes is None else nodes - switches
    for number in range(count):
        name = f"n{number}"
        shape.add_node(name)
        shape.routers.append(name)
        if number:
            _point_to_point(shape, random.choice(shape.routers[:-1]), name)
    for _ in range(random.randint(0, 2)):
        one, other = random.sample(shape.routers, 2)
        _point_to_point(shape, one, other)
    for number in range(switches):
        _switched(shape, f"s{number}")
    if random.random() < 0.5:
        _tunnel(shape)
    _routes(shape)
    return shape


def _point_to_point(shape: Shape, one: str, other: str) -> None:
    subnet = shape.new_subnet()
    first, second = shape.cable(one, other, shape.random.choice((1500, 1500, 1500, 1400, 1000)))
    shape.join(one, first, subnet)
    shape.join(other, second, subnet)


def _switched(shape: Shape, switch: str) -> None:
    """Several namespaces on one bridge, which lives in a namespace of its own or in one of theirs."""
    shape.add_node(switch)
    shape.switches.append(switch)
    shape.builder[switch].sysctl("net/bridge/bridge-nf-call-iptables", shape.random.choice((0, 0, 1)))
    shape.builder[switch].add_bridge("br", mac=shape.mac())
    shape.settle(switch, "br")
    subnet = shape.new_subnet()
    for name in shape.random.sample(shape.routers, min(len(shape.routers), shape.random.randint(2, 4))):
        device, port = shape.cable(name, switch)
        isolated = shape.random.random() < 0.1
        shape.builder[switch].enslave(port, "br", BridgePort(isolated=isolated, hairpin=shape.random.random() < 0.1))
        shape.join(name, device, subnet)
    if shape.random.random() < 0.4:
        shape.join(switch, "br", subnet)
        shape.routers.append(switch)


def _tunnel(shape: Shape) -> None:
    """A VXLAN among some namespaces: with flooding and learning, or stated entry by entry as Calico does it."""
    random = shape.random
    members = random.sample(shape.routers, min(len(shape.routers), random.randint(2, 4)))
    stated = random.random() < 0.5
    subnet = shape.new_subnet()
    underlay = {name: _any_address(shape, name) for name in members}
    if any(address is None for address in underlay.values()):
        shape.subnets.pop()
        return
    port = random.choice((4789, 8472, 4800))
    ends: dict[str, tuple[str, IPv4Address]] = {}
    for name in members:
        device = shape.next_device(name, "vx")
        vni = 101 if not ends and random.random() < 0.1 else 100
        kind = Vxlan(vni, port, underlay[name], learning=not stated, df=random.random() < 0.1)
        shape.builder[name].add_link(Link(device, kind, random.choice((1450, 1450, 1500, 1400)), shape.mac()))
        shape.settle(name, device)
        shape.join(name, device, subnet)
        ends[name] = (device, shape.members[subnet][-1][2])
    for name in members:
        device, _ = ends[name]
        for other in members:
            remote = underlay[other]
            assert remote is not None
            if other == name or random.random() < 0.05:
                continue
            if stated:
                there, address = ends[other]
                mac = shape.builder[other].links[there].mac
                assert mac is not None
                shape.builder[name].replace_neighbour(Neighbour(device, address, mac))
                shape.builder[name].append_fdb(FdbEntry(device, mac, remote))
            else:
                shape.builder[name].append_fdb(FdbEntry(device, "00:00:00:00:00:00", remote))


def _any_address(shape: Shape, name: str) -> IPv4Address | None:
    found = [entry.interface.ip for entry in shape.builder[name].addresses if not entry.device.startswith("vx")]
    return next((address for address in found if isinstance(address, IPv4Address)), None)


def _routes(shape: Shape) -> None:
    """Give every namespace a route to every subnet, by the fewest hops."""
    for name in list(shape.builder):
        first_hops = _first_hops(shape, name)
        for subnet, hop in first_hops.items():
            if hop is not None:
                device, via = hop
                shape.builder[name].add_route(Route(subnet, via=via, device=device))


def _first_hops(shape: Shape, start: str) -> dict[IPv4Network, tuple[str, IPv4Address] | None]:
    """Return for each subnet the device and gateway to use, or None where the subnet is attached."""
    found: dict[IPv4Network, tuple[str, IPv4Address] | None] = {}
    reached: set[str] = {start}
    waiting: deque[tuple[str, tuple[str, IPv4Address] | None]] = deque([(start, None)])
    while waiting:
        name, way = waiting.popleft()
        for subnet, members in shape.members.items():
            mine = next((device for member, device, _ in members if member == name), None)
            if mine is None:
                continue
            found.setdefault(subnet, way)
            for member, _, address in members:
                if member not in reached and not mine.startswith("vx"):
                    reached.add(member)
                    waiting.append((member, way or (mine, address)))
    return found
