"""What IPv6 routing decides about a packet: one that came in, one that is made here.

After `ip6_route_input`, `ip6_pkt_drop` and `ip6_route_output_flags` in net/ipv6/route.c, `ip6_dst_lookup_tail` in net/ipv6/ip6_output.c and
`ip6_rcv_core` in net/ipv6/ip6_input.c. There is no source check: what IPv6 has of one is an nft rule.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from lab.forwarding.addresses6 import has_address6, preferred_source6, select_address6
from lab.forwarding.causes import Reason
from lab.forwarding.fib import Exit, Lookup, Query
from lab.forwarding.network import Node
from lab.forwarding.packet import FILTERED, NET, Packet
from lab.forwarding.routing import InputRoute, OutputRoute, choose_exit, reason_of
from lab.forwarding.rpfilter import ports_of
from lab.forwarding.rules import ROUTING_TOS
from lab.forwarding.unknown import Undecided
from lab.forwarding.world import World

_TOLD = {"none": NET, "unreachable": NET, "prohibit": FILTERED, "blackhole": None}
"""What the sender is told of a route, in the codes of ICMP: `ip6_pkt_discard` says "no route" of an unreachable one as well."""


def route_input6(world: World, node: Node, packet: Packet, device: str, *, by_bridge: bool = False) -> InputRoute:
    """Decide about a packet that came in by `device`; not for multicast destinations.

    What a bridge asks itself, for a packet that its rules translated, goes on across it where nothing else is forwarded, too.
    """
    source, destination = packet.source, packet.destination
    assert isinstance(source, IPv6Address)
    assert isinstance(destination, IPv6Address)
    if node.settings6_of(device).disabled:
        return InputRoute("refused", reason=Reason.NO_IPV6)
    if source.is_multicast:
        return InputRoute("refused", reason=Reason.INVALID_SOURCE)
    if device != "lo" and (source.is_loopback or destination.is_loopback):
        return InputRoute("refused", reason=Reason.LOCALNET)
    if destination.is_link_local and not has_address6(node, device, destination):
        raise Undecided("a link-local destination that is not this device's own is not modelled")
    ports = ports_of(node, packet)
    query = Query(int(destination), int(source), device, None, packet.mark, packet.tos & ROUTING_TOS, packet.protocol, *ports)
    answer = node.fib6.lookup(query)
    if answer.error is not None:
        told = FILTERED if answer.rule is not None and answer.rule.action == "prohibit" else _TOLD[answer.type]
        if answer.rule is not None and answer.rule.action == "blackhole":
            told = None
        return InputRoute("error", answer, reason=reason_of(answer), icmp_code=told)
    if answer.type == "local":
        return InputRoute("local", answer)
    if answer.type != "unicast":
        raise Undecided(f"an IPv6 packet to an {answer.type} address is not modelled", answer.route)
    stays = by_bridge and {way.device for way in answer.exits} == {device}
    if not stays and not node.settings6_of(device).forwarding:
        return InputRoute("refused", answer, reason=Reason.NOT_FORWARDING_V6)
    if source.is_unspecified or source.is_loopback:
        return InputRoute("refused", answer, reason=Reason.INVALID_SOURCE)
    way = choose_exit(world, node, answer, packet)
    if way.device == "lo":
        # Not to an address of this namespace: a way into a circle, which the kernel makes a reject route (`ip6_route_info_create`).
        return InputRoute("error", answer, way, reason=Reason.NO_ROUTE, icmp_code=NET)
    return InputRoute("forward", answer, way)


def route_output6(
    world: World, node: Node, packet: Packet, *, device: str | None = None, uid: int = 0, any_source: bool = False
) -> OutputRoute:
    """Decide the way of a packet made here. An unspecified source is chosen by the route found."""
    source, destination = packet.source, packet.destination
    assert isinstance(destination, IPv6Address)
    assert isinstance(source, IPv6Address)
    given = not source.is_unspecified
    if destination.is_multicast:
        raise Undecided("multicast is not modelled")
    if given and not any_source and not any(has_address6(node, name, source) for name in node.links):
        return OutputRoute(None, None, None, "EINVAL", f"{source} is no address of {node.name}")
    if destination.is_link_local and device is None:
        return OutputRoute(None, None, None, "EINVAL", f"{destination} is on every link: the socket has to be bound to a device")
    if device is not None and (device not in node.links or not node.links[device].up):
        return OutputRoute(None, None, None, "ENETUNREACH", f"the socket is bound to {device}, which is down or missing")
    ports = (packet.source_port, packet.destination_port)
    tos = packet.tos & ROUTING_TOS

    def ask(address: IPv6Address) -> Lookup:
        return node.fib6.lookup(Query(int(destination), int(address), "lo", device, packet.mark, tos, packet.protocol, *ports, uid))

    answer = ask(source)
    if answer.error is not None and not given and (best := select_address6(node, "", destination)) is not None:
        # Rules may ask for the source, so a way is looked for once more with the one that would be taken (`ip6_dst_lookup_tail`).
        answer, source = ask(best), best
    if answer.error is not None:
        return OutputRoute(answer, None, None, answer.error)
    if source != packet.source and answer.type == "unicast":
        return OutputRoute(answer, source, choose_exit(world, node, answer, packet._replace(source=source), made_here=True), chosen=True)
    if answer.type == "local":
        hint = answer.route.source if answer.route is not None else None
        chosen = source if given else hint if isinstance(hint, IPv6Address) else destination
        return OutputRoute(answer, chosen, Exit("lo", None), chosen=not given)
    if answer.type != "unicast":
        raise Undecided(f"sending to an {answer.type} address is not modelled", answer.route)
    way = choose_exit(world, node, answer, packet, made_here=True)
    # Of a group of nexthop objects the first says where the source is sought, whichever is taken (`fib6_info_nh_dev`).
    by_object = answer.route is not None and answer.route.nexthop is not None
    seen_by = answer.exits[0].device if by_object else way.device
    own = source if given else preferred_source6(node, answer, seen_by, destination)
    if own is None:
        return OutputRoute(answer, None, None, "EADDRNOTAVAIL", f"{node.name} has no address for the way to {destination}")
    return OutputRoute(answer, own, way, chosen=not given)
