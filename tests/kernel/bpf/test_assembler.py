"""Programs are encoded as RFC 9669 writes them: expected bytes are written by hand (little-endian machines)."""

from __future__ import annotations

import sys

import pytest

from lab.kernel.bpf.assembler import (
    Arithmetic,
    Compare,
    Helper,
    Instruction,
    Label,
    Line,
    Register,
    Size,
    assemble,
    atomic_add,
    call,
    compute,
    jump,
    jump_if,
    leave,
    load,
    map_pointer,
    map_value_pointer,
    move,
    store,
)

R0, R1, R2 = Register.R0, Register.R1, Register.R2

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the expected bytes are a little-endian machine's")


@pytest.mark.parametrize(
    ("instruction", "encoded"),
    [
        (move(R1, R2), "bf 21 0000 00000000"),
        (move(R1, -1), "b7 01 0000 ffffffff"),
        (compute(Arithmetic.ADD, R1, R2), "0f 21 0000 00000000"),
        (compute(Arithmetic.SUB, R1, 1), "17 01 0000 01000000"),
        (compute(Arithmetic.AND, R1, ~7), "57 01 0000 f8ffffff"),
        (load(Size.U64, R1, R2, 8), "79 21 0800 00000000"),
        (load(Size.U32, R1, R2, 8), "61 21 0800 00000000"),
        (load(Size.U16, R1, R2, 8), "69 21 0800 00000000"),
        (load(Size.U8, R1, R2, 8), "71 21 0800 00000000"),
        (store(Size.U64, Register.STACK, -8, R1), "7b 1a f8ff 00000000"),
        (store(Size.U8, R1, 2, 7), "72 01 0200 07000000"),
        (atomic_add(R1, 0, R2), "db 21 0000 00000000"),
        (call(Helper.KTIME_GET_NS), "85 00 0000 05000000"),
        (leave(), "95 00 0000 00000000"),
    ],
)
def test_an_instruction_has_its_bytes(instruction: Instruction, encoded: str) -> None:
    assert assemble([instruction]) == bytes.fromhex(encoded)


def test_a_map_takes_two_words() -> None:
    assert assemble(map_pointer(R1, 5)) == bytes.fromhex("18 11 0000 05000000" + "00" * 8)
    assert assemble(map_value_pointer(R1, 5)) == bytes.fromhex("18 21 0000 05000000" + "00" * 8)


def test_jumps_count_from_the_next_instruction_in_both_directions() -> None:
    program: list[Line] = [
        Label("again"),
        jump_if(R1, Compare.EQUAL, 0, "end"),
        jump_if(R1, Compare.SIGNED_GREATER, R2, "again"),
        jump("end"),
        move(R0, 0),
        Label("end"),
        leave(),
    ]
    offsets = [int.from_bytes(assemble(program)[at + 2 : at + 4], "little", signed=True) for at in (0, 8, 16)]
    assert offsets == [3, -2, 1]
    codes = [assemble(program)[at] for at in (0, 8, 16)]
    assert codes == [0x15, 0x6D, 0x05]


def test_a_jump_to_nowhere_is_not_assembled() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        assemble([jump("nowhere")])
