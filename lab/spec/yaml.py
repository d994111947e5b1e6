"""Read YAML as plain values, each with its position, and with bounds no file of ours comes near.

Built on the parser's event stream rather than on its constructors: only plain data comes out (YAML 1.2 core schema,
https://yaml.org/spec/1.2.2/#103-core-schema), nothing recurses, and an alias can neither loop nor explode. The parser is libyaml's,
which takes a twentieth of the time of the one in Python, and reads ``[c1-w?]`` as YAML 1.2 does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from lab.errors import InputError, Place, quoted, unsafe_character
from lab.spec.document import Document, Node, Scalar
from lab.spec.yaml_errors import explained, place_of

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_VALUES = 100_000
MAX_KEY = 256

_INT = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Mapping[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read_yaml(text: bytes, file: str) -> Document:
    """Parse the bytes of a file.

    Raises InputError, with the position, when they are not UTF-8, not YAML, hold more than one document, a duplicate key, a tag, a
    merge key, a character that could drive a terminal, or more than the bounds of this module allow.
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"the file is too large: at most {MAX_BYTES} bytes are read", place=Place(file))
    decoded = _decoded(text, file)
    composer = _Composer(file)
    try:
        for event in yaml.parse(decoded, Loader=yaml.CSafeLoader):
            composer.feed(event)
    except yaml.MarkedYAMLError as error:
        raise explained(error, decoded, file) from None
    return composer.document()


def _decoded(text: bytes, file: str) -> str:
    """Return the text, with the line ends of Unix. What is left then of control characters is refused."""
    try:
        decoded = text.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8-sig")
        raise InputError("the file is not UTF-8 text", place=place_of(len(before), before, file), hint="save it as UTF-8") from None
    unsafe = unsafe_character(decoded)
    if unsafe is not None:
        raise _refused(decoded[unsafe], place_of(unsafe, decoded, file))
    return decoded


def _refused(character: str, place: Place) -> InputError:
    return InputError(f"the character U+{ord(character):04X} has no place in a file of the lab", place=place)


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    place: Place
    anchor: str | None
    entries: dict[str, Node] | list[Node]
    keys: dict[str, Place] = field(default_factory=dict)
    key: str | None = None
    """The key whose value comes next."""
    size: int = 1
    """How many values it holds so far, itself included."""
    height: int = 1
    """How deep it is nested so far."""

    @property
    def waits_for_key(self) -> bool:
        return isinstance(self.entries, dict) and self.key is None

    def add(self, node: Node, size: int, height: int) -> None:
        self.size += size
        self.height = max(self.height, height + 1)
        if isinstance(self.entries, list):
            self.entries.append(node)
        elif self.key is not None:
            self.entries[self.key] = node
            self.key = None

    def closed(self) -> Node:
        content = tuple(self.entries) if isinstance(self.entries, list) else self.entries
        return Node(self.place, content, self.keys)


@dataclass(slots=True)
class _Composer:
    """Builds the document from the parser's events, one at a time."""

    file: str
    anchors: dict[str, tuple[Node, int, int]] = field(default_factory=dict)
    """What an alias stands for, its size and its height."""
    stack: list[_Open] = field(default_factory=list)
    root: Node | None = None
    values: int = 0

    def document(self) -> Document:
        if self.root is None or self.root.content is None:
            raise InputError("the file is empty", place=Place(self.file))
        return Document(self.file, self.root)

    def feed(self, event: object) -> None:
        match event:
            case ScalarEvent():
                self._scalar(event)
            case MappingStartEvent() | SequenceStartEvent():
                self._open(event)
            case MappingEndEvent() | SequenceEndEvent():
                done = self.stack.pop()
                self._put(done.closed(), done.size, done.height, done.anchor)
            case AliasEvent():
                self._alias(event)
            case DocumentStartEvent() if self.root is not None:
                raise self._error("a second document begins here, and a file holds one", event)

    def _open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        self._check(event)
        if self._waits_for_key():
            raise self._error("a key must be a word, not a list or a mapping", event, "a key that begins with { or [ needs quotes")
        if len(self.stack) >= MAX_DEPTH:
            raise self._error(f"this is nested more than {MAX_DEPTH} levels deep", event)
        self._count(1, event)
        self.stack.append(_Open(self._place(event), event.anchor, {} if isinstance(event, MappingStartEvent) else []))

    def _scalar(self, event: ScalarEvent) -> None:
        self._check(event)
        unsafe = unsafe_character(event.value)
        if unsafe is not None:
            raise _refused(event.value[unsafe], self._place(event))
        if self._waits_for_key():
            self._key(event)
        else:
            self._count(1, event)
            self._put(Node(self._place(event), _value(event)), 1, 1, event.anchor)

    def _key(self, event: ScalarEvent) -> None:
        top, name = self.stack[-1], str(event.value)
        if len(name) > MAX_KEY:
            raise self._error(f"this key has {len(name)} characters; at most {MAX_KEY} are read", event)
        if name == "<<":
            raise self._error("merge keys (<<) are not part of YAML 1.2", event, "write the keys out")
        if name in top.keys:
            raise self._error(f"the key {name!r} stands here a second time; the first is on line {top.keys[name].line}", event)
        top.key = name
        top.keys[name] = self._place(event)

    def _alias(self, event: AliasEvent) -> None:
        name = event.anchor
        if any(entry.anchor == name for entry in self.stack):
            raise self._error(f"the alias *{name} stands within what it names: a loop", event)
        if name not in self.anchors:
            raise self._error(f"the alias *{name} names no anchor above it", event, "text that begins with * needs quotes")
        if self._waits_for_key():
            raise self._error("an alias cannot be a key", event)
        node, size, height = self.anchors[name]
        if len(self.stack) + height > MAX_DEPTH:
            raise self._error(f"with what *{name} stands for, this is nested more than {MAX_DEPTH} levels deep", event)
        self._count(size, event)
        self._put(replace(node, place=self._place(event)), size, height, None)

    def _put(self, node: Node, size: int, height: int, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = (node, size, height)
        if self.stack:
            self.stack[-1].add(node, size, height)
        else:
            self.root = node

    def _waits_for_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].waits_for_key

    def _count(self, number: int, event: Event) -> None:
        self.values += number
        if self.values > MAX_VALUES:
            raise self._error(f"the file holds more than {MAX_VALUES} values", event)

    def _check(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        if event.tag is not None and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._error(f"the tag {quoted(tag)} means nothing here", event, "text that begins with ! needs quotes")

    def _place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)

    def _error(self, message: str, event: Event, hint: str | None = None) -> InputError:
        return InputError(message, place=self._place(event), hint=hint)


def _value(event: ScalarEvent) -> Scalar:
    text = str(event.value)
    if not event.implicit[0]:  # quoted or a block: text, whatever it looks like
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
