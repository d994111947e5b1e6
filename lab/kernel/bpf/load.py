"""The bpf(2) system call: maps, programs and their attachment, each held by a file descriptor and by nothing else.

The kernel opens these descriptors close-on-exec. When the last copy of one is closed, by the process or by its death, the kernel removes
what it stands for: nothing is pinned and nothing outlives its holder. Attributes are laid out as `union bpf_attr` in
include/uapi/linux/bpf.h; what is not set is zero.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import Final

from lab.errors import MachineError
from lab.kernel.bpf.assembler import Line, assemble

_NUMBER: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
"""The number of bpf(2) per architecture."""

_ATTRIBUTES_SIZE: Final = 128
_LOG_SIZE: Final = 1 << 20
LOG_LINES: Final = 20
"""How much of the verifier's log an error shows, from its end, where the refusal stands."""
_RAW_TRACEPOINT: Final = 17
_RDONLY_PROG: Final = 1 << 7
_MMAPABLE: Final = 1 << 10

LICENSE: Final = b"Dual MIT/GPL"
"""What the lab's programs tell the kernel: reading kernel memory is reserved to programs whose licence is compatible with its own."""


class _Command(IntEnum):
    MAP_CREATE = 0
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    PROG_LOAD = 5
    OBJ_GET_INFO_BY_FD = 15
    RAW_TRACEPOINT_OPEN = 17
    MAP_FREEZE = 22


class _MapType(IntEnum):
    HASH = 1
    ARRAY = 2
    RINGBUF = 27


_MAP_CREATE: Final = Struct("=IIIII8x16s")
_MAP_ELEMENT: Final = Struct("=I4xQQQ")
_MAP_FREEZE: Final = Struct("=I")
_PROG_LOAD: Final = Struct("=IIQQIIQII16s")
_RAW_TRACEPOINT_OPEN: Final = Struct("=QI")
_OBJECT_INFO: Final = Struct("=IIQ")
_MISSED_RUNS: Final = Struct("=208xQ")
"""`struct bpf_prog_info` up to `recursion_misses`."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _bpf(command: _Command, attributes: bytes) -> int:
    """Make the call; the answer is a descriptor or 0. Raise OSError."""
    number = _NUMBER.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) has no known number on {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, _ATTRIBUTES_SIZE)
    answer = _libc.syscall(ctypes.c_long(number), ctypes.c_int(command), buffer, ctypes.c_uint(_ATTRIBUTES_SIZE))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(answer)


def _create_map(kind: _MapType, key: int, value: int, entries: int, flags: int, name: str) -> int:
    try:
        return _bpf(_Command.MAP_CREATE, _MAP_CREATE.pack(kind, key, value, entries, flags, name.encode()))
    except OSError as error:
        raise MachineError(f"the kernel refused a BPF {kind.name.lower()} map of {entries} entries: {error.strerror}") from error


def create_set(entries: int, name: str) -> int:
    """Make a set of 32-bit numbers; return its descriptor."""
    return _create_map(_MapType.HASH, 4, 1, entries, 0, name)


def create_counters(count: int, name: str) -> int:
    """Make 64-bit counters that the process can map into its memory; return their descriptor."""
    return _create_map(_MapType.ARRAY, 4, 8, count, _MMAPABLE, name)


def create_text(text: str, name: str) -> int:
    """Make a constant that programs can pass to helpers as a string; return its descriptor."""
    value = text.encode() + b"\0"
    descriptor = _create_map(_MapType.ARRAY, 4, len(value), 1, _RDONLY_PROG, name)
    try:
        _element(_Command.MAP_UPDATE_ELEM, descriptor, 0, value)
        _bpf(_Command.MAP_FREEZE, _MAP_FREEZE.pack(descriptor))
    except OSError as error:
        os.close(descriptor)
        raise MachineError(f"the kernel refused a constant for a BPF program: {error.strerror}") from error
    return descriptor


def create_ring(size: int, name: str) -> int:
    """Make a ring buffer of `size` bytes, a power of two and at least a page; return its descriptor."""
    return _create_map(_MapType.RINGBUF, 0, 0, size, 0, name)


def add_to_set(descriptor: int, number: int) -> None:
    """Add a number to a set. Raise MachineError when it is full."""
    try:
        _element(_Command.MAP_UPDATE_ELEM, descriptor, number, b"\1")
    except OSError as error:
        raise MachineError(f"the kernel refused one more entry in a BPF set: {error.strerror}") from error


def remove_from_set(descriptor: int, number: int) -> None:
    """Remove a number from a set; one that is not in it is no error."""
    try:
        _element(_Command.MAP_DELETE_ELEM, descriptor, number, None)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _element(command: _Command, descriptor: int, key: int, value: bytes | None) -> None:
    key_buffer = ctypes.create_string_buffer(key.to_bytes(4, sys.byteorder), 4)
    value_buffer = None if value is None else ctypes.create_string_buffer(value, len(value))
    value_address = 0 if value_buffer is None else ctypes.addressof(value_buffer)
    _bpf(command, _MAP_ELEMENT.pack(descriptor, ctypes.addressof(key_buffer), value_address, 0))


def load_program(lines: Iterable[Line], name: str) -> int:
    """Hand a raw tracepoint program to the kernel; return its descriptor.

    Raise MachineError with the end of the verifier's log when it refuses.
    """
    code = assemble(lines)
    try:
        return _load(code, name, None)
    except OSError as error:
        if error.errno == errno.EPERM:
            raise MachineError(f"the kernel does not let this process load the BPF program {name}", hint="run as root") from error
        refusal = error
    log = ctypes.create_string_buffer(_LOG_SIZE)
    try:
        return _load(code, name, log)
    except OSError:
        said = log.value.decode(errors="replace").splitlines()
        if not said:
            raise MachineError(f"the kernel refused the BPF program {name}: {refusal.strerror}") from refusal
        words = "\n  ".join(said[-LOG_LINES:])
        raise MachineError(f"the kernel's verifier refused the BPF program {name} ({refusal.strerror}):\n  {words}") from refusal


def _load(code: bytes, name: str, log: ctypes.Array[ctypes.c_char] | None) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(LICENSE)
    attributes = _PROG_LOAD.pack(
        _RAW_TRACEPOINT,
        len(code) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(license_),
        0 if log is None else 1,
        0 if log is None else len(log),
        0 if log is None else ctypes.addressof(log),
        0,
        0,
        name.encode(),
    )
    return _bpf(_Command.PROG_LOAD, attributes)


def attach(program: int, tracepoint: str) -> int:
    """Run a program whenever the kernel passes a tracepoint; return the descriptor that keeps it attached."""
    name = ctypes.create_string_buffer(tracepoint.encode())
    try:
        return _bpf(_Command.RAW_TRACEPOINT_OPEN, _RAW_TRACEPOINT_OPEN.pack(ctypes.addressof(name), program))
    except OSError as error:
        raise MachineError(f"the kernel refused to attach to its tracepoint {tracepoint}: {error.strerror}") from error


def missed_runs(program: int) -> int:
    """Return how often a program was not run because an interrupt came to its tracepoint while it ran on the same processor."""
    info = ctypes.create_string_buffer(_MISSED_RUNS.size)
    _bpf(_Command.OBJ_GET_INFO_BY_FD, _OBJECT_INFO.pack(program, _MISSED_RUNS.size, ctypes.addressof(info)))
    (missed,) = _MISSED_RUNS.unpack(info.raw)
    return int(missed)
