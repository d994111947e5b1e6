"""Neighbour resolution: an ARP request that has to get there, be answered, and the answer has to come back.

After `arp_solicit`, `arp_process`, `arp_ignore`, `arp_filter`, `arp_fwd_proxy` in net/ipv4/arp.c. A request is routed like a
packet from the asker to the address asked for, so a strict source check refuses it: the asker's entry stays incomplete and
no counter moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.forwarding.addresses import HOST_SCOPE, LINK_SCOPE, confirmed, on_link, select_address
from lab.forwarding.causes import Reason
from lab.forwarding.fib import Query
from lab.forwarding.frames import pass_chains
from lab.forwarding.journey import ANY, Journey, Transmit, Visit
from lab.forwarding.netfilter.transit import LinkType
from lab.forwarding.network import Node
from lab.forwarding.packet import BROADCAST_MAC, ZERO_MAC, Address, Arp, Frame, Packet
from lab.forwarding.results import Delivered, Detail, Dropped, Plain, Stage, Trace, Unknown
from lab.forwarding.routing import route_input
from lab.forwarding.unknown import Undecided
from lab.forwarding.world import World
from lab.state import Tun

NOT_ANSWERED = Reason.NEIGHBOUR


@dataclass(frozen=True, slots=True)
class Resolution:
    """How the MAC of the next hop was found, or why it was not."""

    address: Address
    device: str
    mac: str | None
    known: object | None = None
    """The stated neighbour entry, where there is one."""
    learned: bool = False
    """Known from earlier packets."""
    asked: Trace | None = field(default=None, repr=False)
    silent: str = ""
    """Why nobody was asked."""

    @property
    def sentence(self) -> str:
        """What was decided."""
        if self.silent and self.mac is not None:
            return f"{self.address} is taken to be at {self.mac}, the address of {self.device} itself: {self.silent}"
        if self.silent:
            return f"{self.address} is asked for by nobody: {self.silent}"
        if self.mac is None:
            why = f": {self.asked.verdict}" if self.asked is not None else ""
            return f"{self.address} does not answer on {self.device}{why}; after 3 probes, about 3 s, the entry is failed"
        asked = "ARP" if self.address.version == 4 else "neighbour discovery"
        how = "stated" if self.known is not None else "known already" if self.learned else f"asked for by {asked}"
        return f"{self.address} is at {self.mac} on {self.device} ({how})"

    @property
    def subject(self) -> object | None:
        """The neighbour entry, or what killed the request."""
        if self.known is not None or self.asked is None or self.mac is not None:
            return self.known
        verdict = self.asked.verdict
        return verdict.subject if isinstance(verdict, Dropped | Unknown) else None

    @property
    def details(self) -> tuple[Detail, ...]:
        """The way of the request."""
        if self.asked is None:
            return ()
        return tuple(Detail(f"{hop.namespace}: {step.sentence}", step.decision.subject) for hop, step in self.asked.steps)


def resolve(journey: Journey, node: Node, device: str, address: Address, packet: Packet) -> Resolution:
    """Find the MAC of a next hop: a stated entry, a learned one, or by asking. Raises Undecided where the answer is."""
    link = node.links[device]
    if address.version == 6:
        raise Undecided("an IPv4 packet to a next hop of IPv6 is not modelled")
    if isinstance(link.kind, Tun):
        raise Undecided(f"what the process behind {device} does is not modelled", link)
    stated = node.neighbours.get((device, int(address)))
    if stated is not None:
        return Resolution(address, device, stated.mac.lower() if stated.mac else None, stated)
    if not link.arp:
        return without_arp(node, device, address)
    key = (node.name, device, int(address))
    learned = journey.world.memory.neighbours.get(key)
    if learned:
        return Resolution(address, device, learned, learned=True)
    request = Arp("request", node.mac(device), source_of_request(node, device, address, packet.source), ZERO_MAC, address)
    journey.world.memory.neighbours[key] = ""
    trace = _ask(journey, node, device, request)
    mac = journey.world.memory.neighbours[key] or None
    if mac is None and isinstance(trace.verdict, Unknown):
        raise Undecided(f"whether {address} answers an ARP request is not known: {trace.verdict.why}", trace.verdict.subject)
    if mac is None:
        journey.world.demand_unknown_neighbour(address)
    return Resolution(address, device, mac, asked=trace)


def without_arp(node: Node, device: str, address: Address) -> Resolution:
    """Return what a device without ARP takes for the MAC of a neighbour: its own (`arp_constructor`, `ndisc_constructor`)."""
    return Resolution(address, device, node.mac(device), silent=f"ARP is off on {device}")


def _ask(journey: Journey, node: Node, device: str, request: Arp) -> Trace:
    """Send a request; carry the answers home; return the trace that tells why there was none, or how it went."""
    asking = journey.inside()
    visit = asking.visit(node)
    _send(asking, visit, device, Frame(node.mac(device), BROADCAST_MAC, request))
    asking.run()
    trace = asking.trace("arp request", request, node.name)
    journey.resolutions.extend((*asking.resolutions, trace))
    told = trace
    through_tunnel = any(step.stage == Stage.ENCAPSULATION for hop in trace.hops for step in hop.steps)
    if through_tunnel and len({reply.sender_mac for _, _, reply in asking.arp_replies}) > 1:
        raise Undecided(f"which of those who answer for {request.target} through a tunnel is heard first is not modelled")
    for name, answering_device, reply in asking.arp_replies:
        answering = journey.inside()
        back = answering.visit(journey.world.network.node(name))
        _send(answering, back, answering_device, Frame(reply.sender_mac, reply.target_mac, reply))
        answering.run()
        reply_trace = answering.trace("arp reply", reply, name)
        journey.resolutions.extend((*answering.resolutions, reply_trace))
        if not reply_trace.delivered:
            told = reply_trace
    return told


def _send(journey: Journey, visit: Visit, device: str, frame: Frame) -> None:
    """Send an ARP message, if the rules of family arp let it out (`arp_xmit`)."""
    chains = visit.node.ruleset.arp
    if not chains or pass_chains(journey, visit, chains["output"], "output", frame, 0, oif=device) is not None:
        journey.add(Transmit(visit, device, frame))


def source_of_request(node: Node, device: str, target: Address, source: Address) -> Address:
    """Return the sender address of a request, as `arp_announce` allows (`arp_solicit`)."""
    announce = node.settings_of(device).arp_announce
    own = node.fib.local_type(int(source)) == "local"
    if own and announce == 0:
        return source
    if own and announce == 1 and on_link(node, device, int(target), int(source)):
        return source
    return select_address(node, device, int(target), LINK_SCOPE) or ANY


def receive_arp(journey: Journey, visit: Visit, device: str, arp: Arp, link_type: LinkType, mark: int = 0) -> None:
    """Take an ARP message: learn from an answer, answer a request or not.

    One that came out of a tunnel bears the mark of the outer packet, and its source check may look at that.
    """
    node, world = visit.node, journey.world
    if link_type == "other":
        journey.drop(visit, Stage.ARP, device, Reason.OTHER_HOST)
        return
    chains = node.ruleset.arp
    if chains:
        frame = Frame(arp.sender_mac, node.mac(device), arp)
        if pass_chains(journey, visit, chains["input"], "input", frame, mark, iif=device, link_type=link_type) is None:
            return
    if not node.links[device].arp:
        journey.drop(visit, Stage.ARP, device, Reason.ARP_OFF, node.links[device], f"ARP is off on {device}: nobody is answered")
        return
    if arp.operation == "reply":
        _hear(world, node, device, arp)
        visit.note(Stage.ARP, Plain(f"{arp.sender} is at {arp.sender_mac}"), device)
        journey.end(visit, Delivered(node.name, None, arp))
        return
    refused, text, subject = _judge(world, node, device, arp, mark)
    visit.note(Stage.ARP, Plain(text, subject), device)
    if refused is not None:
        if refused not in (Reason.ARP_IGNORED, Reason.ARP_FILTERED):
            _hear(world, node, device, arp)
        journey.drop(visit, Stage.ARP, device, refused, subject, text)
        return
    if int(arp.sender):
        world.memory.neighbours[node.name, device, int(arp.sender)] = arp.sender_mac
    reply = Arp("reply", node.mac(device), arp.target, arp.sender_mac, arp.sender)
    journey.arp_replies.append((node.name, device, reply))
    journey.end(visit, Delivered(node.name, None, arp))


def _hear(world: World, node: Node, device: str, arp: Arp) -> None:
    """An entry that is there learns from any message of its address, but none is made because of one."""
    key = (node.name, device, int(arp.sender))
    if world.memory.neighbours.get(key) == "":
        world.memory.neighbours[key] = arp.sender_mac


def _judge(world: World, node: Node, device: str, arp: Arp, mark: int) -> tuple[Reason | None, str, object | None]:
    """Decide whether a request is answered: reason for silence or None, a sentence, the object that decided."""
    settings = node.settings_of(device)
    target, sender = int(arp.target), int(arp.sender)
    if not sender:
        own = node.fib.local_type(target) == "local" and not _ignores(node, device, arp)
        reason = None if own else Reason.ARP_NOT_MINE
        return (
            reason,
            "an asker without address is answered" if own else "an asker without address is answered for own addresses only",
            None,
        )
    if not settings.proxy_arp and (device, target) not in node.proxied and not node.fib.custom_local_routes and not node.is_local(target):
        # Most who hear a request: whatever routing says, they have nothing to answer.
        return Reason.ARP_NOT_MINE, f"{arp.target} is not here, and proxy_arp is off on {device}", None
    route = route_input(world, node, Packet(arp.sender, arp.target, 0, mark=mark), device, arp=True)
    if route.kind == "local":
        if _ignores(node, device, arp):
            return Reason.ARP_IGNORED, f"arp_ignore {settings.arp_ignore} keeps silent about {arp.target}", None
        if settings.arp_filter and not _would_answer_by(node, device, sender, target):
            return Reason.ARP_FILTERED, f"arp_filter: the way to {arp.sender} does not lead out by {device}", None
        return None, f"{arp.target} is an address of this namespace: answered", route.subject
    if route.kind == "refused":
        if route.reverse is not None and route.reverse.refused is not None:
            return Reason.ARP_REFUSED, f"the request of {arp.sender} is refused: {route.reverse.sentence}", route.reverse.subject
        return Reason.ARP_NOT_MINE, f"{arp.target} is not here", route.subject
    if route.kind != "forward" or route.exit is None:
        return Reason.ARP_NO_ROUTE, f"{arp.target} leads nowhere from here ({route.sentence})", route.subject
    if not settings.forwarding:
        return Reason.ARP_NOT_MINE, f"{arp.target} is not here, and forwarding is off on {device}", route.subject
    if route.exit.device == device:
        return Reason.ARP_NOT_MINE, f"{arp.target} is on the side the request came from", route.subject
    if settings.proxy_arp or (device, target) in node.proxied:
        return None, f"proxy ARP: {arp.target} leads out by {route.exit.device}: answered", route.subject
    return Reason.ARP_NOT_MINE, f"{arp.target} is not here, and proxy_arp is off on {device}", route.subject


def _ignores(node: Node, device: str, arp: Arp) -> bool:
    """Whether `arp_ignore` keeps silent."""
    target, sender = int(arp.target), int(arp.sender)
    match node.settings_of(device).arp_ignore:
        case 1:
            return not confirmed(node, device, 0, target, HOST_SCOPE)
        case 2:
            return not confirmed(node, device, sender, target, HOST_SCOPE)
        case 3:
            return not confirmed(node, None, 0, target, LINK_SCOPE)
        case 8:
            return True
        case _:
            return False


def _would_answer_by(node: Node, device: str, sender: int, target: int) -> bool:
    answer = node.fib.lookup(Query(sender, target))
    return answer.found and answer.exits[0].device == device
