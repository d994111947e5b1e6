"""What comes with the lab, and what each of it is about: read off the files themselves, so that no list of it can go stale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lab.spec.load import read_document
from lab.spec.shipped import find, names

ORDINARY: Final = frozenset(
    {"address", "cidr", "cni", "distribution", "export", "gateway", "interfaces", "kubernetes", "names", "namespace", "nodes", "pod_cidr"}
    | {"pods", "port", "proxy", "routes", "segment", "serves", "service_cidr", "services", "sysctls", "target_port"}
)
"""Keys of a topology that tell nothing special about it."""
ANSWERED: Final = frozenset({"reply", "NOERROR"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A shipped file, and what it is about."""

    kind: Literal["scenario", "topology"]
    name: str
    title: str
    tags: tuple[str, ...]
    components: tuple[str, ...]
    """The software whose work is emulated in it."""
    symptoms: tuple[str, ...]
    """What senders see where they are not answered: `silence`, `unreachable`, `NXDOMAIN`, ..."""
    primitives: tuple[str, ...]
    """The changes and events that happen, and what its topology has beyond the ordinary."""
    links: tuple[str, ...]
    text: str = field(repr=False)
    """All that its file says."""

    def about(self, what: str) -> tuple[str, ...]:
        """Return what it is about: of every `component`, `symptom` or `primitive`."""
        return {"component": self.components, "symptom": self.symptoms, "primitive": self.primitives}[what]

    def mentions(self, word: str) -> bool:
        """Whether a word stands in its name, its file, or what it is about."""
        told = (self.name, self.text, *self.components, *self.symptoms, *self.primitives)
        return any(word.casefold() in text.casefold() for text in told)


def library() -> Iterator[Entry]:
    """Yield everything that comes with the lab: scenarios first, each kind by name."""
    topologies = {name: _read(name, "topologies") for name in names("topologies")}
    for name in names("scenarios"):
        scenario = _read(name, "scenarios")
        used = (topologies.get(str(found)) for found in _values(scenario, "topology"))
        yield _entry("scenario", name, scenario, [scenario.get("adjust", {}), *(topology for topology in used if topology)])
    for name, topology in topologies.items():
        yield _entry("topology", name, topology, [topology])


def _read(name: str, kind: Literal["scenarios", "topologies"]) -> dict[str, Any]:
    value = read_document(find(name, kind)).root.plain()
    return value if isinstance(value, dict) else {}


def _entry(kind: Literal["scenario", "topology"], name: str, file: Mapping[str, Any], topologies: list[Mapping[str, Any]]) -> Entry:
    return Entry(
        kind,
        name,
        str(file.get("title", "")),
        tuple(map(str, file.get("tags", ()))),
        _sorted(component for topology in topologies for component in _components(topology)),
        _sorted(_symptoms(file)) if kind == "scenario" else (),
        _sorted((*_happenings(file), *(key for topology in topologies for key in _special(topology)))),
        tuple(map(str, file.get("links", ()))),
        find(name, "scenarios" if kind == "scenario" else "topologies").read_text(encoding="utf-8"),
    )


def _components(topology: Mapping[str, Any]) -> Iterator[str]:
    for cluster in _entries(topology, "clusters"):
        cni = cluster.get("cni", {})
        yield str(cni.get("plugin", "calico")) if isinstance(cni, dict) else str(cni)
        if cluster.get("services"):
            yield "kube-proxy"
    if topology.get("submariner"):
        yield "submariner"
    if any("http_proxy" in host for host in _entries(topology, "hosts")):
        yield "http-proxy"


def _symptoms(scenario: Mapping[str, Any]) -> Iterator[str]:
    for result in (*_values(scenario, "result"), *_values(scenario, "rcode")):
        if result not in ANSWERED:
            yield "no DNS answer" if result is None else str(result)
    for status in _values(scenario, "status"):
        if status is None or (isinstance(status, int) and status >= 400):
            yield "no HTTP answer" if status is None else f"HTTP {status}"


def _happenings(scenario: Mapping[str, Any]) -> Iterator[str]:
    for key in ("changes", "events"):
        for items in _values(scenario, key):
            yield from (kind for item in items if isinstance(item, dict) for kind in item)


def _special(topology: Mapping[str, Any]) -> Iterator[str]:
    clusters = list(_entries(topology, "clusters"))
    nodes = [node for cluster in clusters for node in _entries(cluster, "nodes")]
    for entry in (*clusters, *nodes, *(found for key in ("segments", "routers", "hosts") for found in _entries(topology, key))):
        yield from (key for key in entry if key not in ORDINARY)


def _entries(value: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    found = value.get(key)
    if isinstance(found, dict):
        yield from (entry for entry in found.values() if isinstance(entry, dict))


def _values(value: object, key: str) -> Iterator[Any]:
    """Yield what a key holds wherever it stands."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for other in value.values():
            yield from _values(other, key)
    elif isinstance(value, list):
        for other in value:
            yield from _values(other, key)


def _sorted(found: Iterator[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(found)))
