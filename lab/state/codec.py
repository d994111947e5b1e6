"""A state as JSON text and back: complete, readable, and the same bytes for the same state.

The shape follows the dataclasses. An object holds what differs from the defaults of its class; `is` names the class where
several may stand (the kind of a link, an nft expression). Provenance, which many objects share, is kept once: an object
names a row of the table `provenances`, and so does each link of a chain of reasons.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lab.errors import InputError, Place, did_you_mean
from lab.state.network import ControlPlane, Namespace, State
from lab.state.provenance import UNKNOWN, Provenance

FORMAT = "lab-state"
VERSION = 1
WIDTH = 140
"""Columns within which a value is written on one line."""

TAG = "is"
ADDRESS = "address"
"""The key that marks an address where a word could stand as well."""

_PARSERS: dict[type, Callable[[str], object]] = {
    IPv4Address: ip_address,
    IPv6Address: ip_address,
    IPv4Network: ip_network,
    IPv6Network: ip_network,
    IPv4Interface: ip_interface,
    IPv6Interface: ip_interface,
}

# -- the outside ---------------------------------------------------------------------------------------------------


def dump_state(state: State) -> str:
    """Return a state as JSON text."""
    writer = _Writer()
    namespaces = [writer.object(namespace) for namespace in state]
    control = writer.object(state.control)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "provenances": writer.rows,
        "namespaces": namespaces,
        "control": control,
    }
    return _laid_out(document, "") + "\n"


def load_state(text: str, file: str = "state") -> State:
    """Return the state a JSON text holds. InputError when it holds none; `file` is what the message calls the text."""
    try:
        document = json.loads(text)
        return _read(document)
    except json.JSONDecodeError as error:
        raise InputError(f"this is no JSON: {error.msg}", place=Place(file, error.lineno, error.colno)) from None
    except RecursionError:
        raise InputError("this is nested too deeply to be a state", place=Place(file)) from None
    except _UnreadableError as error:
        raise InputError(str(error), place=Place(file), hint=error.hint) from None


def _read(document: Any) -> State:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _UnreadableError("this is no saved state", "`lab show FILE --as state` writes one")
    if document.get("version") != VERSION:
        raise _UnreadableError(f"this state is of version {document.get('version')!r}; version {VERSION} is understood")
    reader = _Reader.of(document.get("provenances", []))
    namespaces = reader.value(tuple[Namespace, ...], document.get("namespaces"), "namespaces")
    control = reader.value(ControlPlane, document.get("control"), "control")
    names = [namespace.name for namespace in namespaces]
    for name in names:
        if names.count(name) > 1:
            raise _UnreadableError(f"namespaces: there are two of the name {name!r}")
    return State({namespace.name: namespace for namespace in namespaces}, control)


class _UnreadableError(Exception):
    """A part of a saved state that cannot be understood, and what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def _laid_out(value: Any, indent: str, before: str = "") -> str:
    """Return JSON on one line where it fits behind what stands `before` it, one member a line where it does not."""
    line = before + json.dumps(value, ensure_ascii=False)
    if not isinstance(value, list | dict) or not value or len(indent) + len(line) < WIDTH:
        return line
    inner = indent + " "
    if isinstance(value, list):
        members = [inner + _laid_out(item, inner) for item in value]
        return f"{before}[\n" + ",\n".join(members) + f"\n{indent}]"
    members = [inner + _laid_out(item, inner, f"{json.dumps(key, ensure_ascii=False)}: ") for key, item in value.items()]
    return f"{before}{{\n" + ",\n".join(members) + f"\n{indent}}}"


# -- what may stand where ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a type hint lets stand in a place."""

    plain: frozenset[type]
    """Among str, int, bool and NoneType."""
    words: tuple[object, ...]
    """The values of a Literal."""
    parser: Callable[[str], object] | None
    """Makes an address, a network or an interface of text."""
    items: tuple[Any, ...] | None
    """Hints of the items of a tuple; one and `...` for a tuple of any length."""
    mapping: bool
    """A mapping as it stands: of JSON values, or of text."""
    textual: bool
    """Whether the values of that mapping are text."""
    classes: Mapping[str, type]


@cache
def _shape(hint: Any) -> _Shape:
    branches = _branches(hint)
    tuples = [branch for branch in branches if get_origin(branch) is tuple]
    mappings = [branch for branch in branches if get_origin(branch) is Mapping]
    return _Shape(
        plain=frozenset(branch for branch in branches if branch in (str, int, bool, types.NoneType)),
        words=tuple(word for branch in branches if get_origin(branch) is Literal for word in get_args(branch)),
        parser=next((_PARSERS[branch] for branch in branches if branch in _PARSERS), None),
        items=get_args(tuples[0]) if tuples else None,
        mapping=bool(mappings),
        textual=any(get_args(branch)[1] is str for branch in mappings),
        classes={branch.__name__: branch for branch in branches if isinstance(branch, type) and dataclasses.is_dataclass(branch)},
    )


def _branches(hint: Any) -> list[Any]:
    if get_origin(hint) in (Union, types.UnionType):
        return [branch for argument in get_args(hint) for branch in _branches(argument)]
    return [hint]


@cache
def _members(kind: type) -> dict[str, tuple[Any, dataclasses.Field[Any]]]:
    """Return hint and declaration of every member of a dataclass."""
    hints = get_type_hints(kind)
    return {member.name: (hints[member.name], member) for member in dataclasses.fields(kind)}


def _default(member: dataclasses.Field[Any]) -> Any:
    """Return the default of a member, MISSING where there is none."""
    return member.default if member.default_factory is dataclasses.MISSING else member.default_factory()


# -- writing -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """Turns values into JSON and collects the provenances they name, each after those behind it.

    Equal provenances share a row. They are told apart by the rows behind them: comparing whole chains would take a walk
    along each path of a graph.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    _seen: dict[int, int] = field(default_factory=dict)
    """Rows by the identity of the object."""
    _equal: dict[tuple[object, ...], int] = field(default_factory=dict)

    def value(self, hint: Any, value: Any) -> Any:
        if isinstance(value, Provenance):
            return self._provenance(value)
        if dataclasses.is_dataclass(value):
            tag = {TAG: type(value).__name__} if len(_shape(hint).classes) > 1 else {}
            return tag | self.object(value)
        if type(value) in _PARSERS:
            return {ADDRESS: str(value)} if str in _shape(hint).plain else str(value)
        if isinstance(value, tuple):
            return [self.value(_item_hint(_shape(hint), index), item) for index, item in enumerate(value)]
        if isinstance(value, Mapping):
            return _sorted(value)
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def object(self, thing: Any) -> dict[str, Any]:
        """Return the members of a dataclass that differ from their defaults."""
        written: dict[str, Any] = {}
        for name, (hint, member) in _members(thing.__class__).items():
            content = getattr(thing, name)
            if content is not UNKNOWN and content != _default(member):
                written[name] = self.value(hint, content)
        return written

    def _provenance(self, provenance: Provenance) -> int:
        row = self._seen.get(id(provenance))
        if row is not None:
            return row
        behind = [self._provenance(link) for link in provenance.because]
        key = (provenance.component, provenance.reason, provenance.place, *behind)
        row = self._equal.get(key)
        if row is None:
            place = provenance.place
            written: dict[str, Any] = {"component": provenance.component, "reason": provenance.reason}
            written |= {"place": [place.file, place.line, place.column]} if place is not None else {}
            written |= {"because": behind} if behind else {}
            row = self._equal[key] = len(self.rows)
            self.rows.append(written)
        self._seen[id(provenance)] = row
        return row


def _item_hint(shape: _Shape, index: int) -> Any:
    items = shape.items or (Any, ...)
    return items[0] if len(items) == 2 and items[1] is Ellipsis else items[index]


def _sorted(value: Any) -> Any:
    """Return a JSON value with the keys of mappings in one order."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


# -- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns JSON into values, by the hints of the places where they stand."""

    provenances: list[Provenance]

    @classmethod
    def of(cls, rows: Any) -> _Reader:
        """Return a reader that knows the provenances of a file; a row names rows above it."""
        reader = cls([])
        for number, row in enumerate(_of_type(rows, list, "provenances")):
            path = f"provenances[{number}]"
            row = _of_type(row, dict, path)
            behind = tuple(reader._provenance(link, path) for link in _of_type(row.get("because", []), list, path))
            try:
                place = Place(*row["place"]) if "place" in row else None
                reader.provenances.append(Provenance(str(row["component"]), str(row["reason"]), place, behind))
            except (KeyError, TypeError):
                raise _UnreadableError(f"{path}: a component, a reason and perhaps a place of three parts are needed") from None
        return reader

    def value(self, hint: Any, value: Any, path: str) -> Any:
        if hint is Provenance:
            return self._provenance(value, path)
        shape = _shape(hint)
        if value in shape.words and type(value) in (str, int):
            return value
        if type(value) in shape.plain:
            return value
        if isinstance(value, str) and shape.parser is not None:
            return _parsed(shape.parser, value, path)
        if isinstance(value, list) and shape.items is not None:
            return self._tuple(shape, value, path)
        if isinstance(value, dict):
            return self._mapping(shape, value, path)
        raise _UnreadableError(f"{path}: {json.dumps(value)} cannot stand here", _what_can(shape))

    def _tuple(self, shape: _Shape, value: list[Any], path: str) -> tuple[Any, ...]:
        items = shape.items or ()
        if Ellipsis not in items and len(items) != len(value):
            raise _UnreadableError(f"{path}: {len(items)} items are needed, not {len(value)}")
        return tuple(self.value(_item_hint(shape, index), item, f"{path}[{index}]") for index, item in enumerate(value))

    def _mapping(self, shape: _Shape, value: dict[str, Any], path: str) -> Any:
        if shape.mapping:
            if shape.textual and not all(isinstance(item, str) for item in value.values()):
                raise _UnreadableError(f"{path}: all values here are text")
            return value
        if shape.parser is not None and value.keys() == {ADDRESS}:
            return _parsed(shape.parser, value[ADDRESS], path)
        if not shape.classes:
            raise _UnreadableError(f"{path}: a mapping cannot stand here", _what_can(shape))
        name = str(value.get(TAG)) if len(shape.classes) > 1 else next(iter(shape.classes))
        if name not in shape.classes:
            raise _UnreadableError(f"{path}.{TAG}: {name!r} cannot stand here", did_you_mean(name, list(shape.classes), "class"))
        return self._object(shape.classes[name], {key: item for key, item in value.items() if key != TAG}, path)

    def _object(self, kind: type, value: dict[str, Any], path: str) -> Any:
        members = _members(kind)
        for key in value:
            if key not in members:
                raise _UnreadableError(f"{path}: a {kind.__name__} has no {key!r}", did_you_mean(key, list(members), "member"))
        for name, (_, member) in members.items():
            if name not in value and _default(member) is dataclasses.MISSING:
                raise _UnreadableError(f"{path}: {name!r} is missing")
        return kind(**{key: self.value(members[key][0], item, f"{path}.{key}") for key, item in value.items()})

    def _provenance(self, row: Any, path: str) -> Provenance:
        if type(row) is not int or not 0 <= row < len(self.provenances):
            raise _UnreadableError(f"{path}: there is no provenance {json.dumps(row)} above")
        return self.provenances[row]


def _parsed(parser: Callable[[str], object], value: Any, path: str) -> object:
    try:
        return parser(str(value))
    except ValueError as error:
        raise _UnreadableError(f"{path}: {error}") from None


def _of_type(value: Any, kind: type, path: str) -> Any:
    if not isinstance(value, kind):
        raise _UnreadableError(f"{path}: {json.dumps(value)} cannot stand here")
    return value


def _what_can(shape: _Shape) -> str | None:
    if shape.words:
        return f"one of {', '.join(map(str, shape.words))}"
    names = sorted(branch.__name__ for branch in shape.plain if branch is not types.NoneType)
    return f"{' or '.join([*names, *shape.classes])} can" if names or shape.classes else None
