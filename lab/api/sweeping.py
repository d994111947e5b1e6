"""Sweep a network that a name means: a topology, or a phase of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lab.api.inputs import joined, open_input
from lab.errors import InputError, quoted
from lab.scenario.phases import find_stage
from lab.scenario.sweep import Swept, read_axes
from lab.scenario.trying import sweep

if TYPE_CHECKING:
    from lab.scenario.truth import Row, Truth


def sweep_file(
    file: str,
    sweeps: Sequence[str],
    *,
    predict: bool = False,
    phase: str | None = None,
    at_once: int | None = None,
    listen: Callable[[Row], None] = lambda row: None,
) -> Truth:
    """Try a topology or a scenario's phase in every combination of values, and return what works in each.

    `sweeps` are ``KEY=V1,V2,...``; with `predict` the model is asked and no lab runs. Raises InputError, MachineError.
    """
    name, _, named = file.partition("@")
    if named and phase is not None and named != phase:
        raise InputError(f"{quoted(file)} names the phase {named!r}, and --phase {phase!r}")
    given = open_input(name, named or phase)
    axes = read_axes(sweeps)
    if given.scenario is None:
        swept = Swept(given.topology, joined(given.topology.model))
    else:
        swept = Swept.of_stage(given.scenario, given.topology, find_stage(given.scenario.model, given.phase))
    return sweep(swept, axes, predict=predict, at_once=at_once, listen=listen)
