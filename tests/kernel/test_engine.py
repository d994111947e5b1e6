"""A state goes into the kernel, and what comes back is that state. As root, and as an ordinary user."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest

from lab.errors import InputError, MachineError, Place
from lab.kernel.counters import delta, parse
from lab.kernel.engine import Engine
from lab.kernel.oracle import RouteQuery
from lab.kernel.recognition import as_stated
from lab.kernel.sandbox import Sandbox
from lab.state import (
    LO,
    UNKNOWN,
    AddressEntry,
    Bridge,
    BridgePort,
    FdbEntry,
    Link,
    Namespace,
    Neighbour,
    Protocol,
    Provenance,
    Route,
    Rule,
    State,
    StateBuilder,
    Tun,
    Veth,
    Vxlan,
    complete,
    difference,
)
from lab.state.nft import (
    Chain,
    Counter,
    Mangle,
    Match,
    Meta,
    NamedCounter,
    NftMap,
    NftRule,
    NftTable,
    OpaqueExpression,
    Payload,
    Prefix,
    StatefulObject,
    Verdict,
)
from lab.state.nft_difference import difference_of_tables

pytestmark = pytest.mark.kernel

EVERYONE = pytest.mark.parametrize("sandbox", ["root", "ordinary user"], indirect=True)
HASH = '{"jhash":{"expr":{"payload":{"field":"saddr","protocol":"ip"}},"mod":2}}'
WHY = Provenance("felix", "block 10.42.1.0/26 is on this node", Place("topology.yaml", 7, 3))

PODS = IPv4Network("10.42.0.0/16")
ONLINK = IPv4Address("169.254.1.1")
MAC = "66:00:00:00:00:0{}"


def node(number: int) -> tuple[Namespace, Namespace]:
    """A node and its pod, as Calico would have them: everything a state can hold is in use somewhere."""
    other = 3 - number
    tunnel, far_tunnel = IPv4Address(f"10.42.{number}.0"), IPv4Address(f"10.42.{other}.0")
    host = Namespace(
        f"n{number}",
        "node",
        links=(
            LO,
            Link("eth0", Veth("sw", f"p{number}")),
            Link("cali1", Veth(f"pod{number}", "eth0"), mtu=1450, mac="ee:ee:ee:ee:ee:ee"),
            Link(
                "vxlan.calico", Vxlan(4096, 4789, IPv4Address(f"10.0.0.{number}"), device="eth0", learning=False), 1450, MAC.format(number)
            ),
        ),
        addresses=(
            AddressEntry("eth0", IPv4Interface(f"10.0.0.{number}/24"), broadcast=IPv4Address("10.0.0.255")),
            AddressEntry("vxlan.calico", IPv4Interface((int(tunnel), 32))),
        ),
        routes=(
            Route(IPv4Network("0.0.0.0/0"), via=IPv4Address("10.0.0.254"), device="eth0"),
            Route(IPv4Network(f"10.42.{number}.5/32"), device="cali1", scope="link"),
            Route(IPv4Network(f"10.42.{number}.0/26"), "blackhole", protocol=Protocol.FELIX, provenance=WHY),
            Route(IPv4Network(f"10.42.{other}.0/26"), via=far_tunnel, device="vxlan.calico", onlink=True, protocol=Protocol.FELIX),
            Route(IPv4Network("198.51.100.0/24"), "prohibit", table=150),
        ),
        rules=(Rule(100, table=150, mark=0x10, mask=0xFF),),
        neighbours=(Neighbour("vxlan.calico", far_tunnel, MAC.format(other)),),
        fdb=(FdbEntry("vxlan.calico", MAC.format(other), IPv4Address(f"10.0.0.{other}")),),
        sysctls={
            "net/ipv4/ip_forward": "1",
            "net/ipv4/conf/all/rp_filter": "0",
            "net/ipv4/conf/default/rp_filter": "1",
            "net/ipv4/conf/cali1/proxy_arp": "1",
            "net/ipv4/neigh/cali1/proxy_delay": "0",
            "net/ipv4/conf/vxlan.calico/rp_filter": "2",
        },
        tables=(_filter(),),
    )
    pod = Namespace(
        f"pod{number}",
        "pod",
        parent=f"n{number}",
        links=(LO, Link("eth0", Veth(f"n{number}", "cali1"), mtu=1450)),
        addresses=(AddressEntry("eth0", IPv4Interface(f"10.42.{number}.5/32")),),
        routes=(
            Route(IPv4Network((int(ONLINK), 32)), device="eth0", scope="link"),
            Route(IPv4Network("0.0.0.0/0"), via=ONLINK, device="eth0"),
        ),
    )
    return host, pod


def _filter() -> NftTable:
    accepted = NftRule((Match(Payload("ip", "saddr"), Prefix(PODS)), Counter(), Verdict("accept")), comment="pods")
    return NftTable("ip", "filter", (Chain("forward", (accepted,), "filter", "forward", 0, "accept"),))


def two_nodes() -> State:
    ports = (Link(f"p{number}", Veth(f"n{number}", "eth0"), master="br0", port=BridgePort(hairpin=number == 1)) for number in (1, 2))
    switch = Namespace("sw", "switch", links=(LO, Link("br0", Bridge(), mac="02:00:00:00:01:00"), *ports))
    namespaces = (switch, *node(1), *node(2))
    return complete(State({namespace.name: namespace for namespace in namespaces}))


def changed(state: State, name: str, **changes: object) -> State:
    return replace(state, namespaces={**state.namespaces, name: replace(state[name], **changes)})  # type: ignore[arg-type]


def run(sandbox: Sandbox, name: str, *argv: str) -> str:
    with sandbox.enter(name):
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def ping(sandbox: Sandbox, name: str, address: str) -> bool:
    with sandbox.enter(name):
        return subprocess.run(["ping", "-c1", "-W2", address], capture_output=True, check=False).returncode == 0


@EVERYONE
def test_the_kernel_holds_what_was_applied(sandbox: Sandbox) -> None:
    target = two_nodes()
    with Engine(sandbox) as engine:
        engine.apply(target)
        read = engine.read_back()
        assert not difference(target, as_stated(read, target)), "what was read back is what was applied"
        assert as_stated(read, target) == target
        assert engine.apply(target).is_empty, "there is nothing left to do"
        assert ping(sandbox, "pod1", "10.42.2.5"), "the first packet arrives"


@EVERYONE
def test_from_one_phase_to_the_next_only_the_difference_is_done(sandbox: Sandbox) -> None:
    healthy = two_nodes()
    routes = tuple(route for route in healthy["n1"].routes if route.via != IPv4Address("10.42.2.0"))
    broken = changed(healthy, "n1", routes=routes)
    with Engine(sandbox) as engine:
        engine.apply(healthy)
        assert list(engine.apply(broken).lines())[2:] == ["    delete route 10.42.2.0/26 via 10.42.2.0 dev vxlan.calico onlink proto 80"]
        assert not ping(sandbox, "pod1", "10.42.2.5")
        engine.apply(healthy)
        assert ping(sandbox, "pod1", "10.42.2.5")


def test_what_somebody_changed_by_hand_is_put_right(sandbox: Sandbox) -> None:
    target = two_nodes()
    with Engine(sandbox) as engine:
        engine.apply(target)
        for command in (
            "ip route del 10.0.0.0/24",
            "ip route add 203.0.113.0/24 dev eth0",
            "ip link set vxlan.calico mtu 1300",
            "ip rule del priority 100",
            "ip link add mine type bridge",
            "nft flush ruleset",
            "sysctl -qw net/ipv4/conf/all/rp_filter=1",
            "ip address add 10.9.9.9/24 dev eth0",
            "bridge fdb del 66:00:00:00:00:02 dev vxlan.calico",
        ):
            run(sandbox, "n1", *command.split())
        found = engine.refresh()
        assert found["n1"].link("mine") == Link("mine", Bridge(), up=False, mac=found["n1"].link("mine").mac)  # type: ignore[union-attr]
        assert found["n1"].link("mine").provenance is UNKNOWN  # type: ignore[union-attr]
        engine.apply(target)
        assert as_stated(engine.read_back(), target) == target
        assert ping(sandbox, "pod1", "10.42.2.5")


def test_a_failed_apply_is_followed_by_a_look_at_what_is_there(sandbox: Sandbox) -> None:
    target = two_nodes()
    impossible = Route(IPv4Network("203.0.113.0/24"), via=IPv4Address("192.0.2.1"), device="eth0", provenance=WHY)
    with Engine(sandbox) as engine:
        with pytest.raises(InputError) as caught:
            engine.apply(changed(target, "n1", routes=(*target["n1"].routes, impossible)))
        engine.apply(target)
        assert as_stated(engine.read_back(), target) == target
    error = caught.value
    assert "n1: the kernel refuses to add route 203.0.113.0/24 via 192.0.2.1 dev eth0: Nexthop has invalid gateway" in error.message
    assert error.place == Place("topology.yaml", 7, 3), "the message leads to the line that is to blame"
    assert error.hint == "put there by felix: block 10.42.1.0/26 is on this node"


def test_what_is_recognised_has_its_provenance(sandbox: Sandbox) -> None:
    target = two_nodes()
    with Engine(sandbox) as engine:
        engine.apply(target)
        run(sandbox, "n1", "ip", "route", "add", "203.0.113.0/24", "dev", "eth0")
        read = engine.read_back()["n1"]
    of = {str(route.destination): route.provenance for route in read.routes}
    assert of["10.42.1.0/26"] == WHY
    assert of["203.0.113.0/24"] is UNKNOWN, "nobody said why this one is there"
    assert of["10.0.0.0/24"].component == "kernel"


def test_rule_sets_are_read_back_with_their_counters(sandbox: Sandbox) -> None:
    with Engine(sandbox) as engine:
        engine.apply(two_nodes())
        assert ping(sandbox, "pod1", "10.42.2.5")
        (chain,) = engine.read_back()["n1"].tables[0].chains
    counters = [statement for statement in chain.rules[0].statements if isinstance(statement, Counter)]
    assert [counter.packets for counter in counters] == [2], "one request, one answer"
    assert chain.rules[0].handle is not None


def test_a_map_with_concatenated_values_is_loaded(sandbox: Sandbox) -> None:
    services = NftMap("services", ("ipv4_addr",), "ipv4_addr . inet_service")
    state = State({"a": Namespace("a", tables=(NftTable("ip", "nat", maps=(services,)),))})
    with Engine(sandbox) as engine:
        engine.apply(complete(state))
        assert engine.read_back()["a"].tables[0].maps == (services,)


def test_what_nft_reads_as_text_alone_and_what_it_reads_as_json_alone_may_stand_in_one_table(sandbox: Sandbox) -> None:
    services = NftMap("services", ("ipv4_addr",), "ipv4_addr . inet_service")
    counted = StatefulObject("counter", "seen")
    counting, hashed = NftRule((NamedCounter("seen"),)), NftRule((Mangle(Meta("mark"), OpaqueExpression(HASH)), Verdict("accept")))
    chain = Chain("c", (counting, hashed), "filter", "forward", 0, "accept")
    table = NftTable("ip", "t", (chain,), maps=(services,), objects=(counted,))
    with Engine(sandbox) as engine:
        for tables in ((table,), (replace(table, objects=(*table.objects, StatefulObject("quota", "q", '{"bytes":9,"inv":false}'))),)):
            engine.apply(complete(State({"a": Namespace("a", tables=tables)})))
            assert not difference_of_tables(engine.read_back()["a"].tables, tables)


def test_a_rule_set_that_nft_refuses_says_where(sandbox: Sandbox) -> None:
    wrong = NftTable("ip", "t", (Chain("c", (NftRule((Verdict("jump", "nowhere"),)),)),))
    with Engine(sandbox) as engine, pytest.raises(InputError, match=r"a: nft refuses the rule set: (.|\n)*nowhere"):
        engine.apply(complete(State({"a": Namespace("a", tables=(wrong,))})))


@EVERYONE
def test_ipv6_is_at_work_at_once(sandbox: Sandbox) -> None:
    def end(name: str, other: str, host: int) -> Namespace:
        return Namespace(
            name,
            links=(LO, Link("eth0", Veth(other, "eth0"))),
            addresses=(AddressEntry("eth0", IPv6Interface(f"fd00::{host}/64")),),
            routes=(Route(IPv6Network("fd99::/64"), via=IPv6Address("fd00::9"), device="eth0", metric=1024),),
            rules=(Rule(100, table=150, family=6, source=IPv6Network("fd77::/64")),),
            neighbours=(Neighbour("eth0", IPv6Address("fd00::9"), "02:00:00:00:00:09"),),
            sysctls={"net/ipv6/conf/eth0/forwarding": "0"},
        )

    target = complete(State({"a": end("a", "b", 1), "b": end("b", "a", 2)}))
    with Engine(sandbox) as engine:
        engine.apply(target)
        assert as_stated(engine.read_back(), target) == target
        assert ping(sandbox, "a", "fd00::2"), "no duplicate address detection stands in the way"
        assert "fe80::" not in run(sandbox, "a", "ip", "-6", "address"), "a link has the addresses that are stated, and no other"


@EVERYONE
def test_the_oracle_answers_for_arriving_and_for_own_packets(sandbox: Sandbox) -> None:
    with Engine(sandbox) as engine:
        engine.apply(two_nodes())
        to_pod = RouteQuery(IPv4Address("10.42.2.5"))
        own = engine.route_get("n1", to_pod)
        assert own.route is not None
        assert (own.route.device, own.route.via, own.source) == ("vxlan.calico", IPv4Address("10.42.2.0"), IPv4Address("10.42.1.0"))
        entry = engine.route_get("n1", replace(to_pod, fibmatch=True)).route
        assert entry in engine.target["n1"].routes, "the table's own entry, as the state has it"
        arriving = engine.route_get("n1", replace(to_pod, source=IPv4Address("10.42.1.5"), iif="cali1"))
        assert arriving.route is not None
        spoofed = engine.route_get("n1", replace(to_pod, source=IPv4Address("10.42.1.5"), iif="eth0"))
        assert spoofed.error == "EINVAL", "the source check is part of the answer"
        marked = engine.route_get("n1", RouteQuery(IPv4Address("198.51.100.1"), mark=0x10))
        assert marked.error == "EACCES", "policy rules are asked"
        assert engine.route_get("pod1", RouteQuery(IPv4Address("10.42.1.5"))).route.type == "local"  # type: ignore[union-attr]


@EVERYONE
def test_a_deprecated_address_and_a_locked_mtu_are_kept(sandbox: Sandbox) -> None:
    ends = [Link("eth0", Veth(there, "eth0")) for there in ("b", "a")]
    subnets = [AddressEntry("eth0", IPv6Interface(f"2001:db8:{n}::2/64"), deprecated=n == 1) for n in (1, 2)]
    gateway, far = IPv6Address("2001:db8:1::1"), IPv6Address("2001:db8:1:0:8000::9")
    routes = (
        Route(IPv6Network(f"{far}/128"), via=gateway, device="eth0", metric=1024, mtu=1400, mtu_locked=True),
        Route(IPv4Network("203.0.113.0/24"), device="eth0", scope="link", mtu=1000, mtu_locked=True, advmss=900),
        Route(IPv4Network("198.51.100.0/24"), device="eth0", scope="link", mtu=1000),
    )
    a = Namespace("a", links=(LO, ends[0]), addresses=tuple(subnets), routes=routes)
    state = complete(State({"a": a, "b": Namespace("b", links=(LO, ends[1]))}))
    with Engine(sandbox) as engine:
        engine.apply(state)
        assert as_stated(engine.read_back(), state) == state
        engine.refresh()
        assert engine.apply(state).is_empty
        assert engine.route_get("a", RouteQuery(far)).source == IPv6Address("2001:db8:2::2"), "as the model has it"


def test_the_oracle_knows_a_path_mtu_until_it_is_flushed(sandbox: Sandbox) -> None:
    state = two_nodes()
    small = tuple(replace(link, mtu=1200) if link.name == "cali1" else link for link in state["n2"].links)
    with Engine(sandbox) as engine:
        engine.apply(changed(state, "n2", links=small))
        query = RouteQuery(IPv4Address("10.42.2.5"))
        with sandbox.enter("pod1"):
            subprocess.run(["ping", "-c1", "-W1", "-Mdo", "-s1300", "10.42.2.5"], capture_output=True, check=False)
        learned = engine.route_get("pod1", query)
        assert (learned.mtu, learned.expires is not None) == (1200, True)
        engine.flush()
        assert engine.route_get("pod1", query).mtu is None


@EVERYONE
def test_a_path_mtu_of_ipv6_is_forgotten_when_flushed(sandbox: Sandbox) -> None:
    builder = StateBuilder()
    for name in ("a", "r", "b"):
        builder.add_namespace(name).sysctl("net/ipv6/conf/all/forwarding", int(name == "r"))
    for number, name in enumerate("ab"):
        mtu = 1280 if name == "b" else 1500
        builder.add_veth((name, Link("eth0", LO.kind)), ("r", Link(f"to-{name}", LO.kind, mtu)))
        builder[name].add_address(AddressEntry("eth0", IPv6Interface(f"2001:db8:{number}::2/64")))
        builder["r"].add_address(AddressEntry(f"to-{name}", IPv6Interface(f"2001:db8:{number}::1/64")))
        builder[name].add_route(Route(IPv6Network("::/0"), via=IPv6Address(f"2001:db8:{number}::1"), device="eth0"))
    with Engine(sandbox) as engine:
        engine.apply(complete(builder.freeze()))
        query = RouteQuery(IPv6Address("2001:db8:1::2"))
        run(sandbox, "a", "sh", "-c", "ping -6 -c1 -W5 -Mdo -s1300 2001:db8:1::2 || true")
        assert engine.route_get("a", query).mtu == 1280
        engine.flush()
        assert engine.route_get("a", query).mtu is None


@EVERYONE
def test_what_packets_taught_is_forgotten_when_flushed(sandbox: Sandbox) -> None:
    tracking = replace(two_nodes()["n1"].tables[0], name="track", chains=(_tracking_chain(),))
    state = two_nodes()
    with Engine(sandbox) as engine:
        engine.apply(changed(state, "n1", tables=(tracking,)))
        assert ping(sandbox, "pod1", "10.42.2.5")
        learned = {neighbour.state for neighbour in engine.read_back()["n1"].neighbours}
        assert learned & {"reachable", "stale"}
        assert int(run(sandbox, "n1", "cat", "/proc/sys/net/netfilter/nf_conntrack_count")) > 0
        engine.flush()
        left = engine.read_back()["n1"].neighbours
        assert {neighbour.state for neighbour in left if neighbour.state not in {"failed", "incomplete"}} == {"permanent"}
        assert int(run(sandbox, "n1", "cat", "/proc/sys/net/netfilter/nf_conntrack_count")) == 0


def _tracking_chain() -> Chain:
    from lab.state.nft import AnonymousSet, Ct

    rule = NftRule((Match(Ct("state"), AnonymousSet(("new", "established")), "in"), Verdict("accept")))
    return Chain("forward", (rule,), "filter", "forward", 0, "accept")


@EVERYONE
def test_counters_tell_what_moved(sandbox: Sandbox) -> None:
    with Engine(sandbox) as engine:
        engine.apply(two_nodes())
        before = engine.counters()
        assert ping(sandbox, "pod1", "10.42.2.5")
        after = engine.counters()
        moved = delta(before["n1"], after["n1"])
        assert moved["IpForwDatagrams"] == 2
        assert "IcmpInMsgs" not in moved, "it only passed by"
        assert delta(before["pod2"], after["pod2"])["IcmpInEchos"] == 1


def test_counter_files_are_read_in_both_their_shapes() -> None:
    assert parse("Ip: Forwarding InReceives\nIp: 1 20\nTcpExt: X\nTcpExt: -1\n") == {"IpForwarding": 1, "IpInReceives": 20, "TcpExtX": -1}
    assert parse("Ip6InReceives                   \t7\nIp6InNoRoutes \t0\n") == {"Ip6InReceives": 7, "Ip6InNoRoutes": 0}


def test_a_misspelt_sysctl_gets_a_suggestion(sandbox: Sandbox) -> None:
    state = State({"a": Namespace("a", sysctls={"net/ipv4/conf/all/rp_filtre": "1"})})
    with (
        Engine(sandbox) as engine,
        pytest.raises(InputError, match=r"no sysctl net/ipv4/conf/all/rp_filtre(.|\n)*did you mean 'rp_filter'"),
    ):
        engine.apply(complete(state))


def test_a_value_the_kernel_refuses_is_shown(sandbox: Sandbox) -> None:
    state = State({"a": Namespace("a", sysctls={"net/ipv4/ip_forward": "yes"})})
    with Engine(sandbox) as engine, pytest.raises(InputError, match="a: the kernel refuses 'yes' for the sysctl net/ipv4/ip_forward"):
        engine.apply(complete(state))


def test_an_unstated_sysctl_is_again_what_a_new_namespace_has(sandbox: Sandbox) -> None:
    stated = {"net/ipv4/icmp_ratelimit": "0", "net/ipv4/conf/br0/arp_ignore": "2", "net/ipv4/conf/default/arp_ignore": "1"}
    links = (LO, Link("br0", Bridge()))
    with Engine(sandbox) as engine:
        engine.apply(complete(State({"a": Namespace("a", links=links, sysctls=stated)})))
        remaining = {"net/ipv4/conf/default/arp_ignore": "1"}
        engine.apply(complete(State({"a": Namespace("a", links=links, sysctls=remaining)})))
        now = engine.read_back()["a"].sysctls
    assert now["net/ipv4/icmp_ratelimit"] == "1000"
    assert now["net/ipv4/conf/br0/arp_ignore"] == "1", "a link goes back to what a new link here would have"


def test_an_unknown_kind_of_link_is_the_kernels_lack(sandbox: Sandbox) -> None:
    from lab.state import OtherKind

    state = State({"a": Namespace("a", links=(LO, Link("x", OtherKind("quantum"))))})
    with Engine(sandbox) as engine, pytest.raises(MachineError, match=r"add link x type quantum(.|\n)*Unknown device type"):
        engine.apply(complete(state))


@pytest.mark.root
def test_a_tun_device_is_held_open_with_the_index_it_was_given(sandbox: Sandbox) -> None:
    state = complete(
        State(
            {
                "a": Namespace(
                    "a",
                    links=(LO, Link("tun0", Tun(), mtu=1300), Link("tap0", Tun(tap=True), mac="02:00:00:00:00:07")),
                    addresses=(AddressEntry("tun0", IPv4Interface("10.1.1.1/24")),),
                )
            }
        )
    )
    with Engine(sandbox) as engine:
        engine.apply(state)
        assert as_stated(engine.read_back(), state) == state
        assert [link.name for link in engine.read_back()["a"].links] == ["lo", "tun0", "tap0"]
        engine.apply(complete(State({"a": Namespace("a")})))
        assert engine.read_back()["a"].link("tun0") is None


def test_a_namespace_that_goes_takes_all_with_it(sandbox: Sandbox) -> None:
    state = two_nodes()
    with Engine(sandbox) as engine:
        engine.apply(state)
        ports = tuple(link for link in state["sw"].links if link.name != "p2")
        smaller = complete(State({"sw": replace(state["sw"], links=ports), "n1": state["n1"], "pod1": state["pod1"]}))
        engine.apply(smaller)
        assert sandbox.namespaces == ("sw", "n1", "pod1")
        assert as_stated(engine.read_back(), smaller) == smaller
        engine.apply(state)
        assert ping(sandbox, "pod1", "10.42.2.5")


@pytest.mark.parametrize("disaster", ["ip link del eth0", "ip link set lo down", "ip address flush dev eth0", "ip rule flush"])
def test_the_lab_recovers_from_what_a_person_does_to_a_node(sandbox: Sandbox, disaster: str) -> None:
    target = two_nodes()
    with Engine(sandbox) as engine:
        engine.apply(target)
        run(sandbox, "n1", *disaster.split())
        engine.refresh()
        engine.apply(target)
        engine.refresh()
        assert engine.plan_to(target).is_empty
        assert ping(sandbox, "pod1", "10.42.2.5")


def test_neighbours_outlive_the_addresses_of_their_link(sandbox: Sandbox) -> None:
    """With the last IPv4 address of a link the kernel drops its neighbours and proxy entries, and the next address brings none back."""
    entries = (
        Neighbour("eth0", IPv4Address("10.9.0.9"), "02:00:00:00:00:09"),
        Neighbour("eth0", IPv4Address("10.9.0.8"), None, proxy=True),
    )

    def having(*addresses: str) -> State:
        host = Namespace(
            "a",
            links=(LO, Link("eth0", Veth("b", "eth0"))),
            addresses=tuple(AddressEntry("eth0", IPv4Interface(address)) for address in addresses),
            neighbours=entries,
        )
        return complete(State({"a": host, "b": Namespace("b", links=(LO, Link("eth0", Veth("a", "eth0"))))}))

    with Engine(sandbox) as engine:
        engine.apply(having("10.9.0.1/24"))
        for target in (having("10.9.0.2/24"), having("10.9.0.2/24", "10.9.0.3/24"), having("10.9.0.3/24"), having()):
            engine.apply(target)
            assert as_stated(engine.read_back(), target)["a"].neighbours == entries, str(target["a"].addresses)
