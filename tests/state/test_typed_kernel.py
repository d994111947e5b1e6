"""What a command typed by an operator makes of a state is what it makes of the kernel; what is refused, the kernel refuses."""

from __future__ import annotations

from dataclasses import fields, replace
from ipaddress import ip_address, ip_interface, ip_network
from subprocess import PIPE, STDOUT

import pytest

from lab.errors import InputError, Place
from lab.kernel.engine import Engine
from lab.kernel.sandbox import Sandbox
from lab.state import (
    AddressEntry,
    Bridge,
    Link,
    Route,
    State,
    StateBuilder,
    Vxlan,
    complete,
    difference_of_namespaces,
    without_bare_ipv6,
)
from lab.state.typed import carry_out, split_words

COMMANDS = """
ip route add 10.9.0.0/16 via 10.1.0.2
ip route add 10.9.0.0/16 via 10.1.0.2 dev a
ip r a 10.9.0.0/16 via 10.2.0.2 dev b metric 50
ip route append 10.9.0.0/16 via 10.2.0.2 dev b
ip route replace 10.9.0.0/16 via 10.2.0.2
ip route change 10.8.0.0/16 via 10.2.0.2
ip route prepend 10.9.0.0/16 dev a proto static scope link
ip route add 10.9.1.0/24 via 10.77.0.1
ip route add 10.9.1.0/24 via 10.77.0.1 dev a onlink
ip route add 10.9.2.0/24 via 10.1.0.1 dev a
ip route add 10.9.2.0/24 via 10.1.0.1 dev a onlink metric 9
ip route add 10.9.2.0/24 via 10.1.0.1 metric 10
ip route add 10.9.2.0/24 via 10.1.0.2 dev b
ip route add 10.9.3.0/24 dev dn
ip route add 10.9.3.1/24 dev a
ip route add blackhole 10.9.4.0/24
ip route add unreachable 10.9.5.0/24 metric 4000 table 100
ip route add local 10.9.6.1 dev lo
ip route add 10.9.7.0/24 nexthop via 10.1.0.2 dev a weight 2 nexthop via 10.2.0.2 dev b
ip route add 10.9.8.0/24 via 10.1.0.2 src 10.2.0.1 mtu 1400 tos 0x10
ip route add 10.9.8.0/24 via 10.1.0.2 src 10.3.3.3
ip route add default via 10.1.0.2 table 200 proto bird
ip route del 10.9.4.0/24
ip route del 10.9.4.0/24
ip route del 10.9.0.0/16 metric 50
ip route del 10.9.0.0/16 via 10.1.0.99
ip route del 10.9.0.0/16
ip route flush table 200
ip nexthop add id 1 via 10.1.0.2 dev a
ip nexthop add id 1 via 10.1.0.3 dev a
ip nexthop add id 2 via 10.2.0.2 dev b onlink proto static
ip nexthop add id 3 via 10.1.0.2
ip nexthop add id 3 via 10.77.0.1 dev a
ip nexthop add id 3 dev dn
ip nexthop add id 3 group 1,2/2,5
ip nexthop add id 4 group 3
ip nexthop add id 4 group 1/1
ip nexthop add id 4 group 1/9
ip nexthop add id 5 blackhole
ip nexthop add id 6 group 5/1
ip nexthop add id 6 group 5
ip nexthop replace id 7 dev b
ip nexthop replace id 1 group 2
ip nexthop replace id 3 dev a
ip nexthop replace id 1 blackhole
ip route add 10.20.0.0/16 nhid 1
ip route add 10.20.1.0/24 nhid 3 metric 5 src 10.1.0.1
ip route add 10.20.2.0/24 nhid 5
ip route add blackhole 10.20.3.0/24 nhid 6
ip route add 10.20.4.0/24 nhid 7 scope link
ip route add 10.20.5.0/24 nhid 8
ip route add 10.20.5.0/24 nhid 1 dev a
ip route replace 10.20.1.0/24 nhid 1 metric 5
ip route append 10.20.1.0/24 nhid 2 metric 5
ip route del 10.20.1.0/24 nhid 3
ip route del 10.20.1.0/24 nhid 2
ip route del 10.20.0.0/16
ip nexthop del id 2
ip nexthop del id 2
ip nexthop replace id 1 via 10.1.0.3 dev a
ip route add 10.20.6.0/24 nhid 3
ip nexthop del id 1
ip nexthop add id 1 via 10.1.0.2 dev a
ip nexthop add id 2 via 10.2.0.2 dev b
ip nexthop add id 3 group 1/2
ip route add 10.20.7.0/24 nhid 3
ip route add 10.20.8.0/24 nhid 2
ip nexthop
ip rule add from 10.1.0.0/16 table 100
ip rule add fwmark 0x10/0xff lookup 100 pref 50
ip rule add fwmark 0x10/0xff lookup 100 pref 50
ip rule add not to 10.5.0.0/16 iif a pref 60 prohibit
ip rule add ipproto tcp dport 80-90 pref 70 table 100
ip rule del pref 60
ip rule del pref 61
ip rule del fwmark 0x10/0xff
ip addr add 10.3.0.1/24 dev a
ip addr add 10.3.0.1/24 dev a
ip addr add 10.3.0.2/24 brd + dev a
ip route add 10.9.9.0/24 via 10.3.0.9
ip addr del 10.3.0.1/24 dev a
ip addr del 10.3.0.7/24 dev a
ip link set dev a mtu 1400
ip link set dev a arp off
ip link set dev b arp off mtu 1300
ip link set dev b arp on
ip link set dev b down
ip link set dev b up
ip link set dev c master br0
ip link set dev c nomaster
ip link set dev dn address 02:00:00:00:00:99
ip link set dev dn up
ip neigh add 10.1.0.7 lladdr 02:00:00:00:00:77 dev a nud permanent
ip neigh add 10.1.0.7 lladdr 02:00:00:00:00:77 dev a
ip neigh replace 10.1.0.7 lladdr 02:00:00:00:00:78 dev a
ip neigh del 10.1.0.7 dev a
ip neigh del 10.1.0.7 dev a
bridge fdb append 00:00:00:00:00:00 dev vx dst 10.1.0.9
bridge fdb add 02:00:00:00:00:55 dev vx dst 10.1.0.9
bridge fdb add 02:00:00:00:00:55 dev vx dst 10.1.0.8
bridge fdb replace 02:00:00:00:00:55 dev vx dst 10.1.0.8
bridge fdb del 02:00:00:00:00:55 dev vx dst 10.1.0.8
bridge fdb add 02:00:00:00:00:55 dev vx dst fd00::8
bridge fdb append 00:00:00:00:00:00 dev vx6 dst fd00::8
bridge fdb append 00:00:00:00:00:00 dev vx6 dst fd00::9
bridge fdb add 02:00:00:00:00:55 dev vx6 dst 10.1.0.8
bridge fdb add 02:00:00:00:00:55 dev vx6 dst fd00::8
bridge fdb replace 02:00:00:00:00:55 dev vx6 dst fd00::9 port 8472
bridge fdb del 00:00:00:00:00:00 dev vx6 dst fd00::8
bridge fdb del 02:00:00:00:00:55 dev vx6
sysctl -w net.ipv4.conf.a.rp_filter=2
sysctl net/ipv4/conf/b/rp_filter=1 net.ipv4.conf.all.rp_filter=0
sysctl -w net.ipv4.ip_forward=0
sysctl -w net.ipv4.conf.nosuch.rp_filter=0
nft add table ip filter
nft add chain ip filter forward { type filter hook forward priority 0 \\; policy drop \\; }
nft add rule ip filter forward ip saddr 10.1.0.0/16 tcp dport { 80, 443 } counter accept comment '"web"'
nft insert rule filter forward iifname a oifname != b ct state established,related accept
nft add rule filter forward index 0 ip protocol icmp icmp type echo-request reject with icmp type host-unreachable
nft 'add chain nat post { type nat hook postrouting priority srcnat; }'
nft add table nat
nft 'add chain nat post { type nat hook postrouting priority srcnat; }'
nft add rule nat post ip daddr 10.9.0.0/16 masquerade
nft add rule nat post meta mark 0x10 oifname "b" snat to 10.2.0.1
nft add rule nat nosuch accept
nft add chain filter mine
nft add rule filter mine udp sport 53 return
nft add rule filter forward jump mine
nft delete chain filter mine
nft flush chain filter forward
nft 'add rule nat post counter; add rule nat post accept'
nft delete table nat
ip link del dev c
ip link del nosuch
""".strip().splitlines()
"""Typed one after the other. Many of them cannot be carried out: the kernel has to say the same."""

COMMANDS6 = """
ip route add 2001:db8:9::/48 via fd00:1::2
ip -6 route add 2001:db8:9::/48 via fd00:2::2
ip route add 2001:db8:9::/48 via fd00:2::2 dev b metric 50
ip -6 r a default via fd00:1::2
ip route add default via fd00:2::2 metric 7
ip -6 route replace 2001:db8:9::/48 via fd00:2::2
ip -6 route change 2001:db8:9::/48 via fd00:1::3
ip -6 route change 2001:db8:7::/48 via fd00:1::3
ip -6 route replace 2001:db8:8::/48 dev a proto static mtu 1400
ip -6 route add 2001:db8:a::/48 via fd00:1::1
ip -6 route add 2001:db8:a::/48 via fd00:77::1
ip -6 route add 2001:db8:a::/48 via fd00:77::1 dev a onlink
ip -6 route add 2001:db8:b::/48 via fd00:1::2 dev b
ip -6 route add 2001:db8:b::/48 via fe80::7
ip -6 route add 2001:db8:b::/48 via fe80::7 dev b
ip -6 route add 2001:db8:c::/48 dev dn
ip -6 route add blackhole 2001:db8:d::/48
ip -6 route add unreachable 2001:db8:e::/48 metric 4000 table 100
ip -6 route add prohibit 2001:db8:f::1
ip -6 route add 2001:db8:10::/48 nexthop via fd00:1::2 dev a weight 2 nexthop via fd00:2::2 dev b
ip -6 route add 2001:db8:11::/48 via fd00:1::2 src fd00:2::1 advmss 1200
ip -6 route add 2001:db8:12::/48 via fd00:1::2 src fd00:3::1
ip -6 route add 2001:db8:12::/48 via fd00:1::2 tos 0x10
ip -6 route add 2001:db8:13::/48 via 2001:db8:9::1
ip -6 route add default via fd00:1::2 table 200 proto bird
ip -6 route del 2001:db8:d::/48
ip -6 route del 2001:db8:d::/48
ip -6 route del 2001:db8:9::/48 via fd00:2::77
ip -6 route del 2001:db8:9::/48
ip -6 route del 2001:db8:9::/48
ip -6 route del 2001:db8:f::1
ip -6 route del default metric 7
ip -6 route del fd00:2::/64 dev b
ip -6 route add 2001:db8:14::/48 via fd00:2::2
ip -6 route flush table 200
ip -6 rule add from 2001:db8::/32 table 100
ip rule add from fd00:1::/64 fwmark 0x10/0xff lookup 100 pref 50
ip -6 rule add fwmark 0x10/0xff lookup 100 pref 50
ip -6 rule add fwmark 0x10/0xff lookup 100 pref 50
ip -6 rule add not to 2001:db8:5::/48 iif a pref 60 prohibit
ip -6 rule add ipproto ipv6-icmp pref 70 table 100
ip -6 rule add from all lookup 100 suppress_prefixlength 64 pref 80
ip -6 rule del pref 60
ip -6 rule del pref 61
ip -6 rule del fwmark 0x10/0xff
ip rule add pref 90 table 100
ip addr add fd00:3::1/64 dev a
ip addr add fd00:3::1/64 dev a
ip addr add fd00:3::1/48 dev a
ip -6 addr add fd00:3::2/64 dev a nodad
ip -6 addr add fd00:4::1/64 dev a noprefixroute
ip -6 addr add fd00:5::5 dev a
ip -6 addr add fd00:6::1/64 brd + dev a
ip -6 addr replace fd00:3::1/64 dev a
ip -6 route add 2001:db8:15::/48 via fd00:3::9
ip addr del fd00:3::1/128 dev a
ip addr del fd00:3::1/64 dev a
ip addr del fd00:3::2/64 dev a
ip addr del fd00:5::5/128 dev a
ip -4 addr add 10.9.0.1/24 dev a
ip -6 addr flush dev a
ip neigh add fd00:2::7 lladdr 02:00:00:00:00:77 dev b nud permanent
ip -6 neigh add fd00:2::7 lladdr 02:00:00:00:00:77 dev b
ip -6 neigh replace fd00:2::7 lladdr 02:00:00:00:00:78 dev b
ip neigh del fd00:2::7 dev b
ip neigh del fd00:2::7 dev b
ip neigh add proxy fd00:2::9 dev b
sysctl -w net.ipv6.conf.all.forwarding=0
sysctl -w net.ipv6.conf.all.forwarding=1
sysctl -w net.ipv6.conf.b.forwarding=0
nft add table ip6 filter
nft add chain ip6 filter forward { type filter hook forward priority 0 \\; policy drop \\; }
nft add rule ip6 filter forward ip6 saddr 2001:db8::/32 tcp dport { 80, 443 } counter accept comment '"web"'
nft add rule ip6 filter forward ip6 daddr 2001:db8::1 icmpv6 type echo-request reject with icmpv6 type admin-prohibited
nft add rule ip6 filter forward icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
nft add rule ip6 filter forward ip6 saddr { 2001:db8:1::/64, 2001:db8:2::7 } drop
nft add rule ip6 filter forward reject with icmpv6 type no-route
nft add rule ip6 filter forward reject
nft add table inet both
nft 'add chain inet both in { type filter hook input priority 0; policy accept; }'
nft add rule inet both in tcp dport 22 reject with icmpx type admin-prohibited
nft add table ip6 nat
nft 'add chain ip6 nat post { type nat hook postrouting priority srcnat; }'
nft 'add chain ip6 nat pre { type nat hook prerouting priority dstnat; }'
nft add rule ip6 nat post ip6 saddr fd00::/8 oifname "b" masquerade
nft add rule ip6 nat post meta mark 0x10 snat to 2001:db8::9
nft 'add rule ip6 nat pre tcp dport 80 dnat to [2001:db8::9]:8080'
nft add rule ip6 nat pre tcp dport 81 dnat to 2001:db8::9
nft flush chain ip6 filter forward
nft delete table ip6 nat
ip link set dev b down
ip link set dev b up
ip -6 route add 2001:db8:16::/48 via fd00:2::2
""".strip().splitlines()
"""The same of IPv6."""


def network() -> State:
    """A node with cables a, b and c, one that is down, a bridge and VXLAN devices over both versions of IP."""
    builder = StateBuilder()
    for name in ("n", "far"):
        builder.add_namespace(name)
    for number, name in enumerate(("a", "b", "c", "dn"), start=1):
        up = name != "dn"
        one = Link(name, Bridge(), mac=f"02:00:00:00:01:0{number}", up=up)
        builder.add_veth(("n", one), ("far", Link(name, Bridge(), mac=f"02:00:00:00:02:0{number}")))
        builder["n"].add_address(AddressEntry(name, ip_interface(f"10.{number}.0.1/16")))
    node = builder["n"]
    node.add_bridge("br0", mac="02:00:00:00:03:01")
    node.add_link(Link("vx", Vxlan(7, 4789, local=ip_address("10.1.0.1")), mtu=1450, mac="02:00:00:00:03:02"))  # type: ignore[arg-type]
    node.add_link(Link("vx6", Vxlan(7, 4789, local=ip_address("fd00::1")), mtu=1430, mac="02:00:00:00:03:03"))  # type: ignore[arg-type]
    node.add_route(Route(ip_network("10.50.0.0/16"), via=ip_address("10.2.0.2"), device="b"))
    for scope in ("all", "default", "a", "b"):
        node.sysctl(f"net/ipv4/conf/{scope}/rp_filter", 0)
        node.sysctl(f"net/ipv4/conf/{scope}/forwarding", 1)
    node.sysctl("net/ipv4/ip_forward", 1)
    node.sysctl("net/ipv6/conf/dn/addr_gen_mode", 1)
    return complete(builder.freeze())


def network6() -> State:
    """The same node with IPv6 on a and b, which it forwards. Nobody looks for duplicate addresses, which takes a second each time."""
    builder = StateBuilder(network())
    node = builder["n"]
    for number, name in enumerate(("a", "b"), start=1):
        node.add_address(AddressEntry(name, ip_interface(f"fd00:{number}::1/64")))
    for scope in ("all", "default", "a", "b"):
        node.sysctl(f"net/ipv6/conf/{scope}/accept_dad", 0)
    for scope in ("all", "b"):
        node.sysctl(f"net/ipv6/conf/{scope}/forwarding", 1)
    return complete(builder.freeze())


def deltas(read: State, state: State) -> list[str]:
    """What distinguishes the node as it was read from the node as it should be, of all that the state speaks about."""
    was, wanted = without_bare_ipv6(read["n"]), state["n"]
    spoken = replace(was, sysctls={path: value for path, value in was.sysctls.items() if path in wanted.sysctls})
    found = difference_of_namespaces(spoken, wanted)
    return [
        f"{part.name}: {delta}" for part in fields(found) if part.name not in ("before", "after") and (delta := getattr(found, part.name))
    ]


@pytest.mark.kernel
@pytest.mark.parametrize(("state", "commands"), [(network(), COMMANDS), (network6(), COMMANDS6)], ids=["IPv4", "IPv6"])
def test_typed_commands_do_to_a_state_what_they_do_to_the_kernel(sandbox: Sandbox, state: State, commands: list[str]) -> None:
    refused = 0
    with Engine(sandbox) as engine:
        engine.apply(state)
        assert deltas(engine.read_back(), state) == []
        for number, line in enumerate(commands, start=1):
            words = split_words(line, Place("typed", number))
            ran = sandbox.spawn("n", [word.text for word in words], stdout=PIPE, stderr=STDOUT)
            said = ran.communicate()[0].decode()
            if ran.returncode:
                refused += 1
                with pytest.raises(InputError) as told:
                    carry_out(state, "n", words)
                assert told.value.place is not None, said
                assert told.value.place.line == number
            else:
                state = carry_out(state, "n", words)
                engine.settle("n")
                assert deltas(engine.read_back(), state) == [], line
    assert refused > 15, "and it was seen to refuse"
