"""Open what a person names on a command line: find it, read it, and check it, alone and with what it refers to."""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import InputError, InputErrors, did_you_mean, quoted
from lab.spec.adjust import adjusted, topology_of
from lab.spec.check import check_topology
from lab.spec.check_scenario import check_scenario
from lab.spec.document import Document
from lab.spec.load import FORMATS, Loaded, format_of, read_document, validate
from lab.spec.scenario import Scenario
from lab.spec.shipped import LESSON, find, names
from lab.spec.topology import Topology
from lab.spec.variants import variants

Play = tuple[Loaded[Scenario], Loaded[Topology]]
"""A scenario and its topology."""


def open_topology(name: str) -> Loaded[Topology]:
    """Load and check a topology: a path, or the name of a shipped one. Raises InputError."""
    return _topology(read_document(find(name, "topologies")))


def open_scenarios(name: str, topology: Path | None = None) -> dict[str, Play]:
    """Load and check a scenario file, a path or the name of a shipped one: its variants, or its one scenario under the name "".

    ``FILE#VARIANT`` means that variant alone; `topology` is taken instead of the one that the scenario names. Raises InputError.
    """
    file, wanted = _file_and_variant(name)
    path = find(file, "scenarios")
    return _scenarios(read_document(path), path, wanted, topology)


def open_scenario(name: str) -> Play:
    """Load and check one scenario; of a file with variants, ``FILE#VARIANT`` names it. Raises InputError."""
    return one_of(open_scenarios(name), name)


def open_file(name: str) -> Loaded[Topology] | dict[str, Play]:
    """Load and check a file of either format, a path or the name of a shipped one. Raises InputError."""
    file, wanted = _file_and_variant(name)
    path = find(file, "scenarios", "topologies")
    document = read_document(path)
    kind = format_of(document)
    if kind == "scenario":
        return _scenarios(document, path, wanted)
    if kind != "topology":
        hint = "`lab validate` takes it, with a topology, a scenario, a saved state or a running lab"
        raise InputError(
            f"this is a file of the format {kind}, and a topology or scenario is needed here", place=document.place(), hint=hint
        )
    if wanted is not None:
        raise InputError(f"{quoted(file)} is a topology, and only scenarios have variants")
    return _topology(document)


def is_lesson(name: str) -> bool:
    """Whether a path is that of a lesson, or a name that of a shipped one; what it is called decides, not what is in it."""
    return name.endswith(LESSON) or (name in names("lessons") and not os.path.exists(name))  # noqa: PTH110 (as above)


def check_form(name: str) -> bool:
    """Check the form of a change file or an intents file; return False for what is neither. Raises InputError."""
    path = Path(name)
    if not name.endswith((".yaml", ".yml")) or not path.is_file():
        return False
    document = read_document(path)
    kind = next((kind for kind in ("change", "intents") if document.node(kind) is not None), None)
    if kind is None or format_of(document) != kind:
        return False
    validate(document, FORMATS[kind])
    return True


def one_of(opened: dict[str, Play], name: str) -> Play:
    """Return the one scenario of a file. Raises InputError when it has variants."""
    if len(opened) > 1:
        raise InputError(f"{quoted(name)} has variants, and one has to be named", hint=f"for example {name}#{next(iter(opened))}")
    return next(iter(opened.values()))


def _file_and_variant(name: str) -> tuple[str, str | None]:
    """Split ``FILE#VARIANT``; the name of a file may hold a # itself."""
    file, separator, variant = name.rpartition("#")
    if separator and not os.path.exists(name):  # noqa: PTH110 (unlike Path.exists, it bears any text)
        return file, variant
    return name, None


def _topology(document: Document) -> Loaded[Topology]:
    loaded = validate(document, Topology)
    check_topology(loaded)
    return loaded


def _scenarios(document: Document, path: Path, wanted: str | None, topology: Path | None = None) -> dict[str, Play]:
    found = dict(variants(validate(document, Scenario)))
    if wanted is not None and (wanted not in found or not wanted):
        hint = did_you_mean(wanted, [variant for variant in found if variant], "variant")
        raise InputError(f"{quoted(str(path))} has no variant {quoted(wanted)}", hint=hint)
    opened: dict[str, Play] = {}
    mistakes: dict[tuple[object, str], InputError] = {}
    for variant in found if wanted is None else (wanted,):
        try:
            opened[variant] = _with_topology(found[variant], path, topology)
        except InputErrors as errors:  # variants share much, and its mistakes
            mistakes |= {(mistake.place, mistake.message): mistake for mistake in errors.errors}
        except InputError as mistake:
            mistakes[mistake.place, mistake.message] = mistake
    if len(mistakes) == 1:
        raise next(iter(mistakes.values()))
    if mistakes:
        raise InputErrors(list(mistakes.values()))
    return opened


def _with_topology(scenario: Loaded[Scenario], path: Path, given: Path | None) -> Play:
    try:
        document = read_document(given or find(scenario.model.topology, "topologies", beside=path.parent))
    except InputError as error:
        raise error.at(scenario.place("topology")) from None
    topology = adjusted(document, scenario.document.node("adjust"))
    check_topology(topology)
    by_phase = {phase: topology_of(topology, scenario, phase) for phase in scenario.model.phases}
    for adjusted_further in by_phase.values():
        if adjusted_further is not topology:
            check_topology(adjusted_further)
    check_scenario(scenario, {phase: loaded.model for phase, loaded in by_phase.items()})
    return scenario, topology
