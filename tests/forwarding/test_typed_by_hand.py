"""What somebody typed in a running lab, row by row: what the kernel does then, and the model, asked about what was read back.

The model says the same as the kernel, or that it does not know, and why; it never says something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from lab.api.inputs import open_state
from lab.explain.prediction import expected_result, flow_of
from lab.forwarding import Conversation, Flow, Network, trace
from lab.forwarding.sysctls import decisive_sysctls
from lab.kernel.netlink.found import IPV4_CONF, IPV6_CONF
from lab.kernel.readback import GENERAL_SYSCTLS
from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox
from lab.probe import PingRequest, Request, TcpRequest, UdpRequest
from lab.scenario.stage import RunningLab
from lab.state import Bridge, Link, OtherKind, Route, State, Veth, XfrmPolicy, complete
from tests.forwarding import six

B, B6, PROXIED = IPv4Address("192.0.2.130"), six.B, IPv6Address("2001:db8:1::77")
PING, PING6, LONG6 = PingRequest("a", B), PingRequest("a", B6), PingRequest("a", B6, 1400)
TCP, UDP, UDP6 = TcpRequest("a", B, 80), UdpRequest("a", B, 53), UdpRequest("a", B6, 7)


def four() -> State:
    """Host a, routers r1 and r2, host b."""
    return open_state("three-in-a-row")


@dataclass(frozen=True)
class Row:
    """What is typed in a network, what is sent, and what comes of it."""

    name: str
    typed: tuple[str, ...]
    request: Request
    result: str | None
    """What the kernel does; None where that takes its time."""
    says: str | None = None
    """Why the model does not know; None where it has to know."""
    build: Callable[[], State] = four


def lan() -> State:
    """Hosts a and b on a bridge."""
    hosts = [
        six.namespace(name, [Link("eth0", Veth("sw", f"p{name}"))], {"eth0": (address,)})
        for name, address in (("a", "192.0.2.2/24"), ("b", "192.0.2.130/24"))
    ]
    ports = [Link(f"p{name}", Veth(name, "eth0"), master="br0") for name in ("a", "b")]
    return complete(State({one.name: one for one in (*hosts, six.namespace("sw", [Link("br0", Bridge()), *ports], {}))}))


def tunnel(options: str) -> tuple[str, ...]:
    """A VXLAN device in each of two hosts, with some options in that of the first."""
    made = []
    for node, remote, address, more in (("a", "192.0.2.130", "10.9.0.1/24", f" {options}"), ("b", "192.0.2.2", "10.9.0.2/24", "")):
        made.append(f"{node} ip link add vx type vxlan id 7 dstport 4789 remote {remote} dev eth0{more}")
        made += [f"{node} ip addr add {address} dev vx", f"{node} ip link set vx up"]
    return tuple(made)


def six_row(name: str, typed: tuple[str, ...], request: Request, result: str, says: str | None = None) -> Row:
    return Row(name, typed, request, result, says, six.network)


def lost_carrier(node: str, to: str, version: str, value: int) -> tuple[str, ...]:
    """A better route by a device without carrier."""
    return (
        f"{node} ip link add x type veth peer y",
        f"{node} ip link set x up",
        f"{node} sysctl -qw net.{version}.conf.x.ignore_routes_with_linkdown={value}",
        f"{node} ip route add {to} dev x",
    )


PROXY = (
    "r ip -6 neigh add proxy 2001:db8:1::77 dev ra",
    "r ip -6 route add 2001:db8:1::77/128 via 2001:db8:2::2 dev rb",
    "b ip -6 addr add 2001:db8:1::77/128 dev lo",
    "r sysctl -qw net.ipv6.neigh.ra.proxy_delay=0",  # or the answer comes when nobody waits any more
)
SETTINGS = (
    Row("the default TTL of what answers", ("b sysctl -qw net.ipv4.ip_default_ttl=2",), PING, "silence"),
    Row("a default TTL that is just enough", ("b sysctl -qw net.ipv4.ip_default_ttl=3",), PING, "reply"),
    Row("the default TTL of a connection", ("a sysctl -qw net.ipv4.ip_default_ttl=2",), TCP, "unreachable"),
    Row("a route by a device without carrier", lost_carrier("r2", "192.0.2.130/32", "ipv4", 0), PING, "unreachable"),
    Row("the same, and such routes are ignored", lost_carrier("r2", "192.0.2.130/32", "ipv4", 1), PING, "reply"),
    six_row("a route of IPv6 by a device without carrier", lost_carrier("r", "2001:db8:2::2/128", "ipv6", 0), PING6, "unreachable"),
    six_row("the same of IPv6, and such routes are ignored", lost_carrier("r", "2001:db8:2::2/128", "ipv6", 1), PING6, "reply"),
    six_row("echo requests of IPv6 are ignored", ("b sysctl -qw net.ipv6.icmp.echo_ignore_all=1",), PING6, "silence"),
    six_row("the hop limit of a device", ("b sysctl -qw net.ipv6.conf.eth0.hop_limit=1",), PING6, "silence"),
    six_row("that of all devices counts for none", ("b sysctl -qw net.ipv6.conf.all.hop_limit=1",), PING6, "reply"),
    six_row("the longest packet of IPv6", ("r sysctl -qw net.ipv6.conf.rb.mtu=1300",), LONG6, "unreachable"),
    six_row("it does not count for shorter ones", ("r sysctl -qw net.ipv6.conf.rb.mtu=1300",), PING6, "reply"),
    six_row(
        "it is forgotten when the link gets an MTU",
        ("r sysctl -qw net.ipv6.conf.rb.mtu=1300", "r ip link set rb mtu 1490"),
        LONG6,
        "reply",
    ),
    six_row("neighbours are answered for", (*PROXY, "r sysctl -qw net.ipv6.conf.ra.proxy_ndp=1"), PingRequest("a", PROXIED), "reply"),
    six_row("the same is not switched on", PROXY, PingRequest("a", PROXIED), "unreachable"),
)
OWN_DEFAULT = "b sysctl -qw net.ipv4.ip_default_ttl=1"
HOP_LIMITS = (
    Row("the hop limit of the way back", ("b ip route replace default via 192.0.2.129 hoplimit 2",), PING, "silence"),
    Row("that of the way there, of a datagram", ("a ip route replace default via 192.0.2.1 hoplimit 2",), UDP, "unreachable"),
    Row("it does not count for what passes by", ("r1 ip route replace 192.0.2.128/26 via 192.0.2.66 hoplimit 1",), UDP, "reply"),
    Row("it goes before the default", (OWN_DEFAULT, "b ip route replace default via 192.0.2.129 hoplimit 9"), PING, "reply"),
    six_row("the same of IPv6", ("b ip -6 route replace default via 2001:db8:2::1 dev eth0 hoplimit 1",), PING6, "silence"),
    six_row("the same of a datagram", ("a ip -6 route replace default via 2001:db8:1::1 dev eth0 hoplimit 1",), UDP6, "unreachable"),
)

POLICY = "ip xfrm policy add src 192.0.2.{source} dst 192.0.2.{to} dir {direction} action {action}"


def policy(node: str, direction: str, action: str, *, source: str = "2/32", to: str = "130/32") -> tuple[str, ...]:
    return (f"{node} {POLICY.format(source=source, to=to, direction=direction, action=action)}",)


POLICIES = (
    Row("a policy blocks what is forwarded", policy("r1", "fwd", "block"), PING, "silence", "an XFRM policy (fwd, block)"),
    Row("a policy blocks what leaves", policy("r1", "out", "block"), PING, "silence", "an XFRM policy (out, block)"),
    Row("a policy blocks what arrives", policy("b", "in", "block"), UDP, "silence", "an XFRM policy (in, block)"),
    Row(
        "a policy blocks what comes back", policy("r2", "fwd", "block", source="130/32", to="2/32"), PING, "silence", "an XFRM policy (fwd"
    ),
    Row("a policy lets pass", policy("r1", "fwd", "allow"), PING, "reply", "an XFRM policy (fwd, allow)"),
    Row("a policy is for others", policy("r1", "fwd", "block", source="3/32"), PING, "reply"),
    Row("a policy is for another direction", policy("r1", "in", "block"), PING, "reply"),
)
TUNNELLED = PingRequest("a", IPv4Address("10.9.0.2"))
DEVICES = (
    Row("a port takes no broadcast", ("sw bridge link set dev pb bcast_flood off",), PING, "unreachable", "bcast_flood off", lan),
    Row("a locked port", ("sw bridge link set dev pa locked on",), PING, "unreachable", "locked", lan),
    Row("a bridge with a spanning tree", ("sw ip link set br0 type bridge stp_state 1",), PING, None, "stp_state", lan),
    Row("a bridge as it was", (), PING, "reply", None, lan),
    Row("a tunnel without options", tunnel(""), TUNNELLED, "reply", None, lan),
    Row("a tunnel that only sends notices", tunnel("l2miss l3miss"), TUNNELLED, "reply", None, lan),
    Row("a tunnel that answers for neighbours", tunnel("proxy"), TUNNELLED, "unreachable", "proxy", lan),
    Row("a tunnel with ports of its own", tunnel("srcport 5000 6000"), TUNNELLED, "reply", "srcport", lan),
    Row("a tunnel with a TOS", tunnel("tos 16"), TUNNELLED, "reply", "tos", lan),
)


def said(conversation: Conversation) -> str:
    """What the model expects, in the words of a probe's outcome."""
    result = expected_result(conversation)
    return f"unknown: {conversation.outcome.why}" if result is None else result


ROWS = (*SETTINGS, *HOP_LIMITS, *POLICIES, *DEVICES)


@pytest.mark.kernel
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_model_says_what_the_kernel_does(row: Row) -> None:
    """Each in a lab of its own, with which goes what was typed."""
    flow = flow_of(row.request)
    assert flow is not None

    def inside(sandbox: Sandbox, _: Report) -> tuple[str, str, str]:
        with RunningLab(sandbox) as lab:
            lab.reach(row.build())
            for line in row.typed:
                node, words = line.split(" ", 1)
                done = lab.sandbox.run(node, tuple(words.split()), seconds=20)
                if done.returncode:
                    return done.stderr, "", ""
            model = said(trace(Network(lab.refresh()), flow))
            (outcome,) = lab.probe([row.request])
            return "", model, outcome.result

    refused, model, result = run_in_sandbox(inside)
    if row in POLICIES and "not supported" in refused:
        pytest.skip("this kernel knows no XFRM policies")
    assert not refused
    assert row.result in (None, result)
    if row.says is None:
        assert model == result
    else:
        assert model.startswith("unknown: ")
        assert row.says in model


# -- the model alone -----------------------------------------------------------------------------------------------


def changed(state: State, name: str, **parts: object) -> State:
    return replace(state, namespaces={**state.namespaces, name: replace(state[name], **parts)})  # type: ignore[arg-type]


def answer(state: State, to: IPv4Address = B) -> str:
    return said(trace(Network(state), Flow("a", to)))


def test_what_meets_a_device_with_foreign_settings_is_unknown() -> None:
    state = lan()
    assert answer(state) == "reply"
    for name in ("br0", "pa", "pb"):
        links = tuple(replace(link, foreign=("colour",)) if link.name == name else link for link in state["sw"].links)
        found = answer(changed(state, "sw", links=links))
        assert found.startswith("unknown: ")
        assert found.endswith(f"colour of a device is not modelled: {name}")


def test_a_device_whose_master_is_no_bridge_is_not_taken_for_a_port() -> None:
    """As one of a VRF or a bond is."""
    state = four()
    links = tuple(replace(link, master="red") if link.name == "middle" else link for link in state["r1"].links)
    found = answer(changed(state, "r1", links=(*links, Link("red", OtherKind("vrf")))))
    assert found.startswith("unknown: ")
    assert "red (vrf) is not modelled" in found


def test_a_foreign_route_is_unknown_to_those_alone_whom_it_may_be_for() -> None:
    for to, expected in (("192.0.2.130/32", "unknown: unknown at r1: encap mpls of a route is not modelled"), ("192.0.2.131/32", "reply")):
        route = Route(ip_network(to), via=IPv4Address("192.0.2.66"), device="middle", foreign=("encap mpls",))
        state = four()
        assert answer(changed(state, "r1", routes=(*state["r1"].routes, route))) == expected


def test_policies_count_by_address_protocol_and_direction() -> None:
    everybody = ip_network("0.0.0.0/0")
    for policy, unknown in (
        (XfrmPolicy("fwd", everybody, everybody), True),
        (XfrmPolicy("out", everybody, everybody, 1), True),
        (XfrmPolicy("fwd", everybody, everybody, 17), False),
        (XfrmPolicy("in", everybody, everybody), False),
        (XfrmPolicy("fwd", everybody, ip_network("192.0.2.3/32")), False),
        (XfrmPolicy("fwd", ip_network("::/0"), ip_network("::/0")), False),
    ):
        assert answer(changed(four(), "r1", policies=(policy,))).startswith("unknown") is unknown, policy


# -- what is read back ---------------------------------------------------------------------------------------------


def test_every_setting_that_decides_is_read_back() -> None:
    """Those of a link come with its dump, the others one by one."""
    read = {*GENERAL_SYSCTLS, *(f"net/ipv4/conf/x/{key}" for key in IPV4_CONF), *(f"net/ipv6/conf/x/{key}" for key in IPV6_CONF)}
    assert decisive_sysctls("x") <= read


@pytest.mark.kernel
def test_settings_of_links_are_what_was_written() -> None:
    """Each is written to what it was not, one after the other, so that no place in the kernel's arrays can be mistaken."""

    def inside(sandbox: Sandbox, _: Report) -> list[str]:
        wrong = []
        with RunningLab(sandbox) as lab:
            lab.reach(six.network())
            for version, keys in (("ipv4", IPV4_CONF), ("ipv6", IPV6_CONF)):
                for key in keys:
                    path = f"net/{version}/conf/rb/{key}"
                    before = lab.refresh()["r"].sysctls.get(path)
                    if before is None and key == "force_forwarding":
                        continue  # Linux 6.17
                    value = "1298" if key == "mtu" else "1" if before == "0" else "0" if key != "hop_limit" else "9"
                    done = lab.sandbox.run("r", ("sysctl", "-qw", f"{path}={value}"), seconds=20)
                    read = lab.refresh()["r"].sysctls.get(path)
                    if done.returncode or read != value:
                        wrong.append(f"{path}: {read} is read, {value} was written over {before} {done.stderr}")
        return wrong

    found = run_in_sandbox(inside)
    assert not found, "\n".join(found)
