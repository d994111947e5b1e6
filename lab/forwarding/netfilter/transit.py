"""A packet inside one namespace, with what the kernel keeps beside it (`struct sk_buff`, `struct nft_pktinfo`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lab.forwarding.netfilter.conntrack import Tracked
from lab.forwarding.packet import Frame, Packet
from lab.state.nft import NftRule

if TYPE_CHECKING:
    from lab.forwarding.network import Node
    from lab.forwarding.world import World

LinkType = Literal["host", "broadcast", "multicast", "other"]
"""To whom the frame was addressed: `meta pkttype`."""


@dataclass(slots=True)
class Transit:
    """The one mutable thing of a trace: hooks rewrite `packet`, routing sets the devices."""

    world: World
    node: Node
    packet: Packet
    iif: str | None = None
    oif: str | None = None
    hook: str = ""
    tracked: Tracked | None = None
    confirmed: bool = True
    """Whether the connection is in the table already."""
    link_type: LinkType = "host"
    made_here: bool = False
    uid: int = 0
    bound_device: str | None = None
    next_hop: int | None = None
    """The address that neighbour resolution will ask for; masquerade picks its source by it."""
    route_mtu: int | None = None
    may_fragment: bool = False
    """The socket lets the kernel cut the packet although DF is set (`ignore_df`)."""
    reroute: Callable[[Packet], bool] = lambda packet: True
    """Looks for a new way, at once, when a chain of the output hook has changed what routing had looked at; says whether there is one."""
    astray: bool = False
    """There was none: no later chain sees the packet."""
    later_fragment: bool = False
    """Whether rules see the packet as its second or a later fragment: without ports."""
    frame: Frame | None = None
    """What carries it, where rules see frames; it may carry an ARP message instead."""
    met: list[tuple[str, NftRule, int]] = field(default_factory=list)
    """Rules this packet was held against in the present hook: chain, rule, number of the first statement that failed
    (-1: none did)."""
