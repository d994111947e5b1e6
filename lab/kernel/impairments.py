"""Impairments on a kernel with netem, and on one without.

Without netem, loss and damage are rules at the egress hook of the device, which see what it sends as netem would: a random number decides
about each packet. A damaged packet gets a wrong check sum (IPv4) or version (IPv6), so that whoever looks at it next discards it; netem
turns over any bit, and a damaged frame may get farther. A rate is a token bucket either way. A delay takes netem.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Final

from lab.errors import MachineError
from lab.kernel.syscalls import Namespace as KernelNamespace
from lab.kernel.syscalls import unshare
from lab.kernel.trials import make_netem
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
    found: list[bool] = []

    def attempt() -> None:
        with suppress(OSError):
            unshare(KernelNamespace.NET)
            make_netem()
            found.append(True)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return found == [True]


def realised(state: State, *, netem: bool | None = None) -> State:
    """Return a state as the kernel can hold it: as it is where there is netem, otherwise with rules for loss and damage.

    Raises MachineError for a delay where there is no netem. `netem` says whether there is; by default it is found out where that matters.
    """
    if not is_impaired(state) or (has_netem() if netem is None else netem):
        return state
    return replace(state, namespaces={namespace.name: _stood_in(namespace) for namespace in state})


def _stood_in(namespace: Namespace) -> Namespace:
    for link in namespace.links:
        if link.impairment is not None and link.impairment.delay:
            raise MachineError(
                f"{namespace.name}:{link.name} is to delay packets, which is not available here: it needs sch_netem",
                place=next(iter(link.provenance.places()), None),
                hint="use a kernel with CONFIG_NET_SCH_NETEM (`lab doctor` says what there is); loss, corruption and rate work without",
            )
    chains = tuple(chain for link in namespace.links if link.impairment is not None and (chain := _chain(link, link.impairment)).rules)
    if not chains:
        return namespace
    links = tuple(replace(link, impairment=_rate_of(link)) for link in namespace.links)
    return replace(namespace, links=links, tables=(*namespace.tables, NftTable("netdev", TABLE, chains)))


def _rate_of(link: Link) -> Impairment | None:
    return Impairment(rate=link.impairment.rate) if link.impairment is not None and link.impairment.rate else None


def _chain(link: Link, impairment: Impairment) -> Chain:
    rules = []
    if impairment.loss:
        rules.append(_rule(impairment.loss, _LOSS, Counter(), Verdict("drop")))
    if impairment.corruption:
        # A match on the protocol is implied by a header field, as nft(8) has it.
        rules.append(_rule(impairment.corruption, _CORRUPTION, Mangle(Payload("ip", "checksum"), _WRONG), Counter()))
        rules.append(_rule(impairment.corruption, _CORRUPTION, Mangle(Payload("ip6", "version"), _NO_VERSION), Counter()))
    return Chain(link.name, tuple(rules), "filter", "egress", 0, "accept", (link.name,))


def _rule(chance: int, name: str, *then: Statement) -> NftRule:
    """A rule for `chance` of ten thousand packets. nft refuses to compare with what no such number can be."""
    return NftRule((Match(Numgen("random", _WHOLE), chance - 1, "<="), *then), comment=name)


def recognised(namespaces: Mapping[str, Namespace]) -> dict[str, Namespace]:
    """Return namespaces as they were read, with what stands in for an impairment told as the impairment."""
    return {name: _recognised(namespace) for name, namespace in namespaces.items()}


def _recognised(namespace: Namespace) -> Namespace:
    table = next((table for table in namespace.tables if (table.family, table.name) == ("netdev", TABLE)), None)
    if table is None:
        return namespace
    chances = {device: _chances(chain.rules) for chain in table.chains for device in chain.devices}
    links = tuple(_with_chances(link, chances[link.name]) if chances.get(link.name) else link for link in namespace.links)
    return replace(namespace, links=links, tables=tuple(other for other in namespace.tables if other is not table))


def _chances(rules: Iterable[NftRule]) -> dict[str, int]:
    return {
        rule.comment: statement.right + 1
        for rule in rules
        if rule.comment is not None
        for statement in rule.statements
        if isinstance(statement, Match) and isinstance(statement.left, Numgen) and isinstance(statement.right, int)
    }


def _with_chances(link: Link, chances: Mapping[str, int]) -> Link:
    impairment = replace(link.impairment or Impairment(), loss=chances.get(_LOSS, 0), corruption=chances.get(_CORRUPTION, 0))
    return replace(link, impairment=impairment)
