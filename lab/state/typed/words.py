"""A command line taken apart as a shell takes it apart, each word with its place; nothing in it is ever given to a shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Final, Literal, NoReturn, TypeVar

from lab.errors import InputError, Place, did_you_mean, nearest, quoted, unsafe_character
from lab.state.objects import Address, Interface, Network

T = TypeVar("T")
V = TypeVar("V", Address, Network, Interface)

_EXPANDED: Final = "$`*?~"
_OPERATORS: Final = ";|&()<"
REDIRECT: Final = ">"
"""A word of its own: `echo 1 > /proc/sys/...` is read as what it means."""


class NotModelled(InputError):
    """A command that may well be right, and whose effect only a real kernel can tell."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word, without its quotes, and where it begins."""

    text: str
    place: Place


def split_words(line: str, place: Place) -> tuple[Word, ...]:
    """Split a line as a shell would; `place` is where its first character stands. Raises InputError where a shell would do more than split.

    What stands behind a # is a comment.
    """
    words, goes_on = split_line(line, place)
    if goes_on:
        last = _moved(place, len(line) - 1)
        raise InputError("a command ends on its own line", place=last, hint="write it on one line, without a \\ at the end")
    return words


def split_line(line: str, place: Place) -> tuple[tuple[Word, ...], bool]:
    """Split a line as `split_words` does; return as well whether a \\ at its end says that the command goes on below."""
    words: list[Word] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line) or line[at] == "#":
            return tuple(words), False
        if line[at:] == "\\":
            return tuple(words), True
        start = at
        text, at = _one_word(line, at, place)
        words.append(Word(text, _moved(place, start)))


def _one_word(line: str, at: int, place: Place) -> tuple[str, int]:
    text: list[str] = []
    start = at
    while at < len(line) and not line[at].isspace():
        character = line[at]
        if character == REDIRECT:
            if text or at != start:
                break
            return REDIRECT, at + 1
        if character in "'\"":
            end = _closing(line, at, place)
            text.append(_unquoted(line, at, end, place))
            at = end + 1
            continue
        if character == "\\":
            if at + 1 == len(line):
                raise InputError("put a space before this", place=_moved(place, at), hint="a \\ at the end joins this line and the next")
            at += 1
            character = line[at]
        else:
            _check(character, _moved(place, at))
        text.append(character)
        at += 1
    return "".join(text), at


def _closing(line: str, at: int, place: Place) -> int:
    quote, end = line[at], at + 1
    while end < len(line) and line[end] != quote:
        end += 2 if line[end] == "\\" and quote == '"' else 1
    if end >= len(line):
        raise InputError(f"the quotation mark {quote} is not closed", place=_moved(place, at))
    return end


def _unquoted(line: str, at: int, end: int, place: Place) -> str:
    inner = line[at + 1 : end]
    if line[at] == "'":
        return inner
    for offset, character in enumerate(inner):
        if character in "$`" and (offset == 0 or inner[offset - 1] != "\\"):
            _refuse_expansion(character, _moved(place, at + 1 + offset))
    for escaped in '\\"$`':
        inner = inner.replace(f"\\{escaped}", escaped)
    return inner


def _check(character: str, place: Place) -> None:
    if character in _EXPANDED:
        _refuse_expansion(character, place)
    if character in _OPERATORS:
        raise InputError(
            f"no shell reads this: {quoted(character)} joins or redirects commands",
            place=place,
            hint="write one command on each line; quote the character if the command itself is to have it",
        )
    if unsafe_character(character) is not None:
        raise InputError(f"{quoted(character)} is no character of a command", place=place)


def _refuse_expansion(character: str, place: Place) -> NoReturn:
    raise InputError(
        f"no shell reads this: {quoted(character)} would be replaced by something else",
        place=place,
        hint="write what it stands for, or quote it with ' if the command itself is to have it",
    )


def _moved(place: Place, by: int) -> Place:
    return Place(place.file, place.line, place.column + by)


@dataclass(slots=True)
class Reader:
    """Takes the words of one command one by one."""

    words: Sequence[Word]
    version: Literal[4, 6] | None = None
    """The version of IP that the command is about, once it has said so: by -4 or -6, or by its first address."""
    at: int = 0
    taken: list[str] = field(default_factory=list)

    def peek(self) -> str | None:
        """The text of the next word, None at the end."""
        return self.words[self.at].text if self.at < len(self.words) else None

    @property
    def place(self) -> Place:
        """Where the word stands that was taken last, or the first one."""
        return self.words[max(self.at - 1, 0)].place

    @property
    def rest(self) -> tuple[Word, ...]:
        """The words that are left."""
        return tuple(self.words[self.at :])

    def take(self, what: str) -> str:
        """Take the next word. Raises InputError, saying what was expected, when there is none."""
        if self.at == len(self.words):
            last = self.words[-1]
            raise InputError(f"expected {what} here, and the command ends", place=_moved(last.place, len(last.text)))
        self.at += 1
        return self.words[self.at - 1].text

    def skip(self, *texts: str) -> bool:
        """Take the next word if it is one of these."""
        if self.peek() in texts:
            self.at += 1
            return True
        return False

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise InputError at the word that was taken last."""
        raise InputError(message, place=self.place, hint=hint)

    def refuse(self, answer: str) -> NoReturn:
        """Raise InputError for a command that is well-formed, and that the kernel would not carry out."""
        raise InputError(f"the kernel would refuse this: {answer}", place=self.words[0].place)

    def verb(self, known: Sequence[str], what: str) -> str:
        """Take one of the known words; as iproute2 has it, its first letters are enough, and the first that fits is meant."""
        said = self.take(what)
        found = next((name for name in known if name.startswith(said) and said), None)
        if found is None:
            self.fail(f"{quoted(said)} is no {what}", did_you_mean(said, known, what))
        return found

    def read(self, what: str, reader: Callable[[str], T]) -> T:
        """Take a word and read a value from it. Raises InputError when it is none."""
        said = self.take(what)
        try:
            return reader(said)
        except ValueError:
            self.fail(f"expected {what}, found {quoted(said)}")

    def number(self, what: str, largest: int = 0xFFFFFFFF) -> int:
        """Take a number, decimal or 0x..., up to `largest`."""
        number = self.read(what, lambda text: int(text, 0))
        if not 0 <= number <= largest:
            self.fail(f"{what} is between 0 and {largest}, found {number}")
        return number

    def address(self, what: str) -> Address:
        """Take an address of the version that the command is about; the first one says of which."""
        return self._of_its_version(self.read(f"{what}, an address", ip_address))

    def network(self, what: str = "a network") -> Network:
        """Take a network as `10.0.0.0/8`, an address, or `default`, of which IPv6 has its own. The kernel takes no host bits."""
        said = self.take(what)
        if said in ("default", "any", "all"):
            return IPv6Network("::/0") if self.version == 6 else IPv4Network("0.0.0.0/0")
        try:
            network = ip_network(said)
        except ValueError:
            self._no_network(said, what)
        return self._of_its_version(network)

    def _no_network(self, said: str, what: str) -> NoReturn:
        try:
            meant = ip_network(said, strict=False)
        except ValueError:
            self.fail(f"expected {what}, as {'2001:db8::/32' if self.version == 6 else '10.0.0.0/8'}, found {quoted(said)}")
        if meant.version == 6:
            raise NotModelled(f"what the kernel makes of the bits of {said} beyond its prefix length is not modelled", place=self.place)
        self.fail(f"{quoted(said)} has bits beyond its prefix length, and the kernel takes none", f"did you mean {meant}?")

    def interface(self) -> Interface:
        """Take an address with its prefix length; without one it is all of its bits."""
        return self._of_its_version(self.read("an address, as 10.0.0.1/24", ip_interface))

    def _of_its_version(self, value: V) -> V:
        if self.version not in (None, value.version):
            self.fail(f"expected IPv{self.version} here, as before, found {value}")
        self.version = value.version
        return value

    def device(self, known: Sequence[str], node: str) -> str:
        """Take the name of a device. Raises InputError when the node has none of that name."""
        said = self.take("a device")
        if said not in known:
            self.fail(f"{node} has no device {quoted(said)}", did_you_mean(said, known, "device"))
        return said

    def unknown(self, known: Sequence[str], what: str) -> NoReturn:
        """Raise InputError about the word that was taken last: it is none of the known ones."""
        said = self.words[self.at - 1].text
        best = nearest(said, known)
        self.fail(f"{quoted(said)} is not known here: expected {what}", f"did you mean {best!r}?" if best else None)
