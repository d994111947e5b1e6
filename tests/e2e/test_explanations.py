"""What explanations of shipped scenarios name: the object that was changed, whoever watches, and nothing where nothing is wrong."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from lab.testing import Answer
from tests.e2e.command import SCENARIOS, lab
from tests.e2e.test_flagship import WITNESSES
from tests.e2e.test_flagship import run as flagship

pytestmark = pytest.mark.e2e

NAMED = {
    "blackhole": "route blackhole 192.0.2.130/32 in r1",
    "route-deleted": "no route to 192.0.2.130 in r1",
    "wrong-way-back": "route 192.0.2.2/32 via 192.0.2.130 dev right in r2",
    "rule": "rule 100: from all to 192.0.2.130/32 prohibit in r1",
    "forwarding-off": "sysctl net.ipv4.conf.left.forwarding = 0 in r1",
    "mtu": "link right mtu 900 in r2",
    "link-down": "link right mtu 1500 down in r2",
    "address-deleted": "no neighbour 192.0.2.130 on right in r2",
    "neighbour": "neighbour 192.0.2.130 dev right lladdr 02:00:00:00:00:99 in r2",
    "nft": "nft rule ip by-hand forward: ip daddr 192.0.2.130 drop in r2",
    "process": "no listener on tcp/80 in b",
    "run": "route unreachable 192.0.2.130/32 in r1",
}
"""By the kind of fault that a phase injects, what must be held responsible."""
OF_CLUSTERS = {
    "fdb": "no FDB entry on vxlan-tunnel that the question would follow in c1-gw",
    "pool": "no IPPool that holds 10.42.185.1 in c1-w1",
    "withdrawn": "no ServiceExport default/nginx in cluster-2",
}
"""The same for what only clusters have."""
OF_LINKS = {
    "all-lost": {"link lan mtu 1500 netem loss 100% in router"},
    "half-lost": {"link lan mtu 1500 netem loss 50% in router"},
    "damaged": {"link outside mtu 1500 netem corrupt 100% in router"},
    "isolated": {"link server-2 mtu 1500 isolated on in sw-lan"},
    "no-flooding": {"link desktop mtu 1500 learning off flood off in sw-lan"},
    "another-mac": {"nft rule bridge ports incoming: one-mac-server-1 in sw-lan"},
    "another-address": {"nft rule bridge ports incoming: own-arp-server-1 in sw-lan"},
    "routed-behind": {"nft rule bridge ports incoming: own-addresses-server-1 in sw-lan"},
    "bridge-filter": {'nft rule bridge by-hand forward: oifname "desktop" ip protocol icmp drop in sw-lan'},
    "ingress-filter": {"nft rule netdev by-hand taken: ip saddr 192.0.2.21 drop in router"},
    "arp-filter": {"nft rule arp by-hand input: arp operation request arp saddr ip 192.0.2.1 drop in server-1"},
}
"""The same for links and layer two, the rules of ports by their comments."""
OF_DUAL_STACK = {
    "forwarding-off": {"sysctl net.ipv6.conf.all.forwarding = 0 in k8s-2"},
    "no-route": {"route blackhole fd01::40/122 metric 1024 in k8s-1"},
    "rule": {"nft rule ip6 by-hand forward: meta l4proto ipv6-icmp counter drop in k8s-2"},
}
"""The same for faults of IPv6 alone; without its route a packet misses the nearest one, which is that of the node's own block."""
WRITTEN = {"blackhole", "wrong-way-back", "rule", "mtu", "link-down", "neighbour"}
"""Faults whose object bears the line of the file that put it there: what a state has provenance for."""


@cache
def faults(who: str, *options: str, scenario: str = "fault-kinds") -> Answer:
    return lab("run", scenario, "--json", *options, who=who)


def causes(run: Any) -> dict[str, list[Any]]:
    """The causes that each phase names."""
    explained = {phase["name"]: [e["explanation"] for e in phase["expectations"] if e["explanation"]] for phase in run["phases"]}
    assert not [doubt for found in explained.values() for explanation in found for doubt in explanation["doubts"]]
    return {phase: [explanation["cause"] for explanation in found] for phase, found in explained.items()}


def responsible(cause: Any) -> str:
    thing = cause["object"]
    return f"{'no ' if thing['absent'] else ''}{thing['kind']} {thing['text']} in {thing['namespace']}"


def _by_comment(thing: str) -> str:
    """A rule with a comment by that alone: the rest of it has addresses that the lab chose."""
    return re.sub(r'(nft rule \S+ \S+ \S+: ).* comment "([^"]+)"', r"\1\2", thing)


@pytest.mark.parametrize(("who", "options"), WITNESSES)
class TestEveryKindOfFault:
    def test_the_object_that_was_changed_is_named(self, who: str, options: tuple[str, ...]) -> None:
        done = faults(who, *options)
        assert done.code == 0, done.err
        found = causes(done.json)
        assert {phase: [responsible(cause) for cause in found[phase]] for phase in NAMED} == {k: [v] for k, v in NAMED.items()}

    def test_so_is_what_only_clusters_have(self, who: str, options: tuple[str, ...]) -> None:
        done = faults(who, *options, scenario="cluster-fault-kinds")
        assert done.code == 0, done.err
        found = causes(done.json)
        assert {phase: [responsible(cause) for cause in found[phase]] for phase in OF_CLUSTERS} == {k: [v] for k, v in OF_CLUSTERS.items()}
        assert (found["healthy"], found["every-day"]) == ([], [])

    def test_so_is_what_links_and_switches_do(self, who: str, options: tuple[str, ...]) -> None:
        done = faults(who, *options, scenario="link-fault-kinds")
        assert done.code == 0, done.err
        explained = {phase["name"]: [e["explanation"] for e in phase["expectations"] if e["explanation"]] for phase in done.json["phases"]}
        named = {phase: {_by_comment(responsible(explanation["cause"])) for explanation in found} for phase, found in explained.items()}
        assert {phase: things for phase, things in named.items() if things} == OF_LINKS

    def test_so_is_what_ipv4_hides(self, who: str, options: tuple[str, ...]) -> None:
        done = faults(who, *options, scenario="dual-stack-fault-kinds")
        assert done.code == 0, done.err
        found = causes(done.json)
        assert {phase: {responsible(cause) for cause in found[phase]} for phase in OF_DUAL_STACK} == OF_DUAL_STACK
        assert (found["healthy"], found["fixed"]) == ([], [])

    def test_with_the_line_of_the_file(self, who: str, options: tuple[str, ...]) -> None:
        for phase, found in causes(faults(who, *options).json).items():
            for cause in found:
                places = [link["place"]["file"] for link in cause["object"]["chain"] if link["place"]]
                assert any(place.endswith("fault-kinds.yaml") for place in places) is (phase in WRITTEN)

    def test_a_healthy_phase_names_no_cause(self, who: str, options: tuple[str, ...]) -> None:
        found = causes(faults(who, *options).json)
        assert (found["healthy"], found["repaired"]) == ([], [])

    def test_the_flagship_names_the_same_causes_and_none_where_all_is_well(self, who: str, options: tuple[str, ...]) -> None:
        named = causes(flagship(who, *options).json)
        found = {phase: [(c["namespace"], c["reason"], responsible(c)) for c in said] for phase, said in named.items()}
        assert (found["healthy"], found["fixed"]) == ([], [])
        assert {place for place, _, _ in found["broken"]} == {"core-router", "edge-2"}
        assert {text.partition(" via")[0] for _, _, text in found["broken"]} == {"route 10.42.0.0/24", "route 10.46.0.0/24"}
        assert {reason for _, reason, _ in found["routes-only"]} == {"rp_filter"}


def test_the_scenario_that_shows_every_key_plays_as_it_says() -> None:
    """All its variants: one of them has a rule that refuses in somebody else's name, about which the kernel's lookup is asked as well."""
    done = lab("run", str(SCENARIOS.parent / "docs" / "reference" / "example-scenario.yaml"))
    assert done.code == 0, done.out
