"""What expectations and changes name that only states can tell: devices, counters, programs, components, tables, objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lab.cluster.diagnose import CHECKS
from lab.errors import InputError, Place, did_you_mean, quoted
from lab.scenario.cast import Cast
from lab.scenario.everywhere import Everywhere, Known
from lab.spec.changes import AnnounceChange, AnyChange, RuleChange, SysctlChange
from lab.spec.document import Path
from lab.spec.expectations import (
    AnyExpectation,
    ChainExpectation,
    CounterExpectation,
    DiagnoseExpectation,
    Dns,
    Http,
    LogExpectation,
    ObjectExpectation,
    ProbeExpectation,
    ProgramLogExpectation,
    RouteExpectation,
    SetExpectation,
    SysctlExpectation,
    TableExpectation,
)
from lab.spec.selectors import matching, parse_address
from lab.spec.sysctl_names import device_of_sysctl

_SERVER_ERROR = 500
"""The first HTTP status by which a proxy says that it knows no such name (RFC 9110, 15.6)."""


@dataclass(frozen=True, slots=True)
class Named:
    """A name, where it stands, and what there is of its kind."""

    path: Path
    """Within what names it."""
    what: str
    """What it is a name of, as "device"."""
    name: str
    known: Known
    where: str = " in any phase"
    is_key: bool = False
    """Whether it is the key that is the name, not what it holds."""

    def mistake(self, place: Place) -> InputError | None:
        """Return the mistake that the name is, with the nearest name there is; None where it leads somewhere."""
        if self.known is None:
            return None
        known = sorted(self.known)
        if matching(self.name, known):
            return None
        return InputError(
            f"there is no {self.what} {quoted(self.name)}{self.where}", place=place, hint=did_you_mean(self.name, known, self.what)
        )


def named_in_expectation(body: AnyExpectation, cast: Cast, everywhere: Everywhere) -> Iterator[Named]:
    """Yield what an expectation names."""
    match body:
        case ProbeExpectation():
            for key in ("crosses", "never_crosses", "reply_crosses"):
                for index, interface in enumerate(getattr(body, key)):
                    yield from _interface((key, index), interface, cast, everywhere)
            yield from _interface(("lost_at",), body.lost_at, cast, everywhere)
            yield from _interface(("seen_as",), body.seen_as, cast, everywhere)
            if body.counter is not None:
                yield _counter(("counter", "name"), body.counter.name, (body.counter.node,), everywhere)
        case Http():
            yield from _interface(("seen_as",), body.seen_as, cast, everywhere)
            host = urlsplit(body.url).hostname or ""
            if body.status is not None and body.status < _SERVER_ERROR and parse_address(host) is None:
                yield from _dns_name(("url",), host, cast.names.expand(body.source), everywhere)
        case Dns(rcode="NOERROR"):
            yield from _dns_name(("name",), body.name, cast.names.expand(body.source), everywhere)
        case LogExpectation(component=str(component)):
            yield Named(("component",), "component", component, everywhere.components(body.cluster), f" that logs in {body.cluster!r}")
        case ObjectExpectation():
            yield Named(("kind",), "kind of object", body.kind, everywhere.kinds(body.cluster))
            yield from _keys(("has",), body.has, everywhere.bodies(body.cluster, body.kind), body.kind)
        case DiagnoseExpectation() if body.check != "*":
            yield Named(("check",), "check", body.check, ("*", *(name for name, _, _ in CHECKS)))
        case (
            RouteExpectation()
            | TableExpectation()
            | ChainExpectation()
            | SetExpectation()
            | SysctlExpectation()
            | ProgramLogExpectation()
            | CounterExpectation()
        ):
            yield from _held(body, cast.names.expand(body.on), everywhere)


def _held(body: AnyExpectation, on: tuple[str, ...], everywhere: Everywhere) -> Iterator[Named]:
    """Yield what an expectation about namespaces names."""
    match body:
        case RouteExpectation(device=str(device)) | TableExpectation(device=str(device)):
            yield Named(("device",), "device", device, everywhere.devices(on))
        case ChainExpectation() | SetExpectation():
            tables = everywhere.tables(on, body.family)
            yield Named(("table",), "table", body.table, tables, f" of the family {body.family} in any phase")
            if tables is None or body.table not in tables:
                return
            if isinstance(body, ChainExpectation):
                yield Named(("chain",), "chain", body.chain, everywhere.chains(on, body.family, body.table))
            else:
                yield Named(("name",), "set", body.name, everywhere.sets(on, body.family, body.table))
        case SysctlExpectation():
            yield from _device_of_sysctl(body.name, everywhere.devices(on))
        case ProgramLogExpectation():
            programs = everywhere.programs(on)
            yield Named(("program",), "program", body.program, programs)
            if programs is not None and body.program in programs:
                yield Named(("file",), "file", body.file, everywhere.program_files(on, body.program), f" of {body.program}")
        case CounterExpectation():
            yield _counter(("name",), body.name, on, everywhere)


def named_in_change(change: AnyChange, on: Iterable[str], everywhere: Everywhere) -> Iterator[Named]:
    """Yield what a change names that the kernel takes without asking, or refuses only when the change is made."""
    match change:
        case AnnounceChange():
            yield Named(("device",), "device", change.device, everywhere.devices(on))
        case RuleChange(action="add"):
            for key in ("iif", "oif"):
                device = getattr(change, key)
                if device is not None:
                    yield Named((key,), "device", device, everywhere.devices(on))
        case SysctlChange():
            yield from _device_of_sysctl(change.name, everywhere.devices(on))


def _interface(key: Path, interface: object, cast: Cast, everywhere: Everywhere) -> Iterator[Named]:
    if isinstance(interface, str) and ":" in interface:
        namespace, _, device = interface.partition(":")
        here = cast.names.nodes if namespace.startswith("{") else cast.names.expand((namespace,))
        yield Named(key, "device", device, everywhere.devices(here))


def _device_of_sysctl(path: str, known: Known) -> Iterator[Named]:
    device = device_of_sysctl(path)
    if device is not None:
        yield Named(("name",), "device", device, known)


def _counter(key: Path, name: str, on: tuple[str, ...], everywhere: Everywhere) -> Named:
    return Named(key, "counter", name, everywhere.counters(on, name), f" in {', '.join(on)}" if name.startswith("rule/") else "")


def _dns_name(key: Path, name: str, senders: tuple[str, ...], everywhere: Everywhere) -> Iterator[Named]:
    if not everywhere.resolved(name, senders):
        known = everywhere.dns_names if "." in name else {known.partition(".")[0] for known in everywhere.dns_names}
        yield Named(key, "DNS name", name, known)


def _keys(path: Path, wanted: object, bodies: list[object], kind: str) -> Iterator[Named]:
    """Yield every key that is wanted of what objects of a kind hold, at every depth."""
    if not isinstance(wanted, Mapping) or not bodies:
        return
    known = [body for body in bodies if isinstance(body, Mapping)]
    keys = {str(key) for body in known for key in body}
    for key, inner in wanted.items():
        yield Named((*path, str(key)), "key", str(key), keys, f" of any {kind} here", is_key=True)
        yield from _keys((*path, str(key)), inner, [body[key] for body in known if key in body], kind)
