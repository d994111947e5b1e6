"""What a name means: a topology, a phase of a scenario, a saved state, or a running lab."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from lab.errors import InputError, quoted
from lab.scenario.changes import Live
from lab.scenario.phases import compile_stage, find_stage, live
from lab.spec import Loaded, Scenario, Topology, one_of, open_file
from lab.spec.events import History, Join
from lab.state import State
from lab.state.codec import load_state


@dataclass(frozen=True, slots=True)
class Input:
    """A lab as a file describes it."""

    name: str
    topology: Loaded[Topology]
    scenario: Loaded[Scenario] | None
    phase: str | None

    def state(self) -> State:
        """Compute its state: of the phase, or of the topology with every cluster joined by its real ranges."""
        if self.scenario is not None:
            return compile_stage(self.topology, self.scenario, find_stage(self.scenario.model, self.phase))
        from lab.cluster import compile as compile_clusters

        return compile_clusters(self.topology.model, joined(self.topology.model), place=self.topology.place)

    def at(self, phase: str) -> Input:
        """Return the same scenario in another phase. Raises InputError when it has none of that name, or is a topology."""
        if self.scenario is None:
            raise InputError(f"{quoted(self.name)} is a topology, and only scenarios have phases")
        find_stage(self.scenario.model, phase)
        return replace(self, phase=phase)

    def actions(self) -> tuple[Live, ...]:
        """Return what only a running lab can do to get there."""
        if self.scenario is None:
            return ()
        return live(self.topology, self.scenario, find_stage(self.scenario.model, self.phase))


def open_state(name: str, phase: str | None = None) -> State:
    """Return the state that a name means. Raises InputError.

    It is a running lab's (read back), a saved state (``lab show --as state``), a topology's, or that of a phase of a scenario:
    ``FILE@PHASE``, or FILE with `phase`.
    """
    return open_lab(name, phase)[0]


def open_lab(name: str, phase: str | None = None) -> tuple[State, tuple[Live, ...]]:
    """Return the state that a name means, as `open_state` does, and what only a running lab can do to get there."""
    file, _, named = name.partition("@")
    if not named and phase is None:
        if (running := _running(name)) is not None:
            return running, ()
        if name.endswith(".json"):
            return load_state(_text(name), name), ()
    if named and phase is not None and named != phase:
        raise InputError(f"{name!r} names the phase {named!r}, and --phase {phase!r}")
    given = open_input(file, named or phase)
    return given.state(), given.actions()


def is_running(name: str) -> bool:
    """Whether one's lab of that name runs here."""
    if sys.platform != "linux":
        return False
    from lab.kernel.registry import running_labs

    return any(entry.name == name and entry.uid == os.geteuid() for entry in running_labs())


def _running(name: str) -> State | None:
    """Return what the kernel of one's running lab of that name holds, None when no such lab runs here."""
    if not is_running(name):
        return None
    from lab.kernel.registry import connect

    with connect(name) as lab:
        return load_state(str(lab.request("state")), name)


def _text(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{name!r} cannot be read: {reason}") from None


def open_input(name: str, phase: str | None) -> Input:
    """Open a topology or scenario. Raises InputError."""
    opened = open_file(name)
    if isinstance(opened, Loaded):
        if phase is not None:
            raise InputError(f"{quoted(name)} is a topology, and only scenarios have phases")
        return Input(opened.model.topology, opened, None, None)
    scenario, topology = one_of(opened, name)
    find_stage(scenario.model, phase)
    return Input(scenario.model.scenario, topology, scenario, phase)


def joined(topology: Topology) -> History:
    """Return the history in which every cluster joins with its real ranges, where there is anything to join."""
    if topology.submariner is None:
        return History()
    return History(
        events=tuple(
            Join(cluster=name, clustercidr=cluster.pod_cidr, servicecidr=cluster.service_cidr)
            for name, cluster in topology.clusters.items()
        )
    )
