"""Delivery inside a namespace: to a socket, to a tunnel, or to the kernel, which answers some things by itself.

After `ip_local_deliver_finish` (net/ipv4/ip_input.c), `icmp_rcv`, `__udp4_lib_rcv` and `tcp_v4_rcv`.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

from lab.forwarding.causes import Reason
from lab.forwarding.icmp import echo_reply, error_about, reset_for
from lab.forwarding.journey import Journey, Receive, Sending, Visit
from lab.forwarding.netfilter.transit import Transit
from lab.forwarding.packet import (
    ICMP,
    ICMPV6,
    LEAST_MTU_V6,
    LEAST_PATH_MTU,
    PORT,
    PROTOCOL,
    TCP,
    UDP,
    UNREACHABLE,
    Address,
    Packet,
)
from lab.forwarding.results import Delivered, Plain, Stage
from lab.forwarding.tunnel import Decapsulation
from lab.forwarding.unknown import Undecided


def deliver(journey: Journey, visit: Visit, device: str, t: Transit) -> None:
    """Hand a packet to whoever it is for."""
    node, packet = visit.node, t.packet
    if t.link_type == "broadcast" or (packet.version == 4 and node.fib.local_type(int(packet.destination)) == "broadcast"):
        raise Undecided("who takes a broadcast is not modelled")
    client = next((one for one in journey.world.sockets if one.namespace == node.name and one.takes(packet)), None)
    if client is not None:
        _learn_path_mtu(journey, visit, packet, client.mark, unsettled=client.unsettled)
        visit.note(Stage.DELIVERY, Plain(f"taken by the socket that {'answered' if client.answering else 'asked'}: {packet}"), device)
        journey.end(visit, Delivered(node.name, client, packet))
        return
    if packet.protocol in (ICMP, ICMPV6):
        _icmp(journey, visit, device, t)
    elif packet.protocol == UDP and (packet.version, packet.destination_port) in node.vxlan_ports:
        _unwrap(journey, visit, device, t)
    elif packet.protocol in (TCP, UDP):
        _socket(journey, visit, device, t)
    else:
        _answer(journey, error_about(t, UNREACHABLE, PROTOCOL, arrived_by=device, was_local=True, attach=False), device)
        journey.drop(visit, Stage.DELIVERY, device, Reason.UNKNOWN_PROTOCOL)


def _answer(journey: Journey, sending: Sending | None, device: str) -> None:
    """Let the kernel answer what came in by `device`: to a link-local address by that device (icmpv6_echo_reply, tcp_v6_send_response)."""
    if sending is not None:
        journey.answers.append(replace(sending, device=device) if _is_link_local(sending.packet.destination) else sending)


def _icmp(journey: Journey, visit: Visit, device: str, t: Transit) -> None:
    node, packet = visit.node, t.packet
    icmp = packet.icmp
    if icmp is None:
        raise Undecided("an ICMP packet without a message is not modelled")
    if icmp.asks:
        if node.settings.echo_ignore_all if icmp.version == 4 else node.settings.echo_ignore_all_v6:
            journey.drop(visit, Stage.DELIVERY, device, Reason.IGNORED_ECHO)
            return
        visit.note(Stage.DELIVERY, Plain(f"{node.name} answers the ping"), device)
        _answer(journey, echo_reply(node, packet), device)
        journey.end(visit, Delivered(node.name, None, packet))
        return
    if icmp.is_error:
        _learn_path_mtu(journey, visit, packet)
    journey.drop(visit, Stage.DELIVERY, device, Reason.UNSOLICITED, text=f"nobody in {node.name} waits for {packet}")


def _learn_path_mtu(journey: Journey, visit: Visit, packet: Packet, mark: int = 0, *, unsettled: bool = False) -> None:
    """Remember the MTU a router reported (`ip_rt_update_pmtu`); 552 bytes is the least that is believed.

    The socket learns it of its own way, with its mark. Of a ping the kernel learns it besides, for nobody in particular (`icmp_err`,
    `icmpv6_err`): of the way of packets without a mark, or with that of the report where marks are reflected.
    """
    icmp = packet.icmp
    if icmp is None or not icmp.too_big or icmp.quoted is None or icmp.mtu is None:
        return
    mtu = max(icmp.mtu, LEAST_PATH_MTU if icmp.version == 4 else LEAST_MTU_V6)
    marks = {mark}
    if icmp.quoted.icmp is not None:
        marks.add(packet.mark if icmp.version == 4 and visit.node.settings.fwmark_reflect else 0)
    quoted = icmp.quoted._replace(source=IPv6Address(0)) if unsettled else icmp.quoted
    for one in marks:
        journey.world.learn_path_mtu(visit.node, quoted._replace(mark=one), mtu)


def _socket(journey: Journey, visit: Visit, device: str, t: Transit) -> None:
    node, packet = visit.node, t.packet
    listener = node.listener(packet.protocol, packet.destination, packet.destination_port)
    if listener is not None:
        if _is_link_local(packet.source):
            raise Undecided("what a socket answers to a link-local address is not modelled", listener)
        visit.note(Stage.DELIVERY, Plain(f"taken by {listener.name}", listener), device)
        journey.end(visit, Delivered(node.name, listener, packet))
        return
    if packet.protocol == TCP:
        # The stack's own reset bears the segment's TOS (tcp_v4_send_reset); that of a reject bears none (nf_reject_iphdr_put).
        _answer(journey, reset_for(t, tos=packet.tos), device)
    else:
        _answer(journey, error_about(t, UNREACHABLE, PORT, arrived_by=device, was_local=True, attach=False), device)
    text = f"nothing listens on port {packet.destination_port} of {node.name}"
    journey.drop(visit, Stage.DELIVERY, device, Reason.CLOSED_PORT, None, text)


def _is_link_local(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.is_link_local


def _unwrap(journey: Journey, visit: Visit, device: str, t: Transit) -> None:
    """Let the VXLAN device of the packet's VNI take the frame out (`vxlan_rcv`)."""
    node, packet = visit.node, t.packet
    if packet.version == 6 and packet.tunnel is not None and packet.tunnel.translated:
        raise Undecided("whether a tunnel packet over IPv6 that was translated keeps a good check sum is not modelled")
    if packet.tunnel is None:
        journey.drop(visit, Stage.DECAPSULATION, device, Reason.UNKNOWN_VNI, None, "this is no VXLAN packet")
        return
    link = node.vxlan_devices.get((packet.version, packet.destination_port, packet.tunnel.vni))
    if packet.tunnel.unchecked and node.vxlan_ports[packet.version, packet.destination_port]:
        text = f"the datagram has no check sum, and what listens on port {packet.destination_port} demands one (udp6zerocsumrx is off)"
        journey.drop(visit, Stage.DECAPSULATION, device, Reason.NO_CHECK_SUM, link, text)
        return
    if link is None:
        text = f"no VXLAN device over IPv{packet.version} has VNI {packet.tunnel.vni} on port {packet.destination_port}"
        journey.drop(visit, Stage.DECAPSULATION, device, Reason.UNKNOWN_VNI, None, text)
        return
    frame = packet.tunnel.frame
    if frame.source == node.mac(link.name):
        journey.drop(visit, Stage.DECAPSULATION, link.name, Reason.OWN_FRAME, link)
        return
    visit.note(Stage.DECAPSULATION, Decapsulation(packet, link, frame), link.name)
    if link.kind.learning:  # type: ignore[union-attr]  # vxlan_devices holds VXLAN links only
        journey.world.memory.vxlan_fdb[node.name, link.name, frame.source] = packet.source
    # The mark goes along: it stays with the packet while that stays in the namespace.
    journey.add(Receive(visit, link.name, frame, packet.mark))
