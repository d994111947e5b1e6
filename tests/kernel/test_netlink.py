"""What is packed for the kernel says what the object says: read by the other half of the encoder, it is the same object again.

That the kernel reads it the same way is shown in test_engine.py and test_engine_differences.py.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kernel.netlink import links as nl
from lab.kernel.netlink.addresses import new_address
from lab.kernel.netlink.attributes import read_attributes, string
from lab.kernel.netlink.channel import Channel
from lab.kernel.netlink.found import found_links
from lab.kernel.netlink.neighbours import new_fdb_entry, new_neighbour
from lab.kernel.netlink.routes import new_route
from lab.kernel.netlink.rules import new_rule
from lab.kernel.netlink.tables import read_address, read_fdb_entry, read_neighbour, read_route, read_rule
from lab.kernel.netlink.wire import HEADER
from lab.kernel.sandbox import Sandbox
from lab.state import (
    AddressEntry,
    Bridge,
    FdbEntry,
    Link,
    Macvlan,
    Neighbour,
    NextHop,
    PortRange,
    Route,
    Rule,
    Veth,
    Vxlan,
)

INDEXES = {"lo": 1, "eth0": 100, "vx": 101, "br0": 102}
NAMES = {index: name for name, index in INDEXES.items()}

devices = st.sampled_from(["eth0", "vx"])
macs = st.integers(0, 2**40 - 1).map(lambda number: "02:" + number.to_bytes(5, "big").hex(":"))
numbers = st.integers(1, 2**32 - 1)


def body(message: bytes) -> bytes:
    """What follows the header of a message, having checked that the header tells its length."""
    length, *_ = HEADER.unpack_from(message)
    assert length == len(message), "a message whose header does not tell its length takes its neighbours down with it"
    assert len(message) % 4 == 0, "messages of a batch follow one another on four-byte boundaries"
    return message[HEADER.size :]


def networks(version: int) -> st.SearchStrategy[IPv4Network | IPv6Network]:
    size = 32 if version == 4 else 128
    pairs = st.tuples(st.integers(0, 2**size - 1), st.integers(0, size))
    kind = IPv4Network if version == 4 else IPv6Network
    return pairs.map(lambda pair: kind((pair[0], pair[1]), strict=False))  # type: ignore[arg-type]


def addresses(version: int) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    return st.integers(1, 2**32 - 2).map(IPv4Address) if version == 4 else st.integers(1, 2**128 - 2).map(IPv6Address)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    version = draw(st.sampled_from([4, 6]))
    hops = draw(
        st.one_of(
            st.just(()),
            st.lists(
                st.builds(NextHop, addresses(version), devices, st.integers(1, 256), st.booleans()),
                min_size=2,
                max_size=4,
            ).map(tuple),
        )
    )
    return Route(
        draw(networks(version)),
        via=None if hops else draw(st.none() | addresses(version)),
        device=None if hops else draw(devices),
        table=draw(st.sampled_from([253, 254, 255, 100, 256, 70_000])),
        metric=draw(st.integers(0, 2**32 - 1)),
        source=draw(st.none() | addresses(version)),
        protocol=draw(st.integers(0, 255)),
        scope=draw(st.sampled_from(["global", "site", "link", "host", "nowhere"])),
        tos=draw(st.integers(0, 255)) & 0x1C,
        onlink=draw(st.booleans()),
        mtu=draw(st.none() | st.integers(68, 65535)),
        advmss=draw(st.none() | st.integers(1, 65535)),
        hops=hops,
    )


@given(routes())
def test_a_route_says_all_it_has(route: Route) -> None:
    assert read_route(body(new_route(route, INDEXES)), NAMES) == route


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit", "throw"])
@pytest.mark.parametrize("destination", ["10.0.0.0/24", "0.0.0.0/0", "fd00::/64"])
def test_a_route_that_leads_nowhere_needs_no_way_out(kind: str, destination: str) -> None:
    route = Route(ip_network(destination), kind)  # type: ignore[arg-type]
    assert read_route(body(new_route(route, INDEXES)), NAMES) == route


def test_an_ipv4_route_may_go_over_an_ipv6_gateway() -> None:
    route = Route(IPv4Network("10.0.0.0/24"), via=IPv6Address("fe80::1"), device="eth0")
    assert read_route(body(new_route(route, INDEXES)), NAMES) == route


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    family = draw(st.sampled_from([4, 6]))
    action = draw(st.sampled_from(["lookup", "goto", "nop", "blackhole", "unreachable", "prohibit"]))
    marked = draw(st.booleans())
    first = draw(st.none() | st.integers(0, 1000))
    ports = st.none() | st.integers(1, 60000).map(lambda port: PortRange(port, port + 10))
    # A prefix of length 0 selects everything, which is what no prefix says.
    prefixes = st.none() | networks(family).filter(lambda network: network.prefixlen > 0)
    return Rule(
        draw(st.integers(0, 32767)),
        action,
        table=draw(st.sampled_from([254, 100, 256, 70_000])) if action == "lookup" else None,
        goto=draw(st.integers(1, 32767)) if action == "goto" else None,
        source=draw(prefixes),
        destination=draw(prefixes),
        iif=draw(st.none() | devices),
        oif=draw(st.none() | devices),
        mark=draw(numbers) if marked else None,
        mask=draw(numbers) if marked else 0xFFFF_FFFF,
        tos=draw(st.integers(0, 255)) & 0x1C,
        ip_protocol=draw(st.none() | st.integers(1, 255)),
        source_ports=draw(ports),
        destination_ports=draw(ports),
        uid_first=first,
        uid_last=None if first is None else first + 5,
        inverted=draw(st.booleans()),
        suppress_prefix_length=draw(st.none() | st.integers(0, 32)),
        suppress_group=draw(st.none() | st.integers(0, 100)),
        family=family,
        protocol=draw(st.integers(0, 255)),
    )


@given(rules())
def test_a_rule_says_all_it_has(rule: Rule) -> None:
    assert read_rule(body(new_rule(rule))) == rule


def test_a_rule_for_vrf_devices_names_no_table() -> None:
    rule = Rule(1000, l3mdev=True)
    assert read_rule(body(new_rule(rule))) == rule


@given(devices, addresses(4) | addresses(6), macs, st.sampled_from(["permanent", "reachable", "stale"]))
def test_a_neighbour_says_all_it_has(device: str, address: IPv4Address, mac: str, state: str) -> None:
    neighbour = Neighbour(device, address, mac, state)  # type: ignore[arg-type]
    assert read_neighbour(body(new_neighbour(neighbour, INDEXES)), NAMES) == neighbour


@given(devices, addresses(4) | addresses(6))
def test_a_proxy_neighbour_has_no_address_but_its_own(device: str, address: IPv4Address) -> None:
    neighbour = Neighbour(device, address, None, proxy=True)
    assert read_neighbour(body(new_neighbour(neighbour, INDEXES)), NAMES) == neighbour


@pytest.mark.parametrize("what", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_neighbours_that_the_kernel_makes_for_groups_are_nobodys_business(what: str) -> None:
    made = Neighbour("eth0", IPv4Address("224.0.0.1"), what, "noarp")
    assert read_neighbour(body(new_neighbour(made, INDEXES)), NAMES) is None


@given(
    macs | st.just("00:00:00:00:00:00"),
    addresses(4) | addresses(6),
    st.none() | st.integers(1, 65535),
    st.none() | st.integers(1, 2**24 - 1),
    st.none() | st.just("eth0"),
    st.booleans(),
)
def test_an_fdb_entry_of_a_tunnel_says_all_it_has(
    mac: str, destination: IPv4Address, port: int | None, vni: int | None, via: str | None, permanent: bool
) -> None:
    entry = FdbEntry("vx", mac, destination, port, vni, via, permanent=permanent)
    assert read_fdb_entry(body(new_fdb_entry(entry, INDEXES)), NAMES, {"vx": None}, frozenset()) == entry


@given(macs, st.booleans())
def test_an_fdb_entry_of_a_bridge_says_behind_which_port(mac: str, permanent: bool) -> None:
    entry = FdbEntry("eth0", mac, master=True, permanent=permanent)
    assert read_fdb_entry(body(new_fdb_entry(entry, INDEXES)), NAMES, {}, frozenset()) == entry


def test_the_default_destination_of_a_tunnel_is_the_links_own() -> None:
    entry = FdbEntry("vx", "00:00:00:00:00:00", IPv4Address("10.0.0.9"))
    assert read_fdb_entry(body(new_fdb_entry(entry, INDEXES)), NAMES, {"vx": IPv4Address("10.0.0.9")}, frozenset()) is None


@pytest.mark.parametrize("interface", ["10.0.0.1/24", "10.0.0.1/32", "fd00::1/64"])
@pytest.mark.parametrize("no_prefix_route", [False, True])
def test_an_address_says_all_it_has(interface: str, no_prefix_route: bool) -> None:
    entry = AddressEntry("eth0", ip_interface(interface), no_prefix_route=no_prefix_route)
    assert read_address(body(new_address(entry, INDEXES)), NAMES) == entry


def test_an_address_may_have_a_peer_and_a_broadcast_address() -> None:
    entry = AddressEntry(
        "eth0", IPv4Interface("10.0.0.1/32"), "link", broadcast=IPv4Address("10.0.0.255"), peer=IPv4Interface("10.0.0.2/32")
    )
    assert read_address(body(new_address(entry, INDEXES)), NAMES) == entry


TUNNEL = Vxlan(4096, 4789, local=IPv4Address("10.0.0.1"), device="eth0", learning=False)


@pytest.mark.parametrize(
    "kind",
    [
        Bridge(),
        Bridge(ageing_time=0),
        Macvlan("eth0", "private"),
        TUNNEL,
        replace(TUNNEL, local=None, device=None, learning=True, ttl=9, df=True, udp_checksum=False),
        replace(TUNNEL, remote=ip_address("10.0.0.2")),
        Vxlan(5, 8472, local=IPv6Address("fd00::1"), remote=IPv6Address("fd00::2"), udp_checksum=False),
    ],
    ids=str,
)
def test_a_link_says_all_it_has(kind: Bridge | Macvlan | Vxlan) -> None:
    base = nl.IFINFOMSG.pack(0, 0, 100, 1, 0) + nl.text(nl.IFLA_IFNAME, "eth0") + nl.u32(nl.IFLA_MTU, 1500)
    link = Link("one", kind, mtu=1400, mac="02:00:00:00:00:01", up=False)
    read = found_links(iter([base, body(nl.new_link(link, 105, INDEXES))]))
    assert [found.link for found in read if found.index == 105] == [link]


def test_a_veth_pair_is_created_with_its_far_end_in_place() -> None:
    here, there = Link("eth0", Veth("b", "eth1"), mtu=1450), Link("eth1", Veth("a", "eth0"), mtu=1400, mac="02:00:00:00:00:02")
    message = nl.new_veth(here, 100, INDEXES, there, 107)
    info = read_attributes(read_attributes(body(message), 16)[nl.IFLA_LINKINFO])
    assert string(info[nl.IFLA_INFO_KIND]) == "veth"
    peer = read_attributes(info[nl.IFLA_INFO_DATA])[nl.VETH_INFO_PEER]
    assert nl.IFINFOMSG.unpack_from(peer)[2] == 107
    settings = read_attributes(peer, 16)
    assert string(settings[nl.IFLA_IFNAME]) == "eth1"
    assert struct.unpack("=I", settings[nl.IFLA_MTU]) == (1400,)
    assert message.endswith(settings[nl.IFLA_NET_NS_FD]), "the namespace's descriptor is filled in at the end of the message"


@pytest.mark.kernel
def test_a_refusal_tells_which_message_of_a_long_batch_was_refused(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    with sandbox.socket_in("a", 16, socket.SOCK_RAW, 0) as opened:
        channel = Channel(opened)
        good = [new_route(Route(IPv4Network((0x0A00_0000 + 256 * i, 24)), "blackhole"), {}) for i in range(5000)]
        bad = new_route(Route(IPv4Network("10.99.99.0/24"), via=IPv4Address("10.0.0.1")), {})
        batch = [*good[:4321], bad, *good[4321:]]
        (refusal,) = channel.send(batch)
        assert refusal.position == 4321, "it says which one"
        assert os.strerror(refusal.error) == "Network is unreachable"
        assert refusal.text == "Nexthop has invalid gateway", "it has the kernel's own words"
        assert sum(1 for _ in channel.dump(26, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 0, 0, 0, 0, 0))) == 5000, "the others were done"


@pytest.mark.kernel
def test_a_flood_of_refusals_ends(sandbox: Sandbox) -> None:
    sandbox.add_namespace("a")
    with sandbox.socket_in("a", 16, socket.SOCK_RAW, 0) as opened:
        channel = Channel(opened)
        bad = [new_route(Route(IPv4Network((0x0A00_0000 + 256 * i, 24)), via=IPv4Address("10.0.0.1")), {}) for i in range(5000)]
        refusals = channel.send(bad)
        assert refusals
        assert refusals[0].position == 0
        assert channel.send([new_route(Route(IPv4Network("10.0.0.0/8"), "blackhole"), {})]) == [], "the socket is of use afterwards"
