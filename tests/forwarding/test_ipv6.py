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
from lab.state import Bridge, Link, Rule, State, Veth, complete
from lab.state.nft import Match, Meta, Nat, NftRule, NftTable, Payload, Prefix, Reject, Verdict


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


def bridged() -> State:
    """A bridge with two hosts, and no router at all."""
    hosts = [
        six.namespace(name, [Link("eth0", Veth("sw", f"p{name}"))], {"eth0": (f"2001:db8::{name}/64", f"fe80::{name}/64")})
        for name in ("a", "b")
    ]
    ports = [Link(f"p{name}", Veth(name, "eth0"), master="br0") for name in ("a", "b")]
    switch = replace(six.namespace("sw", [Link("br0", Bridge()), *ports], {}), role="switch")
    return complete(State({one.name: one for one in (*hosts, switch)}))


def masquerading() -> State:
    nat = NftTable(
        "ip6", "nat", (six.Chain("post", (NftRule((Match(Meta("oifname"), "rb"), Nat("masquerade"))),), "nat", "postrouting", 100),)
    )
    return six.network(router_tables=[nat])  # type: ignore[no-any-return]


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
    "across a bridge": (bridged, ping(IPv6Address("2001:db8::b")), "reply"),
    "echo is ignored": (lambda: six.network(far_sysctls={"net/ipv6/icmp/echo_ignore_all": "1"}), ping(), "silence"),
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
