"""From a conversation to what a picture of it shows: the way of the question, of the answer, of an ICMP error, each with its stops.

A way is drawn as the packet went; what decided is quoted, never concluded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Literal

from lab.forwarding import Conversation, Delivered, Dropped, Hop, Packet, Stage, Step
from lab.forwarding.packet import ICMP, PROTOCOL_NAMES
from lab.forwarding.tunnel import Decapsulation, Encapsulation
from lab.forwarding.why import NearMiss, describe_route
from lab.report.diagram.endings import LEAVING, End, ending
from lab.report.diagram.metrics import shown
from lab.report.diagram.turns import Loop, course
from lab.state import Route, State, Veth, Vxlan

Kind = Literal["request", "reply", "error"]
Side = Literal["left", "right", ""]


@dataclass(frozen=True, slots=True)
class View:
    """A conversation in a network: one phase of a picture."""

    name: str
    state: State
    conversation: Conversation
    title: str = ""
    crossed: tuple[tuple[str, str], ...] = ()
    """Where the packets were observed, if they were: ``request``, ``answer`` or ``icmp-error`` and an interface, as in
    `lab.probe.Outcome.crossed`."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a packet passes: a device on one side of its namespace, or a switch (no device)."""

    namespace: str
    device: str = ""
    side: Side = ""
    tunnel: bool = False
    back: bool = False
    """The packet passes here against the direction of its way: it has turned back."""
    hop: int = field(default=0, compare=False)
    """The number of the visit in the trace."""
    again: tuple[int, ...] = field(default=(), compare=False)
    """The numbers of later visits that it stands for too: the packet goes round, and only one round is drawn."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header as long as the packet bears it; `start` and `end` are numbers of stops, in between with a half."""

    start: float
    end: float
    depth: int
    """0 for the innermost."""
    name: str
    text: str
    turned: bool = False
    """The packet bears it only since it has turned back."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of text in a namespace."""

    namespace: str
    kind: Literal["loop", "mtu", "nat", "route", "turn"]
    text: str


@dataclass(frozen=True, slots=True)
class Way:
    """One packet's way."""

    kind: Kind
    trace: int
    """Its number in the conversation."""
    forward: bool
    """Whether it leads from left to right."""
    packet: str
    stops: tuple[Stop, ...]
    origin: str
    end: End
    headers: tuple[Header, ...]
    notes: tuple[Note, ...]
    near: tuple[tuple[str, NearMiss], ...] = ()
    """What nearly decided, by namespace."""
    loop: Loop | None = None
    """Where the packet goes round; one round is drawn."""

    @property
    def rows(self) -> int:
        """How many rows of a picture it takes: one more when the packet turns back."""
        return 1 + any(stop.back for stop in self.stops)

    def ahead(self, stop: Stop | None = None) -> bool:
        """Whether the packet goes from left to right there, or else at its beginning."""
        return self.forward != (stop is not None and stop.back)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces it visits, switches too."""
        names = (self.origin, *(stop.namespace for stop in self.stops), self.end.namespace)
        return tuple(name for number, name in enumerate(names) if number == 0 or names[number - 1] != name)


def ways(view: View, column: Mapping[str, int] | None = None) -> tuple[Way, ...]:
    """Return the ways of a conversation that a picture shows: at most one there, one back, and that of an error about one of them.

    `column` says where the namespaces stand from left to right, if that is known: it decides where a packet turns back.
    """
    conversation = view.conversation
    forward = [trace.origin == conversation.request.origin and trace.purpose != "error" for trace in conversation.traces]
    chosen = _chosen(conversation, forward)
    return tuple(_way(view.state, conversation, number, kind, ahead, column) for number, kind, ahead in chosen)


def _chosen(conversation: Conversation, forward: list[bool]) -> list[tuple[int, Kind, bool]]:
    traces = conversation.traces
    answered = conversation.outcome.kind == "reply"
    lost = None if answered else next((n for n, trace in enumerate(traces) if not isinstance(trace.verdict, Delivered)), None)
    there = [n for n, trace in enumerate(traces) if forward[n] and trace.purpose in ("request", "data")]
    back = [n for n, trace in enumerate(traces) if trace.purpose in ("reply", "answer")]
    found: list[tuple[int, Kind, bool]] = []
    if lost is not None and forward[lost]:
        found.append((lost, "request", True))
    elif lost is not None:
        found.append((max([n for n in there if n < lost], default=0), "request", True))
        found.append((lost, "reply", False))
    else:
        found.append((there[-1] if there else 0, "request", True))
        found.extend((n, "reply", False) for n in back[-1:])
    errors = [n for n, trace in enumerate(traces) if trace.purpose in ("error", "reset") and not answered and n > (lost or 0)]
    # An error goes back to whom it concerns: about a request to the left, about a reply to the right.
    found.extend((number, "error", lost is not None and not forward[lost]) for number in errors[:1])
    return found


def _way(state: State, conversation: Conversation, number: int, kind: Kind, forward: bool, column: Mapping[str, int] | None) -> Way:
    trace = conversation.traces[number]
    stops: list[Stop] = []
    headers: list[Header] = []
    notes: list[Note] = []
    near: list[tuple[str, NearMiss]] = []
    open_headers: list[tuple[float, Packet]] = [(0.0, trace.packet)] if isinstance(trace.packet, Packet) else []

    def close(at: float) -> None:
        start, packet = open_headers.pop()
        if start == at and headers and len(stops) > 1:  # two translations in one place: the notes tell of both, a bar shows the outcome
            return
        turned = any(stop.back for stop in stops[: ceil(start) + 1])
        headers.append(_header(start, at, len(open_headers), packet, turned=turned))

    drawn = course(state, trace, forward=forward, column=column)
    way = drawn.visits
    for index, (visit, (into, out)) in enumerate(zip(way, drawn.backward, strict=True)):
        hop = trace.hops[visit]
        if state[hop.namespace].role == "switch":
            stops.append(Stop(hop.namespace, back=into, hop=visit))
            continue
        entering: Side = "left" if forward != into else "right"
        leaving: Side = "right" if forward != out else "left"
        wrapped = False
        if hop.arrived_by is not None:
            stops.append(Stop(hop.namespace, hop.arrived_by, entering, back=into, hop=visit))
        routed = False
        for step in hop.steps:
            decision = step.decision
            if isinstance(decision, Decapsulation):
                stops.append(Stop(hop.namespace, decision.link.name, entering, tunnel=True, back=into, hop=visit))
                wrapped = True
                if len(open_headers) > 1:
                    close(len(stops) - 1)
            elif isinstance(decision, Encapsulation):
                stops.append(Stop(hop.namespace, decision.link.name, leaving, tunnel=True, back=out, hop=visit))
                wrapped = True
                open_headers.append((len(stops) - 1, decision.outer))
            elif _readdressed(step) and open_headers and isinstance(step.after, Packet):
                at = max(0.0, len(stops) - 0.5)
                packet = open_headers[-1][1]
                close(at)
                open_headers.append((at, step.after))
                notes.append(Note(hop.namespace, "nat", _translation(packet, step.after)))
            route = _route(step)
            if route is not None and not trace.delivered:  # nobody asks what nearly decided on a good way, and to know it takes lookups
                near += [(hop.namespace, detail) for detail in step.details if isinstance(detail, NearMiss)]
            if route is not None and not routed:
                notes.append(Note(hop.namespace, "route", shown(describe_route(route))))
                routed = True
        device = _left_by(state, hop, trace.hops[way[index + 1]] if index + 1 < len(way) else None)
        if device is not None:
            stops.append(Stop(hop.namespace, device, leaving, back=out, hop=visit))
            if into != out and device == hop.arrived_by and not wrapped:
                notes.append(Note(hop.namespace, "turn", f"back out of {shown(device)}, by which it came"))
    if drawn.loop is not None:
        notes.append(Note(drawn.loop.namespaces[0], "loop", f"goes round: {shown(drawn.loop.text)}"))
    verdict = trace.verdict
    if isinstance(verdict, Dropped) and verdict.device is not None and verdict.stage in LEAVING:
        here = state[verdict.namespace]
        link = here.link(verdict.device)
        if here.role != "switch" and link is not None and verdict.device not in {s.device for s in stops if s.hop == way[-1]}:
            tunnel = isinstance(link.kind, Vxlan)
            back = drawn.backward[-1][1]
            stops.append(Stop(verdict.namespace, verdict.device, "right" if forward != back else "left", tunnel, back, way[-1]))
    while open_headers:
        close(len(stops) - 1 if stops else 0)
    size = trace.packet.size if isinstance(trace.packet, Packet) else 0
    notes += _narrow(state, stops, forward, size)
    end = ending(state, verdict)
    passed = tuple(replace(stop, again=drawn.again.get(stop.hop, ())) for stop in stops)
    return Way(
        kind, number, forward, shown(trace.packet), passed, trace.origin, end, tuple(headers), tuple(notes),
        tuple(near), drawn.loop,
    )  # fmt: skip


def _left_by(state: State, hop: Hop, following: Hop | None) -> str | None:
    """Return the device of those it left by that leads to the next visit."""
    if not hop.left_by:
        return None
    if following is not None and following.arrived_by is not None:
        link = state[following.namespace].link(following.arrived_by)
        if link is not None and isinstance(link.kind, Veth) and link.kind.peer_name in hop.left_by:
            return link.kind.peer_name
    return hop.left_by[0]


def _route(step: Step) -> Route | None:
    """Return the route by which a packet is sent on, if this is the step that chose it."""
    if step.stage not in (Stage.INPUT_ROUTING, Stage.OUTPUT_ROUTING):
        return None
    subject = step.decision.subject
    return subject if isinstance(subject, Route) and subject.type not in ("local", "broadcast") else None


def _readdressed(step: Step) -> bool:
    before, after = step.before, step.after
    if not isinstance(before, Packet) or not isinstance(after, Packet):
        return False
    return (before.source, before.destination, before.destination_port) != (after.source, after.destination, after.destination_port)


def _translation(before: Packet, after: Packet) -> str:
    parts = []
    if before.source != after.source:
        parts.append(f"SNAT {before.source} → {after.source}")
    if (before.destination, before.destination_port) != (after.destination, after.destination_port):
        same = before.destination_port == after.destination_port or after.icmp is not None
        old, new = (before.destination, after.destination) if same else (_address(before), _address(after))
        parts.append(f"DNAT {old} → {new}")
    return ", ".join(parts)


def _address(packet: Packet) -> str:
    return f"{packet.destination}:{packet.destination_port}"


def _header(start: float, end: float, depth: int, packet: Packet, *, turned: bool) -> Header:
    addresses = f"{packet.source} → {packet.destination}"
    if packet.tunnel is not None:
        return Header(start, end, depth, f"VXLAN {packet.tunnel.vni}, UDP {packet.destination_port}", addresses, turned)
    return Header(start, end, depth, packet_name(packet), addresses, turned)


def packet_name(packet: Packet) -> str:
    """Return what a packet is, without its addresses."""
    if packet.icmp is not None:
        return f"{'ICMP' if packet.source.version == 4 else 'ICMPv6'} {packet.icmp.name}, {packet.size} B"
    protocol = PROTOCOL_NAMES.get(packet.protocol, str(packet.protocol)).upper()
    port = f" {packet.destination_port}" if packet.protocol != ICMP else ""
    return f"{protocol}{port}, {packet.size} B"


_PARTS: dict[Kind, str] = {"request": "request", "reply": "answer", "error": "icmp-error"}
"""What the packets of a way are called where they are observed."""


def observed(view: View, way: Way) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return on which interfaces a packet was seen of those that are drawn, and on which it was not. Switches do not count."""
    seen = {interface for part, interface in view.crossed if part == _PARTS[way.kind]}
    drawn = list(dict.fromkeys(f"{stop.namespace}:{stop.device}" for stop in way.stops if stop.device))
    return tuple(one for one in drawn if one in seen), tuple(one for one in drawn if one not in seen)


def departure(way: Way, intended: Way) -> int:
    """Return the number of stops that two ways have in common from their beginning."""
    pairs: Sequence[tuple[Stop, Stop]] = tuple(zip(way.stops, intended.stops, strict=False))
    return next((number for number, (one, other) in enumerate(pairs) if one != other), len(pairs))


def near_miss(way: Way, intended: Way, namespace: str) -> NearMiss | None:
    """Return the entry that would have kept the packet on the intended way, had it been as the near miss says."""
    leaving = {stop.device for stop in intended.stops if stop.namespace == namespace}
    found = [miss for name, miss in way.near if name == namespace and isinstance(miss.subject, Route) and miss.subject.device in leaving]
    wanted = [note.text for note in intended.notes if note.namespace == namespace and note.kind == "route"]
    exact = [miss for miss in found if isinstance(miss.edited, Route) and shown(describe_route(miss.edited)) in wanted]
    return next(iter((*exact, *found)), None)


def _overhead(state: State, stop: Stop) -> int:
    """The bytes that a tunnel puts around an IP packet; 0 where the stop is none."""
    link = state[stop.namespace].link(stop.device) if stop.tunnel and stop.device else None
    return link.kind.overhead if link is not None and isinstance(link.kind, Vxlan) else 0


def _narrow(state: State, stops: Sequence[Stop], forward: bool, size: int) -> Iterator[Note]:
    """Yield where a packet of `size` bytes is too long: for a device that takes less than those before, or than its tunnel makes."""
    sizes: list[int | None] = [None]  # of the last device left by, at each depth of encapsulation
    for number, stop in enumerate(stops):
        leaving = stop.side == ("right" if forward != stop.back else "left")
        if stop.tunnel and not leaving:
            sizes = sizes[:-1] or [None]
            continue
        link = state[stop.namespace].link(stop.device) if stop.device and leaving else None
        if link is None:
            continue
        before = sizes[-1]
        around = _overhead(state, stops[number - 1]) if number else 0
        if before is not None and link.mtu < min(before, size):
            yield Note(stop.namespace, "mtu", f"mtu falls from {before} to {link.mtu} on {shown(link.name)}")
        elif around and before is None and len(sizes) > 1 and size + around > link.mtu:
            text = f"{size} + {around} bytes of VXLAN are more than mtu {link.mtu} of {shown(link.name)}"
            yield Note(stop.namespace, "mtu", text)
        sizes[-1] = link.mtu
        if stop.tunnel:
            sizes.append(None)
