"""Dual stack: what a segment's IPv6 network gives everybody on it."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import pytest

from lab.cluster import compile as compile_topology
from lab.errors import InputErrors
from lab.forwarding import Flow, Network, trace
from lab.spec import open_topology
from lab.spec.events import History
from lab.state import State
from lab.state.nftables.text import rule_text

TOPOLOGY = """\
topology: dual
segments:
  left: {cidr: 192.0.2.0/25, cidr6: "2001:db8:1::/64"}
  right: {cidr: 192.0.2.128/25, cidr6: "2001:db8:2::/64"}
  far: {cidr: 198.51.100.0/24}
routers:
  r:
    interfaces: {left: 192.0.2.1, right: 192.0.2.129, far: 198.51.100.1}
    ipv6: {right: "2001:db8:2::ffff"}
    routes: [{to: "2001:db8:9::/48", via: "2001:db8:2::2"}, {to: "2001:db8:a::/48", type: prohibit}]
hosts:
  a: {segment: left, address: 192.0.2.7, gateway: 192.0.2.1}
  b: {segment: right, address: 192.0.2.130, gateway: 192.0.2.129, interfaces: {left: 192.0.2.8}}
  c: {segment: far, address: 198.51.100.7, gateway: 198.51.100.1}
clusters: {one: {segment: left, pod_cidr: 10.1.0.0/16, service_cidr: 10.2.0.0/16, nodes: {n: {address: 192.0.2.3}}}}
"""


def compiled(folder: Path, text: str = TOPOLOGY) -> State:
    (folder / "dual.yaml").write_text(text)
    loaded = open_topology(str(folder / "dual.yaml"))
    return compile_topology(loaded.model, History(), place=loaded.place)


def addresses(state: State, name: str) -> dict[str, str]:
    return {e.device: str(e.interface) for e in state[name].addresses if e.interface.version == 6 and not e.interface.ip.is_link_local}


def test_everybody_on_a_segment_has_an_address_in_the_same_place(tmp_path: Path) -> None:
    state = compiled(tmp_path)
    assert addresses(state, "a")["eth0"] == "2001:db8:1::7/64"
    assert addresses(state, "n")["eth0"] == "2001:db8:1::3/64"
    assert {k: v for k, v in addresses(state, "b").items() if k != "lo"} == {"eth0": "2001:db8:2::2/64", "eth1": "2001:db8:1::8/64"}
    assert {k: v for k, v in addresses(state, "r").items() if k != "lo"} == {"left": "2001:db8:1::1/64", "right": "2001:db8:2::ffff/64"}
    assert addresses(state, "c") == {}


def test_a_default_route_leads_to_the_gateways_own_address(tmp_path: Path) -> None:
    state = compiled(tmp_path)
    vias = {name: [str(r.via) for r in state[name].table() if str(r.destination) == "::/0"] for name in ("a", "b", "n", "r")}
    assert vias == {"a": ["2001:db8:1::1"], "b": ["2001:db8:2::ffff"], "n": ["2001:db8:1::1"], "r": []}
    routes = {str(r.destination): (r.type, r.device) for r in state["r"].table() if r.destination.version == 6}
    assert (routes["2001:db8:9::/48"], routes["2001:db8:a::/48"]) == (("unicast", "right"), ("prohibit", None))


def test_routers_forward_and_hosts_do_not(tmp_path: Path) -> None:
    state = compiled(tmp_path)
    assert {name: state[name].sysctl("net/ipv6/conf/all/forwarding") for name in ("r", "a", "n")} == {"r": "1", "a": "0", "n": "0"}
    assert state["c"].sysctl("net/ipv6/conf/all/disable_ipv6") == "1"


def rules(state: State, name: str, family: str, table: str = "forwarding", chain: str = "forward") -> list[str]:
    """The rules of a chain, without their counters and comments."""
    found = (c for t in state[name].tables if (t.family, t.name) == (family, table) for c in t.chains if c.name == chain)
    return [rule_text(rule, family).replace("counter ", "").split(" comment ")[0] for c in found for rule in c.rules]


POLICY = """
    policy:
      - {established: true, action: accept}
      - {name: web, into: left, destination: ["2001:db8:2::/64", 192.0.2.128/25], protocol: tcp, ports: [80], action: accept}
      - {source: ["2001:db8:1::7/128", "2001:db8:1::8/128"], action: drop}
      - {source: [192.0.2.7/32], action: drop}
      - {protocol: icmpv6, icmp: [packet-too-big, echo-request], action: accept}
      - {protocol: icmp, icmp: [echo-request], action: accept}
      - {protocol: tcp, action: reject, reject_with: tcp-reset}
      - {family: IPv6, action: reject, reject_with: policy-fail}
      - {action: reject, reject_with: REJECTION}
hosts:"""


def with_policy(rejection: str = "host-unreachable") -> str:
    return TOPOLOGY.replace("\nhosts:", POLICY.replace("REJECTION", rejection))


def test_a_policy_filters_either_version_in_a_table_of_its_own(tmp_path: Path) -> None:
    state = compiled(tmp_path, with_policy())
    assert rules(state, "r", "ip6") == [
        "ct state established,related accept",
        'iifname "left" ip6 daddr 2001:db8:2::/64 tcp dport 80 accept',
        "ip6 saddr { 2001:db8:1::7/128, 2001:db8:1::8/128 } drop",
        "icmpv6 type { packet-too-big, echo-request } accept",
        "meta l4proto tcp reject with tcp reset",
        "reject with icmpv6 type policy-fail",
        "reject with icmpv6 type addr-unreachable",
    ]
    assert rules(state, "r", "ip") == [
        "ct state established,related accept",
        'iifname "left" ip daddr 192.0.2.128/25 tcp dport 80 accept',
        "ip saddr 192.0.2.7/32 drop",
        "icmp type echo-request accept",
        "meta l4proto tcp reject with tcp reset",
        "reject with icmp type host-unreachable",
    ]


def test_both_rules_of_a_line_count_by_one_name(tmp_path: Path) -> None:
    tables = compiled(tmp_path, with_policy())["r"].tables
    assert [[rule.comment for rule in table.chains[0].rules][1] for table in tables] == ["web", "web"]
    assert [table.chains[0].rules[-1].comment for table in tables] == ["line-9", "line-9"]


@pytest.mark.parametrize(
    ("written", "four", "six"),
    [
        ("net-unreachable", "net-unreachable", "no-route"),
        ("admin-prohibited", "admin-prohibited", "admin-prohibited"),
        ("host-prohibited", "host-prohibited", "admin-prohibited"),
        ("port-unreachable", "port-unreachable", "port-unreachable"),
    ],
)
def test_a_sender_is_told_the_code_that_stands_for_it(tmp_path: Path, written: str, four: str, six: str) -> None:
    state = compiled(tmp_path, with_policy(written))
    assert rules(state, "r", "ip")[-1] == f"reject with icmp type {four}"
    assert rules(state, "r", "ip6")[-1] == f"reject with icmpv6 type {six}"


def test_without_ipv6_there_is_no_table_of_it(tmp_path: Path) -> None:
    old = TOPOLOGY.replace('cidr6: "2001:db8:1::/64"', "mtu: 1500").replace('cidr6: "2001:db8:2::/64"', "mtu: 1500")
    lines = [line for line in old.splitlines() if "2001" not in line]
    text = "\n".join(lines).replace("hosts:", "    policy: [{source: [192.0.2.0/25], action: drop}, {action: accept}]\nhosts:")
    assert [table.family for table in compiled(tmp_path, text)["r"].tables] == ["ip"]


def test_a_firewall_stands_in_ip6tables_as_well_unless_it_is_said_to_be_of_ipv4(tmp_path: Path) -> None:
    lines = "{protocol: icmpv6, action: accept}, {source: [192.0.2.1/32], action: accept}, {ports: [80], action: accept}"
    firewall = f"input_policy: drop, input: [{lines}]"
    text = TOPOLOGY.replace("gateway: 192.0.2.1}", f"gateway: 192.0.2.1, firewall: {{{firewall}}}}}")
    state = compiled(tmp_path, text)
    ports = "meta l4proto { tcp, udp } th dport 80 accept"
    assert rules(state, "a", "ip6", "filter", "INPUT") == ["meta l4proto icmpv6 accept", ports]
    assert rules(state, "a", "ip", "filter", "INPUT") == ["ip saddr 192.0.2.1/32 accept", ports]
    old = text.replace("{protocol: icmpv6, action: accept}, ", "").replace("input_policy", "families: [IPv4], input_policy")
    assert [table.family for table in compiled(tmp_path, old)["a"].tables] == ["ip"]


def test_the_model_follows_packets_through_policies_of_ipv6(tmp_path: Path) -> None:
    switch = "policy: [{name: telnet, ports: [23], action: drop}]"
    text = with_policy().replace('"2001:db8:1::/64"}', f'"2001:db8:1::/64", {switch}}}')
    network = Network(compiled(tmp_path, text.replace("gateway: 192.0.2.1}", "gateway: 192.0.2.1, serves: [{port: 23}, {port: 80}]}")))

    def outcome(source: str, to: str, protocol: Literal["icmp", "tcp", "udp"], port: int = 0) -> str:
        return str(trace(network, Flow(source, ip_address(to), protocol, port)).outcome.kind)

    assert outcome("n", "2001:db8:1::7", "tcp", 80) == "reply"
    assert outcome("n", "2001:db8:1::7", "tcp", 23) == "silence"
    assert "source address failed policy" in str(trace(network, Flow("n", ip_address("2001:db8:2::2"), "udp", 7)).outcome)
    assert outcome("a", "2001:db8:2::2", "udp", 7) == "silence"
    assert outcome("n", "2001:db8:2::2", "icmp") == "reply"


def test_a_switch_filters_ipv6_and_lets_neighbours_be_found(tmp_path: Path) -> None:
    text = TOPOLOGY.replace('"2001:db8:1::/64"}', '"2001:db8:1::/64", policy: [{family: IPv6, action: drop}]}')
    state = compiled(tmp_path, text)
    switch = state["sw-left"]
    assert [switch.sysctl(f"net/bridge/bridge-nf-call-{name}") for name in ("iptables", "ip6tables")] == ["0", "1"]
    kinds = "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert"
    assert rules(state, "sw-left", "ip6") == [f"icmpv6 type {{ {kinds} }} accept", "drop"]


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ('"2001:db8:2::ffff"', '"2001:db8:3::ffff"', "is not on the segment 'right' (2001:db8:2::/64)", 9),
        ("{right: ", "{rigth: ", "did you mean 'right'?", 9),
        ("{right: ", "{far: ", "the segment 'far' has no IPv6 network", 9),
        ('"2001:db8:2::2"}', "192.0.2.130}", "the next hop 192.0.2.130 leads to no 2001:db8:9::/48", 10),
        ('"2001:db8:2::2"}', '"2001:db8:3::2"}', "is on no segment of 'r'", 10),
        ('cidr6: "2001:db8:2::/64"', 'cidr6: "2001:db8:1::/65"', "overlap", 4),
        ('cidr6: "2001:db8:2::/64"', 'cidr6: "2001:db8:2::/124"', "has no room for every host of 192.0.2.128/25", 4),
        ('cidr6: "2001:db8:2::/64"', 'cidr6: "2001:db8:2::7/64"', "did you mean '2001:db8:2::/64'?", 4),
        ('cidr6: "2001:db8:2::/64"', "cidr6: 192.0.2.0/24", "expected an IPv6 network", 4),
        ("pod_cidr: 10.1.0.0/16", 'pod_cidr: "2001:db8:7::/64"', "IPv6 has keys of its own", 15),
    ],
)
def test_mistakes_are_said_at_their_place(tmp_path: Path, old: str, new: str, message: str, line: int) -> None:
    assert old in TOPOLOGY
    with pytest.raises(InputErrors) as caught:
        compiled(tmp_path, TOPOLOGY.replace(old, new))
    said = [mistake for mistake in caught.value.errors if mistake.place is not None and mistake.place.line == line]
    assert any(message in str(mistake) for mistake in said), str(caught.value)
