"""From an expectation to the probes that answer it, and from what came of them to findings."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from lab.errors import InputError, Place
from lab.probe import (
    DnsRequest,
    HttpRequest,
    Outcome,
    PingRequest,
    Request,
    TcpRequest,
    TracerouteRequest,
    UdpRequest,
)
from lab.scenario.cast import Cast, Target, matches_interface
from lab.scenario.counters import find_counter
from lab.scenario.result import Finding, Status
from lab.spec.expectations import AnyExpectation, CounterChange, Dns, Http, Ping, ProbeExpectation, SeenAs, Series, Tcp, Traceroute, Udp
from lab.spec.values import Address

_NO_ROOM: Final = (
    "this machine's neighbour table, which all its network namespaces share, was full meanwhile: end other labs, or "
    "`sudo sysctl -w net.ipv4.neigh.default.gc_thresh3=65536`"
)
"""Whatever came of such a probe says nothing of the network."""

_MISSED: Final = "the lab missed packets while it watched, so what it did not see shows nothing"


@dataclass(frozen=True, slots=True)
class Question:
    """One probe an expectation asks for."""

    expectation: AnyExpectation
    request: Request
    target: Target | None
    counter: CounterChange | None = None
    """Asks for being sent alone, and how this counter moves."""

    @property
    def subject(self) -> str:
        """Who asks whom."""
        match self.request:
            case HttpRequest(url=url):
                return f"{self.request.source} -> {url}"
            case DnsRequest(name=name):
                return f"{self.request.source}: {name}"
        assert self.target is not None
        return f"{self.request.source} -> {self.target.name}"


@dataclass(slots=True)
class Memory:
    """What earlier probes have shown: by kind of probe, the interfaces one was seen on. The control of every absence."""

    seen: dict[str, set[str]] = field(default_factory=dict)

    def learn(self, outcome: Outcome) -> None:
        """Remember where a probe was seen."""
        self.seen.setdefault(type(outcome.request).__name__, set()).update(outcome.interfaces())

    def knows(self, kind: str, pattern: str) -> bool:
        """Whether a probe of this kind was ever seen on an interface of the pattern."""
        return any(matches_interface(pattern, interface) for interface in self.seen.get(kind, ()))


def is_asked(expectation: AnyExpectation) -> bool:
    """Whether an expectation is about what probes find, rather than about state."""
    return isinstance(expectation, ProbeExpectation | Traceroute | Series | Http | Dns)


def questions_at(expectation: AnyExpectation, cast: Cast, place: Place) -> list[Question]:
    """Return the probes that an expectation asks for; none for one that is about state. Raises InputError at its place."""
    try:
        return list(questions(expectation, cast))
    except InputError as error:
        raise error.at(place) from None


def questions(expectation: AnyExpectation, cast: Cast) -> Iterator[Question]:
    """Yield the probes an expectation asks for; none for one that is about state."""
    match expectation:
        case ProbeExpectation() | Traceroute():
            for source in cast.probed(expectation.source):
                for target in cast.targets(expectation.to, version=6 if expectation.ipv6 else 4):
                    if target.namespace != source:
                        counter = expectation.counter if isinstance(expectation, ProbeExpectation) else None
                        yield Question(expectation, _request(expectation, source, target.address), target, counter)
        case Series():
            for source in cast.probed(expectation.source):
                for target in cast.targets(expectation.to, version=6 if expectation.ipv6 else 4):
                    if target.namespace != source:
                        for _ in range(expectation.count):
                            yield Question(expectation, PingRequest(source, target.address, expectation.size), target)
        case Http():
            for source in cast.probed(expectation.source):
                six = expectation.ipv6 or "://[" in expectation.url
                yield Question(expectation, HttpRequest(source, expectation.url, expectation.use_environment, six), None)
        case Dns():
            for source in cast.probed(expectation.source):
                yield Question(expectation, DnsRequest(source, expectation.name, expectation.type), None)


def _request(expectation: ProbeExpectation | Traceroute, source: str, address: Address) -> Request:
    match expectation:
        case Ping():
            return PingRequest(source, address, expectation.size, expectation.df)
        case Tcp():
            return TcpRequest(
                source,
                address,
                expectation.port,
                answer=expectation.bytes or 0,
                stray=expectation.stray,
                keep=expectation.keep or "",
                over=expectation.over or "",
            )
        case Udp():
            return UdpRequest(
                source,
                address,
                expectation.port,
                expectation.size,
                expectation.df,
                keep=expectation.keep or "",
                over=expectation.over or "",
            )
    return TracerouteRequest(source, address)


def answer(question: Question, outcome: Outcome, cast: Cast, memory: Memory, moved: Mapping[str, int] | None) -> Finding:
    """Judge what came of a probe. `moved` holds by how much the counter's namespace's counters moved, when the question asks."""
    match question.expectation:
        case ProbeExpectation() as expectation:
            problems = list(_result(expectation, outcome))
            doubts = list(_doubts(expectation, outcome, memory, question, cast))
            if question.counter is not None and moved is not None:
                problems += _counter(question.counter, moved)
            seen = [
                *(_sender(expectation.seen_as, outcome.seen_as, question, cast) if expectation.seen_as is not None else ()),
                *_path(expectation, outcome, question, cast),
            ]
            (doubts if outcome.incomplete else problems).extend(seen)
        case Http() as http:
            problems, doubts = list(_http(http, outcome, question, cast)), list(_unsent(outcome)) if http.status is None else []
        case Dns() as dns:
            problems, doubts = list(_dns(dns, outcome, cast)), list(_unsent(outcome)) if dns.rcode is None else []
        case Traceroute() as traceroute:
            hops = tuple("*" if hop is None else str(hop) for hop in outcome.hops)
            problems, doubts = [] if hops == traceroute.hops else [f"hops {' '.join(hops)}, expected {' '.join(traceroute.hops)}"], []
        case Series():  # judged together, by `judge_series`
            problems, doubts = [], [_MISSED] if outcome.incomplete else []
        case _:
            raise TypeError(f"no probe answers {question.expectation!r}")
    if outcome.neighbour_table_full:
        problems, doubts = [], [*problems, *doubts, _NO_ROOM]
    status = Status.FAILED if problems else Status.UNDECIDED if doubts else Status.HELD
    detail = "; ".join([*problems, *doubts]) or seen_in_words(outcome)
    return Finding(question.subject, status, detail, outcome, _flow(question, cast))


def judge_series(expectation: Series, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Judge many pings together: one finding for each pair, with the first that was lost, or else the first."""
    for subject in dict.fromkeys(finding.subject for finding in findings):
        pings = [finding for finding in findings if finding.subject == subject]
        outcomes = [finding.outcome for finding in pings if finding.outcome is not None]
        lost = [outcome for outcome in outcomes if outcome.result != "reply"]
        times = [outcome.duration_ns // 1_000_000 for outcome in outcomes if outcome.result == "reply"]
        at_least, at_most = expectation.lost
        problems = [] if at_least <= len(lost) <= at_most else [f"expected {at_least} to {at_most} of them"]
        for name, wanted, found in (("fastest", expectation.fastest, min), ("slowest", expectation.slowest, max)):
            if wanted and (not times or found(times) < wanted):
                problems.append(f"expected the {name} answer after {wanted} ms at least")
        doubts = [finding.detail for finding in pings if finding.status is Status.UNDECIDED]
        took = f", answers after {min(times)} to {max(times)} ms" if times else ""
        detail = "; ".join([f"{len(lost)} of {len(pings)} are lost{took}", *problems, *doubts[:1]])
        status = Status.UNDECIDED if doubts else Status.FAILED if problems else Status.HELD
        yield Finding(subject, status, detail, next(iter([*lost, *outcomes]), None), pings[0].flow)


def _flow(question: Question, cast: Cast) -> str:
    """Say what kind of flow a probe is one of, for those who look at all of a phase's at once."""
    source = cast.kind_of(question.request.source)
    match question.request:
        case HttpRequest(url=url, ipv6=six):
            return f"http{_by(six)}: {source} -> {url}"
        case DnsRequest(name=name, type=kind):
            return f"dns{_asking(kind)}: {source} ask for {name}"
    assert question.target is not None
    target = question.target.name if question.target.namespace is None else cast.kind_of(question.target.namespace)
    return f"{_kind(question.request)}{_by(question.target.address.version == 6)}: {source} -> {target}"


def _by(six: bool) -> str:
    return " over IPv6" if six else ""


def _asking(kind: str) -> str:
    return "" if kind == "A" else f" {kind}"


def probe_in_words(request: Request) -> str:
    """Say what a probe asks, and whom."""
    match request:
        case HttpRequest(url=url, ipv6=six):
            return f"http{_by(six)} {request.source} -> {url}"
        case DnsRequest(name=name, type=kind):
            return f"dns{_asking(kind)} {request.source} asks for {name}"
    return f"{_kind(request)} {request.source} -> {request.target}"


def _kind(request: Request) -> str:
    match request:
        case TcpRequest(port=port):
            return f"tcp/{port}"
        case UdpRequest(port=port):
            return f"udp/{port}"
        case TracerouteRequest():
            return "traceroute"
    return "ping"


def seen_in_words(outcome: Outcome) -> str:
    """Say what a probe's sender saw, and where the probe ended if it did."""
    text: str = outcome.result
    if isinstance(outcome.request, TcpRequest | UdpRequest) and outcome.request.over and outcome.result == "error" and not outcome.errno:
        return f"nothing is open as {outcome.request.over!r}: the probe that was to keep it failed"
    if outcome.icmp is not None and outcome.result != "reply":
        text = f"{outcome.icmp.name} from {outcome.icmp.source}"
    elif outcome.status is not None:
        text = f"HTTP {outcome.status}"
    elif outcome.rcode is not None:
        text = f"{outcome.rcode} {' '.join(map(str, outcome.answers))}".strip()
    elif outcome.ttl is not None:
        text = f"reply, ttl {outcome.ttl}"
    if outcome.result == "silence" and outcome.loss is not None:
        reason = f" ({outcome.loss.reason})" if outcome.loss.reason else ""
        text += f"; the {outcome.loss.part} was last seen at {outcome.loss.interface}{reason}"
    return text


def _result(expectation: ProbeExpectation, outcome: Outcome) -> Iterator[str]:
    if outcome.result != expectation.result:
        yield f"{seen_in_words(outcome)}; expected {expectation.result}"
        return
    if expectation.icmp_source is not None and (outcome.icmp is None or outcome.icmp.source != expectation.icmp_source):
        yield f"ICMP error from {outcome.icmp.source if outcome.icmp else 'nobody'}, expected {expectation.icmp_source}"
    if expectation.icmp is not None and (outcome.icmp is None or outcome.icmp.name != expectation.icmp):
        yield f"ICMP {outcome.icmp.name if outcome.icmp else 'nothing'}, expected {expectation.icmp}"
    if isinstance(expectation, Ping) and expectation.ttl is not None and outcome.ttl != expectation.ttl:
        yield f"TTL {outcome.ttl}, expected {expectation.ttl}"
    if isinstance(expectation, Tcp) and expectation.errno is not None and outcome.errno != getattr(errno, expectation.errno):
        yield f"connect failed with {errno.errorcode.get(outcome.errno or 0, 'nothing')}, expected {expectation.errno}"


def _sender(seen_as: SeenAs, seen: Address | None, question: Question, cast: Cast) -> Iterator[str]:
    """Yield what is wrong about the source address the receiver saw."""
    source = question.request.source
    if seen_as == "another":
        if seen is None or seen == cast.address(source, _version(question)):
            yield f"the receiver sees {seen or 'nobody'}, expected another address than the sender's"
        return
    wanted = _wanted_source(seen_as, question, cast)
    if wanted is None:
        yield f"{seen_as} has no address in this phase"
    elif seen != wanted:
        yield f"the receiver sees {seen or 'nobody'}, expected {wanted}"


def _wanted_source(seen_as: SeenAs, question: Question, cast: Cast) -> Address | None:
    source = question.request.source
    if seen_as == "sender":
        return cast.address(source, _version(question))
    if seen_as == "node":
        return cast.address(cast.node_of(source) or source, _version(question))
    if isinstance(seen_as, str):
        (interface,) = cast.interface_patterns((seen_as,), source, question.target)
        return cast.interface_address(interface, _version(question))
    return seen_as


def _version(question: Question) -> int:
    """Return the version of IP that a probe goes by."""
    if question.target is not None:
        return question.target.address.version
    return 6 if isinstance(question.request, HttpRequest) and question.request.ipv6 else 4


def _path(expectation: ProbeExpectation, outcome: Outcome, question: Question, cast: Cast) -> Iterator[str]:
    assert question.target is not None

    def filled(patterns: Sequence[str]) -> tuple[str, ...]:
        assert question.target is not None
        return cast.interface_patterns(patterns, question.request.source, question.target)

    for key, part in (("crosses", "request"), ("reply_crosses", "answer")):
        seen = [s.interface for s in outcome.sightings if s.part == part]
        for pattern in filled(getattr(expectation, key)):
            if not any(matches_interface(pattern, interface) for interface in seen):
                yield f"the {part} was not seen on {pattern}"
    for pattern in filled(expectation.never_crosses):
        crossed = [interface for interface in outcome.interfaces() if matches_interface(pattern, interface)]
        if crossed:
            yield f"seen on {', '.join(crossed)}, expected never on {pattern}"
    if expectation.lost_at is not None:
        (wanted,) = filled((expectation.lost_at,))
        if outcome.loss is None or not matches_interface(wanted, outcome.loss.interface):
            yield f"lost at {outcome.loss.interface if outcome.loss else 'nowhere'}, expected {wanted}"


def _doubts(expectation: ProbeExpectation, outcome: Outcome, memory: Memory, question: Question, cast: Cast) -> Iterator[str]:
    """Yield why what was not seen may prove nothing."""
    if outcome.incomplete and (expectation.never_crosses or outcome.result == "silence"):
        yield _MISSED
    if outcome.rate_limited:
        yield "a router on the way withheld ICMP errors by its rate limit"
    if expectation.never_crosses or outcome.result == "silence":
        yield from _unsent(outcome)
    for pattern in cast.interface_patterns(expectation.never_crosses, question.request.source, question.target):
        if not memory.knows(type(question.request).__name__, pattern):
            yield f"no such probe was ever seen on {pattern}, so its absence there shows nothing"


def _unsent(outcome: Outcome) -> Iterator[str]:
    if not outcome.sent:
        yield "the request was not seen to leave its sender, so that nothing came of it shows nothing"


def _counter(expected: CounterChange, moved: Mapping[str, int]) -> Iterator[str]:
    counter = find_counter(expected.name, moved)
    seen = moved.get(counter, 0) if counter is not None else None
    if seen != expected.change:
        yield f"{expected.node}: {expected.name} {'is no counter' if seen is None else f'moved by {seen}'}, expected {expected.change}"


def _http(expectation: Http, outcome: Outcome, question: Question, cast: Cast) -> Iterator[str]:
    if expectation.status is None:
        if outcome.status is not None:
            yield f"HTTP {outcome.status}, expected no answer"
        return
    if outcome.status != expectation.status:
        yield f"{seen_in_words(outcome)}, expected HTTP {expectation.status}"
        return
    if expectation.via_proxy is not None:
        proxies = {
            (str(cast.address(namespace.name)), port)
            for namespace in cast.state
            for program in namespace.programs
            if namespace.role == "proxy"
            for _, port in program.listens
        }
        if (outcome.peer in proxies) != expectation.via_proxy:
            yield f"curl talked to {outcome.peer}, {'expected a proxy' if expectation.via_proxy else 'expected no proxy'}"
    if expectation.seen_as is not None:
        client = re.search(r'"client": "([0-9a-f:.]+)"', outcome.body)
        yield from _sender(expectation.seen_as, ip_address(client[1]) if client else None, question, cast)


def _dns(expectation: Dns, outcome: Outcome, cast: Cast) -> Iterator[str]:
    if expectation.rcode is None:
        if outcome.rcode is not None:
            yield f"{seen_in_words(outcome)}, expected no answer"
        return
    if outcome.rcode != expectation.rcode:
        yield f"{seen_in_words(outcome)}, expected {expectation.rcode}"
        return
    if expectation.answers is None:
        return
    wanted = {str(target.address) for target in cast.targets(expectation.answers, version=4 if expectation.type == "A" else 6)}
    seen = {str(address) for address in outcome.answers}
    if seen != wanted:
        yield f"answers {' '.join(sorted(seen)) or 'nothing'}, expected {' '.join(sorted(wanted)) or 'nothing'}"
