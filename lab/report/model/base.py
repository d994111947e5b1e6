"""What all parts of a report have in common: texts that are safe to print, fields that vary, where something comes from."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lab.errors import printable

FORMAT: Final = "lab-report"
VERSION: Final = 1
"""Grows when a key changes its meaning or goes; new keys may come at any time."""
VARIES: Final = "varies"
"""In the schema, marks what may differ between two runs of the same files on the same kernel."""

DIFFERS = Field(json_schema_extra={VARIES: True})
VaryingInt = Annotated[int, DIFFERS]
VaryingFloat = Annotated[float, DIFFERS]
VaryingText = Annotated[str, DIFFERS]
VaryingTexts = Annotated[tuple[str, ...], DIFFERS]
StatusName = Literal["held", "failed", "undecided"]


class Part(BaseModel):
    """Base of everything in a report. Characters that no format takes, or that drive a terminal, are escaped in all of its texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @field_validator("*")
    @classmethod
    def _printable(cls, value: Any) -> Any:
        if isinstance(value, str):
            return printable(value)
        if isinstance(value, tuple):
            return tuple(printable(item) if isinstance(item, str) else item for item in value)
        return value


class Source(Part):
    """A position in a file that a person wrote."""

    file: str
    """The file, as the report's own copy of it is called."""
    line: int
    """Counted from 1."""
    column: int
    """Counted from 1."""
    text: str = ""
    """The line as it stands there."""


class Origin(Part):
    """One link of the chain from an object of a network back to what a person wrote."""

    component: str
    """Who acted."""
    reason: str
    """From what input, and by which rule."""
    source: Source | None = None
    """Where the chain reaches a line of a file."""


class Entry(Part):
    """An object of a namespace that decided, or that nearly did, and why it is there."""

    kind: str
    """``route``, ``rule``, ``sysctl``, ``nft rule``, ``link``, ..."""
    where: str
    """The namespace."""
    text: str
    """As its own tool prints it."""
    absent: bool = False
    """Whether it is to blame for not being there."""
    origins: tuple[Origin, ...] = ()
    """Who put it there, because of what, and so on back to a line of a file; the nearest first."""
