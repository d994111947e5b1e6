"""What is left to devices when a packet leaves: check sums, and taking apart what travels as one. Not all of them can do it for tunnels."""

from __future__ import annotations

from dataclasses import replace

from lab.forwarding.journey import Visit
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.packet import Packet, Tunnel
from lab.forwarding.unknown import Undecided
from lab.state import Bridge, Vxlan


def as_device_sends(visit: Visit, t: Transit, device: str) -> Packet:
    """Return a packet as a device sends it. Raises Undecided where its check sum may be wrong by then."""
    if t.packet.tunnel is not None and _knows_no_tunnels(visit, device):
        return _without_offloads(t, t.packet.tunnel)
    return t.packet


def _knows_no_tunnels(visit: Visit, device: str) -> bool:
    """Whether a device has no `hw_enc_features`, so that nothing about what a tunnel packet bears can be left to somebody behind it."""
    link = visit.node.links.get(device)
    return link is not None and isinstance(link.kind, Vxlan | Bridge)


def _without_offloads(t: Transit, tunnel: Tunnel) -> Packet:
    """Work the inner check sum of a tunnel packet out, and take the segments in it apart (`validate_xmit_skb` in net/core/dev.c)."""
    inner = tunnel.frame.payload
    if not isinstance(inner, Packet):
        return t.packet
    demand_good_check_sum(t)
    if not t.packet.train:
        return t.packet
    single = tunnel.frame._replace(payload=inner._replace(train=False))
    return t.packet._replace(train=False, tunnel=replace(tunnel, frame=single))


def demand_good_check_sum(t: Transit) -> None:
    """Raise Undecided for a translated tunnel packet. Its check sum, put off until the inner one is known, is spoilt by the translation.

    A veth does not look; but fragments are checked, and so is what comes out of another tunnel or a bridge (UdpInCsumErrors moves there).
    """
    if t.packet.tunnel is not None and t.packet.tunnel.translated:
        why = "whether a tunnel packet that was translated and then cut, wrapped again or sent by a bridge keeps a good check sum"
        raise Undecided(f"{why} is not modelled")
