"""All packets: classes of addresses are exact, the fast engine and the explainer agree, and a difference says what changed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.forwarding import Dropped, Flow, Network, Reason, Unknown, trace
from lab.forwarding.reach import difference, reach, versions
from lab.forwarding.reach.classes import distinctions, join, nest, own_part, representative
from lab.forwarding.reach.fast import FastReach, Fate, compile_reach, host_pairs
from lab.state import AddressEntry, Link, Loopback, Route, State, StateBuilder, complete
from tests.forwarding import six

PREFIXES = st.builds(lambda address, length: IPv4Network((address, length), strict=False), st.integers(0, 0xFFFFFFFF), st.integers(0, 32))


@given(st.lists(PREFIXES, max_size=30))
def test_the_own_parts_of_nested_prefixes_cut_the_address_space_into_pieces(prefixes: list[IPv4Network]) -> None:
    nesting = nest(prefixes)
    parts = [part for number in range(len(nesting.prefixes)) for part in own_part(nesting, number)]
    assert sum(part.num_addresses for part in parts) == 2**32
    assert join(parts) == (IPv4Network("0.0.0.0/0"),)


@given(st.lists(PREFIXES, max_size=30))
def test_a_representative_is_decided_by_its_own_prefix(prefixes: list[IPv4Network]) -> None:
    nesting = nest(prefixes)
    for number, prefix in enumerate(nesting.prefixes):
        address = representative(nesting, number)
        if address is None:
            assert own_part(nesting, number) == ()
        else:
            longest = max((p for p in nesting.prefixes if address in p), key=lambda p: p.prefixlen)
            assert longest == prefix


# -- the fast engine -----------------------------------------------------------------------------------------------


def routed_network(random: Random, count: int) -> State:
    """Namespaces wired at random, with routes by shortest path of which some are lost, and source checks here and there."""
    builder = StateBuilder()
    neighbours: dict[int, list[tuple[int, str, IPv4Address]]] = {number: [] for number in range(count)}
    for number in range(count):
        made = builder.add_namespace(f"n{number}")
        made.sysctl("net/ipv4/ip_forward", 0 if random.random() < 0.1 else 1)
        # Neighbours are asked for with an address of the link, so that no source check refuses the question already.
        made.sysctl("net/ipv4/conf/all/arp_announce", 2)
        made.add_address(AddressEntry("lo", ip(f"10.200.{number // 250}.{number % 250 + 1}/32")))
    pairs = [(random.randrange(number), number) for number in range(1, count)]
    pairs += [tuple(sorted(random.sample(range(count), 2))) for _ in range(count // 3)]  # type: ignore[misc]
    for link, (one, other) in enumerate(dict.fromkeys(pairs)):
        first, second = IPv4Address(0x0A000001 + link * 4), IPv4Address(0x0A000002 + link * 4)
        near, far = f"e{link}a", f"e{link}b"
        builder.add_veth(
            (f"n{one}", Link(near, Loopback(), mac=mac(2 * link))), (f"n{other}", Link(far, Loopback(), mac=mac(2 * link + 1)))
        )
        builder[f"n{one}"].add_address(AddressEntry(near, ip(f"{first}/30")))
        builder[f"n{other}"].add_address(AddressEntry(far, ip(f"{second}/30")))
        neighbours[one].append((other, near, second))
        neighbours[other].append((one, far, first))
        for name, device in ((f"n{one}", near), (f"n{other}", far)):
            builder[name].sysctl(f"net/ipv4/conf/{device}/rp_filter", random.choice((0, 0, 1, 2)))
    for start in range(count):
        ways: dict[int, tuple[str, IPv4Address] | None] = {start: None}
        waiting = [start]
        while waiting:
            here = waiting.pop(0)
            for there, device, address in neighbours[here]:
                if there not in ways:
                    ways[there] = ways[here] or (device, address)
                    waiting.append(there)
        for there, way in ways.items():
            if way is not None and random.random() > 0.1:
                target = IPv4Network(f"10.200.{there // 250}.{there % 250 + 1}/32")
                kind = "blackhole" if random.random() < 0.03 else "unicast"
                builder[f"n{start}"].add_route(
                    Route(target, kind) if kind == "blackhole" else Route(target, via=way[1], device=way[0])  # type: ignore[arg-type]
                )
    return complete(builder.freeze())


def ip(text: str) -> Any:
    from ipaddress import IPv4Interface

    return IPv4Interface(text)


def mac(number: int) -> str:
    return f"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def explained(network: Network, source: str, to: IPv4Address, sending_from: IPv4Address) -> tuple[Fate, str]:
    """The fate the explainer gives, in the fast engine's words."""
    verdict = trace(network, Flow(source, to, source_address=sending_from)).request.verdict
    if isinstance(verdict, Unknown):
        return Fate.UNKNOWN, verdict.namespace
    if not isinstance(verdict, Dropped):
        return Fate.DELIVERED, verdict.namespace
    words = {
        Reason.NO_ROUTE: Fate.NO_ROUTE,
        Reason.BLACKHOLE: Fate.BLACKHOLE,
        Reason.NOT_FORWARDING: Fate.NOT_FORWARDING,
        Reason.RP_FILTER: Fate.REVERSE_PATH,
        Reason.TTL: Fate.LOOP,
        Reason.NEIGHBOUR: Fate.NO_NEIGHBOUR,
    }
    return words[verdict.reason], verdict.namespace


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_the_fast_engine_and_the_explainer_agree_on_random_routed_networks(seed: int) -> None:
    random = Random(seed)
    state = routed_network(random, random.randint(3, 14))
    network, fast = Network(state), compile_reach(state)
    hosts = [(n.name, next(a.interface.ip for a in n.addresses if a.interface.network.prefixlen == 32)) for n in state]
    table = host_pairs(fast, hosts, [address for _, address in hosts])  # type: ignore[arg-type, misc]
    for row, (name, sending_from) in enumerate(hosts):
        for column, (_, to) in enumerate(hosts):
            fate, place = explained(network, name, to, sending_from)  # type: ignore[arg-type]
            mine = Fate(int(table[row, column]))
            assert mine == fate, f"{name} to {to}: fast says {mine.name}, explained {fate.name} at {place}"


def test_a_changed_route_is_refreshed_as_if_compiled_anew() -> None:
    state = routed_network(Random(5), 12)
    fast = compile_reach(state)
    route = next(r for r in state["n3"].routes if r.via is not None)
    assert isinstance(route.destination, IPv4Network)
    fast.change_route("n3", route.destination, Fate.BLACKHOLE)
    changed = StateBuilder(state)
    changed["n3"].delete_routes(route.destination)
    changed["n3"].add_route(Route(route.destination, "blackhole"))
    again: FastReach = compile_reach(changed.freeze())
    assert np.array_equal(fast.fate, again.fate)
    assert np.array_equal(fast.place, again.place)


def test_what_is_not_plain_routing_is_unknown_to_the_fast_engine_and_settled_by_the_explainer(row: Any) -> None:
    row.rule("r", "100: fwmark 0x1 lookup 7")
    fate, place = compile_reach(row.state).fate_of("a", IPv4Address("10.2.0.2"))
    assert (fate, place) == (Fate.UNKNOWN, "r")


# -- the matrix and differences ------------------------------------------------------------------------------------


def test_the_matrix_tells_for_every_address_what_a_namespace_experiences(row: Any) -> None:
    row.route("r", "blackhole 10.9.0.0/16", "prohibit 10.9.4.0/24")
    found = reach(row.state, sources=["a"])
    assert found.cell("a", IPv4Address("10.2.0.2")).answer == "reply"
    assert found.cell("a", IPv4Address("10.9.1.1")).outcome == "silence"
    assert found.cell("a", IPv4Address("10.9.4.7")).outcome == "error: packet filtered from 10.1.0.1"
    assert "no route" in found.cell("a", IPv4Address("8.8.8.8")).reason


def test_every_address_is_in_exactly_one_cell_of_a_row(row: Any) -> None:
    cells = reach(row.route("r", "blackhole 10.9.0.0/16").state, sources=["a"]).of("a")
    parts = [part for cell in cells for part in cell.addresses]
    assert sum(part.num_addresses for part in parts) == sum(part.num_addresses for part in join(parts))
    special = sum(IPv4Network(text).num_addresses for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"))
    assert sum(part.num_addresses for part in parts) == 2**32 - special


def test_one_way_pairs_are_found(row: Any) -> None:
    row.builder["b"].delete_routes(IPv4Network("0.0.0.0/0"))
    found = reach(row.state, sources=["a"])
    assert [str(part) for cell in found.answering("one-way") for part in cell.addresses] == ["10.2.0.2/32"]


def test_a_difference_is_an_exact_set_of_addresses_with_what_was_and_what_is(row: Any) -> None:
    before = row.state
    row.route("r", "blackhole 10.2.0.2/32", "10.9.0.0/17 via 10.2.0.2 dev right")
    row.address("b", "lo", "10.9.1.1/32")
    found = {(d.source, d.change): d for d in difference(before, row.state) if d.source == "a"}
    assert [str(part) for part in found["a", "newly lost"].addresses] == ["10.2.0.2/32"]
    assert "blackhole" in found["a", "newly lost"].after
    assert [str(part) for part in found["a", "newly reachable"].addresses] == ["10.9.1.1/32"]


def test_the_distinctions_of_a_state_include_what_only_a_rule_set_names(row: Any) -> None:
    from lab.state.nft import Match, Payload, Prefix, Verdict

    row.chain("r", "forward", (Match(Payload("ip", "daddr"), Prefix(IPv4Network("10.77.0.0/18"))), Verdict("drop")))
    assert IPv4Network("10.77.0.0/18") in distinctions(row.state)


# -- the three questions -------------------------------------------------------------------------------------------


def two_ways(net: Any) -> Any:
    """a reaches b by r1 or by r2, as the hash falls."""
    net.node("a").router("r1").router("r2").node("b")
    net.wire("a:one 10.1.1.2/24", "r1:in 10.1.1.1/24").wire("a:two 10.1.2.2/24", "r2:in 10.1.2.1/24")
    net.wire("r1:out 10.2.1.1/24", "b:one 10.2.1.2/24").wire("r2:out 10.2.2.1/24", "b:two 10.2.2.2/24")
    net.address("b", "lo", "10.9.9.9/32").route("a", "10.9.9.9/32 nexthop via 10.1.1.1 dev one nexthop via 10.1.2.1 dev two")
    for router, out in (("r1", "10.2.1.2"), ("r2", "10.2.2.2")):
        net.route(router, f"10.9.9.9/32 via {out} dev out")
    return net.route("b", "10.1.1.0/24 via 10.2.1.1 dev one", "10.1.2.0/24 via 10.2.2.1 dev two")


def test_a_pair_that_depends_on_ecmp_is_told_with_the_lot_that_loses_the_packet(net: Any) -> None:
    assert reach(two_ways(net).state, sources=["a"]).cell("a", IPv4Address("10.9.9.9")).answer == "reply"
    net.route("r2", "blackhole 10.9.9.8/31").builder["r2"].delete_routes(IPv4Network("10.9.9.9/32"))
    (cell,) = reach(net.state, sources=["a"], within=[IPv4Network("10.9.9.9/32")]).left_to_chance
    assert [str(part) for part in cell.addresses] == ["10.9.9.9/32"]
    assert cell.depends_on == ("ECMP in a: two via 10.1.2.1",)


def test_only_the_addresses_asked_about_are_told_exactly(row: Any) -> None:
    asked = [IPv4Network("10.2.0.2/32"), IPv4Network("10.9.1.0/25")]
    cells = reach(row.state, sources=["a"], within=asked).cells
    assert sorted(part for cell in cells for part in cell.addresses) == asked


def tunnelled(mtu: int) -> Any:
    from tests.forwarding.conftest import three_in_a_row

    row = three_in_a_row()
    row.builder["r"].change_link("right", mtu=mtu)
    row.builder["b"].change_link("eth0", mtu=mtu)
    return row


@settings(max_examples=20)
@given(st.integers(100, 1499))
def test_the_size_up_to_which_a_pair_works_is_exact(mtu: int) -> None:
    network = Network(tunnelled(mtu).state)
    cell = reach(network, sources=["a"], within=[IPv4Network("10.2.0.2/32")], sizes=True).cell("a", IPv4Address("10.2.0.2"))
    assert cell.limit is not None
    assert cell.limit.largest == mtu
    assert cell.limit.told
    assert f"fragmentation needed (mtu {mtu})" in cell.limit.beyond
    for size, kind in ((mtu, "reply"), (mtu + 1, "error")):
        assert trace(network, Flow("a", IPv4Address("10.2.0.2"), size=size, df=True)).outcome.kind == kind


def test_a_way_that_swallows_long_packets_is_told_from_one_that_says_so(row: Any) -> None:
    row.builder["b"].change_link("eth0", mtu=1400)  # r believes in 1500
    found = reach(row.state, sources=["a"], sizes=True)
    (limited,) = [cell for cell in found.limited if IPv4Network("10.2.0.2/32") in cell.addresses]
    assert limited.limit is not None
    assert (limited.limit.largest, limited.limit.beyond, limited.limit.told) == (1404, "silence", False)  # a VLAN tag's length is let pass


def test_what_takes_as_much_as_the_senders_own_link_has_no_limit(row: Any) -> None:
    assert reach(row.state, sources=["a"], sizes=True).limited == ()


# -- IPv6 ----------------------------------------------------------------------------------------------------------

SIX = Flow("", IPv6Address(0))
PREFIXES_6 = st.builds(
    lambda address, length: IPv6Network((address, length), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)
)


@given(st.lists(PREFIXES_6, max_size=30))
def test_nested_prefixes_of_ipv6_cut_their_address_space_into_pieces_too(prefixes: list[IPv6Network]) -> None:
    nesting = nest(prefixes, 6)
    parts = [part for number in range(len(nesting.prefixes)) for part in own_part(nesting, number)]
    assert sum(part.num_addresses for part in parts) == 2**128
    assert join(parts) == (IPv6Network("::/0"),)


def blackholed() -> State:
    """The network of IPv6, whose router has a blackhole and a prohibit route."""
    return six.network(router_routes=[six.route("2001:db8:9::/48", type="blackhole"), six.route("2001:db8:9:4::/64", type="prohibit")])


def test_the_matrix_of_ipv6_tells_what_a_namespace_experiences() -> None:
    found = reach(blackholed(), sources=["a"], flow=SIX)
    assert found.cell("a", six.B).answer == "reply"
    assert found.cell("a", IPv6Address("2001:db8:9:1::1")).outcome == "silence"
    assert found.cell("a", IPv6Address("2001:db8:9:4::7")).outcome == "error: administratively prohibited from 2001:db8:1::1"
    assert "no route" in found.cell("a", IPv6Address("2001:db8:77::1")).reason


def test_every_address_of_ipv6_is_in_exactly_one_cell_of_a_row() -> None:
    parts = [part for cell in reach(blackholed(), sources=["a"], flow=SIX).of("a") for part in cell.addresses]
    assert sum(part.num_addresses for part in parts) == sum(part.num_addresses for part in join(parts))
    special = sum(IPv6Network(text).num_addresses for text in ("::/127", "fe80::/10", "ff00::/8"))
    assert sum(part.num_addresses for part in parts) == 2**128 - special


def test_a_cell_of_ipv6_says_of_each_address_what_a_trace_of_it_says() -> None:
    state = blackholed()
    random = Random(3)
    for cell in reach(state, sources=["a", "b"], flow=SIX).cells:
        for part in random.sample(cell.addresses, min(3, len(cell.addresses))):
            address = part[random.randrange(part.num_addresses)]
            kind = trace(Network(state), Flow(cell.source, address)).outcome.kind
            assert (kind == "reply") == (cell.answer == "reply"), (cell, address)
            assert (kind == "unknown") == (cell.answer == "unknown"), (cell, address)


def test_only_those_who_speak_ipv6_are_asked_about_it() -> None:
    assert versions(blackholed()) == (4, 6)
    assert {cell.source for cell in reach(blackholed(), flow=SIX).cells} == {"a", "r", "b"}


def test_nobody_speaks_ipv6_with_a_link_local_address_alone(row: Any) -> None:
    assert versions(row.state) == (4,)
    assert reach(row.state, flow=SIX).cells == ()


def test_the_text_for_a_class_names_no_single_address_of_it() -> None:
    cells = reach(blackholed(), sources=["a"], flow=SIX).of("a")
    (on_link,) = [cell for cell in cells if cell.reason and IPv6Network("2001:db8:1::4/126") in cell.addresses]
    assert "its solicited-node group" in on_link.reason
    assert "the receiver does not answer" in on_link.reason


def test_a_difference_of_ipv6() -> None:
    before, after = six.network(), six.network(router_routes=[six.route("2001:db8:2::2/128", type="blackhole")])
    (lost,) = [one for one in difference(before, after, flow=SIX) if one.change == "newly lost" and one.source == "a"]
    assert lost.addresses == (IPv6Network("2001:db8:2::2/128"),)
    assert {one.change for one in difference(before, after)} == {"still broken"}
