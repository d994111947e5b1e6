"""What came of a probe: what its sender saw, and where it was seen on its way."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Literal, NamedTuple

from lab.probe.frame import Frame
from lab.probe.request import Address, Request

Result = Literal["reply", "refused", "unreachable", "stalled", "silence", "error"]
"""The sender's view. ``refused``: a TCP reset or port unreachable; ``unreachable``: another ICMP error, or a local one;
``stalled``: a connection is open, and what was asked for does not come; ``error``: the probe could not be sent at all."""

Part = Literal["request", "answer", "icmp-error", "arp-request", "arp-reply"]
"""Which of the packets of a probe a sighting is of; ARP is what its packets made the kernel ask on the way."""


class Grade(Enum):
    """What a claim about a packet rests on, the surest first."""

    DROP = "the kernel reported the drop of this packet"
    ERROR = "an ICMP error says so"
    TRACED = "the rule set's own trace of this packet says so"
    COUNTED = "a counter of the kernel moved"
    LAST_SEEN = "it was seen here and nowhere after"
    ANSWERED = "the kernel says so when it is asked"
    HELD = "read back from the kernel"
    PREDICTED = "follows from what the kernel holds, by the model"


class Sighting(NamedTuple):
    """A packet of the probe on an interface: sent (``out``) or received (``in``) by it, in the order of time.

    `encapsulated` says that it was the inner packet of a VXLAN packet.
    """

    time_ns: int
    namespace: str
    device: str
    direction: Literal["in", "out"]
    part: Part
    frame: Frame
    encapsulated: bool
    source: Address
    """Source address of the innermost packet, as it was here."""
    destination: Address
    ports: tuple[int, int] = (0, 0)
    """Source and destination port of the innermost packet; of an echo, its identifier twice."""

    @property
    def interface(self) -> str:
        """``NAMESPACE:DEVICE``."""
        return f"{self.namespace}:{self.device}"


@dataclass(frozen=True, slots=True)
class Loss:
    """Where a packet of the probe ended. `reason` is the kernel's own (``IP_RPFILTER``), where it was reported."""

    namespace: str
    device: str
    part: Part
    grade: Grade
    reason: str | None = None
    location: str | None = None
    time_ns: int = 0
    """When, on the clock of the sightings."""

    @property
    def interface(self) -> str:
        """``NAMESPACE:DEVICE``."""
        return f"{self.namespace}:{self.device}"


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMP error as its addressee got it."""

    type: int
    code: int
    source: Address
    mtu: int | None = None

    @property
    def refuses(self) -> bool:
        """Whether it says that nobody listens there: an unreachable port or protocol."""
        if self.source.version == 6:
            return (self.type, self.code) in ((1, 4), (4, 1))
        return self.type == 3 and self.code in (2, 3)

    @property
    def too_big(self) -> bool:
        """Whether the packet was longer than the way takes, which is no reason to give up."""
        return (self.type, self.code) == (3, 4) if self.source.version == 4 else self.type == 2

    @property
    def errno(self) -> int:
        """The error number that a socket has of it (`icmp_err_convert` in net/ipv4/icmp.c, `icmpv6_err_convert` in net/ipv6/icmp.c)."""
        if self.source.version == 6:
            return _ERRNOS_V6.get((self.type, self.code), errno.EHOSTUNREACH if self.type == 3 else errno.EPROTO)
        if self.type == 3:
            return _ERRNOS.get(self.code, errno.EHOSTUNREACH)
        return errno.EHOSTUNREACH if self.type == 11 else errno.EPROTO

    @property
    def in_transit(self) -> bool:
        """Whether the packet ran out of hops on its way."""
        return self.type == (3 if self.source.version == 6 else 11)

    @property
    def name(self) -> str:
        """The name of type and code, as in RFC 792, RFC 1122, RFC 1812 and RFC 4443."""
        if self.source.version == 6:
            return _ICMPV6.get((self.type, self.code), f"icmpv6-{self.type}-{self.code}")
        if self.type == 3:
            return _UNREACHABLE.get(self.code, f"unreachable-{self.code}")
        return {11: "ttl-exceeded", 5: "redirect", 12: "parameter-problem"}.get(self.type, f"icmp-{self.type}-{self.code}")


_ICMPV6 = {
    (1, 0): "no-route",
    (1, 1): "admin-prohibited",
    (1, 2): "beyond-scope",
    (1, 3): "addr-unreachable",
    (1, 4): "port-unreachable",
    (1, 5): "policy-fail",
    (1, 6): "reject-route",
    (2, 0): "packet-too-big",
    (3, 0): "ttl-exceeded",
    (4, 1): "unknown-next-header",
    (137, 0): "redirect",
}
_UNREACHABLE = {
    0: "net-unreachable",
    1: "host-unreachable",
    2: "protocol-unreachable",
    3: "port-unreachable",
    4: "fragmentation-needed",
    9: "net-prohibited",
    10: "host-prohibited",
    13: "admin-prohibited",
}


_ERRNOS_V6: Final = {
    (1, 0): errno.ENETUNREACH,
    (1, 1): errno.EACCES,
    (1, 2): errno.EHOSTUNREACH,
    (1, 3): errno.EHOSTUNREACH,
    (1, 4): errno.ECONNREFUSED,
    (1, 5): errno.EACCES,
    (1, 6): errno.EACCES,
}
_ERRNOS: Final = {
    0: errno.ENETUNREACH,
    2: errno.ENOPROTOOPT,
    3: errno.ECONNREFUSED,
    4: errno.EMSGSIZE,
    5: errno.EOPNOTSUPP,
    6: errno.ENETUNREACH,
    7: errno.EHOSTDOWN,
    8: errno.ENONET,
    9: errno.ENETUNREACH,
    11: errno.ENETUNREACH,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request."""

    request: Request
    result: Result
    duration_ns: int
    icmp: IcmpError | None = None
    errno: int | None = None
    """The error number a local call got, when one did."""
    seen_as: Address | None = None
    """Source address of the request where it was received last."""
    ttl: int | None = None
    """TTL of the answer as the sender got it."""
    status: int | None = None
    """HTTP status."""
    peer: tuple[str, int] | None = None
    """HTTP: address and port curl talked to: the server's, or the proxy's."""
    body: str = ""
    """HTTP: the answer's body."""
    answers: tuple[Address, ...] = ()
    rcode: str | None = None
    hops: tuple[Address | None, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    neighbour_talk: tuple[Sighting, ...] = ()
    """All ARP seen while it ran, other probes' as well."""
    drops: tuple[Loss, ...] = ()
    """Every drop of a packet of the probe that the kernel reported."""
    loss: Loss | None = None
    incomplete: bool = False
    """The observer missed packets while the probe ran: that something was not seen proves nothing."""
    rate_limited: bool = False
    """A namespace on the way withheld ICMP errors by its rate limit while the probe ran: silence proves nothing."""
    neighbour_table_full: bool = False
    """The machine had no room for another neighbour while the probe ran, so that it may have been lost to the machine, not to the lab."""
    crossed: tuple[tuple[Part, str], ...] = ()
    """What is left of the sightings once they were let go: each part with each interface it was seen on, in order."""

    def without_sightings(self) -> Outcome:
        """Return the outcome without the packets seen, which are many; where they were seen is kept."""
        crossed = tuple(dict.fromkeys((s.part, s.interface) for s in self.sightings))
        return replace(self, sightings=(), neighbour_talk=(), drops=(), crossed=crossed)

    @property
    def sent(self) -> bool:
        """Whether the request was seen to leave its sender."""
        return any(s.part == "request" and s.namespace == self.request.source for s in self.sightings)

    def interfaces(self, part: Part | None = None) -> tuple[str, ...]:
        """Return the interfaces the probe (or one part of it) was seen on, in order, each once."""
        crossed = self.crossed or ((s.part, s.interface) for s in self.sightings)
        return tuple(dict.fromkeys(interface for of, interface in crossed if part in (None, of)))
