"""The source check: which of its settings counts, what it looks up, and what it refuses."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.forwarding import Dropped, Reason
from lab.state.nft import Mangle, Match, Meta, Payload

ASYMMETRIC, UNROUTED = "10.8.8.8", "10.7.7.7"


def build(row: Any, all_: int, device: int, **more: int) -> Any:
    """The router knows 10.8.8.8 by the wrong device, and 10.7.7.7 not at all; the sender has both addresses."""
    row.conf("r", "all", rp_filter=all_).conf("r", "left", rp_filter=device, **more)
    row.address("a", "eth0", f"{ASYMMETRIC}/32").address("a", "eth0", f"{UNROUTED}/32")
    row.neighbour("a", "eth0", "10.1.0.1", row.mac_of("r", "left"))
    return row.route("r", f"{ASYMMETRIC}/32 via 10.2.0.2 dev right")


def passes(row: Any, source: str, **flow: Any) -> bool:
    return bool(row.trace("a", "10.2.0.2", source_address=IPv4Address(source), **flow).request.delivered)


MATRIX = [
    (0, 0, True, True),
    (0, 1, False, False),
    (0, 2, True, False),
    (1, 0, False, False),
    (1, 1, False, False),
    (1, 2, True, False),
    (2, 0, True, False),
    (2, 1, True, False),
    (2, 2, True, False),
]


@pytest.mark.parametrize(("all_", "device", "asymmetric", "unrouted"), MATRIX)
def test_the_larger_value_of_all_and_the_device_counts(row: Any, all_: int, device: int, asymmetric: bool, unrouted: bool) -> None:
    build(row, all_, device)
    assert passes(row, ASYMMETRIC) is asymmetric
    assert passes(row, UNROUTED) is unrouted
    assert passes(row, "10.1.0.2")


def test_default_counts_for_devices_that_state_nothing(row: Any) -> None:
    row.builder["r"].sysctls.pop("net/ipv4/conf/left/rp_filter", None)
    row.conf("r", "default", rp_filter=1)
    row.address("a", "eth0", f"{ASYMMETRIC}/32").neighbour("a", "eth0", "10.1.0.1", row.mac_of("r", "left"))
    assert not passes(row.route("r", f"{ASYMMETRIC}/32 via 10.2.0.2 dev right"), ASYMMETRIC)


@pytest.mark.parametrize(("flag", "passed"), [(0, False), (1, True)])
def test_a_rule_by_mark_counts_for_the_way_back_only_with_src_valid_mark(row: Any, flag: int, passed: bool) -> None:
    build(row, 0, 1, src_valid_mark=flag)
    row.chain("r", "prerouting", (Match(Payload("ip", "saddr"), IPv4Address(ASYMMETRIC)), Mangle(Meta("mark"), 1)), priority=-150)
    row.route("r", f"{ASYMMETRIC}/32 via 10.1.0.2 dev left table 7").rule("r", "100: fwmark 0x1 lookup 7")
    assert passes(row, ASYMMETRIC) is passed


@pytest.mark.parametrize(("device", "passed"), [("right", True), ("left", False)])
def test_the_way_back_is_looked_up_as_if_the_packet_came_in_where_it_would_leave(row: Any, device: str, passed: bool) -> None:
    build(row, 0, 1)
    row.route("r", f"{ASYMMETRIC}/32 via 10.1.0.2 dev left table 7").rule("r", f"100: iif {device} lookup 7")
    assert passes(row, ASYMMETRIC) is passed


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit", "throw"])
@pytest.mark.parametrize("mode", [1, 2])
def test_a_way_back_that_leads_nowhere_fails_both_modes(row: Any, kind: str, mode: int) -> None:
    build(row, 0, mode)
    assert not passes(row.route("r", f"{kind} {UNROUTED}/32"), UNROUTED)


@pytest.mark.parametrize(("mode", "passed"), [(0, True), (1, False), (2, False)])
def test_a_device_without_an_address_refuses_even_in_loose_mode_what_does_not_go_back_by_it(net: Any, mode: int, passed: bool) -> None:
    """What surprises people with cali* devices and rp_filter 2."""
    net.node("a").router("r").node("b")
    net.wire("a:eth0 10.1.0.2/32", "r:left").wire("r:right 10.2.0.1/24", "b:eth0 10.2.0.2/24")
    net.route("a", "10.2.0.0/24 dev eth0").route("r", "10.1.0.2/32 via 10.2.0.2 dev right")
    net.neighbour("a", "eth0", "10.2.0.2", net.mac_of("r", "left")).conf("r", "left", rp_filter=mode)
    assert net.trace("a", "10.2.0.2").request.delivered is passed


@pytest.mark.parametrize(("accept", "mode", "passed"), [(0, 0, False), (1, 0, True), (1, 1, False), (1, 2, True)])
def test_an_own_address_as_source_passes_only_with_accept_local_and_not_strictly(row: Any, accept: int, mode: int, passed: bool) -> None:
    row.address("r", "right", f"{UNROUTED}/32").address("a", "eth0", f"{UNROUTED}/32")
    row.neighbour("a", "eth0", "10.1.0.1", row.mac_of("r", "left"))
    row.conf("r", "left", accept_local=accept, rp_filter=mode)
    assert passes(row, UNROUTED) is passed


def test_the_refusal_names_mode_settings_and_the_way_back(row: Any) -> None:
    verdict = build(row, 1, 0).trace("a", "10.2.0.2", source_address=IPv4Address(ASYMMETRIC)).request.verdict
    assert isinstance(verdict, Dropped)
    assert verdict.reason == Reason.RP_FILTER
    assert (
        verdict.text == "rp_filter strict (all=1, left=0): the way back leads out by right for source 10.8.8.8, it came in by left: refused"
    )
