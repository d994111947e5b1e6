"""Impairments on a kernel with netem, and on one without.

Without netem, loss and damage are rules at the egress hook of the device, which see what it sends as netem would: a random number decides
about each packet. A damaged packet gets a wrong check sum (IPv4) or version (IPv6), so that whoever looks at it next discards it; netem
turns over any bit, and a damaged frame may get farther. A rate is a token bucket either way. What is delayed waits in a program
(`lab.kernel.delays`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Final

from lab.errors import MachineError
from lab.kernel.delays import WAITING_ROOM, can_wait, delay_of, delayed, sent_away, waiting_room, with_detours, without_detours
from lab.kernel.syscalls import Namespace as KernelNamespace
from lab.kernel.syscalls import unshare
from lab.kernel.trials import load_detour, make_netem
from lab.state import Impairment, Link, Namespace, State
from lab.state.nft import Chain, Counter, Mangle, Match, NftRule, NftTable, Numgen, Payload, Statement, Verdict

TABLE: Final = "lab-impairment"
_LOSS, _CORRUPTION = "loss", "corruption"
_WHOLE: Final = 10_000
_WRONG: Final = 0xDEAD
"""A check sum that is the right one of one header in 65536."""
_NO_VERSION: Final = 5


def is_impaired(state: State) -> bool:
    """Whether a link of a state is impaired by more than a rate."""
    return any(link.impairment not in (None, _rate_of(link)) for namespace in state for link in namespace.links)


@cache
def has_netem() -> bool:
    """Whether this kernel has netem, found by trying in a network namespace that a thread takes with it when it ends."""
    return _works(make_netem)


@cache
def has_detours() -> bool:
    """Whether rules of this kernel can send a frame by another device, found in the same way."""
    return _works(load_detour)


def _works(deed: Callable[[], None]) -> bool:
    found: list[bool] = []

    def attempt() -> None:
        with suppress(OSError):
            unshare(KernelNamespace.NET)
            deed()
            found.append(True)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return found == [True]


def realised(state: State, *, netem: bool | None = None, detours: bool | None = None) -> State:
    """Return a state as the kernel can hold it: as it is where there is netem, otherwise with what stands in for it.

    Raises MachineError for a delay that nothing stands in for. `netem` and `detours` say whether there are; by default it is found out
    where that matters.
    """
    if not is_impaired(state) or (has_netem() if netem is None else netem):
        return state
    for namespace in state:
        for link in delayed(namespace):
            _check_delay(namespace, link, detours)
    namespaces = {namespace.name: _stood_in(namespace) for namespace in state}
    room = waiting_room(state)
    return replace(state, namespaces=namespaces if room is None else {**namespaces, WAITING_ROOM: room})


def _check_delay(namespace: Namespace, link: Link, detours: bool | None) -> None:
    if can_wait(link) and (has_detours() if detours is None else detours):
        return
    lacking = "sch_netem, or rules that forward frames" if can_wait(link) else "sch_netem: what stands in for that takes Ethernet frames"
    raise MachineError(
        f"{namespace.name}:{link.name} is to delay packets, which is not available here: it needs {lacking}",
        place=next(iter(link.provenance.places()), None),
        hint="use a kernel with CONFIG_NET_SCH_NETEM (`lab doctor` says what there is); loss, corruption and rate work without",
    )


def _stood_in(namespace: Namespace) -> Namespace:
    impaired = [(link, link.impairment) for link in namespace.links if link.impairment not in (None, _rate_of(link))]
    chains = tuple(chain for link, impairment in impaired for chain in _chains(link, impairment))
    if not chains:
        return namespace
    detoured = with_detours(namespace)
    links = tuple(replace(link, impairment=_rate_of(link)) for link in detoured.links)
    return replace(detoured, links=links, tables=(*namespace.tables, NftTable("netdev", TABLE, chains)))


def _rate_of(link: Link) -> Impairment | None:
    there = link.impairment
    return Impairment(rate=there.rate, bucket=there.bucket) if there is not None and there.rate else None


def _chains(link: Link, impairment: Impairment) -> tuple[Chain, ...]:
    losses = tuple(_losses(impairment))
    if impairment.delay:
        return sent_away(link, impairment.delay, losses)
    return (Chain(link.name, losses, "filter", "egress", 0, "accept", (link.name,)),)


def _losses(impairment: Impairment) -> Iterator[NftRule]:
    if impairment.loss:
        yield _rule(impairment.loss, _LOSS, Counter(), Verdict("drop"))
    if impairment.corruption:
        # A match on the protocol is implied by a header field, as nft(8) has it.
        yield _rule(impairment.corruption, _CORRUPTION, Mangle(Payload("ip", "checksum"), _WRONG), Counter())
        yield _rule(impairment.corruption, _CORRUPTION, Mangle(Payload("ip6", "version"), _NO_VERSION), Counter())


def _rule(chance: int, name: str, *then: Statement) -> NftRule:
    """A rule for `chance` of ten thousand packets. nft refuses to compare with what no such number can be."""
    return NftRule((Match(Numgen("random", _WHOLE), chance - 1, "<="), *then), comment=name)


def recognised(namespaces: Mapping[str, Namespace]) -> dict[str, Namespace]:
    """Return namespaces as they were read, with what stands in for an impairment told as the impairment."""
    return {name: _recognised(namespace) for name, namespace in without_detours(namespaces).items()}


def _recognised(namespace: Namespace) -> Namespace:
    table = next((table for table in namespace.tables if (table.family, table.name) == ("netdev", TABLE)), None)
    if table is None:
        return namespace
    rules = {device: chain.rules for chain in table.chains if chain.hook == "egress" for device in chain.devices}
    links = tuple(_with_rules(link, rules[link.name]) if rules.get(link.name) else link for link in namespace.links)
    return replace(namespace, links=links, tables=tuple(other for other in namespace.tables if other is not table))


def _with_rules(link: Link, rules: Iterable[NftRule]) -> Link:
    chances = {
        rule.comment: statement.right + 1
        for rule in rules
        if rule.comment is not None
        for statement in rule.statements
        if isinstance(statement, Match) and isinstance(statement.left, Numgen) and isinstance(statement.right, int)
    }
    there = link.impairment or Impairment()
    impairment = replace(there, loss=chances.get(_LOSS, 0), corruption=chances.get(_CORRUPTION, 0), delay=delay_of(rules))
    return replace(link, impairment=impairment)
