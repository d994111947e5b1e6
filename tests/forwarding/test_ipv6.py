"""IPv6, row by row: what becomes of a packet in the model, and on this kernel, which has to say the same."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from types import ModuleType

import pytest

from lab.explain.prediction import expected_result, flow_of
from lab.forwarding import Conversation, Dropped, Flow, Network, trace
from lab.probe import Outcome, PingRequest, Request, TcpRequest, UdpRequest
from lab.state import Bridge, BridgePort, Link, Listener, Neighbour, Route, Rule, State, Veth, complete
from lab.state.nft import Fib, Mangle, Match, Meta, Nat, NftRule, NftTable, Payload, Prefix, Reject, Statement, Verdict


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"forwarding_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


six = _beside("six")
A, B, R1 = six.A, six.B, six.R1
ELSEWHERE, NOBODY, OTHER_RANGE = (IPv6Address(text) for text in ("2001:db8:6::2", "2001:db8:2::9", "2001:db8:5::2"))
DISCOVERY = Match(Payload("icmpv6", "type"), "nd-neighbor-solicit")
ECHO = Match(Payload("icmpv6", "type"), "echo-request")
NEXT_IS_ICMP = Match(Payload("ip6", "nexthdr"), "ipv6-icmp")
NO_WAY = Match(Fib("type", ("daddr",)), "unreachable")
TO_A = Match(Payload("ip6", "daddr"), A)
ACROSS = IPv6Address("2001:db8::b")
FROM_A = Match(Payload("ip6", "saddr"), Prefix(ip_network("2001:db8:1::/64")))


def ping(target: IPv6Address = B, **more: int) -> PingRequest:
    return PingRequest("a", target, **more)  # type: ignore[arg-type]


def toward(kind: str) -> State:
    """The router has a route of this type to another range."""
    return six.network(router_routes=[six.route("2001:db8:5::/64", type=kind)])  # type: ignore[no-any-return]


def rejecting(kind: str, code: str | None) -> State:
    rule = NftRule((FROM_A, Reject(kind, code)))
    return six.network(router_tables=[six.filtering("forward", rule, family="inet" if kind == "icmpx" else "ip6")])  # type: ignore[no-any-return]


def ruled(action: str, source: object) -> State:
    return six.network(router_rules=[Rule(100, action=action, family=6, source=ip_network(str(source)))])  # type: ignore[no-any-return]


def bridged(*rules: NftRule, calls: int = 1, hook: str = "forward") -> State:
    """A bridge with two hosts, and no router at all; its rules see what it bridges where it `calls` ip6tables."""
    hosts = [
        six.namespace(name, [Link("eth0", Veth("sw", f"p{name}"))], {"eth0": (f"2001:db8::{name}/64", f"fe80::{name}/64")})
        for name in ("a", "b")
    ]
    ports = [Link(f"p{name}", Veth(name, "eth0"), master="br0") for name in ("a", "b")]
    switch = replace(six.namespace("sw", [Link("br0", Bridge()), *ports], {}), role="switch")
    if rules:
        calling = {"net/bridge/bridge-nf-call-ip6tables": str(calls)}
        switch = replace(switch, sysctls=calling, tables=(six.filtering(hook, *rules),))
    return complete(State({one.name: one for one in (*hosts, switch)}))


SERVED = IPv6Address("2001:db8:9::1")
NARROW = IPv6Address("2001:db8:2::c")


def switched(to: IPv6Address = ACROSS, *, calls: int = 1, forwarding: int = 1, hairpin: bool = False, narrow: int = 1280) -> State:
    """A bridge with an address, hosts a and b on its ports and c behind it; who asks for SERVED is led to one of them."""
    routes = [six.route("::/0", "2001:db8::1", "eth0")]
    hosts = [
        six.namespace(name, [Link("eth0", Veth("sw", f"p{name}"))], {"eth0": (f"2001:db8::{name}/64", f"fe80::{name}/64")}, routes)
        for name in ("a", "b")
    ]
    away = [six.route("::/0", "2001:db8:2::1", "eth0")]
    far = six.namespace("c", [Link("eth0", Veth("sw", "pc"), mtu=narrow)], {"eth0": (f"{NARROW}/64", "fe80::c/64")}, away)
    ports = [Link(f"p{name}", Veth(name, "eth0"), master="br0", port=BridgePort(hairpin=hairpin)) for name in ("a", "b")]
    links = [Link("br0", Bridge()), *ports, Link("pc", Veth("c", "eth0"), mtu=narrow)]
    own = {"br0": ("2001:db8::1/64", "fe80::1/64"), "pc": ("2001:db8:2::1/64", "fe80::2/64")}
    lead = NftRule((Match(Payload("ip6", "daddr"), SERVED), Nat("dnat", to)))
    nat = NftTable("ip6", "nat", (six.Chain("pre", (lead,), "nat", "prerouting", -100),))
    sysctls = {
        "net/bridge/bridge-nf-call-ip6tables": str(calls),
        "net/ipv6/conf/all/forwarding": str(forwarding),
        "net/ipv6/icmp/ratelimit": "0",
        **{f"net/ipv6/neigh/br0/{key}": value for key, value in (("retrans_time_ms", "20"), ("mcast_solicit", "2"))},
    }
    switch = replace(six.namespace("sw", links, own), sysctls=sysctls, tables=(nat,))
    served = replace(hosts[1], listeners=(Listener("web", "tcp", 80, behaviour="http"),))
    return complete(State({one.name: one for one in (hosts[0], served, far, switch)}))


def nameless() -> State:
    """The sender has a link-local address alone."""
    state = six.network()
    a = replace(state["a"], addresses=tuple(e for e in state["a"].addresses if e.interface.ip != A), routes=())
    return complete(replace(state, namespaces={**state.namespaces, "a": replace(a, routes=(six.route("::/0", "fe80::1", "eth0"),))}))


def masquerading() -> State:
    nat = NftTable(
        "ip6", "nat", (six.Chain("post", (NftRule((Match(Meta("oifname"), "rb"), Nat("masquerade"))),), "nat", "postrouting", 100),)
    )
    return six.network(router_tables=[nat])  # type: ignore[no-any-return]


def near(state: State, **changes: object) -> State:
    """The same network, where a is changed."""
    return replace(state, namespaces={**state.namespaces, "a": replace(state["a"], **changes)})  # type: ignore[arg-type]


def by_source(table: Sequence[Route], *, plain: bool) -> State:
    """What has a's address as its source is for a table of its own, and what has none as well unless there is a way in main."""
    state = six.network()
    routes = state["a"].routes if plain else tuple(route for route in state["a"].routes if route.destination.prefixlen)
    return near(state, rules=(*state["a"].rules, Rule(100, table=7, family=6, source=ip_network(f"{A}/128"))), routes=(*routes, *table))


def answering(table: int) -> State:
    """The router's advertisements are marked, and what is marked goes by another table."""
    marking = NftTable("ip6", "marks", (six.Chain("out", (NftRule((TO_A, Mangle(Meta("mark"), 1))),), "route", "output", -150),))
    return six.network(  # type: ignore[no-any-return]
        router_tables=[marking],
        router_rules=[Rule(100, table=table, family=6, mark=1)],
        router_routes=[six.route("::/0", str(B), "rb", table=7), six.route("2001:db8:1::/64", None, "ra", table=8)],
    )


def guarded(*statements: Statement, hook: str = "input") -> State:
    """b has one rule."""
    return six.network(far_tables=[six.filtering(hook, NftRule(statements))])  # type: ignore[no-any-return]


def reflecting(reflects: str) -> State:
    """b marks what it is asked, and leads what is marked into a blackhole."""
    marking = six.filtering("prerouting", NftRule((Match(Payload("icmpv6", "type"), "echo-request"), Mangle(Meta("mark"), 1))))
    state = six.network(far_tables=[marking], far_sysctls={"net/ipv6/fwmark_reflect": reflects})
    b = replace(state["b"], rules=(*state["b"].rules, Rule(100, action="blackhole", family=6, mark=1)))
    return replace(state, namespaces={**state.namespaces, "b": b})


def redirecting() -> State:
    rule = NftRule((Match(Payload("tcp", "dport"), 8080), Nat("redirect", port=80)))
    table = NftTable("ip6", "nat", (six.Chain("pre", (rule,), "nat", "prerouting", -100),))
    return six.network(far_tables=[table])  # type: ignore[no-any-return]


def misled() -> State:
    """The router holds a wrong MAC for a."""
    state = six.network(router_neighbours=[Neighbour("ra", A, "02:00:00:00:ff:ff")])
    return near(state, links=tuple(replace(link, mac="02:00:00:00:00:0a") if link.name == "eth0" else link for link in state["a"].links))


def too_narrow(*, known: bool) -> State:
    """The router's end of a's cable takes less than a's, which may know the router's MAC already."""
    state = six.network(near_mtu=1280)
    return near(state, neighbours=(Neighbour("eth0", R1, "02:00:00:00:00:99"),)) if known else state


ROWS: dict[str, tuple[Callable[[], State], Request, str]] = {
    "an echo comes home": (six.network, ping(), "reply"),
    "one's own address": (six.network, ping(A), "reply"),
    "the router itself": (six.network, ping(R1), "reply"),
    "the router's other address": (six.network, ping(six.R2), "reply"),
    "a datagram is echoed": (six.network, UdpRequest("a", B, 7), "reply"),
    "a connection is served": (six.network, TcpRequest("a", B, 80), "reply"),
    "no socket takes a datagram": (six.network, UdpRequest("a", B, 9), "refused port-unreachable 2001:db8:2::2"),
    "no socket takes a connection": (six.network, TcpRequest("a", B, 9), "refused"),
    "no route": (six.network, ping(ELSEWHERE), "unreachable no-route 2001:db8:1::1"),
    "an unreachable route says no route": (lambda: toward("unreachable"), ping(OTHER_RANGE), "unreachable no-route 2001:db8:1::1"),
    "a prohibiting route": (lambda: toward("prohibit"), ping(OTHER_RANGE), "unreachable admin-prohibited 2001:db8:1::1"),
    "a blackhole": (lambda: toward("blackhole"), ping(OTHER_RANGE), "silence"),
    "a blackhole rule": (lambda: ruled("blackhole", A), ping(), "silence"),
    "an unreachable rule": (lambda: ruled("unreachable", A), ping(), "unreachable no-route 2001:db8:1::1"),
    "a prohibiting rule": (lambda: ruled("prohibit", A), ping(), "unreachable admin-prohibited 2001:db8:1::1"),
    "an error's own source meets the rule that was its cause": (lambda: ruled("prohibit", "2001:db8:1::/64"), ping(), "silence"),
    "forwarding is off": (lambda: six.network(router_sysctls={"net/ipv6/conf/all/forwarding": "0"}), ping(), "silence"),
    "no hops are left": (six.network, ping(ttl=1), "unreachable ttl-exceeded 2001:db8:1::1"),
    "a router tells its MTU": (lambda: six.network(mtu=1400), ping(size=1402), "unreachable packet-too-big 2001:db8:1::1 1400"),
    "what fits, fits": (lambda: six.network(mtu=1400), ping(size=1352), "reply"),
    "the sender cuts what is too long for its link": (six.network, ping(size=3000), "reply"),
    "nobody has the address": (six.network, ping(NOBODY), "unreachable addr-unreachable 2001:db8:1::1"),
    "nobody has the address on one's own link": (
        six.network,
        ping(IPv6Address("2001:db8:1::9")),
        "unreachable addr-unreachable 2001:db8:1::2",
    ),
    "a rule drops": (lambda: six.network(router_tables=[six.filtering("forward", NftRule((FROM_A, Verdict("drop"))))]), ping(), "silence"),
    "a policy of inet drops": (
        lambda: six.network(router_tables=[six.filtering("forward", policy="drop", family="inet")]),
        ping(),
        "silence",
    ),
    "a table of IPv4 sees nothing": (
        lambda: six.network(router_tables=[six.filtering("forward", policy="drop", family="ip")]),
        ping(),
        "reply",
    ),
    "a rule rejects": (lambda: rejecting("icmpv6", "port-unreachable"), ping(), "refused port-unreachable 2001:db8:1::1"),
    "a rule rejects by the code of both": (
        lambda: rejecting("icmpx", "admin-prohibited"),
        ping(),
        "unreachable admin-prohibited 2001:db8:1::1",
    ),
    "a rule resets": (lambda: rejecting("tcp reset", None), TcpRequest("a", B, 80), "refused"),
    "a firewall that drops ICMPv6 drops discovery": (
        lambda: six.network(far_tables=[six.filtering("input", NftRule((DISCOVERY, Verdict("drop"))))]),
        ping(),
        "unreachable addr-unreachable 2001:db8:1::1",
    ),
    "a masqueraded echo comes home": (masquerading, ping(), "reply"),
    "across a bridge": (bridged, ping(ACROSS), "reply"),
    "rules see what is bridged": (lambda: bridged(NftRule((ECHO, Verdict("drop")))), ping(ACROSS), "silence"),
    "rules see what is bridged before the bridge decides": (
        lambda: bridged(NftRule((ECHO, Verdict("drop"))), hook="prerouting"),
        ping(ACROSS),
        "silence",
    ),
    "rules see what leaves the bridge": (lambda: bridged(NftRule((ECHO, Verdict("drop"))), hook="postrouting"), ping(ACROSS), "silence"),
    "rules of a bridge let pass what they do not name": (lambda: bridged(NftRule((DISCOVERY, Verdict("accept")))), ping(ACROSS), "reply"),
    "rules see no frames of a bridge that does not call them": (
        lambda: bridged(NftRule((ECHO, Verdict("drop"))), calls=0),
        ping(ACROSS),
        "reply",
    ),
    "rules of a bridge see neighbour discovery": (
        lambda: bridged(NftRule((DISCOVERY, Verdict("drop")))),
        ping(ACROSS),
        "unreachable addr-unreachable 2001:db8::a",
    ),
    "a bridge without addresses rejects in silence": (
        lambda: bridged(NftRule((ECHO, Reject("icmpv6", "admin-prohibited")))),
        ping(ACROSS),
        "silence",
    ),
    "a link-local address is answered by the device it asks by": (nameless, ping(R1), "reply"),
    "a link-local address is refused by the device it asks by": (nameless, TcpRequest("a", R1, 80), "refused"),
    "a link-local address is told an error by the device it asks by": (
        nameless,
        UdpRequest("a", R1, 9),
        "refused port-unreachable 2001:db8:1::1",
    ),
    "a way to lo that is no way to an own address": (
        lambda: six.network(router_routes=[six.route("2001:db8:5::/64", None, "lo")]),
        ping(OTHER_RANGE),
        "unreachable no-route 2001:db8:1::1",
    ),
    "a source that is yet to be chosen is in no rule": (
        lambda: by_source([six.route("::/0", type="blackhole", table=7)], plain=True),
        ping(),
        "reply",
    ),
    "nor where the socket is connected": (
        lambda: by_source([six.route("::/0", type="blackhole", table=7)], plain=True),
        UdpRequest("a", B, 7),
        "reply",
    ),
    "unless there is no way without one": (
        lambda: by_source([six.route("::/0", str(R1), "eth0", table=7)], plain=False),
        TcpRequest("a", B, 80),
        "reply",
    ),
    "rules send an advertisement elsewhere": (lambda: answering(7), ping(), "unreachable addr-unreachable 2001:db8:1::2"),
    "rules let an advertisement be": (lambda: answering(8), ping(), "reply"),
    "an advertisement goes to the MAC that is stated": (
        misled,
        ping(),
        "unreachable addr-unreachable 2001:db8:1::2",
    ),
    "a reject of an echo": (
        lambda: guarded(ECHO, Reject("icmpv6", "admin-prohibited")),
        ping(),
        "unreachable admin-prohibited 2001:db8:2::2",
    ),
    "a reject of a piece of one says nothing": (lambda: guarded(ECHO, Reject("icmpv6", "admin-prohibited")), ping(size=3000), "silence"),
    "what follows the header of an echo": (lambda: guarded(ECHO, NEXT_IS_ICMP, Verdict("drop")), ping(), "silence"),
    "what follows that of a piece of one is another header": (
        lambda: guarded(ECHO, NEXT_IS_ICMP, Verdict("drop")),
        ping(size=3000),
        "reply",
    ),
    "so is one whose way is to lo": (
        lambda: six.network(
            router_routes=[six.route("2001:db8:5::/64", None, "lo")],
            router_tables=[six.filtering("prerouting", NftRule((NO_WAY, Verdict("drop"))))],
        ),
        ping(OTHER_RANGE),
        "silence",
    ),
    "an address without a way is unreachable for rules": (
        lambda: six.network(router_tables=[six.filtering("prerouting", NftRule((NO_WAY, Verdict("drop"))))]),
        ping(ELSEWHERE),
        "silence",
    ),
    "an answer does not bear the mark of the question": (lambda: reflecting("0"), ping(), "reply"),
    "unless it is reflected": (lambda: reflecting("1"), ping(), "silence"),
    "a connection is redirected": (redirecting, TcpRequest("a", B, 8080), "reply"),
    "what is refused at once is told a raw socket": (lambda: too_narrow(known=True), ping(size=1400), "error"),
    "echo is ignored": (lambda: six.network(far_sysctls={"net/ipv6/icmp/echo_ignore_all": "1"}), ping(), "silence"),
    "translated on a bridge": (switched, ping(SERVED), "reply"),
    "translated on a bridge, its hop limit does not count": (switched, ping(SERVED, ttl=1), "reply"),
    "translated on a bridge, nothing has to be forwarded": (lambda: switched(forwarding=0), ping(SERVED), "reply"),
    "translated on a bridge, in pieces": (switched, ping(SERVED, size=3000), "reply"),
    "translated where the bridge asks no rules, its hop limit counts": (
        lambda: switched(calls=0),
        ping(SERVED, ttl=1),
        f"unreachable ttl-exceeded {SERVED}",
    ),
    "translated where the bridge asks no rules, its answer comes from a stranger": (
        lambda: switched(calls=0),
        TcpRequest("a", SERVED, 80),
        "silence",
    ),
    "translated on a bridge, a connection": (switched, TcpRequest("a", SERVED, 80), "reply"),
    "translated on a bridge, to itself": (lambda: switched(IPv6Address("2001:db8::a")), ping(SERVED), "silence"),
    "translated on a bridge, to itself by a hairpin": (
        lambda: switched(IPv6Address("2001:db8::a"), hairpin=True),
        ping(SERVED),
        "reply",
    ),
    "translated on a bridge, to nobody": (
        lambda: switched(IPv6Address("2001:db8::99")),
        ping(SERVED),
        f"unreachable addr-unreachable {SERVED}",
    ),
    "translated on a bridge, to the bridge": (lambda: switched(IPv6Address("2001:db8::1")), ping(SERVED), "reply"),
    "translated on a bridge, and routed": (lambda: switched(NARROW), ping(SERVED), "reply"),
    "translated on a bridge, and routed where nothing is forwarded": (lambda: switched(NARROW, forwarding=0), ping(SERVED), "silence"),
    "translated on a bridge, and no way there": (lambda: switched(ELSEWHERE), ping(SERVED), "silence"),
    "pieces that a bridge put together are cut anew": (switched, ping(NARROW, size=3000), "reply"),
    "pieces that no bridge put together are too big": (
        lambda: switched(calls=0),
        ping(NARROW, size=3000),
        "unreachable packet-too-big 2001:db8::1 1280",
    ),
    "what is whole is too big behind a bridge as well": (switched, ping(NARROW, size=1400), "unreachable packet-too-big 2001:db8::1 1280"),
}


def told(outcome: Outcome) -> str:
    icmp = outcome.icmp
    words = [outcome.result, *([icmp.name, str(icmp.source), *([str(icmp.mtu)] if icmp.mtu else [])] if icmp is not None else [])]
    return " ".join(words)


def predicted(conversation: Conversation) -> str:
    """The model's prediction in the words of a probe's outcome."""
    from lab.probe.outcome import IcmpError

    outcome = conversation.outcome
    words = [expected_result(conversation) or "unknown"]
    if outcome.kind in ("error", "refused") and outcome.icmp_type is not None:
        assert outcome.source is not None
        error = IcmpError(outcome.icmp_type, outcome.icmp_code or 0, outcome.source, outcome.mtu)
        words += [error.name, str(error.source), *([str(error.mtu)] if error.mtu else [])]
    return " ".join(words)


@pytest.mark.parametrize("row", ROWS)
def test_the_model_predicts(row: str) -> None:
    build, request, expected = ROWS[row]
    flow = flow_of(request)
    assert flow is not None
    assert predicted(trace(build(), flow)) == expected


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
                flow = flow_of(request)
                assert flow is not None
                model = predicted(trace(Network(lab.read_back()), flow))
                if not told(outcome) == model == expected:
                    differences.append(f"{row}: the kernel {told(outcome)}, the model {model}, expected {expected}")
        return differences

    assert run_in_sandbox(inside) == []


# -- what a trace tells --------------------------------------------------------------------------------------------


def steps(conversation: Conversation, name: str) -> list[str]:
    return [step.sentence for hop in conversation.request.hops if hop.namespace == name for step in hop.steps]


@pytest.mark.parametrize(("known", "outcome"), [(True, "ENOBUFS"), (False, None)])
def test_a_raw_socket_is_told_what_a_device_refuses_unless_a_neighbour_had_to_be_asked_for_first(known: bool, outcome: str | None) -> None:
    assert trace(too_narrow(known=known), Flow("a", B, size=1400)).outcome.errno == outcome
    assert trace(too_narrow(known=known), Flow("a", B, "udp", 7, size=1400)).outcome.errno is None


def test_a_near_miss_is_told_with_its_bits() -> None:
    state = six.network(router_routes=[six.route("2001:db8:8::/64", str(B), "rb")])
    looked = trace(state, Flow("a", IPv6Address("2001:db8:8:3::2")))
    details = [detail.text for hop in looked.request.hops for step in hop.steps for detail in step.details]
    assert any(
        "2001:db8:8:3::2 misses 2001:db8:8::/64 via 2001:db8:2::2 dev rb metric 1024 by 2 bits: as 2001:db8:8::/62" in text
        for text in details
    )


def test_a_router_without_a_link_local_address_can_ask_nobody() -> None:
    state = six.network()
    mute = replace(state["r"], addresses=tuple(entry for entry in state["r"].addresses if not entry.interface.ip.is_link_local))
    found = trace(replace(state, namespaces={**state.namespaces, "r": mute}), Flow("a", B))
    assert any("rb has no link-local address to ask with" in sentence for sentence in steps(found, "r"))
    assert isinstance(found.request.verdict, Dropped)


def test_what_is_not_modelled_is_unknown() -> None:
    assert trace(six.network(), Flow("a", IPv6Address("2001:db8:1::"))).outcome.kind == "unknown"
    listening = replace(nameless()["r"], listeners=(Listener("web", "tcp", 80),))
    state = replace(nameless(), namespaces={**nameless().namespaces, "r": listening})
    assert trace(state, Flow("a", R1, "tcp", 80)).outcome.kind == "unknown"


SOURCES: Sequence[tuple[str, Sequence[str], str]] = (
    ("2001:db8:7::1", ("fe80::1/64", "2001:db8:1::2/64"), "2001:db8:1::2"),
    ("fd00::1", ("2001:db8:1::2/64", "fd00:1::2/64"), "fd00:1::2"),
    ("2001:db8:1::9", ("2001:db8:1::2/64", "2001:db8:2::2/64"), "2001:db8:1::2"),
)


@pytest.mark.parametrize(("target", "own", "chosen"), SOURCES)
def test_the_source_is_chosen_by_rfc_6724(target: str, own: Sequence[str], chosen: str) -> None:
    lonely = six.namespace("a", [Link("eth0", Veth("b", "eth0"))], {"eth0": own}, [six.route("::/0", "fe80::b", "eth0")])
    peer = six.namespace("b", [Link("eth0", Veth("a", "eth0"))], {"eth0": ("fe80::b/64",)})
    found = trace(complete(State({"a": lonely, "b": peer})), Flow("a", IPv6Address(target)))
    assert str(found.request.packet.source) == chosen  # type: ignore[union-attr]


def test_a_deprecated_address_is_a_source_only_where_there_is_no_other() -> None:
    """Rule 3 comes before the longest prefix, and behind the scope."""
    own = {"eth0": ("fe80::1/64", "2001:db8:1::2/64", "2001:db8:2::2/64")}
    lonely = six.namespace("a", [Link("eth0", Veth("b", "eth0"))], own, [six.route("::/0", "fe80::b", "eth0")])
    peer = six.namespace("b", [Link("eth0", Veth("a", "eth0"))], {"eth0": ("fe80::b/64",)})

    def chosen(*deprecated: str) -> str:
        addresses = tuple(replace(entry, deprecated=str(entry.interface.ip) in deprecated) for entry in lonely.addresses)
        found = trace(complete(State({"a": replace(lonely, addresses=addresses), "b": peer})), Flow("a", IPv6Address("2001:db8:1::9")))
        return str(found.request.packet.source)  # type: ignore[union-attr]

    assert chosen() == "2001:db8:1::2"
    assert chosen("2001:db8:1::2") == "2001:db8:2::2"
    assert chosen("2001:db8:1::2", "2001:db8:2::2") == "2001:db8:1::2"
