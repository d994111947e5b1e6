"""A witness leaves nothing behind, and says in words what keeps it from looking."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import MachineError
from lab.kernel.bpf import Availability, available, open_witness
from lab.kernel.bpf.assembler import Register, Size, leave, load
from lab.kernel.bpf.load import load_program, missed_runs

pytestmark = [pytest.mark.root, pytest.mark.kernel]

_libc = ctypes.CDLL(None, use_errno=True)
DESCRIPTORS = Path("/proc/self/fd")


OPEN_AND_PRINT_THE_ERROR = """
from lab.errors import MachineError
from lab.kernel.bpf import open_witness
try:
    open_witness()
except MachineError as error:
    print(error)
"""


def kernel_objects() -> set[tuple[str, int]]:
    """Return the BPF programs, maps and attachments this process holds, by the kernel's numbers for them."""
    found = set()
    for entry in Path("/proc/self/fdinfo").iterdir():
        try:
            text = entry.read_text()
        except OSError:  # the descriptor of this very listing
            continue
        found |= {(kind, int(number)) for kind, number in re.findall(r"^(prog_id|map_id|link_id):\s*(\d+)", text, re.MULTILINE)}
    return found


def exists(kind: str, number: int) -> bool:
    """Ask the kernel for an object by its number (BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID, BPF_LINK_GET_FD_BY_ID)."""
    command = {"prog_id": 13, "map_id": 14, "link_id": 30}[kind]
    attributes = ctypes.create_string_buffer(struct.pack("=I", number), 128)
    descriptor = _libc.syscall(ctypes.c_long(321), command, attributes, 128)
    if descriptor >= 0:
        os.close(descriptor)
        return True
    assert ctypes.get_errno() in (errno.ENOENT, errno.EAGAIN)
    return ctypes.get_errno() == errno.EAGAIN  # an attachment that is just going


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="asks the kernel by the number bpf(2) has on x86-64")
def test_closing_leaves_no_program_map_attachment_descriptor_or_memory(eventually: Callable[..., None]) -> None:
    descriptors, mappings = set(DESCRIPTORS.iterdir()), Path("/proc/self/maps").read_text().count("bpf")
    before = kernel_objects()
    witness = open_witness([1])
    held = kernel_objects() - before
    assert sorted(kind for kind, _ in held) == ["link_id"] * 3 + ["map_id"] * 4 + ["prog_id"] * 3
    assert all(exists(*each) for each in held)
    witness.close()
    witness.close()
    assert set(DESCRIPTORS.iterdir()) == descriptors
    assert Path("/proc/self/maps").read_text().count("bpf") == mappings
    eventually(lambda: not any(exists(*each) for each in held), "everything freed, after a grace period of the kernel")


def test_a_failure_on_the_way_leaves_nothing_open() -> None:
    before = set(DESCRIPTORS.iterdir())
    with pytest.raises(MachineError, match="ringbuf map of 1000 entries"):
        open_witness(ring_size=1000)
    assert set(DESCRIPTORS.iterdir()) == before


def test_a_program_the_verifier_refuses_is_an_error_with_its_words() -> None:
    with pytest.raises(MachineError, match=r"verifier refused the BPF program wild .*\n(.*\n)*.*R2 !read_ok"):
        load_program([load(Size.U64, Register.R1, Register.R2, 0), leave()], "wild")


def test_missed_runs_are_read_as_the_kernel_prints_them() -> None:
    with open_witness() as witness:
        for program in witness.programs:
            printed = re.search(r"^recursion_misses:\s*(\d+)", Path(f"/proc/self/fdinfo/{program}").read_text(), re.MULTILINE)
            assert printed is not None
            assert missed_runs(program) == int(printed[1])


def test_root_on_this_machine_can_watch() -> None:
    assert available() == Availability()


@pytest.mark.parametrize(
    ("stripped_by", "reason"),
    [
        (["unshare", "--user", "--map-root-user"], "user namespace of its own"),
        (["setpriv", "--bounding-set=-all", "--inh-caps=-all"], "neither CAP_SYS_ADMIN nor both CAP_BPF and CAP_PERFMON"),
    ],
)
def test_what_is_missing_is_said_in_plain_words(stripped_by: list[str], reason: str) -> None:
    ask = [sys.executable, "-c", "from lab.kernel.bpf import available; print(available().reason)"]
    answer = subprocess.run([*stripped_by, *ask], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert reason in answer.stdout


def test_opening_without_privilege_is_an_error_that_says_so() -> None:
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", OPEN_AND_PRINT_THE_ERROR]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert "neither CAP_SYS_ADMIN nor both CAP_BPF and CAP_PERFMON\n  hint: run as root" in answer.stdout
