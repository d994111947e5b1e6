"""Say an expectation in words, as the report and the progress show it."""

from __future__ import annotations

from lab.spec.expectations import (
    AnyExpectation,
    ChainExpectation,
    CounterExpectation,
    DiagnoseExpectation,
    Dns,
    Http,
    LogExpectation,
    ObjectExpectation,
    Ping,
    ProbeExpectation,
    ProgramLogExpectation,
    RouteExpectation,
    RuleExpectation,
    Series,
    SetExpectation,
    SysctlExpectation,
    TableExpectation,
    Tcp,
    Traceroute,
    Udp,
)


def in_words(expectation: AnyExpectation) -> str:
    """Return the expectation as one phrase."""
    match expectation:
        case ProbeExpectation():
            return _probe(expectation)
        case Http():
            what = "no answer" if expectation.status is None else f"HTTP {expectation.status}"
            way = {True: " by the proxy", False: " past the proxy", None: ""}[expectation.via_proxy]
            version = " over IPv6" if expectation.ipv6 else ""
            return f"{_list(expectation.source)} GET {expectation.url}{version}: {what}{way}{_seen(expectation.seen_as)}"
        case Dns():
            answers = "" if expectation.answers is None else f" {_list(expectation.answers) or 'and no address'}"
            kind = "" if expectation.type == "A" else f" {expectation.type} of"
            return f"{_list(expectation.source)} asks for{kind} {expectation.name}: {expectation.rcode or 'no answer'}{answers}"
        case Traceroute():
            version = " over IPv6" if expectation.ipv6 else ""
            return f"traceroute{version} {_list(expectation.source)} -> {_list(expectation.to)}: {' '.join(expectation.hops)}"
        case Series():
            version = " over IPv6" if expectation.ipv6 else ""
            at_least, at_most = expectation.lost
            share = f"{at_least} to {at_most}" if at_least != at_most else f"{at_least}"
            kinds = (("fastest", expectation.fastest), ("slowest", expectation.slowest))
            took = "".join(f", the {name} answer after {wanted} ms or more" for name, wanted in kinds if wanted)
            return (
                f"{expectation.count} pings{version} {_list(expectation.source)} -> {_list(expectation.to)}: {share} of them are lost{took}"
            )
        case RouteExpectation():
            way = "".join(f" {word} {value}" for word, value in (("via", expectation.via), ("dev", expectation.device)) if value)
            table = "" if expectation.table == 254 else f" in table {expectation.table}"
            return f"{_list(expectation.on)}: {'' if expectation.present else 'no '}route to {expectation.to}{way}{table}"
        case TableExpectation():
            through = f" through {expectation.device}" if expectation.device else ""
            table = "the main table" if expectation.table == 254 else f"table {expectation.table}"
            return f"{_list(expectation.on)}: {table} leads{through} to {_list(tuple(map(str, expectation.destinations))) or 'nowhere'}"
        case RuleExpectation():
            way = "".join(f" {word} {value}" for word, value in (("from", expectation.source), ("to", expectation.destination)) if value)
            lookup = f" lookup {expectation.table}" if expectation.table else ""
            return f"{_list(expectation.on)}: {'' if expectation.present else 'no '}rule {expectation.priority}{way}{lookup}"
        case ChainExpectation():
            rules = "; ".join(expectation.rules) or "no rules"
            return f"{_list(expectation.on)}: chain {expectation.table} {expectation.chain} is: {rules}"
        case SetExpectation():
            return f"{_list(expectation.on)}: set {expectation.table} {expectation.name} = {_list(expectation.elements) or 'empty'}"
        case SysctlExpectation():
            return f"{_list(expectation.on)}: {expectation.name} = {expectation.value}"
        case LogExpectation():
            where = expectation.node or expectation.cluster
            return f"{where}: {'a' if expectation.present else 'no'} log line with {expectation.contains!r}"
        case ProgramLogExpectation():
            line = "a" if expectation.present else "no"
            return f"{_list(expectation.on)}: {line} line with {expectation.contains!r} in {expectation.program}'s {expectation.file}"
        case ObjectExpectation():
            return f"{expectation.cluster}: {'' if expectation.present else 'no '}{expectation.kind} {expectation.name}"
        case DiagnoseExpectation():
            check = "every stock check" if expectation.check == "*" else expectation.check
            return f"diagnose {expectation.cluster}: {check} is {expectation.status}"
        case CounterExpectation():
            change = "moves" if expectation.change == "some" else f"moves by {expectation.change}"
            return f"{_list(expectation.on)}: {expectation.name} {change}"


def _probe(expectation: ProbeExpectation) -> str:
    match expectation:
        case Tcp():
            name = f"tcp/{expectation.port}"
        case Udp():
            name = f"udp/{expectation.port}"
        case Ping():
            name = "ping"
        case _:
            name = type(expectation).__name__.lower()
    name += " over IPv6" if expectation.ipv6 else ""
    result: str = expectation.result
    if expectation.icmp_source is not None:
        result = f"{expectation.icmp or expectation.result} from {expectation.icmp_source}"
    text = f"{name} {_list(expectation.source)} -> {_list(expectation.to)}: {result}"
    if isinstance(expectation, Ping) and expectation.ttl is not None:
        text += f", ttl {expectation.ttl}"
    if isinstance(expectation, Tcp) and expectation.errno is not None:
        text += f", {expectation.errno}"
    text += _seen(expectation.seen_as)
    for word, interfaces in (
        ("across", expectation.crosses),
        ("never on", expectation.never_crosses),
        ("answer across", expectation.reply_crosses),
        ("lost at", (expectation.lost_at,) if expectation.lost_at else ()),
    ):
        if interfaces:
            text += f", {word} {_list(interfaces)}"
    if expectation.counter is not None:
        text += f", {expectation.counter.node} {expectation.counter.name} {expectation.counter.change:+d}"
    return text


def _seen(seen_as: object) -> str:
    return "" if seen_as is None else f", seen as {seen_as}"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)
