"""The default intents: what everybody wants without saying so. What was wrong before is no fault of the change, and is noted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final, get_args

from lab.forwarding import Reason
from lab.spec.intents import Default
from lab.state import State
from lab.validate.fates import Asked, Fate, Key, Survey
from lab.validate.findings import gather
from lab.validate.result import Check, Finding, Status

DEFAULTS: Final[tuple[Default, ...]] = get_args(Default)
TITLES: Final[dict[Default, str]] = {
    "nothing-lost": "nothing is lost that worked",
    "nothing-opened": "nothing is open that was closed",
    "no-loop": "no packet circulates",
    "no-one-way": "nobody is heard without hearing the answer",
    "no-rp-filter": "no packet is refused by its source address (rp_filter)",
    "no-black-hole": "no path swallows long packets in silence",
}
_WRONG: Final[dict[Default, Callable[[Fate], bool]]] = {
    "no-loop": lambda fate: fate.loops,
    "no-one-way": lambda fate: fate.answer == "one-way",
    "no-rp-filter": lambda fate: not fate.works and fate.cause is Reason.RP_FILTER,
}


def default_checks(
    survey: Survey, before: Asked, after: Asked, covered: Collection[Key], wanted: Collection[Default] = DEFAULTS
) -> Iterator[Check]:
    """Judge the default intents about every question that no intent of the user's speaks about."""
    keys = [key for key in after.fates if key not in covered]
    moved = [key for key in keys if before[key] != after[key]]
    shifted = frozenset(moved)
    for name in DEFAULTS:
        if name not in wanted:
            continue
        if name == "nothing-lost":
            yield _changed(survey, name, before, after, [key for key in moved if before[key].works and not _may(after[key])])
        elif name == "nothing-opened":
            yield _changed(survey, name, before, after, [key for key in moved if _may(after[key]) and _shut(before[key])])
        elif name == "no-black-hole":
            yield _black_holes(survey, before, after, [key for key in keys if key in shifted or _resized(key, before, after)])
        else:
            wrong = _WRONG[name]
            new = [key for key in moved if wrong(after[key]) and not wrong(before[key])]
            old = sum(wrong(before[key]) and wrong(after[key]) for key in keys)
            yield _changed(survey, name, before, after, new, f"{old} questions were like that before" if old else "")
    lots = [key for key in moved if after[key].answer == "depends" and before[key].works]
    if lots:
        found = gather(survey, lots, before, after, str)
        yield Check("left-to-chance", "nothing that worked is left to chance (ECMP, a random backend)", Status.FAILED, found)
    unknown = [key for key in moved if after[key].answer == "unknown" and before[key].answer != "unknown"]
    if unknown:
        yield Check("unknown", "the model can tell what becomes of every packet", Status.UNDECIDED, gather(survey, unknown, before, after))


def _may(fate: Fate) -> bool:
    return fate.answer in ("reply", "depends", "unknown")


def _shut(fate: Fate) -> bool:
    return fate.answer in ("lost", "one-way")


def _changed(survey: Survey, name: Default, before: Asked, after: Asked, keys: list[Key], note: str = "") -> Check:
    found = gather(survey, keys, before, after)
    return Check(name, TITLES[name], Status.FAILED if found else Status.HELD, found, note=note)


def _resized(key: Key, before: Asked, after: Asked) -> bool:
    """Whether a conversation goes as before by a namespace in which a link or a route has another MTU: short packets do not notice."""
    return after[key] is not before[key] and any(_mtus(before.state, name) != _mtus(after.state, name) for name in after[key].came_by)


def _mtus(state: State, name: str) -> object:
    namespace = state.namespaces.get(name)
    if namespace is None:
        return None
    return [link.mtu for link in namespace.links], [(route.key, route.mtu) for route in namespace.routes if route.mtu is not None]


def _black_holes(survey: Survey, before: Asked, after: Asked, suspects: list[Key]) -> Check:
    """Look for paths on which long packets die and nobody tells their sender: one that is new, or has another MTU, can have become one."""
    found: dict[tuple[object, ...], list[Key]] = {}
    for key in suspects:
        if after[key].works and key.kind.protocol == "icmp":
            found.setdefault((key.version, after[key].path, after[key].path_back), []).append(key)
    findings: list[Finding] = []
    for keys in found.values():
        limit = survey.limit(after, keys[0])
        if limit is None or limit.told:
            continue
        was = survey.limit(before, keys[0]) if before[keys[0]].works else None
        if was is not None and not was.told and was.largest <= limit.largest:
            continue
        for one in gather(survey, keys, before, after):
            old = f"answered up to {was.largest} bytes" if was is not None else one.before
            findings.append(
                Finding(one.sources, one.kind, one.addresses, old, f"answered up to {limit.largest} bytes; beyond, {limit.beyond}")
            )
    return Check("no-black-hole", TITLES["no-black-hole"], Status.FAILED if findings else Status.HELD, tuple(findings))
