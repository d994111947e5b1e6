"""Say what is wrong with a text that is not YAML: in the words of the person who wrote it, not of the parser's states.

The parser's texts are those of libyaml (src/scanner.c, src/parser.c); what is not in the table below is passed on as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from yaml import MarkedYAMLError

from lab.errors import InputError, Place


@dataclass(frozen=True, slots=True)
class _Reading:
    """What to say for a problem. `start` stands for the line where the list, mapping or key in question begins."""

    problem: str
    message: str
    hint: str | None = None
    context: str = ""
    at_start: bool = False
    """Whether the place to look at is where it begins, rather than where the parser gave up."""


_QUOTES = "text with a special character needs quotes"
_INDENT = "what belongs together is indented alike, by spaces"
_READINGS = (
    _Reading("tab character that violates indentation", "a tab stands here, and YAML is indented by spaces"),
    _Reading("unexpected end of stream", "the quote that opens here is never closed", context="quoted scalar", at_start=True),
    _Reading("unexpected document indicator", "the quote that opens here is never closed", context="quoted scalar", at_start=True),
    _Reading("unknown escape character", "this quoted text holds an unknown escape", "write \\\\ for a backslash, or use single quotes"),
    _Reading("mapping values are not allowed", "a ':' cannot stand here", f"{_INDENT}; text with ': ' in it needs quotes"),
    _Reading("sequence entries are not allowed", "a list cannot begin here", "begin it on a line of its own"),
    _Reading("could not find expected ':'", "a ':' is missing after this key", at_start=True),
    _Reading("expected '-' indicator", "this is not indented like the list that begins on line {start}", _INDENT),
    _Reading("expected key", "this is not indented like the mapping that begins on line {start}, or a quote or ',' is missing", _INDENT),
    _Reading("expected ',' or ']'", "a ',' or ']' is missing here, in the list that begins on line {start}"),
    _Reading("expected ',' or '}'", "a ',' or '}}' is missing here, in the mapping that begins on line {start}"),
    _Reading("expected node content", "a value is missing here", _QUOTES),
    _Reading("expected alphabetic", "'&' and '*' begin the name of an anchor, and none follows", _QUOTES),
    _Reading("undefined tag handle", "this tag means nothing here", "text that begins with ! needs quotes"),
    _Reading("<document start>", "the document has ended above, and more follows"),
)
_CANNOT_BEGIN = "cannot start any token"


def explained(error: MarkedYAMLError, text: str, file: str) -> InputError:
    """Return the mistake with its place."""
    problem, context = error.problem or "", error.context or ""
    here = error.problem_mark or error.context_mark
    start = error.context_mark or here
    if here is None or start is None:
        return InputError(f"this is not YAML: {problem or context}", place=Place(file))
    place = Place(file, here.line + 1, here.column + 1)
    if _CANNOT_BEGIN in problem:
        character = _character(text, place)
        if character == "\t":
            return InputError("a tab stands here, and YAML is indented by spaces", place=place)
        return InputError(f"a value cannot begin with {character!r}", place=place, hint="put it in quotes")
    for reading in _READINGS:
        if reading.problem in problem and reading.context in context:
            if reading.at_start:
                place = Place(file, start.line + 1, start.column + 1)
            return InputError(reading.message.format(start=start.line + 1), place=place, hint=reading.hint)
    return InputError(f"this is not YAML: {' '.join(part for part in (context, problem) if part)}", place=place)


def place_of(index: int, text: str, file: str) -> Place:
    """Return the position of a character of a text."""
    return Place(file, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _character(text: str, place: Place) -> str:
    lines = text.split("\n")
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    return line[place.column - 1 : place.column]
