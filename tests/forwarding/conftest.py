"""Networks for the model's tests, written as people write them: wires, routes and rules in the words of iproute2."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from lab.forwarding import Conversation, Flow, Memory, Network, trace
from lab.state import (
    AddressEntry,
    BaseChain,
    FdbEntry,
    GroupMember,
    Link,
    Listener,
    Neighbour,
    NextHop,
    NextHopObject,
    PortRange,
    Provenance,
    Route,
    Rule,
    State,
    StateBuilder,
    Table,
    Vxlan,
    complete,
)

TABLES = {"local": Table.LOCAL, "main": Table.MAIN, "default": Table.DEFAULT}
ROUTE_TYPES = ("unicast", "local", "broadcast", "blackhole", "unreachable", "prohibit", "throw")
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}


class Net:
    """A network while it is written. Namespaces appear when they are first named; every device gets a MAC of its own."""

    def __init__(self) -> None:
        self.builder = StateBuilder()
        self._macs = 0

    def node(self, name: str, *, forwarding: bool = False, **conf: int) -> Net:
        """Have a namespace; keyword arguments are sysctls of `net/ipv4/conf/all` and of every device still to come."""
        if name not in self.builder:
            made = self.builder.add_namespace(name)
            made.sysctl("net/ipv4/ip_forward", int(forwarding))
            made.sysctl("net/ipv4/conf/default/forwarding", int(forwarding))
            for key, value in conf.items():
                made.sysctl(f"net/ipv4/conf/all/{key}", value)
        return self

    def router(self, name: str, **conf: int) -> Net:
        return self.node(name, forwarding=True, **conf)

    def conf(self, name: str, device: str, **values: int) -> Net:
        for key, value in values.items():
            self.builder[name].sysctl(f"net/ipv4/conf/{device}/{key}", value)
        return self

    def sysctl(self, name: str, path: str, value: int) -> Net:
        self.builder[name].sysctl(path, value)
        return self

    def mac(self) -> str:
        self._macs += 1
        return f"02:00:00:00:{self._macs >> 8:02x}:{self._macs & 255:02x}"

    def wire(self, one: str, other: str, *, mtu: int = 1500) -> Net:
        """Join two namespaces: ``a:eth0 10.1.0.2/24``, each end with as many addresses as it likes."""
        ends = []
        for end in (one, other):
            place, *addresses = end.split()
            name, device = place.split(":")
            self.node(name)
            ends.append((name, device, addresses))
        (here, near, _), (there, far, _) = ends
        self.builder.add_veth((here, self._link(near, mtu)), (there, self._link(far, mtu)))
        for name, device, addresses in ends:
            for address in addresses:
                self.address(name, device, address)
        return self

    def _link(self, name: str, mtu: int) -> Link:
        return Link(name, Vxlan(1, 1), mtu, self.mac())

    def address(self, name: str, device: str, address: str, **more: Any) -> Net:
        self.builder[name].add_address(AddressEntry(device, IPv4Interface(address), **more))
        return self

    def bridge(self, name: str, bridge: str, *ports: str) -> Net:
        self.node(name)
        self.builder[name].add_bridge(bridge, mac=self.mac())
        for port in ports:
            self.builder[name].enslave(port, bridge)
        return self

    def vxlan(self, name: str, device: str, vni: int, local: str, *, port: int = 4789, mtu: int = 1450, **more: Any) -> Net:
        kind = Vxlan(vni, port, IPv4Address(local), learning=more.pop("learning", False), **more)
        self.builder[name].add_link(Link(device, kind, mtu, self.mac()))
        return self

    def fdb(self, name: str, device: str, mac: str, destination: str) -> Net:
        self.builder[name].append_fdb(FdbEntry(device, mac, IPv4Address(destination)))
        return self

    def neighbour(self, name: str, device: str, address: str, mac: str, **more: Any) -> Net:
        self.builder[name].replace_neighbour(Neighbour(device, IPv4Address(address), mac, **more))
        return self

    def mac_of(self, name: str, device: str) -> str:
        mac = self.builder[name].links[device].mac
        assert mac is not None
        return mac

    def route(self, name: str, *texts: str) -> Net:
        for text in texts:
            self.builder[name].add_route(route(text))
        return self

    def nexthop(self, name: str, *texts: str) -> Net:
        """Have nexthop objects, as `ip nexthop add id` would: ``1 via 10.1.0.1 dev eth0``, ``3 group 1,2/2``, ``5 blackhole``."""
        for text in texts:
            self.builder[name].add_nexthop(nexthop(text), Provenance("test", text))
        return self

    def rule(self, name: str, *texts: str) -> Net:
        for text in texts:
            self.builder[name].add_rule(rule(text))
        return self

    def listen(self, name: str, protocol: Any, port: int, **more: Any) -> Net:
        self.builder[name].add_listener(Listener(f"{name}-{protocol}-{port}", protocol, port, **more))
        return self

    def chain(
        self, name: str, hook: Any, *rules: Any, type: Any = "filter", priority: int = 0, policy: Any = "accept", chain: str = ""
    ) -> Net:
        """Have a base chain in table ``ip t``; a rule is a statement or a tuple of them."""
        made = self.builder[name].chain("ip", "t", chain or f"{type}-{hook}-{priority}", BaseChain(type, hook, priority, policy))
        for one in rules:
            made.add(*(one if isinstance(one, tuple) else (one,)))
        return self

    def down(self, name: str, device: str) -> Net:
        self.builder[name].change_link(device, up=False)
        return self

    @property
    def state(self) -> State:
        return complete(self.builder.freeze())

    @property
    def network(self) -> Network:
        return Network(self.state)

    def trace(self, source: str, destination: str, protocol: Any = "icmp", *, memory: Memory | None = None, **more: Any) -> Conversation:
        if protocol != "icmp" and "destination_port" not in more:
            more["destination_port"] = 80
        return trace(self.network, Flow(source, IPv4Address(destination), protocol, **more), memory=memory)


def route(text: str) -> Route:
    """Read a route as `ip route add` would."""
    words = text.split()
    fields: dict[str, Any] = {"type": words.pop(0) if words[0] in ROUTE_TYPES else "unicast"}
    prefix = words.pop(0)
    fields["destination"] = IPv4Network("0.0.0.0/0" if prefix == "default" else prefix)
    hops: list[dict[str, Any]] = [{}]
    while words:
        word = words.pop(0)
        match word:
            case "nexthop":
                hops.append({})
            case "via":
                hops[-1]["via"] = IPv4Address(words.pop(0))
            case "dev":
                hops[-1]["device"] = words.pop(0)
            case "weight":
                hops[-1]["weight"] = int(words.pop(0))
            case "onlink":
                hops[-1]["onlink"] = True
            case "src":
                fields["source"] = IPv4Address(words.pop(0))
            case "table":
                name = words.pop(0)
                fields["table"] = TABLES[name] if name in TABLES else int(name)
            case "scope":
                fields["scope"] = words.pop(0)
            case "nhid":
                fields["nexthop"] = int(words.pop(0))
                fields["scope"] = "global"
            case "metric" | "tos" | "mtu":
                fields[word] = int(words.pop(0), 0)
            case _:
                raise ValueError(word)
    if len(hops) > 1:
        fields["hops"] = tuple(NextHop(**hop) for hop in hops[1:])
    else:
        fields.update(hops[0])
        if fields["type"] == "unicast" and "via" not in fields and "scope" not in fields:
            fields["scope"] = "link"
        if fields["type"] == "local":
            fields["scope"] = "host"
    return Route(**fields)


def nexthop(text: str) -> NextHopObject:
    """Read a nexthop object as `ip nexthop add id` would."""
    number, *words = text.split()
    fields: dict[str, Any] = {"id": int(number)}
    while words:
        match words.pop(0):
            case "via":
                fields["via"] = IPv4Address(words.pop(0))
            case "dev":
                fields["device"] = words.pop(0)
            case "group":
                fields["group"] = tuple(GroupMember(*map(int, member.split(","))) for member in words.pop(0).split("/"))
            case flag:
                fields[flag] = True
    return NextHopObject(**fields)


def rule(text: str) -> Rule:
    """Read a rule as `ip rule add` would, with its priority in front: ``100: from 10.0.0.0/8 lookup 7``."""
    head, *words = text.split()
    fields: dict[str, Any] = {"priority": int(head.rstrip(":"))}
    names = {"from": "source", "to": "destination"}
    while words:
        word = words.pop(0)
        match word:
            case "not":
                fields["inverted"] = True
            case "from" | "to":
                prefix = words.pop(0)
                if prefix != "all":
                    fields[names[word]] = IPv4Network(prefix)
            case "fwmark":
                mark, _, mask = words.pop(0).partition("/")
                fields["mark"] = int(mark, 0)
                fields["mask"] = int(mask, 0) if mask else 0xFFFFFFFF
            case "iif" | "oif":
                fields[word] = words.pop(0)
            case "tos":
                fields["tos"] = int(words.pop(0), 0)
            case "ipproto":
                fields["ip_protocol"] = PROTOCOLS[words.pop(0)]
            case "sport" | "dport":
                first, _, last = words.pop(0).partition("-")
                fields["source_ports" if word == "sport" else "destination_ports"] = PortRange(int(first), int(last or first))
            case "uidrange":
                first, _, last = words.pop(0).partition("-")
                fields["uid_first"], fields["uid_last"] = int(first), int(last)
            case "lookup":
                name = words.pop(0)
                fields["table"] = TABLES[name] if name in TABLES else int(name)
            case "goto":
                fields["action"], fields["goto"] = "goto", int(words.pop(0))
            case "suppress_prefixlength":
                fields["suppress_prefix_length"] = int(words.pop(0))
            case "l3mdev":
                fields["l3mdev"] = True
            case _:
                fields["action"] = word
    return Rule(**fields)


def three_in_a_row(**router_conf: int) -> Net:
    """a (10.1.0.2) - r - b (10.2.0.2): r forwards, a and b have default routes."""
    net = Net().node("a").router("r", **router_conf).node("b")
    net.wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    return net.route("a", "default via 10.1.0.1 dev eth0").route("b", "default via 10.2.0.1 dev eth0")


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def row() -> Net:
    return three_in_a_row()
