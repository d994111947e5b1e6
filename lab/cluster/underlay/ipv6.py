"""IPv6 beside IPv4: who is on a segment with an IPv6 network gets an address there, and a default route where its gateway has one too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Interface, IPv6Network

from lab.cluster.names import link_local
from lab.cluster.sysctls import IPV6_ON
from lab.cluster.world import UPLINK, World, address6_on
from lab.spec.site import StaticRoute
from lab.spec.topology import Topology
from lab.spec.values import Address
from lab.state.builder import NamespaceBuilder
from lab.state.objects import AddressEntry, Protocol, Route
from lab.state.provenance import Provenance

DEFAULT = IPv6Network("::/0")


def has_ipv6(topology: Topology, segments: Iterable[str]) -> bool:
    """Whether a machine that is on some segments has IPv6."""
    return any(topology.segments[segment].cidr6 is not None for segment in segments)


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
        own = address6_on(world.topology, segment, address, written)
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
    namespace.sysctls |= {**IPV6_ON, "net/ipv6/conf/all/forwarding": str(int(forwarding))}
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


def _gateway(world: World, segment: str, gateway: IPv4Address) -> IPv6Address | None:
    """Return the IPv6 address of the router that has an address on a segment; None where it is no router's."""
    routers = (router for router in world.topology.routers.values() if router.interfaces.get(segment) == gateway)
    written = next((router.ipv6 for router in routers), {})
    return address6_on(world.topology, segment, gateway, written)
