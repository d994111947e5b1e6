"""A change as a file like a scenario's: events of clusters, and changes at kernel level, each node's a step of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from lab.errors import InputError, InputErrors, Place
from lab.spec import Loaded
from lab.spec.change_file import ChangeFile
from lab.spec.changes import AnyChange, NftChange, RunChange
from lab.spec.events import Event
from lab.state.typed import Word, split_words
from lab.validate.change import Ground, Happened, Step, Typed
from lab.validate.commands import check_program, expand_nodes


def read_change_file(loaded: Loaded[ChangeFile], ground: Ground) -> tuple[Step, ...]:
    """Turn a change file into steps. Raises InputErrors."""
    model = loaded.model
    steps: list[Step] = []
    happened: list[tuple[Event, Place]] = []
    for index, item in enumerate(model.events):
        place = loaded.place("events", index, item.kind)
        happened.append((item.happening, place))
        said = ", ".join(f"{key} {value}" for key, value in item.happening.model_dump(exclude_unset=True).items())
        steps.append(Step(None, f"{item.kind}: {said}", place, Happened(ground.after(happened))))
    nodes = tuple(steps[-1].does.state.namespaces) if steps and isinstance(steps[-1].does, Happened) else tuple(ground.state.namespaces)
    mistakes: list[InputError] = []
    for index, entry in enumerate(model.changes):
        try:
            steps += _steps_of(entry.change, entry.kind, nodes, loaded, index)
        except InputErrors as errors:
            mistakes += errors.errors
        except InputError as error:
            mistakes.append(error.at(loaded.place("changes", index, entry.kind)))
    if mistakes:
        raise InputErrors(mistakes)
    return tuple(steps)


def _steps_of(change: AnyChange, kind: str, nodes: tuple[str, ...], loaded: Loaded[ChangeFile], index: int) -> Iterator[Step]:
    path = ("changes", index, kind)
    on = expand_nodes(nodes, change.on, loaded.place(*path, "on"))
    yield from steps_of_change(change, on, loaded.place(*path), kind)


def steps_of_change(change: AnyChange, on: Iterable[str], place: Place, kind: str = "") -> Iterator[Step]:
    """Yield the steps of a change that scenarios have: one for each node, and for each command that is run there."""
    for node in on:
        match change:
            case RunChange(commands=commands):
                for command in commands:
                    words = tuple(replace(word, place=place) for word in split_words(command, place))
                    check_program(words)
                    yield Step(node, command, place, Typed(words))
            case NftChange(script=script):
                lines = tuple(Word(line.strip(), place) for line in script.splitlines() if line.strip())
                words = tuple(Word(text, place) for text in ("nft", "-f", "-"))
                yield Step(node, f"nft: {lines[0].text if lines else ''}", place, Typed(words, lines))
            case _:
                said = ", ".join(f"{key} {value}" for key, value in change.model_dump(exclude={"on"}, exclude_unset=True).items())
                yield Step(node, f"{kind}: {said}", place, change)
