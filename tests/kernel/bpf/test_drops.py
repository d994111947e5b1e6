"""Each cause of loss is reported by the kernel's name for it, in the right namespace, on the right device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab.kernel.bpf import Direction, DropEvent, Event, HopEvent, decode, open_witness
from lab.kernel.packet import ETHERTYPE_ARP, Icmp, IPv4, Vxlan

if TYPE_CHECKING:
    from tests.kernel.bpf.conftest import Dropped, Namespaces, Seen

pytestmark = [pytest.mark.root, pytest.mark.kernel]


@dataclass(frozen=True)
class Cause:
    """A change made in one namespace, a packet sent, and why and where it must die."""

    name: str
    reason: str
    location: str
    at: str = "router r0"
    change: str = ""
    where: str = "router"
    to: str = "10.2.0.2"
    source: str = ""
    ttl: int = 64
    size: int = 32
    df: bool = False


QUEUE = "__dev_queue_xmit or kfree_skb_list_reason"
"""An older kernel (seen on 6.1) names the function that walks a list of packets, not its caller."""
UNROUTED = "10.9.0.2"


def nft(hook: str, rule: str) -> str:
    return f"printf 'table ip t {{\\n chain c {{\\n type filter hook {hook} priority 0\\n {rule}\\n }}\\n}}\\n' | nft -f -"


CAUSES = [
    Cause(
        "strict rp_filter",
        "IP_RPFILTER",
        "ip_rcv_finish_core",
        change="sysctl -qw net.ipv4.conf.r0.rp_filter=1; ip route add 10.9.0.0/24 via 10.2.0.2",
        source=UNROUTED,
    ),
    Cause(
        "loose rp_filter, source without route",
        "IP_RPFILTER",
        "ip_rcv_finish_core",
        change="sysctl -qw net.ipv4.conf.r0.rp_filter=2",
        source=UNROUTED,
    ),
    Cause("no route", "IP_INNOROUTES", "ip_error", to="10.77.0.1"),
    Cause("blackhole route", "NOT_SPECIFIED", "ip_error", change="ip route add blackhole 10.77.0.0/24", to="10.77.0.1"),
    Cause("unreachable route", "NOT_SPECIFIED", "ip_error", change="ip route add unreachable 10.77.0.0/24", to="10.77.0.1"),
    Cause("prohibit route", "NOT_SPECIFIED", "ip_error", change="ip route add prohibit 10.77.0.0/24", to="10.77.0.1"),
    Cause("forwarding off on arrival", "IP_INADDRERRORS", "ip_error", change="sysctl -qw net.ipv4.conf.r0.forwarding=0"),
    Cause("time to live over", "IP_INHDR", "ip_forward", ttl=1),
    Cause("too big, not to be fragmented", "PKT_TOO_BIG", "ip_forward", change="ip link set r1 mtu 1000", size=1300, df=True),
    Cause("nft drop, forward hook", "NETFILTER_DROP", "nft_do_chain", change=nft("forward", "udp dport 9 drop")),
    Cause("nft reject", "NETFILTER_DROP", "nft_do_chain", change=nft("forward", "udp dport 9 reject")),
    Cause(
        "nft reverse path rule",
        "NETFILTER_DROP",
        "nft_do_chain",
        change=nft("prerouting", "fib saddr . iif oif missing drop"),
        source=UNROUTED,
    ),
    Cause("nft drop, postrouting hook", "NETFILTER_DROP", "nft_do_chain", "router r1", nft("postrouting", "udp dport 9 drop")),
    Cause("nft drop, sender's output hook", "NETFILTER_DROP", "nft_do_chain", "sender s0", nft("output", "udp dport 9 drop"), "sender"),
    Cause(
        "neighbour does not answer",
        "NEIGH_FAILED",
        "neigh_invalidate",
        "router r1",
        "echo 10 > /proc/sys/net/ipv4/neigh/r1/retrans_time_ms",
        to="10.2.0.99",
    ),
    Cause("output link down", "IP_INNOROUTES", "ip_error", change="ip link set r1 down"),
    Cause("device at the other end down", "QDISC_DROP", QUEUE, "router r1", "ip link set d0 down", "receiver"),
    Cause(
        "packet too big for the queue",
        "QDISC_DROP",
        QUEUE,
        "router r1",
        "tc qdisc add dev r1 root tbf rate 8bit burst 1000 limit 5000",
        size=1300,
    ),
    Cause(
        "frame for another host",
        "OTHERHOST",
        "ip_rcv_core",
        change="ip neigh replace 10.1.0.1 lladdr 02:00:00:00:ff:ff dev s0",
        where="sender",
    ),
    Cause("nobody listens", "NO_SOCKET", "__udp4_lib_rcv", "receiver d0"),
]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_each_cause_is_reported_by_its_name_and_place(routed: Namespaces, dropped: Dropped, cause: Cause) -> None:
    routed.run(cause.where, cause.change)
    with open_witness(routed.inodes(), hops=False) as witness:
        drop = dropped(witness, routed.send("sender", cause.to, source=cause.source, ttl=cause.ttl, size=cause.size, df=cause.df))
    assert drop.reason == cause.reason
    assert drop.location in cause.location.split(" or ")
    assert (drop.netns, drop.ifindex) == routed.place(*cause.at.split())
    address = decode(drop).inner(IPv4)
    assert address is not None
    assert str(address.destination) == cause.to


def is_drop(event: Event, reason: str) -> bool:
    return isinstance(event, DropEvent) and event.reason == reason


def test_a_reply_without_route_dies_on_its_way_back(routed: Namespaces, seen: Seen) -> None:
    with open_witness(routed.inodes(), hops=False) as witness:
        marker = routed.send("sender", "10.2.0.2", source=UNROUTED)
        events = seen(witness, lambda events: any(is_drop(event, "IP_INNOROUTES") for event in events))
    forth, back = [event for event in events if isinstance(event, DropEvent)]
    assert (forth.reason, forth.netns) == ("NO_SOCKET", routed.inode("receiver"))
    assert (back.netns, back.ifindex) == routed.place("router", "r1")
    error = decode(back)
    assert error.inner(Icmp) == Icmp(3, 3, 0), "the receiver's port unreachable"
    assert error.quoted is not None
    assert error.quoted.payload.startswith(marker)


def test_strict_rp_filter_with_a_cold_neighbour_refuses_the_arp_request_in_silence(routed: Namespaces, seen: Seen) -> None:
    """Nothing is dropped in the router: only the hops tell that the question came in and that no answer went out."""
    routed.run("router", "ip route del 10.1.0.0/24 dev r0; ip route add 10.1.0.0/24 via 10.2.0.2; sysctl -qw net.ipv4.conf.r0.rp_filter=1")
    routed.run("sender", "ip neigh del 10.1.0.1 dev s0; echo 10 > /proc/sys/net/ipv4/neigh/s0/retrans_time_ms")
    with open_witness(routed.inodes()) as witness:
        marker = routed.send("sender", "10.2.0.2")
        events = seen(witness, lambda events: any(is_drop(event, "NEIGH_FAILED") for event in events))
    (drop,) = [event for event in events if isinstance(event, DropEvent)]
    assert marker in drop.data
    assert (drop.netns, drop.ifindex) == routed.place("sender", "s0")
    arp = {(event.netns, event.direction) for event in events if isinstance(event, HopEvent) and event.protocol == ETHERTYPE_ARP}
    assert arp == {(routed.inode("sender"), Direction.OUT), (routed.inode("router"), Direction.IN)}


def test_a_vxlan_network_nobody_has_is_told_with_the_inner_packet(routed: Namespaces, dropped: Dropped) -> None:
    for name, device, vni, here, there, remote in (("sender", "s0", 7, 1, 2, "10.2.0.2"), ("receiver", "d0", 8, 2, 1, "10.1.0.2")):
        routed.vxlan(name, device, vni, here, there, remote)
    with open_witness(routed.inodes(), hops=False) as witness:
        drop = dropped(witness, routed.send("sender", "10.50.0.2"))
    assert drop.reason in ("VXLAN_VNI_NOT_FOUND", "NOT_SPECIFIED"), "older kernels have no name for it"
    assert drop.location == "vxlan_rcv"
    assert (drop.netns, drop.ifindex) == routed.place("receiver", "d0")
    assert decode(drop, vxlan_ports={4789}).inner(Vxlan) == Vxlan(7)


def test_a_good_ping_loses_nothing(routed: Namespaces, seen: Seen) -> None:
    with open_witness(routed.inodes()) as witness, open_witness(routed.inodes(), hops=False, keep_noise=True) as attentive:
        routed.run("sender", "ping -c 1 -W 5 10.2.0.2")
        drops = seen(attentive, bool)
        assert [drop.reason for drop in drops if isinstance(drop, DropEvent)] == ["NO_SOCKET"], "the control: there was noise"
        events = witness.poll()
    assert len(events) == 8
    assert all(isinstance(event, HopEvent) for event in events)


def test_ipv6_talk_of_devices_that_come_up_is_no_loss(namespaces: Namespaces, seen: Seen) -> None:
    for name in ("left", "right"):
        namespaces.add(name, "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0")
    with open_witness(namespaces.inodes()) as witness:
        namespaces.link("left", "l0", "right", "r0")
        talk = seen(witness, lambda events: sum(isinstance(event, HopEvent) and event.direction is Direction.IN for event in events) >= 4)
    assert not [event for event in talk if isinstance(event, DropEvent)]
