"""What a trace says: trace > hop > step > detail, and the verdict.

Texts are made when they are read: a trace that nobody prints costs no formatting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from lab.forwarding.causes import Reason
from lab.forwarding.packet import CODE_NAMES, CODE_NAMES_V6, Address, Arp, Packet
from lab.state import Provenance


class Stage(StrEnum):
    """Where in a namespace something is decided, in the kernel's order for a forwarded packet."""

    ARRIVAL = "arrival"
    INGRESS = "ingress"
    BRIDGE = "bridge"
    ARP = "arp"
    PREROUTING = "prerouting"
    INPUT_ROUTING = "input routing"
    REVERSE_PATH = "reverse path"
    TTL = "ttl"
    MTU = "mtu"
    REDIRECT = "redirect"
    RATE_LIMIT = "rate limit"
    FORWARD = "forward"
    INPUT = "input"
    DELIVERY = "delivery"
    SOURCE = "source selection"
    OUTPUT_ROUTING = "output routing"
    OUTPUT = "output"
    REROUTING = "rerouting"
    POSTROUTING = "postrouting"
    FRAGMENTATION = "fragmentation"
    NEIGHBOUR = "neighbour"
    ENCAPSULATION = "encapsulation"
    DECAPSULATION = "decapsulation"
    EGRESS = "egress"
    TRANSMISSION = "transmission"


@dataclass(frozen=True, slots=True)
class Detail:
    """One consideration behind a decision, with the object of the state it speaks about."""

    text: str
    subject: object | None = None

    @property
    def provenance(self) -> Provenance | None:
        """Why that object is there."""
        return provenance_of(self.subject)


class Decision(Protocol):
    """What a step decided; each kind has a class of its own in the module that decides."""

    @property
    def sentence(self) -> str:
        """What was decided, in one line."""

    @property
    def subject(self) -> object | None:
        """The object of the state that decided."""

    @property
    def details(self) -> tuple[Detail, ...]:
        """What else was considered: other rules and routes, near misses."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A decision that needs no more than a sentence."""

    sentence: str
    subject: object | None = None
    details: tuple[Detail, ...] = ()


class Step(NamedTuple):
    """One decision about a packet in a namespace. A tuple: a conversation has hundreds."""

    stage: Stage
    device: str | None
    decision: Decision
    before: Packet | Arp | None = None
    after: Packet | Arp | None = None

    @property
    def sentence(self) -> str:
        """What was decided."""
        return self.decision.sentence

    @property
    def details(self) -> tuple[Detail, ...]:
        """What else was considered."""
        return self.decision.details

    @property
    def provenance(self) -> Provenance | None:
        """Why the object that decided is there."""
        return provenance_of(self.decision.subject)

    @property
    def rewritten(self) -> bool:
        """Whether the packet left this step different from how it came."""
        return self.after is not None and self.before is not None and self.before != self.after


@dataclass(frozen=True, slots=True)
class Hop:
    """The visit of a packet, or of one of its copies, to a namespace."""

    namespace: str
    arrived_by: str | None
    """The device it came in by; None where it was made."""
    left_by: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    came_from: int | None = None
    """The number of the hop it came from, in the trace."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The packet reached a socket, or the kernel itself where it is the one to answer."""

    namespace: str
    to: object | None
    """The Listener or Program, or None for the kernel and for the socket that had sent the question."""
    packet: Packet | Arp
    """As it was received."""

    def __str__(self) -> str:
        return f"delivered to {self.namespace}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """The packet died. `sender_sees` is filled in when the conversation is over."""

    namespace: str
    stage: Stage
    device: str | None
    reason: Reason
    subject: object | None = None
    """The object of the state that did it."""
    text: str = ""
    sender_sees: str = ""

    def __str__(self) -> str:
        where = f"{self.namespace}:{self.device}" if self.device else self.namespace
        return f"dropped at {where}, {self.stage}: {self.text or self.reason.text}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """The model cannot say."""

    namespace: str
    why: str
    subject: object | None = None

    def __str__(self) -> str:
        return f"unknown at {self.namespace}: {self.why}"


Verdict = Delivered | Dropped | Unknown
Purpose = Literal[
    "request",
    "reply",
    "error",
    "reset",
    "handshake",
    "data",
    "answer",
    "acknowledgement",
    "arp request",
    "arp reply",
    "solicitation",
    "advertisement",
]


@dataclass(frozen=True, slots=True)
class Trace:
    """One packet from where it was made to where it ended, with all its copies."""

    purpose: Purpose
    packet: Packet | Arp
    """As it was made."""
    origin: str
    hops: tuple[Hop, ...]
    verdict: Verdict
    others: tuple[Verdict, ...] = ()
    """How the copies of a flooded or replicated packet ended."""
    resolutions: tuple[Trace, ...] = field(default=(), repr=False)
    """The ARP requests and replies that were needed on the way."""

    @property
    def steps(self) -> tuple[tuple[Hop, Step], ...]:
        """All steps with their hops, in order."""
        return tuple((hop, step) for hop in self.hops for step in hop.steps)

    @property
    def way(self) -> tuple[int, ...]:
        """The numbers of the hops on the way to the verdict, without copies that ended elsewhere."""
        ends = [number for number, hop in enumerate(self.hops) if hop.namespace == self.verdict.namespace]
        number: int | None = ends[-1] if ends else len(self.hops) - 1 if self.hops else None
        way: list[int] = []
        while number is not None:
            way.append(number)
            number = self.hops[number].came_from
        return tuple(reversed(way))

    @property
    def path(self) -> tuple[str, ...]:
        """The namespaces on the way to the verdict."""
        names = [self.hops[number].namespace for number in self.way]
        return tuple(name for number, name in enumerate(names) if number == 0 or names[number - 1] != name)

    @property
    def delivered(self) -> bool:
        """Whether it arrived."""
        return isinstance(self.verdict, Delivered)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a side of a conversation notices in the end.

    ``reply``: an answer came. ``refused``: a TCP reset, or ICMP port or protocol unreachable. ``error``: another ICMP
    error. ``local error``: the system call failed with `errno`. ``silence``: nothing. ``unknown``: the model cannot say.
    """

    kind: Literal["reply", "refused", "error", "local error", "silence", "unknown"]
    source: Address | None = None
    """Who answered or complained."""
    icmp_type: int | None = None
    icmp_code: int | None = None
    mtu: int | None = None
    errno: str | None = None
    connected: bool = False
    """TCP: the handshake succeeded, whatever happened to the data."""
    why: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "reply":
                return f"a reply from {self.source}"
            case "refused" | "error":
                names = CODE_NAMES_V6 if self.source is not None and self.source.version == 6 else CODE_NAMES
                name = "reset" if self.icmp_type is None else names.get((self.icmp_type, self.icmp_code or 0), f"type {self.icmp_type}")
                mtu = f" (mtu {self.mtu})" if self.mtu is not None else ""
                return f"{self.kind}: {name}{mtu} from {self.source}"
            case "local error":
                return f"{self.errno}: {self.why}" if self.why else f"{self.errno}"
            case "silence":
                return "silence after the handshake" if self.connected else "silence"
            case _:
                return f"unknown: {self.why}"


def provenance_of(subject: object | None) -> Provenance | None:
    """Return why an object of the state is there, if it is one."""
    found = getattr(subject, "provenance", None)
    return found if isinstance(found, Provenance) else None
