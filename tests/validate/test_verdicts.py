"""Each default intent fails when, and only when, a change does what it forbids; intents are judged by fate, reason, place and way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from ipaddress import ip_address, ip_network
from typing import get_args

import pytest

from lab.cluster import compile
from lab.errors import ExitCode, InputErrors
from lab.forwarding import Reason
from lab.report.validation import validation_json, validation_junit, validation_markdown
from lab.spec.intents import Cause
from lab.spec.load import load_topology
from lab.state import Route, State, StateBuilder, commands_of, difference
from lab.validate.change import Ground, Happened
from lab.validate.commands import steps_of_commands
from lab.validate.fates import Survey
from lab.validate.result import Finding, Status, Validation
from lab.validate.validate import Wish
from lab.validate.validate import validate as find_out
from tests.cluster.base_lab import TOPOLOGIES
from tests.validate.small import check, failed, intents_of, said, small, validated


def test_a_change_that_does_nothing_to_anybody_holds() -> None:
    found = validated(small().state, "r1: ip route add blackhole 10.99.0.0/16 table 7")
    assert (failed(found), found.exit_code, found.changed) == ([], ExitCode.OK, ())


def test_what_is_lost_is_said_with_its_addresses() -> None:
    found = validated(small().state, "r1: ip route add blackhole 10.2.0.0/25 metric 0")
    assert "nothing-lost" in failed(found)
    losers = {finding.sources for finding in check(found, "nothing-lost").findings if finding.kind == "icmp"}
    assert ("h1",) in losers or ("h1", "r1") in losers or any("h1" in sources for sources in losers)
    assert "10.2.0.2/32" in said(found.checks)
    assert found.exit_code is ExitCode.EXPECTATION


OPEN = """
@r2
nft add rule ip t filter-forward-0 ip daddr 10.2.0.2 tcp dport 80 accept
nft add rule ip t filter-forward-0 ct state established accept
"""
BY_R3 = "r1: ip route replace 10.2.0.0/24 via 10.13.0.2 metric 0"


def test_what_is_opened_is_a_failure_too() -> None:
    closed = small().chain("r2", "forward", policy="drop").state
    found = validated(
        closed,
        OPEN,
    )
    assert failed(found) == ["nothing-opened"]
    assert {finding.kind for finding in check(found, "nothing-opened").findings} == {"tcp/80"}


def test_a_loop_is_found() -> None:
    found = validated(small(rp_filter=0).state, "r2: ip route add 10.99.0.0/16 via 10.12.0.1\nr1: ip route add 10.99.0.0/16 via 10.12.0.2")
    assert failed(found) == ["no-loop"]
    assert [str(network) for network in check(found, "no-loop").findings[0].addresses] == ["10.99.0.0/16"]


def test_a_loop_that_was_there_is_noted_and_no_failure() -> None:
    net = small(rp_filter=0).route("r2", "10.99.0.0/16 via 10.12.0.1 dev direct").route("r1", "10.99.0.0/16 via 10.12.0.2 dev direct")
    found = validated(net.state, "r3: ip route add blackhole 10.98.0.0/16")
    assert failed(found) == []
    assert "were like that before" in check(found, "no-loop").note


def test_a_question_that_arrives_and_is_not_answered_is_found() -> None:
    found = validated(small().state, "h2: ip route del default")
    assert {"nothing-lost", "no-one-way"} == set(failed(found))


def test_an_asymmetric_way_meets_a_strict_rp_filter() -> None:
    found = validated(small().state, BY_R3)
    assert {"nothing-lost", "no-rp-filter"} <= set(failed(found))
    assert "rp_filter strict" in said([check(found, "no-rp-filter")])


def test_with_a_loose_rp_filter_it_is_only_another_way() -> None:
    found = validated(small(rp_filter=2).state, BY_R3)
    assert failed(found) == []
    assert any("r1 r3 r2 h2" in finding.after for finding in found.changed)


def test_a_path_that_swallows_long_packets_is_found() -> None:
    """The tunnel's MTU is smaller at one end only, and no ICMP error comes back: the sender's kernel drops what is too long."""
    found = validated(small(rp_filter=2).state, f"r3: ip link set dev one mtu 1300\n{BY_R3}")
    assert failed(found) == ["no-black-hole"]
    assert "1304 bytes" in said([check(found, "no-black-hole")])


def test_a_smaller_mtu_at_one_end_of_a_cable_is_a_black_hole_that_short_packets_do_not_notice() -> None:
    found = validated(small().state, "r2: ip link set dev direct mtu 1400")
    assert found.changed == ()
    assert failed(found) == ["no-black-hole"]
    assert "1404 bytes" in said([check(found, "no-black-hole")])


INTENTS = """
intents: web
expect:
  - {from: [h1], to: [10.2.0.0/24], fate: lost, reason: netfilter, at: r2, protocol: icmp}
  - {from: [h1], to: [h2], protocol: tcp, port: 80, through: [r1, r2], avoids: [r3], because: the shop}
"""


def test_what_an_intent_speaks_about_is_judged_by_it_and_by_nothing_else() -> None:
    commands = """
    @r2
    nft add table filter
    nft add chain filter f { type filter hook forward priority 0\\; }
    nft add rule filter f ip protocol icmp ip saddr 10.1.0.2 drop
    """
    state = small().state
    assert set(failed(validated(state, commands))) == {"nothing-lost", "no-one-way"}
    found = validated(state, commands, intents=INTENTS)
    assert [(one.title, one.status) for one in found.checks if one.name == "intent"] == [
        ("icmp from h1 to 10.2.0.0/24: lost because of netfilter at r2", Status.FAILED),
        ("tcp/80 from h1 to h2: answered by way of r1, r2 not by r3", Status.HELD),
    ], "10.2.0.1 is r2 itself, which forwards nothing to itself"
    narrower = INTENTS.replace("10.2.0.0/24", "h2")
    found = validated(state, commands, intents=narrower)
    assert [one.status for one in found.checks if one.name == "intent"] == [Status.HELD, Status.HELD]
    assert {finding.sources for finding in check(found, "nothing-lost").findings} == {("h2",)}, "whose echo nobody spoke about"


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ("fate: refused", "intended: refused"),
        ("fate: lost, reason: rp-filter", "intended: lost"),
        ("through: [r3]", "does not come by r3"),
        ("avoids: [r2]", "comes by r2"),
        ("size: 1501", "answered up to 1500 bytes only"),
    ],
)
def test_an_intent_that_fails_says_what_is_so_instead(wish: str, told: str) -> None:
    intents = f"intents: x\nexpect:\n  - {{from: [h1], to: [h2], protocol: icmp, {wish}}}\n"
    found = validated(small(mtu=1600).state, "r3: ip route add blackhole 10.98.0.0/16", intents=intents)
    assert (found.checks[0].status is Status.HELD) == (wish == "size: 1501") or told in said(found.checks)


def test_an_intent_for_all_the_time_looks_at_the_way_as_well() -> None:
    commands = "r1: ip route del 10.2.0.0/24 via 10.12.0.2\nr1: ip route add 10.2.0.0/24 via 10.12.0.2"
    wish = "intents: x\nexpect:\n  - {from: [h1], to: [h2], avoids: [r3], always: ALWAYS}\n"
    assert failed(validated(small().state, commands, intents=wish.replace("ALWAYS", "false"))) == []
    assert failed(validated(small().state, commands, intents=wish.replace("ALWAYS", "true"))) == ["intent"]


def test_only_the_wanted_default_intents_count() -> None:
    wish = "intents: x\ndefaults: [no-loop]\n"
    assert failed(validated(small().state, "h2: ip route del default", intents=wish)) == []


def test_names_that_are_not_there_are_told_with_the_nearest() -> None:
    wish = "intents: x\nexpect:\n  - {from: [h1, hh1], to: [10.2.0.1/24], at: r9, fate: lost}\n  - {from: [r*], to: [service/web]}\n"
    with pytest.raises(InputErrors) as caught:
        validated(small().state, "h2: ip route del default", intents=wish)
    told = str(caught.value)
    assert "intents.yaml:3:17: the network has no 'hh1'" in told
    assert "did you mean 'h1'?" in told
    assert "intents.yaml:3:28: '10.2.0.1/24' is no network without host bits" in told
    assert "intents.yaml:3:" in told
    assert "the network has no 'r9'" in told
    assert "intents.yaml:4:23: there is no service 'web'" in told


def test_what_cannot_be_meant_together_is_a_mistake() -> None:
    for wrong in ("protocol: tcp", "port: 80", "reason: nat", "fate: lost, size: 1400"):
        with pytest.raises(InputErrors):
            intents_of(f"intents: x\nexpect:\n  - {{from: [h1], to: [h2], {wrong}}}\n")


def test_the_reasons_of_intents_are_those_of_the_model() -> None:
    assert list(get_args(Cause)) == [reason.name.lower().replace("_", "-") for reason in Reason]


@cache
def dual() -> State:
    return compile(load_topology(TOPOLOGIES / "dual-stack-cluster.yaml").model)


def versions_of(findings: Iterable[Finding]) -> set[int]:
    """The versions of IP of all that is found; of one finding it is one."""
    assert all(len({network.version for network in finding.addresses}) == 1 for finding in findings)
    return {network.version for finding in findings for network in finding.addresses}


def test_what_a_change_does_over_ipv6_is_decided_as_over_ipv4() -> None:
    without = validated(dual(), "@k8s-2\nsysctl -w net/ipv6/conf/all/forwarding=0", steps=True, failures=True)
    other = validated(dual(), "@k8s-2\nsysctl -w net/ipv4/conf/all/log_martians=1")
    assert failed(without) == ["nothing-lost", "left-to-chance"]
    lost = check(without, "nothing-lost").findings
    assert versions_of(lost) == {6}
    assert all("input routing: IPv6 forwarding is off" in finding.after for finding in lost)
    assert any(finding.sources == ("pod-3",) and "fd00::2" in _addresses(finding) for finding in lost)
    assert (without.exit_code, other.exit_code) == (ExitCode.EXPECTATION, ExitCode.OK)
    assert other.conclusion == "the change does what is intended, and nothing else"
    assert without.undo.proved


def _addresses(finding: Finding) -> set[str]:
    return {str(network.network_address) for network in finding.addresses}


def test_only_the_version_that_a_change_is_about_moves() -> None:
    found = validated(dual(), "@router\nsysctl -w net.ipv4.ip_forward=0")
    assert versions_of(found.changed) == {4}


def test_a_loop_over_ipv6_is_found() -> None:
    there = StateBuilder(dual())
    for name, to, via, device in (("router", "fd09::/64", "fd00::2", "link"), ("k8s-1", "fd09::/64", "fd00::1", "eth0")):
        there[name].add_route(Route(ip_network(to), via=ip_address(via), device=device))
    looping = there.freeze()
    steps = steps_of_commands(commands_of(difference(dual(), looping)), "loop")
    found = find_out("net", "change", Ground(dual()), [replace(step, does=Happened(looping)) for step in steps][-1:], Wish())
    assert "no-loop" in failed(found)
    assert {str(network) for finding in check(found, "no-loop").findings for network in finding.addresses} == {"fd09::/64"}


SIX_INTENTS = """
intents: six
defaults: []
expect:
  - {from: [k8s-1], to: [nginx], fate: answered}
  - {from: [k8s-1], to: [nginx], family: IPv4, fate: answered}
  - {from: [k8s-1], to: ["fd00::/64"], family: IPv6, protocol: tcp, port: 80, fate: lost, reason: netfilter, at: nginx}
  - {from: ["pod-?"], to: [service/web], protocol: tcp, port: 80, family: IPv6, fate: answered, always: true}
  - {from: [k8s-1], to: [peer], through: [router], size: 1500, fate: answered}
"""
CLOSED = """@nginx
nft -f - <<'END'
add table ip6 t
add chain ip6 t in { type filter hook input priority 0; policy accept; }
add rule ip6 t in meta l4proto tcp drop
add rule ip6 t in icmpv6 type 128 drop
END
"""


def test_intents_speak_about_both_versions_or_one() -> None:
    found = validated(dual(), CLOSED, intents=SIX_INTENTS)
    assert [one.status.name for one in found.checks] == ["FAILED", "HELD", "FAILED", "HELD", "HELD"]
    assert versions_of(found.checks[0].findings) == {6}
    assert found.checks[1].title.startswith("everything over IPv4 from k8s-1 to nginx")
    there = [finding for finding in found.checks[2].findings if "fd00::4" not in _addresses(finding)]
    assert there == list(found.checks[2].findings), "at nginx it is as intended, and elsewhere nobody drops anything"


@pytest.mark.parametrize(
    ("intent", "told"),
    [
        ('to: ["fd00::/129"]', "intents.yaml:3:26: 'fd00::/129' is no network without host bits"),
        ('to: ["fd00::1/64"]', "intents.yaml:3:26: 'fd00::1/64' is no network without host bits"),
        ("to: [10.244.0.0/16], family: IPv6", "intents.yaml:3:26: '10.244.0.0/16' has no address of IPv6, which `family` says"),
        ("to: [service/four], family: IPv6", "intents.yaml:3:26: 'service/four' has no address of IPv6, which `family` says"),
        ("to: [service/fore]", "did you mean 'four'?"),
    ],
)
def test_what_no_version_has_is_told_at_its_place(intent: str, told: str) -> None:
    with pytest.raises(InputErrors) as caught:
        validated(
            dual(), "k8s-1: sysctl -w net.ipv4.conf.all.log_martians=1", intents=f"intents: x\nexpect:\n  - {{from: [k8s-1], {intent}}}\n"
        )
    assert told in str(caught.value)


def test_a_network_of_ipv4_is_asked_nothing_else() -> None:
    state = compile(load_topology(TOPOLOGIES / "two-single-node-clusters.yaml").model)
    assert {key.version for key in Survey((state,)).keys} == {4}
    assert {key.version for key in Survey((dual(),)).keys} == {4, 6}
    assert [key.version for key in Survey((dual(),)).keys] == sorted(key.version for key in Survey((dual(),)).keys)


@pytest.mark.parametrize("render", [validation_markdown, validation_junit, lambda found: json.dumps(validation_json(found))])
def test_every_form_names_single_addresses_of_ipv6(render: Callable[[Validation], str]) -> None:
    said = render(validated(dual(), CLOSED))
    assert "fd00::4" in said.replace("\\", "")
