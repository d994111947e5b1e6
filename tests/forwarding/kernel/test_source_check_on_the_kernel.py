"""The source check's whole truth table, on this kernel and by the model: every setting, every way to ask for the MAC, marks and rules.

Each row is a leg between a sender and a router that knows the way back to its source by another device. A router for each pair of
`all` and what counts for its devices, so that everything is asked in one network.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import product
from typing import Any, NamedTuple

import pytest

from lab.explain.agreement.compare import Part, compare
from lab.explain.agreement.judge import Tally
from lab.explain.agreement.repeat import compare_until_sure
from lab.forwarding import Flow
from lab.kernel.sandbox import run_in_sandbox
from lab.state import State
from lab.state.nft import Mangle, Match, Meta, Payload
from tests.forwarding.conftest import Net

TARGET = IPv4Address("10.200.0.2")
RULES = ("no rule", "a rule for the source", "a rule for a mark", "a rule for a mark that counts for sources")
"""What leads the way back to where the packet came from: nothing; a policy rule; one by mark, without and with src_valid_mark."""


class Router(NamedTuple):
    """How the check is set in one router."""

    all: int
    how: str
    """Whether its devices state their own value, or take that of `default` when they are made."""
    value: int


class Leg(NamedTuple):
    """One row of the table, within a router."""

    router: int
    number: int
    rule: str
    known: bool
    """Whether the sender knows the router's MAC already."""
    announce: int
    """arp_announce of the sender: 2 asks with the address of the link, 0 with that of the packet."""

    @property
    def source(self) -> IPv4Address:
        """Where its packet comes from: an address the router expects elsewhere."""
        return IPv4Address(f"192.0.2.{self.number + 1}")


ROUTERS = [Router(*row) for row in product((0, 1, 2), ("stated", "by default"), (0, 1, 2))]
LEGS = [Leg(router, number, *row) for router in range(len(ROUTERS)) for number, row in enumerate(product(RULES, (False, True), (0, 2)))]


def passes(leg: Leg) -> bool:
    """Whether the packet passes: the larger value of `all` and the device counts, and 1 asks for the way back (ip-sysctl.rst).

    The ARP request that goes before it is checked as well, and bears no mark.
    """
    router = ROUTERS[leg.router]
    if max(router.all, router.value) != 1 or leg.rule == RULES[1]:
        return True
    return leg.rule == RULES[3] and (leg.known or leg.announce == 2)


def table() -> State:
    net = Net()
    for number, router in enumerate(ROUTERS):
        r, a, b = f"r{number}", f"a{number}", f"b{number}"
        net.router(r).node(a).node(b).wire(f"{r}:right 10.200.0.1/24", f"{b}:eth0 {TARGET}/24")
        net.conf(r, "all", rp_filter=router.all, src_valid_mark=0).conf(r, "default", rp_filter=0, src_valid_mark=0)
        net.conf(r, "default", rp_filter=router.value if router.how == "by default" else 0)
        net.conf(a, "all", arp_announce=0, rp_filter=0).conf(b, "all", rp_filter=0).conf(b, "eth0", rp_filter=0)
        net.route(b, "blackhole 192.0.2.0/24").route(r, f"192.0.2.0/24 via {TARGET} dev right")
        for leg in LEGS:
            if leg.router == number:
                _add_leg(net, router, leg, r, a)
        for name in (r, a, b):
            net.sysctl(name, "net/ipv4/icmp_ratemask", 0)
            for device in net.builder[name].links:
                for key, value in (("retrans_time_ms", 10), ("mcast_solicit", 2), ("delay_first_probe_time", 60)):
                    net.sysctl(name, f"net/ipv4/neigh/{device}/{key}", value)
    state: State = net.state
    return state


def _add_leg(net: Any, router: Router, leg: Leg, r: str, a: str) -> None:
    near, far, subnet = f"e{leg.number}", f"l{leg.number}", f"10.{leg.number}.0"
    net.wire(f"{a}:{near} {subnet}.2/24", f"{r}:{far} {subnet}.1/24").address(a, "lo", f"{leg.source}/32")
    net.conf(a, near, arp_announce=leg.announce, rp_filter=0)
    if router.how == "stated":
        net.conf(r, far, rp_filter=router.value)
    net.rule(a, f"{leg.number + 10}: from {leg.source} lookup {leg.number + 10}")
    net.route(a, f"default via {subnet}.1 dev {near} table {leg.number + 10}")
    if leg.known:
        net.neighbour(a, near, f"{subnet}.1", net.mac_of(r, far))
    if leg.rule == RULES[0]:
        return
    by_mark = leg.rule != RULES[1]
    net.route(r, f"{leg.source}/32 via {subnet}.2 dev {far} table {leg.number + 10}")
    net.rule(r, f"{leg.number + 10}: {'fwmark 1 ' if by_mark else ''}to {leg.source} lookup {leg.number + 10}")
    if by_mark:
        net.chain(r, "prerouting", (Match(Payload("ip", "saddr"), leg.source), Mangle(Meta("mark"), 1)), priority=-150)
        net.conf(r, far, src_valid_mark=int(leg.rule == RULES[3]))


@pytest.mark.kernel
@pytest.mark.root
def test_every_row_of_the_table_is_what_the_documents_say_what_the_model_predicts_and_what_the_kernel_does() -> None:
    state = table()
    flows = tuple(Flow(f"a{leg.router}", TARGET, source_port=20_000 + n, source_address=leg.source) for n, leg in enumerate(LEGS))

    def inside(sandbox: Any, report: object) -> Tally:
        return compare_until_sure(lambda build: compare(Part(sandbox, str(build)), state, flows))

    tally = run_in_sandbox(inside)
    assert len(tally.observations) == 288
    assert [str(one) for one in tally.disagreements] == []
    wrong = [
        (ROUTERS[leg.router], leg, observed)
        for leg, observed in zip(LEGS, tally.observations, strict=True)
        if ("seen in b" in observed) != passes(leg)
    ]
    assert wrong == []
