"""The way back: the commands from the state after a change to the one before, carried out once to see that they lead there."""

from __future__ import annotations

from lab.errors import InputError
from lab.state import State, commands_of, difference
from lab.validate.change import Carry
from lab.validate.commands import steps_of_commands
from lab.validate.result import Undo
from lab.validate.steps import states_of


def undo_of(before: State, after: State, carry: Carry | None = None) -> Undo:
    """Return the commands that undo a change."""
    back = difference(after, before)
    try:
        commands = commands_of(back)
        steps = steps_of_commands(commands, "undo")
    except InputError as error:
        return Undo((), proved=False, remark=f"no commands lead back: {error.message}")
    lines = tuple((command.namespace or "", command.text) for command in commands)
    services = [part.name for part in back if part.listeners or part.programs]
    if services:
        return Undo(lines, proved=False, remark=f"programs that were stopped have to be started on {', '.join(services)}")
    try:
        states = states_of(after, steps, carry)
    except InputError as error:
        return Undo(lines, proved=False, remark=f"not tried: {error.message}")
    left = difference(states[-1] if states else after, before)
    forgotten = [f"{part.name}: {setting.name}" for part in left for setting in part.sysctls.removed]
    if forgotten and not any(_but_sysctls(part) for part in left):
        return Undo(lines, proved=True, remark=f"sysctls that nobody had stated keep their new value: {', '.join(forgotten)}")
    return Undo(lines, proved=not left.network, remark="" if not left.network else "something differs from the state before")


def _but_sysctls(part: object) -> bool:
    return any(getattr(part, name) for name in ("links", "addresses", "nexthops", "routes", "rules", "neighbours", "fdb", "tables"))
