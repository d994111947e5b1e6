"""The captured bytes of a packet, read quickly by default and thoroughly on demand."""

from __future__ import annotations

from typing import NamedTuple

from lab.kernel.decode import decode_ethernet, decode_network
from lab.kernel.packet import Packet
from lab.probe.glance import ETHERNET, VXLAN_PORTS, Glance, glance


class Frame(NamedTuple):
    """The first bytes of a packet: from its Ethernet header, or, where `ethertype` is set, from the network header of that type."""

    data: bytes
    ethertype: int | None = None
    length: int = 0
    """Length of the whole packet in bytes, of which `data` may be the beginning."""

    def look(self) -> Glance | None:
        """Look at the innermost packet quickly."""
        data = self.data
        if self.ethertype is not None:
            return glance(data, 0, self.ethertype)
        return glance(data, ETHERNET, data[12] << 8 | data[13]) if len(data) > ETHERNET else None

    def packet(self) -> Packet:
        """Read every header."""
        if self.ethertype is not None:
            return decode_network(self.data, self.ethertype, vxlan_ports=VXLAN_PORTS)
        return decode_ethernet(self.data, vxlan_ports=VXLAN_PORTS)
