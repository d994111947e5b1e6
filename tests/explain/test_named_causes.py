"""Every way to die, typed by hand into a running lab: the explanation names what was typed, with BPF and without, as root and rootless.

As root the kernel reports the drops (where it can), as an ordinary user all is concluded from counters, traces, lookups and captures; the
cause must be the same. The rows are those of the measured table of drop causes, and the kinds of faults a lab can inject.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

import lab
from lab.forwarding import Reason
from lab.probe import Grade, PingRequest, Request, TcpRequest, UdpRequest
from lab.scenario.inquiry import Inquiry

pytestmark = pytest.mark.kernel

A, B, NOBODY = IPv4Address("192.0.2.2"), IPv4Address("192.0.2.130"), IPv4Address("192.0.2.140")
PING, LONG = PingRequest("a", B), PingRequest("a", B, size=1000, df=True)
FORWARD = ("r2 nft add table ip t", "r2 nft add chain ip t f { type filter hook forward priority 0 ; }")
EARLY = ("r2 nft add table ip t", "r2 nft add chain ip t p { type filter hook prerouting priority -300 ; }")
ODD_WAY_BACK = "route replace 192.0.2.2/32 via 192.0.2.130 dev right"
OWN_SOURCE = (
    "a ip addr add 198.51.100.1/32 dev lo",
    "a ip route replace default via 192.0.2.1 src 198.51.100.1",
    "r1 ip route add 198.51.100.1/32 via 192.0.2.66",
)
"""The sender speaks by an address of no link, and the router at its side takes that to live on the other."""
UNCHECKED = "r2 sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.middle.rp_filter=0"
FOREIGN = (
    "r2 ip addr add 203.0.113.9/32 dev lo",
    "r2 ip route replace 192.0.2.0/26 via 192.0.2.65 src 203.0.113.9",
    "r2 ip link set right mtu 900",
    "r1 ip route add 203.0.113.9/32 dev left",
)
"""A hop with a small MTU, whose errors bear an address that the router before it routes elsewhere."""
ALWAYS = tuple(
    f"{node} sysctl -qw net.ipv4.neigh.{device}.retrans_time_ms=40" for node, device in (("a", "eth0"), ("r1", "middle"), ("r2", "right"))
)
"""How soon a neighbour counts as silent: what is tested is that, not the second between two questions."""


@dataclass(frozen=True)
class Row:
    """What is typed, what is sent, and what must be named."""

    name: str
    typed: tuple[str, ...]
    reason: Reason
    place: str
    named: str
    """The responsible object."""
    result: str
    request: Request = PING
    says: str = ""
    """Something else that the explanation says."""


ROWS = (
    Row(
        "blackhole route",
        ("r1 ip route add blackhole 192.0.2.130/32",),
        Reason.BLACKHOLE,
        "r1:left",
        "route blackhole 192.0.2.130/32 in r1",
        "silence",
    ),
    Row(
        "unreachable route",
        ("r1 ip route add unreachable 192.0.2.130/32",),
        Reason.UNREACHABLE,
        "r1:left",
        "route unreachable 192.0.2.130/32 in r1",
        "unreachable",
    ),
    Row(
        "prohibit route",
        ("r1 ip route add prohibit 192.0.2.130/32",),
        Reason.PROHIBIT,
        "r1:left",
        "route prohibit 192.0.2.130/32 in r1",
        "unreachable",
    ),
    Row("deleted route", ("r1 ip route del 192.0.2.128/26",), Reason.NO_ROUTE, "r1:left", "no route to 192.0.2.130 in r1", "unreachable"),
    Row(
        "deleted default route of the sender",
        ("a ip route del default",),
        Reason.NO_ROUTE,
        "a",
        "no route to 192.0.2.130 in a",
        "unreachable",
    ),
    Row(
        "blackhole rule",
        ("r1 ip rule add prio 100 to 192.0.2.130 blackhole",),
        Reason.RULE_BLACKHOLE,
        "r1:left",
        "rule 100: from all to 192.0.2.130/32 blackhole in r1",
        "silence",
    ),
    Row(
        "prohibit rule",
        ("r1 ip rule add prio 100 to 192.0.2.130 prohibit",),
        Reason.RULE_PROHIBIT,
        "r1:left",
        "rule 100: from all to 192.0.2.130/32 prohibit in r1",
        "unreachable",
    ),
    Row(
        "strict check, another way back",
        (f"r2 ip {ODD_WAY_BACK}",),
        Reason.RP_FILTER,
        "r2:middle",
        "route 192.0.2.2/32 via 192.0.2.130 dev right in r2",
        "silence",
        says="sysctl net.ipv4.conf.middle.rp_filter = 1 in r2",
    ),
    Row(
        "strict check, no way back",
        ("r2 ip route del 192.0.2.0/26",),
        Reason.RP_FILTER,
        "r2:middle",
        "no route to 192.0.2.2 in r2",
        "silence",
    ),
    Row(
        "strict check, neighbour unknown",
        ("r1 ip route replace 192.0.2.2/32 via 192.0.2.66 dev middle",),
        Reason.NEIGHBOUR,
        "a:eth0",
        "route 192.0.2.2/32 via 192.0.2.66 dev middle in r1",
        "unreachable",
        says="refused: rp_filter strict",
    ),
    Row(
        "strict check, neighbour unknown, the sender asks by the source of its packet",
        OWN_SOURCE,
        Reason.NEIGHBOUR,
        "a:eth0",
        "route 198.51.100.1/32 via 192.0.2.66 dev middle in r1",
        "unreachable",
        says="refused: rp_filter strict",
    ),
    Row(
        "the same, and the sender asks by an address of the link",
        (*OWN_SOURCE, "a sysctl -qw net.ipv4.conf.eth0.arp_announce=2"),
        Reason.RP_FILTER,
        "r1:left",
        "route 198.51.100.1/32 via 192.0.2.66 dev middle in r1",
        "silence",
        says="sysctl net.ipv4.conf.left.rp_filter = 1 in r1",
    ),
    Row(
        "loose check, no way back",
        ("r2 ip route del 192.0.2.0/26", "r2 sysctl -qw net.ipv4.conf.middle.rp_filter=2"),
        Reason.RP_FILTER,
        "r2:middle",
        "no route to 192.0.2.2 in r2",
        "silence",
        says="sysctl net.ipv4.conf.middle.rp_filter = 2 in r2",
    ),
    Row(
        "no check, no way back",
        ("r2 ip route del 192.0.2.0/26", UNCHECKED),
        Reason.NO_ROUTE,
        "r2:right",
        "no route to 192.0.2.2 in r2",
        "silence",
        says="the request arrived at b and was answered; it is the reply that was lost",
    ),
    Row(
        "an error from an address that is refused",
        FOREIGN,
        Reason.TOO_BIG,
        "r2:right",
        "route 203.0.113.9/32 dev left in r1",
        "silence",
        LONG,
        says="the error that would have told 192.0.2.2 ends at r1:middle",
    ),
    Row(
        "the same, of a TTL that ran out",
        FOREIGN,
        Reason.TTL,
        "r2:middle",
        "",
        "silence",
        PingRequest("a", B, ttl=2),
        says="silence: r2 sent an error to 192.0.2.2, which ended at r1:middle",
    ),
    *(
        Row(
            f"the same with {name}, where the error arrives",
            (*FOREIGN, cured),
            Reason.TOO_BIG,
            "r2:right",
            "link right mtu 900 in r2",
            "unreachable",
            LONG,
            says=f"fragmentation-needed from {source}",
        )
        for name, cured, source in (
            ("a loose check", "r1 sysctl -qw net.ipv4.conf.middle.rp_filter=2", "203.0.113.9"),
            ("a route for that address", "r1 ip route replace 203.0.113.9/32 via 192.0.2.66", "203.0.113.9"),
            ("errors from the link's address", "r2 sysctl -qw net.ipv4.icmp_errors_use_inbound_ifaddr=1", "192.0.2.66"),
        )
    ),
    Row(
        "forwarding off",
        ("r1 sysctl -qw net.ipv4.conf.left.forwarding=0",),
        Reason.NOT_FORWARDING,
        "r1:left",
        "sysctl net.ipv4.conf.left.forwarding = 0 in r1",
        "silence",
    ),
    Row(
        "route that sends it back",
        ("r2 ip route replace 192.0.2.130/32 via 192.0.2.65",),
        Reason.RP_FILTER,
        "r1:middle",
        "route 192.0.2.130/32 via 192.0.2.65 dev middle in r2",
        "silence",
    ),
    Row(
        "the same, sources unchecked",
        (
            "r2 ip route replace 192.0.2.130/32 via 192.0.2.65",
            "r1 sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.middle.rp_filter=0",
            UNCHECKED,
        ),
        Reason.TTL,
        "r2:middle",
        "route 192.0.2.128/26 via 192.0.2.66 dev middle in r1",
        "unreachable",
        says="it went round between r1, r2",
    ),
    Row("TTL of 1", (), Reason.TTL, "r1:left", "", "unreachable", PingRequest("a", B, ttl=1), says="the TTL of 1 it was sent with ran out"),
    Row(
        "small MTU",
        ("r2 ip link set right mtu 900",),
        Reason.TOO_BIG,
        "r2:right",
        "link right mtu 900 in r2",
        "unreachable",
        LONG,
        says="changed since it was made: mtu 900, not 1500",
    ),
    Row(
        "MTU of a route",
        ("r2 ip route replace 192.0.2.130/32 dev right mtu 900",),
        Reason.TOO_BIG,
        "r2:right",
        "route 192.0.2.130/32 dev right in r2",
        "unreachable",
        LONG,
    ),
    Row(
        "nft drop without a counter",
        (*FORWARD, "r2 nft add rule ip t f ip daddr 192.0.2.130 drop"),
        Reason.NETFILTER,
        "r2:middle",
        "nft rule ip t f: ip daddr 192.0.2.130 drop in r2",
        "silence",
    ),
    Row(
        "nft reject",
        (*FORWARD, "r2 nft add rule ip t f ip daddr 192.0.2.130 counter reject"),
        Reason.REJECTED,
        "r2:middle",
        "nft rule ip t f: ip daddr 192.0.2.130 counter reject with icmp type port-unreachable in r2",
        "refused",
    ),
    Row(
        "nft policy",
        (FORWARD[0], "r2 nft add chain ip t f { type filter hook forward priority 0 ; policy drop ; }"),
        Reason.NETFILTER,
        "r2:middle",
        "nft chain ip t f: policy drop in r2",
        "silence",
    ),
    Row(
        "nft fib rule",
        (
            *EARLY,
            "r2 nft add rule ip t p fib saddr . iif oif missing drop",
            f"r2 ip {ODD_WAY_BACK}",
            "r2 sysctl -qw net.ipv4.conf.middle.rp_filter=0 net.ipv4.conf.all.rp_filter=0",
        ),
        Reason.NETFILTER,
        "r2:middle",
        "nft rule ip t p: fib saddr . iif oif missing drop in r2",
        "silence",
    ),
    Row(
        "nobody has the address",
        (),
        Reason.NEIGHBOUR,
        "r2:right",
        "no neighbour 192.0.2.140 on right in r2",
        "unreachable",
        PingRequest("a", NOBODY),
        says="no namespace has that address",
    ),
    Row(
        "deleted address",
        ("b ip addr del 192.0.2.130/26 dev eth0",),
        Reason.NEIGHBOUR,
        "r2:right",
        "no neighbour 192.0.2.130 on right in r2",
        "unreachable",
        says="no namespace has that address",
    ),
    Row(
        "next hop that nobody is",
        ("r1 ip route replace 192.0.2.128/26 via 192.0.2.77",),
        Reason.NEIGHBOUR,
        "r1:middle",
        "route 192.0.2.128/26 via 192.0.2.77 dev middle in r1",
        "unreachable",
    ),
    Row(
        "neighbour that keeps silent",
        ("b sysctl -qw net.ipv4.conf.eth0.arp_ignore=8",),
        Reason.NEIGHBOUR,
        "r2:right",
        "sysctl net.ipv4.conf.eth0.arp_ignore = 8 in b",
        "unreachable",
    ),
    Row(
        "neighbour entry with another MAC",
        ("r2 ip neigh replace 192.0.2.130 lladdr 02:00:00:00:00:99 dev right nud permanent",),
        Reason.OTHER_HOST,
        "b:eth0",
        "neighbour 192.0.2.130 dev right lladdr 02:00:00:00:00:99 in r2",
        "silence",
    ),
    Row("link down", ("r2 ip link set right down",), Reason.NO_ROUTE, "r2:middle", "link right mtu 1500 down in r2", "unreachable"),
    Row(
        "a rule before a link that is down",
        (*EARLY, "r2 nft add rule ip t p icmp type echo-request drop", "r2 ip link set right down"),
        Reason.NETFILTER,
        "r2:middle",
        "nft rule ip t p: icmp type echo-request drop in r2",
        "silence",
        says="next: without that, the request ends at r2:middle: no route covers 192.0.2.130: right, on whose subnet it is, is down",
    ),
    Row(
        "two links down",
        ("r2 ip link set right down", "b ip link set eth0 down"),
        Reason.NO_ROUTE,
        "r2:middle",
        "link right mtu 1500 down in r2",
        "unreachable",
        says="next: with right up, the request ends at r2:right: nobody answers for 192.0.2.130",
    ),
    Row(
        "other end of the link down",
        ("b ip link set eth0 down",),
        Reason.NEIGHBOUR,
        "r2:right",
        "link eth0 mtu 1500 down in b",
        "unreachable",
    ),
    Row(
        "echo requests ignored",
        ("b sysctl -qw net.ipv4.icmp_echo_ignore_all=1",),
        Reason.IGNORED_ECHO,
        "b:eth0",
        "sysctl net.ipv4.icmp_echo_ignore_all = 1 in b",
        "silence",
    ),
    Row("closed TCP port", (), Reason.CLOSED_PORT, "b:eth0", "no listener on tcp/81 in b", "refused", TcpRequest("a", B, 81)),
    Row("closed UDP port", (), Reason.CLOSED_PORT, "b:eth0", "no listener on udp/81 in b", "refused", UdpRequest("a", B, 81)),
)


@pytest.fixture(scope="module", params=[pytest.param(None, id="as it is"), pytest.param(False, id="without BPF", marks=pytest.mark.root)])
def net(request: pytest.FixtureRequest) -> Iterator[lab.Session]:
    with lab.open("three-in-a-row", bpf=request.param) as session:
        yield session


def typed(net: lab.Session, *commands: str) -> None:
    net.apply(net.wanted)
    for command in (*ALWAYS, *commands):
        node, _, words = command.partition(" ")
        done = net.run(node, words)
        assert done.returncode == 0, done.stderr


def asked(net: lab.Session, row: Row) -> Inquiry:
    typed(net, *row.typed)
    return net.explain(row.request)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_was_typed_is_named(row: Row, net: lab.Session) -> None:
    found = asked(net, row)
    assert found.explanation is not None
    text = "\n".join(found.explanation.lines())
    cause = found.explanation.cause
    assert cause is not None, text
    assert (found.outcome.result, cause.reason, cause.place) == (row.result, row.reason, row.place), text
    assert str(cause.responsible or "") == row.named, text
    assert row.says in text
    assert not found.explanation.doubts, text
    assert found.explanation.sender, text
    assert {piece.grade for piece in cause.evidence} - {Grade.PREDICTED, Grade.HELD}, text


def test_an_answered_probe_names_no_cause(net: lab.Session) -> None:
    typed(net)
    for request in (PING, LONG, TcpRequest("a", B, 80), UdpRequest("a", B, 53)):
        found = net.explain(request)
        assert (found.outcome.result, found.explanation) == ("reply", None)


def test_of_two_source_checks_the_larger_number_counts(net: lab.Session) -> None:
    """A packet whose way back leads out elsewhere passes a device that is strict where all are loose."""
    elsewhere = (
        "r1 ip route add 192.0.2.2/32 via 192.0.2.66",
        "r1 ip rule add prio 100 iif middle lookup 100",
        "r1 ip route add 192.0.2.0/26 dev left table 100",
    )
    typed(net, *elsewhere)
    assert net.explain(PING).outcome.result != "reply", "the control: strict"
    typed(net, *elsewhere, "r1 sysctl -qw net.ipv4.conf.all.rp_filter=2")
    assert net.run("r1", "cat /proc/sys/net/ipv4/conf/left/rp_filter").stdout == "1\n"
    found = net.explain(PING)
    assert (found.outcome.result, found.explanation) == ("reply", None)


@pytest.mark.parametrize("name", ["nft drop without a counter", "nft policy"])
def test_a_silent_rule_is_found_by_the_kernels_report_or_by_the_rule_sets_trace(name: str, net: lab.Session) -> None:
    (row,) = (row for row in ROWS if row.name == name)
    found = asked(net, row)
    assert found.explanation is not None
    assert found.explanation.cause is not None
    assert found.explanation.cause.grade in (Grade.DROP, Grade.TRACED)
    assert "lab_trace" not in net.run("r2", "nft list ruleset").stdout, "the trace leaves no table behind"
