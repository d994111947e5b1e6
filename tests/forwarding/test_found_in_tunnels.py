"""What long comparison with the kernel found the model did not know of tunnels: each fact in the smallest network that shows it."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.forwarding import Dropped, Memory, Reason
from lab.state import Vxlan
from lab.state.nft import Match, Meta, Nat, Payload, Verdict

DROP = Verdict("drop")


def tunnel(net: Any, *, mtu: int = 1450, far_mtu: int = 1450, df: bool = False, device: str = "eth0") -> Any:
    """Join a and b, with r in between, by a tunnel; `df` is what b asks for its outer packets, `device` where a has its address."""
    for name, local, inner, own in (("a", "10.1.0.2", "10.9.0.1", mtu), ("b", "10.2.0.2", "10.9.0.2", far_mtu)):
        net.vxlan(name, "vx", 7, local, mtu=own, df=df and name == "b").address(name, "vx", f"{inner}/24")
    for name, other, far, inner in (("a", "b", "10.2.0.2", "10.9.0.2"), ("b", "a", "10.1.0.2", "10.9.0.1")):
        net.neighbour(name, "vx", inner, net.mac_of(other, "vx")).fdb(name, "vx", net.mac_of(other, "vx"), far)
    return net.route("a", f"default via 10.1.0.1 dev {device}").route("b", "default via 10.2.0.1 dev eth0").listen("b", "tcp", 80)


def test_tcp_repeats_a_single_segment_whose_length_every_device_looks_at(net: Any) -> None:
    """The answer's train passes a link that takes 800 bytes; the lost tunnel packet's repetition, one segment of 950, does not."""
    net.node("a").router("r").node("b")
    net.wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24", mtu=1000).wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24", mtu=1000)
    tunnel(net)
    assert net.trace("a", "10.9.0.2", "tcp", size=1400).outcome.kind == "reply"
    net.builder["r"].change_link("right", mtu=800)
    assert str(net.trace("a", "10.9.0.2", "tcp", size=200, answer_size=1400).outcome) == "silence after the handshake"


def test_tcp_repeats_what_a_tunnel_lost_once_the_tunnel_knows_how_narrow_its_way_is(net: Any) -> None:
    """The answer's outer packet, with DF, is too long for a router; the VTEP learns it, and at the next try the sender does."""
    net.node("a").router("r").node("b")
    net.wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24", mtu=1000).wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    tunnel(net, df=True)
    conversation = net.trace("a", "10.9.0.2", "tcp", size=1400)
    assert conversation.outcome.kind == "reply"
    assert [traced.packet.size for traced in conversation.traces if traced.purpose == "answer"] == [1400, 1400, 950]


def test_a_tunnel_packet_that_was_translated_and_is_wrapped_again_may_have_lost_its_check_sum(net: Any) -> None:
    net.node("a").router("r").node("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    net.route("a", "default via 10.1.0.1 dev eth0").route("b", "default via 10.2.0.1 dev eth0")
    net.vxlan("a", "vx", 7, "10.1.0.2").address("a", "vx", "10.9.0.1/24").neighbour("a", "vx", "10.9.0.2", "02:00:00:00:09:02")
    net.fdb("a", "vx", "02:00:00:00:09:02", "10.1.0.1")
    net.vxlan("r", "vx", 8, "10.2.0.1", port=4800).address("r", "vx", "10.8.0.1/24").neighbour("r", "vx", "10.8.0.2", "02:00:00:00:08:02")
    net.fdb("r", "vx", "02:00:00:00:08:02", "10.2.0.2")
    net.chain("r", "prerouting", (Match(Payload("udp", "dport"), 4789), Nat("dnat", IPv4Address("10.8.0.2"))), type="nat", priority=-100)
    assert "translated and then cut, wrapped again or sent by a bridge" in net.trace("a", "10.9.0.2", "tcp").outcome.why


def test_so_may_one_that_a_bridge_sends(net: Any) -> None:
    net.node("a").node("s").node("b").wire("a:eth0 10.1.0.2/24", "s:left").wire("b:eth0 10.1.0.3/24", "s:right")
    net.bridge("s", "br", "left", "right").address("s", "br", "10.1.0.1/24")
    net.vxlan("a", "vx", 7, "10.1.0.2").address("a", "vx", "10.9.0.1/24").vxlan("s", "vx", 7, "10.1.0.1").address("s", "vx", "10.9.0.2/24")
    for name, other, far, inner in (("a", "s", "10.1.0.1", "10.9.0.2"), ("s", "a", "10.1.0.2", "10.9.0.1")):
        net.neighbour(name, "vx", inner, net.mac_of(other, "vx")).fdb(name, "vx", net.mac_of(other, "vx"), far)
    net.listen("s", "tcp", 80).address("s", "lo", "10.1.0.77/32")
    assert net.trace("a", "10.9.0.2", "tcp").outcome.kind == "reply"
    net.chain(
        "s", "postrouting", (Match(Payload("ip", "saddr"), IPv4Address("10.1.0.1")), Nat("snat", IPv4Address("10.1.0.77"))), type="nat"
    )
    assert "sent by a bridge keeps a good check sum" in net.trace("a", "10.9.0.2", "tcp").outcome.why


def test_it_may_have_lost_it_as_well_where_another_router_than_the_one_that_translated_it_cuts_it(net: Any) -> None:
    net.node("a").router("r").router("q").node("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24")
    net.wire("r:right 10.2.0.1/24", "q:left 10.2.0.2/24").wire("q:right 10.3.0.1/24", "b:eth0 10.3.0.2/24", mtu=1000)
    net.route("a", "default via 10.1.0.1 dev eth0").route("r", "default via 10.2.0.2 dev right").route("q", "default via 10.2.0.1 dev left")
    net.route("b", "default via 10.3.0.1 dev eth0").vxlan("a", "vx", 7, "10.1.0.2").vxlan("b", "vx", 7, "10.3.0.2")
    net.address("a", "vx", "10.9.0.1/24").address("b", "vx", "10.9.0.2/24").neighbour("a", "vx", "10.9.0.2", net.mac_of("b", "vx"))
    net.fdb("a", "vx", net.mac_of("b", "vx"), "10.3.0.2").listen("b", "udp", 80, behaviour="sink")
    assert net.trace("a", "10.9.0.2", "udp", size=1200).seen is not None
    net.chain("r", "postrouting", Nat("masquerade"), type="nat", priority=100)
    assert net.trace("a", "10.9.0.2", "udp", size=500).seen is not None
    assert "translated and then cut, wrapped again or sent by a bridge" in net.trace("a", "10.9.0.2", "udp", size=1200).outcome.why


def test_a_train_that_is_cut_into_fragments_is_no_train_any_more(net: Any) -> None:
    """r cuts each segment of the answer's train for its own MTU of 1400; a's end takes no fragment of that length."""
    net.node("a").router("r").node("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    tunnel(net, mtu=1400, far_mtu=1400)
    net.builder["r"].change_link("left", mtu=1400)
    net.builder["a"].change_link("eth0", mtu=1400)
    assert net.trace("a", "10.9.0.2", "tcp", size=200, answer_size=1500).outcome.kind == "reply"
    net.builder["a"].change_link("eth0", mtu=1200)
    assert str(net.trace("a", "10.9.0.2", "tcp", size=200, answer_size=1500).outcome) == "silence after the handshake"


def test_every_flow_has_a_tunnel_flow_of_its_own(net: Any) -> None:
    """The outer source port is a hash of the inner flow (`udp_flow_src_port`), so what was decided for one flow says nothing of the next.

    A socket draws its hash (`sk_set_txhash`), and the next one from the same port draws again.
    """
    net.node("a").node("b").wire("a:eth0 10.1.0.2/24 10.1.0.77/24", "b:eth0 10.1.0.3/24")
    for name, local, inner in (("a", "10.1.0.2", "10.9.0.1"), ("b", "10.1.0.3", "10.9.0.2")):
        net.vxlan(name, "vx", 7, local, learning=True).address(name, "vx", f"{inner}/24")
    net.fdb("a", "vx", "00:00:00:00:00:00", "10.1.0.3").fdb("b", "vx", "00:00:00:00:00:00", "10.1.0.2")
    other = Match(Payload("ip", "saddr"), IPv4Address("10.1.0.2")), Match(Meta("mark"), 1, "!="), Nat("snat", IPv4Address("10.1.0.77"))
    net.chain("a", "postrouting", other, type="nat", priority=100).listen("b", "udp", 80)
    memory, learned = Memory(), []
    for flow in (
        {"mark": 0},
        {"mark": 1, "protocol": "udp"},
        {"mark": 0, "protocol": "udp"},
        {"mark": 0, "source_port": 7, "protocol": "udp"},
    ):
        memory = net.trace("a", "10.9.0.2", memory=memory, **flow).memory
        learned.append(str(memory.vxlan_fdb["b", "vx", net.mac_of("a", "vx")]))
    assert learned == ["10.1.0.77", "10.1.0.2", "10.1.0.77", "10.1.0.77"]


@pytest.mark.parametrize(
    ("size", "last_is_lost", "outcome"),
    [(1480, False, "a reply from 10.9.0.2"), (1480, True, "silence after the handshake"), (1400, False, "silence after the handshake")],
)
def test_what_was_lost_before_a_segment_that_arrived_is_repeated_as_a_train(net: Any, size: int, last_is_lost: bool, outcome: str) -> None:
    """a cuts the question's first segment, of 1400 bytes, for its MTU of 1200, and r takes no fragment of that length.

    Its last segment, of 132 bytes, arrives, and what is missing is repeated at once: in segments of 1150 bytes, all in one train, which
    fits through a and r as it is. Where nothing arrives, and where there was one segment only, a timer repeats a single one.
    """
    net.node("a").router("r").node("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    tunnel(net, far_mtu=1400).builder["a"].change_link("eth0", mtu=1200)
    net.builder["r"].change_link("left", mtu=1000)
    if last_is_lost:
        net.chain("b", "input", (Match(Payload("ip", "length"), 132), DROP))
    assert str(net.trace("a", "10.9.0.2", "tcp", size=size, answer_size=100).outcome) == outcome


@pytest.mark.parametrize(("device", "outcome"), [("port", "a reply from 10.9.0.2"), ("br", "silence after the handshake")])
def test_a_bridge_that_sends_a_train_in_a_tunnel_takes_it_apart(net: Any, device: str, outcome: str) -> None:
    """r takes a train whatever its length, but no single segment that is longer than 1200 bytes."""
    net.node("a").router("r").node("b").wire("a:port", "r:left 10.1.0.1/24").wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    if device == "br":
        net.bridge("a", "br", "port")
    net.address("a", device, "10.1.0.2/24")
    tunnel(net, mtu=1400, far_mtu=1400, device=device).builder["r"].change_link("left", mtu=1200)
    assert str(net.trace("a", "10.9.0.2", "tcp", size=1500, answer_size=100).outcome) == outcome


def test_whether_the_way_to_the_old_vtep_of_a_mac_that_moved_is_still_kept_is_not_known(net: Any) -> None:
    net.node("a").router("r").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").route("a", "default via 10.1.0.1 dev eth0")
    net.vxlan("a", "vx", 7, "10.1.0.2", learning=True).address("a", "vx", "10.9.0.1/24")
    mac = "02:00:00:00:09:02"
    net.neighbour("a", "vx", "10.9.0.2", mac)

    def moved(first: str, then: str, **flow: int) -> str:
        memory = net.trace("a", "10.9.0.2", memory=Memory(vxlan_fdb={("a", "vx", mac): IPv4Address(first)}), **flow).memory
        memory.vxlan_fdb["a", "vx", mac] = IPv4Address(then)
        return str(net.trace("a", "10.9.0.2", memory=memory).outcome.why)

    assert "the VTEP of a learned MAC has moved" in moved("10.1.0.1", "10.2.0.2")
    assert "moved" not in moved("10.3.0.3", "10.2.0.2")  # the same way out
    assert "moved" not in moved("10.1.0.1", "10.2.0.2", mark=1)  # nothing is kept of a marked packet's way


@pytest.mark.parametrize(("made_here", "reason"), [(True, Reason.STILL_OWNED), (False, Reason.TTL)])
def test_what_a_tunnel_brings_back_to_its_sender_is_not_forwarded_by_the_namespace_that_made_it(
    net: Any, made_here: bool, reason: Reason
) -> None:
    """r is its own remote. What came by a cable goes round until it may no longer; what a socket made still bears that (`ip_forward`)."""
    net.node("a").router("r").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").route("a", "default via 10.1.0.1 dev eth0")
    net.vxlan("r", "vx", 7, "10.1.0.1").address("r", "vx", "10.9.0.1/24").neighbour("r", "vx", "10.9.0.9", net.mac_of("r", "vx"))
    net.fdb("r", "vx", net.mac_of("r", "vx"), "10.1.0.1").conf("r", "vx", accept_local=1)
    verdict = net.trace("r" if made_here else "a", "10.9.0.9").request.verdict
    assert isinstance(verdict, Dropped)
    assert verdict.reason == reason


@pytest.mark.parametrize(("size", "outcome"), [(1600, "unknown"), (1400, "error")])
def test_nobody_knows_what_the_later_pieces_set_off_of_what_is_too_long_for_a_tunnel(net: Any, size: int, outcome: str) -> None:
    """a's outer packets may not be cut: the first piece of a long ping is lost, and the last, which is short, may have r learn of a."""
    net.node("a").router("r").node("b").wire("a:eth0 10.1.0.2/24", "r:left 10.1.0.1/24").wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    tunnel(net, mtu=1500).builder["a"].change_link("vx", kind=Vxlan(7, 4789, IPv4Address("10.1.0.2"), learning=False, df=True))
    known = net.conf("a", "eth0", arp_ignore=8).trace("a", "10.9.0.2", size=size).memory
    assert net.trace("r", "10.1.0.2", memory=Memory(undecided=known.undecided)).outcome.kind == outcome


@pytest.mark.parametrize(("second", "outcome"), [("10.9.0.9", "unknown"), ("10.9.0.8", "reply")])
def test_of_two_who_answer_for_an_address_through_a_tunnel_nobody_knows_who_is_heard(net: Any, second: str, outcome: str) -> None:
    net.node("sw").bridge("sw", "br")
    for number, name in enumerate("abc", start=2):
        net.wire(f"{name}:eth0 10.1.0.{number}/24", f"sw:{name}").builder["sw"].enslave(name, "br")
        net.vxlan(name, "vx", 7, f"10.1.0.{number}")
    net.address("a", "vx", "10.9.0.1/24").address("b", "vx", "10.9.0.9/24").address("c", "vx", f"{second}/24")
    for name, others in (("a", "34"), ("b", "2"), ("c", "2")):
        for other in others:
            net.fdb(name, "vx", "00:00:00:00:00:00", f"10.1.0.{other}")
    assert net.trace("a", "10.9.0.9").outcome.kind == outcome
