"""The programs that watch: one where devices send, one where they receive, one where the kernel drops.

Each copies the packet's descriptor (`struct sk_buff`) to its stack, finds the packet's network namespace and, when that belongs to the lab,
writes one record to the ring. For any other packet of the machine it ends after three reads of memory and one look-up.

A device sees a packet after its queue (`net_dev_start_xmit`), where tcpdump would, so what a queue drops was not sent. The time is taken
after the place in the ring: of two events of which one caused the other, the earlier comes first in the ring and has the lower time, on
whatever processors they happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Final

from lab.errors import MachineError
from lab.kernel.bpf.assembler import (
    Arithmetic,
    Compare,
    Helper,
    Label,
    Line,
    Register,
    Size,
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
from lab.kernel.bpf.events import DATA_SIZE, DROP_SIZE, FUNCTION_SIZE, HOP_SIZE, FoundBy, Record, What
from lab.kernel.bpf.layout import NO_ARGUMENT, Layout

R0, R1, R2, R3, R4, R5 = Register.R0, Register.R1, Register.R2, Register.R3, Register.R4, Register.R5
CONTEXT: Final = Register.R6
"""The tracepoint's arguments, 64 bits each; later the address of the packet's first byte."""
SKB: Final = Register.R7
DEVICE: Final = Register.R8
RECORD: Final = Register.R9
STACK: Final = Register.STACK

# The stack, downwards: the copy of the packet's descriptor lies below these.
POINTER: Final = -8
INODE: Final = -16
FOUND_BY: Final = -24
STACK_SIZE: Final = 512

SILENT: Final = ("NOT_DROPPED_YET", "CONSUMED", "QUEUE_PURGE")
"""Reasons that are no loss: a packet used up, a queue emptied because its socket was closed."""

ETHERNET_HEADER: Final = 14
ARPHRD_ETHER: Final = 1
ARPHRD_LOOPBACK: Final = 772


@dataclass(frozen=True, slots=True)
class Maps:
    """Descriptors of what the programs share: the lab's namespaces, the ring, the count of lost events, the format "%ps"."""

    namespaces: int
    ring: int
    lost: int
    format: int


def hop_program(layout: Layout, maps: Maps, what: What) -> list[Line]:
    """Return the program for `net_dev_start_xmit` (What.OUT) or `netif_receive_skb` (What.IN); both pass the packet first."""
    copy = _plan_copy(layout)
    return [
        *_copy_skb(copy, 0),
        load(Size.U64, DEVICE, STACK, copy.at(layout.skb.device)),
        *_demand_namespace(layout, maps, layout.device_net, "foreign"),
        *_begin_record(layout, copy, maps, HOP_SIZE, what),
        *_hop_start(layout, copy, what),
        *_packet_bytes(layout, copy),
        *_end_record(maps),
    ]


def drop_program(layout: Layout, maps: Maps) -> list[Line]:
    """Return the program for `kfree_skb`."""
    copy = _plan_copy(layout)
    silent = [number for number, name in layout.reasons.items() if name in SILENT]
    return [
        load(Size.U64, R2, R1, 8 * layout.drop.reason),
        *(jump_if(R2, Compare.EQUAL, number, "foreign") for number in silent),
        *_copy_skb(copy, layout.drop.skb),
        *_find_namespace(layout, copy, maps),
        *_begin_record(layout, copy, maps, DROP_SIZE, What.DROP),
        *_drop_cause(layout, maps),
        *_drop_start(layout, copy),
        *_packet_bytes(layout, copy),
        *_end_record(maps),
    ]


@dataclass(frozen=True, slots=True)
class _Copy:
    """The copy of the first `size` bytes of the packet's descriptor, which begins at `base` on the stack."""

    size: int
    base: int

    def at(self, offset: int) -> int:
        """Return where a member of the descriptor is on the stack."""
        return self.base + offset


def _plan_copy(layout: Layout) -> _Copy:
    size = (max(astuple(layout.skb)) + 15) & ~7
    if FOUND_BY - size < -STACK_SIZE:
        raise MachineError(f"this kernel's packet descriptor does not fit a BPF stack: {size} bytes of it are needed")
    return _Copy(size, FOUND_BY - size)


def _read(to: Register, offset: int, size: int, source: Register, source_offset: int = 0) -> Iterator[Line]:
    """Copy kernel memory to the stack or the record. R0 is 0 on success; on failure (a bad address) the target is zeroed."""
    yield move(R3, source)
    if source_offset:
        yield compute(Arithmetic.ADD, R3, source_offset)
    yield move(R1, to)
    yield compute(Arithmetic.ADD, R1, offset)
    yield move(R2, size)
    yield call(Helper.PROBE_READ_KERNEL)


def _copy_skb(copy: _Copy, argument: int) -> Iterator[Line]:
    yield move(CONTEXT, R1)
    yield load(Size.U64, SKB, CONTEXT, 8 * argument)
    yield from _read(STACK, copy.base, copy.size, SKB)
    yield jump_if(R0, Compare.NOT_EQUAL, 0, "foreign")
    yield store(Size.U64, STACK, FOUND_BY, FoundBy.DEVICE)


def _demand_namespace(layout: Layout, maps: Maps, net: int, otherwise: str) -> Iterator[Line]:
    """Go on if the device or socket in DEVICE, whose namespace is at `net`, is the lab's; its inode number is then at INODE."""
    yield from _read(STACK, POINTER, 8, DEVICE, net)
    yield jump_if(R0, Compare.NOT_EQUAL, 0, otherwise)
    yield load(Size.U64, R3, STACK, POINTER)
    yield from _read(STACK, INODE, 4, R3, layout.net_inode)
    yield jump_if(R0, Compare.NOT_EQUAL, 0, otherwise)
    yield from map_pointer(R1, maps.namespaces)
    yield move(R2, STACK)
    yield compute(Arithmetic.ADD, R2, INODE)
    yield call(Helper.MAP_LOOKUP_ELEM)
    yield jump_if(R0, Compare.EQUAL, 0, otherwise)


def _find_namespace(layout: Layout, copy: _Copy, maps: Maps) -> Iterator[Line]:
    """Find the namespace of a packet that died anywhere: by its device, else by the device it was routed to, else by its socket.

    A packet not yet sent has no device, and queues of sockets use the device's place for other things, so that each is only a try.
    """
    yield load(Size.U64, DEVICE, STACK, copy.at(layout.skb.device))
    yield from _demand_namespace(layout, maps, layout.device_net, "by route")
    yield jump("found")
    yield Label("by route")
    yield store(Size.U64, STACK, FOUND_BY, FoundBy.ROUTE)
    yield load(Size.U64, DEVICE, STACK, copy.at(layout.skb.route))
    yield compute(Arithmetic.AND, DEVICE, ~7)  # the lowest bits are flags (SKB_DST_NOREF)
    yield from _read(STACK, POINTER, 8, DEVICE, layout.route_device)
    yield load(Size.U64, DEVICE, STACK, POINTER)
    yield from _demand_namespace(layout, maps, layout.device_net, "by socket")
    yield jump("found")
    yield Label("by socket")
    yield store(Size.U64, STACK, FOUND_BY, FoundBy.SOCKET)
    yield load(Size.U64, DEVICE, STACK, copy.at(layout.skb.socket))
    if layout.drop.receiver == NO_ARGUMENT:
        yield from _demand_namespace(layout, maps, layout.socket_net, "foreign")
    else:
        yield from _demand_namespace(layout, maps, layout.socket_net, "by receiver")
        yield jump("found by socket")
        yield Label("by receiver")
        yield load(Size.U64, DEVICE, CONTEXT, 8 * layout.drop.receiver)
        yield from _demand_namespace(layout, maps, layout.socket_net, "foreign")
        yield Label("found by socket")
    yield move(DEVICE, 0)
    yield Label("found")


def _begin_record(layout: Layout, copy: _Copy, maps: Maps, size: int, what: What) -> Iterator[Line]:
    """Take a place in the ring and fill what needs no thought."""
    yield from map_pointer(R1, maps.ring)
    yield move(R2, size)
    yield move(R3, 0)
    yield call(Helper.RINGBUF_RESERVE)
    yield jump_if(R0, Compare.EQUAL, 0, "lost")
    yield move(RECORD, R0)
    yield call(Helper.KTIME_GET_NS)
    yield store(Size.U64, RECORD, Record.TIME, R0)
    yield store(Size.U64, RECORD, Record.SKB, SKB)
    yield store(Size.U64, RECORD, Record.LOCATION, 0)
    yield store(Size.U32, RECORD, Record.REASON, 0)
    yield store(Size.U8, RECORD, Record.WHAT, what)
    yield store(Size.U8, RECORD, Record.LINK_HEADER, 0)
    for record_field, size_, offset in (
        (Record.NETNS, Size.U32, INODE),
        (Record.FOUND_BY, Size.U8, FOUND_BY),
        (Record.ARRIVAL, Size.U32, copy.at(layout.skb.arrival)),
        (Record.MARK, Size.U32, copy.at(layout.skb.mark)),
        (Record.PROTOCOL, Size.U16, copy.at(layout.skb.protocol)),
    ):
        yield load(Size.U64 if offset == FOUND_BY else size_, R1, STACK, offset)
        yield store(size_, RECORD, record_field, R1)
    yield from _read(RECORD, Record.IFINDEX, 4, DEVICE, layout.device_index)


def _hop_start(layout: Layout, copy: _Copy, what: What) -> Iterator[Line]:
    """Put the address of the first byte on the wire into CONTEXT: a sender's data begin there, a receiver's after the Ethernet header."""
    yield load(Size.U64, CONTEXT, STACK, copy.at(layout.skb.data))
    yield from _read(STACK, POINTER, 2, DEVICE, layout.device_type)
    yield load(Size.U16, R1, STACK, POINTER)
    yield jump_if(R1, Compare.EQUAL, ARPHRD_ETHER, "ethernet")
    yield jump_if(R1, Compare.NOT_EQUAL, ARPHRD_LOOPBACK, "start")
    yield Label("ethernet")
    yield store(Size.U8, RECORD, Record.LINK_HEADER, 1)
    if what is What.IN:
        yield load(Size.U64, CONTEXT, STACK, copy.at(layout.skb.head))
        yield load(Size.U16, R1, STACK, copy.at(layout.skb.mac_header))
        yield compute(Arithmetic.ADD, CONTEXT, R1)
    yield Label("start")


def _drop_start(layout: Layout, copy: _Copy) -> Iterator[Line]:
    """Put the address of the packet's first header into CONTEXT.

    A packet has an Ethernet header if one lies right before its network header. Otherwise the place of the Ethernet header is unset, or a
    leftover of the packet inside when a tunnel had just wrapped it.
    """
    yield load(Size.U64, CONTEXT, STACK, copy.at(layout.skb.data))
    yield load(Size.U16, R2, STACK, copy.at(layout.skb.network_header))
    yield jump_if(R2, Compare.EQUAL, 0, "start")
    yield load(Size.U64, CONTEXT, STACK, copy.at(layout.skb.head))
    yield compute(Arithmetic.ADD, CONTEXT, R2)
    yield load(Size.U16, R1, STACK, copy.at(layout.skb.mac_header))
    yield compute(Arithmetic.SUB, R2, R1)
    yield jump_if(R2, Compare.NOT_EQUAL, ETHERNET_HEADER, "start")
    yield compute(Arithmetic.SUB, CONTEXT, R2)
    yield store(Size.U8, RECORD, Record.LINK_HEADER, 1)
    yield Label("start")


def _drop_cause(layout: Layout, maps: Maps) -> Iterator[Line]:
    """Write reason and place. The place is a return address: the instruction before it is in the function that called."""
    yield load(Size.U64, R1, CONTEXT, 8 * layout.drop.reason)
    yield store(Size.U32, RECORD, Record.REASON, R1)
    yield load(Size.U64, R1, CONTEXT, 8 * layout.drop.location)
    yield store(Size.U64, RECORD, Record.LOCATION, R1)
    yield compute(Arithmetic.SUB, R1, 1)
    yield store(Size.U64, STACK, POINTER, R1)
    yield store(Size.U8, RECORD, Record.FUNCTION, 0)
    yield move(R1, RECORD)
    yield compute(Arithmetic.ADD, R1, Record.FUNCTION)
    yield move(R2, FUNCTION_SIZE)
    yield from map_value_pointer(R3, maps.format)
    yield move(R4, STACK)
    yield compute(Arithmetic.ADD, R4, POINTER)
    yield move(R5, 8)
    yield call(Helper.SNPRINTF)


def _packet_bytes(layout: Layout, copy: _Copy) -> Iterator[Line]:
    """Write the packet's length and its first bytes, as many as lie in one piece up to the descriptor's tail."""
    yield load(Size.U64, R1, STACK, copy.at(layout.skb.data))
    yield compute(Arithmetic.SUB, R1, CONTEXT)
    yield load(Size.U32, R2, STACK, copy.at(layout.skb.length))
    yield compute(Arithmetic.ADD, R1, R2)
    yield store(Size.U32, RECORD, Record.LENGTH, R1)
    yield load(Size.U32, R2, STACK, copy.at(layout.skb.tail))
    yield load(Size.U64, R1, STACK, copy.at(layout.skb.head))
    yield compute(Arithmetic.ADD, R2, R1)
    yield compute(Arithmetic.SUB, R2, CONTEXT)
    yield jump_if(R2, Compare.SIGNED_GREATER, 0, "some")
    yield move(R2, 0)
    yield Label("some")
    yield jump_if(R2, Compare.GREATER, DATA_SIZE, "more")
    yield jump("copy")
    yield Label("more")
    yield move(R2, DATA_SIZE)
    yield Label("copy")
    yield store(Size.U16, RECORD, Record.CAPTURED, R2)
    yield move(R1, RECORD)
    yield compute(Arithmetic.ADD, R1, Record.DATA)
    yield move(R3, CONTEXT)
    yield call(Helper.PROBE_READ_KERNEL)
    yield jump_if(R0, Compare.EQUAL, 0, "submit")
    yield store(Size.U16, RECORD, Record.CAPTURED, 0)
    yield Label("submit")


def _end_record(maps: Maps) -> Iterator[Line]:
    """Hand the record over, or count it as lost."""
    yield move(R1, RECORD)
    yield move(R2, 0)
    yield call(Helper.RINGBUF_SUBMIT)
    yield jump("foreign")
    yield Label("lost")
    yield from map_value_pointer(R1, maps.lost)
    yield move(R2, 1)
    yield atomic_add(R1, 0, R2)
    yield Label("foreign")
    yield move(R0, 0)
    yield leave()
