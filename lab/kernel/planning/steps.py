"""The steps a plan consists of. Each is data: what to send or write, where, and on whose account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from lab.kernel.planning.wording import Object, describe
from lab.state import Link, Provenance
from lab.state.nft import NftTable

Indexes = Mapping[str, Mapping[str, int]]
"""The interface index of every link, by namespace and name."""


class Phase(IntEnum):
    """The order in which a plan is executed. What is later may rely on what is earlier being done in every namespace."""

    REMOVAL = 1
    NAMESPACES = 2
    SYSCTLS = 3
    LINKS = 4
    STACKED_LINKS = 5
    LINK_SYSCTLS = 6
    CONFIGURATION = 7
    DELAYS = 8
    RULE_SETS = 9
    BARRIER = 10
    NEXTHOPS = 11

    @property
    def title(self) -> str:
        """What the phase does."""
        return _TITLES[self]


_TITLES = {
    Phase.REMOVAL: "remove links and namespaces",
    Phase.NAMESPACES: "create namespaces",
    Phase.SYSCTLS: "write sysctls that new links inherit",
    Phase.LINKS: "create bridges, veth pairs and tun devices",
    Phase.STACKED_LINKS: "create links on links, set ports and settings",
    Phase.LINK_SYSCTLS: "write sysctls of links",
    Phase.CONFIGURATION: "set links up; addresses, neighbours, FDB entries, routes, rules",
    Phase.DELAYS: "let frames wait in the relay",
    Phase.RULE_SETS: "load nft rule sets",
    Phase.BARRIER: "wait until links forward",
    Phase.NEXTHOPS: "nexthop objects, which need a carrier, and the routes that name them",
}


class Verb(Enum):
    """What a message asks of the kernel for its object."""

    ADD = "add"
    REPLACE = "replace"
    DELETE = "delete"
    UP = "set up"
    DOWN = "set down"
    MASTER = "set master of"
    PORT = "set port options of"
    MTU = "set mtu of"
    MAC = "set address of"
    ARP = "set ARP of"
    OPTIONS = "set options of"
    QUEUE = "set the queueing discipline of"
    NO_LINK_LOCAL = "keep IPv6 from choosing an address for"


@dataclass(frozen=True, slots=True)
class Subject:
    """What one message of a batch is about."""

    verb: Verb
    object: Object

    def __str__(self) -> str:
        return f"{self.verb.value} {describe(self.object)}"


@dataclass(frozen=True, slots=True)
class AddNamespace:
    """Make a network namespace."""

    namespace: str
    provenance: Provenance = field(compare=False, repr=False)
    phase: Phase = Phase.NAMESPACES

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        yield "add namespace"


@dataclass(frozen=True, slots=True)
class RemoveNamespace:
    """Let go of a network namespace, and with it of all its links."""

    namespace: str
    phase: Phase = Phase.REMOVAL

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        yield "remove namespace"


@dataclass(frozen=True, slots=True)
class WriteSysctls:
    """Write sysctls, in this order; None stands for the value that a new namespace, or a new link in this one, would have."""

    namespace: str
    phase: Phase
    values: tuple[tuple[str, str | None], ...]

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        for path, value in self.values:
            yield f"sysctl {path}" + (" back to its default" if value is None else f" = {value}")


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Send netlink messages in one go."""

    namespace: str
    phase: Phase
    messages: tuple[bytes, ...]
    runs: tuple[tuple[Verb, Sequence[Object]], ...]
    """What the messages are about, in their order: runs of objects with which the same is done."""
    far_ends: tuple[tuple[int, str], ...] = ()
    """Messages that create a veth pair, and the namespace whose descriptor goes into their last four bytes."""

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What each message is about."""
        return tuple(Subject(verb, thing) for verb, things in self.runs for thing in things)

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        return map(str, self.subjects)


@dataclass(frozen=True, slots=True)
class OpenTun:
    """Open a tun or tap device; the engine holds it open."""

    namespace: str
    link: Link
    index: int
    phase: Phase = Phase.LINKS

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        yield f"open {describe(self.link)}"


@dataclass(frozen=True, slots=True)
class CloseTun:
    """Close a tun or tap device, which ends it."""

    namespace: str
    link: Link
    phase: Phase = Phase.REMOVAL

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        yield f"close {describe(self.link)}"


@dataclass(frozen=True, slots=True)
class HeldEnd:
    """A device of the relay's namespace: what comes by it waits for so many milliseconds."""

    device: str
    index: int
    delay: int
    mtu: int


@dataclass(frozen=True, slots=True)
class HoldFrames:
    """Let the relay hold what comes by these devices, in place of those before; see `lab.kernel.delays`."""

    namespace: str
    ends: tuple[HeldEnd, ...]
    phase: Phase = Phase.DELAYS

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        for end in self.ends:
            yield f"hold what comes by {end.device} for {end.delay} ms"


@dataclass(frozen=True, slots=True)
class LoadRuleset:
    """Replace, add and delete nft tables in one transaction: either all of it is done or none."""

    namespace: str
    tables: tuple[NftTable, ...]
    """Those that are made, or made anew."""
    deleted: tuple[NftTable, ...]
    """Those that go first; a table that changes is among both."""
    phase: Phase = Phase.RULE_SETS

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        renewed = {(table.family, table.name) for table in self.tables}
        for table in self.deleted:
            if (table.family, table.name) not in renewed:
                yield f"delete table {table.family} {table.name}"
        gone = {(table.family, table.name) for table in self.deleted}
        for table in self.tables:
            verb = "replace" if (table.family, table.name) in gone else "add"
            rules = sum(len(chain.rules) for chain in table.chains)
            yield f"{verb} table {table.family} {table.name} ({len(table.chains)} chains, {rules} rules)"


@dataclass(frozen=True, slots=True)
class AwaitLinks:
    """Wait until the kernel has done what follows from these links being up; see `lab.kernel.barrier`."""

    namespace: str
    links: tuple[str, ...]
    with_ipv6: tuple[tuple[str, int], ...] = ()
    """Those, with their indexes, that have IPv6 addresses, which take a moment longer."""
    phase: Phase = Phase.BARRIER

    def lines(self) -> Iterator[str]:
        """What is done, one line each."""
        yield f"wait for {', '.join(self.links)}"


Step = AddNamespace | RemoveNamespace | WriteSysctls | SendBatch | OpenTun | CloseTun | HoldFrames | LoadRuleset | AwaitLinks
