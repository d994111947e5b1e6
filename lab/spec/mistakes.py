"""Say what is wrong with a file's form: where, what was expected, what was found, and the nearest that would be right."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lab.errors import InputError, did_you_mean, nearest, quoted
from lab.spec.document import Document, Path
from lab.spec.patterns import PATTERNS, SYSCTL, SYSCTL_KEY
from lab.spec.shape import choices_at, keys_at, places_of_key

MOST = 50
"""How many mistakes of one file are explained; whoever has more made one of them often."""

_EXPECTED: Mapping[str, str] = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "tuple_type": "a list",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "not_this": "{expected}",
}
"""What each kind of pydantic's errors wanted."""


_NOT_TWO = ("missing", "too_long")
"""What pydantic says of a list that is to have two entries."""


def mistakes(error: ValidationError, document: Document, model: type[BaseModel]) -> list[InputError]:
    """Return an InputError for each place with a mistake; the branches of a union count as one."""
    by_path: dict[tuple[Path, bool], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if _is_short_of_mistaken_entries(detail):
            continue
        by_path.setdefault((_path(detail, document), _is_about_key(detail)), []).append(detail)
    found = list(by_path.items())
    said = [_mistake(path, details, document, model) for (path, _), details in found[:MOST]]
    if len(found) > MOST:
        said.append(InputError(f"and {len(found) - MOST} more mistakes", place=document.key_place(*found[MOST][0][0])))
    return said


def kind_of(value: object) -> str:
    """Return what sort of value this is, in a word or two."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "text" if isinstance(value, str) else "a number"


def _is_short_of_mistaken_entries(detail: ErrorDetails) -> bool:
    """Whether a list is called too short only because its mistaken entries, which are told of by themselves, do not count."""
    given = detail["input"]
    return detail["type"] == "too_short" and isinstance(given, list | tuple) and len(given) >= detail["ctx"]["min_length"]


def _is_about_key(detail: ErrorDetails) -> bool:
    return detail["loc"][-1:] == ("[key]",) and detail["type"].startswith("string_")


def _path(detail: ErrorDetails, document: Document) -> Path:
    """Return the path of a mistake in the file: pydantic's location without the names of union branches."""
    path: Path = ()
    for part in detail["loc"]:
        if document.node(*path, part) is not None:
            path = (*path, part)
    last = detail["loc"][-1] if detail["loc"] else None
    return (*path, last) if detail["type"] == "missing" and isinstance(last, str) else path


def _mistake(path: Path, details: list[ErrorDetails], document: Document, model: type[BaseModel]) -> InputError:
    first = details[0]
    if _is_about_key(first):
        place = document.key_place(*path)
        message = f"{quoted(path[-1])} is no valid name here: expected {_expected(details)}"
        return InputError(message, place=place, hint=_hint(details, path[-1], []))
    if first["type"] == "extra_forbidden":
        return _unknown_key(path, document, model)
    if first["type"] == "missing" and isinstance(first["loc"][-1], str):
        return _missing_key(path, document)
    where = f"{_written(path)}: " if path else ""
    if first["type"] in ("value_error", "ipv6"):
        said = str(first.get("ctx", {}).get("error", first["msg"]))
        return InputError(where + said, place=document.place(*path))
    given = first["input"]
    found = quoted(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else kind_of(given)
    if isinstance(given, list) and first["type"] in _NOT_TWO:
        found = f"a list of {len(given)}" if given else found
    place = document.place(*path)
    return InputError(
        f"{where}expected {_expected(details)}, found {found}", place=place, hint=_hint(details, given, choices_at(model, path))
    )


def _unknown_key(path: Path, document: Document, model: type[BaseModel]) -> InputError:
    key, known = str(path[-1]), keys_at(model, path[:-1])
    elsewhere = places_of_key(model, key)
    hint = f"{key!r} belongs in {' or '.join(elsewhere[:3])}" if elsewhere else did_you_mean(key, known, "key")
    return InputError(f"unknown key {quoted(key)}{_inside(path)}", place=document.key_place(*path), hint=hint)


def _missing_key(path: Path, document: Document) -> InputError:
    around = document.node(*path[:-1])
    removed = around.keys.get(str(path[-1])) if around is not None else None
    place = removed or document.key_place(*path[:-1])
    siblings = document.node(*path[:-2]) if len(path) > 1 else None
    hint = None
    if siblings is not None and siblings.place.file != place.file and not removed:  # `adjust` made a new entry, perhaps by a slip
        known = [key for key, where in siblings.keys.items() if where.file == siblings.place.file]
        hint = did_you_mean(str(path[-2]), known)
    return InputError(f"the key {str(path[-1])!r} is missing{_inside(path)}", place=place, hint=hint)


def _expected(details: list[ErrorDetails]) -> str:
    """Say what any of a union's branches would have taken."""
    texts: list[str] = []
    for detail in details:
        context = detail.get("ctx", {})
        if detail["type"] == "string_pattern_mismatch":
            texts.append(PATTERNS[context["pattern"]].long)
        elif detail["type"] == "too_short":
            least = context["min_length"]
            texts.append("at least one entry" if least == 1 else f"at least {least} entries")
        elif detail["type"] in _NOT_TWO:
            texts.append("two entries")
        elif detail["type"] in _EXPECTED:
            texts.append(_EXPECTED[detail["type"]].format(**context))
        else:
            texts.append(detail["msg"])
    different = dict.fromkeys(texts)
    return (", or " if any(" or " in text for text in different) else " or ").join(different)


def _hint(details: list[ErrorDetails], given: object, choices: list[str]) -> str | None:
    """Return what was probably meant."""
    kinds = {detail["type"] for detail in details}
    for detail in details:
        hint = detail.get("ctx", {}).get("hint")
        if hint:
            return str(hint)
    for detail in details:
        if detail.get("ctx", {}).get("pattern") in (SYSCTL, SYSCTL_KEY):
            meant = str(given).removeprefix("/proc/sys/")
            meant = meant if "/" in meant else meant.replace(".", "/")
            return f"did you mean {meant!r}?" if re.fullmatch(SYSCTL, meant) else None
    best = nearest(str(given), choices) if choices and isinstance(given, str | int | float) else None
    if best is not None:
        return f"did you mean {best!r}?"
    if isinstance(given, str):
        if "bool_type" in kinds and given.casefold() in ("yes", "no", "on", "off", "y", "n"):
            return f"write {'true' if given.casefold() in ('yes', 'on', 'y') else 'false'}"
        if "int_type" in kinds and given.isdecimal():
            return f"write {given} without quotes"
        if "float_type" in kinds and re.fullmatch(r"[0-9.]+ ?%?", given):
            return f"write {given.rstrip(' %')}, without a sign and without quotes"
    elif isinstance(given, bool) and "int_type" in kinds:
        return f"write {int(given)}"
    elif isinstance(given, int | float) and "string_type" in kinds:
        return f'put it in quotes: "{str(given).lower()}"'
    return None


def _written(path: Path) -> str:
    """Write a path as people do: phases.broken.expect[3].ping."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _inside(path: Path) -> str:
    return f" in {_written(path[:-1])}" if len(path) > 1 else ""
