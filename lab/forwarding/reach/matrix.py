"""Who reaches what: for every namespace every address, as few CIDRs as possible, with the reason of every loss.

Each class of addresses that the network tells apart is asked about once, by the explainer, so policy rules, rule sets,
translation, tunnels and the way back all count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from lab.forwarding.conversation import Conversation, trace
from lab.forwarding.flow import Flow
from lab.forwarding.memory import Memory
from lab.forwarding.network import Network
from lab.forwarding.reach.classes import Nesting, distinctions, join, nest, own_part, representative
from lab.forwarding.reach.sizes import SizeLimit, size_limit
from lab.forwarding.results import Dropped, Trace
from lab.state import State
from lab.state.objects import Address
from lab.state.objects import Network as Prefix

Answer = Literal["reply", "one-way", "lost", "depends", "unknown"]
"""``one-way``: the question arrives, the answer does not come home. ``depends``: on what is left to chance."""

SPECIAL_4 = (IPv4Network("0.0.0.0/8"), IPv4Network("127.0.0.0/8"), IPv4Network("224.0.0.0/3"))
SPECIAL_6 = (IPv6Network("::/127"), IPv6Network("fe80::/10"), IPv6Network("ff00::/8"))
SOLICITED = IPv6Network("ff02::1:ff00:0/104")
SPECIAL: Mapping[int, tuple[Prefix, ...]] = {4: SPECIAL_4, 6: SPECIAL_6}
"""Addresses that are nobody's to ask about, by version of IP: unspecified, loopback, multicast; those of IPv6 that mean something on a
link alone."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one namespace experiences with one set of addresses."""

    source: str
    addresses: tuple[Prefix, ...]
    answer: Answer
    outcome: str
    """What the sender notices."""
    reason: str = ""
    """Where and why the packet, or its answer, is lost."""
    path: tuple[str, ...] = ()
    path_back: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    """For ``depends``: the lots that decide, and as which of them the packet is lost (``ECMP in core: eth1 via 10.0.0.2``)."""
    limit: SizeLimit | None = None
    """Up to which size packets are answered, where that was asked for and is less than the sender's MTU."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The whole matrix."""

    cells: tuple[Cell, ...]

    def of(self, source: str) -> tuple[Cell, ...]:
        """Return the row of a namespace."""
        return tuple(cell for cell in self.cells if cell.source == source)

    def answering(self, answer: Answer) -> tuple[Cell, ...]:
        """Return the cells with one kind of answer: what is one-way, what depends on chance."""
        return tuple(cell for cell in self.cells if cell.answer == answer)

    @property
    def one_way(self) -> tuple[Cell, ...]:
        """Return who is heard by whom without hearing an answer."""
        return self.answering("one-way")

    @property
    def left_to_chance(self) -> tuple[Cell, ...]:
        """Return who has an answer or not as lots fall: the hash of ECMP, a random backend."""
        return self.answering("depends")

    @property
    def limited(self) -> tuple[Cell, ...]:
        """Return who has answers up to some size only; nothing where `sizes` was not asked for."""
        return tuple(cell for cell in self.cells if cell.limit is not None)

    def cell(self, source: str, address: Address) -> Cell:
        """Return what a namespace experiences with an address. KeyError for one no packet can have."""
        for cell in self.of(source):
            if any(address in part for part in cell.addresses):
                return cell
        raise KeyError(address)


def reach(
    where: State | Network,
    *,
    sources: Iterable[str] | None = None,
    within: Iterable[Prefix] = (),
    flow: Flow | None = None,
    also: Iterable[Prefix] = (),
    sizes: bool = False,
) -> Reach:
    """Ask every source about every class of addresses.

    `within` limits the addresses to exactly those, `flow` is the kind of packet (source and destination are replaced; the version of the
    latter says whether IPv4 or IPv6 is asked about), `also` names prefixes that are to be told apart besides those the network tells apart.
    `sizes` asks of whatever is answered up to which size that holds.
    """
    network = where if isinstance(where, Network) else Network(where)
    wanted = tuple(within)
    kind = flow or Flow("", IPv4Address(0))
    version: Literal[4, 6] = kind.destination.version
    nesting: Nesting[Prefix] = nest((*distinctions(network.state, version), *SPECIAL[version], *also, *wanted), version)
    numbers = [number for number in range(len(nesting.prefixes)) if _is_wanted(nesting, number, wanted)]
    names = tuple(sources) if sources is not None else tuple(n.name for n in network.state if speaks(network, n.name, version))
    return Reach(tuple(cell for name in names for cell in _row(network, nesting, numbers, name, kind, sizes=sizes)))


def versions(*states: State) -> tuple[Literal[4, 6], ...]:
    """Return the versions of IP that a network speaks: IPv6 where somebody has an address of it that means something beyond its link."""
    networks = [Network(state) for state in states]
    six = any(speaks(network, name, 6) for network in networks for name in network.state.namespaces)
    return (4, 6) if six else (4,)


def speaks(network: Network, name: str, version: int) -> bool:
    """Whether a namespace has an address of a version of IP, of IPv6 one that means something beyond its link."""
    node = network.node(name)
    if version == 4:
        return bool(node.own_addresses)
    return any(not is_special(IPv6Network(address)) for address in node.own_addresses6)


def _is_wanted(nesting: Nesting[Prefix], number: int, within: tuple[Prefix, ...]) -> bool:
    prefix = nesting.prefixes[number]
    return not is_special(prefix) and (not within or any(_is_inside(prefix, part) for part in within))


def is_special(prefix: Prefix) -> bool:
    """Whether addresses are nobody's to ask about."""
    return any(_is_inside(prefix, special) for special in SPECIAL[prefix.version])


def _is_inside(prefix: Prefix, other: Prefix) -> bool:
    return prefix.version == other.version and prefix.prefixlen >= other.prefixlen and prefix.network_address in other


Key = tuple[Answer, str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...], SizeLimit | None]
"""What the addresses of a cell have in common: its fields from `answer` on."""


def _row(network: Network, nesting: Nesting[Prefix], numbers: list[int], name: str, kind: Flow, *, sizes: bool) -> list[Cell]:
    groups: dict[Key, list[Prefix]] = {}
    limits: dict[tuple[object, ...], SizeLimit | None] = {}
    for number in numbers:
        address = representative(nesting, number)
        if address is None:
            continue
        found = trace(network, replace(kind, source=name, destination=address), memory=Memory())
        answer, paths, limit = answer_of(found), _paths(found), None
        if sizes and answer == "reply":
            limit = limits[paths] = size_limit(network, found, limits.get(paths))
        texts = (str(found.outcome), reason_of(found))
        outcome, reason = (without(text, address) for text in texts)
        key: Key = (answer, outcome, reason, *paths, _lots(found) if answer == "depends" else (), _limit_without(limit, address))
        groups.setdefault(key, []).extend(own_part(nesting, number))
    return [Cell(name, join(parts), *key) for key, parts in groups.items()]


def _lots(conversation: Conversation) -> tuple[str, ...]:
    """Return the lots with which the conversation fails."""
    lost = (world for world in conversation.worlds if world.outcome.kind != "reply")
    return tuple(dict.fromkeys(", ".join(f"{choice.what}: {choice.meaning}" for choice in world.choices) for world in lost))


def _limit_without(limit: SizeLimit | None, address: Address) -> SizeLimit | None:
    return None if limit is None else replace(limit, beyond=without(limit.beyond, address))


def without(text: str, address: Address, called: str = "the receiver") -> str:
    """Put no single address into the text for a whole class; `called` is put there instead."""
    said = str(address)
    if isinstance(address, IPv6Address):
        group = IPv6Address(int(SOLICITED.network_address) | int(address) & 0xFFFFFF)  # RFC 4291, 2.7.1
        text = text.replace(str(group), "its solicited-node group")
        before, after = r"(?<![0-9a-f:])", r"(?![0-9a-f/]|:[0-9a-f:])"
    else:
        before, after = r"(?<![\d.])", r"(?![\d/]|\.\d)"
    if said not in text:
        return text
    own, alone = before + re.escape(said), f"/{address.max_prefixlen}"
    return re.sub(own + after, called, re.sub(rf"{own}{alone}(?!\d)", f"its own {alone}", text))


def answer_of(conversation: Conversation) -> Answer:
    """Return what a conversation comes to, over all worlds."""
    kinds = {world.outcome.kind for world in conversation.worlds}
    if "unknown" in kinds or conversation.incomplete:
        return "unknown"
    if kinds == {"reply"}:
        return "reply"
    if "reply" in kinds:
        return "depends"
    return "one-way" if all(world.seen is not None for world in conversation.worlds) else "lost"


def reason_of(conversation: Conversation) -> str:
    """Return where and why the first packet that got lost did."""
    lost: Trace | None = next((one for one in conversation.traces if isinstance(one.verdict, Dropped)), None)
    if lost is None or conversation.outcome.kind == "reply":
        return ""
    return f"{lost.purpose} {lost.verdict}"


def _paths(conversation: Conversation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    reply = conversation.reply
    return conversation.request.path, reply.path if reply is not None else ()
