"""A plan as a file of bytes, for a program that does nothing but send them (benchmarks/floor.c describes the format)."""

from __future__ import annotations

import struct

from lab.kernel.netlink.wire import END_OF_BATCH
from lab.kernel.plan import Plan
from lab.kernel.planning.steps import AddNamespace, AwaitLinks, SendBatch, Step, WriteSysctls

_NAMESPACE, _SYSCTLS, _SEND, _LINKS = 1, 2, 3, 4
_CHUNK = 128 * 1024


def tape(plan: Plan) -> bytes:
    """The bytes of a plan that builds a lab from nothing. It may hold no rule sets and no tun devices."""
    numbers: dict[str, int] = {}
    records: list[bytes] = []
    for step in plan.steps:
        if isinstance(step, AddNamespace):
            numbers[step.namespace] = len(numbers)
            records.append(_record(_NAMESPACE, numbers[step.namespace], f"/run/netns/{step.namespace}\0".encode()))
        else:
            records += (_record(opcode, numbers[step.namespace], content) for opcode, content in _contents(step, numbers))
    return b"".join(records)


def _contents(step: Step, numbers: dict[str, int]) -> list[tuple[int, bytes]]:
    match step:
        case WriteSysctls():
            text = "".join(f"{path}\0{value}\0" for path, value in step.values)
            return [(_SYSCTLS, text.encode())]
        case SendBatch():
            return [(_SEND, chunk) for chunk in _chunks(step, numbers)]
        case AwaitLinks():
            return [(_LINKS, b"".join(name.encode().ljust(16, b"\0") for name in step.links))]
        case _:
            raise TypeError(f"a tape cannot hold {step}")


def _chunks(step: SendBatch, numbers: dict[str, int]) -> list[bytes]:
    """The messages in portions that a socket takes, as the engine sends them."""
    far_ends = dict(step.far_ends)
    chunks: list[bytes] = []
    places: list[tuple[int, int]] = []
    messages: list[bytes] = []
    size = 0
    for position, message in enumerate(step.messages):
        if size + len(message) > _CHUNK and messages:
            chunks.append(_chunk(places, messages))
            places, messages, size = [], [], 0
        size += len(message)
        messages.append(message)
        if position in far_ends:
            places.append((size - 4, numbers[far_ends[position]]))
    return [*chunks, _chunk(places, messages)]


def _chunk(places: list[tuple[int, int]], messages: list[bytes]) -> bytes:
    head = struct.pack("=I", len(places)) + b"".join(struct.pack("=II", *place) for place in places)
    return head + b"".join(messages) + END_OF_BATCH


def _record(opcode: int, namespace: int, content: bytes) -> bytes:
    return struct.pack("=III", opcode, namespace, len(content)) + content
