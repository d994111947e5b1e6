"""IPv6 beside IPv4: who is on a segment with an IPv6 network gets an address there, and a default route where its gateway has one too.

Pods and services stay IPv4: none of the emulated control planes programs anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Interface, IPv6Network

from lab.cluster.world import UPLINK, World
from lab.spec.topology import StaticRoute
from lab.spec.values import Address
from lab.state.builder import NamespaceBuilder
from lab.state.objects import AddressEntry, Protocol, Route
from lab.state.provenance import Provenance

DEFAULT = IPv6Network("::/0")
ON: Mapping[str, str] = {"net/ipv6/conf/all/disable_ipv6": "0", "net/ipv6/conf/default/disable_ipv6": "0"}
LINK_LOCAL = IPv6Network("fe80::/64")


def derived(world: World, segment: str, address: Address) -> IPv6Address | None:
    """Return the address in the same place of a segment's IPv6 network as an address has in its IPv4 network; None without one."""
    found = world.topology.segments[segment]
    if found.cidr6 is None:
        return None
    return found.cidr6.network_address + (int(address) - int(found.cidr.network_address))


def add_ipv6(
    world: World,
    namespace: NamespaceBuilder,
    owner: tuple[str, ...],
    places: Iterable[tuple[str, str, Address]],
    written: Mapping[str, IPv6Address],
    routes: Iterable[StaticRoute],
    gateway: IPv4Address | None = None,
    *,
    forwarding: bool = False,
) -> None:
    """Give a machine its IPv6 addresses and routes: `places` are its devices, each with its segment and its IPv4 address there."""
    interfaces: dict[str, IPv6Interface] = {}
    first: str | None = None
    for device, segment, address in places:
        cidr6 = world.topology.segments[segment].cidr6
        own = written.get(segment, derived(world, segment, address))
        if cidr6 is None or own is None:
            continue
        first = first or segment
        why = Provenance("underlay", f"{own} on segment {segment}", because=(world.written("segments", segment, "cidr6"),))
        why = world.written(*owner, "ipv6", segment) if segment in written else why
        interfaces[device] = IPv6Interface(f"{own}/{cidr6.prefixlen}")
        mac = namespace.links[device].mac
        assert mac is not None
        namespace.add_address(AddressEntry(device, interfaces[device], provenance=why))
        namespace.add_address(AddressEntry(device, link_local(mac), "link", provenance=why))
    if not interfaces:
        return
    namespace.sysctls |= {**ON, "net/ipv6/conf/all/forwarding": str(int(forwarding))}
    via = None if gateway is None or first is None else _gateway(world, first, gateway)
    if via is not None and UPLINK in interfaces:
        because = Provenance("underlay", f"{via} is the gateway {gateway}", because=(world.written(*owner),))
        namespace.replace_route(Route(DEFAULT, via=via, device=UPLINK, protocol=Protocol.STATIC, provenance=because))
    for number, route in enumerate(routes):
        if isinstance(route.to, IPv6Network):
            because = Provenance("topology", f"{'.'.join(owner)}.routes[{number}]", place=world.place(*owner, "routes", number))
            out = next((name for name, own in interfaces.items() if route.via is not None and route.via in own.network), None)
            entry = Route(route.to, type=route.type, via=route.via, device=out, protocol=Protocol.STATIC, provenance=because)
            namespace.replace_route(entry)


def link_local(mac: str) -> IPv6Interface:
    """Return the link-local address of a MAC: its modified EUI-64 (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return IPv6Interface((int(LINK_LOCAL.network_address) | int.from_bytes(identifier, "big"), 64))


def _gateway(world: World, segment: str, gateway: IPv4Address) -> IPv6Address | None:
    """Return the IPv6 address of the router that has an address on a segment; None where it is no router's."""
    for router in world.topology.routers.values():
        if router.interfaces.get(segment) == gateway:
            return router.ipv6.get(segment, derived(world, segment, gateway))
    return derived(world, segment, gateway)
