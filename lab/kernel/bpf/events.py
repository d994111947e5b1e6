"""What the kernel reports: packets crossing devices, packets dropped, and the record in the ring that says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from mmap import mmap
from socket import ntohs
from struct import Struct
from typing import Final, NamedTuple

from lab.kernel.decode import decode_ethernet, decode_network
from lab.kernel.packet import Packet


class Direction(Enum):
    """Which way a packet crossed a device, seen from the namespace the device is in."""

    OUT = "out"
    IN = "in"


class HopEvent(NamedTuple):
    """A device sent or received a packet.

    `time_ns` is the monotonic clock's (`time.monotonic_ns`). `netns` is the inode number of the device's namespace. `skb` is the address of
    the kernel's descriptor of the packet: equal for one packet on its way through devices and namespaces, encapsulation included, and used
    again for others later. `mark` is the firewall mark. `data` holds the first bytes of a packet of `length` bytes, from its Ethernet
    header on if `link_header`, else from the network header of the given `protocol` (an EtherType).
    """

    time_ns: int
    netns: int
    ifindex: int
    direction: Direction
    skb: int
    mark: int
    length: int
    protocol: int
    link_header: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class DropEvent:
    """The kernel threw a packet away.

    `reason` is the kernel's name for why, without its prefix ("IP_RPFILTER"), `location` the kernel function that did it. `ifindex` is the
    device the packet was on when it died: the one it came in by until it is routed out, then the one it leaves by; 0 when it had none.
    `arrival` is the device it came in by, 0 for a packet made in this namespace. The other fields are those of `HopEvent`.
    """

    time_ns: int
    netns: int
    ifindex: int
    arrival: int
    reason: str
    location: str
    skb: int
    mark: int
    length: int
    protocol: int
    link_header: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class LostEvents:
    """Events are missing somewhere since the last reading.

    `count` is how many: those that found the ring full, and those that came by interrupt while the same program ran on the same processor.
    Of the latter nobody knows whose they were, so they are counted although they may have been other namespaces' events.
    """

    count: int


Event = HopEvent | DropEvent | LostEvents


def decode(event: HopEvent | DropEvent, *, vxlan_ports: Collection[int] = ()) -> Packet:
    """Return the headers of the packet an event is about."""
    if event.link_header:
        return decode_ethernet(event.data, vxlan_ports=vxlan_ports)
    return decode_network(event.data, event.protocol, vxlan_ports=vxlan_ports)


class Record(IntEnum):
    """Where the fields of a record lie, in bytes. The programs write by these places, `read_event` reads by `_RECORD`: change both."""

    TIME = 0
    SKB = 8
    LOCATION = 16
    NETNS = 24
    IFINDEX = 28
    ARRIVAL = 32
    MARK = 36
    LENGTH = 40
    REASON = 44
    PROTOCOL = 48
    CAPTURED = 50
    WHAT = 52
    LINK_HEADER = 53
    FOUND_BY = 54
    DATA = 56
    FUNCTION = 248


_DATA: Final = int(Record.DATA)
DATA_SIZE: Final = Record.FUNCTION - Record.DATA
"""Enough to tell whose packet of IPv6 a tunnel over IPv6 bears, in what an ICMPv6 error quotes of it as well: 188 bytes."""
FUNCTION_SIZE: Final = 64
HOP_SIZE: Final = int(Record.FUNCTION)
DROP_SIZE: Final = Record.FUNCTION + FUNCTION_SIZE
_RECORD: Final = Struct("=QQQIIIIIIHHBBB")


class What(IntEnum):
    """What a record is about."""

    OUT = 0
    IN = 1
    DROP = 2


class FoundBy(IntEnum):
    """What led from a packet to its namespace. Only a device of its own says where the packet was."""

    DEVICE = 0
    ROUTE = 1
    SOCKET = 2


_DIRECTION: Final = {What.OUT: Direction.OUT, What.IN: Direction.IN}


def read_event(ring: mmap, at: int, reasons: Mapping[int, str]) -> HopEvent | DropEvent:
    """Read the record that begins at a place of the ring."""
    (time, skb, address, netns, ifindex, arrival, mark, length, reason, protocol, captured, what, link_header, found_by) = (
        _RECORD.unpack_from(ring, at)
    )
    data = ring[at + _DATA : at + _DATA + captured]
    if what != What.DROP:
        return HopEvent(time, netns, ifindex, _DIRECTION[what], skb, mark, length, ntohs(protocol), bool(link_header), data)
    return DropEvent(
        time,
        netns,
        ifindex if found_by == FoundBy.DEVICE else arrival or ifindex,
        arrival,
        reasons.get(reason) or f"REASON_{reason:#x}",
        _function(ring[at + Record.FUNCTION : at + DROP_SIZE], address),
        skb,
        mark,
        length,
        ntohs(protocol),
        bool(link_header),
        data,
    )


def _function(text: bytes, address: int) -> str:
    """Return a function's name as the source spells it: "nft_do_chain.isra.0 [nf_tables]" is nft_do_chain."""
    name = text.partition(b"\0")[0].decode(errors="replace").partition(" ")[0].partition(".")[0]
    return name or f"{address:#x}"
