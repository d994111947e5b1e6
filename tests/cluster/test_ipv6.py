"""Dual stack: what a segment's IPv6 network gives everybody on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cluster import compile as compile_topology
from lab.errors import InputErrors
from lab.spec import open_topology
from lab.spec.events import History
from lab.state import State

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
