"""What `complete` adds is what the kernel adds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.state import AddressEntry, Link, Namespace, Protocol, Route, State, Table, Veth, complete
from lab.state.builder import LO
from lab.state.implied import complete_namespace, implied_routes, without_bare_ipv6, without_multicast
from tests.examples import examples

InNamespace = Callable[..., subprocess.CompletedProcess[str]]
DecodeRoutes = Callable[[str], tuple[Route, ...]]

LINKS = (LO, Link("up0", Veth("n", "up1")), Link("up1", Veth("n", "up0")), Link("down0", Veth("n", "down1"), up=False))


def commands(namespace: Namespace) -> str:
    """The commands that make links and addresses, one after the other, and show what came of it."""
    lines = [
        "ip link set lo up",
        "ip link add up0 type veth peer name up1",
        "ip link add down0 type veth peer name down1",
        *(f"ip link set {name} addrgenmode none" for name in ("up0", "up1", "down0", "down1")),
        "ip link set up0 up",
        "ip link set up1 up",
    ]
    if namespace.sysctl("net/ipv6/conf/all/forwarding") == "1":
        lines.append("sysctl -qw net/ipv6/conf/all/forwarding=1")
    for entry in namespace.addresses:
        peer = f" peer {entry.peer}" if entry.peer else ""
        own = f"{entry.interface.ip}{peer}" if entry.peer else str(entry.interface)
        brd = f" broadcast {entry.broadcast}" if entry.broadcast else ""
        flags = (" noprefixroute" if entry.no_prefix_route else "") + (" nodad" if entry.interface.version == 6 else "")
        lines.append(f"ip address add {own}{brd} dev {entry.device} scope {entry.scope}{flags}")
    local = [route for route in implied_routes(namespace) if route.table == Table.LOCAL and route.destination.version == 6]
    lines.append(  # a work queue of the kernel adds the routes of IPv6 addresses, those of anycast addresses last
        f'tries=0; until [ "$(ip -6 route show table local | grep -c fd)" -ge {len(set(local))} ] || [ $tries = 99 ]; '
        "do tries=$((tries + 1)); done"
    )
    return "\n".join([*lines, "ip -j -4 route show table all", "ip -j -6 route show table all"])


def shown(namespace: Namespace, in_namespace: InNamespace, decode_routes: DecodeRoutes) -> Namespace:
    """A namespace with the routes the kernel has for it."""
    done = in_namespace(commands(namespace))
    assert done.returncode == 0, done.stderr
    version_4, version_6 = done.stdout.splitlines()
    return replace(namespace, routes=(*decode_routes(version_4), *decode_routes(version_6)))


def in_order(routes: Iterable[Route]) -> list[Route]:
    return sorted(routes, key=lambda r: (str(r.destination), r.table, r.type, r.metric, str(r.device), str(r.source)))


# -- plans of addresses --------------------------------------------------------------------------------------------

devices = st.sampled_from(["lo", "up0", "up0", "up1", "down0"])


@st.composite
def entries(draw: st.DrawFn) -> AddressEntry:
    length = draw(st.sampled_from([8, 16, 24, 24, 25, 30, 31, 32]))
    host = IPv4Address(0x0A000000 + draw(st.integers(0, 3)) * 128 + draw(st.integers(0, 5)))
    interface = IPv4Interface((host, length))
    peer = None
    if draw(st.integers(0, 5)) == 0:
        far = IPv4Address(0x0A010000 + draw(st.integers(1, 3)) * 256 + 9)
        peer = IPv4Interface((far, length))
    return AddressEntry(
        draw(devices),
        interface,
        peer=peer,
        broadcast=draw(st.sampled_from([None, None, interface.network.broadcast_address, IPv4Address("10.9.9.9")])),
        no_prefix_route=draw(st.integers(0, 4)) == 0,
    )


@st.composite
def entries_6(draw: st.DrawFn) -> AddressEntry:
    subnet, host = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    length = draw(st.sampled_from([64, 64, 112, 126, 127, 128]))
    return AddressEntry(draw(devices), ip_interface(f"fd00:{subnet}::{host}/{length}"), no_prefix_route=draw(st.integers(0, 4)) == 0)


def without_broadcast_hosts(addresses: tuple[AddressEntry, ...]) -> bool:
    """Whether no address is a broadcast address as well."""
    networks = [(entry.peer or entry.interface).network for entry in addresses]
    broadcasts = {entry.broadcast for entry in addresses} | {n.broadcast_address for n in networks if n.prefixlen < 31}
    return not any(entry.interface.ip in broadcasts for entry in addresses)


def plans(of: st.SearchStrategy[AddressEntry]) -> st.SearchStrategy[tuple[AddressEntry, ...]]:
    return st.lists(of, max_size=6, unique_by=lambda entry: (entry.device, entry.interface.ip)).map(tuple)


@pytest.mark.kernel
@examples(80)
@given(addresses=plans(entries()).filter(without_broadcast_hosts))
def test_addresses_imply_the_routes_the_kernel_makes(
    in_namespace: InNamespace, decode_routes: DecodeRoutes, addresses: tuple[AddressEntry, ...]
) -> None:
    stated = Namespace("n", links=LINKS, addresses=addresses)
    expected = complete_namespace(stated)
    actual = without_bare_ipv6(shown(stated, in_namespace, decode_routes))
    assert in_order(actual.routes) == in_order(expected.routes)


@pytest.mark.kernel
@examples(30)
@given(addresses=plans(entries_6()).filter(bool), forwarding=st.sampled_from(["0", "1"]))
def test_ipv6_addresses_imply_the_routes_the_kernel_makes(
    in_namespace: InNamespace, decode_routes: DecodeRoutes, addresses: tuple[AddressEntry, ...], forwarding: str
) -> None:
    stated = Namespace("n", links=LINKS, addresses=addresses, sysctls={"net/ipv6/conf/all/forwarding": forwarding})
    expected = complete_namespace(stated)
    actual = without_multicast(shown(stated, in_namespace, decode_routes))
    assert in_order(set(actual.routes)) == in_order(expected.routes)


@pytest.mark.kernel
def test_every_namespace_has_the_default_rules(in_namespace: InNamespace) -> None:
    shown_rules = [
        (family, rule["priority"], rule["table"], rule["protocol"])
        for family in (4, 6)
        for rule in json.loads(in_namespace(f"ip -{family} -N -j -d rule").stdout)
    ]
    built = complete_namespace(Namespace("n", links=LINKS, addresses=(AddressEntry("up0", ip_interface("fd00::1/64")),)))
    assert shown_rules == [(rule.family, rule.priority, str(rule.table), str(rule.protocol.value)) for rule in built.rules]


# -- on the way from one state to another --------------------------------------------------------------------------


def test_completing_twice_changes_nothing() -> None:
    state = State({"n": Namespace("n", links=LINKS, addresses=(AddressEntry("up0", ip_interface("10.0.0.1/24")),))})
    once = complete(state)
    assert complete(once) == once


def test_what_the_kernel_added_and_somebody_removed_does_not_come_back() -> None:
    before = complete(State({"n": Namespace("n", links=LINKS, addresses=(AddressEntry("up0", ip_interface("10.0.0.1/24")),))}))
    subnet = ip_network("10.0.0.0/24")
    removed = replace(before["n"], routes=tuple(route for route in before["n"].routes if route.destination != subnet))
    after = complete(State({"n": removed}), before)
    assert subnet not in [route.destination for route in after["n"].routes]


@pytest.mark.kernel
def test_a_link_that_went_down_and_up_again_has_lost_its_stated_routes(in_namespace: InNamespace, decode_routes: DecodeRoutes) -> None:
    stated = Namespace("n", links=LINKS, addresses=(AddressEntry("up0", ip_interface("10.0.0.1/24")),))
    route = Route(ip_network("10.5.0.0/16"), via=ip_address("10.0.0.9"), device="up0", protocol=Protocol.STATIC)
    healthy = complete(State({"n": replace(stated, routes=(route,))}))
    down = complete(State({"n": _with_up0(healthy["n"], up=False)}), healthy)
    again = complete(State({"n": _with_up0(down["n"], up=True)}), down)

    add = "ip route add 10.5.0.0/16 via 10.0.0.9 dev up0 proto static"
    for expected, script in (
        (healthy, add),
        (down, f"{add}\nip link set up0 down"),
        (again, f"{add}\nip link set up0 down\nip link set up0 up"),
    ):
        setup, show = commands(stated).split("\nip -j -4", 1)
        done = in_namespace(f"{setup}\n{script}\nip -j -4{show}")
        actual = decode_routes(done.stdout.splitlines()[0])
        assert in_order(actual) == in_order(expected["n"].routes), script


@pytest.mark.kernel
def test_an_address_that_is_removed_takes_its_routes_in_main_along(in_namespace: InNamespace, decode_routes: DecodeRoutes) -> None:
    stated = Namespace("n", links=LINKS, addresses=(AddressEntry("up0", ip_interface("10.0.0.1/24")),))
    main = Route(ip_network("10.5.0.0/16"), device="up1", source=IPv4Address("10.0.0.1"))
    routes = (main, replace(main, table=150))
    before = complete(State({"n": replace(stated, routes=routes)}))
    after = complete(State({"n": replace(before["n"], addresses=before["n"].addresses_of("lo"))}), before)

    setup, show = commands(stated).split("\nip -j -4", 1)
    add = "ip route add 10.5.0.0/16 dev up1 src 10.0.0.1"
    change = f"{add} scope global\n{add} scope global table 150\nip address del 10.0.0.1/24 dev up0"
    actual = decode_routes(in_namespace(f"{setup}\n{change}\nip -j -4{show}").stdout.splitlines()[0])
    assert in_order(actual) == in_order(after["n"].routes)
    assert {route.table for route in actual} == {Table.LOCAL, 150}, "routes of other tables than main stay"


@pytest.mark.kernel
def test_a_route_outlives_a_removed_link_whose_secondary_address_is_its_source(
    in_namespace: InNamespace, decode_routes: DecodeRoutes
) -> None:
    addresses = tuple(AddressEntry("up0", ip_interface(f"10.0.0.{n}/24")) for n in (1, 2))
    routes = tuple(Route(ip_network(f"10.{n}.0.0/16"), device="lo", source=ip_address(f"10.0.0.{n}")) for n in (1, 2))
    before = complete(State({"n": Namespace("n", links=LINKS, addresses=addresses, routes=routes)}))
    links = tuple(link for link in LINKS if link.name not in ("up0", "up1"))
    left = replace(before["n"], links=links, addresses=before["n"].addresses_of("lo"))
    after = complete(State({"n": left}), before)

    setup, show = commands(replace(before["n"], addresses=addresses)).split("\nip -j -4", 1)
    add = "\n".join(f"ip route add {route.destination} dev lo src {route.source} scope global" for route in routes)
    actual = decode_routes(in_namespace(f"{setup}\n{add}\nip link del up0\nip -j -4{show}").stdout.splitlines()[0])
    assert in_order(actual) == in_order(after["n"].routes)
    assert routes[1] in actual
    assert routes[0] not in actual


@pytest.mark.kernel
def test_an_ipv6_route_only_loses_its_source_with_the_address(in_namespace: InNamespace, decode_routes: DecodeRoutes) -> None:
    addresses = (AddressEntry("up0", ip_interface("fd00::1/64")),)
    route = Route(ip_network("fd42::/64"), device="up1", source=ip_address("fd00::1"), metric=1024)
    before = complete(State({"n": Namespace("n", links=LINKS, addresses=addresses, routes=(route,))}))
    after = complete(State({"n": replace(before["n"], addresses=before["n"].addresses_of("lo"))}), before)

    setup, show = commands(replace(before["n"], addresses=addresses)).split("\nip -j -4", 1)
    change = "ip -6 route add fd42::/64 dev up1 src fd00::1\nip address del fd00::1/64 dev up0"
    actual = decode_routes(in_namespace(f"{setup}\n{change}\nip -j -4{show}").stdout.splitlines()[1])
    assert replace(route, source=None) in actual
    assert replace(route, source=None) in after["n"].routes


def _with_up0(namespace: Namespace, *, up: bool) -> Namespace:
    return replace(namespace, links=tuple(replace(link, up=up) if link.name == "up0" else link for link in namespace.links))
