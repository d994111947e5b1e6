"""Whether an expectation makes sense: names that lead somewhere, senders that are there, pairs to probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lab.errors import InputError, Place
from lab.spec.document import Path
from lab.spec.expectations import (
    DiagnoseExpectation,
    Dns,
    Expectation,
    FactExpectation,
    Http,
    LogExpectation,
    ObjectExpectation,
    ProbeExpectation,
    Series,
    SysctlExpectation,
    Traceroute,
)
from lab.spec.findings import dangling, sysctl_name
from lab.spec.scene import Mistakes, Scene
from lab.spec.selectors import matching

T = TypeVar("T")


def check_expectation(scene: Scene, expectation: Expectation, path: Path) -> Mistakes:
    """Yield everything in an expectation that its topology contradicts; `path` is where its kind stands in the file."""
    match expectation.body:
        case ProbeExpectation() as probe:
            yield from _pairs(scene, probe, path)
            yield from _seen(scene, probe, path)
        case Traceroute() | Series() as several:
            yield from _pairs(scene, several, path)
        case Http() as http:
            yield from scene.probed(http.source, (*path, "from"))
            yield from _interface(scene, http.seen_as, (*path, "seen_as"))
        case Dns() as dns:
            yield from scene.probed(dns.source, (*path, "from"))
            for index, answer in enumerate(dns.answers or ()):
                yield from _collected(scene.names.check_target, answer, scene.place((*path, "answers", index)))
        case FactExpectation() as fact:
            yield from scene.selected(fact.on, (*path, "on"))
            if isinstance(fact, SysctlExpectation):
                yield from sysctl_name(fact.name, scene.place((*path, "name")))
        case LogExpectation() as log:
            yield from scene.known("cluster", log.cluster, scene.names.clusters, (*path, "cluster"))
            if log.node is not None:
                here = scene.topology.clusters.get(log.cluster)
                nodes = scene.names.nodes if here is None else tuple(here.nodes)
                if not matching(log.node, nodes):
                    where = "" if here is None else f" in {log.cluster!r}"
                    yield dangling("node", log.node, nodes, scene.place((*path, "node")), where)
        case ObjectExpectation() | DiagnoseExpectation() as fact:
            yield from scene.known("cluster", fact.cluster, scene.names.clusters, (*path, "cluster"))


def _pairs(scene: Scene, probe: ProbeExpectation | Traceroute | Series, path: Path) -> Mistakes:
    mistakes = list(scene.probed(probe.source, (*path, "from")))
    targets: list[str] = []
    for index, target in enumerate(probe.to):
        try:
            namespaces = scene.names.check_target(target, scene.place((*path, "to", index)))
        except InputError as error:
            mistakes.append(error)
        else:
            targets += namespaces or (target,)
            mistakes += scene.anybody(target, namespaces, (*path, "to", index))
            if namespaces:
                mistakes += scene.no_switch(target, (*path, "to", index))
    yield from mistakes
    if not mistakes:
        senders = [name for name in scene.names.expand(probe.source) if name not in scene.names.switches]
        if all(sender == target for sender in senders for target in targets):
            yield InputError(f"nothing is probed: {senders[0]!r} is not paired with itself", place=scene.place((*path, "to")))


def _seen(scene: Scene, probe: ProbeExpectation, path: Path) -> Mistakes:
    for key in ("crosses", "never_crosses", "reply_crosses"):
        for index, interface in enumerate(getattr(probe, key)):
            yield from _interface(scene, interface, (*path, key, index))
    yield from _interface(scene, probe.lost_at, (*path, "lost_at"))
    yield from _interface(scene, probe.seen_as, (*path, "seen_as"))
    if probe.counter is not None:
        yield from scene.known("node or pod", probe.counter.node, scene.names.namespaces, (*path, "counter", "node"))


def _interface(scene: Scene, interface: object, path: Path) -> Mistakes:
    if isinstance(interface, str) and ":" in interface:
        yield from _collected(scene.names.check_interface, interface, scene.place(path))


def _collected(check: Callable[[T, Place], object], value: T, place: Place) -> Mistakes:
    try:
        check(value, place)
    except InputError as error:
        yield error
