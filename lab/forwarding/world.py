"""One way things can go: a network, what it remembers, and the lots drawn so far."""

from __future__ import annotations

from dataclasses import dataclass

from lab.forwarding.choice import Chooser
from lab.forwarding.client import Client
from lab.forwarding.fib import Exit, Lookup, Query
from lab.forwarding.memory import Memory
from lab.forwarding.netfilter.conntrack import Connection, Conntrack
from lab.forwarding.network import Network, Node
from lab.forwarding.packet import LEAST_PATH_MTU, Address, FlowKey, Packet
from lab.forwarding.rules import ROUTING_TOS
from lab.forwarding.unknown import Undecided
from lab.state import Route


@dataclass(slots=True)
class World:
    """What a trace reads and writes."""

    network: Network
    memory: Memory
    chooser: Chooser
    sockets: tuple[Client, ...] = ()
    """The sockets of the conversation."""

    def conntrack(self, node: Node) -> Conntrack:
        """Return the connection table of a namespace."""
        table = self.memory.conntrack.get(node.name)
        if table is None:
            table = self.memory.conntrack[node.name] = {}
        return table

    def forget(self, node: Node, connection: Connection) -> None:
        """Take a connection out of the table."""
        table = self.conntrack(node)
        table.pop(connection.original, None)
        table.pop(connection.reply, None)

    def mtu_for(self, node: Node, packet: Packet, device: str | None = None) -> int:
        """Return the MTU of the way a packet made here would take; 65535 where there is none."""
        return self._mtu(node, self._answer(node, packet, device), packet.destination)

    def mtu_towards(self, node: Node, destination: Address) -> int:
        """Return the MTU of the way to an address, for nobody in particular; 65535 where there is no way."""
        return self._mtu(node, node.fib_of(destination.version).lookup(Query(int(destination))), destination)

    def path_mtu(self, node: Node, destination: Address, route: Route | None, way: Exit, otherwise: int) -> int:
        """Return the MTU of a way, a learned path MTU included."""
        if route is not None and _remembers_nothing(route):
            return otherwise
        table = 0 if route is None else route.table
        return min(otherwise, self.memory.path_mtu.get((node.name, int(destination), table, way), otherwise))

    def demand_known_mtu(self, packet: Packet) -> None:
        """Raise Undecided for a packet that may meet a path MTU which a conversation the model could not follow has left."""
        if min(packet.size, self.memory.undecided.get(int(packet.destination), 0)) > LEAST_PATH_MTU:
            raise Undecided(f"a path MTU towards {packet.destination} may be known from an earlier conversation that was not decided")

    def learn_path_mtu(self, node: Node, packet: Packet, mtu: int) -> None:
        """Remember the MTU reported for a packet made here, with the next hops its way has."""
        # Whoever reports, and whatever is reported about, this lookup knows no ports (`__build_flow_key` in net/ipv4/route.c).
        answer = self._answer(node, packet._replace(source_port=0, destination_port=0), None)
        for way in answer.exits:
            table = 0 if answer.route is None else answer.route.table
            self.memory.path_mtu[node.name, int(packet.destination), table, way] = mtu

    def _answer(self, node: Node, packet: Packet, device: str | None) -> Lookup:
        key = packet.key if packet.icmp is None else FlowKey(int(packet.source), int(packet.destination), packet.protocol, 0, 0)
        ports = (key.source_port, key.destination_port)
        query = Query(key.destination, key.source, "lo", device, packet.mark, packet.tos & ROUTING_TOS, key.protocol, *ports)
        return node.fib_of(packet.version).lookup(query)

    def _mtu(self, node: Node, answer: Lookup, destination: Address) -> int:
        if answer.error is not None or not answer.exits:
            return 65535
        way, route = answer.exits[0], answer.route
        return self.path_mtu(node, destination, route, way, route_mtu(node, route.mtu if route else None, way.device))


def _remembers_nothing(route: Route) -> bool:
    """Whether a route is that to an address on a device other than lo: no path MTU is looked for there (`__mkroute_output`)."""
    return route.type == "local" and route.device != "lo"


def route_mtu(node: Node, stated: int | None, device: str) -> int:
    """Return the MTU of a route: its own attribute, else that of its device (`ip_dst_mtu_maybe_forward`)."""
    if stated:
        return stated
    link = node.links.get(device)
    return 65535 if link is None else link.mtu
