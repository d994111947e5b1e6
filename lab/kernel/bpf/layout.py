"""What the lab's programs must know of the running kernel: where the members they read lie, and what the tracepoints pass.

Everything comes from the kernel's own description, so nothing here depends on its version or configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lab.errors import MachineError
from lab.kernel.bpf.btf import Btf, enum_names, offset_of, tracepoint_arguments

NO_ARGUMENT: Final = -1
"""The place of an argument that this kernel's tracepoint does not pass."""


@dataclass(frozen=True, slots=True)
class SkbLayout:
    """Offsets in `struct sk_buff` in bytes (include/linux/skbuff.h)."""

    head: int
    data: int
    tail: int
    length: int
    mac_header: int
    network_header: int
    protocol: int
    device: int
    arrival: int
    mark: int
    socket: int
    route: int


@dataclass(frozen=True, slots=True)
class DropArguments:
    """Which argument of the tracepoint `kfree_skb` is which, counted from 0; `receiver` came with Linux 6.11."""

    skb: int
    location: int
    reason: int
    receiver: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All offsets in bytes. `device_net`, `socket_net` and `net_inode` lead from a device or socket to its namespace's inode number."""

    skb: SkbLayout
    device_index: int
    device_type: int
    device_net: int
    socket_net: int
    net_inode: int
    route_device: int
    drop: DropArguments
    reasons: Mapping[int, str]


def read_layout(btf: Btf) -> Layout:
    """Look up every offset. Raise MachineError naming what this kernel does not have."""
    return Layout(
        skb=SkbLayout(
            head=offset_of(btf, "sk_buff", "head"),
            data=offset_of(btf, "sk_buff", "data"),
            tail=offset_of(btf, "sk_buff", "tail"),
            length=offset_of(btf, "sk_buff", "len"),
            mac_header=offset_of(btf, "sk_buff", "mac_header"),
            network_header=offset_of(btf, "sk_buff", "network_header"),
            protocol=offset_of(btf, "sk_buff", "protocol"),
            device=offset_of(btf, "sk_buff", "dev"),
            arrival=offset_of(btf, "sk_buff", "skb_iif"),
            mark=offset_of(btf, "sk_buff", "mark"),
            socket=offset_of(btf, "sk_buff", "sk"),
            route=offset_of(btf, "sk_buff", "_skb_refdst"),
        ),
        device_index=offset_of(btf, "net_device", "ifindex"),
        device_type=offset_of(btf, "net_device", "type"),
        device_net=offset_of(btf, "net_device", "nd_net.net"),
        socket_net=offset_of(btf, "sock", "__sk_common.skc_net.net"),
        net_inode=offset_of(btf, "net", "ns.inum"),
        route_device=offset_of(btf, "dst_entry", "dev"),
        drop=drop_arguments(btf),
        reasons=_reasons(btf),
    )


def drop_arguments(btf: Btf) -> DropArguments:
    """Tell by their types which argument of `kfree_skb` is which. Raise MachineError when it passes no reason."""
    passed = tracepoint_arguments(btf, "kfree_skb")

    def place(kind: str) -> int:
        return passed.index(kind) if kind in passed else NO_ARGUMENT

    found = DropArguments(place("sk_buff *"), place("void *"), place("enum skb_drop_reason"), place("sock *"))
    if NO_ARGUMENT in (found.skb, found.location, found.reason):
        raise MachineError(
            f"this kernel's tracepoint kfree_skb passes ({', '.join(passed)}) and no drop reason", hint="drop reasons came with Linux 5.17"
        )
    return found


def _reasons(btf: Btf) -> dict[int, str]:
    """Return the kernel's names of its drop reasons (include/net/dropreason-core.h) without their common prefixes."""
    names = enum_names(btf, "skb_drop_reason")
    return {number: name.removeprefix("SKB_").removeprefix("DROP_REASON_") for number, name in names.items()}
