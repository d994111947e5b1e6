"""Packet truth by BPF: what the kernel's own tracepoints say of every packet of a lab, from Python, without compiler or headers."""

from __future__ import annotations

from lab.kernel.bpf.availability import Availability, available
from lab.kernel.bpf.events import Direction, DropEvent, Event, HopEvent, LostEvents, decode
from lab.kernel.bpf.noise import noise
from lab.kernel.bpf.witness import Witness, open_witness

__all__ = [
    "Availability",
    "Direction",
    "DropEvent",
    "Event",
    "HopEvent",
    "LostEvents",
    "Witness",
    "available",
    "decode",
    "noise",
    "open_witness",
]
