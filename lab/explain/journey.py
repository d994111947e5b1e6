"""The way of a probe's packets through a lab: every interface they crossed, what was rewritten between, what they caused.

A journey is what was observed, nothing else: no model, no state. Its order is the kernel's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from lab.kernel.packet import PROTOCOL_ICMP, Arp, Ethernet, Header, Icmp, IPv4, IPv6, Packet, Tcp, Udp, Vxlan
from lab.probe import Loss, Outcome, Part, Request, Sighting
from lab.probe.frame import Frame

Field = Literal["source", "destination", "source port", "destination port", "identifier"]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What NAT changed in the packet, in a namespace, between this passage and the one before."""

    namespace: str
    field: Field
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.field} {self.before} becomes {self.after}"


@dataclass(frozen=True, slots=True)
class Passage:
    """A packet of the probe, or one it caused, on an interface: sent (``out``) by it or received (``in``)."""

    time_ns: int
    """Since the first passage of the journey, in nanoseconds."""
    namespace: str
    device: str
    direction: Literal["in", "out"]
    part: Part
    frame: Frame = field(repr=False)
    rewrites: tuple[Rewrite, ...] = ()

    @property
    def interface(self) -> str:
        """``NAMESPACE:DEVICE``."""
        return f"{self.namespace}:{self.device}"

    @property
    def packet(self) -> Packet:
        """Every header, decoded when asked for."""
        return self.frame.packet()

    @property
    def headers(self) -> tuple[Header, ...]:
        """The header stack, outermost first: a packet in VXLAN has two of Ethernet and IP."""
        return self.packet.headers

    @property
    def encapsulated(self) -> bool:
        """Whether the packet travels inside another."""
        return any(isinstance(header, Vxlan) for header in self.headers)

    @property
    def fragment(self) -> tuple[int, bool] | None:
        """Of a fragment its place in the whole packet in bytes, and whether more follow; None for a packet in one piece."""
        address = self.packet.inner(IPv4)
        if address is None or not (address.fragment_offset or address.more_fragments):
            return None
        return address.fragment_offset, address.more_fragments

    @property
    def sentence(self) -> str:
        """The header stack in one line, outermost first."""
        return " / ".join(text for header in self.headers if (text := _header(header)))


@dataclass(frozen=True, slots=True)
class Journey:
    """The ways of all packets of one probe, in the kernel's order, and the drops that the kernel reported."""

    request: Request
    passages: tuple[Passage, ...]
    drops: tuple[Loss, ...] = ()
    complete: bool = True
    """Whether no packet was missed meanwhile; in an incomplete journey what is not there proves nothing."""

    def of(self, *parts: Part) -> tuple[Passage, ...]:
        """Return the passages of some of the probe's packets: ``request``, ``answer``, ``icmp-error``, ``arp-request``, ``arp-reply``."""
        return tuple(passage for passage in self.passages if passage.part in parts)

    def path(self, part: Part = "request") -> tuple[str, ...]:
        """Return the namespaces a packet came to, each once, in order."""
        return tuple(dict.fromkeys(passage.namespace for passage in self.of(part)))

    @property
    def rewrites(self) -> tuple[Rewrite, ...]:
        """Every rewrite, in order."""
        return tuple(rewrite for passage in self.passages for rewrite in passage.rewrites)


def journey_of(outcome: Outcome) -> Journey:
    """Return the journey of a probe that was watched."""
    waited_for = _waited_for(outcome.sightings, outcome.neighbour_talk, outcome.request.source)
    sightings = sorted((*outcome.sightings, *waited_for), key=lambda sighting: sighting.time_ns)
    return Journey(outcome.request, tuple(_passages(sightings)), outcome.drops, not outcome.incomplete)


def _waited_for(sightings: Sequence[Sighting], talk: Sequence[Sighting], sender: str) -> Iterator[Sighting]:
    """Yield the ARP that a probe's packets waited for: what a namespace asked between a packet's coming and its going on.

    A packet that has come to a namespace (or was made by the sender) and was not seen to leave it waits for whatever is asked there.
    """
    if not talk:
        return
    waits: list[tuple[str, str | None, int, int]] = []
    came: dict[tuple[Part, str], int] = {("request", sender): 0}
    for sighting in sightings:
        here = (sighting.part, sighting.namespace)
        if sighting.direction == "in":
            came[here] = sighting.time_ns
        else:
            waits.append((sighting.namespace, sighting.device, came.pop(here, sighting.time_ns), sighting.time_ns))
    waits += [(namespace, None, since, talk[-1].time_ns) for (_, namespace), since in came.items()]
    pairs = {
        (asked.source, asked.destination)
        for asked in talk
        if asked.part == "arp-request" and asked.direction == "out"
        for namespace, device, since, until in waits
        if asked.namespace == namespace and device in (None, asked.device) and since <= asked.time_ns <= until
    }
    for seen in talk:
        if (seen.source, seen.destination) in pairs or (seen.part == "arp-reply" and (seen.destination, seen.source) in pairs):
            yield seen


def _passages(sightings: list[Sighting]) -> Iterator[Passage]:
    """Compare each packet with how it was before: NAT rewrites in a namespace, so the one before is the last of the same part."""
    before: dict[Part, Sighting] = {}
    for sighting in sightings:
        previous = before.get(sighting.part)
        rewrites = tuple(_rewrites(previous, sighting)) if previous is not None and sighting.part in ("request", "answer") else ()
        before[sighting.part] = sighting
        yield Passage(
            sighting.time_ns - sightings[0].time_ns,
            sighting.namespace,
            sighting.device,
            sighting.direction,
            sighting.part,
            sighting.frame,
            rewrites,
        )


def _rewrites(before: Sighting, after: Sighting) -> Iterator[Rewrite]:
    if (before.source, before.destination) != (after.source, after.destination):
        pairs: tuple[tuple[Field, object, object], ...] = (
            ("source", before.source, after.source),
            ("destination", before.destination, after.destination),
        )
        yield from (Rewrite(after.namespace, name, str(old), str(new)) for name, old, new in pairs if old != new)
    if before.ports == after.ports or not any(before.ports) or not any(after.ports):
        return
    look = after.frame.look()
    names: tuple[Field, ...] = ("source port", "destination port")
    if look is not None and look.protocol == PROTOCOL_ICMP:
        names = ("identifier",)
    for name, was, now in zip(names, before.ports, after.ports, strict=False):
        if was != now:
            yield Rewrite(after.namespace, name, str(was), str(now))


_ICMP: Final = {0: "echo reply", 8: "echo request", 3: "unreachable", 11: "time exceeded", 5: "redirect"}


def _header(header: Header) -> str:
    match header:
        case Ethernet(source=source, destination=destination):
            return f"{source} > {destination}"
        case Arp(operation=1, target=target, sender=sender):
            return f"ARP who has {target}, tell {sender}"
        case Arp(sender=sender, sender_mac=mac):
            return f"ARP {sender} is at {mac}"
        case IPv4(source=IPv4Address() as source, destination=destination, ttl=ttl):
            return f"{source} > {destination} ttl {ttl}"
        case IPv6(source=IPv6Address() as source6, destination=destination6, hop_limit=limit):
            return f"{source6} > {destination6} hop limit {limit}"
        case Udp(source_port=source_port, destination_port=port):
            return f"UDP {source_port} > {port}"
        case Tcp(source_port=source_port, destination_port=port, flags=flags):
            return f"TCP {source_port} > {port} {'+'.join(flag.name or '' for flag in flags)}".rstrip()
        case Icmp(type=kind, code=code):
            return f"ICMP {_ICMP.get(kind, f'type {kind}')}{f' code {code}' if code else ''}"
        case Vxlan(vni=vni):
            return f"VXLAN {vni}"
    return type(header).__name__
