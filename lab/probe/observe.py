"""Watch a lab's packets, by BPF where the machine allows it and by packet sockets where not, as one stream of the same events."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from lab.kernel.bpf import DropEvent, HopEvent, LostEvents, Witness, available, open_witness
from lab.kernel.bpf.events import Direction
from lab.kernel.capture import Capture
from lab.kernel.delays import WAITING_ROOM, is_near_end
from lab.kernel.sandbox import Sandbox
from lab.probe.frame import Frame


class Seen(NamedTuple):
    """A packet on a device of a namespace."""

    time_ns: int
    namespace: str
    device: str
    direction: Literal["in", "out"]
    frame: Frame


@dataclass(frozen=True, slots=True)
class Dropped:
    """The kernel dropped a packet; `device` is empty when it had none."""

    time_ns: int
    namespace: str
    device: str
    reason: str
    location: str
    frame: Frame


Observation = Seen | Dropped


class Observer(Protocol):
    """Eyes on a lab."""

    @property
    def sees_drops(self) -> bool:
        """Whether the kernel's own drop reports are among the observations."""

    @property
    def lost(self) -> int:
        """How many events were missed; observations prove no absence once it is not zero."""

    @property
    def epoch_ns(self) -> int:
        """What to add to the times of observations to make them count from 1970."""

    def watch(self, namespaces: Iterable[str]) -> None:
        """Watch these namespaces as well, and learn the devices of those already watched."""

    def poll(self) -> list[Observation]:
        """Return what happened since the last call, in the kernel's order."""

    def close(self) -> None:
        """Stop watching."""


def open_observer(sandbox: Sandbox, namespaces: Iterable[str], *, bpf: bool | None = None) -> Observer:
    """Watch namespaces. `bpf` demands or forbids BPF; by default it is used where the machine allows it."""
    use = bpf if bpf is not None else not sandbox.rootless and available().reason is None
    observer: Observer = WitnessObserver(sandbox, open_witness()) if use else SocketObserver(Capture(sandbox))
    observer.watch(namespaces)
    return observer


@dataclass(slots=True)
class WitnessObserver:
    """Observes with one BPF ring for the whole lab."""

    sandbox: Sandbox
    witness: Witness
    sees_drops: bool = True
    epoch_ns: int = field(default_factory=lambda: time.time_ns() - time.monotonic_ns())
    _names: dict[int, str] = field(default_factory=dict)
    _devices: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """How many events found the ring full."""
        return self.witness.lost

    def watch(self, namespaces: Iterable[str]) -> None:
        """Watch namespaces and learn the names of their devices.

        The one in which delayed frames wait is watched as well: what is dropped there would be told of the sender, whose socket it bears.
        """
        room = [name for name in self.sandbox.namespaces if name == WAITING_ROOM]
        for name in (*namespaces, *room):
            inode = os.fstat(self.sandbox.descriptor(name)).st_ino
            if inode not in self._names:
                self.witness.watch([inode])
            self._names[inode] = name
            with self.sandbox.enter(name):
                self._devices.update({(inode, index): device for index, device in socket.if_nameindex()})

    def poll(self) -> list[Observation]:
        """Return what happened since the last call."""
        seen = (self._observed(event) for event in self.witness.poll() if not isinstance(event, LostEvents))
        return [event for event in seen if event.namespace != WAITING_ROOM and not is_near_end(event.device)]

    def close(self) -> None:
        """Detach the programs."""
        self.witness.close()

    def _observed(self, event: HopEvent | DropEvent) -> Observation:
        frame = Frame(event.data, None if event.link_header else event.protocol, event.length)
        namespace = self._names.get(event.netns, f"netns-{event.netns}")
        device = self._devices.get((event.netns, event.ifindex), f"if{event.ifindex}" if event.ifindex else "")
        if isinstance(event, HopEvent):
            return Seen(event.time_ns, namespace, device, "out" if event.direction is Direction.OUT else "in", frame)
        return Dropped(event.time_ns, namespace, device, event.reason, event.location, frame)


@dataclass(slots=True)
class SocketObserver:
    """Observes with one packet socket per namespace."""

    capture: Capture
    sees_drops: bool = False
    epoch_ns: int = 0
    _lost: int = 0

    @property
    def lost(self) -> int:
        """How many packets found a socket's buffer full."""
        self._lost += self.capture.lost()
        return self._lost

    def watch(self, namespaces: Iterable[str]) -> None:
        """Watch these namespaces and no others: one that is made anew is another of the same name."""
        names = tuple(namespaces)
        self.capture.forget([name for name in self.capture.sockets if name not in names])
        self.capture.watch(names)

    def poll(self) -> list[Observation]:
        """Return what happened since the last call."""
        return [
            Seen(
                frame.time_ns,
                frame.namespace,
                frame.device,
                "out" if frame.outgoing else "in",
                Frame(frame.data, length=frame.length),
            )
            for frame in self.capture.poll()
        ]

    def close(self) -> None:
        """Close the sockets."""
        self.capture.close()
