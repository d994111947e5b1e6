"""Whether the segments of a topology are such as a kernel takes: their networks, their MTU, and how many are on one."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from lab.errors import InputError, Place
from lab.spec.check_ports import members_of
from lab.spec.findings import Mistakes, within
from lab.spec.load import Loaded
from lab.spec.topology import Topology
from lab.spec.values import Network

_NOBODYS: Final = {
    ip_network("0.0.0.0/8"): "addresses of this host, which nobody is reached by (RFC 1122, 3.2.1.3)",
    ip_network("127.0.0.0/8"): "loopback addresses (RFC 1122, 3.2.1.3)",
    ip_network("224.0.0.0/4"): "multicast groups (RFC 5771)",
    ip_network("::/96"): "addresses of no host, the loopback address among them (RFC 4291, 2.5)",
    ip_network("::ffff:0:0/96"): "IPv4 addresses as sockets of IPv6 write them (RFC 4291, 2.5.5.2)",
    ip_network("fe80::/10"): "link-local addresses, which every device has already (RFC 4291, 2.5.6)",
    ip_network("ff00::/8"): "multicast groups (RFC 4291, 2.7)",
}
"""Networks of which no machine on a segment can have an address."""
_LEAST_MTU_OF_IPV6: Final = 1280
"""RFC 8200, section 5; below, the kernel takes IPv6 off a device (`addrconf_notify`, IPV6_MIN_MTU)."""
_MOST_PORTS: Final = 1023
"""Of one switch: BR_MAX_PORTS is 1024, and no port has the number 0 (`find_portno` in net/bridge/br_if.c)."""


def check_segments(loaded: Loaded[Topology]) -> Mistakes:
    """Yield what no kernel takes of the segments of a topology, each at its place."""
    for name, segment in loaded.model.segments.items():
        yield from _of_hosts(segment.cidr, loaded.place("segments", name, "cidr"), "as 192.0.2.0/24")
        if segment.cidr6 is not None:
            yield from _of_hosts(segment.cidr6, loaded.place("segments", name, "cidr6"), "as 2001:db8:1::/64")
            if segment.mtu < _LEAST_MTU_OF_IPV6:
                said = f"IPv6 needs an MTU of {_LEAST_MTU_OF_IPV6} bytes at least, and the segment {name!r} has {segment.mtu}"
                yield InputError(said, place=loaded.place("segments", name, "mtu"), hint="make it larger, or leave out `cidr6`")
        count = sum(1 for _ in members_of(loaded.model, name))
        if count > _MOST_PORTS:
            said = f"{count} are on the segment {name!r}, and a switch has {_MOST_PORTS} ports at most"
            yield InputError(
                said, place=loaded.key_place("segments", name), hint="spread them over several segments, with a router between"
            )


def _of_hosts(network: Network, place: Place, example: str) -> Mistakes:
    for other, what in _NOBODYS.items():
        if within(network, other) or within(other, network):
            yield InputError(f"{network} has {what}", place=place, hint=f"choose a network of hosts' addresses, {example}")
            return
