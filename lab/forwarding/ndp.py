"""Neighbour discovery: a solicitation that has to get there, be answered, and the advertisement has to come back (RFC 4861).

After `ndisc_solicit`, `ndisc_recv_ns`, `ndisc_recv_na` in net/ipv6/ndisc.c. Both messages are IPv6 packets: every hook sees them, so a rule
set that drops ICMPv6 drops them too. What ARP asks routing for, here the address of the device decides alone.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from lab.forwarding.addresses6 import has_address6, link_local_of, select_address6, solicited_node
from lab.forwarding.arp import Resolution, without_arp
from lab.forwarding.causes import Reason
from lab.forwarding.fib import Exit
from lab.forwarding.hooks import pass_hook
from lab.forwarding.journey import Advertising, Journey, Transmit, Visit
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.network import Node
from lab.forwarding.output import pass_output
from lab.forwarding.packet import ADVERTISEMENT, ICMPV6, IPV6_HEADER, SOLICITATION, Frame, Icmp, Packet
from lab.forwarding.results import Delivered, Plain, Stage, Trace, Unknown
from lab.forwarding.unknown import Undecided
from lab.state import Tun

_SIZE = IPV6_HEADER + 32
"""Bytes of either message with its link-layer address option."""
_HOP_LIMIT = 255
"""Nobody beyond the link can have sent it (RFC 4861, section 7.1)."""


def resolve6(journey: Journey, node: Node, device: str, address: IPv6Address, packet: Packet) -> Resolution:
    """Find the MAC of a next hop: a stated entry, a learned one, or by asking. Raises Undecided where the answer is."""
    link = node.links[device]
    if isinstance(link.kind, Tun):
        raise Undecided(f"what the process behind {device} does is not modelled", link)
    stated = node.neighbours6.get((device, address))
    if stated is not None:
        return Resolution(address, device, stated.mac.lower() if stated.mac else None, stated)
    if not link.arp:
        return without_arp(node, device, address)
    key = (node.name, device, address)
    learned = journey.world.memory.neighbours6.get(key)
    if learned:
        return Resolution(address, device, learned, learned=True)
    own = (
        packet.source
        if isinstance(packet.source, IPv6Address) and has_address6(node, device, packet.source)
        else link_local_of(node, device)
    )
    if own is None:
        return Resolution(address, device, None, silent=f"{device} has no link-local address to ask with")
    group, mac = solicited_node(address)
    message = Packet(own, group, ICMPV6, ttl=_HOP_LIMIT, size=_SIZE, icmp=Icmp(SOLICITATION, target=address, version=6))
    journey.world.memory.neighbours6[key] = ""
    trace = _ask(journey, node, device, message, mac)
    found = journey.world.memory.neighbours6[key] or None
    if found is None and isinstance(trace.verdict, Unknown):
        raise Undecided(f"whether {address} answers a solicitation is not known: {trace.verdict.why}", trace.verdict.subject)
    if found is None:
        journey.world.demand_unknown_neighbour(address)
    return Resolution(address, device, found, asked=trace)


def _ask(journey: Journey, node: Node, device: str, message: Packet, mac: str) -> Trace:
    """Send a solicitation; carry the advertisements home; return the trace that tells why there was none, or how it went."""
    asking = journey.inside()
    _emit(asking, asking.visit(node), Advertising(node.name, device, message, mac))
    asking.run()
    trace = asking.trace("solicitation", message, node.name)
    journey.resolutions.extend((*asking.resolutions, trace))
    told = trace
    for answer in asking.advertisements:
        answering = journey.inside()
        _emit(answering, answering.visit(journey.world.network.node(answer.namespace)), answer)
        answering.run()
        answered = answering.trace("advertisement", answer.packet, answer.namespace)
        journey.resolutions.extend((*answering.resolutions, answered))
        if not answered.delivered:
            told = answered
    return told


def _emit(journey: Journey, visit: Visit, message: Advertising) -> None:
    """Send a message of one's own out of a device: output and postrouting see it (`ndisc_send_skb`).

    Rules that have its way looked up anew may send it elsewhere. A router that gets it sends it on with a lower hop limit, and nobody
    listens to such a message (RFC 4861, 7.1); one for a group is looked up for its device, and keeps it.
    """
    t = Transit(journey.world, visit.node, message.packet, made_here=True)
    destination = message.packet.destination
    assert isinstance(destination, IPv6Address)
    if destination.is_multicast:
        if not pass_hook(journey, visit, t, "output", iif=None, oif=message.device, was_local=False, arrived_by=None):
            return
    else:
        t.bound_device = message.device if destination.is_link_local else None
        passed = pass_output(journey, visit, t, Exit(message.device, None), visit.node.links[message.device].mtu)
        if passed is None:
            return
        way = passed[0]
        if way.device != message.device or (way.via not in (None, destination) and _mac_of(journey, visit.node, way, t) != message.mac):
            text = f"rules send it another way, by {way.device}{f' via {way.via}' if way.via else ''}, where nobody listens to it"
            journey.drop(visit, Stage.REROUTING, way.device, Reason.NETFILTER, None, text)
            return
    if not pass_hook(journey, visit, t, "postrouting", iif=None, oif=message.device, was_local=False, arrived_by=None):
        return
    journey.add(Transmit(visit, message.device, Frame(visit.node.mac(message.device), message.mac, t.packet), t.packet.mark))


def _mac_of(journey: Journey, node: Node, way: Exit, t: Transit) -> str | None:
    """Return the MAC of a gateway: it may be the asker itself. None where it is asked for already, and does not answer."""
    assert isinstance(way.via, IPv6Address)
    if journey.world.memory.neighbours6.get((node.name, way.device, way.via)) == "":
        return None
    return resolve6(journey, node, way.device, way.via, t.packet).mac


def receive_multicast(journey: Journey, visit: Visit, device: str, t: Transit, sender: str) -> None:
    """Take a packet to a multicast address that came in by `device` from the MAC `sender`: only solicitations are modelled."""
    node, packet = visit.node, t.packet
    icmp = packet.icmp
    if icmp is None or icmp.type != SOLICITATION or icmp.target is None:
        raise Undecided("multicast is not modelled")
    if node.fib6.local_type(int(icmp.target)) == "anycast":
        raise Undecided(f"who answers for {icmp.target}, an anycast address, is not modelled")
    group = packet.destination
    listens = any(solicited_node(interface.ip)[0] == group for interface in node.addresses6.get(device, ()))
    if node.settings6_of(device).disabled or not (listens or (device, int(icmp.target)) in node.proxied):
        journey.drop(visit, Stage.ARP, device, Reason.ARP_NOT_MINE, text=f"nobody listens to {group} on {device}")
        return
    for hook, local in (("prerouting", False), ("input", True)):
        if not pass_hook(journey, visit, t, hook, iif=device, oif=None, was_local=local, arrived_by=device):  # type: ignore[arg-type]
            return
    own = has_address6(node, device, icmp.target)
    settings = node.settings6_of(device)
    if not own and not (settings.forwarding and settings.proxy_ndp and (device, int(icmp.target)) in node.proxied):
        journey.drop(visit, Stage.ARP, device, Reason.ARP_NOT_MINE, text=f"{icmp.target} is no address of {device}")
        return
    asker = packet.source
    assert isinstance(asker, IPv6Address)
    journey.world.memory.neighbours6[node.name, device, asker] = sender
    source = icmp.target if own else select_address6(node, device, asker)
    visit.note(Stage.ARP, Plain(f"{icmp.target} is {'an address' if own else 'proxied'} here: answered"), device)
    answer = Packet(
        source or icmp.target, asker, ICMPV6, ttl=_HOP_LIMIT, size=_SIZE, icmp=Icmp(ADVERTISEMENT, target=icmp.target, version=6)
    )
    stated = node.neighbours6.get((device, asker))
    # The answer is sent like any packet: a stated entry for the asker counts, whatever MAC it asked from.
    journey.advertisements.append(Advertising(node.name, device, answer, stated.mac.lower() if stated and stated.mac else sender))
    journey.end(visit, Delivered(node.name, None, packet))


def hear_advertisement(journey: Journey, visit: Visit, device: str, packet: Packet, sender: str) -> None:
    """Learn from an advertisement: an entry that waits is complete."""
    icmp = packet.icmp
    assert icmp is not None
    assert icmp.target is not None
    key = (visit.node.name, device, icmp.target)
    if journey.world.memory.neighbours6.get(key) == "":
        journey.world.memory.neighbours6[key] = sender
    visit.note(Stage.ARP, Plain(f"{icmp.target} is at {sender}"), device)
    journey.end(visit, Delivered(visit.node.name, None, packet))
