"""BPF instructions as data, and their translation to the bytes the kernel loads.

An instruction is eight bytes: operation, two registers, a 16-bit offset and a 32-bit immediate (RFC 9669, BPF Instruction Set Architecture;
include/uapi/linux/bpf.h). Jumps name a label; `assemble` turns labels into offsets. Calling convention: a helper takes R1 to R5 and answers
in R0, R6 to R9 survive a call, R10 points behind the 512-byte stack.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final


class Register(IntEnum):
    """The registers of the machine."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    STACK = 10


class Size(IntEnum):
    """How many bits a load or store moves; the values are the instruction's size field."""

    U32 = 0x00
    U16 = 0x08
    U8 = 0x10
    U64 = 0x18


class Helper(IntEnum):
    """The kernel functions the lab's programs call (enum bpf_func_id)."""

    MAP_LOOKUP_ELEM = 1
    KTIME_GET_NS = 5
    PROBE_READ_KERNEL = 113
    RINGBUF_RESERVE = 131
    RINGBUF_SUBMIT = 132
    SNPRINTF = 165


class Compare(IntEnum):
    """Conditions of a jump; S is signed."""

    EQUAL = 0x10
    GREATER = 0x20
    NOT_EQUAL = 0x50
    SIGNED_GREATER = 0x60


class Arithmetic(IntEnum):
    """Operations on a register, in 64 bits."""

    ADD = 0x00
    SUB = 0x10
    AND = 0x50


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; a `label` stands for the offset of a jump."""

    code: int
    destination: int = 0
    source: int = 0
    offset: int = 0
    immediate: int = 0
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """A place in the program that jumps name."""

    name: str


Line = Instruction | Label

_ENCODING: Final = Struct("=BBhi")
_MOVE, _MOVE_IMMEDIATE = 0xBF, 0xB7
_PSEUDO_MAP, _PSEUDO_MAP_VALUE = 1, 2


def move(to: Register, what: Register | int) -> Instruction:
    """Set a register to another or to a number (sign-extended from 32 bits)."""
    if isinstance(what, Register):
        return Instruction(_MOVE, to, what)
    return Instruction(_MOVE_IMMEDIATE, to, immediate=what)


def compute(operation: Arithmetic, to: Register, what: Register | int) -> Instruction:
    """Apply an operation to a register."""
    if isinstance(what, Register):
        return Instruction(0x0F | operation, to, what)
    return Instruction(0x07 | operation, to, immediate=what)


def load(size: Size, to: Register, base: Register, offset: int) -> Instruction:
    """Set a register from memory."""
    return Instruction(0x61 | size, to, base, offset)


def store(size: Size, base: Register, offset: int, what: Register | int) -> Instruction:
    """Set memory from a register or a number."""
    if isinstance(what, Register):
        return Instruction(0x63 | size, base, what, offset)
    return Instruction(0x62 | size, base, 0, offset, what)


def atomic_add(base: Register, offset: int, what: Register) -> Instruction:
    """Add to a 64-bit number in memory that other processors change as well."""
    return Instruction(0xDB, base, what, offset)


def jump(label: str) -> Instruction:
    """Go on at a label."""
    return Instruction(0x05, label=label)


def jump_if(register: Register, compare: Compare, what: Register | int, label: str) -> Instruction:
    """Go on at a label if the comparison (in 64 bits) holds."""
    if isinstance(what, Register):
        return Instruction(0x0D | compare, register, what, label=label)
    return Instruction(0x05 | compare, register, immediate=what, label=label)


def call(helper: Helper) -> Instruction:
    """Call a kernel function."""
    return Instruction(0x85, immediate=helper)


def leave() -> Instruction:
    """End the program; its value is R0."""
    return Instruction(0x95)


def map_pointer(to: Register, descriptor: int) -> tuple[Instruction, Instruction]:
    """Set a register to a map, given by its descriptor (a two-word instruction)."""
    return Instruction(0x18, to, _PSEUDO_MAP, immediate=descriptor), Instruction(0)


def map_value_pointer(to: Register, descriptor: int) -> tuple[Instruction, Instruction]:
    """Set a register to the first value of an array map, known to be there (a two-word instruction)."""
    return Instruction(0x18, to, _PSEUDO_MAP_VALUE, immediate=descriptor), Instruction(0)


def assemble(lines: Iterable[Line]) -> bytes:
    """Translate a program; raise KeyError for a jump to a label that does not exist."""
    places: dict[str, int] = {}
    instructions: list[Instruction] = []
    for line in lines:
        if isinstance(line, Label):
            places[line.name] = len(instructions)
        else:
            instructions.append(line)
    return b"".join(
        _ENCODING.pack(
            instruction.code,
            instruction.source << 4 | instruction.destination,
            instruction.offset if instruction.label is None else places[instruction.label] - at - 1,
            instruction.immediate,
        )
        for at, instruction in enumerate(instructions)
    )
