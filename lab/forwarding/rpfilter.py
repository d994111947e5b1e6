"""The check of a packet's source: is there a way back, and does it lead out where the packet came in? (RFC 3704)

After `fib_validate_source` and `__fib_validate_source` in net/ipv4/fib_frontend.c. Three facts that surprise people: the
mode is the larger of `all` and the device; the lookup walks the policy rules, with the device the packet would *leave* by
as `iif`; and a device without an address of its own refuses what a loose check would let pass elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lab.forwarding.causes import Reason
from lab.forwarding.fib import Lookup, Query
from lab.forwarding.network import Node
from lab.forwarding.packet import Address, Packet
from lab.forwarding.results import Detail
from lab.forwarding.rules import ROUTING_TOS
from lab.forwarding.sysctls import DeviceSettings
from lab.forwarding.why import lookup_details

Because = Literal["", "no way back", "other device", "no address"]
_MODES = {0: "off", 1: "strict", 2: "loose"}


@dataclass(frozen=True, slots=True)
class ReversePath:
    """The outcome of the source check."""

    source: Address
    device: str
    """The arrival device."""
    mode: int
    settings: DeviceSettings = field(repr=False)
    lookup: Lookup | None
    """The way back; None where none was looked for."""
    refused: Reason | None
    direct: bool = False
    """The source is a neighbour on the arrival device; a redirect may be due."""
    because: Because = ""

    @property
    def sentence(self) -> str:
        """What was decided."""
        both = f"all={self.settings.rp_filter_all}, {self.device}={self.settings.rp_filter_device}"
        setting = f"rp_filter {_MODES.get(self.mode, self.mode)} ({both})"
        if self.refused is None:
            return f"{setting}: {self._way_back} for source {self.source}: accepted" if self.lookup else f"{setting}: source not looked up"
        match self.refused:
            case Reason.LOCAL_SOURCE:
                return f"source {self.source} is an address of this namespace, and accept_local is 0"
            case Reason.INVALID_SOURCE:
                return f"the route back to source {self.source} is of type {self.lookup.type if self.lookup else 'none'}"
        if self.because == "no address":
            return f"{setting}: {self._way_back} for source {self.source}, and {self.device} has no address of its own: refused"
        return f"{setting}: {self._way_back} for source {self.source}, it came in by {self.device}: refused"

    @property
    def _way_back(self) -> str:
        if self.lookup is None or not self.lookup.found:
            return "there is no way back"
        ways = ", ".join(way.device for way in self.lookup.exits)
        return f"the way back leads out by {ways}"

    @property
    def subject(self) -> object | None:
        """The route back."""
        return None if self.lookup is None else self.lookup.route

    @property
    def details(self) -> tuple[Detail, ...]:
        """The walk through rules and tables that found, or did not find, the way back."""
        return () if self.lookup is None else lookup_details(self.lookup)


def ports_of(node: Node, packet: Packet) -> tuple[int, int]:
    """Return source and destination port of a packet that came in, as policy rules see them: none of one that travels in pieces.

    Not even the first piece is read that far (`__skb_flow_dissect` without FLOW_DISSECTOR_F_PARSE_1ST_FRAG), unless connection tracking has
    put the packet together.
    """
    in_pieces = packet.fragment is not None and not node.ruleset.of(packet.version).tracks
    return (0, 0) if in_pieces else (packet.source_port, packet.destination_port)


def check_source(node: Node, packet: Packet, device: str, leaving_by: str | None, *, to_nobody: bool = False) -> ReversePath:
    """Check the source of a packet that came in by `device` and would leave by `leaving_by` (None: it stays here).

    `to_nobody`: the packet is a broadcast, so the lookup is made without a source of its own.
    """
    settings = node.settings_of(device)
    mode = settings.rp_filter
    source = int(packet.source)
    fib = node.fib

    def result(
        lookup: Lookup | None,
        refused: Reason | None,
        *,
        direct: bool = False,
        because: Because = "",
    ) -> ReversePath:
        return ReversePath(packet.source, device, mode, settings, lookup, refused, direct, because)

    if not mode and (device != leaving_by or not settings.send_redirects):
        if settings.accept_local:
            return result(None, None)
        if not fib.custom_rules and not fib.custom_local_routes:
            return result(None, Reason.LOCAL_SOURCE if source in node.own_addresses else None)
    source_port, destination_port = ports_of(node, packet)
    query = Query(
        destination=source,
        source=0 if to_nobody else int(packet.destination),
        iif=leaving_by or "lo",
        mark=packet.mark if settings.src_valid_mark else 0,
        tos=packet.tos & ROUTING_TOS,
        protocol=packet.protocol,
        source_port=destination_port,
        destination_port=source_port,
    )
    way_back = fib.lookup(query)
    if not way_back.found:
        return result(way_back, Reason.RP_FILTER if mode else None, because="no way back")
    if way_back.type != "unicast":
        if way_back.type != "local":
            return result(way_back, Reason.INVALID_SOURCE)
        if not settings.accept_local:
            return result(way_back, Reason.LOCAL_SOURCE)
    route = way_back.route
    listed = route is not None and (route.hops or route.nexthop is not None)
    devices = fib.devices_of(route) if route is not None and listed else [way.device for way in way_back.exits]
    if device in devices or (way_back.type == "local" and device == "lo"):
        return result(way_back, None, direct=way_back.exits[0].direct)
    if not node.addresses.get(device):
        return result(way_back, Reason.RP_FILTER if mode else None, because="no address")
    if mode == 1:
        return result(way_back, Reason.RP_FILTER, because="other device")
    there = fib.lookup(query._replace(oif=device), ignore_linkstate=True)
    direct = there.found and there.type == "unicast" and there.exits[0].direct
    return result(way_back, None, direct=direct)
