"""VXLAN over IPv6, row by row: what becomes of a packet in the model, and on this kernel, which has to say the same.

pa ── n1 fd00:18:1::1 ── u ── fd00:18:2::2 n2 ── pb: two nodes with a pod each and a tunnel between them, and a router that knows of the
nodes only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Any

import pytest

from lab.explain.agreement.witnesses import hear_witnesses
from lab.explain.faults import death_of
from lab.explain.prediction import expected_result, flow_of
from lab.forwarding import Conversation, Dropped, Flow, Memory, Network, Reason, trace
from lab.probe import PingRequest, Request, TcpRequest
from lab.state import AddressEntry, FdbEntry, Link, Listener, Loopback, Namespace, Neighbour, Route, Rule, State, Veth, Vxlan, complete
from lab.state.nft import Chain, Match, NftRule, NftTable, Payload, Verdict

ZERO = "00:00:00:00:00:00"
ON = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv4/icmp_ratelimit": "0", "net/ipv6/icmp/ratelimit": "0"}
POD, POD6, NODE = IPv4Address("10.46.2.2"), IPv6Address("fd46:2::2"), IPv4Address("10.46.2.1")
TOO_LONG = 1431 - 28
"""Payload of a ping that is a byte longer than what a tunnel over IPv6 has room for on a link of 1500 bytes."""


def patience(*devices: str) -> dict[str, str]:
    """Whoever does not answer is given up soon."""
    keys = {"retrans_time_ms": "20", "mcast_solicit": "2"}
    return {f"net/{family}/neigh/{d}/{key}": value for d in devices for family in ("ipv4", "ipv6") for key, value in keys.items()}


def space(name: str, links: Sequence[Link], addresses: Mapping[str, Sequence[str]], routes: Sequence[str], **more: Any) -> Namespace:
    """A namespace; a route is written ``PREFIX GATEWAY DEVICE``, with a dash for no gateway."""
    entries = tuple(AddressEntry(device, ip_interface(text)) for device, texts in addresses.items() for text in texts)
    read = []
    for prefix, via, device in map(str.split, routes):
        destination, direct = ip_network(prefix), via == "-"
        scope = "link" if direct and destination.version == 4 else "global"
        read.append(Route(destination, via=None if direct else ip_address(via), device=device, scope=scope))  # type: ignore[arg-type]
    sysctls = {**ON, **patience(*(link.name for link in links)), **more.pop("sysctls", {})}
    return Namespace(name, links=(Link("lo", Loopback()), *links), addresses=entries, routes=tuple(read), sysctls=sysctls, **more)


def node(me: int, other: int, mtu: int, **tunnel: Any) -> Namespace:
    kind = Vxlan(**{"vni": 4096, "port": 4789, "local": IPv6Address(f"fd00:18:{me}::{me}"), "learning": False, **tunnel})
    far = f"66:00:00:00:00:0{other}"
    return space(
        f"n{me}",
        [
            Link("eth0", Veth("u", f"u{me}"), mac=f"02:00:00:00:01:0{me}"),
            Link("pod", Veth(f"p{'ab'[me - 1]}", "eth0"), mac=f"02:00:00:00:02:0{me}"),
            Link("vx", kind, mtu, f"66:00:00:00:00:0{me}"),
        ],
        {
            "eth0": (f"fd00:18:{me}::{me}/64", f"fe80::{me}/64"),
            "pod": (f"10.46.{me}.1/24", f"fd46:{me}::1/64", f"fe80::{me}/64"),
            "vx": (f"10.46.0.{me}/24", f"fd46::{me}/64", f"fe80::{me}/64"),
        },
        [f"::/0 fd00:18:{me}::ff eth0", f"10.46.{other}.0/24 10.46.0.{other} vx", f"fd46:{other}::/64 fd46::{other} vx"],
        neighbours=tuple(Neighbour("vx", ip_address(f"{net}{other}"), far) for net in ("10.46.0.", "fd46::")),
        fdb=(FdbEntry("vx", far, IPv6Address(f"fd00:18:{other}::{other}")),),
    )


def pod(me: int) -> Namespace:
    name, links = "ab"[me - 1], [Link("eth0", Veth(f"n{me}", "pod"), mac=f"02:00:00:00:03:0{me}")]
    addresses = {"eth0": (f"10.46.{me}.2/24", f"fd46:{me}::2/64", f"fe80::9{me}/64")}
    routes = [f"0.0.0.0/0 10.46.{me}.1 eth0", f"::/0 fd46:{me}::1 eth0"]
    return space(f"p{name}", links, addresses, routes, listeners=(Listener("web", "tcp", 80, behaviour="http"),))


def network(*, mtu: int = 1430, far_mtu: int = 1500, change: Callable[[State], State] = lambda state: state, **tunnel: Any) -> State:
    router = space(
        "u",
        [Link(f"u{me}", Veth(f"n{me}", "eth0"), far_mtu if me == 2 else 1500, f"02:00:00:00:04:0{me}") for me in (1, 2)],
        {f"u{me}": (f"fd00:18:{me}::ff/64", f"fe80::f{me}/64") for me in (1, 2)},
        (),
    )
    made = [pod(1), node(1, 2, mtu, **tunnel), router, node(2, 1, mtu, **tunnel), pod(2)]
    return complete(change(State({one.name: one for one in made})))


def having(state: State, name: str, **parts: Any) -> State:
    return replace(state, namespaces={**state.namespaces, name: replace(state[name], **parts)})


def retunnelled(state: State, name: str, **parts: Any) -> State:
    """The same with a tunnel's device set differently at one end."""
    links = (replace(link, kind=replace(link.kind, **parts)) if isinstance(link.kind, Vxlan) else link for link in state[name].links)
    return having(state, name, links=tuple(links))


def elsewhere(state: State) -> State:
    """The tunnel of n2 is one over IPv4."""
    without = having(state, "n2", fdb=())
    return retunnelled(without, "n2", local=IPv4Address("10.46.2.1"))


def second(state: State) -> State:
    """Both nodes have one over IPv4 as well, of the same VNI and port, which nothing leads into."""
    for name in ("n1", "n2"):
        mac = f"66:00:00:00:01:0{name[1]}"
        state = having(state, name, links=(*state[name].links, Link("v4", Vxlan(4096, 4789, IPv4Address(f"10.46.{name[1]}.1")), mac=mac)))
    return state


def filtered(state: State) -> State:
    """n1 sends no datagram of IPv6 to the tunnel's port."""
    drop = NftRule((Match(Payload("udp", "dport"), 4789), Verdict("drop")))
    return having(state, "n1", tables=(NftTable("ip6", "t", (Chain("out", (drop,), "filter", "output", 0),)),))


def marked(state: State) -> State:
    """Outer packets that bear the mark of the inner one have nowhere to go."""
    nowhere = Route(ip_network("::/0"), "unreachable", table=7)
    return having(state, "n1", rules=(Rule(100, table=7, mark=5, family=6),), routes=(*state["n1"].routes, nowhere))


def flooding(state: State) -> State:
    """Nothing is stated: frames go to the default destination, and both ends learn."""
    for name, far in (("n1", "fd00:18:2::2"), ("n2", "fd00:18:1::1")):
        state = retunnelled(having(state, name, fdb=(), neighbours=()), name, remote=IPv6Address(far), learning=True)
    return state


def bound(local: bool) -> Callable[[State], State]:
    """The tunnel of n1 has a lower device that leads nowhere, and perhaps no address of its own."""

    def change(state: State) -> State:
        links = (*state["n1"].links, Link("idle", Veth("u", "idle"), mac="02:00:00:00:05:01"))
        order = (*links[:3], links[4], links[3])
        state = having(having(state, "n1", links=order), "u", links=(*state["u"].links, Link("idle", Veth("n1", "idle"))))
        entry = FdbEntry("vx", "66:00:00:00:00:02", IPv6Address("fd00:18:2::2"), via="idle")
        state = having(state, "n1", fdb=(entry,))
        return state if local else retunnelled(state, "n1", local=None, remote=IPv6Address("fd00:18:2::2"))

    return change


def own_end(state: State) -> State:
    """n1 believes that n2's end of the tunnel is itself."""
    return having(state, "n1", fdb=(FdbEntry("vx", "66:00:00:00:00:02", IPv6Address("fd00:18:1::1")),))


def ping(target: IPv4Address | IPv6Address = POD, source: str = "pa", **more: Any) -> PingRequest:
    return PingRequest(source, target, **more)


ROWS: dict[str, tuple[Callable[[], State], Request, str]] = {
    "IPv4 in IPv6": (network, ping(), "reply"),
    "IPv6 in IPv6": (network, ping(POD6), "reply"),
    "a connection": (network, TcpRequest("pa", POD, 80), "reply"),
    "a connection over IPv6": (network, TcpRequest("pa", POD6, 80), "reply"),
    "a long answer, in segments that travel as one": (network, TcpRequest("pa", POD, 80, answer=9000), "reply"),
    "it learns who is behind which end": (lambda: network(change=flooding), ping(), "reply"),
    "it learns so with IPv6 inside": (lambda: network(change=flooding), ping(POD6), "reply"),
    "just short enough": (lambda: network(mtu=1500), ping(size=TOO_LONG - 1), "reply"),
    "a byte too long for the underlay, which nobody cuts": (lambda: network(mtu=1500), ping(size=TOO_LONG), "silence"),
    "too long for the tunnel's own MTU, so it is cut before": (network, ping(size=TOO_LONG), "reply"),
    "too long on the way": (lambda: network(far_mtu=1400), ping(size=TOO_LONG - 1), "silence"),
    "short enough on the way": (lambda: network(far_mtu=1400), ping(size=1300 - 28), "reply"),
    "the far end is one over IPv4": (lambda: network(change=elsewhere), ping(), "silence"),
    "one over IPv4 has the same VNI and port": (lambda: network(change=second), ping(), "reply"),
    "no check sums at either end": (lambda: network(udp_checksum=False), ping(), "reply"),
    "no check sum where one is demanded": (
        lambda: network(change=lambda state: retunnelled(state, "n1", udp_checksum=False)),
        ping(),
        "silence",
    ),
    "a check sum where none is demanded": (
        lambda: network(change=lambda state: retunnelled(state, "n2", udp_checksum=False)),
        ping(source="n1", target=NODE),
        "silence",
    ),
    "a filter of IPv6 sees the outer packet": (lambda: network(change=filtered), ping(), "silence"),
    "the outer packet bears the mark of the inner one": (lambda: network(change=marked), ping(source="n1", target=NODE, mark=5), "silence"),
    "and without the mark it goes": (lambda: network(change=marked), ping(source="n1", target=NODE), "reply"),
    "it sends from an address that nobody has": (
        lambda: network(change=lambda state: retunnelled(state, "n1", local=IPv6Address("fd00:18:1::77"))),
        ping(),
        "reply",
    ),
    "with an address of its own it only prefers a device": (lambda: network(change=bound(local=True)), ping(), "reply"),
    "without one it insists on it": (lambda: network(change=bound(local=False)), ping(), "silence"),
    "the other end is itself, round and round": (lambda: network(change=own_end), ping(), "unreachable"),
    "few hops": (lambda: network(ttl=1), ping(), "silence"),
}


def predicted(state: State | Network, request: Request) -> str:
    flow = flow_of(request)
    assert flow is not None
    return expected_result(trace(state, flow)) or "unknown"


@pytest.mark.parametrize("row", ROWS)
def test_the_model_predicts(row: str) -> None:
    build, request, expected = ROWS[row]
    assert predicted(build(), request) == expected


@pytest.mark.kernel
def test_the_kernel_does() -> None:
    """All rows in one lab, one after the other; the model is asked about what the kernel holds then."""
    from lab.kernel.sandbox import Report, Sandbox, run_in_sandbox
    from lab.scenario.stage import RunningLab

    def inside(sandbox: Sandbox, _: Report) -> list[str]:
        differences: list[str] = []
        with RunningLab(sandbox) as lab:
            for row, (build, request, expected) in ROWS.items():
                lab.reach(build())
                (outcome,) = lab.probe([request])
                network, flow = Network(lab.read_back()), flow_of(request)
                assert flow is not None
                model = predicted(network, request)
                if not outcome.result == model == expected:
                    differences.append(f"{row}: the kernel {outcome.result}, the model {model}, expected {expected}")
                heard = hear_witnesses(network, trace(network, flow), outcome, lab.engine.route_get)
                differences += (f"{row}: {text}" for text in heard.disagreements)
        return differences

    assert run_in_sandbox(inside) == []


# -- what a trace tells, and what is remembered --------------------------------------------------------------------


def sentences(conversation: Conversation, name: str) -> list[str]:
    return [step.sentence for hop in conversation.request.hops if hop.namespace == name for step in hop.steps]


def test_a_packet_is_wrapped_and_unwrapped_on_the_way() -> None:
    found = trace(network(), Flow("pa", POD))
    assert found.request.path == ("pa", "n1", "u", "n2", "pb")
    outer = next(step.after for _, step in found.request.steps if step.stage == "encapsulation")
    assert (str(outer.source), str(outer.destination), outer.size, outer.ttl) == ("fd00:18:1::1", "fd00:18:2::2", 154, 64)  # type: ignore[union-attr]
    assert any("is behind fd00:18:2::2 (FDB entry): VNI 4096, port 4789, 154 bytes" in said for said in sentences(found, "n1"))
    assert any("out of the packet of VTEP fd00:18:1::1" in said for said in sentences(found, "n2"))


@pytest.mark.parametrize(
    ("change", "where", "reason", "said"),
    [
        (lambda s: s, "n1", Reason.TOO_BIG, "1501 bytes do not fit the MTU 1500 of eth0, and nobody cuts a tunnel packet of IPv6"),
        (lambda s: retunnelled(s, "n1", udp_checksum=False), "n2", Reason.NO_CHECK_SUM, "udp6zerocsumrx is off"),
        (lambda s: retunnelled(s, "n2", vni=7), "n2", Reason.UNKNOWN_VNI, "no VXLAN device over IPv6 has VNI 4096"),
        (elsewhere, "n2", Reason.CLOSED_PORT, "nothing listens on port 4789"),
        (lambda s: having(s, "n1", fdb=()), "n1", Reason.NO_FDB_ENTRY, "no FDB entry"),
        (bound(local=False), "n1", Reason.TUNNEL_NO_ROUTE, "no way to VTEP fd00:18:2::2"),
    ],
)
def test_where_and_why_it_dies(change: Callable[[State], State], where: str, reason: Reason, said: str) -> None:
    size = 1431 if reason is Reason.TOO_BIG else 84
    verdict = trace(network(mtu=1500, change=change), Flow("pa", POD, size=size)).request.verdict
    assert isinstance(verdict, Dropped)
    assert (verdict.namespace, verdict.reason) == (where, reason)
    assert said in verdict.text


def test_the_sender_beside_the_tunnel_learns_what_fits_and_cuts_the_next() -> None:
    state = network(mtu=1500)
    first = trace(state, Flow("n1", NODE, size=1450))
    assert first.outcome.kind == "silence"
    second = trace(state, Flow("n1", NODE, size=1450, source_port=2), memory=first.memory)
    assert any(step.stage == "fragmentation" for _, step in second.request.steps)
    assert second.request.delivered


def test_a_path_mtu_of_ipv6_below_the_least_is_not_believed() -> None:
    """A link of 1300 bytes has room for 1230 in the tunnel: IPv4 takes that for its path MTU, IPv6 does not (`__ip6_rt_update_pmtu`)."""
    state = network(mtu=1500)
    links = tuple(replace(link, mtu=1300) if link.name == "eth0" else link for link in state["n1"].links)
    state = having(state, "n1", links=links)
    for target, learned in ((NODE, 1), (IPv6Address("fd46:2::1"), 0)):
        lost = trace(state, Flow("n1", target, size=1290, df=True), memory=Memory())
        assert lost.outcome.kind == "silence"
        again = trace(state, Flow("n1", target, size=1290, df=True, source_port=2), memory=lost.memory)
        assert (again.outcome.errno == "EMSGSIZE") is bool(learned)


def test_a_route_of_the_outer_packet_may_be_lost_and_is_named() -> None:
    def change(state: State) -> State:
        return having(state, "n1", routes=tuple(route for route in state["n1"].routes if route.destination.prefixlen))

    verdict = trace(network(change=change), Flow("pa", POD)).request.verdict
    assert isinstance(verdict, Dropped)
    assert verdict.reason is Reason.TUNNEL_NO_ROUTE


def test_ends_that_do_not_leave_their_link_are_not_modelled() -> None:
    def change(state: State) -> State:
        entry = FdbEntry("vx", "66:00:00:00:00:02", IPv6Address("fe80::2"))
        return having(retunnelled(state, "n1", local=IPv6Address("fe80::1"), device="eth0"), "n1", fdb=(entry,))

    assert "VXLAN between link-local addresses is not modelled" in (trace(network(change=change), Flow("pa", POD)).outcome.why or "")


@pytest.mark.parametrize(
    ("far_mtu", "said"),
    [(1500, "an MTU of 1501, or a smaller one of 1430 on vx"), (1400, "an MTU of 1501, or a smaller one of 1330 on vx")],
)
def test_what_a_packet_too_long_would_have_needed_is_said_of_both_devices(far_mtu: int, said: str) -> None:
    state = network(mtu=1500, far_mtu=far_mtu)
    if far_mtu == 1400:
        state = having(state, "n1", links=tuple(replace(link, mtu=1600) if link.name == "eth0" else link for link in state["n1"].links))
        state = having(state, "u", links=tuple(replace(link, mtu=1600) if link.name == "u1" else link for link in state["u"].links))
    death = death_of(Network(state), trace(state, Flow("pa", POD, size=1431)).request)
    assert death.object is not None
    assert isinstance(death.object.subject, Link)
    assert (death.needed, death.object.subject.name) == (said, "eth0" if far_mtu == 1500 else "u2")
