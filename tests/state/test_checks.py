"""A state the kernel could not hold is refused, with every mistake at its place."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from lab.errors import InputErrors, Place
from lab.state import (
    LO,
    AddressEntry,
    Bridge,
    BridgePort,
    FdbEntry,
    Link,
    Listener,
    Macvlan,
    Namespace,
    Neighbour,
    NextHop,
    Program,
    Provenance,
    Route,
    Rule,
    State,
    Veth,
    Vxlan,
    check,
    complete,
    mistakes,
)
from lab.state.nft import (
    AnonymousMap,
    Chain,
    Match,
    NamedCounter,
    Nat,
    NftMap,
    NftRule,
    NftSet,
    NftTable,
    Numgen,
    Payload,
    SetRef,
    StatefulObject,
    Verdict,
    VerdictMap,
)

WRITTEN = Provenance("operator", "typed it", Place("net.yaml", 7, 3))

ETH0 = Link("eth0", Veth("b", "eth0"))
A = Namespace("a", links=(LO, ETH0), addresses=(AddressEntry("eth0", ip_interface("10.0.0.1/24")),))
B = Namespace("b", links=(LO, Link("eth0", Veth("a", "eth0"))))


def found(**changes: Any) -> list[str]:
    """The mistakes of namespace a after these changes."""
    return [mistake.message.removeprefix("namespace a: ") for mistake in mistakes(State({"a": replace(A, **changes), "b": B}))]


def of_chains(*chains: Chain, **parts: Any) -> list[str]:
    return found(tables=(NftTable("ip", "filter", chains, **parts),))


def of_rule(*statements: Any) -> list[str]:
    return of_chains(Chain("one", (NftRule(statements),)))


def test_a_sound_state_passes() -> None:
    check(complete(State({"a": A, "b": B})))


def test_all_mistakes_come_together_in_the_order_of_their_places() -> None:
    late = Route(ip_network("10.1.0.0/16"), device="eth7", provenance=WRITTEN)
    early = Rule(5, provenance=replace(WRITTEN, place=Place("net.yaml", 2)))
    with pytest.raises(InputErrors) as caught:
        check(State({"a": replace(A, routes=(late,), rules=(early,)), "b": B}))
    assert [error.place for error in caught.value.errors] == [Place("net.yaml", 2), Place("net.yaml", 7, 3)]


def test_a_misspelt_link_is_answered_with_the_nearest() -> None:
    (mistake,) = mistakes(State({"a": replace(A, routes=(Route(ip_network("10.1.0.0/16"), device="eht0"),)), "b": B}))
    assert mistake.message == "namespace a: the route to 10.1.0.0/16 in table 254: there is no link eht0"
    assert mistake.hint == "did you mean 'eth0'?"


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (Link("a-name-of-16-byte", Bridge()), "longer than 15 bytes"),
        (Link("", Bridge()), "is no name"),
        (Link("a b", Bridge()), "white space"),
        (Link("x", Bridge(), mtu=10), "10 is no MTU"),
        (Link("x", Bridge(), mac="02-00-00-00-00-01"), "is no MAC address"),
        (Link("x", Bridge(), mac="01:00:00:00:00:01"), "is a group address"),
        (Link("x", Bridge(), master="br0"), "there is no link br0"),
        (Link("x", Bridge(), master="eth0"), "its master eth0 is no bridge"),
        (Link("x", Bridge(), port=BridgePort()), "has the settings of a port and is none"),
        (Link("x", Vxlan(1 << 24, 4789)), "is no VNI"),
        (Link("x", Vxlan(1, 0)), "0 is no UDP port"),
        (Link("x", Vxlan(1, 4789, device="eth9")), "there is no link eth9"),
        (Link("x", Macvlan("eth9")), "there is no link eth9"),
        (Link("x", Veth("nowhere", "y")), "its other end would be in nowhere, which is not there"),
        (Link("x", Veth("b", "y")), "its other end, y in b, is not there"),
        (Link("x", Veth("b", "eth0")), "eth0 in b is not its other end"),
        (Link("x", Veth("a", "x")), "is its own other end"),
        (ETH0, "link eth0 is there twice"),
    ],
)
def test_links(link: Link, message: str) -> None:
    assert any(message in mistake for mistake in found(links=(LO, ETH0, link)))


def test_two_vxlan_devices_of_one_vni_and_port_cannot_be() -> None:
    links = tuple(Link(name, Vxlan(4096, 4789, device=device)) for name, device in (("one", None), ("two", "eth0")))
    assert found(links=(LO, ETH0, *links)) == ["link two: another VXLAN device over IPv4 has its VNI and port"]
    assert found(links=(LO, ETH0, links[0], replace(links[1], kind=Vxlan(4096, 4790)))) == []
    assert found(links=(LO, ETH0, links[0], replace(links[1], kind=Vxlan(4096, 4789, ip_address("fd00::1"))))) == []


V4, V6, GROUP, NEAR = (ip_address(text) for text in ("10.0.0.1", "fd00::1", "ff05::1", "fe80::1"))


@pytest.mark.parametrize(
    ("tunnel", "message"),
    [
        (Vxlan(1, 4789, V4, V6), "10.0.0.1 is an address of IPv4 and fd00::1 one of IPv6"),
        (Vxlan(1, 4789, GROUP), "its local address ff05::1 is one of a group"),
        (Vxlan(1, 4789, V6, GROUP), "to the group ff05::1 it sends by a device"),
        (Vxlan(1, 4789, NEAR), "fe80::1 is on every link"),
        (Vxlan(1, 4789, V6, NEAR, "eth0"), "fe80::1 does not leave its link, and fd00::1 is beyond it"),
    ],
)
def test_the_ends_of_a_tunnel_go_together(tunnel: Vxlan, message: str) -> None:
    assert any(message in mistake for mistake in found(links=(LO, ETH0, Link("vx", tunnel))))


@pytest.mark.parametrize("ends", [(V6, V6 + 1), (V6, GROUP), (NEAR, None)])
def test_tunnels_over_ipv6_need_it_below(ends: tuple[Any, Any]) -> None:
    links, off = (LO, ETH0, Link("vx", Vxlan(1, 4789, *ends, "eth0"))), "link vx: its lower device eth0 has IPv6 switched off"
    assert found(links=links) == []
    assert found(links=links, sysctls={"net/ipv6/conf/all/disable_ipv6": "1"}) == [off]
    assert found(links=links, sysctls={"net/ipv6/conf/default/disable_ipv6": "1", "net/ipv6/conf/eth0/disable_ipv6": "0"}) == []


@pytest.mark.parametrize(("local", "destination"), [(V4, V6), (V6, V4), (None, V6)])
def test_an_fdb_entry_leads_to_a_vtep_of_the_tunnels_version(local: Any, destination: Any) -> None:
    links, entry = (LO, ETH0, Link("vx", Vxlan(1, 4789, local))), FdbEntry("vx", "02:00:00:00:00:01", destination)
    (mistake,) = found(links=links, fdb=(entry,))
    assert mistake.endswith(f"names the VTEP {destination}, and vx is a tunnel over IPv{10 - destination.version}")


def test_the_ends_of_a_pair_have_mac_addresses_of_their_own() -> None:
    mac = "02:00:00:00:00:01"
    one, other = replace(ETH0, mac=mac), Link("eth0", Veth("a", "eth0"), mac=mac)
    both = State({"a": replace(A, links=(LO, one)), "b": replace(B, links=(LO, other))})
    assert len(list(mistakes(both))) == 2


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (AddressEntry("eth0", ip_interface("10.0.0.1/24")), "eth0 has address 10.0.0.1/24 twice"),
        (AddressEntry("eth1", ip_interface("10.0.0.1/24")), "there is no link eth1"),
        (AddressEntry("eth0", ip_interface("224.0.0.1/24")), "is no address of a host"),
        (AddressEntry("eth0", ip_interface("10.1.0.1/32"), peer=ip_interface("10.1.0.2/24")), "differ in length"),
    ],
)
def test_addresses(entry: AddressEntry, message: str) -> None:
    assert any(message in mistake for mistake in found(addresses=(*A.addresses, entry)))


ANY = ip_network("0.0.0.0/0")
GATEWAY = ip_address("10.0.0.9")


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (Route(ANY), "leads nowhere"),
        (Route(ANY, via=GATEWAY, hops=(NextHop(GATEWAY), NextHop(GATEWAY, weight=2))), "next hops and a way of its own"),
        (Route(ANY, hops=(NextHop(GATEWAY),)), "one next hop in a list"),
        (Route(ANY, hops=(NextHop(GATEWAY, "eth5"), NextHop(GATEWAY, "eth0"))), "there is no link eth5"),
        (Route(ANY, "blackhole", via=GATEWAY), "is of type blackhole and leads somewhere"),
        (Route(ANY, device="eth0", table=0), "is in no table"),
        (Route(ip_network("::/0"), via=GATEWAY), "through a gateway of IPv4"),
    ],
)
def test_routes(route: Route, message: str) -> None:
    assert any(message in mistake for mistake in found(routes=(route,)))


def test_a_table_without_routes_and_a_route_by_source_are_no_mistakes() -> None:
    assert found(rules=(Rule(100, table=4711),), routes=(Route(ANY, "blackhole"), Route(ip_network("10.0.0.0/8"), via=GATEWAY))) == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(100), "looks up no table"),
        (Rule(100, "goto", goto=200), "goes to 200, where there is no rule"),
        (Rule(100, "goto", goto=50), "goes backwards"),
        (Rule(100, table=5, source=ip_network("fd00::/8")), "is one of IPv4 and selects fd00::/8"),
    ],
)
def test_rules(rule: Rule, message: str) -> None:
    assert any(message in mistake for mistake in found(rules=(rule,)))


def test_neighbours_and_fdb_entries_belong_to_links() -> None:
    assert "there is no link eth9" in found(neighbours=(Neighbour("eth9", GATEWAY, "02:00:00:00:00:01"),))[0]
    assert "is no MAC address" in found(neighbours=(Neighbour("eth0", GATEWAY, "02:00:00:00:00"),))[0]
    assert "is no VXLAN device" in found(fdb=(FdbEntry("eth0", "02:00:00:00:00:01", GATEWAY),))[0]
    assert "is no port of one" in found(fdb=(FdbEntry("eth0", "02:00:00:00:00:01", master=True),))[0]
    entry = Neighbour("eth0", GATEWAY, "02:00:00:00:00:01")
    assert "is there twice" in found(neighbours=(entry, replace(entry, mac="02:00:00:00:00:02")))[0]


def test_sysctls_are_those_of_the_namespace() -> None:
    assert found(sysctls={"kernel/hostname": "x"}) == ["sysctl 'kernel/hostname' is not one of a network namespace"]
    assert found(sysctls={"net/../kernel/hostname": "x"}) == ["sysctl 'net/../kernel/hostname' is not one of a network namespace"]
    assert found(sysctls={"net/ipv4/conf/eht0/rp_filter": "1"}) == ["sysctl net/ipv4/conf/eht0/rp_filter: there is no link eht0"]
    assert found(sysctls={"net/ipv4/conf/eth0/rp_filter": "1", "net/ipv4/conf/all/rp_filter": "1"}) == []


def test_listeners_need_a_port_of_their_own() -> None:
    web = Listener("web", "tcp", 80)
    assert "tcp port 80 is taken" in found(listeners=(web, replace(web, name="other")))[0]
    assert "no link here has the address 10.9.9.9" in found(listeners=(replace(web, address=ip_address("10.9.9.9")),))[0]
    assert found(listeners=(web, replace(web, name="dns", protocol="udp"))) == []
    assert "has no command" in found(programs=(Program("dns", ()),))[0]


def test_a_namespace_has_a_name_that_can_be_a_file() -> None:
    odd = replace(A, name="../x", links=(LO,), addresses=())
    assert "contains a slash" in str(next(iter(mistakes(State({"../x": odd})))))
    assert "its parent gone is not there" in found(parent="gone")[0]


# -- rule sets -----------------------------------------------------------------------------------------------------


def test_a_jump_needs_a_chain_that_is_no_base_chain() -> None:
    assert "leads to chain two, which is not there" in of_rule(Verdict("jump", "two"))[0]
    base = Chain("two", (), "filter", "forward", 0)
    assert "leads to two, which is a base chain" in of_chains(Chain("one", (NftRule((Verdict("goto", "two"),)),)), base)[0]


def test_chains_do_not_lead_in_a_circle_not_even_through_a_map() -> None:
    to_two = NftRule((Verdict("jump", "two"),))
    through_map = NftRule((VerdictMap(Payload("tcp", "dport"), SetRef("services")),))
    services = NftMap("services", ("inet_service",), "verdict", ((80, Verdict("goto", "one")),))
    (message,) = of_chains(Chain("one", (to_two,)), Chain("two", (through_map,)), maps=(services,))
    assert "chains lead in a circle" in message
    choice = AnonymousMap(((0, Verdict("goto", "one")),))
    assert "chains lead in a circle" in of_rule(VerdictMap(Numgen("random", 1), choice))[0]


def test_sets_and_maps_must_be_there() -> None:
    (message,) = of_rule(Match(Payload("ip", "saddr"), SetRef("pols")))
    assert message.endswith("uses @pols, which is not there")
    pools = NftSet("pools", ("ipv4_addr",))
    assert of_chains(Chain("one", (NftRule((Match(Payload("ip", "saddr"), SetRef("pools")),)),)), sets=(pools,)) == []
    assert "is there twice" in of_chains(sets=(pools, pools))[0]


def test_counters_with_a_name_must_be_there_once() -> None:
    counting, seen = Chain("one", (NftRule((NamedCounter("sen"),)),)), StatefulObject("counter", "seen")
    (message,) = of_chains(counting, objects=(seen,))
    assert message.endswith("counts in sen, which is not there")
    assert of_chains(counting, objects=(replace(seen, name="sen"),)) == []
    assert "counter seen is there twice" in of_chains(objects=(seen, seen))[0]
    assert of_chains(objects=(seen, replace(seen, kind="quota"))) == [], "kinds have names of their own"


def test_a_base_chain_has_a_type_and_a_hook_that_go_together() -> None:
    assert "a type without a hook" in of_chains(Chain("one", type="filter"))[0]
    assert "is of type nat at forward" in of_chains(Chain("one", (NftRule((Nat("masquerade"),)),), "nat", "forward", 0))[0]
    assert "a policy and no hook" in of_chains(Chain("one", policy="drop"))[0]


def test_a_comment_can_be_quoted() -> None:
    rule = NftRule((Verdict("accept"),), 'say "no"')
    assert "quotation mark" in of_chains(Chain("one", (rule,)))[0]
    assert "longer than 127 bytes" in of_chains(Chain("one", (replace(rule, comment="x" * 128),)))[0]
