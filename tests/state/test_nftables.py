"""Rule sets have one canonical form, one JSON form and the text an operator would write."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from lab.state.nft import (
    AnonymousMap,
    AnonymousSet,
    BinaryOperation,
    Chain,
    Concat,
    Counter,
    Ct,
    Expression,
    Family,
    Fib,
    Limit,
    Log,
    Mangle,
    MapLookup,
    Match,
    Meta,
    Nat,
    NftMap,
    NftRule,
    NftSet,
    NftTable,
    NoTrack,
    Numgen,
    OpaqueExpression,
    OpaqueStatement,
    Payload,
    Prefix,
    Range,
    Reject,
    RoutingMtu,
    SetRef,
    Statement,
    TcpOption,
    Verdict,
    VerdictMap,
)
from lab.state.nftables import canonical, canonical_rule, from_json, has_text, rule_text, table_text, to_json, with_devices

SSH = Match(Payload("tcp", "dport"), 22)
TCP = Match(Meta("l4proto"), "tcp")
FROM = Match(Payload("ip", "saddr"), ip_address("10.0.0.1"))
ACCEPT = Verdict("accept")
MARK = Meta("mark")


def form(*statements: Statement, family: Family = "ip") -> tuple[Statement, ...]:
    return canonical_rule(NftRule(statements), family).statements


def same(one: tuple[Statement, ...], other: tuple[Statement, ...], family: Family = "ip") -> bool:
    return form(*one, family=family) == form(*other, family=family)


# -- canonical forms -----------------------------------------------------------------------------------------------


def test_a_condition_that_a_later_one_implies_is_left_out() -> None:
    assert form(TCP, SSH, ACCEPT) == (SSH, ACCEPT)
    assert form(Match(Payload("ip", "protocol"), 6), FROM, SSH) == (FROM, SSH)
    assert form(Match(Meta("nfproto"), "ipv4"), FROM, family="inet") == (FROM,)
    assert form(Match(Meta("l4proto"), 1), Match(Payload("icmp", "type"), 8)) == (Match(Payload("icmp", "type"), "echo-request"),)


def test_a_condition_that_counts_for_a_counter_stays() -> None:
    assert form(TCP, Counter(), SSH) == (TCP, Counter(), SSH)


def test_in_inet_a_protocol_of_the_ip_header_says_ipv4_as_well_and_stays() -> None:
    assert form(Match(Payload("ip", "protocol"), "tcp"), SSH, family="inet") == (Match(Payload("ip", "protocol"), "tcp"), SSH)


def test_any_transport_is_named_once_the_protocol_is_known() -> None:
    assert same((TCP, Match(Payload("th", "dport"), 22)), (SSH,))
    assert not same((Match(Payload("th", "dport"), 22),), (SSH,))
    assert not same((Match(Meta("l4proto"), "tcp", "!="), Match(Payload("th", "dport"), 22)), (SSH,))


def test_conditions_change_places_but_never_across_what_acts() -> None:
    assert same((SSH, FROM, ACCEPT), (FROM, SSH, ACCEPT))
    assert not same((SSH, Counter(), FROM), (FROM, Counter(), SSH))
    assert not same((Match(Numgen("inc", 2), 0), FROM), (FROM, Match(Numgen("inc", 2), 0)))


def test_a_connection_has_one_state_so_being_it_and_being_in_a_set_of_it_are_one() -> None:
    new = Match(Ct("state"), "new", "in")
    assert form(Match(Ct("state"), "new")) == form(Match(Ct("state"), AnonymousSet(("new",)))) == (new,)
    listed = AnonymousSet(("related", "established"))
    assert same((Match(Ct("state"), listed, "in"),), (Match(Ct("state"), AnonymousSet(("established", "related"))),))


def test_connection_status_is_a_set_of_flags_and_being_it_is_not_having_it() -> None:
    assert not same((Match(Ct("status"), "dnat"),), (Match(Ct("status"), "dnat", "in"),))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (Range(ip_address("10.0.0.0"), ip_address("10.0.0.255")), Prefix(ip_network("10.0.0.0/24"))),
        (Prefix(ip_network("10.0.0.1/32")), ip_address("10.0.0.1")),
        (AnonymousSet((ip_address("10.0.0.1"),)), ip_address("10.0.0.1")),
        (AnonymousSet((Prefix(ip_network("10.0.0.0/25")), Prefix(ip_network("10.0.0.128/25")))), Prefix(ip_network("10.0.0.0/24"))),
        ("10.0.0.1", ip_address("10.0.0.1")),
    ],
)
def test_addresses_have_one_form(written: Expression, kept: Expression) -> None:
    assert form(Match(Payload("ip", "saddr"), written)) == (Match(Payload("ip", "saddr"), kept),)


def test_ports_that_touch_an_interval_join_it_and_single_ones_do_not() -> None:
    assert form(Match(Payload("tcp", "dport"), AnonymousSet((91, 22, Range(80, 90))))) == (
        Match(Payload("tcp", "dport"), AnonymousSet((22, Range(80, 91)))),
    )
    assert form(Match(Payload("tcp", "dport"), AnonymousSet((2, 1)))) == (Match(Payload("tcp", "dport"), AnonymousSet((1, 2))),)
    assert form(Match(Payload("tcp", "dport"), AnonymousSet((Range(2, 2), 1)))) == (Match(Payload("tcp", "dport"), Range(1, 2)),)


def test_a_mask_that_is_a_prefix_is_one() -> None:
    masked = BinaryOperation("&", Payload("ip", "daddr"), ip_address("255.255.0.0"))
    assert form(Match(masked, ip_address("10.42.0.0"))) == (Match(Payload("ip", "daddr"), Prefix(ip_network("10.42.0.0/16"))),)
    odd = Match(BinaryOperation("&", Payload("ip", "daddr"), ip_address("255.0.255.0")), ip_address("10.0.1.0"))
    assert form(odd) == (odd,)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (BinaryOperation("|", MARK, 0x4000), BinaryOperation("|", MARK, 0x4000)),
        (BinaryOperation("|", MARK, 0), MARK),
        (BinaryOperation("^", BinaryOperation("&", MARK, 0xFFFFBFFF), 0x4000), BinaryOperation("|", MARK, 0x4000)),
        (BinaryOperation("&", BinaryOperation("&", MARK, 0xFF), 0x0F), BinaryOperation("&", MARK, 0x0F)),
        (
            BinaryOperation("|", BinaryOperation("&", MARK, 0xFFFF4000), 0x4000),
            BinaryOperation("|", BinaryOperation("&", MARK, 0xFFFF0000), 0x4000),
        ),
    ],
)
def test_a_chain_of_operations_on_a_mark_is_one_mask_and_one_change(written: Expression, kept: Expression) -> None:
    assert form(Mangle(MARK, written)) == (Mangle(MARK, kept),)


def test_what_is_the_default_is_left_out() -> None:
    assert form(Reject("icmp", "port-unreachable")) == (Reject(),)
    assert form(Reject("icmpx", "port-unreachable"), family="inet") == (Reject(),)
    assert form(Reject("icmp", "host-unreachable")) == (Reject("icmp", "host-unreachable"),)
    assert form(Limit(10, "second")) == (Limit(10, "second", 5),)
    assert form(Nat("snat", ip_address("10.0.0.1"), family="ip")) == (Nat("snat", ip_address("10.0.0.1")),)
    assert form(Nat("snat", ip_address("10.0.0.1")), family="inet") == (Nat("snat", ip_address("10.0.0.1"), family="ip"),)


def test_a_map_that_is_asked_for_an_address_says_of_which_protocol_a_reject_is() -> None:
    marked = Mangle(MARK, MapLookup(Payload("ip", "saddr"), SetRef("marks")))
    assert form(marked, Reject(), family="inet") == (marked, Reject("icmp", "port-unreachable"))


def test_named_sets_are_compared_without_order_and_merged_where_they_say_so() -> None:
    halves = (Prefix(ip_network("10.0.0.128/25")), Prefix(ip_network("10.0.0.0/25")))

    def pools(*, merge: bool) -> NftTable:
        return canonical(NftTable("ip", "t", sets=(NftSet("pools", ("ipv4_addr",), halves, ("interval",), merge),)))

    assert pools(merge=True).sets[0].elements == (Prefix(ip_network("10.0.0.0/24")),)
    assert pools(merge=False).sets[0].elements == tuple(reversed(halves))


def test_map_keys_are_known_by_number_or_name() -> None:
    def services(protocol: int | str) -> NftTable:
        key = Concat((ip_address("10.0.0.1"), protocol, 80))
        found = NftMap("services", ("ipv4_addr", "inet_proto", "inet_service"), "verdict", ((key, Verdict("drop")),))
        return canonical(NftTable("ip", "t", maps=(found,)))

    assert services(6) == services("tcp")


# -- JSON ----------------------------------------------------------------------------------------------------------


def listed(*statements: dict[str, Any]) -> dict[str, Any]:
    """A document as `nft -j list ruleset` prints it, with one rule of these statements."""
    chain = {"family": "ip", "table": "t", "name": "c"}
    rule = {"family": "ip", "table": "t", "chain": "c", "handle": 3, "expr": list(statements)}
    return {"nftables": [{"metainfo": {}}, {"table": {"family": "ip", "name": "t"}}, {"chain": chain}, {"rule": rule}]}


def test_what_has_no_class_survives_a_round_trip() -> None:
    hashed = {"jhash": {"mod": 5, "expr": {"payload": {"protocol": "ip", "field": "saddr"}}}}
    statements = ({"mangle": {"key": {"meta": {"key": "mark"}}, "value": hashed}}, {"queue": {"num": 1}})
    (table,) = from_json(listed(*statements))
    (read,) = table.chains[0].rules
    mangle, opaque = read.statements
    assert isinstance(mangle, Mangle)
    assert isinstance(mangle.value, OpaqueExpression)
    assert isinstance(opaque, OpaqueStatement)
    assert read.handle == 3
    assert to_json([table])["nftables"][-1]["add"]["rule"]["expr"] == list(statements)
    assert not has_text(table)


def test_elements_are_what_they_hold_whatever_is_counted_beside_them() -> None:
    element = {"elem": {"val": "1.2.3.4", "timeout": 30, "counter": {"packets": 5, "bytes": 5}}}
    body = {"family": "ip", "table": "t", "name": "s", "type": "ipv4_addr", "handle": 1, "elem": [element]}
    (table,) = from_json({"nftables": [{"table": {"family": "ip", "name": "t"}}, {"set": body}]})
    assert table.sets[0].elements == (ip_address("1.2.3.4"),)


def test_a_range_of_marks_that_nft_lists_as_a_prefix_is_that_range() -> None:
    either = {"set": [{"prefix": {"addr": 0, "len": 31}}, 9]}
    (match,) = (
        from_json(listed({"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": either}}))[0].chains[0].rules[0].statements
    )
    assert match == Match(Meta("mark"), AnonymousSet((Range(0, 1), 9)))


def test_more_than_two_operands_are_joined_from_the_left() -> None:
    masked = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, {"|": ["fin", "syn", "rst"]}]}
    (match,) = from_json(listed({"match": {"op": "==", "left": masked, "right": "syn"}}))[0].chains[0].rules[0].statements
    flags = BinaryOperation("|", BinaryOperation("|", "fin", "syn"), "rst")
    assert match == Match(BinaryOperation("&", Payload("tcp", "flags"), flags), "syn")


# -- text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "text"),
    [
        ((SSH, Counter(5, 300), ACCEPT), "tcp dport 22 counter accept"),
        ((Match(Meta("iifname"), AnonymousSet(("eth0", "cali*"))),), 'iifname { "eth0", "cali*" }'),
        ((Match(Ct("state"), AnonymousSet(("established", "related")), "in"), ACCEPT), "ct state established,related accept"),
        ((Match(Ct("status"), "dnat"),), "ct status == dnat"),
        ((Match(Ct("daddr", "original", "ip"), ip_address("10.0.0.1")),), "ct original ip daddr 10.0.0.1"),
        ((Match(BinaryOperation("&", MARK, 0x4000), 0x4000, "!="),), "meta mark & 0x4000 != 0x4000"),
        ((Mangle(MARK, BinaryOperation("|", BinaryOperation("&", MARK, 0xFF00), 1)),), "meta mark set meta mark & 0xff00 | 0x1"),
        ((Mangle(MARK, BinaryOperation("&", BinaryOperation("|", MARK, 1), 0xFF)),), "meta mark set (meta mark | 0x1) & 0xff"),
        ((Match(Fib("oif", ("saddr", "iif")), False), Verdict("drop")), "fib saddr . iif oif missing drop"),
        ((Match(Fib("type", ("daddr",)), "local"),), "fib daddr type local"),
        ((Match(Numgen("random", 100), 30, "<"), Verdict("drop")), "numgen random mod 100 < 30 drop"),
        (
            (VerdictMap(Numgen("random", 2), AnonymousMap(((0, Verdict("goto", "a")), (1, Verdict("goto", "b"))))),),
            "numgen random mod 2 vmap { 0 : goto a, 1 : goto b }",
        ),
        (
            (VerdictMap(Concat((Payload("ip", "daddr"), Meta("l4proto"), Payload("th", "dport"))), SetRef("services")),),
            "ip daddr . meta l4proto . th dport vmap @services",
        ),
        (
            (Match(BinaryOperation("&", Payload("tcp", "flags"), BinaryOperation("|", "syn", "rst")), "syn"),),
            "tcp flags & (syn | rst) == syn",
        ),
        ((Mangle(TcpOption("maxseg", "size"), RoutingMtu()),), "tcp option maxseg size set rt mtu"),
        ((Mangle(MARK, MapLookup(Payload("ip", "saddr"), SetRef("marks"))),), "meta mark set ip saddr map @marks"),
        ((Nat("masquerade", flags=("random", "fully-random")),), "masquerade random,fully-random"),
        ((Nat("dnat", ip_address("10.0.0.1"), 8080),), "dnat to 10.0.0.1:8080"),
        ((Nat("redirect", port=Range(1, 9)),), "redirect to :1-9"),
        ((Reject("icmp", "host-unreachable"),), "reject with icmp type host-unreachable"),
        ((Reject("tcp reset"),), "reject with tcp reset"),
        ((Limit(10, "second", 7, True), Log("seen: ", 2)), 'limit rate over 10/second burst 7 packets log prefix "seen: " group 2'),
        ((NoTrack(), Verdict("jump", "two")), "notrack jump two"),
    ],
)
def test_a_rule_reads_as_an_operator_writes_it(statements: tuple[Statement, ...], text: str) -> None:
    assert rule_text(NftRule(statements), "ip") == text


def test_in_inet_the_family_of_an_address_is_said() -> None:
    rule = NftRule((Nat("dnat", ip_address("fd00::1"), 8080),), "to six")
    assert rule_text(rule, "inet") == 'dnat ip6 to [fd00::1]:8080 comment "to six"'


def test_a_table_reads_as_nft_lists_it() -> None:
    table = NftTable(
        "ip",
        "nat",
        (Chain("post", (NftRule((Nat("masquerade"),)),), "nat", "postrouting", 100, "accept"), Chain("empty")),
        (NftSet("pools", ("ipv4_addr",), (Prefix(ip_network("10.0.0.0/8")),), ("interval",), True),),
        (NftMap("marks", ("ipv4_addr",), "mark", ((ip_address("10.0.0.1"), 0x4000),)),),
    )
    assert (
        table_text(table).replace("\t", "  ")
        == """\
table ip nat {
  set pools {
    type ipv4_addr
    flags interval
    auto-merge
    elements = { 10.0.0.0/8 }
  }

  map marks {
    type ipv4_addr : mark
    elements = { 10.0.0.1 : 0x4000 }
  }

  chain post {
    type nat hook postrouting priority 100; policy accept;
    masquerade
  }

  chain empty {
  }
}
"""
    )


@pytest.mark.parametrize("name", ["fwd", "policy", "3com", "a b"])
def test_some_names_nft_reads_only_as_json(name: str) -> None:
    assert not has_text(NftTable("ip", "t", (Chain(name),)))
    assert has_text(NftTable("ip", "t", (Chain("cali-FORWARD"),)))


LISTED = """table netdev t {
\tchain one {
\t\ttype filter hook ingress device "eth0" priority filter; policy accept;
\t}

\tchain several {
\t\ttype filter hook egress devices = { eth0, "a-b" } priority 5; policy accept;
\t\tmeta mark 1 drop
\t}
}
table inet t {
\tchain one {
\t\ttype filter hook ingress device "eth1" priority filter; policy accept;
\t}
}
"""
"""What nft 1.0.6 prints, whose JSON leaves devices out."""


def test_the_devices_of_chains_are_read_from_text() -> None:
    written = [
        NftTable(
            "netdev", "t", (Chain("one", (), "filter", "ingress", 0, "accept"), Chain("several", (), "filter", "egress", 5, "accept"))
        ),
        NftTable("inet", "t", (Chain("one", (), "filter", "ingress", 0, "accept"), Chain("plain"))),
    ]
    read = with_devices(written, LISTED)
    assert [[chain.devices for chain in table.chains] for table in read] == [[("eth0",), ("eth0", "a-b")], [("eth1",), ()]]


def test_devices_that_json_tells_are_kept() -> None:
    written = NftTable("netdev", "t", (Chain("one", (), "filter", "ingress", 0, "accept", ("eth7",)),))
    assert with_devices([written], LISTED) == (written,)
