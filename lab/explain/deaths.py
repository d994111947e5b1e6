"""What each kind of death has behind it: the object that decided, and what would have had to be there instead.

One entry for every `lab.forwarding.Reason` but that of neighbours who do not answer. The facts are those of the model's modules; here they
are told of an object and its cure.
"""

from __future__ import annotations

from typing import Final

from lab.explain.death import CABLES, FILTERS, Death, last_destination, last_hop, route_taken, spared
from lab.explain.down import cable, downed, gone_with
from lab.explain.explanation import Responsible
from lab.explain.objects import missing, owner_of, responsible, sysctl
from lab.explain.way_back import way_back
from lab.forwarding import Dropped, Hop, Network, Packet, Reason, Stage, Trace
from lab.forwarding.arp import Resolution
from lab.forwarding.hooks import Filtering
from lab.forwarding.packet import PROTOCOL_NAMES, UDP, Address
from lab.forwarding.routing import InputRoute
from lab.forwarding.rpfilter import ReversePath
from lab.forwarding.tunnel import Decapsulation, Encapsulation
from lab.state import Link, Neighbour, Route, Vxlan
from lab.state.nft import Mangle, NftRule, Payload
from lab.state.provenance import UNKNOWN

_ROUTES: Final = (Reason.BLACKHOLE, Reason.UNREACHABLE, Reason.PROHIBIT)
_RULES: Final = (Reason.RULE_BLACKHOLE, Reason.RULE_UNREACHABLE, Reason.RULE_PROHIBIT)
_MARTIANS: Final = (Reason.LOCAL_SOURCE, Reason.INVALID_SOURCE, Reason.INVALID_DESTINATION, Reason.LOCALNET)


def death_at_its_place(network: Network, found: Trace) -> Death:
    """Say what a dropped packet died of, where it is no neighbour that nobody answers for (`lab.explain.neighbours`)."""
    verdict = found.verdict
    assert isinstance(verdict, Dropped)
    here, reason, text = verdict.namespace, verdict.reason, verdict.text or verdict.reason.text
    thing = responsible(network, here, verdict.subject)
    destination = last_destination(found)
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
    if reason in FILTERS:
        comment = verdict.subject.comment if isinstance(verdict.subject, NftRule) else None
        rule = f'rule "{comment}"' if comment else "a rule"
        back = way_back(network, found, here, verdict.subject)
        if back is not None:
            text = text.replace("a rule of chain", f"{rule} of nft chain")
            return Death(f"{text}: {back[0]}", back[1], "a way back by the device it came in by", thing)
        return Death(text.replace("a rule of chain", f"{rule} of nft chain"), thing, "no such rule, or an accept before it")
    if reason is Reason.IMPAIRED:
        return Death(text, thing, "a link that does not lose what it is to send")
    if reason in CABLES:
        return cable(network, verdict, thing)
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
        return spared(network, found, owner_of(network, destination)) or Death(text, thing)
    if reason in _MARTIANS and thing is None:
        owner = network.state[here]
        own = next((e for e in owner.addresses if isinstance(found.packet, Packet) and e.interface.ip == found.packet.source), None)
        return Death(text, None if own is None else responsible(network, here, own))
    return Death(text, thing)


def _no_route(network: Network, here: str, destination: Address | None) -> Death:
    link = downed(network, here, destination)
    if link is not None:
        text = f"no route covers {destination}: {link.name}, on whose subnet it is, is down"
        return Death(text, responsible(network, here, link), f"{link.name} up")
    text = f"no route covers {destination}{gone_with(network, here)}"
    return Death(text, missing(here, "route", f"to {destination}"), f"a route to {destination}")


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
        route = route_taken(hop, last_destination(found))
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
    route = route_taken(hop)
    if route is not None and route.mtu is not None:
        thing = responsible(network, verdict.namespace, route)
    if isinstance(verdict.subject, Link) and verdict.reason is Reason.TOO_LONG_FOR_PEER:
        peer = network.peer(network.node(verdict.namespace).links[verdict.device or ""])
        if peer is not None:
            thing = responsible(network, peer[0].name, verdict.subject)
    text, wrapped = verdict.text or verdict.reason.text, _wrapped(found)
    if wrapped is not None and wrapped.outer.version == 6:
        link = network.state[verdict.namespace].link(verdict.device or "")
        room = "" if link is None else f" of {link.mtu - wrapped.outer.size + wrapped.frame.size}"
        return Death(text, thing, f"an MTU of {wrapped.outer.size}, or a smaller one{room} on {wrapped.link.name}")
    return Death(text, thing, f"an MTU of {size}, or a packet that may be fragmented")


def _wrapped(found: Trace) -> Encapsulation | None:
    """Return how a packet was wrapped that died in a tunnel."""
    last = next((s.decision for _, s in reversed(list(found.steps)) if isinstance(s.decision, Encapsulation | Decapsulation)), None)
    return last if isinstance(last, Encapsulation) else None


def _other_host(network: Network, found: Trace, verdict: Dropped) -> Death:
    """The frame bears another MAC than the device's: it was flooded, or has it from a neighbour entry of whoever sent it."""
    destination = last_destination(found)
    kept = spared(network, found, owner_of(network, destination)) if destination is not None else None
    if kept is not None:
        return kept
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
