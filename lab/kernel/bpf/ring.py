"""Reading the kernel's ring buffer from mapped memory, without a system call per record.

The buffer is three areas (Documentation/bpf/ringbuf.rst): a page with the reader's position, a page with the writers', and the data, mapped
twice in a row so that a record is never split. A record begins with its length, of which two bits say that it is not finished or thrown
away. Writers reserve in order under a lock: the order of the records is the order of the reservations on all processors.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_HEADER: Final = 8
_POSITION: Final = Struct("=Q")
_LENGTH: Final = Struct("=I")


@dataclass(frozen=True, slots=True)
class Ring:
    """A mapped ring buffer; `data` begins with the writers' page."""

    reader: mmap.mmap
    data: mmap.mmap
    size: int


def map_ring(descriptor: int, size: int) -> Ring:
    """Map the ring buffer of `size` bytes behind a descriptor."""
    reader = mmap.mmap(descriptor, mmap.PAGESIZE, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    data = mmap.mmap(descriptor, mmap.PAGESIZE + 2 * size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)
    return Ring(reader, data, size)


def unmap_ring(ring: Ring) -> None:
    """Give the memory back. The buffer itself goes with its descriptor."""
    ring.reader.close()
    ring.data.close()


def records(ring: Ring) -> Iterator[int]:
    """Yield where each finished record begins in `ring.data`. A record's room is given back when the next one is asked for.

    Ends at the first unfinished record, and at what was written after the call: it does not run after a writer that is faster.
    The positions and lengths are read by plain loads: between two of them the interpreter runs far more instructions than a processor
    reorders.
    """
    (position,) = _POSITION.unpack_from(ring.reader)
    (end,) = _POSITION.unpack_from(ring.data)
    while position < end:
        at = mmap.PAGESIZE + position % ring.size
        (length,) = _LENGTH.unpack_from(ring.data, at)
        if length & _BUSY:
            return
        if not length & _DISCARDED:
            yield at + _HEADER
        position += ((length & ~_DISCARDED) + _HEADER + 7) & ~7
        _POSITION.pack_into(ring.reader, 0, position)
