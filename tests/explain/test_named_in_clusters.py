"""Faults typed by hand into running clusters: tunnels, proxied gateways and masquerading stand between a packet and what killed it.

What is typed is named, with BPF and without, as root and as an ordinary user.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

import lab
from lab.probe import HttpRequest, PingRequest, Request, TcpRequest

pytestmark = pytest.mark.kernel

POD, WORKER_NET = IPv4Address("10.42.185.1"), "172.18.2.0/24"
PING = PingRequest("c1-w1-a", POD)

SOON = "for period in /proc/sys/net/ipv4/neigh/*/retrans_time_ms; do echo 40 > $period; done"
"""A neighbour counts as silent before a second has passed between two questions."""


def table(node: str, family: str, hook: str, rule: str) -> tuple[str, ...]:
    """A rule in a base chain of its own."""
    chain = f"{node} nft add chain {family} x {hook} {{ type filter hook {hook} priority 0 ; }}"
    return (f"{node} nft add table {family} x", chain, f"{node} nft add rule {family} x {hook} {rule}")


@dataclass(frozen=True)
class Row:
    """What is typed and what must be named, both with `{c1-w1:ADDRESS}` for the device that leads there from a node."""

    name: str
    typed: tuple[str, ...]
    named: str
    request: Request = PING
    says: str = ""


ROWS = (
    Row(
        "blackhole in a table of its own",
        ("c1-gw ip route add blackhole 10.42.185.1 table 100",),
        "route blackhole 10.42.185.1/32 table 100 in c1-gw",
    ),
    Row(
        "rule that sends pods nowhere",
        ("c1-w1 ip rule add prio 50 from 10.46.247.65 to 10.42.0.0/16 blackhole",),
        "rule 50: from 10.46.247.65/32 to 10.42.0.0/16 blackhole in c1-w1",
    ),
    Row(
        "rule against the outer packet",
        (f"edge-1 ip rule add prio 5 to {WORKER_NET} unreachable",),
        f"rule 5: from all to {WORKER_NET} unreachable in edge-1",
    ),
    Row(
        "strict check on a worker",
        ("c2-w1 sysctl -qw net/ipv4/conf/vxlan.calico/rp_filter=1",),
        "sysctl net/ipv4/conf/vxlan.calico/rp_filter = 1 in c2-w1",
    ),
    Row(
        "strict check on a gateway, of the answer",
        ("c2-gw sysctl -qw net.ipv4.conf.vx-submariner.rp_filter=1",),
        "sysctl net.ipv4.conf.vx-submariner.rp_filter = 1 in c2-gw",
    ),
    Row(
        "forwarding off behind the tunnel",
        ("c2-gw sysctl -qw net.ipv4.ip_forward=0",),
        "sysctl net.ipv4.conf.vxlan-tunnel.forwarding = 0 in c2-gw",
    ),
    Row(
        "forwarding off under the tunnel",
        ("edge-2 sysctl -qw net.ipv4.ip_forward=0",),
        "sysctl net.ipv4.conf.core.forwarding = 0 in edge-2",
    ),
    Row(
        "forwarding off at the pod's device",
        ("c1-w1 sysctl -qw net.ipv4.conf.{c1-w1:10.46.247.65}.forwarding=0",),
        "sysctl net.ipv4.conf.{c1-w1:10.46.247.65}.forwarding = 0 in c1-w1",
    ),
    Row(
        "nobody answers for the pods' gateway",
        ("c1-w1 sysctl -qw net.ipv4.conf.{c1-w1:10.46.247.65}.proxy_arp=0",),
        "sysctl net.ipv4.conf.{c1-w1:10.46.247.65}.proxy_arp = 0 in c1-w1",
    ),
    Row(
        "the tunnel is not let in",
        table("c1-gw", "ip", "input", "udp dport 4800 drop"),
        "nft rule ip x input: udp dport 4800 drop in c1-gw",
    ),
    Row(
        "the tunnel is not let out, nor the answer for the neighbour in it",
        table("c1-gw", "ip", "output", "udp dport 4800 drop"),
        "nft rule ip x output: udp dport 4800 drop in c1-gw",
    ),
    Row(
        "the outer packet is rejected",
        table("edge-1", "ip", "forward", "ip daddr 172.18.2.2 reject"),
        "nft rule ip x forward: ip daddr 172.18.2.2 reject with icmp type port-unreachable in edge-1",
    ),
    Row(
        "postrouting",
        table("c1-w1", "ip", "postrouting", "ip daddr 10.42.185.1 drop"),
        "nft rule ip x postrouting: ip daddr 10.42.185.1 drop in c1-w1",
    ),
    Row(
        "prerouting behind the tunnel",
        table("c2-w1", "inet", "prerouting", "icmp type echo-request drop"),
        "nft rule inet x prerouting: icmp type echo-request drop in c2-w1",
    ),
    Row(
        "what a pod sends",
        table("c1-w1-a", "ip", "output", "ip daddr 10.42.0.0/16 drop"),
        "nft rule ip x output: ip daddr 10.42.0.0/16 drop in c1-w1-a",
    ),
    Row(
        "frames that come in",
        (
            "c1-w1 nft add table netdev x",
            "c1-w1 nft add chain netdev x i { type filter hook ingress device eth0 priority 0 ; }",
            "c1-w1 nft add rule netdev x i drop",
        ),
        "nft rule netdev x i: drop in c1-w1",
    ),
    Row(
        "new connections",
        table("c2-gw", "ip", "forward", "ct state new drop"),
        "nft rule ip x forward: ct state new drop in c2-gw",
        TcpRequest("c1-w1-a", POD, 8080),
    ),
    Row(
        "answers of connections",
        table("c2-gw", "ip", "forward", "ct direction reply drop"),
        "nft rule ip x forward: ct direction reply drop in c2-gw",
        TcpRequest("c1-w1-a", POD, 8080),
        says="it is the reply that was lost",
    ),
    Row(
        "a TTL that a rule sets",
        table("c1-w1", "ip", "forward", "ip ttl set 1"),
        "nft rule ip x forward: ip ttl set 1 in c1-w1",
    ),
    Row(
        "MTU of the cable",
        ("c1-gw ip link set vxlan-tunnel mtu 900",),
        "link vxlan-tunnel mtu 900 in c1-gw",
        PingRequest("c1-w1-a", POD, size=1200, df=True),
    ),
    Row("tunnel device down at its start", ("c1-w1 ip link set vx-submariner down",), "link vx-submariner mtu 1450 down in c1-w1"),
    Row("tunnel device down at its end", ("c2-gw ip link set vxlan-tunnel down",), "link vxlan-tunnel mtu 1450 down in c2-gw"),
    Row("router's device down", ("edge-2 ip link set site-2 down",), "link site-2 mtu 1500 down in edge-2"),
    Row("node's device down", ("c2-w1 ip link set eth0 down",), "link eth0 mtu 1500 down in c2-w1"),
    Row("pod's device down", ("c2-w1-a ip link set eth0 down",), "link eth0 mtu 1450 down in c2-w1-a"),
    Row("pod's device without ARP", ("c2-w1-a ip link set eth0 arp off",), "link eth0 mtu 1450 arp off in c2-w1-a"),
    Row(
        "pod that keeps silent",
        ("c2-w1-a sysctl -qw net.ipv4.conf.eth0.arp_ignore=8",),
        "sysctl net.ipv4.conf.eth0.arp_ignore = 8 in c2-w1-a",
    ),
    Row("pod without a way back", ("c2-w1-a ip route del default",), "no route to 172.18.2.3 in c2-w1-a"),
    Row("block route deleted", ("c2-gw ip route del 10.42.185.0/26",), "no route to 10.42.185.1 in c2-gw"),
    Row(
        "block route back into the tunnel",
        ("c2-gw ip route replace 10.42.185.0/26 via 241.18.1.2 dev vxlan-tunnel onlink",),
        "route 10.42.185.0/26 via 241.18.1.2 dev vxlan-tunnel in c2-gw",
        says="it went round between",
    ),
    Row(
        "nobody masquerades",
        ("c1-w1 nft flush chain ip nat cali-nat-outgoing",),
        "no nft rule that masquerades 10.46.247.65 in c1-w1",
        PingRequest("c1-w1-a", IPv4Address("10.128.11.80")),
    ),
)


@pytest.fixture(scope="module", params=[pytest.param(None, id="as it is"), pytest.param(False, id="without BPF", marks=pytest.mark.root)])
def net(request: pytest.FixtureRequest) -> Iterator[lab.Session]:
    with lab.open("calico-24-mismatch", "healthy", bpf=request.param) as session:
        for node in ("c1-w1-a", "c1-w1", "c1-gw", "c2-gw", "c2-w1"):
            done = session.run(node, f"sh -ec '{SOON}'")
            assert done.returncode == 0, done.stderr
        yield session


def filled(net: lab.Session, text: str) -> str:
    """Put the pod's device in its place."""
    place = "{c1-w1:10.46.247.65}"
    return text.replace(place, net.run("c1-w1", "ip route get 10.46.247.65").stdout.split()[2]) if place in text else text


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_was_typed_is_named(row: Row, net: lab.Session) -> None:
    net.apply(net.wanted)
    for line in row.typed:
        node, _, words = filled(net, line).partition(" ")
        done = net.run(node, words)
        assert done.returncode == 0, done.stderr
    found = net.explain(row.request)
    assert found.explanation is not None
    text = "\n".join(found.explanation.lines())
    assert found.explanation.cause is not None, text
    assert str(found.explanation.cause.responsible) == filled(net, row.named), text
    assert row.says in text
    assert not found.explanation.doubts, text


def test_a_cluster_in_health_names_no_cause(net: lab.Session) -> None:
    net.apply(net.wanted)
    for request in (PING, TcpRequest("c1-w1-a", POD, 8080), PingRequest("c1-w1-a", IPv4Address("10.128.11.80"))):
        found = net.explain(request)
        assert (found.outcome.result, found.explanation) == ("reply", None)


def test_a_variable_that_is_missing_leads_to_the_line_of_its_node() -> None:
    with lab.open("subm-3007", "no-variables") as session:
        found = session.explain(HttpRequest("gateway", "http://broker.example.com:6443/"))
    assert found.explanation is not None
    assert found.explanation.cause is not None
    thing = found.explanation.cause.responsible
    assert str(thing) == "no variable http_proxy in gateway"
    assert [link.place.file.rpartition("/")[2] for link in found.explanation.cause.chain if link.place] == ["cluster-behind-proxy.yaml"]
