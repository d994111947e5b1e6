"""A packet's journey: the list of what still has to happen, and the record of what did.

The parts of the model (`ip`, `link`, `tunnel`, `arp`, `local`) each take one kind of task and leave new ones; none of them
knows the others. So a flood is several tasks, a tunnel in a tunnel is no recursion, and a loop ends when a TTL does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TypeVar

from lab.forwarding.causes import Reason
from lab.forwarding.netfilter.conntrack import Tracked
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.network import Node
from lab.forwarding.packet import Address, Arp, Frame, Packet
from lab.forwarding.results import Decision, Delivered, Dropped, Hop, Purpose, Stage, Step, Trace, Unknown, Verdict
from lab.forwarding.unknown import Undecided
from lab.forwarding.world import World
from lab.state import Vxlan

ANY = IPv4Address("0.0.0.0")
MOST_TASKS = 20_000
"""A frame that multiplies in a loop of bridges never ends; after so many tasks the verdict is unknown."""
DEEPEST = 6
"""How many resolutions may be under way inside one another (tunnels in tunnels)."""


@dataclass(slots=True)
class Visit:
    """A hop while it is being written."""

    node: Node
    number: int
    arrived_by: str | None = None
    came_from: int | None = None
    steps: list[Step] = field(default_factory=list)
    left_by: list[str] = field(default_factory=list)

    def is_owned(self, device: str) -> bool:
        """Whether what came by a device was made here and has not left: a VXLAN device that is its own remote takes no socket off it."""
        return self.arrived_by is None and isinstance(self.node.links[device].kind, Vxlan)

    def note(
        self,
        stage: Stage,
        decision: Decision,
        device: str | None = None,
        before: Packet | Arp | None = None,
        after: Packet | Arp | None = None,
    ) -> None:
        """Record a step."""
        self.steps.append(Step(stage, device, decision, before, after))


@dataclass(frozen=True, slots=True)
class Sending:
    """A packet to be made in a namespace, and how: what a socket, or the kernel as the answering side, asks for."""

    namespace: str
    packet: Packet
    """An unspecified source leaves the choice to routing."""
    purpose: Purpose
    device: str | None = None
    """The device the socket is bound to."""
    connected: bool = False
    """The socket is connected, so it asks for a route twice: the second time with the source the first one gave."""
    any_source: bool = False
    """The source need not be an address of the namespace."""
    df: bool | None = False
    """True: never fragment. None: DF while the packet fits the path MTU, else fragment here (IP_PMTUDISC_WANT)."""
    uid: int = 0
    tracked: Tracked | None = None
    """The connection an error or reset belongs to (`nf_ct_attach`)."""
    unsettled: bool = False
    """The way is that of the socket, see `Client`."""
    probe: bool = False
    """The last of several TCP segments, sent to learn whether others are missing (RFC 8985, 7), or its selective acknowledgement."""


@dataclass(frozen=True, slots=True)
class Advertising:
    """A message of neighbour discovery to be sent out of a device, to a MAC."""

    namespace: str
    device: str
    packet: Packet
    mac: str


# -- tasks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Make a packet."""

    visit: Visit
    sending: Sending


@dataclass(frozen=True, slots=True)
class SendOuter:
    """Send the outer packet a VXLAN device made; its route is found already."""

    visit: Visit
    packet: Packet
    device: str
    next_hop: Address
    mtu: int


@dataclass(frozen=True, slots=True)
class Transmit:
    """Put a frame on a device."""

    visit: Visit
    device: str
    frame: Frame
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Arrive:
    """A frame comes in by a device, from another namespace or another device of this one."""

    node: Node
    device: str
    frame: Frame
    mark: int
    came_from: int | None


@dataclass(frozen=True, slots=True)
class Receive:
    """A frame comes out of a device that unwrapped it, or goes up from a bridge, in the course of the same visit."""

    visit: Visit
    device: str
    frame: Frame
    mark: int
    to_host: bool = False
    """The frame was found to be for this host on the port it came in by, whatever the MAC of this device."""


@dataclass(frozen=True, slots=True)
class TurnBack:
    """A frame that came in by a bridge's port was translated on the bridge, and its new destination is on the same bridge."""

    visit: Visit
    bridge: str
    port: str
    frame: Frame
    transit: Transit


Task = Send | SendOuter | Transmit | Arrive | Receive | TurnBack
T = TypeVar("T", bound=Task)
Handler = Callable[["Journey", T], None]


class Journey:
    """One packet and all its copies, on their way through a world."""

    def __init__(self, world: World, handlers: Mapping[type, Callable[[Journey, Task], None]], depth: int = 0) -> None:
        self.world = world
        self.visits: list[Visit] = []
        self.made: Packet | None = None
        """The packet as it was made, its source chosen."""
        self.answers: list[Sending] = []
        """What this packet made somebody else send."""
        self.arp_replies: list[tuple[str, str, Arp]] = []
        """Answers to a request: namespace, device, message."""
        self.advertisements: list[Advertising] = []
        """Answers to a solicitation."""
        self.resolutions: list[Trace] = []
        self._handlers = handlers
        self._tasks: deque[Task] = deque()
        self._endings: list[tuple[int, Verdict]] = []
        self._depth = depth

    def visit(self, node: Node, arrived_by: str | None = None, came_from: int | None = None) -> Visit:
        """Begin a hop."""
        visit = Visit(node, len(self.visits), arrived_by, came_from)
        self.visits.append(visit)
        return visit

    def add(self, task: Task) -> None:
        """Leave something to do."""
        self._tasks.append(task)

    def end(self, visit: Visit, verdict: Verdict) -> None:
        """Record how the packet, or a copy, ended."""
        self._endings.append((visit.number, verdict))

    def drop(self, visit: Visit, stage: Stage, device: str | None, reason: Reason, subject: object | None = None, text: str = "") -> None:
        """Record a death."""
        self.end(visit, Dropped(visit.node.name, stage, device, reason, subject, text))

    def inside(self) -> Journey:
        """Return a journey for a packet that this one has to wait for."""
        if self._depth >= DEEPEST:
            raise Undecided("tunnels are nested too deeply, or in a circle")
        return Journey(self.world, self._handlers, self._depth + 1)

    def run(self) -> None:
        """Do everything there is to do."""
        count = 0
        while self._tasks:
            task = self._tasks.popleft()
            count += 1
            if count > MOST_TASKS:
                self._endings.append((len(self.visits) - 1, Unknown(self.visits[-1].node.name, "the packet multiplies without end")))
                return
            try:
                self._handlers[type(task)](self, task)
            except Undecided as unknown:
                number = task.visit.number if not isinstance(task, Arrive) else len(self.visits) - 1
                self.end(self.visits[number], Unknown(self.visits[number].node.name, unknown.why, unknown.subject))

    def trace(self, purpose: Purpose, packet: Packet | Arp, origin: str) -> Trace:
        """Return the record, with the verdict that counts: an arrival before anything unknown, that before any death."""
        endings = sorted(self._endings, key=_weight)
        hops = tuple(
            Hop(visit.node.name, visit.arrived_by, tuple(visit.left_by), tuple(visit.steps), visit.came_from) for visit in self.visits
        )
        if endings:
            verdict, others = endings[0][1], tuple(verdict for _, verdict in endings[1:])
        else:
            verdict, others = Unknown(origin, "the packet vanished without a decision"), ()
        return Trace(purpose, packet, origin, hops, verdict, others, tuple(self.resolutions))


_COPIES = (Reason.OTHER_HOST, Reason.NO_PORT, Reason.ARP_NOT_MINE, Reason.ARP_NO_ROUTE, Reason.OWN_FRAME)
"""How copies of a flooded frame end that nobody was meant to take."""


def _weight(ending: tuple[int, Verdict]) -> tuple[int, int]:
    number, verdict = ending
    match verdict:
        case Delivered():
            return 0, -number
        case Unknown():
            return 1, -number
        case Dropped(reason=reason):
            return (3 if reason in _COPIES else 2), -number
