"""Whether what a probe goes `over` was kept before: between the same pairs, and to the same port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.errors import InputError
from lab.spec.document import Path
from lab.spec.findings import dangling
from lab.spec.load import Loaded
from lab.spec.probes import Tcp, Udp
from lab.spec.scenario import Scenario
from lab.spec.scene import Mistakes
from lab.spec.selectors import Names
from lab.spec.topology import Topology

Kept = dict[str, tuple[Tcp | Udp, Names]]
"""What was kept so far, by its name, and who there was then."""


def check_kept(loaded: Loaded[Scenario], topologies: Mapping[str, Topology]) -> Mistakes:
    """Yield a mistake for every probe that goes over what no probe of an earlier phase or step keeps."""
    kept: dict[str, Kept] = {"tcp": {}, "udp": {}}
    for name, phase in loaded.model.phases.items():
        names = Names.of(topologies[name])
        path: Path = ("phases", name)
        stages = [(phase.expect, path), *((step.expect, (*path, "then", index)) for index, step in enumerate(phase.then))]
        for expected, stage_path in stages:
            probes = [(item.kind, item.body, (*stage_path, "expect", index, item.kind)) for index, item in enumerate(expected)]
            for kind, probe, place in probes:
                if isinstance(probe, Tcp | Udp) and probe.over is not None:
                    yield from _mismatch(loaded, probe, kept[kind], names, place)
            for kind, probe, _ in probes:
                if isinstance(probe, Tcp | Udp) and probe.keep is not None:
                    kept[kind][probe.keep] = (probe, names)


def _mismatch(loaded: Loaded[Scenario], probe: Tcp | Udp, kept: Kept, names: Names, path: Path) -> Mistakes:
    assert probe.over is not None
    if probe.over not in kept:
        yield dangling("kept conversation", probe.over, kept, loaded.place(*path, "over"), " of an earlier phase or step")
        return
    first, then = kept[probe.over]
    if probe.port != first.port:
        yield InputError(
            f"{probe.over!r} goes to port {first.port}", place=loaded.place(*path, "port" if "port" in probe.model_fields_set else "over")
        )
    for key, known, asked in (
        ("from", _who(first.source, then), _who(probe.source, names)),
        ("to", _who(first.to, then), _who(probe.to, names)),
    ):
        for name in asked:
            if name not in known:
                hint = f"it is kept by {', '.join(known)}" if key == "from" else f"it goes to {', '.join(known)}"
                yield InputError(f"{probe.over!r} is not kept {key} {name}", place=loaded.place(*path, key), hint=hint)


def _who(selectors: tuple[str, ...], names: Names) -> tuple[str, ...]:
    """Return the namespaces that selectors mean, and addresses and services as they are written; nothing for a name that leads nowhere."""
    return tuple(dict.fromkeys(_each(selectors, names)))


def _each(selectors: tuple[str, ...], names: Names) -> Iterator[str]:
    for selector in selectors:
        try:
            yield from names.check_target(selector) or (selector,)
        except InputError:  # said where it stands
            continue
