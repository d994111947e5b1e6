"""Each device a packet crosses is reported, in the kernel's order, and nobody else's packets."""

from __future__ import annotations

import resource
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.kernel.bpf import Direction, HopEvent, LostEvents, decode, open_witness
from lab.kernel.packet import IPv4, Vxlan

if TYPE_CHECKING:
    from tests.kernel.bpf.conftest import Chain, Dropped, Namespaces

pytestmark = [pytest.mark.root, pytest.mark.kernel]


def test_every_hop_of_a_chain_is_seen_in_order(chain: Chain) -> None:
    with chain.listener() as sock, open_witness(chain.namespaces.inodes()) as witness:
        marker = chain.namespaces.send("n0", chain.address)
        assert sock.recv(100).startswith(marker)
        hops = [event for event in witness.poll() if isinstance(event, HopEvent)]
    assert [(hop.netns, hop.ifindex, hop.direction) for hop in hops] == chain.way
    assert len({hop.skb for hop in hops}) == 1, "one packet is one descriptor all the way"
    assert all(marker in hop.data and hop.link_header and hop.length == 74 for hop in hops)
    assert [hop.time_ns for hop in hops] == sorted(hop.time_ns for hop in hops)
    assert [header.ttl for hop in hops if (header := decode(hop).inner(IPv4))] == [64 - hop // 2 for hop in range(len(hops))]


def test_order_holds_when_several_senders_send_at_once_on_all_processors(chain: Chain) -> None:
    """Each packet's hops come in their order although the packets of all processors are mixed in one ring."""
    senders, packets = 4, 100

    def burst() -> None:
        for _ in range(packets):
            chain.namespaces.send("n0", chain.address)

    with chain.listener() as sock, open_witness(chain.namespaces.inodes(), drops=False) as witness:
        threads = [threading.Thread(target=burst) for _ in range(senders)]
        for thread in threads:
            thread.start()
        arrived = [sock.recv(100)[:12] for _ in range(senders * packets)]
        for thread in threads:
            thread.join()
        hops = [event for event in witness.poll() if isinstance(event, HopEvent)]
        assert witness.lost == 0
    ways: dict[bytes, list[tuple[int, int, Direction]]] = {marker: [] for marker in arrived}
    for hop in hops:
        ways[hop.data[42:54]].append((hop.netns, hop.ifindex, hop.direction))
    assert len(ways) == senders * packets
    assert all(taken == chain.way for taken in ways.values())


def test_a_packet_in_vxlan_is_one_packet_from_the_inner_device_to_the_inner_device(routed: Namespaces, dropped: Dropped) -> None:
    routed.vxlan("sender", "s0", 7, 1, 2, "10.2.0.2")
    routed.vxlan("receiver", "d0", 7, 2, 1, "10.1.0.2")
    with open_witness(routed.inodes()) as witness, open_witness(routed.inodes(), hops=False) as end:
        drop = dropped(end, routed.send("sender", "10.50.0.2"))
        hops = [event for event in witness.poll() if isinstance(event, HopEvent) and event.skb == drop.skb]
    way = [("sender", "vx0"), ("sender", "s0"), ("router", "r0"), ("router", "r1"), ("receiver", "d0"), ("receiver", "vx0")]
    assert [(hop.netns, hop.ifindex) for hop in hops] == [routed.place(*each) for each in way]
    packets = [decode(hop, vxlan_ports={4789}) for hop in hops]
    assert [packet.inner(Vxlan) for packet in packets] == [None, Vxlan(7), Vxlan(7), Vxlan(7), Vxlan(7), None]
    assert {str(header.destination) for packet in packets if (header := packet.inner(IPv4))} == {"10.50.0.2"}
    assert {str(header.destination) for packet in packets if (header := packet.outer(IPv4))} == {"10.50.0.2", "10.2.0.2"}


def test_the_firewall_mark_is_told(routed: Namespaces) -> None:
    rule = "table ip t {\\n chain c {\\n type filter hook forward priority 0\\n meta mark set 0x4000\\n }\\n}\\n"
    routed.run("router", f"printf '{rule}' | nft -f -")
    with open_witness([routed.inode("router")], drops=False) as witness:
        routed.send("sender", "10.2.0.2")
        hops = [event for event in witness.poll() if isinstance(event, HopEvent)]
    assert [(hop.direction, hop.mark) for hop in hops[:2]] == [(Direction.IN, 0), (Direction.OUT, 0x4000)]


def test_other_namespaces_are_not_reported_until_they_are_watched(routed: Namespaces) -> None:
    def told_after_sending() -> set[int]:
        routed.send("sender", "10.2.0.2")
        return {event.netns for event in witness.poll() if not isinstance(event, LostEvents)}

    with open_witness([routed.inode("sender")], keep_noise=True) as witness:
        assert told_after_sending() == {routed.inode("sender")}
        witness.watch([routed.inode("receiver")])
        assert told_after_sending() == {routed.inode("sender"), routed.inode("receiver")}
        witness.forget([routed.inode("sender"), routed.inode("receiver"), 1])
        assert told_after_sending() == set()


def test_two_witnesses_see_the_same(routed: Namespaces, dropped: Dropped) -> None:
    with open_witness(routed.inodes()) as first, open_witness(routed.inodes()) as second:
        marker = routed.send("sender", "10.2.0.2")
        assert dropped(first, marker).skb == dropped(second, marker).skb


def test_what_does_not_fit_the_ring_is_counted(routed: Namespaces) -> None:
    with open_witness([routed.inode("router")], ring_size=4096, drops=False) as witness:
        for _ in range(100):
            routed.send("sender", "10.2.0.2")
        events = witness.poll()
        (lost,) = [event for event in events if isinstance(event, LostEvents)]
        assert lost.count == witness.lost
        assert lost.count + len(events) - 1 >= 200, "two hops for each packet, told or counted"
        routed.send("sender", "10.2.0.2")
        later = witness.poll()
        assert later, "there is room again"
        assert not [event for event in later if isinstance(event, LostEvents)], "each loss is told once"


def test_waiting_ends_when_something_happens_and_at_its_bound(routed: Namespaces) -> None:
    with open_witness(routed.inodes(), hops=False) as witness:
        assert witness.wait(0) == []
        routed.send("sender", "10.2.0.2")
        assert witness.wait(60)


def test_a_lab_with_thousands_of_descriptors_can_be_waited_for(routed: Namespaces) -> None:
    """select(2) ends at descriptor 1023; every namespace of a lab takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with ExitStack() as many:
        many.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            many.enter_context(Path("/dev/null").open())
        with open_witness(routed.inodes(), hops=False) as witness:
            assert witness.fileno() > 1023
            routed.send("sender", "10.2.0.2")
            assert witness.wait(60)
