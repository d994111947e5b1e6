"""Plans: what is done, in which order, and what is left to the kernel. No privileges, no kernel."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from lab.errors import InputError, Place
from lab.kernel.plan import Phase, Plan, plan
from lab.kernel.planning.steps import SendBatch, WriteSysctls
from lab.state import (
    LO,
    AddressEntry,
    Bridge,
    BridgePort,
    FdbEntry,
    Link,
    Macvlan,
    Namespace,
    Neighbour,
    Protocol,
    Provenance,
    Route,
    Rule,
    State,
    Veth,
    Vxlan,
    complete,
)
from lab.state.nft import Chain, Counter, NftRule, NftTable, Verdict

NETWORK = IPv4Network("10.0.0.0/24")
ELSEWHERE = IPv4Network("192.0.2.0/24")
GATEWAY = IPv4Address("10.0.0.254")


def lab(*namespaces: Namespace) -> State:
    return complete(State({namespace.name: namespace for namespace in namespaces}))


def pair(**changes: object) -> State:
    """Two namespaces with a cable between them; `changes` are made to the first."""
    a = Namespace(
        "a",
        links=(LO, Link("eth0", Veth("b", "eth0"))),
        addresses=(AddressEntry("eth0", IPv4Interface("10.0.0.1/24")),),
        routes=(Route(ELSEWHERE, via=GATEWAY, device="eth0"),),
    )
    b = Namespace("b", links=(LO, Link("eth0", Veth("a", "eth0"))), addresses=(AddressEntry("eth0", IPv4Interface("10.0.0.2/24")),))
    return lab(replace(a, **changes), b)  # type: ignore[arg-type]


def done_in(made: Plan, namespace: str, phase: Phase) -> list[str]:
    return [line for step in made.steps if step.namespace == namespace and step.phase is phase for line in step.lines()]


def way(before: State, after: State) -> Plan:
    return plan(before, after, plan(State(), before).indexes)


def test_a_plan_is_made_without_the_kernel_and_without_linux() -> None:
    code = "import sys; sys.modules['fcntl'] = sys.modules['ctypes'] = None; import lab.kernel.plan"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_phases_come_in_their_order() -> None:
    phases = [step.phase for step in plan(State(), pair(sysctls={"net/ipv4/ip_forward": "1", "net/ipv4/conf/eth0/rp_filter": "2"})).steps]
    assert phases == sorted(phases)
    assert {Phase.NAMESPACES, Phase.SYSCTLS, Phase.LINKS, Phase.LINK_SYSCTLS, Phase.CONFIGURATION, Phase.BARRIER} <= set(phases)


def test_a_plan_is_printed_by_phase_and_namespace() -> None:
    lines = list(plan(State(), pair()).lines())
    assert lines[:6] == [
        "2. create namespaces",
        "  a",
        "    add namespace",
        "  b",
        "    add namespace",
        "4. create bridges, veth pairs and tun devices",
    ]
    assert "    add route 192.0.2.0/24 via 10.0.0.254 dev eth0" in lines


def test_the_same_state_needs_nothing() -> None:
    assert way(pair(), pair()).is_empty


def test_indexes_are_unique_and_leave_room_for_the_kernels_own_links() -> None:
    indexes = plan(State(), pair()).indexes
    numbers = [number for links in indexes.values() for name, number in links.items() if name != "lo"]
    assert len(set(numbers)) == len(numbers), "the ends of a pair must differ, or the first packet comes a second late"
    assert min(numbers) >= 100


def test_a_link_that_comes_back_gets_its_old_index() -> None:
    whole, without = pair(), lab(Namespace("a"), Namespace("b"))
    first = plan(State(), whole)
    second = plan(whole, without, first.indexes)
    assert plan(without, whole, second.indexes).indexes == first.indexes


def test_a_veth_pair_is_created_once_and_set_up_from_both_sides() -> None:
    made = plan(State(), pair())
    assert len(done_in(made, "a", Phase.LINKS)) + len(done_in(made, "b", Phase.LINKS)) == 1
    for namespace in ("a", "b"):
        assert any(line.startswith("set up link eth0") for line in done_in(made, namespace, Phase.CONFIGURATION))


def test_the_far_end_joins_its_bridge_from_its_own_namespace() -> None:
    switch = Namespace("sw", links=(LO, Link("br0", Bridge()), Link("p0", Veth("a", "eth0"), master="br0", port=BridgePort(hairpin=True))))
    a = Namespace("a", links=(LO, Link("eth0", Veth("sw", "p0"))))
    made = plan(State(), lab(a, switch))
    lines = done_in(made, "sw", Phase.STACKED_LINKS)
    assert [line.split(" link ")[0] for line in lines] == ["set master of", "set port options of"]


def test_links_are_built_from_below() -> None:
    vxlan = Link("vx", Vxlan(10, 4789, device="mv"), mtu=1400)
    a = Namespace("a", links=(LO, vxlan, Link("mv", Macvlan("eth0")), Link("eth0", Veth("b", "eth0"))))
    made = plan(State(), lab(a, pair()["b"]))
    assert [line.split()[2] for line in done_in(made, "a", Phase.STACKED_LINKS)] == ["mv", "vx"]


def test_sysctls_that_overwrite_others_come_first() -> None:
    sysctls = {
        "net/ipv4/conf/eth0/forwarding": "0",
        "net/ipv4/conf/default/rp_filter": "1",
        "net/ipv4/icmp_ratelimit": "0",
        "net/ipv4/conf/all/accept_redirects": "0",
        "net/ipv4/ip_forward": "1",
    }
    made = plan(State(), pair(sysctls=sysctls))
    written = [path for step in made.steps if isinstance(step, WriteSysctls) for path, _ in step.values]
    assert written == [
        "net/ipv4/ip_forward",
        "net/ipv4/conf/all/accept_redirects",
        "net/ipv4/conf/default/rp_filter",
        "net/ipv4/icmp_ratelimit",
        "net/ipv4/conf/eth0/forwarding",
    ]


def test_what_a_sysctl_overwrites_is_written_again() -> None:
    before = pair(sysctls={"net/ipv4/ip_forward": "0", "net/ipv4/conf/eth0/forwarding": "1", "net/ipv4/conf/all/accept_redirects": "1"})
    after = pair(sysctls={"net/ipv4/ip_forward": "1", "net/ipv4/conf/eth0/forwarding": "1", "net/ipv4/conf/all/accept_redirects": "1"})
    made = way(before, after)
    assert done_in(made, "a", Phase.SYSCTLS) == ["sysctl net/ipv4/ip_forward = 1", "sysctl net/ipv4/conf/all/accept_redirects = 1"]
    assert done_in(made, "a", Phase.LINK_SYSCTLS) == ["sysctl net/ipv4/conf/eth0/forwarding = 1"]


def test_what_a_new_link_inherits_is_not_written_again() -> None:
    stated = {"net/ipv4/conf/default/rp_filter": "1", "net/ipv4/conf/eth0/rp_filter": "1", "net/ipv4/conf/eth0/arp_ignore": "1"}
    made = plan(State(), pair(sysctls=stated))
    assert done_in(made, "a", Phase.LINK_SYSCTLS) == ["sysctl net/ipv4/conf/eth0/arp_ignore = 1"]
    changed = {path: "2" if path.endswith("rp_filter") else value for path, value in stated.items()}
    assert "    sysctl net/ipv4/conf/eth0/rp_filter = 2" in way(pair(sysctls=stated), pair(sysctls=changed)).lines()


def test_a_sysctl_no_longer_stated_goes_back_to_its_default() -> None:
    made = way(pair(sysctls={"net/ipv4/conf/eth0/rp_filter": "2"}), pair())
    assert list(made.lines())[2:] == ["    sysctl net/ipv4/conf/eth0/rp_filter back to its default"]


def test_tabs_between_numbers_are_no_difference() -> None:
    assert way(pair(sysctls={"net/ipv4/ping_group_range": "0\t10"}), pair(sysctls={"net/ipv4/ping_group_range": "0 10"})).is_empty


@pytest.mark.parametrize("path", ["kernel/hostname", "net/../kernel/hostname", "net.ipv4.ip_forward", "net/ipv4"])
def test_only_a_namespaces_own_sysctls_are_written(path: str) -> None:
    with pytest.raises(InputError, match="is no sysctl of a network namespace"):
        plan(State(), pair(sysctls={path: "x"}))


def test_a_sysctl_of_a_missing_link_is_a_mistake_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"there is no link eth1(.|\n)*did you mean 'eth0'"):
        plan(State(), pair(sysctls={"net/ipv4/conf/eth1/rp_filter": "0"}))


def test_routes_that_come_with_an_address_are_not_sent() -> None:
    lines = done_in(plan(State(), pair()), "b", Phase.CONFIGURATION)
    assert not [line for line in lines if "route" in line]


def test_a_connected_route_that_is_not_stated_is_removed_when_the_kernel_has_made_it() -> None:
    target = pair()
    without = replace(target["b"], routes=tuple(route for route in target["b"].routes if route.destination != NETWORK))
    made = plan(State(), State({"a": target["a"], "b": without}))
    lines = done_in(made, "b", Phase.CONFIGURATION)
    assert lines[-2:] == ["add address 10.0.0.2/24 dev eth0", "delete route 10.0.0.0/24 dev eth0 proto kernel"]


def test_a_namespace_that_states_none_of_the_kernels_routes_keeps_them() -> None:
    bare = State({"a": Namespace("a", links=(Link("br0", Bridge()),), addresses=(AddressEntry("br0", IPv4Interface("10.0.0.1/24")),))})
    assert not [line for line in plan(State(), bare).lines() if "delete" in line]


def test_a_connected_route_that_somebody_deleted_is_sent_again() -> None:
    whole = pair()
    without = replace(whole["b"], routes=tuple(route for route in whole["b"].routes if route.destination != NETWORK))
    damaged = State({"a": whole["a"], "b": without})
    assert "    delete route 10.0.0.0/24 dev eth0 proto kernel src 10.0.0.2" in way(whole, damaged).lines()
    assert "    replace route 10.0.0.0/24 dev eth0 proto kernel src 10.0.0.2" in way(damaged, whole).lines()


def test_a_route_to_a_gateway_comes_before_the_route_through_it() -> None:
    onlink = IPv4Address("169.254.1.1")
    through = Route(IPv4Network("0.0.0.0/0"), via=onlink, device="eth0")
    to = Route(IPv4Network("169.254.1.1/32"), device="eth0", scope="link")
    lines = done_in(plan(State(), pair(routes=(through, to))), "a", Phase.CONFIGURATION)
    assert lines[-2:] == ["add route 169.254.1.1 dev eth0", "add route default via 169.254.1.1 dev eth0"]


def test_a_route_with_the_same_key_is_replaced_not_removed() -> None:
    made = way(pair(), pair(routes=(Route(ELSEWHERE, via=IPv4Address("10.0.0.3"), device="eth0"),)))
    assert list(made.lines())[2:] == ["    replace route 192.0.2.0/24 via 10.0.0.3 dev eth0"]


def test_what_a_link_takes_along_when_it_goes_down_is_sent_again_when_it_comes_up() -> None:
    up = pair(neighbours=(Neighbour("eth0", GATEWAY, "02:00:00:00:00:09"),))
    down = replace(up["a"], links=(LO, replace(up["a"].links[1], up=False)), routes=())
    made = way(State({"a": down, "b": up["b"]}), up)
    lines = done_in(made, "a", Phase.CONFIGURATION)
    assert "add neighbour 10.0.0.254 lladdr 02:00:00:00:00:09 dev eth0 permanent" in lines
    assert any(line.endswith("route 192.0.2.0/24 via 10.0.0.254 dev eth0") for line in lines)


def test_a_pair_is_deleted_at_one_end_even_when_the_other_ends_with_its_namespace() -> None:
    made = way(pair(), lab(Namespace("a")))
    assert list(made.lines())[:5] == [
        "1. remove links and namespaces",
        "  a",
        "    delete link eth0 type veth peer eth0 in b mtu 1500",
        "  b",
        "    remove namespace",
    ]


def test_a_link_whose_peer_changes_is_made_anew_at_all_ends() -> None:
    third = Namespace("c", links=(LO, Link("eth0", Veth("a", "eth0"))))
    moved = lab(replace(pair()["a"], links=(LO, Link("eth0", Veth("c", "eth0"))), routes=()), Namespace("b"), third)
    made = way(pair(), moved)
    assert len(done_in(made, "a", Phase.REMOVAL)) == 1
    assert done_in(made, "b", Phase.REMOVAL) == []
    assert done_in(made, "a", Phase.LINKS) == ["add link eth0 type veth peer eth0 in c mtu 1500"]


def test_links_that_go_together_wait_for_the_kernel_together() -> None:
    bridges = tuple(Link(f"br{number}", Bridge()) for number in range(3))
    made = way(lab(Namespace("a", links=(LO, *bridges))), lab(Namespace("a")))
    (step,) = (step for step in made.steps if isinstance(step, SendBatch))
    assert len(step.messages) == 4, "three join a group, one deletes it"


def test_a_rule_is_put_back_in_its_place_among_those_of_its_priority() -> None:
    one, two = Rule(100, table=1), Rule(100, table=2, mark=5)
    before, after = pair(rules=(two, one)), pair(rules=(one, two))
    lines = done_in(way(before, after), "a", Phase.CONFIGURATION)
    assert lines == [
        "delete rule pref 100 from all fwmark 0x5 lookup 2",
        "delete rule pref 100 from all lookup 1",
        "add rule pref 100 from all lookup 1",
        "add rule pref 100 from all fwmark 0x5 lookup 2",
    ]


def test_the_kernels_rules_stay_unless_one_of_them_is_stated() -> None:
    assert not [line for line in plan(State(), pair()).lines() if "rule pref 0 " in line]
    local_last = (Rule(500, table=255), Rule(32766, table=254, protocol=Protocol.KERNEL))
    lines = done_in(
        plan(State(), State({"a": replace(pair()["a"], links=(LO,), addresses=(), routes=(), rules=local_last)})), "a", Phase(7)
    )
    assert "delete rule pref 0 from all protocol kernel lookup local" in lines
    assert "delete rule pref 32767 from all protocol kernel lookup default" in lines


def test_what_the_kernel_learned_is_left_alone() -> None:
    learned = pair(
        neighbours=(Neighbour("eth0", GATEWAY, "02:00:00:00:00:09", "reachable"),),
        fdb=(FdbEntry("eth0", "02:00:00:00:00:09", master=True, permanent=False),),
    )
    assert way(learned, pair()).is_empty


def test_of_two_addresses_of_a_subnet_the_order_is_kept() -> None:
    first, second = (AddressEntry("eth0", IPv4Interface(f"10.0.0.{host}/24")) for host in (5, 6))
    lines = done_in(way(pair(addresses=(first, second)), pair(addresses=(second, first))), "a", Phase.CONFIGURATION)
    assert [line for line in lines if "address" in line] == [
        "delete address 10.0.0.5/24 dev eth0",
        "add address 10.0.0.6/24 dev eth0",
        "add address 10.0.0.5/24 dev eth0",
    ]


def test_an_underlay_may_have_a_smaller_mtu_than_its_tunnel_needs() -> None:
    vxlan = Link("vx", Vxlan(10, 4789, device="eth0"), mtu=1450)
    made = plan(State(), pair(links=(LO, Link("eth0", Veth("b", "eth0"), mtu=1400), vxlan)))
    assert [line.split(" type ")[0] for line in done_in(made, "a", Phase.STACKED_LINKS)] == [
        "set mtu of link eth0",
        "add link vx",
        "set mtu of link eth0",
    ]


RULE_SET = NftTable("inet", "t", (Chain("c", (NftRule((Counter(), Verdict("accept"))),)),))


def test_a_rule_set_that_means_the_same_is_not_loaded_again() -> None:
    counted = replace(RULE_SET, chains=(Chain("c", (NftRule((Counter(7, 700), Verdict("accept"))),)),))
    assert way(pair(tables=(counted,)), pair(tables=(RULE_SET,))).is_empty


def test_tables_are_added_replaced_and_deleted_in_one_transaction() -> None:
    other = replace(RULE_SET, name="u")
    changed = replace(RULE_SET, chains=(Chain("c", ()),))
    made = way(pair(tables=(RULE_SET, other)), pair(tables=(changed, replace(RULE_SET, name="v"))))
    assert len(made.steps) == 1
    assert list(made.lines())[2:] == [
        "    delete table inet u",
        "    replace table inet t (1 chains, 0 rules)",
        "    add table inet v (1 chains, 1 rules)",
    ]


MISTAKES = {
    "there is no link eth9 for route 10.0.0.0/24 dev eth9": pair(routes=(Route(NETWORK, device="eth9"),)),
    "rule 100 looks up no table": pair(rules=(Rule(100),)),
    "link vx is built on eth9": pair(links=(LO, Link("eth0", Veth("b", "eth0")), Link("vx", Vxlan(1, 4789, device="eth9")))),
    "two links are called eth0": pair(links=(LO, Link("eth0", Bridge()), Link("eth0", Bridge()))),
    "eth0 is one end of a veth pair, but eth7 in b is not the other": pair(links=(LO, Link("eth0", Veth("b", "eth7")))),
    "in a circle": State({"a": Namespace("a", links=(Link("x", Macvlan("y")), Link("y", Macvlan("x"))))}),
}


def test_a_mistake_has_the_place_it_comes_from() -> None:
    why = Provenance("person", "wrote it", Place("topology.yaml", 3, 5))
    with pytest.raises(InputError) as caught:
        plan(State(), pair(routes=(Route(NETWORK, device="eht0", provenance=why),)))
    assert str(caught.value).startswith("topology.yaml:3:5: a: there is no link eht0")
    assert caught.value.hint == "did you mean 'eth0'?"


@pytest.mark.parametrize("said", MISTAKES)
def test_a_state_that_contradicts_itself_is_refused(said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan(State(), MISTAKES[said])
