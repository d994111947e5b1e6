"""The files a run was made from: what a report calls them, and the lines it quotes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lab.errors import Place
from lab.report.model import File, Origin, Source
from lab.spec import Loaded, Scenario, Topology
from lab.spec.files import read_file
from lab.state import Provenance
from lab.state.provenance import UNKNOWN

LONGEST_LINE = 240
"""Characters of a line that are quoted."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file as it was when the run began."""

    name: str
    """As the report calls it: the last part of its path; two of one name are told apart by a number."""
    role: Literal["scenario", "topology"]
    content: bytes

    @property
    def lines(self) -> list[str]:
        """Its lines, as text."""
        return self.content.decode(errors="replace").splitlines()


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a run by the names that places call them."""

    files: dict[str, Written]
    _lines: dict[str, list[str]] = field(default_factory=dict)

    @staticmethod
    def of(scenario: Loaded[Scenario], topology: Loaded[Topology]) -> Sources:
        """Read the files of a scenario. Raises InputError."""
        found: dict[str, Written] = {}
        for loaded, role in ((scenario, "scenario"), (topology, "topology")):
            path = loaded.document.file
            name = Path(path).name
            if any(name == other.name for other in found.values()):
                name = f"{role}-{name}"
            found[path] = Written(name, role, read_file(Path(path)))  # type: ignore[arg-type]
        return Sources(found)

    def listed(self) -> tuple[File, ...]:
        """Return the files as a report lists them."""
        return tuple(File(name=file.name, role=file.role, sha256=hashlib.sha256(file.content).hexdigest()) for file in self.files.values())

    def at(self, place: Place) -> Source:
        """Return a place with the line that stands there."""
        written = self.files.get(place.file)
        if written is None:
            return Source(file=Path(place.file).name, line=place.line, column=place.column)
        lines = self._lines.setdefault(place.file, written.lines)
        text = lines[place.line - 1].strip() if 0 < place.line <= len(lines) else ""
        return Source(file=written.name, line=place.line, column=place.column, text=text[:LONGEST_LINE])

    def origins(self, provenance: Provenance | None) -> tuple[Origin, ...]:
        """Return the chain from an object back to what a person wrote."""
        chain: Iterable[Provenance] = provenance.chain() if provenance is not None else ()
        return tuple(
            Origin(component="unknown", reason="put by hand, or by a program that the lab does not know")
            if link is UNKNOWN
            else Origin(component=link.component, reason=self.text(link.reason), source=self.at(link.place) if link.place else None)
            for link in chain
        )

    def text(self, said: str) -> str:
        """Return a sentence with the report's names of the files it speaks of."""
        for path, written in self.files.items():
            said = said.replace(path, written.name)
        return said
