"""From single questions to findings: the same thing that happens to several senders with several addresses, said once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lab.forwarding.reach.classes import join
from lab.state.objects import Network
from lab.validate.fates import Asked, Fate, Key, Survey
from lab.validate.result import Finding

Say = Callable[[Fate], str]


def short(fate: Fate) -> str:
    """Say what becomes of a packet without the way it takes."""
    return "answered" if fate.works else str(fate)


def gather(survey: Survey, keys: Iterable[Key], before: Asked, after: Asked, say: Say = short) -> tuple[Finding, ...]:
    """Put questions together: first the addresses of one sender, then the senders of one set of addresses."""
    of_sender: dict[tuple[str, str, int, str, str], list[Network]] = {}
    for key in keys:
        texts = say(before[key]), say(after[key])
        of_sender.setdefault((key.source, str(key.kind), key.version, *texts), []).extend(survey.addresses(key))
    together: dict[tuple[str, tuple[Network, ...], str, str], list[str]] = {}
    for (source, kind, _, was, now), parts in of_sender.items():
        together.setdefault((kind, join(parts), was, now), []).append(source)
    return tuple(Finding(tuple(sources), kind, parts, was, now) for (kind, parts, was, now), sources in together.items())
