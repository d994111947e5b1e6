"""From any network to any other: what the kernel holds after the difference was applied is what was asked for.

The networks are random. Each run goes through several of them in one sandbox, so that every step is a difference of a lab that has a past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_address
from random import Random

import pytest

from lab.forwarding.generate import with_nexthops
from lab.kernel.engine import Engine
from lab.kernel.recognition import as_stated
from lab.kernel.sandbox import Sandbox
from lab.state import (
    LO,
    AddressEntry,
    Bridge,
    BridgePort,
    FdbEntry,
    Link,
    Macvlan,
    Namespace,
    Neighbour,
    NextHop,
    PortRange,
    Protocol,
    Route,
    Rule,
    State,
    Veth,
    Vxlan,
    complete,
    difference,
)

NAMES = ("a", "b", "c", "d")


class RandomNetwork:
    """Draws networks that the kernel accepts, of few names and numbers, so that what two of them have in common is not rare."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.with_ipv6 = False

    def state(self) -> State:
        # IPv6 makes no routes for a link without carrier, which `complete` cannot know; so where there is IPv6, all have one.
        self.with_ipv6 = self._maybe()
        names = [name for name in NAMES if self.random.random() < 0.8] or ["a"]
        cables = [(f"v{i}", *self.random.sample(names, 2)) for i in range(self.random.randint(0, 4)) if len(names) > 1]
        return complete(State({name: self._namespace(name, cables) for name in names}))

    def _maybe(self, chance: float = 0.5) -> bool:
        return self.random.random() < chance

    def _namespace(self, name: str, cables: list[tuple[str, str, str]]) -> Namespace:
        links = self._links(name, cables)
        up = [link.name for link in links if link.up and link.master is None]
        addresses = self._addresses(up)
        return Namespace(
            name,
            links=(LO, *links),
            addresses=tuple(addresses),
            routes=tuple(self._routes(up, addresses)),
            rules=tuple(self._rules()),
            neighbours=tuple(self._neighbours(up)),
            fdb=tuple(self._fdb(links)),
            sysctls=self._sysctls([link.name for link in links]),
        )

    def _links(self, name: str, cables: list[tuple[str, str, str]]) -> list[Link]:
        bridge = not self.with_ipv6 and self._maybe()
        links = (
            [Link("br0", Bridge(self.random.choice((300, 20))), mtu=self.random.choice((1500, 1400)), mac=self._mac())] if bridge else []
        )
        for cable, here, there in cables:
            if name in (here, there):
                is_port = bridge and self._maybe()
                links.append(
                    Link(
                        cable,
                        Veth(there if name == here else here, cable),
                        mtu=self.random.choice((1500, 1450)),
                        mac=self._mac() if self._maybe() else None,
                        up=self.with_ipv6 or self._maybe(0.8),
                        master="br0" if is_port else None,
                        port=BridgePort(hairpin=self._maybe(), isolated=self._maybe(), learning=self._maybe()) if is_port else None,
                    )
                )
        below = [link.name for link in links if link.up and link.master is None]
        if self._maybe():
            over = self.random.choice(below) if below and self._maybe() else None
            six = self.with_ipv6 and self._maybe()
            local, remote = (IPv6Address(f"fd09::{host}") if six else IPv4Address(f"10.9.0.{host}") for host in (1, 3))
            kind = Vxlan(
                self.random.choice((10, 20)),
                4789,
                local if self._maybe() or six else None,
                remote if self._maybe() else None,
                over,
                self._maybe(),
                ttl=self.random.choice((0, 9)),
                udp_checksum=self._maybe(0.8),
            )
            links.append(Link("vx", kind, mtu=1400, mac=self._mac()))
        if below and self._maybe(0.3):
            links.append(Link("mv", Macvlan(self.random.choice(below)), mtu=1400, mac=self._mac()))
        self.random.shuffle(links)
        return links

    def _addresses(self, up: list[str]) -> list[AddressEntry]:
        entries = []
        for number, device in enumerate(up):
            hosts = self.random.sample(range(1, 6), self.random.choice((0, 1, 1, 3)))
            for host in hosts:
                interface = IPv4Interface(f"10.{len(device)}{number}.0.{host}/{self.random.choice((24, 24, 32))}")
                broadcast = IPv4Address("10.77.0.255") if self._maybe(0.1) else None
                entries.append(AddressEntry(device, interface, broadcast=broadcast, no_prefix_route=len(hosts) == 1 and self._maybe(0.2)))
            if self.with_ipv6 and self._maybe(0.4):
                entries.append(AddressEntry(device, IPv6Interface(f"fd00:{number}::{self.random.randint(1, 3)}/64")))
        return entries

    def _routes(self, up: list[str], addresses: list[AddressEntry]) -> list[Route]:
        routes = {}
        for number in range(6):
            route = self._route(number, up, addresses)
            if route is not None:
                routes[route.key] = route
        return list(routes.values())

    def _route(self, number: int, up: list[str], addresses: list[AddressEntry]) -> Route | None:
        table = self.random.choice((254, 254, 150, 1000))
        metric = self.random.choice((0, 0, 50))
        destination = IPv4Network(f"172.16.{number}.0/24")
        gateways = [
            (entry.device, entry.interface.network.broadcast_address - 1)
            for entry in addresses
            if entry.interface.version == 4 and entry.interface.network.prefixlen == 24 and not entry.no_prefix_route
        ]
        match self.random.randrange(7):
            case 0 if up:
                return Route(destination, device=self.random.choice(up), table=table, metric=metric, scope="link", mtu=1200)
            case 1 if gateways:
                device, via = self.random.choice(gateways)
                return Route(destination, via=via, device=device, table=table, metric=metric, protocol=Protocol.FELIX)
            case 2 if up:
                via = IPv4Address("169.254.1.1")
                return Route(destination, via=via, device=self.random.choice(up), onlink=True, table=table, metric=metric, advmss=1000)
            case 3:
                kind = self.random.choice(("blackhole", "unreachable", "prohibit", "throw"))
                return Route(destination, kind, table=table, metric=metric)  # type: ignore[arg-type]
            case 4 if len(gateways) > 1:
                hops = tuple(NextHop(via, device, self.random.randint(1, 3)) for device, via in self.random.sample(gateways, 2))
                return Route(destination, hops=hops, table=table, metric=metric)
            case 5 if addresses:
                entry = self.random.choice(addresses)
                if entry.interface.version == 4:
                    return Route(destination, device=entry.device, source=entry.interface.ip, table=table, metric=metric, scope="link")
            case 6 if up and any(entry.interface.version == 6 for entry in addresses):
                device = next(entry.device for entry in addresses if entry.interface.version == 6)
                return Route(IPv6Network(f"fd99:{number}::/64"), device=device, table=table, metric=1024)
        return None

    def _rules(self) -> list[Rule]:
        rules = []
        for priority in self.random.sample((100, 100, 200, 300), self.random.randint(0, 3)):
            rule = Rule(priority, table=self.random.choice((150, 1000)), mark=self.random.choice((None, 1, 2)))
            match self.random.randrange(5):
                case 0:
                    rule = replace(rule, source=IPv4Network("10.0.0.0/8"), iif="v0")
                case 1:
                    rule = replace(rule, destination=IPv4Network("172.16.0.0/12"), inverted=True)
                case 2:
                    rule = replace(rule, ip_protocol=6, destination_ports=PortRange(80, 90))
                case 3:
                    rule = replace(rule, suppress_prefix_length=0, uid_first=0, uid_last=0)  # the one user whom every sandbox knows
                case 4:
                    # With a mark: the kernel asks the rules, too, whether it can reach the gateway of a new route.
                    rule = replace(rule, action="unreachable", table=None, mark=2)
            if rule not in rules:
                rules.append(rule)
        return sorted(rules, key=lambda rule: rule.priority)

    def _neighbours(self, up: list[str]) -> list[Neighbour]:
        found = []
        for device in up:
            if self._maybe(0.4):
                found.append(Neighbour(device, IPv4Address("10.5.5.5"), self._mac()))
            if self._maybe(0.2):
                found.append(Neighbour(device, IPv4Address("10.5.5.6"), None, proxy=True))
            if self.with_ipv6 and self._maybe(0.2):
                found.append(Neighbour(device, IPv6Address("fd00:5::5"), self._mac()))
        return found

    def _fdb(self, links: list[Link]) -> list[FdbEntry]:
        found = []
        for link in links:
            if isinstance(link.kind, Vxlan):
                near = "10.9.0." if link.kind.version == 4 else "fd09::"
                found += [FdbEntry(link.name, "00:00:00:00:00:00", ip_address(f"{near}{host}")) for host in (2, 4) if self._maybe()]
                found += [FdbEntry(link.name, f"02:aa:00:00:00:0{host}", ip_address(f"{near}{host}")) for host in (2, 3) if self._maybe()]
                found += [FdbEntry(link.name, "02:aa:00:00:00:09", ip_address(f"{near}9"), port=9999, vni=77)] if self._maybe() else []
            elif link.master and self._maybe():
                found.append(FdbEntry(link.name, "02:bb:00:00:00:01", master=True))
                break
        return found

    def _sysctls(self, links: list[str]) -> dict[str, str]:
        sysctls = {}
        for path in ("net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter", "net/ipv4/icmp_ratelimit"):
            if self._maybe():
                sysctls[path] = self.random.choice(("0", "1000" if path.endswith("ratelimit") else "1"))
        for link in links:
            for key in ("rp_filter", "forwarding", "proxy_arp", "accept_redirects"):
                if self._maybe(0.3):
                    sysctls[f"net/ipv4/conf/{link}/{key}"] = self.random.choice(("0", "1"))
        return sysctls

    def _mac(self) -> str:
        return f"02:00:00:00:00:{self.random.randint(1, 250):02x}"


def assert_holds(engine: Engine, target: State, story: str) -> None:
    found = difference(target, as_stated(engine.read_back(), target))
    differences = [
        f"{namespace.name} {part}: {getattr(namespace, part)}"
        for namespace in found
        for part in ("links", "addresses", "nexthops", "routes", "rules", "neighbours", "fdb", "sysctls", "tables", "about")
        if getattr(namespace, part)
    ]
    assert not found.network, "\n".join(("asked for and found differ:", *differences, *map(str, (found.added, found.removed)), story))


@pytest.mark.kernel
@pytest.mark.parametrize("seed", range(10))
def test_the_kernel_holds_every_network_it_is_led_to(sandbox: Sandbox, seed: int) -> None:
    hold_one_after_the_other(sandbox, seed, RandomNetwork(seed).state)


@pytest.mark.kernel
@pytest.mark.parametrize("seed", range(10))
def test_so_it_does_where_routes_name_nexthop_objects(sandbox: Sandbox, seed: int) -> None:
    networks = RandomNetwork(seed)
    hold_one_after_the_other(sandbox, seed, lambda: with_nexthops(networks.state(), networks.random))


def hold_one_after_the_other(sandbox: Sandbox, seed: int, draw: Callable[[], State]) -> None:
    with Engine(sandbox) as engine:
        for step in range(12):
            target = draw()
            plan = engine.apply(target)
            assert_holds(engine, target, f"seed {seed}, step {step}, after\n" + "\n".join(plan.lines()) + "\n")
            assert engine.apply(target).is_empty, f"seed {seed}, step {step}: applying a second time does something"
            engine.refresh()
            again = engine.plan_to(target)
            assert again.is_empty, f"seed {seed}, step {step}: what was read back differs:\n" + "\n".join(again.lines())
