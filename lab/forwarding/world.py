"""One way things can go: a network, what it remembers, and the lots drawn so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.forwarding.choice import Chooser
from lab.forwarding.client import Client
from lab.forwarding.fib import Exit, Lookup, Query
from lab.forwarding.memory import Memory
from lab.forwarding.netfilter.conntrack import Connection, Conntrack
from lab.forwarding.network import Network, Node
from lab.forwarding.packet import LEAST_PATH_MTU, Address, FlowKey, Packet, TcpFlags
from lab.forwarding.rules import ROUTING_TOS
from lab.forwarding.unknown import Undecided
from lab.state import Route
from lab.state.ways import leaves_of

ANY_SIZE = 65535
"""Of whom the length does not matter, but the MTU itself does: TCP announces what fits it."""


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
        return self._mtu(node, self._answer(node, packet, device), packet.destination, 0)

    def mtu_towards(self, node: Node, destination: Address) -> int:
        """Return the MTU of the way to an address, for nobody in particular; 65535 where there is no way."""
        return self._mtu(node, node.fib_of(destination.version).lookup(Query(int(destination))), destination, ANY_SIZE)

    def path_mtu(self, node: Node, destination: Address, route: Route | None, way: Exit, otherwise: int) -> int:
        """Return the MTU of a way, a learned path MTU included."""
        if route is not None and _remembers_nothing(route):
            return otherwise
        return min(otherwise, self.memory.path_mtu.get((node.name, int(destination), *_kept_with(route, way)), otherwise))

    def way_mtu(self, node: Node, destination: Address, route: Route | None, way: Exit, size: int) -> int:
        """Return the MTU of a way for a packet of a size: that of its route, or what was learned since where that is less (`ipv4_mtu`).

        Raises Undecided as `route_mtu` does.
        """
        return self.path_mtu(node, destination, route, way, self.route_mtu(node, route, way.device, size))

    def demand_known_mtu(self, packet: Packet) -> None:
        """Raise Undecided for a packet that may meet a path MTU which a conversation the model could not follow has left."""
        if min(packet.size, self.memory.undecided.get(int(packet.destination), 0)) > LEAST_PATH_MTU:
            raise Undecided(f"a path MTU towards {packet.destination} may be known from an earlier conversation that was not decided")

    def demand_unknown_neighbour(self, address: Address) -> None:
        """Raise Undecided where a neighbour that does not answer may be known from a conversation that the model could not follow."""
        if self.memory.undecided:
            raise Undecided(f"neighbour {address} may be known from an earlier conversation that was not decided")

    def leave_rest_open(self, packet: Packet) -> None:
        """Remember that of a tunnel packet too long for its way later, shorter pieces of what it bears go on, which nobody follows."""
        inner = packet.tunnel.frame.payload if packet.tunnel is not None else None
        if isinstance(inner, Packet) and inner.fragment is not None:
            for address in (inner.source, inner.destination):
                self.memory.leave_open(address, inner.size)

    def route_mtu(self, node: Node, route: Route | None, device: str, size: int) -> int:
        """Return the MTU of a route: its own attribute, else that of its device (`ip_dst_mtu_maybe_forward`).

        Raises Undecided for a packet of a size that fits some but not all of the routes that share a nexthop object and were in use before.
        What was looked up for one of them is kept with the object, on every processor by itself, and serves the others (`rt_cache_route`).
        """
        version = 4 if route is None else route.destination.version
        own = _own_mtu(node, version, route, device)
        if route is None or route.nexthop is None:
            return own
        used = self._mtus_in_use(node, route)
        if len(used) > 1 and size > min(mtu or _own_mtu(node, version, None, device) for mtu in used):
            raise Undecided("routes that share a nexthop object and differ in their MTU may take over one another's", route)
        return own

    def hop_limit(self, node: Node, version: int, route: Route | None, device: str) -> int:
        """Return the TTL or hop limit of a packet made here for which nobody has chosen one: that of its route, else that of its namespace
        or, of IPv6, of the device it leaves by (`ip4_dst_hoplimit`, `ip6_dst_hoplimit`).

        Raises Undecided where routes share a nexthop object and differ in it: what is kept of one serves the others, as with MTUs.
        """
        if route is not None and route.nexthop is not None and len(node.fib_of(version).hop_limits_beside(route)) > 1:
            raise Undecided("routes that share a nexthop object and differ in their hop limit may take over one another's", route)
        if route is not None and route.hoplimit:
            return route.hoplimit
        return node.settings.default_ttl if version == 4 else node.settings6_of(device).hop_limit

    def _mtus_in_use(self, node: Node, route: Route) -> frozenset[int]:
        """Return the MTUs, 0 for none, of the routes that were in use before and share a nexthop object with one in use from now on."""
        fib, memory, used = node.fib_of(route.destination.version), self.memory, frozenset({route.mtu or 0})
        if memory.undecided:
            return fib.mtus_beside(route)
        leaves = [(node.name, leaf) for leaf in leaves_of(route.nexthop or 0, fib.objects)]
        used = used.union(*(memory.mtus.get(leaf, ()) for leaf in leaves))
        memory.mtus.update(dict.fromkeys(leaves, used))
        return used

    def learn_path_mtu(self, node: Node, packet: Packet, mtu: int) -> None:
        """Remember the MTU reported for a packet made here, with the next hops its way has; nothing where its route locks its own."""
        # Whoever reports, and whatever is reported about, this lookup knows no ports (`__build_flow_key` in net/ipv4/route.c).
        answer = self._answer(node, packet._replace(source_port=0, destination_port=0), None)
        if answer.route is not None and answer.route.mtu_locked:
            return
        for way in answer.exits:
            self.memory.path_mtu[node.name, int(packet.destination), *_kept_with(answer.route, way)] = mtu

    def _answer(self, node: Node, packet: Packet, device: str | None) -> Lookup:
        key = packet.key if packet.icmp is None else FlowKey(int(packet.source), int(packet.destination), packet.protocol, 0, 0)
        ports = (key.source_port, key.destination_port)
        query = Query(key.destination, key.source, "lo", device, packet.mark, packet.tos & ROUTING_TOS, key.protocol, *ports)
        return node.fib_of(packet.version).lookup(query)

    def _mtu(self, node: Node, answer: Lookup, destination: Address, size: int) -> int:
        if answer.error is not None or not answer.exits:
            return ANY_SIZE
        return self.way_mtu(node, destination, answer.route, answer.exits[0], size)


def _kept_with(route: Route | None, way: Exit) -> tuple[int, Exit]:
    """Return the table and next hop that remember a path MTU; a nexthop object does so for routes of all tables (`nhc_exceptions`)."""
    if route is not None and route.nexthop is not None:
        return 0, replace(way, weight=1)
    return 0 if route is None else route.table, way


def _remembers_nothing(route: Route) -> bool:
    """Whether a route is that to an IPv4 address on a device other than lo: no path MTU is looked for there (`__mkroute_output`)."""
    return route.type == "local" and route.device != "lo" and route.destination.version == 4


def length_to_fit(packet: Packet) -> int:
    """Return the bytes of a packet that have to fit the MTU of its way."""
    return ANY_SIZE if TcpFlags.SYN in packet.tcp else packet.size


def _own_mtu(node: Node, version: int, route: Route | None, device: str) -> int:
    if route is not None and route.mtu:
        return route.mtu
    link = node.links.get(device)
    mtu = ANY_SIZE if link is None else link.mtu
    return mtu if version == 4 else min(mtu, node.settings6_of(device).mtu)
