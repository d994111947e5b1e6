"""What routing decides about a packet: one that came in (`route_input`), one that is made here (`route_output`).

After `ip_route_input_slow`, `ip_mkroute_input`, `ip_error` and `ip_route_output_key_hash_rcu` in net/ipv4/route.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from lab.forwarding.addresses import LINK_SCOPE, preferred_source, select_address
from lab.forwarding.causes import Reason
from lab.forwarding.fib import Errno, Exit, Lookup, Query
from lab.forwarding.memory import Lot
from lab.forwarding.network import Node
from lab.forwarding.packet import FILTERED, HOST, NET, Address, Packet
from lab.forwarding.results import Detail
from lab.forwarding.rpfilter import ReversePath, check_source, ports_of
from lab.forwarding.rules import ROUTING_TOS
from lab.forwarding.unknown import Undecided
from lab.forwarding.why import describe_lookup, lookup_details
from lab.forwarding.world import World
from lab.state import Route

_LOOPBACK, _MULTICAST, _BROADCAST = 127, 0xE, 0xFFFFFFFF

ICMP_CODES: dict[Errno, int | None] = {"ENETUNREACH": NET, "EHOSTUNREACH": HOST, "EACCES": FILTERED, "EINVAL": None, "EADDRNOTAVAIL": None}
"""What a router tells the sender (`ip_error`); of EINVAL it says nothing."""


@dataclass(frozen=True, slots=True)
class InputRoute:
    """What becomes of a packet that came in."""

    kind: Literal["local", "broadcast", "forward", "refused", "error"]
    lookup: Lookup | None = None
    exit: Exit | None = None
    reverse: ReversePath | None = None
    reason: Reason | None = None
    icmp_code: int | None = None
    """For an error: what the sender is told, if anything."""

    @property
    def sentence(self) -> str:
        """What was decided."""
        found = describe_lookup(self.lookup) if self.lookup is not None else ""
        match self.kind:
            case "local" | "broadcast":
                return f"for this namespace: {found}" if found else "for this namespace"
            case "forward":
                assert self.exit is not None
                several = f", one of {len(self.lookup.exits)} ways" if self.lookup is not None and len(self.lookup.exits) > 1 else ""
                return f"forwarded by {self.exit.device}: {found}{several}"
            case _:
                assert self.reason is not None
                return f"{self.reason.text}: {found}" if found else self.reason.text

    @property
    def subject(self) -> object | None:
        """The route, or the rule that decided without one."""
        return None if self.lookup is None else self.lookup.route or self.lookup.rule

    @property
    def details(self) -> tuple[Detail, ...]:
        """How rules and tables were searched."""
        return () if self.lookup is None else lookup_details(self.lookup)


def route_input(world: World, node: Node, packet: Packet, device: str, *, arp: bool = False) -> InputRoute:
    """Decide about a packet that came in by `device`. `arp`: it is an ARP request, seen as a packet to its target."""
    settings = node.settings_of(device)
    source, destination = int(packet.source), int(packet.destination)
    if destination >> 28 == _MULTICAST:
        raise Undecided("multicast is not modelled")
    if source >> 28 == _MULTICAST or source == _BROADCAST:
        return InputRoute("refused", reason=Reason.INVALID_SOURCE)
    if destination == _BROADCAST or (source == 0 and destination == 0):
        return _to_everybody(node, packet, device, None)
    if not source:  # the rest of 0.0.0.0/8 is like other addresses since Linux 5.3 (`ipv4_is_zeronet`)
        return InputRoute("refused", reason=Reason.INVALID_SOURCE)
    if not destination:
        return InputRoute("refused", reason=Reason.INVALID_DESTINATION)
    if _LOOPBACK in (source >> 24, destination >> 24) and not settings.route_localnet:
        return InputRoute("refused", reason=Reason.LOCALNET)
    answer = node.fib.lookup(
        Query(
            destination,
            source,
            device,
            None,
            packet.mark,
            packet.tos & ROUTING_TOS,
            packet.protocol,
            *ports_of(node, packet),
        )
    )
    if answer.error is not None:
        if not settings.forwarding:
            return InputRoute("error", answer, reason=Reason.NOT_FORWARDING)
        return InputRoute("error", answer, reason=reason_of(answer), icmp_code=ICMP_CODES[answer.error])
    if answer.type == "broadcast":
        return _to_everybody(node, packet, device, answer)
    if answer.type == "local":
        reverse = check_source(node, packet, device, None)
        if reverse.refused is not None:
            return InputRoute("refused", answer, reverse=reverse, reason=reverse.refused)
        return InputRoute("local", answer, reverse=reverse)
    if not settings.forwarding:
        return InputRoute("error", answer, reason=Reason.NOT_FORWARDING)
    if answer.type != "unicast":
        return InputRoute("refused", answer, reason=Reason.INVALID_DESTINATION)
    way = choose_exit(world, node, answer, packet)
    reverse = check_source(node, packet, device, way.device)
    if reverse.refused is not None:
        return InputRoute("refused", answer, way, reverse, reverse.refused)
    if arp and way.device == device and not settings.proxy_arp_pvlan:
        return InputRoute("refused", answer, way, reverse, Reason.ARP_NOT_MINE)
    return InputRoute("forward", answer, way, reverse)


def _to_everybody(node: Node, packet: Packet, device: str, answer: Lookup | None) -> InputRoute:
    if not int(packet.source):
        return InputRoute("broadcast", answer)
    reverse = check_source(node, packet, device, None, to_nobody=True)
    if reverse.refused is not None:
        return InputRoute("refused", answer, reverse=reverse, reason=reverse.refused)
    return InputRoute("broadcast", answer, reverse=reverse)


def reason_of(answer: Lookup) -> Reason:
    """Return why a lookup that failed did so."""
    if answer.route is not None:
        return {"blackhole": Reason.BLACKHOLE, "unreachable": Reason.UNREACHABLE, "prohibit": Reason.PROHIBIT}[answer.type]
    if answer.rule is not None:
        rule = {"blackhole": Reason.RULE_BLACKHOLE, "unreachable": Reason.RULE_UNREACHABLE, "prohibit": Reason.RULE_PROHIBIT}
        return rule[answer.rule.action]
    return Reason.NO_ROUTE


def choose_exit(world: World, node: Node, answer: Lookup, packet: Packet, *, made_here: bool = False) -> Exit:
    """Return the way a packet takes; of several the hash decides, and every way is a world of its own.

    The hash covers addresses, or ports as well with `fib_multipath_hash_policy` 1, so a flow keeps its way; an ICMP error
    is hashed as the packet it speaks about (`ip_multipath_l3_keys`).
    """
    exits = answer.exits
    by_object = answer.route is not None and answer.route.nexthop is not None
    if made_here and int(packet.source) and len(exits) > 1 and packet.version == 4 and not by_object:
        # The ways whose own source address the packet bears go before the others, but not those of a nexthop object
        # (`fib_select_multipath`).
        exits = tuple(way for way in exits if preferred_source(node, answer, way.device, way.via) == packet.source) or exits
    if len(exits) == 1:
        return exits[0]
    speaking_of = packet.icmp.quoted if packet.icmp is not None and packet.icmp.quoted is not None else packet
    flow: tuple[int, ...] = (int(speaking_of.source), int(speaking_of.destination))
    if packet.version == 6:
        # A packet has its flow label only once it has a way (`ip6_make_flowlabel`).
        flow = (*flow, made_here)
    policy = node.settings.multipath_hash_policy if packet.version == 4 else node.settings.multipath_hash_policy_v6
    if policy and packet.icmp is None:
        flow = speaking_of.key
    meanings = tuple(f"{way.device} via {way.via}" if way.via else way.device for way in exits)
    assert answer.route is not None
    lot: Lot = (node.name, answer.route.table, answer.route.destination, exits, flow)
    # IPv6 hashes the flow label as well, which is another one for every socket (`rt6_multipath_hash`).
    lots = world.memory.lots if packet.version == 4 else {}
    if lot not in lots:
        lots[lot] = world.chooser.choose(lot, f"ECMP in {node.name}", meanings)
    return exits[lots[lot]]


@dataclass(frozen=True, slots=True)
class OutputRoute:
    """The way out of a packet made here, and the source address it gets."""

    lookup: Lookup | None
    source: Address | None
    exit: Exit | None
    errno: Errno | None = None
    text: str = ""
    chosen: bool = False
    """Whether routing chose the source."""

    @property
    def found(self) -> Route | None:
        """The route that was looked up; None where there was no lookup, or a rule decided without one."""
        return None if self.lookup is None else self.lookup.route

    @property
    def to_self(self) -> bool:
        """Whether the packet stays in this namespace."""
        return self.exit is not None and self.exit.device == "lo"

    @property
    def reason(self) -> Reason:
        """Why the packet cannot be sent, if it cannot: the lookup failed, or else there is no source address for it."""
        return Reason.NO_SOURCE if self.lookup is None or self.lookup.error is None else reason_of(self.lookup)

    @property
    def sentence(self) -> str:
        """What was decided."""
        if self.text:
            return self.text
        found = describe_lookup(self.lookup) if self.lookup is not None else "assumed to be on the link the socket is bound to"
        source = f", source {self.source}" if self.chosen and self.source is not None else ""
        return f"{found}{source}"

    @property
    def subject(self) -> object | None:
        """The route, or the rule that decided without one."""
        return None if self.lookup is None else self.lookup.route or self.lookup.rule

    @property
    def details(self) -> tuple[Detail, ...]:
        """How rules and tables were searched."""
        return () if self.lookup is None else lookup_details(self.lookup)


def route_output(
    world: World, node: Node, packet: Packet, *, device: str | None = None, uid: int = 0, any_source: bool = False
) -> OutputRoute:
    """Decide the way of a packet made here. A source of 0.0.0.0 is chosen by the route found."""
    source, destination = int(packet.source), int(packet.destination)
    if destination >> 28 == _MULTICAST or destination == _BROADCAST:
        raise Undecided("multicast and limited broadcast are not modelled")
    if not destination:
        return OutputRoute(None, None, None, "EINVAL", f"{packet.destination} is no address to send to")
    if source and not any_source and not node.is_local(source):
        return OutputRoute(None, None, None, "EINVAL", f"{packet.source} is no address of {node.name}")
    if device is not None and (device not in node.links or not node.links[device].up):
        return OutputRoute(None, None, None, "ENETUNREACH", f"the socket is bound to {device}, which is down or missing")
    tos = packet.tos & ROUTING_TOS
    ports = (packet.source_port, packet.destination_port)
    answer = node.fib.lookup(Query(destination, source, "lo", device, packet.mark, tos, packet.protocol, *ports, uid))
    if answer.error is not None:
        if device is None:
            return OutputRoute(answer, None, None, answer.error)
        # "Apparently, routing tables are wrong": a socket bound to a device may send to its link anyway.
        own = packet.source if source else select_address(node, device, 0, LINK_SCOPE)
        return _unless_loopback(node, OutputRoute(None, own, Exit(device, None), chosen=not source))
    if answer.type == "local":
        chosen = packet.source
        if not source:
            hint = answer.route.source if answer.route is not None else None
            chosen = hint if isinstance(hint, IPv4Address) else packet.destination
        return OutputRoute(answer, chosen, Exit("lo", None), chosen=not source)
    if answer.type == "broadcast":
        raise Undecided("sending to a broadcast address is not modelled")
    if device is None and node.fib.takes_turns(answer):
        raise Undecided("which of several default routes of one table is taken depends on what is known of their gateways", answer.route)
    way = choose_exit(world, node, answer, packet, made_here=True)
    chosen_source = packet.source if source else preferred_source(node, answer, way.device, way.via)
    return _unless_loopback(node, OutputRoute(answer, chosen_source, way, chosen=not source))


def _unless_loopback(node: Node, route: OutputRoute) -> OutputRoute:
    """A loopback address stays inside, unless `route_localnet` lets it out (`__mkroute_output`)."""
    source, way = route.source, route.exit
    if source is None or way is None or int(source) >> 24 != _LOOPBACK or node.settings_of(way.device).route_localnet:
        return route
    return OutputRoute(route.lookup, source, None, "EINVAL", f"{source} may not leave by {way.device}: route_localnet is 0")


def as_rerouted(node: Node, packet: Packet) -> Packet:
    """Return a packet as a lookup after rules sees it: with protocol and ports if some policy rule asks for them, else without.

    A rule for packets made here (`iif lo`) does not count among those that ask (`fib_rule_requires_fldissect`).
    """
    if node.fib_of(packet.version).dissects:
        return packet._replace(icmp=None)
    return packet._replace(protocol=0, source_port=0, destination_port=0, icmp=None)
