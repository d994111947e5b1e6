"""The kernel's own description of its types (BTF): where a member lies, what an enum's values are called, what a tracepoint passes.

The format is a header, a section of type records (32-bit words of the machine's own byte order, of different sizes, numbered from 1) and a
section of strings (Documentation/bpf/btf.rst in the kernel's source, include/uapi/linux/btf.h). A kernel has about 130 000 types, of which
the lab asks for a dozen. So opening only finds where each record begins, and names are looked up by their bytes: 30 ms in all.
"""

from __future__ import annotations

import mmap
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import Final

from lab.errors import MachineError

KERNEL_BTF: Final = Path("/sys/kernel/btf/vmlinux")
"""The running kernel's types; there when it was built with CONFIG_DEBUG_INFO_BTF, as all large distributions' are."""

_MAGIC: Final = 0xEB9F
_HEADER: Final = Struct("=HBBIIIII")


class Kind(IntEnum):
    """The kinds of type records this reader tells apart."""

    POINTER = 2
    STRUCT = 4
    UNION = 5
    ENUM = 6
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNCTION_PROTOTYPE = 13
    TYPE_TAG = 18
    ENUM64 = 19


_TRANSPARENT: Final = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
"""Kinds that only give another type a name or a qualifier."""

# Words of a record: the three every record has and what its kind adds, and words for each of its members.
_WORDS: Final = [4 if kind in (1, 14, 17) else 6 if kind == 3 else 3 for kind in range(32)]
_WORDS_PER_MEMBER: Final = [3 if kind in (4, 5, 15, 19) else 2 if kind in (6, 13) else 0 for kind in range(32)]


@dataclass(frozen=True, slots=True)
class Btf:
    """An opened type description: the type section as words, the place of each record in it (`starts[0]` is void), all bytes for names."""

    data: bytes | mmap.mmap
    words: memoryview
    types_at: int
    strings_at: int
    starts: array[int]


def read_btf(path: Path = KERNEL_BTF) -> Btf:
    """Open a type description. Raise MachineError when the kernel has none or it is not of the known format."""
    try:
        with path.open("rb") as file:
            try:
                data: bytes | mmap.mmap = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
            except (OSError, ValueError):  # sysfs lets this file be mapped since Linux 6.16 only
                data = file.read()
    except OSError as error:
        raise MachineError(
            f"cannot read the kernel's type description {path}: {error.strerror}",
            hint="a kernel built with CONFIG_DEBUG_INFO_BTF=y has it",
        ) from error
    return parse_btf(data)


def parse_btf(data: bytes | mmap.mmap) -> Btf:
    """Index a type description that is already in memory."""
    if len(data) < _HEADER.size:
        raise MachineError("the kernel's type description is empty")
    magic, version, _, header, types_at, types_size, strings_at, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != 1:
        raise MachineError(f"the kernel's type description has magic {magic:#x} and version {version}, expected {_MAGIC:#x} and 1")
    types_at += header
    words = memoryview(data)[types_at : types_at + types_size].cast("I")
    return Btf(data, words, types_at, header + strings_at, array("I", _starts(words)))


def _starts(words: memoryview) -> list[int]:
    """Return where each record begins. Equal second words mean equal size, and few differ, which makes one look-up a record enough."""
    starts, size_of, at, end = [0], dict[int, int](), 0, len(words)
    while at < end:
        starts.append(at)
        info = words[at + 1]
        size = size_of.get(info)
        if size is None:
            kind = info >> 24 & 0x1F
            size = size_of[info] = _WORDS[kind] + _WORDS_PER_MEMBER[kind] * (info & 0xFFFF)
        at += size
    return starts


def type_id(btf: Btf, kind: Kind, name: str) -> int:
    """Return the number of the type of this kind and name. Raise MachineError when the kernel has none."""
    string = btf.data.find(b"\0" + name.encode() + b"\0", btf.strings_at)
    if string >= 0:
        wanted = (string + 1 - btf.strings_at).to_bytes(4, sys.byteorder)
        at = btf.data.find(wanted, btf.types_at, btf.strings_at)
        while at >= 0:
            word, misplaced = divmod(at - btf.types_at, 4)
            found = 0 if misplaced else bisect_left(btf.starts, word, 1)
            if found and found < len(btf.starts) and btf.starts[found] == word and _kind(btf, found) == kind:
                return found
            at = btf.data.find(wanted, at + 1, btf.strings_at)
    raise MachineError(f"this kernel describes no {kind.name.lower().replace('_', ' ')} {name}")


def _kind(btf: Btf, number: int) -> int:
    return int(btf.words[btf.starts[number] + 1]) >> 24 & 0x1F


def _name(btf: Btf, string: int) -> str:
    at = btf.strings_at + string
    return btf.data[at : btf.data.find(b"\0", at)].decode()


def _members(btf: Btf, number: int) -> Iterator[tuple[int, ...]]:
    """Yield the words of each member of a structure, enum or prototype."""
    start = btf.starts[number]
    info = btf.words[start + 1]
    size = _WORDS_PER_MEMBER[info >> 24 & 0x1F]
    first = start + 3
    for at in range(first, first + size * (info & 0xFFFF), size):
        yield tuple(btf.words[at : at + size])


def _plain(btf: Btf, number: int) -> int:
    """Follow type names and qualifiers to the type itself."""
    while number and _kind(btf, number) in _TRANSPARENT:
        number = btf.words[btf.starts[number] + 2]
    return number


def _member(btf: Btf, structure: int, name: str) -> tuple[int, int] | None:
    """Return offset in bits and type of a member, looked for inside anonymous structures and unions as C does."""
    bitfields = btf.words[btf.starts[structure] + 1] >> 31
    for string, type_, offset in _members(btf, structure):
        offset = offset & 0xFFFFFF if bitfields else offset
        if string == 0:
            inside = _plain(btf, type_)
            found = _member(btf, inside, name) if _kind(btf, inside) in (Kind.STRUCT, Kind.UNION) else None
            if found:
                return offset + found[0], found[1]
        elif _name(btf, string) == name:
            return offset, type_
    return None


def offset_of(btf: Btf, structure: str, path: str) -> int:
    """Return where a member lies in a structure, in bytes; `path` may lead through inner structures ("ns.inum")."""
    number, bits = type_id(btf, Kind.STRUCT, structure), 0
    for name in path.split("."):
        number = _plain(btf, number)
        found = _member(btf, number, name) if number and _kind(btf, number) in (Kind.STRUCT, Kind.UNION) else None
        if found is None:
            raise MachineError(f"this kernel's struct {structure} has no member {path}")
        bits, number = bits + found[0], found[1]
    if bits % 8:
        raise MachineError(f"this kernel keeps {structure}.{path} in a bit field")
    return bits // 8


def enum_names(btf: Btf, name: str) -> dict[int, str]:
    """Return the names of an enum's values."""
    members = _members(btf, type_id(btf, Kind.ENUM, name))
    return {value: _name(btf, string) for string, value in members}


def tracepoint_arguments(btf: Btf, tracepoint: str) -> tuple[str, ...]:
    """Return the types of what a tracepoint passes to a raw tracepoint program, in order: "sk_buff *", "void *", "enum skb_drop_reason".

    The kernel declares a prototype `btf_trace_NAME` for each (include/trace/bpf_probe.h); its first parameter belongs to the tracing
    machinery and is not passed.
    """
    pointer = _plain(btf, type_id(btf, Kind.TYPEDEF, f"btf_trace_{tracepoint}"))
    prototype = _plain(btf, btf.words[btf.starts[pointer] + 2])
    if _kind(btf, pointer) != Kind.POINTER or _kind(btf, prototype) != Kind.FUNCTION_PROTOTYPE:
        raise MachineError(f"this kernel describes the tracepoint {tracepoint} in an unknown way")
    return tuple(_spelled(btf, type_) for _, type_ in list(_members(btf, prototype))[1:])


def _spelled(btf: Btf, number: int) -> str:
    number = _plain(btf, number)
    if number == 0:
        return "void"
    kind, start = _kind(btf, number), btf.starts[number]
    if kind == Kind.POINTER:
        return f"{_spelled(btf, btf.words[start + 2])} *"
    name = _name(btf, btf.words[start])
    return f"enum {name}" if kind in (Kind.ENUM, Kind.ENUM64) else name
