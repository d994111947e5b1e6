"""What each kind of death has behind it: the object that decided, and what would have had to be there instead.

One entry for every `lab.forwarding.Reason`. The facts are those of the model's modules; here they are told of an object and its cure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Final

from lab.explain.explanation import Responsible
from lab.explain.objects import device_of, missing, owner_of, responsible, sysctl
from lab.explain.way_back import way_back
from lab.forwarding import Dropped, Hop, Network, Packet, Reason, Stage, Trace
from lab.forwarding.arp import Resolution
from lab.forwarding.hooks import Filtering
from lab.forwarding.link import Bridging
from lab.forwarding.packet import PROTOCOL_NAMES, UDP, Address, Arp
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.forwarding.rpfilter import ReversePath
from lab.forwarding.why import describe_route
from lab.state import Link, Neighbour, Route, Vxlan
from lab.state.nft import Mangle, NftRule, Payload
from lab.state.provenance import UNKNOWN


@dataclass(frozen=True, slots=True)
class Death:
    """A packet's death, told of the object that decided."""

    text: str
    object: Responsible | None
    needed: str | None = None
    by: Responsible | None = None
    """What decided, where that is not what is to blame."""


_ROUTES: Final = (Reason.BLACKHOLE, Reason.UNREACHABLE, Reason.PROHIBIT)
_RULES: Final = (Reason.RULE_BLACKHOLE, Reason.RULE_UNREACHABLE, Reason.RULE_PROHIBIT)
_FILTERS: Final = (Reason.NETFILTER, Reason.REJECTED, Reason.NAT)
_CABLES: Final = (Reason.LINK_DOWN, Reason.NO_CARRIER)
_MARTIANS: Final = (Reason.LOCAL_SOURCE, Reason.INVALID_SOURCE, Reason.INVALID_DESTINATION, Reason.LOCALNET)


def death_of(network: Network, found: Trace) -> Death:
    """Say what a dropped packet died of."""
    verdict = found.verdict
    assert isinstance(verdict, Dropped)
    here, reason, text = verdict.namespace, verdict.reason, verdict.text or verdict.reason.text
    thing = responsible(network, here, verdict.subject)
    destination = last_destination(found)
    forgotten = _forgotten(network, found)
    if forgotten is not None:
        return forgotten
    if reason is Reason.NO_ROUTE:
        return _no_route(network, here, destination)
    if reason in _ROUTES and isinstance(verdict.subject, Route):
        needed = f"a more specific route to {destination}, or no such route"
        return Death(f"the {verdict.subject.type} route {verdict.subject.destination} takes {destination}", thing, needed)
    if reason in _RULES:
        return Death(
            f"{reason.text} takes {destination}: {thing.text if thing else text}", thing, "a rule of smaller priority that looks on"
        )
    if reason is Reason.RP_FILTER:
        return _reverse_path(network, found, verdict)
    if reason is Reason.NOT_FORWARDING:
        outdated = _outdated_neighbour(network, found, verdict)
        if outdated is not None:
            return outdated
        setting = sysctl(network, here, f"net/ipv4/conf/{verdict.device}/forwarding")
        if not network.state[here].sysctls.get(f"net/ipv4/conf/{verdict.device}/forwarding"):
            setting = sysctl(network, here, "net/ipv4/ip_forward")
        return Death(f"forwarding is off on {verdict.device}, and {destination} is not here", setting, "forwarding 1 on that device")
    if reason is Reason.NOT_FORWARDING_V6:
        setting = sysctl(network, here, "net/ipv6/conf/all/forwarding")
        return Death(f"IPv6 forwarding is off in {here}, and {destination} is not here", setting, "net.ipv6.conf.all.forwarding 1")
    if reason is Reason.TTL:
        return _time_to_live(network, found, verdict)
    if reason in (Reason.TOO_BIG, Reason.TOO_LONG_FOR_PEER, Reason.TOO_LONG_FOR_BRIDGE):
        return _too_long(network, found, verdict, thing)
    if reason in _FILTERS:
        comment = verdict.subject.comment if isinstance(verdict.subject, NftRule) else None
        rule = f'rule "{comment}"' if comment else "a rule"
        back = way_back(network, found, here, verdict.subject)
        if back is not None:
            text = text.replace("a rule of chain", f"{rule} of nft chain")
            return Death(f"{text}: {back[0]}", back[1], "a way back by the device it came in by", thing)
        return Death(text.replace("a rule of chain", f"{rule} of nft chain"), thing, "no such rule, or an accept before it")
    if reason is Reason.NEIGHBOUR:
        return _no_neighbour(network, found, verdict)
    if reason is Reason.IMPAIRED:
        return Death(text, thing, "a link that does not lose what it is to send")
    if reason in _CABLES:
        return _cable(network, verdict, thing)
    if reason is Reason.OTHER_HOST:
        return _other_host(network, found, verdict)
    if reason is Reason.NO_FDB_ENTRY:
        entry = missing(here, "FDB entry", f"on {verdict.device} {text.partition('entry ')[2].partition(' and')[0]}")
        return Death(text, entry, f"an FDB entry of {verdict.device} for that MAC, or one for 00:00:00:00:00:00")
    if reason is Reason.CLOSED_PORT:
        return _closed_port(network, found, verdict)
    if reason is Reason.IGNORED_ECHO:
        return Death(text, sysctl(network, here, "net/ipv4/icmp_echo_ignore_all"), "icmp_echo_ignore_all 0")
    if reason is Reason.NO_PORT and destination is not None:
        return _spared(network, found, owner_of(network, destination)) or Death(text, thing)
    if reason in _MARTIANS and thing is None:
        owner = network.state[here]
        own = next((e for e in owner.addresses if isinstance(found.packet, Packet) and e.interface.ip == found.packet.source), None)
        return Death(text, None if own is None else responsible(network, here, own))
    return Death(text, thing)


def _no_route(network: Network, here: str, destination: Address | None) -> Death:
    link = _downed(network, here, destination)
    if link is not None:
        text = f"no route covers {destination}: {link.name}, on whose subnet it is, is down"
        return Death(text, responsible(network, here, link), f"{link.name} up")
    return Death(f"no route covers {destination}", missing(here, "route", f"to {destination}"), f"a route to {destination}")


def _downed(network: Network, here: str, destination: Address | None) -> Link | None:
    """Return the device that is down on whose subnet an address is.

    The kernel forgets routes through a device that goes down, and nothing else tells of them but the addresses left on it.
    """
    for entry in network.state[here].addresses:
        link = network.state[here].link(entry.device)
        if link is not None and not link.up and destination in entry.interface.network:
            return link
    return None


def _forgotten(network: Network, found: Trace) -> Death | None:
    """Return the death of a packet that was left to a default route, because the device of its own subnet is down."""
    for hop, step in found.steps:
        lookup = step.decision.lookup if isinstance(step.decision, InputRoute | OutputRoute) else None
        if lookup is None or lookup.route is None or lookup.route.destination.prefixlen:
            continue
        link = _downed(network, hop.namespace, lookup.destination)
        if link is not None:
            way = f"{hop.namespace} sends {lookup.destination} by {describe_route(lookup.route)}"
            return Death(
                f"{way}: {link.name}, on whose subnet it is, is down", responsible(network, hop.namespace, link), f"{link.name} up"
            )
    return None


def last_destination(found: Trace) -> Address | None:
    """Return where a packet was bound to when it died: what NAT had made of its destination by then."""
    packet = found.packet
    for _, step in found.steps:
        after = step.after if isinstance(step.after, Packet) else None
        if after is not None and after.tunnel is None:
            packet = after
    return packet.destination if isinstance(packet, Packet) else None


def last_hop(found: Trace, namespace: str) -> Hop | None:
    """Return the last visit of a packet to a namespace."""
    return next((hop for hop in reversed(found.hops) if hop.namespace == namespace), None)


def _reverse_path(network: Network, found: Trace, verdict: Dropped) -> Death:
    """The setting refuses, and it refuses because of the way back; or because the packet should never have come by this device."""
    hop = last_hop(found, verdict.namespace)
    device = verdict.device or ""
    setting = sysctl(network, verdict.namespace, "net/ipv4/conf/all/rp_filter", f"net/ipv4/conf/{device}/rp_filter")
    check = _source_check(hop)
    if check is None:
        return Death(verdict.text or verdict.reason.text, setting)
    sent_back = _sent_back(network, found, verdict.namespace)
    if sent_back is not None:
        text = f"{sent_back.namespace} sent it back to where it had been: {check.sentence}"
        return Death(text, sent_back, "a route that does not send it back", setting)
    if check.because == "no way back":
        way = missing(verdict.namespace, "route", f"to {check.source}")
        return Death(check.sentence, way, f"a route to {check.source}, the source, or rp_filter 0 on {device} and all", setting)
    way_back = responsible(network, verdict.namespace, check.subject)
    route = f": {way_back.text}" if way_back is not None else ""
    needed = f"a way back to {check.source} by {device}, or rp_filter 2 there (of all and {device} the larger counts)"
    if way_back is not None and _by_design(way_back):
        return Death(f"{check.sentence}{route}", setting, needed)
    return Death(f"{check.sentence}{route}", way_back or setting, needed, setting)


def _by_design(way_back: Responsible) -> bool:
    """Whether the software of a cluster sends by another node itself: it reckons with packets that come otherwise, and the check does not.

    A subnet that a device claims for itself is another matter: where that is wrong, the check is right.
    """
    if isinstance(way_back.subject, Route) and way_back.subject.via is None:
        return False
    return bool(way_back.chain) and way_back.chain[0].component not in (UNKNOWN.component, "operator")


def _source_check(hop: Hop | None) -> ReversePath | None:
    for step in reversed(hop.steps if hop is not None else ()):
        if isinstance(step.decision, ReversePath):
            return step.decision
        if isinstance(step.decision, InputRoute) and step.decision.reverse is not None:
            return step.decision.reverse
    return None


def _sent_back(network: Network, found: Trace, namespace: str) -> Responsible | None:
    """Return the route that sent a packet back to a namespace it had been in."""
    visits = [hop for hop in found.hops if network.state[hop.namespace].role != "switch"]
    if len(visits) < 3 or visits[-1].namespace != namespace or namespace not in [hop.namespace for hop in visits[:-1]]:
        return None
    for hop in reversed(visits[:-1]):  # those that carry it inside a tunnel see another destination
        route = _route_taken(hop, last_destination(found))
        if route is not None:
            return responsible(network, hop.namespace, route)
    return None


def _time_to_live(network: Network, found: Trace, verdict: Dropped) -> Death:
    visits = [hop.namespace for hop in found.hops]
    if visits.count(verdict.namespace) < 2:
        wrapped = [step for hop, step in found.steps if hop.namespace == verdict.namespace and step.stage is Stage.ENCAPSULATION]
        if len(wrapped) > 1:
            thing = responsible(network, verdict.namespace, wrapped[-1].decision.subject)
            text = f"it went round inside {verdict.namespace} until its TTL ran out: {wrapped[-1].sentence}"
            return Death(text, thing, "a tunnel end point that is another node")
        changed = _rule_that_set_ttl(network, found)
        if changed is not None:
            return Death(f"its TTL ran out after a rule had set it: {changed.text}", changed, "no such rule")
        ttl = found.packet.ttl if isinstance(found.packet, Packet) else 0
        return Death(f"the TTL of {ttl} it was sent with ran out", None, f"a TTL larger than {ttl}")
    thing = _sent_back(network, found, verdict.namespace)
    ring = list(dict.fromkeys(name for name in visits if visits.count(name) > 1))
    return Death(f"it went round between {', '.join(ring)} until its TTL ran out", thing, "a route that does not send it back")


def _rule_that_set_ttl(network: Network, found: Trace) -> Responsible | None:
    for hop, step in reversed(found.steps):
        for met in reversed(step.decision.run.met if isinstance(step.decision, Filtering) else ()):
            if met.failed is None and any(_sets_ttl(statement) for statement in met.rule.statements):
                return responsible(network, hop.namespace, met.rule)
    return None


def _sets_ttl(statement: object) -> bool:
    return isinstance(statement, Mangle) and isinstance(statement.key, Payload) and statement.key.field in ("ttl", "hoplimit")


def _too_long(network: Network, found: Trace, verdict: Dropped, thing: Responsible | None) -> Death:
    size = found.packet.size if isinstance(found.packet, Packet) else 0
    hop = last_hop(found, verdict.namespace)
    route = _route_taken(hop)
    if route is not None and route.mtu is not None:
        thing = responsible(network, verdict.namespace, route)
    if isinstance(verdict.subject, Link) and verdict.reason is Reason.TOO_LONG_FOR_PEER:
        peer = network.peer(network.node(verdict.namespace).links[verdict.device or ""])
        if peer is not None:
            thing = responsible(network, peer[0].name, verdict.subject)
    return Death(verdict.text or verdict.reason.text, thing, f"an MTU of {size}, or a packet that may be fragmented")


def _gateways(network: Network, here: str, route: Route) -> set[Address]:
    return {hop.via for hop in network.state[here].ways(route) if hop.via is not None}


def _route_taken(hop: Hop | None, destination: Address | None = None) -> Route | None:
    """Return the route by which a packet, or just one that is bound for `destination`, left a namespace."""
    for step in reversed(hop.steps if hop is not None else ()):
        decision = step.decision
        if isinstance(decision, InputRoute | OutputRoute) and isinstance(decision.subject, Route):
            lookup = decision.lookup
            if destination is None or (lookup is not None and lookup.destination == destination):
                return decision.subject
    return None


def _no_neighbour(network: Network, found: Trace, verdict: Dropped) -> Death:
    """Why nobody answered: nobody has the address, or the one who has it did not get the question, or kept silent."""
    here, device = verdict.namespace, verdict.device or ""
    hop = last_hop(found, here)
    resolution = next((step.decision for step in reversed(hop.steps) if isinstance(step.decision, Resolution)), None) if hop else None
    if resolution is None:
        return Death(verdict.text or verdict.reason.text, responsible(network, here, verdict.subject))
    address = resolution.address
    route = _route_taken(hop)
    owner = owner_of(network, address)
    question = _that_failed(found, resolution)
    asked = question.verdict if question is not None else None
    said = f"nobody answers for {address} on {device}"
    if owner is None:
        proxy = _no_proxy(network, resolution)
        if proxy is not None:
            return Death(f"{said}: {proxy.text}", proxy.object, proxy.needed)
        if route is not None and address in _gateways(network, here, route):
            return Death(
                f"{said}: no namespace has that address, the next hop of {describe_route(route)}",
                responsible(network, here, route),
                f"a next hop that is there, or {address} on the link of {device}",
            )
        nobody = missing(here, "neighbour", f"{address} on {device}")
        return Death(f"{said}: no namespace has that address", nobody, f"{address} on that link")
    spared = _spared(network, resolution.asked, owner) if resolution.asked is not None else None
    if spared is not None:
        return Death(f"{said}: {owner} has it, and {spared.text}", spared.object, spared.needed)
    if isinstance(asked, Dropped):
        if asked.namespace == owner and asked.reason is Reason.ARP_REFUSED:
            setting = sysctl(network, owner, "net/ipv4/conf/all/rp_filter", f"net/ipv4/conf/{asked.device}/rp_filter")
            way_back = responsible(network, owner, asked.subject)
            route_back = f": {way_back.text}" if way_back is not None else ""
            text = f"{said}: {owner} has it, and {asked.text}{route_back}"
            if way_back is None and isinstance(asker := _asker(resolution), IPv4Address):
                nowhere = missing(owner, "route", f"to {asker}")
                return Death(text, nowhere, f"a route to {asker}, or rp_filter 0 on {asked.device} and all", setting)
            return Death(text, way_back or setting, f"a way back by {asked.device}, or rp_filter 2 there", setting)
        if asked.namespace == owner and asked.reason in (Reason.ARP_IGNORED, Reason.ARP_FILTERED):
            name = "arp_ignore" if asked.reason is Reason.ARP_IGNORED else "arp_filter"
            setting = sysctl(network, owner, f"net/ipv4/conf/all/{name}", f"net/ipv4/conf/{asked.device}/{name}")
            return Death(f"{said}: {owner} has it and keeps silent: {asked.text}", setting, f"{name} 0 there")
        forgotten = _forgotten(network, question) if question is not None else None
        if forgotten is not None:
            return Death(f"{said}: {owner} has it, and {forgotten.text}", forgotten.object, forgotten.needed)
        if asked.reason in _FILTERS:
            rule = responsible(network, asked.namespace, asked.subject)
            what = "answer" if resolution.asked is not None and resolution.asked.purpose == "arp reply" else "question"
            text = f"{said}: {owner} has it, and {asked.namespace} drops the {what}: {asked.text}"
            return Death(text, rule, "no such rule, or an accept before it")
        if asked.reason is Reason.IMPAIRED:
            link = responsible(network, asked.namespace, asked.subject)
            return Death(f"{said}: {owner} has it, and {asked.namespace}:{asked.text}", link, "a link that does not lose the question")
        if asked.reason in (*_CABLES, Reason.NO_FDB_ENTRY):
            inner = _cable(network, asked, responsible(network, asked.namespace, asked.subject)) if asked.reason in _CABLES else None
            if inner is not None:
                return Death(f"{said}: {inner.text}", inner.object, inner.needed)
            stated = any(entry.device == device and entry.state == "permanent" for entry in network.state[here].neighbours)
            if stated and here == asked.namespace:  # a device whose neighbours are stated, not asked for
                nobody = missing(here, "neighbour", f"{address} on {device}")
                return Death(f"{said}: there is no neighbour entry, and {asked.text}", nobody, "a neighbour entry")
            nowhere = missing(asked.namespace, "FDB entry", f"on {asked.device} that the question would follow")
            return Death(f"{said}: {asked.text}", nowhere, f"an FDB entry of {asked.device} for 00:00:00:00:00:00")
    elsewhere = isinstance(asked, Dropped) and asked.namespace == here
    if route is not None and not _gateways(network, here, route) and elsewhere:  # nowhere to go: the owner is on no link of that device
        text = f"{said}, where {describe_route(route)} takes it to be; {owner} has it elsewhere, on {device_of(network, owner, address)}"
        return Death(text, responsible(network, here, route), f"no such route for {address}")
    if isinstance(asked, Dropped) and asked.reason not in (Reason.ARP_NOT_MINE, Reason.ARP_NO_ROUTE) and question is not None:
        inner = death_of(network, question)
        where = f"{asked.namespace}:{asked.device}" if asked.device else asked.namespace
        text = f"{said}: {owner} has it, and the {question.purpose.replace('arp', 'ARP')} ends at {where}: {inner.text}"
        return Death(text, inner.object, inner.needed, inner.by)
    thing = responsible(network, here, route) if route is not None and address in _gateways(network, here, route) else None
    theirs = device_of(network, owner, address)
    down = network.state[owner].link(theirs) if theirs is not None else None
    if down is not None and not down.up:
        return Death(f"{said}: {owner} has it on {theirs}, which is down", responsible(network, owner, down), f"{owner}:{theirs} up")
    if thing is None and theirs is not None:
        thing = missing(here, "neighbour", f"{address} on {device}")
    why = f": {asked}" if asked is not None and not isinstance(asked, Dropped) else f": {asked.text or asked.reason.text}" if asked else ""
    return Death(f"{said}; {owner} has it on {theirs}{why}", thing, f"{address} reachable by {device}")


def _spared(network: Network, found: Trace, owner: str | None) -> Death | None:
    """Return the port of a bridge that kept a frame from the one it was for: an isolated one, or one that takes no flooded frames."""
    for hop, step in reversed(found.steps):
        for port, why in step.decision.spared if isinstance(step.decision, Bridging) else ():
            peer = network.peer(port)
            if peer is not None and peer[0].name == owner:
                needed = f"port {port.name} of {hop.namespace} without that setting"
                return Death(f"{hop.namespace} keeps it from {owner}: {why}", responsible(network, hop.namespace, port), needed)
    return None


def _that_failed(found: Trace, resolution: Resolution) -> Trace | None:
    """Return the question for a neighbour that did not come to its owner, or else the answer that did not come back."""
    asked = resolution.asked
    if asked is None or not asked.delivered or not isinstance(asked.packet, Arp):
        return asked
    ends = (asked.packet.target, asked.packet.sender)
    answers = [
        t
        for t in found.resolutions
        if t.purpose == "arp reply" and isinstance(t.packet, Arp) and ends == (t.packet.sender, t.packet.target)
    ]
    lost = [(answer, end) for answer in answers for end in (answer.verdict, *answer.others) if isinstance(end, Dropped)]
    return replace(lost[-1][0], verdict=lost[-1][1]) if lost else asked


def _asker(resolution: Resolution) -> Address | None:
    """Return who asked for a neighbour, by the address in the question."""
    question = resolution.asked.packet if resolution.asked is not None else None
    return question.sender if isinstance(question, Arp) else None


def _no_proxy(network: Network, resolution: Resolution) -> Death | None:
    """Say what keeps a node from answering for an address of nobody, as nodes do for the gateway of their pods (proxy_arp).

    Such a gateway is link-local: whatever device the question comes to, no route leads there but the default one.
    """
    asked = resolution.asked.verdict if resolution.asked is not None else None
    if not resolution.address.is_link_local or not isinstance(asked, Dropped) or asked.device is None:
        return None
    where = f"{asked.namespace}:{asked.device}"
    for name in ("proxy_arp", "forwarding"):
        path = f"net/ipv4/conf/{asked.device}/{name}"
        if network.state[asked.namespace].sysctl(path) == "0":
            text = f"nobody has that address, and {where} does not answer for it: {asked.text}"
            return Death(text, sysctl(network, asked.namespace, path), f"{name} 1 on {where}")
    return None


def _cable(network: Network, verdict: Dropped, thing: Responsible | None) -> Death:
    if verdict.reason is Reason.NO_CARRIER and isinstance(verdict.subject, Link):
        own = network.node(verdict.namespace).links.get(verdict.device or "")
        peer = network.peer(own) if own is not None else None
        if peer is not None:
            return Death(verdict.text, responsible(network, peer[0].name, peer[1]), f"{peer[0].name}:{peer[1].name} up")
    if thing is None:
        thing = missing(verdict.namespace, "link", verdict.device or "")
    return Death(verdict.text or verdict.reason.text, thing, f"{verdict.namespace}:{verdict.device} up")


def _other_host(network: Network, found: Trace, verdict: Dropped) -> Death:
    """The frame bears another MAC than the device's: it was flooded, or has it from a neighbour entry of whoever sent it."""
    destination = last_destination(found)
    spared = _spared(network, found, owner_of(network, destination)) if destination is not None else None
    if spared is not None:
        return spared
    outdated = _outdated_neighbour(network, found, verdict)
    if outdated is not None:
        return outdated
    for hop, step in reversed(found.steps):
        decision = step.decision
        if isinstance(decision, Resolution) and isinstance(decision.known, Neighbour):
            text = f"{hop.namespace} sent it to the MAC its neighbour entry states; {verdict.text}"
            link = network.state[verdict.namespace].link(verdict.device or "")
            needed = f"lladdr {link.mac} for {decision.address}" if link is not None and link.mac else "the right MAC there"
            return Death(text, responsible(network, hop.namespace, decision.known), needed)
    return Death(verdict.text or verdict.reason.text, responsible(network, verdict.namespace, verdict.subject))


def _outdated_neighbour(network: Network, found: Trace, verdict: Dropped) -> Death | None:
    """Return the learned neighbour entry that a packet followed to a MAC address, while somebody else has the address by now."""
    for hop, step in reversed(found.steps):
        decision = step.decision
        if not isinstance(decision, Resolution) or not isinstance(decision.known, Neighbour) or decision.known.state == "permanent":
            continue
        entry = decision.known
        for namespace in network.state:
            for address in namespace.addresses:
                link = namespace.link(address.device)
                if address.interface.ip != entry.address or link is None or not link.up or link.mac in (None, entry.mac):
                    continue
                text = f"{hop.namespace} learned that {entry.address} is at {entry.mac}, and {namespace.name} has it now, at {link.mac}"
                what = "a gratuitous ARP" if entry.address.version == 4 else "an unsolicited neighbour advertisement"
                return Death(
                    f"{text}; {verdict.text or verdict.reason.text}",
                    responsible(network, hop.namespace, entry),
                    f"{what} of {namespace.name}, or no entry for {entry.address} on {hop.namespace}:{entry.device}",
                )
    return None


def _closed_port(network: Network, found: Trace, verdict: Dropped) -> Death:
    packets = [found.packet, *(step.after for _, step in found.steps)]
    own = [packet for packet in packets if isinstance(packet, Packet) and packet.tunnel is None]
    packet = own[-1] if own else next(packet for packet in reversed(packets) if isinstance(packet, Packet))
    for link in network.state[verdict.namespace].links:
        if isinstance(link.kind, Vxlan) and link.kind.port == packet.destination_port and packet.protocol == UDP and not link.up:
            text = f"{link.name}, which takes VXLAN on udp/{link.kind.port}, is down"
            return Death(text, responsible(network, verdict.namespace, link), f"{link.name} up")
    port = f"{PROTOCOL_NAMES.get(packet.protocol, packet.protocol)}/{packet.destination_port}"
    nobody = missing(verdict.namespace, "listener", f"on {port}")
    return Death(f"nothing listens on {port}", nobody, f"a program in {verdict.namespace} that listens on {port}")
