"""Validate a change, by the names of the files that say what is changed, how, and what is intended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.api.inputs import Input, joined, open_input, open_lab, open_state
from lab.errors import InputError, MachineError, Place, quoted
from lab.scenario.changes import Live, Ordered
from lab.scenario.phases import find_stage, history_of, ordered_changes
from lab.spec import Loaded
from lab.spec.adjust import topology_of
from lab.spec.change_file import ChangeFile
from lab.spec.files import read_file
from lab.spec.intents import Intents
from lab.spec.load import format_of, read_document, validate
from lab.state import State, commands_of, difference
from lab.validate.change import Carry, Ground, Step, make
from lab.validate.change_file import read_change_file, steps_of_change
from lab.validate.commands import read_commands, steps_of_commands
from lab.validate.result import Validation
from lab.validate.validate import Listen, Wish
from lab.validate.validate import validate as find_out

if TYPE_CHECKING:
    from lab.kernel.sandbox import Sandbox

STDIN: Final = "-"


def validate_change(
    file: str,
    change: str,
    *,
    phase: str | None = None,
    intents: str | None = None,
    steps: bool = False,
    failures: bool = False,
    emulate: bool = False,
    listen: Listen = lambda _: None,
) -> Validation:
    """Find out what a change does to a network, before anybody makes it.

    `file` is a topology, a scenario (with `phase`, or FILE@PHASE), a saved state or a running lab. `change` is a file of commands (``-`` is
    standard input), a YAML file of changes, or another state (FILE@PHASE, a saved state): then the change is what leads there. With
    `emulate` a real kernel carries the change out in a sandbox, and packets are sent. Raises InputError, at the place of the mistake;
    MachineError where `emulate` is not possible.
    """
    wish = Wish(_intents(intents), steps, failures)
    if not emulate:
        ground = _ground(file, phase, None)
        return find_out(file, change, ground, _steps(change, ground), wish, listen=listen)
    if sys.platform != "linux":
        raise MachineError("--emulate needs a Linux kernel", hint="run it on Linux, or without --emulate")
    return _emulated(file, phase, change, wish, listen)


def _emulated(file: str, phase: str | None, change: str, wish: Wish, listen: Listen) -> Validation:
    from lab.kernel.sandbox import run_in_sandbox
    from lab.validate.kernel import KernelCarrier

    # What is read from this machine's files, labs and standard input is read before there is a sandbox, which has none of them.
    prepared = _ground_and_steps(file, phase, change)

    def work(sandbox: Sandbox, report: Callable[[object], None]) -> Validation:
        carrier = KernelCarrier(sandbox)
        ground = _settled(prepared[0], prepared[1], carrier)
        return find_out(file, change, ground, prepared[2](ground), wish, kernel=carrier, listen=report)

    return run_in_sandbox(work, on_report=lambda message: listen(str(message)))


Prepared = tuple[Ground, tuple[Live, ...], Callable[[Ground], tuple[Step, ...]]]


def _ground_and_steps(file: str, phase: str | None, change: str) -> Prepared:
    ground, actions = _opened(file, phase)
    read = _reader(change)
    return ground, actions, read


def _ground(file: str, phase: str | None, carry: Carry | None) -> Ground:
    ground, actions = _opened(file, phase)
    return _settled(ground, actions, carry)


def _opened(file: str, phase: str | None) -> tuple[Ground, tuple[Live, ...]]:
    name, _, named = file.partition("@")
    if not named and phase is None and (file.endswith(".json") or not _is_file(file)):
        state, actions = open_lab(file)
        return Ground(state), actions
    if named and phase is not None and named != phase:
        raise InputError(f"{quoted(file)} names the phase {named!r}, and --phase {phase!r}")
    given = open_input(name if named else file, named or phase)
    return _ground_of(given), given.actions()


def _is_file(name: str) -> bool:
    """Whether a name is that of a topology or scenario: those that are shipped, and files; the rest may be running labs."""
    from lab.spec import find

    try:
        find(name.rpartition("#")[0] or name, "scenarios", "topologies")
    except InputError:
        return False
    return True


def _ground_of(given: Input) -> Ground:
    if given.scenario is None:
        return Ground(given.state(), given.topology, joined(given.topology.model))
    stage = find_stage(given.scenario.model, given.phase)
    changes: tuple[Ordered, ...] = tuple(ordered_changes(stage, given.scenario, given.topology))
    return Ground(given.state(), topology_of(given.topology, given.scenario, stage.phase), history_of(stage, given.scenario), changes)


def _settled(ground: Ground, actions: tuple[Live, ...], carry: Carry | None) -> Ground:
    """Return the ground after what a scenario does to a running lab: its literal commands and scripts."""
    state = ground.state
    for action in actions:
        for step in steps_of_change(action.change, action.on, action.place):
            state = make(state, step, carry)
    return Ground(state, ground.topology, ground.history, ground.changes)


def _intents(name: str | None) -> Loaded[Intents] | None:
    return None if name is None else validate(read_document(Path(name), name), Intents)


def _steps(change: str, ground: Ground) -> tuple[Step, ...]:
    return _reader(change)(ground)


def _reader(change: str) -> Callable[[Ground], tuple[Step, ...]]:
    """Read a change; what it means depends on the ground it is made on."""
    if change == STDIN:
        text = sys.stdin.read()
        return lambda ground: read_commands(text, "stdin", ground.state.namespaces)
    if _names_a_state(change):
        state = open_state(change)
        return lambda ground: _towards(state, ground, change)
    if change.endswith((".yaml", ".yml")):
        document = read_document(Path(change), change)
        kind = format_of(document)
        if kind != "change":
            hint = "a phase of a scenario is a change when it is named: FILE@PHASE" if kind == "scenario" else None
            raise InputError(f"this is a file of the format {kind}, and a change is needed here", place=document.place(), hint=hint)
        loaded = validate(document, ChangeFile)
        return lambda ground: read_change_file(loaded, ground)
    data = read_file(Path(change))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError("this is not UTF-8 text", place=Place(change, line)) from None
    return lambda ground: read_commands(text, change, ground.state.namespaces)


def _names_a_state(name: str) -> bool:
    return name.endswith(".json") or ("@" in name and not Path(name).is_file())


def _towards(state: State, ground: Ground, name: str) -> tuple[Step, ...]:
    steps = steps_of_commands(commands_of(difference(ground.state, state)), name)
    if not steps:
        raise InputError(f"{quoted(name)} is the same network: nothing changes")
    return steps
