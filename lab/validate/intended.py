"""What a user intends, judged: every intent about every sender and every address it speaks about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from lab.errors import InputError, InputErrors, Place, did_you_mean, quoted
from lab.forwarding import Reason
from lab.scenario.lookup import service_addresses
from lab.spec import Loaded
from lab.spec.findings import within
from lab.spec.intents import Intent, Intents
from lab.spec.selectors import SERVICE, has_wildcard, matching
from lab.spec.site import FAMILIES
from lab.state import State
from lab.state.objects import Network
from lab.validate.endpoints import own_addresses
from lab.validate.fates import Asked, Fate, Key, Kind, Survey
from lab.validate.findings import gather
from lab.validate.result import Check, Finding, Status, worst


@dataclass(frozen=True, slots=True)
class Bound:
    """An intent whose names were looked up in a network."""

    intent: Intent
    place: Place
    sources: frozenset[str]
    networks: tuple[Network, ...]

    @property
    def kind(self) -> Kind | None:
        """The kind of packet it speaks about, None for all."""
        return None if self.intent.protocol == "any" else Kind(self.intent.protocol, self.intent.port or 0)

    def keys(self, survey: Survey) -> list[Key]:
        """Return the questions it speaks about. A sender's own addresses are not among them."""
        return [
            key
            for key in survey.keys
            if self.kind in (None, key.kind)
            and key.source in self.sources
            and any(within(survey.prefix(key), one) for one in self.networks)
        ]

    @property
    def title(self) -> str:
        """The intent in words."""
        intent = self.intent
        over = f" over {intent.family}" if intent.family is not None else ""
        words = [f"{self.kind or 'everything'}{over} from {', '.join(intent.source)} to {', '.join(intent.to)}:", intent.fate]
        words += [f"because of {intent.reason}"] if intent.reason else []
        words += [f"at {intent.at}"] if intent.at else []
        words += [f"by way of {', '.join(intent.through)}"] if intent.through else []
        words += [f"not by {', '.join(intent.avoids)}"] if intent.avoids else []
        words += [f"up to {intent.size} bytes"] if intent.size else []
        return " ".join([*words, *(["all the time"] if intent.always else [])])


@dataclass(slots=True)
class _Binder:
    loaded: Loaded[Intents]
    states: Sequence[State]
    mistakes: list[InputError] = field(default_factory=list)

    def bind(self) -> Iterator[Bound]:
        for index, intent in enumerate(self.loaded.model.expect):
            sources = self._names(intent.source, ("expect", index, "from"))
            networks = [
                network for number, to in enumerate(intent.to) for network in self._meant(intent, to, ("expect", index, "to", number))
            ]
            for key in ("through", "avoids"):
                self._names(getattr(intent, key), ("expect", index, key))
            if intent.at is not None:
                self._names((intent.at,), ("expect", index, "at"))
            yield Bound(intent, self.loaded.place("expect", index), frozenset(sources), tuple(networks))

    @property
    def _known(self) -> list[str]:
        return list(dict.fromkeys(name for state in self.states for name in state.namespaces))

    def _names(self, patterns: Sequence[str], path: tuple[str | int, ...]) -> list[str]:
        found: list[str] = []
        for number, pattern in enumerate(patterns):
            meant = matching(pattern, self._known)
            if not meant:
                where = self.loaded.place(*path, number)
                what = "nothing in the network matches" if has_wildcard(pattern) else "the network has no"
                self.mistakes.append(InputError(f"{what} {quoted(pattern)}", place=where, hint=did_you_mean(pattern, self._known, "name")))
            found += meant
        return found

    def _meant(self, intent: Intent, to: str, path: tuple[str | int, ...]) -> list[Network]:
        """Return the networks that an intent means, of the versions of IP that it is about."""
        found = self._networks(to, path)
        if intent.family is None:
            return found
        meant = [network for network in found if network.version == FAMILIES[intent.family]]
        if found and not meant:
            message = f"{quoted(to)} has no address of {intent.family}, which `family` says"
            self.mistakes.append(InputError(message, place=self.loaded.place(*path)))
        return meant

    def _networks(self, to: str, path: tuple[str | int, ...]) -> list[Network]:
        place = self.loaded.place(*path)
        if to.startswith(SERVICE):
            try:
                return [ip_network(address) for address in service_addresses(self.states[-1], to.removeprefix(SERVICE)).values()]
            except InputError as error:
                self.mistakes.append(error.at(place))
                return []
        try:
            return [ip_network(to)]
        except ValueError:
            if (to[:1].isdigit() and "/" in to) or ":" in to:
                self.mistakes.append(InputError(f"{quoted(to)} is no network without host bits", place=place))
                return []
            return [
                ip_network(address)
                for name in self._names((to,), path)
                for state in self.states
                if name in state.namespaces
                for address in own_addresses(state[name])
            ]


def bind(loaded: Loaded[Intents], states: Sequence[State]) -> tuple[Bound, ...]:
    """Look up what the intents name, in the states before and after. Raises InputErrors with every name that is not there."""
    binder = _Binder(loaded, states)
    found = tuple(binder.bind())
    if binder.mistakes:
        raise InputErrors(binder.mistakes)
    return found


def judge(bound: Bound, survey: Survey, before: Asked, after: Asked, all_the_time: Sequence[Asked] = ()) -> Check:
    """Judge an intent after the change; one that is to hold all the time, in every state on the way as well."""
    keys = [key for key in bound.keys(survey) if key in after.fates and not _own(after.state, survey, key)]
    intent = bound.intent
    if not keys:
        note = "it speaks about nobody that is there" if not bound.sources or not bound.networks else "nothing there is asked for"
        return Check("intent", bound.title, Status.UNDECIDED, place=bound.place, because=intent.because, note=note)
    findings: list[Finding] = []
    statuses: list[Status] = [Status.HELD]
    for asked in (*(all_the_time if intent.always else ()), after):
        problems: dict[str, list[Key]] = {}
        for key in keys:
            status, problem = _judged(intent, survey, asked, key)
            statuses.append(status)
            if problem:
                problems.setdefault(problem, []).append(key)
        for problem, those in problems.items():
            findings += (
                Finding(one.sources, one.kind, one.addresses, one.before, f"{one.after}; {problem}")
                for one in gather(survey, those, before, asked)
            )
    return Check("intent", bound.title, worst(statuses), tuple(dict.fromkeys(findings)), bound.place, intent.because)


def _own(state: State, survey: Survey, key: Key) -> bool:
    """Whether a question is about an address of the sender itself."""
    address = survey.address(key)
    namespace = state.namespaces.get(key.source)
    return namespace is not None and any(entry.interface.ip == address for entry in namespace.addresses)


def _judged(intent: Intent, survey: Survey, asked: Asked, key: Key) -> tuple[Status, str]:
    fate = asked[key]
    if fate.answer == "unknown":
        return Status.UNDECIDED, "the model cannot tell"
    problem = _about_fate(intent, fate) or _about_way(intent, fate)
    if not problem and intent.size is not None:
        limit = survey.limit(asked, key)
        if limit is not None and limit.largest < intent.size:
            problem = f"answered up to {limit.largest} bytes only"
    return (Status.FAILED, problem) if problem else (Status.HELD, "")


def _about_fate(intent: Intent, fate: Fate) -> str:
    if not _is_fate(intent.fate, fate):
        return f"intended: {intent.fate}"
    if intent.reason is not None and fate.cause is not _reason(intent.reason):
        found = fate.cause.name.lower().replace("_", "-") if fate.cause else "none"
        return f"intended is the reason {intent.reason}, found {found}"
    if intent.at is not None and not matching(intent.at, (fate.place,)):
        return f"intended to be lost at {intent.at}"
    return ""


def _is_fate(intended: str, fate: Fate) -> bool:
    match intended:
        case "answered":
            return fate.works
        case "delivered":
            return fate.answer in ("reply", "one-way")
        case "lost":
            return fate.answer in ("lost", "one-way")
        case "refused":
            return fate.notices == "refused"
        case "unreachable":
            return fate.notices in ("error", "local error")
        case _:
            return fate.notices == "silence" and fate.answer in ("lost", "one-way")


def _about_way(intent: Intent, fate: Fate) -> str:
    missed = [name for name in intent.through if not matching(name, fate.path)]
    if missed:
        return f"it does not come by {', '.join(missed)} but takes {' '.join(fate.path)}"
    met = [name for name in intent.avoids if matching(name, (*fate.path, *fate.path_back))]
    return f"it comes by {', '.join(met)}" if met else ""


def _reason(name: str) -> Reason:
    return Reason[name.upper().replace("-", "_")]
