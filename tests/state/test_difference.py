"""A difference names what distinguishes two states, and is empty when nothing does."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, ip_address, ip_interface, ip_network

from lab.state import (
    AddressEntry,
    ApiObject,
    Change,
    ControlPlane,
    FdbEntry,
    Link,
    LogLine,
    Namespace,
    Provenance,
    Route,
    Rule,
    Setting,
    State,
    Veth,
    difference,
)
from lab.state.nft import AnonymousSet, Chain, Counter, Ct, Match, Meta, NftRule, NftSet, NftTable, Payload, Verdict

ETH0 = Link("eth0", Veth("core", "n1"))
DEFAULT = Route(ip_network("0.0.0.0/0"), via=ip_address("10.0.0.9"), device="eth0")
CABLE = Route(ip_network("10.42.0.0/24"), via=ip_address("240.0.0.1"), table=150)
NODE = Namespace("n1", "node", links=(ETH0,), routes=(DEFAULT, CABLE), sysctls={"net/ipv4/ip_forward": "1"})


def state(*namespaces: Namespace) -> State:
    return State({namespace.name: namespace for namespace in namespaces})


def rules(*found: NftRule) -> Namespace:
    return replace(NODE, tables=(NftTable("ip", "filter", (Chain("FORWARD", found, "filter", "forward", 0),)),))


def test_a_state_does_not_differ_from_itself_nor_from_its_equal() -> None:
    assert not difference(state(NODE), state(NODE))
    assert not difference(state(NODE), state(replace(NODE, provenance=Provenance("operator", "says so"))))


def test_namespaces_come_and_go() -> None:
    found = difference(state(NODE), state(replace(NODE, name="n2")))
    assert ([n.name for n in found.removed], [n.name for n in found.added]) == (["n1"], ["n2"])


def test_a_route_of_the_same_key_is_changed_not_replaced() -> None:
    wider = replace(CABLE, via=ip_address("240.0.0.2"))
    found = difference(state(NODE), state(replace(NODE, routes=(DEFAULT, wider))))
    assert found["n1"].routes.changed == (Change(CABLE, wider),)
    assert (found["n1"].routes.removed, found["n1"].routes.added) == ((), ())


def test_a_route_of_another_prefix_is_another_route() -> None:
    wider = replace(CABLE, destination=IPv4Network("10.42.0.0/16"))
    found = difference(state(NODE), state(replace(NODE, routes=(DEFAULT, wider))))
    assert (found["n1"].routes.removed, found["n1"].routes.added) == ((CABLE,), (wider,))


def test_the_order_of_routes_means_nothing() -> None:
    assert not difference(state(NODE), state(replace(NODE, routes=(CABLE, DEFAULT))))


def test_the_order_of_addresses_in_a_subnet_means_something() -> None:
    first, second = (AddressEntry("eth0", ip_interface(f"10.0.0.{n}/24")) for n in (1, 2))
    other = AddressEntry("eth0", ip_interface("10.1.0.1/24"))
    before = state(replace(NODE, addresses=(first, second, other)))
    assert not difference(before, state(replace(NODE, addresses=(other, first, second))))
    moved = difference(before, state(replace(NODE, addresses=(second, first, other))))["n1"].addresses
    assert moved.removed == moved.added != ()


def test_the_order_of_rules_of_one_priority_means_something() -> None:
    one, two = Rule(100, table=150), Rule(100, table=151)
    moved = difference(state(replace(NODE, rules=(one, two))), state(replace(NODE, rules=(two, one))))["n1"].rules
    assert moved.removed == moved.added
    assert len(moved.removed) == 1


def test_a_link_that_went_down_is_changed() -> None:
    found = difference(state(NODE), state(replace(NODE, links=(replace(ETH0, up=False),))))
    assert found["n1"].links.changed == (Change(ETH0, replace(ETH0, up=False)),)


def test_sysctls_differ_by_name() -> None:
    found = difference(state(NODE), state(replace(NODE, sysctls={"net/ipv4/ip_forward": "0", "net/ipv4/conf/all/rp_filter": "1"})))
    assert found["n1"].sysctls.changed == (Change(Setting("net/ipv4/ip_forward", "1"), Setting("net/ipv4/ip_forward", "0")),)
    assert found["n1"].sysctls.added == (Setting("net/ipv4/conf/all/rp_filter", "1"),)


def test_fdb_destinations_come_and_go_without_order() -> None:
    zero = "00:00:00:00:00:00"
    one, two, three = (FdbEntry("vx", zero, ip_address(f"10.0.0.{n}")) for n in (1, 2, 3))
    assert not difference(state(replace(NODE, fdb=(one, two))), state(replace(NODE, fdb=(two, one))))
    found = difference(state(replace(NODE, fdb=(one, two))), state(replace(NODE, fdb=(three, one, two))))["n1"].fdb
    assert (found.added, found.removed, found.changed) == ((three,), (), ())


def test_rule_sets_differ_only_in_what_the_kernel_could_tell_apart() -> None:
    ssh = Match(Payload("tcp", "dport"), 22)
    written = NftRule((Match(Meta("l4proto"), "tcp"), ssh, Counter(), Verdict("accept")))
    listed = NftRule((ssh, Counter(7, 420), Verdict("accept")), handle=4)
    assert not difference(state(rules(written)), state(rules(listed)))


def test_one_rule_of_a_chain_is_added_where_it_stands() -> None:
    established = NftRule((Match(Ct("state"), AnonymousSet(("established",)), "in"), Verdict("accept")))
    drop = NftRule((Verdict("drop"),))
    found = difference(state(rules(established, drop)), state(rules(established, NftRule((Counter(),)), drop)))
    (table,) = found["n1"].tables
    assert [(edit.chain, edit.position, edit.added) for edit in table.rules] == [("FORWARD", 1, True)]
    assert table.rebased == ()


def test_a_policy_makes_a_chain_another_base_and_keeps_its_rules() -> None:
    closed = NftTable("ip", "filter", (Chain("FORWARD", (), "filter", "forward", 0, "drop"),))
    (table,) = difference(state(rules()), state(replace(NODE, tables=(closed,))))["n1"].tables
    assert [after.policy for _, after in table.rebased] == ["drop"]
    assert table.rules == ()


def test_set_elements_differ_without_order() -> None:
    def holding(*elements: str) -> State:
        found = NftSet("pools", ("ipv4_addr",), tuple(ip_address(e) for e in elements))
        return state(replace(NODE, tables=(NftTable("ip", "calico", sets=(found,)),)))

    assert not difference(holding("10.0.0.1", "10.0.0.2"), holding("10.0.0.2", "10.0.0.1"))
    (table,) = difference(holding("10.0.0.1"), holding("10.0.0.2"))["n1"].tables
    assert [after.name for _, after in table.changed_sets] == ["pools"]


def test_control_plane_objects_and_log_lines_differ_too() -> None:
    endpoint = ApiObject("c1", "Endpoint", "cluster-2", body={"spec": {"subnets": ["10.42.0.0/24"]}})
    fixed = replace(endpoint, body={"spec": {"subnets": ["10.42.0.0/16"]}})
    line = LogLine("c1", "w1", "route agent", "info", "added route")
    found = difference(State({}, ControlPlane((endpoint,), (line,))), State({}, ControlPlane((fixed,), (line, line))))
    assert found.objects.changed == (Change(endpoint, fixed),)
    assert found.logs.added == (line,)
    assert found
    assert not found.network
