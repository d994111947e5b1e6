"""From a file to a model: read, validate, and say every mistake with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from pydantic import ValidationError

from lab.errors import InputError, InputErrors, Place
from lab.spec.change_file import ChangeFile
from lab.spec.document import Document
from lab.spec.files import read_file
from lab.spec.intents import Intents
from lab.spec.lesson import Lesson
from lab.spec.mistakes import kind_of, mistakes
from lab.spec.scenario import Scenario
from lab.spec.topology import Topology
from lab.spec.values import Model
from lab.spec.yaml import read_yaml

M = TypeVar("M", bound=Model)

FORMATS: Final[Mapping[str, type[Model]]] = {
    "lesson": Lesson,
    "scenario": Scenario,
    "topology": Topology,
    "change": ChangeFile,
    "intents": Intents,
}
"""The file formats, by the key that a file of each has; of a lesson it is the head."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[M]):
    """A model and the document it was read from, so that every value can say on which line it stands."""

    model: M
    document: Document

    def place(self, *path: str | int) -> Place:
        """Return the position of the value at `path` of the file, or of the nearest value around it."""
        return self.document.place(*path)

    def key_place(self, *path: str | int) -> Place:
        """Return the position of the key of the value at `path`, or of the nearest value around it."""
        return self.document.key_place(*path)


def read_document(path: Path, shown_as: str | None = None) -> Document:
    """Read a YAML file; `shown_as` is what messages call it. Raises InputError."""
    return read_yaml(read_file(path), shown_as or str(path))


def format_of(document: Document) -> str:
    """Return the format of a file: the key of FORMATS that it has. Raises InputError when it has none."""
    for name in FORMATS:
        if document.node(name) is not None:
            return name
    hint = "a topology file has the key `topology`, a scenario file the key `scenario`"
    raise InputError("this is neither a topology nor a scenario", place=document.place(), hint=hint)


def validate(document: Document, model: type[M]) -> Loaded[M]:
    """Turn a document into a model. Raises InputErrors with every mistake at its place."""
    name = next(name for name, kind in FORMATS.items() if kind is model)
    value = document.root.plain()
    if not isinstance(value, dict):
        raise InputError(f"{_article(name)} file is a mapping, and this is {kind_of(value)}", place=document.place())
    found = next((name for name in FORMATS if name in value), name)
    if found != name:
        raise InputError(f"this is {_article(found)} file, and {_article(name)} file is needed here", place=document.place())
    try:
        return Loaded(model.model_validate(value), document)
    except ValidationError as error:
        raise InputErrors(mistakes(error, document, model)) from None


def _article(name: str) -> str:
    return f"an {name}" if name == "intents" else f"a {name}"


def load_topology(path: Path, shown_as: str | None = None) -> Loaded[Topology]:
    """Read a topology file (its form only; `lab.spec.check` looks at its sense). Raises InputError."""
    return validate(read_document(path, shown_as), Topology)


def load_scenario(path: Path, shown_as: str | None = None) -> Loaded[Scenario]:
    """Read a scenario file (its form only; `lab.spec.check_scenario` looks at its sense). Raises InputError."""
    return validate(read_document(path, shown_as), Scenario)
