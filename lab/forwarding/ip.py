"""The way of an IP packet through one namespace: in by `receive`, out by `leave`, or made here by `send`.

The order of everything is that of net/ipv4/ip_input.c, ip_forward.c and ip_output.c.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from lab.forwarding.addresses import on_link
from lab.forwarding.arp import NOT_ANSWERED, resolve
from lab.forwarding.causes import Reason
from lab.forwarding.fib import Exit
from lab.forwarding.hooks import pass_hook, waits_alone
from lab.forwarding.icmp import error_about
from lab.forwarding.journey import ANY, Journey, Send, Sending, Transmit, TurnBack, Visit
from lab.forwarding.local import deliver
from lab.forwarding.netfilter.transit import LinkType, Transit
from lab.forwarding.offloads import as_device_sends, demand_good_check_sum
from lab.forwarding.output import pass_output
from lab.forwarding.packet import (
    FRAGMENTATION_NEEDED,
    HOST,
    IP_HEADER,
    TCP,
    TCP_HEADER,
    TIME_EXCEEDED,
    UNREACHABLE,
    Frame,
    Packet,
    TcpFlags,
)
from lab.forwarding.results import Plain, Stage
from lab.forwarding.routing import InputRoute, OutputRoute, route_input, route_output
from lab.forwarding.unknown import Undecided
from lab.forwarding.world import length_to_fit
from lab.state import Bridge

_NOBODY = IPv4Address("192.0.0.8")
"""The source of an ICMP error of a host that has no address at all (RFC 7600; INADDR_DUMMY)."""


# -- in ------------------------------------------------------------------------------------------------------------


def receive(journey: Journey, visit: Visit, device: str, packet: Packet, link_type: LinkType) -> None:
    """Take a packet that came in by `device`."""
    t = Transit(journey.world, visit.node, packet, link_type=link_type)
    _take(journey, visit, device, t, None)


def _take(journey: Journey, visit: Visit, device: str, t: Transit, from_here: OutputRoute | None) -> None:
    """Pass prerouting, decide, and go on. A packet that came round through lo keeps the route it left with."""
    addressed_to = t.packet.destination
    if not pass_hook(journey, visit, t, "prerouting", iif=device, oif=None, was_local=False, arrived_by=device):
        return
    if from_here is not None and t.packet.destination == addressed_to:
        _to_host(journey, visit, device, t)
        return
    route = route_input(journey.world, visit.node, t.packet, device)
    translated = t.packet.destination != addressed_to and _is_bridge_with_rules(visit, device)
    if translated and route.kind == "forward" and route.exit is not None and route.exit.device == device:
        _turn_back(journey, visit, device, t, route.exit)
        return
    visit.note(Stage.INPUT_ROUTING, route, device, t.packet)
    if route.reverse is not None and (route.reverse.mode or route.reverse.refused):
        visit.note(Stage.REVERSE_PATH, route.reverse, device, t.packet)
    match route.kind:
        case "local" | "broadcast":
            _to_host(journey, visit, device, t)
        case "forward":
            _forward(journey, visit, device, t, route)
        case _:
            _refuse(journey, visit, device, t, route, told=not translated)


def _turn_back(journey: Journey, visit: Visit, bridge: str, t: Transit, way: Exit) -> None:
    """Bridge a packet that was translated on a bridge and whose new destination is there as well, as if it had never been routed.

    It keeps its TTL, and may leave by the port it came in by only where that is a hairpin (`br_nf_pre_routing_finish` and
    `br_nf_pre_routing_finish_bridge` in net/bridge/br_netfilter_hooks.c).
    """
    port = visit.node.links.get(visit.arrived_by or "")
    if port is None or port.master != bridge:
        raise Undecided("a bridged packet whose destination is translated is not modelled", _link(visit, bridge))
    t.next_hop = _next_hop(t.packet, way)
    resolution = resolve(journey, visit.node, bridge, way.via or t.packet.destination, t.packet)
    visit.note(Stage.NEIGHBOUR, resolution, bridge)
    if resolution.mac is None:
        answer(journey, visit, error_about(t, UNREACHABLE, HOST, arrived_by=bridge, was_local=False))
        journey.drop(visit, Stage.NEIGHBOUR, bridge, NOT_ANSWERED, resolution.subject or _link(visit, bridge), resolution.sentence)
        return
    journey.add(TurnBack(visit, bridge, port.name, Frame(visit.node.mac(bridge), resolution.mac, t.packet), t))


def _is_bridge_with_rules(visit: Visit, device: str) -> bool:
    link = visit.node.links.get(device)
    return visit.node.settings.bridge_calls_iptables and link is not None and isinstance(link.kind, Bridge)


def _refuse(journey: Journey, visit: Visit, device: str, t: Transit, route: InputRoute, *, told: bool) -> None:
    """Drop a packet; of one that was translated on a bridge nobody is told, which sought the way itself (`br_nf_pre_routing_finish`)."""
    assert route.reason is not None
    if route.icmp_code is not None and told:
        answer(journey, visit, error_about(t, UNREACHABLE, route.icmp_code, arrived_by=device, was_local=False))
    stage = Stage.REVERSE_PATH if route.reverse is not None and route.reverse.refused is not None else Stage.INPUT_ROUTING
    subject = route.reverse.subject if stage == Stage.REVERSE_PATH and route.reverse is not None else route.subject
    text = route.reverse.sentence if stage == Stage.REVERSE_PATH and route.reverse is not None else route.sentence
    journey.drop(visit, stage, device, route.reason, subject, text)


def answer(journey: Journey, visit: Visit, sending: Sending | None) -> None:
    """Let the namespace send something because of this packet, and say so."""
    if sending is None:
        return
    journey.answers.append(sending)


def _to_host(journey: Journey, visit: Visit, device: str, t: Transit) -> None:
    if waits_alone(visit, t, Stage.DELIVERY, device):
        return
    if t.packet.fragment is not None:
        t.packet = t.packet._replace(fragment=None, checked=False)
    if pass_hook(journey, visit, t, "input", iif=device, oif=None, was_local=True, arrived_by=device):
        deliver(journey, visit, device, t)


# -- through -------------------------------------------------------------------------------------------------------


def _forward(journey: Journey, visit: Visit, device: str, t: Transit, route: InputRoute) -> None:
    """After `ip_forward`: the TTL first, then the MTU, then the forward hook."""
    node, way = visit.node, route.exit
    assert way is not None
    assert route.lookup is not None
    if t.link_type != "host":
        journey.drop(visit, Stage.FORWARD, device, Reason.OTHER_HOST)
        return
    if visit.is_owned(device):
        journey.drop(visit, Stage.FORWARD, device, Reason.STILL_OWNED)
        return
    if t.packet.ttl <= 1:
        answer(journey, visit, error_about(t, TIME_EXCEEDED, 0, arrived_by=device, was_local=False))
        journey.drop(visit, Stage.TTL, device, Reason.TTL)
        return
    mtu = journey.world.route_mtu(node, route.lookup.route, way.device, t.packet.length)
    if node.settings.forward_use_pmtu:
        mtu = journey.world.path_mtu(node, t.packet.destination, route.lookup.route, way, mtu)
    if t.packet.length > mtu and t.packet.df:
        answer(journey, visit, error_about(t, UNREACHABLE, FRAGMENTATION_NEEDED, arrived_by=device, was_local=False, mtu=mtu))
        text = f"{t.packet.length} bytes do not fit the MTU {mtu} of {way.device}, and DF is set"
        journey.drop(visit, Stage.MTU, way.device, Reason.TOO_BIG, _link(visit, way.device), text)
        return
    before = t.packet
    t.packet = before._replace(ttl=before.ttl - 1)
    visit.note(Stage.TTL, Plain(f"TTL {before.ttl} becomes {t.packet.ttl}"), device, before, t.packet)
    _redirect(visit, device, t, route, way)
    t.route_mtu, t.next_hop = mtu, _next_hop(t.packet, way)
    if pass_hook(journey, visit, t, "forward", iif=device, oif=way.device, was_local=False, arrived_by=device):
        leave(journey, visit, t, way, mtu, arrived_by=device)


def _redirect(visit: Visit, device: str, t: Transit, route: InputRoute, way: Exit) -> None:
    settings = visit.node.settings_of(device)
    if way.device != device or route.reverse is None or not route.reverse.direct or not settings.send_redirects:
        return
    if settings.shared_media or on_link(visit.node, device, int(t.packet.source), 0 if way.via is None else int(way.via)):
        gateway = way.via or t.packet.destination
        text = f"it leaves the way it came: {t.packet.source} is told by an ICMP redirect to use {gateway} (at a limited rate)"
        visit.note(Stage.REDIRECT, Plain(text), device)


# -- out -----------------------------------------------------------------------------------------------------------


def leave(journey: Journey, visit: Visit, t: Transit, way: Exit, mtu: int, *, arrived_by: str | None) -> None:
    """Pass postrouting, fragment, find the neighbour, and put the frame on the device (`ip_output`)."""
    t.route_mtu, t.next_hop = mtu, _next_hop(t.packet, way)
    if not pass_hook(journey, visit, t, "postrouting", iif=None, oif=way.device, was_local=False, arrived_by=arrived_by):
        return
    if t.packet.length > mtu:
        if t.packet.df and not t.may_fragment:
            answer(journey, visit, error_about(t, UNREACHABLE, FRAGMENTATION_NEEDED, arrived_by=arrived_by, was_local=False, mtu=mtu))
            text = f"{t.packet.length} bytes do not fit the MTU {mtu} of {way.device}, and DF is set"
            journey.drop(visit, Stage.FRAGMENTATION, way.device, Reason.TOO_BIG, _link(visit, way.device), text)
            journey.world.leave_rest_open(t.packet)
            return
        demand_good_check_sum(t)
        before = t.packet
        t.packet = before._replace(fragment=min(mtu, before.length), checked=False)
        visit.note(Stage.FRAGMENTATION, Plain(f"cut into fragments of at most {mtu} bytes"), way.device, before, t.packet)
    if way.device == "lo":
        _take(journey, visit, "lo", t, OutputRoute(None, None, way))
        return
    hop = way.via or t.packet.destination
    resolution = resolve(journey, visit.node, way.device, hop, t.packet)
    visit.note(Stage.NEIGHBOUR, resolution, way.device)
    if resolution.mac is None:
        answer(journey, visit, error_about(t, UNREACHABLE, HOST, arrived_by=arrived_by, was_local=False))
        subject = resolution.subject or _link(visit, way.device)
        journey.drop(visit, Stage.NEIGHBOUR, way.device, NOT_ANSWERED, subject, resolution.sentence)
        return
    t.packet = as_device_sends(visit, t, way.device)
    frame = Frame(visit.node.mac(way.device), resolution.mac, t.packet)
    journey.add(Transmit(visit, way.device, frame, t.packet.mark))


def _next_hop(packet: Packet, way: Exit) -> int:
    return int(way.via if way.via is not None else packet.destination)


def _link(visit: Visit, device: str) -> object | None:
    return visit.node.links.get(device)


# -- made here -----------------------------------------------------------------------------------------------------


def send(journey: Journey, task: Send) -> None:
    """Make a packet: choose its source and its way, pass output, and leave."""
    visit, sending = task.visit, task.sending
    node, world = visit.node, journey.world
    packet = sending.packet
    route = route_output(world, node, packet, device=sending.device, uid=sending.uid, any_source=sending.any_source)
    if sending.connected and packet.source == ANY and route.source is not None and route.errno is None:
        visit.note(Stage.SOURCE, route, route.exit.device if route.exit else None)
        packet = packet._replace(source=route.source)
        route = route_output(world, node, packet, device=sending.device, uid=sending.uid)
    visit.note(Stage.OUTPUT_ROUTING, route, route.exit.device if route.exit else None)
    if route.errno is not None or route.exit is None:
        journey.drop(visit, Stage.OUTPUT_ROUTING, None, route.reason, route.subject, route.sentence)
        return
    if sending.purpose == "error":
        _ration(visit, packet, route.exit)
    source = route.source or (_NOBODY if sending.purpose == "error" else ANY)
    ttl = packet.ttl or world.hop_limit(node, 4, route.found, route.exit.device)
    journey.made = packet = packet._replace(source=source, ttl=ttl)
    if route.exit.device != "lo":
        world.demand_known_mtu(packet)
    mtu = world.way_mtu(node, packet.destination, route.found, route.exit, length_to_fit(packet))
    if TcpFlags.SYN in packet.tcp:
        journey.made = packet = packet._replace(mss=mtu - IP_HEADER - TCP_HEADER)
    fitted = _fit(packet, False if sending.df is None and _locks_mtu(route) else sending.df, mtu)
    if fitted is None:
        text = f"{packet.size} bytes do not fit the MTU {mtu} of the way out, and the socket forbids fragments"
        journey.drop(visit, Stage.MTU, route.exit.device, Reason.TOO_BIG, _link(visit, route.exit.device), text)
        return
    t = Transit(world, node, fitted, made_here=True, uid=sending.uid, bound_device=sending.device, tracked=sending.tracked)
    t.route_mtu, t.next_hop = mtu, _next_hop(fitted, route.exit)
    t.may_fragment = sending.df is not True and fitted.protocol != TCP
    passed = pass_output(journey, visit, t, route.exit, mtu)
    if passed is not None:
        leave(journey, visit, t, *passed, arrived_by=None)


def _ration(visit: Visit, packet: Packet, way: Exit) -> None:
    """Note that an error may be withheld (`icmpv4_xrlim_allow`); "fragmentation needed" and what stays here never are."""
    settings, icmp = visit.node.settings, packet.icmp
    if icmp is None or icmp.too_big or way.device == "lo" or not settings.icmp_ratelimit or not settings.icmp_ratemask >> icmp.type & 1:
        return
    text = f"icmp_ratelimit={settings.icmp_ratelimit}: {packet.destination} is sent one such error in that many ms, after the first six"
    visit.note(Stage.RATE_LIMIT, Plain(text), way.device)


def _locks_mtu(route: OutputRoute) -> bool:
    """Whether what is sent by a route lets itself be cut, since no path MTU would be learned (`ip_dont_fragment`)."""
    return route.found is not None and route.found.mtu_locked


def _fit(packet: Packet, df: bool | None, mtu: int) -> Packet | None:
    """Set DF as the socket asks for; None where the packet can then not be sent (EMSGSIZE)."""
    if df is True:
        return packet._replace(df=True) if packet.size <= mtu else None
    if df is None:
        return packet._replace(df=packet.size <= mtu or packet.protocol == TCP)
    return packet
