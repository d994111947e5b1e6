"""The way of an IPv6 packet through one namespace: in by `receive6`, out by `leave6`, or made here by `send6`.

The order of everything is that of net/ipv6/ip6_input.c and ip6_output.c. A router never fragments: it tells the sender its MTU.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from lab.forwarding.arp import NOT_ANSWERED
from lab.forwarding.causes import Reason
from lab.forwarding.fib import Exit
from lab.forwarding.hooks import pass_hook, waits_alone
from lab.forwarding.icmp import error_about
from lab.forwarding.journey import Journey, Send, Transmit, TurnBack, Visit
from lab.forwarding.local import deliver
from lab.forwarding.ndp import hear_advertisement, receive_multicast, resolve6
from lab.forwarding.netfilter.transit import LinkType, Transit
from lab.forwarding.offloads import as_device_sends
from lab.forwarding.output import pass_output
from lab.forwarding.packet import (
    ADVERTISEMENT,
    FRAGMENTATION_NEEDED,
    HOST,
    NET,
    TCP,
    TCP_HEADER,
    TIME_EXCEEDED,
    UNREACHABLE,
    Frame,
    Packet,
    TcpFlags,
)
from lab.forwarding.results import Plain, Stage
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.forwarding.routing6 import route_input6, route_output6
from lab.forwarding.unknown import Undecided
from lab.forwarding.world import length_to_fit
from lab.state import Bridge

_NOBODY = IPv6Address("::")

# -- in ------------------------------------------------------------------------------------------------------------


def receive6(journey: Journey, visit: Visit, device: str, packet: Packet, link_type: LinkType, sender: str) -> None:
    """Take a packet that came in by `device` in a frame from the MAC `sender`."""
    t = Transit(journey.world, visit.node, packet, link_type=link_type)
    assert isinstance(packet.destination, IPv6Address)
    if packet.destination.is_multicast:
        receive_multicast(journey, visit, device, t, sender)
        return
    _take(journey, visit, device, t, None, sender)


def _take(journey: Journey, visit: Visit, device: str, t: Transit, from_here: OutputRoute | None, sender: str) -> None:
    addressed_to = t.packet.destination
    if not pass_hook(journey, visit, t, "prerouting", iif=device, oif=None, was_local=False, arrived_by=device):
        return
    if from_here is not None and t.packet.destination == addressed_to:
        _to_host(journey, visit, device, t, sender)
        return
    link = visit.node.links.get(device)
    rules_on_bridge = isinstance(link and link.kind, Bridge) and visit.node.settings.bridge_calls_ip6tables
    translated = rules_on_bridge and t.packet.destination != addressed_to
    route = route_input6(journey.world, visit.node, t.packet, device, by_bridge=translated)
    if translated and route.kind == "forward" and route.exit is not None and route.exit.device == device:
        _turn_back(journey, visit, device, t, route.exit)
        return
    if rules_on_bridge and t.packet.fragment is not None and visit.node.ruleset.of(6).tracks and _came_by_port(visit, device):
        # Whoever asks the bridge's rules puts it together there, and its fragments' length is not told on (`ip6_rcv` clears IP6CB).
        t.packet, t.may_fragment = t.packet._replace(fragment=None), True
    visit.note(Stage.INPUT_ROUTING, route, device, t.packet)
    match route.kind:
        case "local" | "broadcast":
            _to_host(journey, visit, device, t, sender)
        case "forward":
            _forward(journey, visit, device, t, route)
        case _:
            assert route.reason is not None
            # What a bridge finds no way for is dropped before there is anybody to tell of it (`br_nf_pre_routing_finish_ipv6`).
            if route.icmp_code is not None and not translated:
                _answer(journey, t, UNREACHABLE, route.icmp_code, device)
            journey.drop(visit, Stage.INPUT_ROUTING, device, route.reason, route.subject, route.sentence)


def _turn_back(journey: Journey, visit: Visit, bridge: str, t: Transit, way: Exit) -> None:
    """Bridge a packet that was translated on a bridge and whose new destination is there as well, as `_turn_back` of IPv4 does
    (`br_nf_pre_routing_finish_ipv6` in net/bridge/br_netfilter_ipv6.c): it keeps its hop limit, and nobody is told of a shorter way.
    """
    links = visit.node.links
    port, hop = visit.arrived_by, way.via or t.packet.destination
    if port is None or not _came_by_port(visit, bridge):
        raise Undecided("a bridged packet whose destination is translated is not modelled", links.get(bridge))
    assert isinstance(hop, IPv6Address)
    t.next_hop = int(hop)
    resolution = resolve6(journey, visit.node, bridge, hop, t.packet)
    visit.note(Stage.NEIGHBOUR, resolution, bridge)
    if resolution.mac is None:
        _answer(journey, t, UNREACHABLE, HOST, bridge)
        journey.drop(visit, Stage.NEIGHBOUR, bridge, NOT_ANSWERED, resolution.subject or links.get(bridge), resolution.sentence)
        return
    journey.add(TurnBack(visit, bridge, port, Frame(visit.node.mac(bridge), resolution.mac, t.packet), t))


def _came_by_port(visit: Visit, bridge: str) -> bool:
    port = visit.node.links.get(visit.arrived_by or "")
    return port is not None and port.master == bridge


def _to_host(journey: Journey, visit: Visit, device: str, t: Transit, sender: str) -> None:
    """After `ip6_input`: where connections are not tracked the input hook sees fragments, unlike that of IPv4."""
    if not pass_hook(journey, visit, t, "input", iif=device, oif=None, was_local=True, arrived_by=device):
        return
    if waits_alone(visit, t, Stage.DELIVERY, device):
        return
    if t.packet.fragment is not None:
        t.packet = t.packet._replace(fragment=None)
    if t.packet.icmp is not None and t.packet.icmp.discovers and t.packet.icmp.type == ADVERTISEMENT:
        hear_advertisement(journey, visit, device, t.packet, sender)
    else:
        deliver(journey, visit, device, t)


def _answer(journey: Journey, t: Transit, kind: int, code: int, arrived_by: str | None, mtu: int | None = None) -> None:
    sending = error_about(t, kind, code, arrived_by=arrived_by, was_local=False, mtu=mtu)
    if sending is not None:
        journey.answers.append(sending)


# -- through -------------------------------------------------------------------------------------------------------


def _forward(journey: Journey, visit: Visit, device: str, t: Transit, route: InputRoute) -> None:
    """After `ip6_forward`: the hop limit first, then the scope of the source, then the MTU, then the forward hook.

    Here it is the MTU of the device. That of the route, and what this namespace has learned itself, are looked at when the packet leaves
    (`ip6_finish_output`), after all rules.
    """
    way, source = route.exit, t.packet.source
    assert way is not None
    assert route.lookup is not None
    assert isinstance(source, IPv6Address)
    if t.link_type != "host":
        journey.drop(visit, Stage.FORWARD, device, Reason.OTHER_HOST)
        return
    if visit.is_owned(device):
        journey.drop(visit, Stage.FORWARD, device, Reason.STILL_OWNED)
        return
    if t.packet.ttl <= 1:
        _answer(journey, t, TIME_EXCEEDED, 0, device)
        journey.drop(visit, Stage.TTL, device, Reason.TTL)
        return
    if source.is_link_local:
        raise Undecided("forwarding of a link-local source is not modelled")
    link_mtu = journey.world.route_mtu(visit.node, None, way.device, t.packet.length)
    if t.packet.length > link_mtu and not t.may_fragment:
        _answer(journey, t, UNREACHABLE, FRAGMENTATION_NEEDED, device, link_mtu)
        text = f"{t.packet.length} bytes do not fit the MTU {link_mtu} of {way.device}, and a router does not fragment IPv6"
        journey.drop(visit, Stage.MTU, way.device, Reason.TOO_BIG, visit.node.links.get(way.device), text)
        return
    before = t.packet
    t.packet = before._replace(ttl=before.ttl - 1)
    visit.note(Stage.TTL, Plain(f"hop limit {before.ttl} becomes {t.packet.ttl}"), device, before, t.packet)
    mtu = journey.world.way_mtu(visit.node, t.packet.destination, route.lookup.route, way, t.packet.length)
    t.route_mtu, t.next_hop = mtu, int(way.via or t.packet.destination)
    if pass_hook(journey, visit, t, "forward", iif=device, oif=way.device, was_local=False, arrived_by=device):
        leave6(journey, visit, t, way, mtu, arrived_by=device)


# -- out -----------------------------------------------------------------------------------------------------------


def leave6(journey: Journey, visit: Visit, t: Transit, way: Exit, mtu: int, *, arrived_by: str | None) -> None:
    """Pass postrouting, find the neighbour, and put the frame on the device (`ip6_output`)."""
    t.route_mtu, t.next_hop = mtu, int(way.via or t.packet.destination)
    if way.device == "lo" and visit.node.fib6.local_type(int(t.packet.destination)) != "local":
        _answer(journey, t, UNREACHABLE, NET, arrived_by)
        journey.drop(visit, Stage.OUTPUT_ROUTING, "lo", Reason.NO_ROUTE, None, f"{t.packet.destination} is no address of {visit.node.name}")
        return
    if not pass_hook(journey, visit, t, "postrouting", iif=None, oif=way.device, was_local=False, arrived_by=arrived_by):
        return
    if t.packet.length > mtu:
        if not t.may_fragment:
            # What was wrapped is not for the tunnel to cut (`skb_scrub_packet` clears ignore_df), and the tunnel itself is told.
            _answer(journey, t, UNREACHABLE, FRAGMENTATION_NEEDED, arrived_by, mtu)
            why = "the socket forbids fragments" if t.made_here else "a router does not fragment IPv6"
            why = "nobody cuts a tunnel packet of IPv6" if t.packet.tunnel is not None else why
            text = f"{t.packet.length} bytes do not fit the MTU {mtu} of {way.device}, and {why}"
            journey.drop(visit, Stage.FRAGMENTATION, way.device, Reason.TOO_BIG, visit.node.links.get(way.device), text)
            journey.world.leave_rest_open(t.packet)
            return
        before = t.packet
        t.packet = before._replace(fragment=min(mtu, before.length))
        visit.note(Stage.FRAGMENTATION, Plain(f"cut into fragments of at most {mtu} bytes"), way.device, before, t.packet)
    if way.device == "lo":
        _take(journey, visit, "lo", t, OutputRoute(None, None, way), "")
        return
    hop = way.via or t.packet.destination
    assert isinstance(hop, IPv6Address)
    resolution = resolve6(journey, visit.node, way.device, hop, t.packet)
    visit.note(Stage.NEIGHBOUR, resolution, way.device)
    if resolution.mac is None:
        _answer(journey, t, UNREACHABLE, HOST, arrived_by)
        subject = resolution.subject or visit.node.links.get(way.device)
        journey.drop(visit, Stage.NEIGHBOUR, way.device, NOT_ANSWERED, subject, resolution.sentence)
        return
    t.packet = as_device_sends(visit, t, way.device)
    journey.add(Transmit(visit, way.device, Frame(visit.node.mac(way.device), resolution.mac, t.packet), t.packet.mark))


# -- made here -----------------------------------------------------------------------------------------------------


def send6(journey: Journey, task: Send) -> None:
    """Make a packet: choose its source and its way, pass output, and leave."""
    visit, sending = task.visit, task.sending
    node, world = visit.node, journey.world
    packet = sending.packet
    # The traffic class of an echo request is that of the reply, but no rule is asked with it (`icmpv6_echo_reply`).
    asking = packet._replace(
        source=_NOBODY if sending.unsettled else packet.source,
        tos=0 if packet.icmp is not None and packet.icmp.answers else packet.tos,
    )
    route = route_output6(world, node, asking, device=sending.device, uid=sending.uid, any_source=sending.any_source)
    visit.note(Stage.OUTPUT_ROUTING, route, route.exit.device if route.exit else None)
    if route.errno is not None or route.exit is None or route.source is None:
        journey.drop(visit, Stage.OUTPUT_ROUTING, None, route.reason, route.subject, route.sentence)
        return
    packet = packet._replace(ttl=packet.ttl or world.hop_limit(node, 6, route.found, route.exit.device))
    if not sending.unsettled:
        packet = packet._replace(source=route.source)
    journey.made = packet
    if route.exit.device != "lo":
        world.demand_known_mtu(packet)
    mtu = world.way_mtu(node, packet.destination, route.found, route.exit, length_to_fit(packet))
    if TcpFlags.SYN in packet.tcp:
        journey.made = packet = packet._replace(mss=mtu - packet.header - TCP_HEADER)
    if packet.size > mtu and not packet.train and (sending.df is True or packet.protocol == TCP):
        text = f"{packet.size} bytes do not fit the MTU {mtu} of the way out, and the socket forbids fragments"
        journey.drop(visit, Stage.MTU, route.exit.device, Reason.TOO_BIG, node.links.get(route.exit.device), text)
        return
    t = Transit(world, node, packet, made_here=True, uid=sending.uid, bound_device=sending.device, tracked=sending.tracked)
    t.route_mtu, t.next_hop = mtu, int(route.exit.via or packet.destination)
    t.may_fragment = sending.df is not True and packet.protocol != TCP
    passed = pass_output(journey, visit, t, route.exit, mtu)
    if passed is not None:
        leave6(journey, visit, t, *passed, arrived_by=None)
