"""The ladder of evidence for a death, from the kernel's own report of it down to what follows from what the kernel holds.

Where BPF is allowed the kernel says why it dropped just this packet. Elsewhere each rung is weaker by itself (a counter may have moved for
another packet, a lookup is not the packet), but all of them are about the place and the reason that the model names, and each says what it
rests on (`Grade`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from lab.explain.death import last_hop
from lab.explain.explanation import Evidence
from lab.explain.objects import chain_of
from lab.forwarding import Dropped, Network, Packet, Reason, Trace
from lab.forwarding.arp import Resolution
from lab.forwarding.fib import Lookup
from lab.forwarding.network import Node
from lab.forwarding.packet import TCP, UDP, Address, Arp
from lab.forwarding.routing import InputRoute, OutputRoute
from lab.forwarding.why import describe_route
from lab.kernel.counters import Counters
from lab.kernel.martians import Martian
from lab.kernel.nft_trace import TracedRule
from lab.kernel.oracle import RouteAnswer, RouteQuery
from lab.probe import Grade, Outcome, Part, Sighting
from lab.state import Neighbour
from lab.state.nft import Counter, NftRule

PARTS: Final[Mapping[str, Part]] = {
    "request": "request",
    "handshake": "request",
    "data": "request",
    "reply": "answer",
    "answer": "answer",
    "acknowledgement": "answer",
    "reset": "answer",
    "error": "icmp-error",
}
"""Which part of a probe each packet of a conversation is."""
_REFUSED: Final = (Reason.RP_FILTER, Reason.LOCAL_SOURCE, Reason.INVALID_SOURCE)


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the kernel had to say about the time in which a probe ran. Everything is optional: what is missing is a rung less."""

    ask: Callable[[str, RouteQuery], RouteAnswer] | None = None
    """The route lookup of a namespace."""
    moved: Mapping[str, Counters] = field(default_factory=dict)
    """By how much the counters of each namespace moved."""
    rules: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """By how many packets the nft rules of a namespace counted more, by handle."""
    alone: bool = False
    """Whether no other probe was under way, so that what moved moved for this one."""
    traced: tuple[TracedRule, ...] = ()
    """What the rule sets' own trace said of the packet."""
    logged: tuple[Martian, ...] = ()
    """What the kernel of this machine logged of packets with impossible sources (log_martians), whoever's they were."""
    unreadable: str | None = None
    """Why that log could not be read."""
    neighbours: Mapping[str, tuple[Neighbour, ...]] = field(default_factory=dict)
    """The neighbours each namespace knew, or asked for, afterwards."""


def about(network: Network, outcome: Outcome, lost: Trace, testimony: Testimony) -> Iterator[Evidence]:
    """Yield what there is for a packet's death, the surest first."""
    verdict = lost.verdict
    assert isinstance(verdict, Dropped)
    part = PARTS[lost.purpose]
    yield from _reported(outcome, verdict, part)
    yield from _error_seen(outcome, verdict)
    yield from _traced(verdict, testimony)
    yield from _logged(network, lost, verdict, testimony)
    yield from _counted(network, verdict, testimony)
    yield from _last_seen(outcome, part)
    yield from _answered(network, lost, verdict, testimony)
    yield from _neighbours(testimony, lost, verdict)
    yield Evidence(Grade.PREDICTED, f"the model: {verdict}")


def _reported(outcome: Outcome, verdict: Dropped, part: Part) -> Iterator[Evidence]:
    here = [drop for drop in outcome.drops if drop.namespace == verdict.namespace and drop.part == part]
    for drop in here[-1:]:
        yield Evidence(Grade.DROP, f"{drop.reason} in {drop.location} at {drop.interface}")


def _error_seen(outcome: Outcome, verdict: Dropped) -> Iterator[Evidence]:
    """The error about a packet begins where the packet died."""
    error = next((seen for seen in outcome.sightings if seen.part == "icmp-error"), None)
    if error is not None and error.namespace == verdict.namespace and error.direction == "out":
        yield Evidence(Grade.ERROR, f"an ICMP error about it left {error.interface} from {error.source} to {error.destination}")


def _traced(verdict: Dropped, testimony: Testimony) -> Iterator[Evidence]:
    handle = verdict.subject.handle if isinstance(verdict.subject, NftRule) else None
    for step in testimony.traced:
        if step.namespace == verdict.namespace and step.verdict == "drop" and handle in (None, step.handle):
            which = f"rule handle {step.handle}" if step.handle is not None else "policy"
            yield Evidence(Grade.TRACED, f"nft trace: {step.chain}, {which}: {step.verdict}")


def _logged(network: Network, lost: Trace, verdict: Dropped, testimony: Testimony) -> Iterator[Evidence]:
    """Name what was logged of this packet, or of the question for a neighbour that it waited for."""
    for martian in refused_sources(network, lost, verdict):
        if martian in testimony.logged:
            yield Evidence(Grade.COUNTED, f"the kernel's log: {martian}")


def unread_log(network: Network, lost: Trace, testimony: Testimony) -> str | None:
    """Say that the kernel's log could not be read, where it would tell of a packet."""
    verdict = lost.verdict
    if testimony.unreadable is None or not isinstance(verdict, Dropped) or not list(refused_sources(network, lost, verdict)):
        return None
    return f"the kernel's log of martian sources ({testimony.unreadable})"


def refused_sources(network: Network, lost: Trace, verdict: Dropped) -> Iterator[Martian]:
    """Yield what a kernel logs of a packet whose source it refuses, or of the question that the packet waited for, if it logs that."""
    for refused, source, destination in _refusals(lost, verdict):
        node, device = network.state[refused.namespace], refused.device or ""
        logs = any(node.sysctl(f"net/ipv4/conf/{name}/log_martians") == "1" for name in ("all", device))
        if logs and isinstance(source, IPv4Address) and isinstance(destination, IPv4Address):
            yield Martian(destination, source, device)


def _refusals(lost: Trace, verdict: Dropped) -> Iterator[tuple[Dropped, Address, Address]]:
    hop = last_hop(lost, verdict.namespace)
    steps = hop.steps if hop is not None else ()
    packet = next((step.before for step in reversed(steps) if isinstance(step.before, Packet)), None)
    if verdict.reason in _REFUSED and packet is not None:
        yield verdict, packet.source, packet.destination
    for step in steps if verdict.reason is Reason.NEIGHBOUR else ():
        asked = step.decision.asked if isinstance(step.decision, Resolution) else None
        end = asked.verdict if asked is not None else None
        if asked is not None and isinstance(end, Dropped) and end.reason is Reason.ARP_REFUSED and isinstance(asked.packet, Arp):
            yield end, asked.packet.sender, asked.packet.target


def _counted(network: Network, verdict: Dropped, testimony: Testimony) -> Iterator[Evidence]:
    meanwhile = "" if testimony.alone else " while this and other probes ran"
    moved = testimony.moved.get(verdict.namespace, {})
    counter = verdict.reason.counter
    if counter is not None and moved.get(counter):
        yield Evidence(Grade.COUNTED, f"{verdict.namespace}: {counter} +{moved[counter]}{meanwhile}")
    elif moved.get("IcmpOutDestUnreachs") and verdict.reason.value.oracle in ("EHOSTUNREACH", "EACCES", "ENETUNREACH"):
        yield Evidence(Grade.COUNTED, f"{verdict.namespace}: IcmpOutDestUnreachs +{moved['IcmpOutDestUnreachs']}{meanwhile}")
    rule = verdict.subject
    if isinstance(rule, NftRule) and rule.handle is not None and any(isinstance(s, Counter) for s in rule.statements):
        packets = testimony.rules.get(verdict.namespace, {}).get(rule.handle)
        if packets:
            name = f'"{rule.comment}"' if rule.comment else f"handle {rule.handle}"
            chain = chain_of(network, verdict.namespace, rule)
            yield Evidence(Grade.COUNTED, f"{verdict.namespace}: the counter of rule {name} of {chain} +{packets}{meanwhile}")


def _last_seen(outcome: Outcome, part: Part) -> Iterator[Evidence]:
    last = _farthest(outcome, part)
    if last is None:
        yield Evidence(Grade.LAST_SEEN, f"no {part} was seen on any device")
        return
    way = "coming in by" if last.direction == "in" else "going out by"
    yield Evidence(Grade.LAST_SEEN, f"the {part} was seen {way} {last.interface}, and on no device after")


def _farthest(outcome: Outcome, part: Part) -> Sighting | None:
    """Return the sighting at the place nothing came after: of a packet sent again, the last of those first seen."""
    first: dict[tuple[str, str], Sighting] = {}
    for seen in outcome.sightings:
        if seen.part == part:
            first.setdefault((seen.interface, seen.direction), seen)
    return max(first.values(), key=lambda seen: seen.time_ns, default=None)


def _answered(network: Network, lost: Trace, verdict: Dropped, testimony: Testimony) -> Iterator[Evidence]:
    """Ask the routing tables of the namespace what they would do with such a packet."""
    hop = last_hop(lost, verdict.namespace)
    if testimony.ask is None or hop is None:
        return
    decisions = [step.decision for step in hop.steps]
    lookups = [d.lookup for d in decisions if isinstance(d, InputRoute | OutputRoute) and d.lookup is not None]
    for query, lookup in {lookup.query: lookup for lookup in lookups}.items():
        question = route_question(network.node(verdict.namespace), lookup)
        if question is None:
            continue
        answer = testimony.ask(verdict.namespace, question)
        asked = f"{lookup.destination}" + (f" from {question.source}" if question.source is not None else "")
        asked += f" iif {query.iif}" if query.iif != "lo" else ""
        if answer.route is not None:
            yield Evidence(Grade.ANSWERED, f"{verdict.namespace}: ip route get {asked}: {describe_route(answer.route)}")
        else:
            yield Evidence(Grade.ANSWERED, f"{verdict.namespace}: ip route get {asked}: {answer.error}")


def route_question(node: Node, lookup: Lookup) -> RouteQuery | None:
    """Return a lookup of the model as a question to the kernel; None where the kernel cannot be asked it.

    The stack looks ways up for packets that it makes in somebody else's name, as the reset of a rule (`FLOWI_FLAG_ANYSRC`); whoever asks
    from outside may name addresses of the namespace only. Where no rule looks at sources, the answer is the same without one.
    """
    query = lookup.query
    source = lookup.source if query.source else None
    if source is not None and source.version == 4 and query.iif == "lo" and not node.is_local(query.source):
        if any(rule.source is not None for rule in node.fib.rules):
            return None
        source = None
    ports = (query.source_port, query.destination_port) if query.protocol in (TCP, UDP) else (None, None)
    return RouteQuery(
        lookup.destination,
        source=source,
        iif=query.iif if query.iif != "lo" else None,
        oif=query.oif,
        mark=query.mark,
        tos=query.tos,
        ip_protocol=query.protocol or None,
        source_port=ports[0],
        destination_port=ports[1],
        uid=query.uid or None,
    )


def _neighbours(testimony: Testimony, lost: Trace, verdict: Dropped) -> Iterator[Evidence]:
    """The neighbour table knows of a question that nobody answered: INCOMPLETE while it is asked, FAILED afterwards."""
    if verdict.reason is not Reason.NEIGHBOUR or not isinstance(lost.packet, Packet):
        return
    hop = last_hop(lost, verdict.namespace)
    asked = {step.decision.address for step in hop.steps if isinstance(step.decision, Resolution)} if hop is not None else set()
    for entry in testimony.neighbours.get(verdict.namespace, ()):
        if entry.address in asked and entry.state in ("failed", "incomplete"):
            yield Evidence(Grade.ANSWERED, f"{verdict.namespace}: neighbour {entry.address} dev {entry.device} is {entry.state.upper()}")
