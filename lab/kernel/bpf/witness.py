"""Packet truth for a whole lab: every device a packet crosses and every packet the kernel drops, in the kernel's own order.

    with open_witness([os.fstat(namespace).st_ino, ...]) as witness:
        ...                     # traffic
        for event in witness.poll():
            match event: ...    # HopEvent, DropEvent, LostEvents

A witness looks at the whole machine and reports the lab's namespaces only; it needs root (`lab.kernel.bpf.availability`). It belongs to the
process that opened it, and there to one reader: children that fork without exec share its descriptors and keep the programs attached until
they end.
"""

from __future__ import annotations

import mmap
import os
import select
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from struct import Struct
from types import TracebackType
from typing import Final, Self

from lab.errors import MachineError
from lab.kernel.bpf import load
from lab.kernel.bpf.assembler import Line
from lab.kernel.bpf.availability import available
from lab.kernel.bpf.btf import read_btf
from lab.kernel.bpf.events import DropEvent, Event, LostEvents, What, read_event
from lab.kernel.bpf.layout import read_layout
from lab.kernel.bpf.noise import noise
from lab.kernel.bpf.programs import Maps, drop_program, hop_program
from lab.kernel.bpf.ring import Ring, map_ring, records, unmap_ring

RING_SIZE: Final = 8 << 20
"""Default size of the ring in bytes: room for 43 000 hops between two readings."""

NAMESPACES: Final = 16_384
"""How many namespaces one witness can watch."""

_COUNT: Final = Struct("=Q")


@dataclass(slots=True)
class Witness:
    """Open eyes on a set of namespaces. Made by `open_witness`; closed by `close` or at the end of a `with` block."""

    ring: Ring
    descriptor: int
    namespaces: int
    programs: tuple[int, ...]
    unwritten: mmap.mmap
    reasons: Mapping[int, str]
    keep_noise: bool
    resources: ExitStack
    lost: int = 0
    """How many events are missing since the witness was opened, as far as `poll` has reported them (`LostEvents`)."""

    def watch(self, namespaces: Iterable[int]) -> None:
        """Report these namespaces from now on; each is the inode number of its descriptor (`os.fstat(descriptor).st_ino`)."""
        for inode in namespaces:
            load.add_to_set(self.namespaces, inode)

    def forget(self, namespaces: Iterable[int]) -> None:
        """Report these namespaces no longer. To be called before a namespace is given up: the kernel gives its number to the next one."""
        for inode in namespaces:
            load.remove_from_set(self.namespaces, inode)

    def fileno(self) -> int:
        """Return the descriptor that select, poll and epoll show as readable when events wait."""
        return self.descriptor

    def poll(self) -> list[Event]:
        """Return what happened since the last call, in the kernel's order, without waiting."""
        return list(self._events())

    def wait(self, timeout: float) -> list[Event]:
        """Return what happened since the last call; when that is nothing, wait for something, at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        ready = select.poll()
        ready.register(self.descriptor, select.POLLIN)
        while not (events := self.poll()):
            left = deadline - time.monotonic()
            if left <= 0 or not ready.poll(left * 1000):
                break
        return events

    def _events(self) -> Iterator[Event]:
        (unwritten,) = _COUNT.unpack_from(self.unwritten)
        lost = unwritten + sum(map(load.missed_runs, self.programs))
        if lost != self.lost:
            yield LostEvents(lost - self.lost)
            self.lost = lost
        for at in records(self.ring):
            event = read_event(self.ring.data, at, self.reasons)
            if self.keep_noise or not isinstance(event, DropEvent) or not noise(event):
                yield event

    def close(self) -> None:
        """Detach and free everything. Closing twice is no error."""
        self.resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_witness(
    namespaces: Iterable[int] = (),
    *,
    hops: bool = True,
    drops: bool = True,
    keep_noise: bool = False,
    ring_size: int = RING_SIZE,
) -> Witness:
    """Watch namespaces, given by the inode numbers of their descriptors.

    `ring_size` is in bytes, a power of two and at least a page. Drops that are no loss (`lab.kernel.bpf.noise`) are left out unless
    `keep_noise`. Raise MachineError when this machine does not let the process watch; `available` says it beforehand.
    """
    usable = available()
    if usable.reason is not None:
        raise MachineError(f"packets cannot be watched with BPF: {usable.reason}", hint=usable.hint)
    layout = read_layout(read_btf())
    with ExitStack() as resources:

        def keep(descriptor: int) -> int:
            resources.callback(os.close, descriptor)
            return descriptor

        maps = Maps(
            namespaces=keep(load.create_set(NAMESPACES, "lab_namespaces")),
            ring=keep(load.create_ring(ring_size, "lab_events")),
            lost=keep(load.create_counters(1, "lab_lost")),
            format=keep(load.create_text("%ps", "lab_format")),
        )
        programs: list[tuple[str, str, list[Line]]] = []
        if hops:
            programs.append(("net_dev_start_xmit", "lab_out", hop_program(layout, maps, What.OUT)))
            programs.append(("netif_receive_skb", "lab_in", hop_program(layout, maps, What.IN)))
        if drops:
            programs.append(("kfree_skb", "lab_drop", drop_program(layout, maps)))
        loaded = {tracepoint: keep(load.load_program(lines, name)) for tracepoint, name, lines in programs}
        ring = map_ring(maps.ring, ring_size)
        resources.callback(unmap_ring, ring)
        unwritten = resources.enter_context(mmap.mmap(maps.lost, mmap.PAGESIZE, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ))
        witness = Witness(ring, maps.ring, maps.namespaces, tuple(loaded.values()), unwritten, layout.reasons, keep_noise, resources)
        witness.watch(namespaces)
        for tracepoint, program in loaded.items():
            keep(load.attach(program, tracepoint))
        witness.resources = resources.pop_all()
    return witness
