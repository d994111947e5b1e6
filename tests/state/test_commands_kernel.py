"""The commands of a state make that state, and the commands of a difference lead from one state to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from random import Random
from subprocess import CompletedProcess

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from lab.forwarding.generate import with_nexthops
from lab.state import (
    LO,
    AddressEntry,
    Bridge,
    BridgePort,
    Bucket,
    Command,
    FdbEntry,
    Impairment,
    Link,
    Macvlan,
    Namespace,
    Neighbour,
    NextHop,
    NextHopObject,
    PortRange,
    Route,
    Rule,
    State,
    Veth,
    Vxlan,
    commands_of,
    complete,
    difference,
)
from lab.state.nft import (
    AnonymousSet,
    Chain,
    Counter,
    Lifetime,
    Match,
    Meta,
    NamedCounter,
    Nat,
    NftRule,
    NftSet,
    NftTable,
    OpaqueStatement,
    Payload,
    Prefix,
    Reject,
    SetOptions,
    SetRef,
    StatefulObject,
    Verdict,
)
from tests.examples import examples

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

KernelState = Callable[[str, State], State]

ZERO_MAC = "00:00:00:00:00:00"


def shell(commands: Iterable[Command]) -> str:
    return "\n".join(command.outside for command in commands)


def assert_no_difference(read: State, wanted: State) -> None:
    found = difference(read, wanted)
    assert shell(commands_of(found)) == "", "these commands would be missing"
    assert not found


# -- random networks of two namespaces -----------------------------------------------------------------------------

macs = st.sampled_from([None, "02:00:00:00:00:01", "02:00:00:00:00:02"])
mtus = st.sampled_from([1500, 1450, 9000])
switches = st.booleans()
ports = st.builds(BridgePort, switches, switches, switches, switches, switches)


@st.composite
def pairs(draw: st.DrawFn, name: str) -> tuple[Link, Link]:
    up = draw(st.sampled_from([True, True, True, False]))
    one = Link(name, Veth("b", name), draw(mtus), draw(macs), up)
    return one, Link(name, Veth("a", name), draw(mtus), draw(macs), True)


@st.composite
def states(draw: st.DrawFn) -> State:
    names = draw(st.lists(st.sampled_from(["eth0", "eth1", "cali.x"]), min_size=1, unique=True))
    made = [draw(pairs(name)) for name in names]
    links = {"a": [LO, *(one for one, _ in made)], "b": [LO, *(other for _, other in made)]}
    if draw(switches):
        links["a"].insert(1, Link("br0", Bridge(draw(st.sampled_from([300, 20]))), up=draw(switches)))
        if draw(switches):
            links["a"][-1] = replace(links["a"][-1], master="br0", port=draw(ports))
    for name, version in (("vxlan.calico", 4), ("vxlan-v6.calico", 6)):
        if draw(switches):
            master = draw(st.sampled_from([None, "br0"])) if any(link.name == "br0" for link in links["a"]) else None
            kind, mac = draw(vxlans(names, version)), f"66:00:00:00:00:0{version}"
            links["a"].append(Link(name, kind, 1400, mac, master=master, port=BridgePort() if master else None))
    if draw(switches):
        links["b"].append(Link("mv0", Macvlan(names[0], draw(st.sampled_from(["bridge", "private"]))), 1400))
    return complete(State({name: draw(namespaces(name, tuple(links[name]))) for name in ("a", "b")}))


@st.composite
def vxlans(draw: st.DrawFn, names: list[str], version: int) -> Vxlan:
    device = draw(st.sampled_from([None, names[0]]))
    options = st.booleans()
    local, remote = (ip_address(end) for end in (("10.0.0.1", "10.0.0.9") if version == 4 else ("fd00::1", "fd00::9")))
    ends = draw(st.sampled_from([(local, None), (None, remote), (local, remote), *([(None, None)] if version == 4 else [])]))
    return Vxlan(
        draw(st.sampled_from([4096, 5])),
        draw(st.sampled_from([4789, 8472])),
        *ends,
        device,
        draw(options),
        draw(st.sampled_from([0, 64])),
        draw(options),
        draw(options),
    )


@st.composite
def namespaces(draw: st.DrawFn, name: str, links: tuple[Link, ...]) -> Namespace:
    plain = [link.name for link in links if link.master is None and link.name != "lo"] or ["lo"]
    up = [link.name for link in links if link.up and link.master is None]
    addresses = tuple(draw(st.lists(address_entries(plain), max_size=4, unique_by=lambda e: (e.device, e.interface.ip))))
    own_links = [link.name for link in links if link.name != "lo" and link.mtu >= 1280]  # ports of a bridge as well
    addresses += tuple(AddressEntry(link, ip_interface("fe80::5/64"), "link") for link in own_links if draw(st.integers(0, 5)) == 0)
    own = [entry.interface.ip for entry in addresses if isinstance(entry.interface.ip, IPv4Address) and entry.device in up]
    near = [entry for entry in addresses if entry.device in up and entry.interface.version == 4 and not entry.no_prefix_route]
    devices = [device for device in up if device != "lo"]
    return Namespace(
        name,
        links=links,
        addresses=addresses,
        routes=tuple(draw(st.lists(routes(up, own, near), max_size=5, unique_by=lambda route: route.key))),
        rules=tuple(draw(st.lists(rules(), max_size=3, unique_by=as_ip_tells_them_apart))),
        neighbours=tuple(draw(st.lists(neighbours(devices), max_size=2, unique_by=lambda n: (n.device, n.address)))) if devices else (),
        fdb=tuple(entry for link in links if isinstance(link.kind, Vxlan) for entry in draw(fdb(link.name, link.kind.version))),
        sysctls=draw(sysctls([link.name for link in links])),
        tables=draw(st.sampled_from([(), *RULE_SETS])),
    )


@st.composite
def address_entries(draw: st.DrawFn, devices: list[str]) -> AddressEntry:
    device = draw(st.sampled_from(devices))
    if draw(st.integers(0, 9)) == 0:
        return AddressEntry(device, ip_interface(f"fd00::{draw(st.integers(1, 3))}/64"))
    interface = ip_interface(f"10.{draw(st.integers(0, 1))}.0.{draw(st.integers(1, 3))}/{draw(st.sampled_from([24, 24, 32]))}")
    broadcast = interface.network.broadcast_address if interface.network.prefixlen == 24 and draw(switches) else None
    return AddressEntry(device, interface, broadcast=broadcast, no_prefix_route=draw(st.integers(0, 4)) == 0)


@st.composite
def routes(draw: st.DrawFn, up: list[str], own: list[IPv4Address], near: list[AddressEntry]) -> Route:
    destination = ip_network(draw(st.sampled_from(["0.0.0.0/0", "10.42.0.0/24", "10.42.0.0/16", "10.46.5.1/32", "192.168.0.0/26"])))
    table = draw(st.sampled_from([254, 254, 150, 100000]))
    route = Route(
        destination,
        table=table,
        metric=draw(st.sampled_from([0, 0, 100])),
        protocol=draw(st.sampled_from([3, 4, 80])),
        source=draw(st.sampled_from([None, *own])),
        tos=draw(st.sampled_from([0, 0, 0x10])),
    )
    ways = ["blackhole", *(["device"] if up else []), *(["via", "via", "hops"] if near else [])]
    match draw(st.sampled_from(ways)):
        case "device":
            return replace(route, device=draw(st.sampled_from(up)), scope=draw(st.sampled_from(["link", "global"])))
        case "via":
            entry = draw(st.sampled_from(near))
            return replace(route, device=entry.device, via=IPv4Address("10.9.9.9"), onlink=True, mtu=draw(st.sampled_from([None, 1300])))
        case "hops":
            hops = (NextHop(IPv4Address("10.9.9.8"), near[0].device, 2, True), NextHop(IPv4Address("10.9.9.9"), near[0].device, 1, True))
            return replace(route, hops=hops)
        case _:
            return replace(route, type=draw(st.sampled_from(["blackhole", "unreachable", "prohibit", "throw"])), source=None)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    action = draw(st.sampled_from(["lookup", "lookup", "lookup", "blackhole", "unreachable", "prohibit", "goto"]))
    mark = draw(st.sampled_from([None, None, 0x4000]))
    protocol = draw(st.sampled_from([None, 6, 17]))
    return Rule(
        draw(st.sampled_from([100, 100, 150])),
        action,
        table=draw(st.sampled_from([150, 254, 100000])) if action == "lookup" else None,
        goto=32766 if action == "goto" else None,
        source=draw(st.sampled_from([None, ip_network("10.42.0.0/16")])),
        destination=draw(st.sampled_from([None, ip_network("10.1.0.0/32")])),
        iif=draw(st.sampled_from([None, "eth0", "lo"])),
        mark=mark,
        mask=draw(st.sampled_from([0xFFFFFFFF, 0x4000])) if mark is not None else 0xFFFFFFFF,
        tos=draw(st.sampled_from([0, 0x10])),
        ip_protocol=protocol,
        destination_ports=draw(st.sampled_from([None, PortRange(80, 80), PortRange(1, 99)])) if protocol else None,
        inverted=draw(switches),
        suppress_prefix_length=draw(st.sampled_from([None, 0])) if action == "lookup" else None,
        protocol=draw(st.sampled_from([0, 80])),
    )


def as_ip_tells_them_apart(rule: Rule) -> tuple[object, ...]:
    """`ip rule add` fails when another rule of the priority has all that is named; what is looked up is named always."""
    return rule.priority, rule.action, rule.table


def neighbours(devices: list[str]) -> st.SearchStrategy[Neighbour]:
    made = st.builds(
        Neighbour,
        st.sampled_from(devices),
        st.sampled_from([ip_address("10.0.0.9"), ip_address("169.254.1.1")]),
        st.sampled_from(["02:00:00:00:00:09", "02:00:00:00:00:0a"]),
    )
    return st.one_of(made, made.map(lambda n: replace(n, mac=None, proxy=True)))


def fdb(device: str, version: int) -> st.SearchStrategy[list[FdbEntry]]:
    destinations = st.sampled_from([ip_address(f"{'10.0.0.' if version == 4 else 'fd00::'}{n}") for n in (3, 4, 5)])
    one = st.builds(FdbEntry, st.just(device), st.sampled_from(["66:00:00:00:00:02", "66:00:00:00:00:03"]), destinations)
    flood = st.builds(FdbEntry, st.just(device), st.just(ZERO_MAC), destinations, st.sampled_from([None, 4790]))
    return st.tuples(
        st.lists(one, max_size=2, unique_by=lambda e: e.mac), st.lists(flood, max_size=2, unique_by=lambda e: e.destination)
    ).map(lambda both: [*both[0], *both[1]])


@st.composite
def sysctls(draw: st.DrawFn, links: list[str]) -> dict[str, str]:
    paths = ["net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", *(f"net/ipv4/conf/{name}/rp_filter" for name in links)]
    return {path: draw(st.sampled_from(["0", "1"])) for path in paths if draw(switches)}


SSH = Match(Payload("tcp", "dport"), 22)
CHAINS = (
    Chain("one", (NftRule((SSH, Counter(), Verdict("accept"))),)),
    Chain("FORWARD", (NftRule((Verdict("jump", "one"),)), NftRule((Reject(),), "last")), "filter", "forward", 0, "accept"),
)
MASQUERADE = NftRule((Match(Payload("ip", "saddr"), SetRef("pools")), Nat("masquerade", flags=("fully-random",))))
POOLS = NftSet("pools", ("ipv4_addr",), (ip_address("10.1.0.1"),))
NAT = NftTable("ip", "nat", (Chain("POST", (MASQUERADE,), "nat", "postrouting", 100),), (POOLS,))
OUT = NftRule((Match(Meta("oifname"), AnonymousSet(("eth0", "eth1"))), Nat("masquerade")))


SEEN, QUOTA = StatefulObject("counter", "ssh"), StatefulObject("quota", "ssh", '{"bytes":1000,"inv":true}')
LIFETIMES = (Lifetime(ip_address("10.1.0.1"), 3600),)


def forwarding(*, objects: tuple[StatefulObject, ...] = (), **changes: object) -> tuple[NftTable, ...]:
    return (NftTable("ip", "filter", (CHAINS[0], replace(CHAINS[1], **changes)), objects=objects),)  # type: ignore[arg-type]


RULE_SETS = [
    forwarding(),
    forwarding(policy="drop"),
    forwarding(priority=-10),
    forwarding(rules=(*CHAINS[1].rules[:1], NftRule((Counter(),)), *CHAINS[1].rules[1:])),
    forwarding(rules=(NftRule((Counter(),), "first"), *CHAINS[1].rules)),
    (NftTable("ip", "filter", (replace(CHAINS[1], rules=CHAINS[1].rules[1:]),)),),
    (NAT,),
    (NAT, *forwarding()),
    (replace(NAT, sets=(replace(POOLS, elements=(ip_address("10.1.0.2"),)),)),),
    (replace(NAT, sets=(replace(POOLS, flags=("interval",)),)),),
    (replace(NAT, sets=(replace(POOLS, flags=("interval",), elements=(Prefix(ip_network("10.42.0.0/16")),)),)),),
    (replace(NAT, sets=(replace(POOLS, flags=("interval",), elements=(Prefix(ip_network("10.42.0.0/24")), ip_address("10.1.0.1"))),)),),
    (replace(NAT, sets=(replace(POOLS, options=SetOptions(size=9, timeout=600)),)),),
    (replace(NAT, sets=(replace(POOLS, flags=("dynamic",), options=SetOptions(lifetimes=LIFETIMES, timeout=60)),)),),
    (NftTable("inet", "nat", (Chain("POST", (OUT,), "nat", "postrouting", 100),)),),
    forwarding(rules=(*CHAINS[1].rules, NftRule((SSH, NamedCounter("ssh")))), objects=(SEEN,)),
    forwarding(rules=(*CHAINS[1].rules, NftRule((OpaqueStatement('{"quota":"ssh"}'), Verdict("drop")))), objects=(QUOTA,)),
    forwarding(rules=(*CHAINS[1].rules, NftRule((NamedCounter("ssh"), OpaqueStatement('{"quota":"ssh"}')))), objects=(SEEN, QUOTA)),
]


# -- what must hold ------------------------------------------------------------------------------------------------


@pytest.mark.kernel
@examples(20)
@given(state=states())
def test_the_commands_of_a_state_make_it(kernel_state: KernelState, state: State) -> None:
    read = kernel_state(shell(commands_of(state)), state)
    assert_no_difference(read, state)


@pytest.mark.kernel
@examples(20)
@given(before=states(), after=states())
def test_the_commands_of_a_difference_lead_from_one_state_to_the_other(kernel_state: KernelState, before: State, after: State) -> None:
    script = f"{shell(commands_of(before))}\n{as_on_a_real_node(before)}\n{shell(commands_of(difference(before, after)))}"
    note(script)
    read = kernel_state(script, after)
    assert_no_difference(read, after)


def as_on_a_real_node(state: State) -> str:
    """Let links choose an IPv6 address when they go up, as they do where no lab has said otherwise."""
    lines = [f"ip netns exec {namespace.name} sysctl -qw net.ipv6.conf.default.addr_gen_mode=0" for namespace in state]
    down = ((namespace.name, link.name) for namespace in state for link in namespace.links if not link.up and link.name != "lo")
    return "\n".join([*lines, *(f"ip -n {name} link set dev {link} addrgenmode eui64" for name, link in down)])


@pytest.mark.kernel
def test_a_vxlan_device_comes_into_a_bridge_that_comes_too(kernel_state: KernelState) -> None:
    """Both would have an IPv6 address of their own choice by going up, and the one that is stated would come too late."""
    ends = Link("eth0", Veth("b", "eth0")), Link("eth0", Veth("a", "eth0"))
    wired = (AddressEntry("eth0", ip_interface("10.0.0.1/24")), AddressEntry("eth0", ip_interface("fd00::1/64")))
    plain = Namespace("a", links=(LO, ends[0]), addresses=wired)
    tunnel = Link("vx7", Vxlan(7, 4789, ip_address("10.0.0.1"), device="eth0"), 1450, "66:00:00:00:00:07", master="br7", port=BridgePort())
    bridged = (*plain.links, Link("br7", Bridge(), 1450, "66:00:00:00:00:07"), tunnel)
    chosen = tuple(AddressEntry(name, ip_interface("fe80::6400:ff:fe00:7/64"), "link") for name in ("br7", "vx7"))
    other = Namespace("b", links=(LO, ends[1]))
    before = complete(State({"a": plain, "b": other}))
    after = complete(State({"a": replace(plain, links=bridged, addresses=(*wired, *chosen)), "b": other}))
    script = f"{shell(commands_of(before))}\n{as_on_a_real_node(before)}\n{shell(commands_of(difference(before, after)))}"
    assert_no_difference(kernel_state(script, after), after)


@pytest.mark.kernel
@examples(15)
@given(before=states(), after=states(), random=st.randoms(use_true_random=False))
def test_so_they_do_where_routes_name_nexthop_objects(kernel_state: KernelState, before: State, after: State, random: Random) -> None:
    one, other = (with_nexthops(state, random) for state in (before, after))
    script = shell((*commands_of(one), *commands_of(difference(one, other))))
    note(script)
    assert_no_difference(kernel_state(script, other), other)


@pytest.mark.kernel
def test_what_the_kernel_took_with_a_carrier_is_not_removed_again(kernel_state: KernelState) -> None:
    """The other end goes down: with the carrier go the nexthop objects on it, and the routes that name them (`nexthop_flush_dev`)."""
    ends = Link("eth0", Veth("b", "eth0")), Link("eth0", Veth("a", "eth0"))
    left, right = (Namespace(name, links=(LO, end)) for name, end in zip("ab", ends, strict=True))
    right = replace(right, addresses=(AddressEntry("eth0", ip_interface("10.0.0.1/24")),))
    objects = (NextHopObject(1, ip_address("10.0.0.9"), "eth0"),)
    before = complete(State({"a": left, "b": replace(right, nexthops=objects, routes=(Route(ip_network("0.0.0.0/0"), nexthop=1),))}))
    after = complete(State({"a": replace(left, links=(LO, replace(ends[0], up=False))), "b": right}))
    script = shell((*commands_of(before), *commands_of(difference(before, after))))
    assert_no_difference(kernel_state(script, after), after)


@pytest.mark.kernel
def test_a_gateway_follows_a_device_that_a_route_of_link_scope_names(kernel_state: KernelState) -> None:
    ends = Link("eth0", Veth("b", "eth0")), Link("eth0", Veth("a", "eth0"))
    left, right = (Namespace(name, links=(LO, end)) for name, end in zip("ab", ends, strict=True))
    everywhere = ip_network("0.0.0.0/0")
    direct, routed = NextHopObject(1, device="eth0"), NextHopObject(1, ip_address("10.9.9.9"), "eth0", onlink=True)
    before = complete(State({"a": left, "b": replace(right, nexthops=(direct,), routes=(Route(everywhere, nexthop=1, scope="link"),))}))
    after = complete(State({"a": left, "b": replace(right, nexthops=(routed,), routes=(Route(everywhere, nexthop=1),))}))
    script = shell((*commands_of(before), *commands_of(difference(before, after))))
    assert_no_difference(kernel_state(script, after), after)


@pytest.mark.kernel
def test_a_rule_whose_handle_is_known_goes_without_touching_the_others(kernel_state: KernelState) -> None:
    first, second, third = (NftRule((Counter(), Verdict("accept")), name) for name in ("one", "two", "three"))

    def holding(*rules: NftRule) -> State:
        table = NftTable("ip", "filter", (Chain("FORWARD", rules, "filter", "forward", 0),))
        return complete(State({"n": Namespace("n", links=(LO,), tables=(table,))}))

    made = shell(commands_of(holding(first, second, third)))
    read = kernel_state(made, holding(first, second, third))
    commands = commands_of(difference(read, holding(first, third, replace(first, comment="four"))))
    assert [line.split(" handle ")[0] for line in str(commands[0].standard_input).splitlines()] == [
        "delete rule ip filter FORWARD",
        'add rule ip filter FORWARD counter accept comment "four"',
    ]
    after = kernel_state(f"{made}\n{shell(commands)}", read)
    assert_no_difference(after, holding(first, third, replace(first, comment="four")))


@pytest.mark.kernel
def test_rules_come_where_they_stand_in_one_transaction(kernel_state: KernelState) -> None:
    rules = [NftRule((Counter(), Verdict("accept")), str(number)) for number in range(6)]

    def holding(*numbers: int) -> State:
        chain = Chain("FORWARD", tuple(rules[n] for n in numbers), "filter", "forward", 0)
        return complete(State({"n": Namespace("n", links=(LO,), tables=(NftTable("ip", "filter", (chain,)),))}))

    before, after = holding(1, 4), holding(0, 1, 2, 3, 4, 5)
    change = commands_of(difference(before, after))
    assert "flush" not in str(change[0].standard_input)
    read = kernel_state(shell((*commands_of(before), *change)), after)
    assert_no_difference(read, after)


@pytest.mark.kernel
def test_a_deprecated_address_a_locked_mtu_and_a_bucket_are_typed(in_namespace: Callable[..., CompletedProcess[str]]) -> None:
    """ip(8) tells of a lock in words only, and tc(8) is asked for what it made."""
    bucket = Impairment(rate=1000, bucket=Bucket(32768, 20000))
    ends = Link("v0", Veth("n", "v1"), impairment=bucket), Link("v1", Veth("n", "v0"))
    addresses = tuple(AddressEntry("v0", ip_interface(f"fd00:{number}::1/64"), deprecated=number == 1) for number in (1, 2))
    locked = Route(ip_network("10.9.0.0/16"), device="v0", scope="link", mtu=1000, mtu_locked=True)
    bare = Namespace("n", links=(LO, replace(ends[0], impairment=None), ends[1]))
    before = complete(State({"n": replace(bare, addresses=tuple(replace(entry, deprecated=False) for entry in addresses))}))
    after = complete(State({"n": replace(bare, links=(LO, *ends), addresses=addresses, routes=(locked,))}))
    script = shell((*commands_of(before), *commands_of(difference(before, after))))
    shown = "ip -n n route; ip -n n -6 address show deprecated; tc -n n qdisc show dev v0"
    done = in_namespace(f"mount -t tmpfs tmpfs /run\nmkdir /run/netns\n{script}\n{shown}")
    assert done.returncode == 0, done.stderr
    assert "10.9.0.0/16 dev v0 scope link mtu lock 1000" in done.stdout
    assert "inet6 fd00:1::1/64" in done.stdout
    assert "fd00:2::1" not in done.stdout
    assert "rate 1Mbit burst 32Kb limit 20000b" in done.stdout


def test_equal_states_need_no_commands() -> None:
    state = complete(State({"n": Namespace("n", links=(LO,))}))
    assert commands_of(difference(state, state)) == ()
