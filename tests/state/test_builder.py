"""Builders refuse what the kernel would refuse, and freeze what they hold."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from lab.errors import InputError, Place
from lab.state import (
    AddressEntry,
    BaseChain,
    FdbEntry,
    Link,
    NamespaceBuilder,
    Neighbour,
    Provenance,
    Route,
    Rule,
    StateBuilder,
    Veth,
)
from lab.state.nft import Counter, NftRule, Verdict

OPERATOR = Provenance("operator", "typed it", Place("net.yaml", 3, 5))
ACCEPT = NftRule((Verdict("accept"),))
DROP = NftRule((Verdict("drop"),))


@pytest.fixture
def node() -> NamespaceBuilder:
    built = NamespaceBuilder("n1")
    built.add_link(Link("eth0", Veth("core", "n1")))
    return built


def test_a_new_namespace_has_lo_and_nothing_else() -> None:
    namespace = NamespaceBuilder("n1").freeze()
    assert [link.name for link in namespace.links] == ["lo"]
    assert namespace.routes == ()
    assert namespace.rules == ()


def test_a_second_link_of_one_name_is_refused_where_it_was_written(node: NamespaceBuilder) -> None:
    with pytest.raises(InputError, match="link eth0 is already there") as mistake:
        node.add_link(Link("eth0", Veth("core", "n2")), OPERATOR)
    assert mistake.value.place == Place("net.yaml", 3, 5)


def test_a_name_longer_than_the_kernel_takes_is_refused(node: NamespaceBuilder) -> None:
    with pytest.raises(InputError, match="longer than 15 bytes"):
        node.add_bridge("br-of-many-letters")


def test_an_address_on_a_missing_device_is_refused_with_the_nearest_name(node: NamespaceBuilder) -> None:
    with pytest.raises(InputError, match="there is no link eth1") as mistake:
        node.add_address(AddressEntry("eth1", ip_interface("10.0.0.1/24")))
    assert "eth0" in str(mistake.value.hint)


def test_a_route_is_added_once_replaced_in_place_and_deleted(node: NamespaceBuilder) -> None:
    first = Route(ip_network("10.1.0.0/16"), device="eth0")
    second = Route(ip_network("10.2.0.0/16"), device="eth0")
    node.add_route(first)
    node.add_route(second)
    with pytest.raises(InputError, match=r"10\.1\.0\.0/16 in table 254 is already there"):
        node.add_route(first)
    corrected = Route(ip_network("10.1.0.0/16"), via=ip_address("10.0.0.9"))
    node.replace_route(corrected)
    assert node.freeze().routes == (corrected, second)
    assert node.delete_routes(ip_network("10.1.0.0/16")) == 1
    assert node.freeze().routes == (second,)


def test_rules_freeze_in_the_order_the_kernel_asks_them(node: NamespaceBuilder) -> None:
    node.add_rule(Rule(32766, table=254))
    node.add_rule(Rule(100, table=150))
    node.add_rule(Rule(100, table=151))
    assert [(rule.priority, rule.table) for rule in node.freeze().rules] == [(100, 150), (100, 151), (32766, 254)]


def test_a_removed_link_takes_along_what_depended_on_it(node: NamespaceBuilder) -> None:
    node.add_address(AddressEntry("eth0", ip_interface("10.0.0.1/24")))
    node.add_route(Route(ip_network("0.0.0.0/0"), via=ip_address("10.0.0.9"), device="eth0"))
    node.replace_neighbour(Neighbour("eth0", ip_address("10.0.0.9"), "02:00:00:00:00:01"))
    node.append_fdb(FdbEntry("eth0", "02:00:00:00:00:01"))
    node.remove_link("eth0")
    left = node.freeze()
    assert (left.addresses, left.routes, left.neighbours, left.fdb) == ((), (), (), ())


def test_both_ends_of_a_pair_come_and_go_together() -> None:
    state = StateBuilder()
    state.add_namespace("a")
    state.add_namespace("b")
    state.add_veth(("a", Link("to-b", Veth("", ""), mtu=1450)), ("b", Link("to-a", Veth("", ""), mtu=1450)), OPERATOR)
    built = state.freeze()
    assert built["a"].link("to-b") == Link("to-b", Veth("b", "to-a"), mtu=1450)
    state.remove_link("b", "to-a")
    assert state.freeze()["a"].link("to-b") is None
    assert built["a"].link("to-b") is not None, "what was frozen does not change"


def test_a_removed_namespace_leaves_no_loose_ends() -> None:
    state = StateBuilder()
    state.add_namespace("a")
    state.add_namespace("b")
    state.add_veth(("a", Link("to-b", Veth("", ""))), ("b", Link("to-a", Veth("", ""))))
    state.remove_namespace("b")
    assert list(state.freeze().namespaces) == ["a"]
    assert state.freeze()["a"].link("to-b") is None


def test_opening_a_state_copies_only_what_is_changed() -> None:
    state = StateBuilder()
    state.add_namespace("a")
    state.add_namespace("b")
    before = state.freeze()
    changed = StateBuilder(before)
    changed["b"].sysctl("net/ipv4/ip_forward", 1)
    after = changed.freeze()
    assert after["a"] is before["a"]
    assert after["b"].sysctl("net/ipv4/ip_forward") == "1"
    assert before["b"].sysctl("net/ipv4/ip_forward") == "0"


def test_an_unknown_namespace_is_refused_with_the_nearest_name() -> None:
    state = StateBuilder()
    state.add_namespace("c1-gateway")
    with pytest.raises(InputError, match="there is no namespace c1-gatway") as mistake:
        state["c1-gatway"]
    assert mistake.value.hint == "did you mean 'c1-gateway'?"


def test_a_chain_is_made_once_and_keeps_its_hook(node: NamespaceBuilder) -> None:
    base = BaseChain("filter", "forward", -10, "drop")
    node.chain("ip", "filter", "FORWARD", base).append(ACCEPT)
    node.chain("ip", "filter", "FORWARD").append(DROP)
    (table,) = node.freeze().tables
    (chain,) = table.chains
    assert chain.rules == (ACCEPT, DROP)
    assert (chain.hook, chain.priority, chain.policy) == ("forward", -10, "drop")
    with pytest.raises(InputError, match="cannot be a nat chain at postrouting"):
        node.chain("ip", "filter", "FORWARD", BaseChain("nat", "postrouting", 100))


def test_insert_unique_moves_a_rule_to_its_place(node: NamespaceBuilder) -> None:
    chain = node.chain("ip", "nat", "POSTROUTING")
    chain.append(DROP)
    chain.append(ACCEPT)
    chain.insert_unique(NftRule((Verdict("accept"),), handle=7))
    chain.insert_unique(ACCEPT)
    assert chain.freeze().rules == (ACCEPT, DROP)
    chain.append_unique(DROP)
    assert chain.freeze().rules == (ACCEPT, DROP)


def test_rules_are_deleted_by_what_they_say_or_by_a_predicate(node: NamespaceBuilder) -> None:
    chain = node.chain("ip", "nat", "POSTROUTING")
    chain.add(Counter(), Verdict("accept"), comment="one")
    chain.add(Verdict("drop"), comment="two")
    assert chain.delete(NftRule((Counter(9, 900), Verdict("accept")), "one")) == 1
    assert chain.delete(lambda rule: rule.comment == "two") == 1
    assert chain.freeze().rules == ()


def test_a_chain_that_is_jumped_to_cannot_be_deleted(node: NamespaceBuilder) -> None:
    table = node.table("ip", "filter")
    table.chain("SUBMARINER-FORWARD")
    table.chain("FORWARD").add(Verdict("jump", "SUBMARINER-FORWARD"))
    with pytest.raises(InputError, match="still the target of a rule in chain FORWARD"):
        table.delete_chain("SUBMARINER-FORWARD")


def test_set_elements_come_and_go(node: NamespaceBuilder) -> None:
    pools = node.set("ip", "calico", "all-pools", ("ipv4_addr",), flags=("interval",))
    pools.add(ip_address("10.0.0.1"), ip_address("10.0.0.2"))
    pools.remove(ip_address("10.0.0.1"))
    assert node.freeze().tables[0].sets[0].elements == (ip_address("10.0.0.2"),)
    with pytest.raises(InputError, match="holds ipv4_addr, not ipv6_addr"):
        node.set("ip", "calico", "all-pools", ("ipv6_addr",))
