"""Routers, hosts and the machines that nodes are, before any cluster software has run on them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.cluster.devices import add_device, add_namespace, set_devices
from lab.cluster.dns.files import NODE_RESOLVER, hosts_file
from lab.cluster.dns.server import host_dns_server
from lab.cluster.emulation import Emulation
from lab.cluster.names import device_name, local_mac
from lab.cluster.rules import MASQUERADE, built_in, oif, rule
from lab.cluster.sysctls import stated, sysctl_paths
from lab.cluster.underlay.ipv6 import add_ipv6, has_ipv6
from lab.cluster.underlay.policy import add_firewall, add_forwarding_policy
from lab.cluster.underlay.proxy import http_proxy, proxy_environment
from lab.cluster.underlay.wiring import Member, check_sources, devices, members, plug_in, wire
from lab.cluster.world import UPLINK, NodeFacts, World, v4, v4_interface, v4_network
from lab.spec.cluster import Node
from lab.spec.site import Host, Router, Serve
from lab.state.builder import NamespaceBuilder
from lab.state.network import Listener
from lab.state.objects import AddressEntry, Bridge, GroupMember, Link, NextHopObject, Protocol, Route
from lab.state.provenance import Provenance

DEFAULT = IPv4Network("0.0.0.0/0")


def build_underlay(lab: Emulation, nodes: Iterable[NodeFacts]) -> None:
    """Make the corporate network and the machines of the nodes that are there from the beginning."""
    topology = lab.world.topology
    for name, router in topology.routers.items():
        _add_router(lab, name, router)
    for name, host in topology.hosts.items():
        _add_host(lab, name, host)
    nodes = tuple(nodes)
    for node in nodes:
        _add_machine(lab, node)
    for segment in topology.segments:
        wire(lab.world, lab.builder, segment)
    for name, router in topology.routers.items():
        _configure_router(lab, name, router)
    for name, host in topology.hosts.items():
        _configure_host(lab, name, host)
    for node in nodes:
        _configure_machine(lab, node)
    for segment in topology.segments:
        for end in members(lab.world, segment):
            if end.namespace in lab.builder:
                check_sources(lab.world, lab.builder, segment, end)


def add_machine(lab: Emulation, node: NodeFacts) -> None:
    """Make the machine of a node that comes later, and plug it into its segment's switch."""
    _add_machine(lab, node)
    for device, segment in devices(node.segment, node.written.interfaces):
        plug_in(lab.world, lab.builder, segment, Member(node.name, device))
    _configure_machine(lab, node)
    for device, segment in devices(node.segment, node.written.interfaces):
        check_sources(lab.world, lab.builder, segment, Member(node.name, device))


def listeners(serves: Iterable[Serve], why: Provenance) -> tuple[Listener, ...]:
    """Return the sockets that a host or a pod serves, named ``tcp-8080``."""
    return tuple(Listener(f"{s.protocol}-{s.port}", s.protocol, s.port, behaviour=s.behaviour, provenance=why) for s in serves)


# -- routers -------------------------------------------------------------------------------------------------------


def _add_router(lab: Emulation, name: str, router: Router) -> None:
    """Corporate routers forward, do not check reverse paths, and send no redirects unless the file says otherwise."""
    sysctls = stated(forwarding=True, written=sysctl_paths(router.sysctls), send_redirects="0")
    add_namespace(lab.builder, name, "router", sysctls, lab.world.written("routers", name))


def _configure_router(lab: Emulation, name: str, router: Router) -> None:
    world, namespace = lab.world, lab.builder[name]
    interfaces: dict[str, IPv4Interface] = {}
    for segment, address in router.interfaces.items():
        place = world.place("routers", name, "interfaces", segment)
        interface = IPv4Interface(f"{v4(address, place)}/{world.topology.segments[segment].cidr.prefixlen}")
        interfaces[device_name(segment)] = interface
        namespace.add_address(_address(device_name(segment), interface, world.written("routers", name, "interfaces", segment)))
    _add_routes(world, namespace, ("routers", name), router, interfaces)
    places = ((device_name(segment), segment, address) for segment, address in router.interfaces.items())
    add_ipv6(world, namespace, ("routers", name), places, router.ipv6, router.routes, forwarding=True)
    set_devices(namespace, sysctl_paths(router.sysctls))
    if router.policy:
        ipv6 = has_ipv6(world.topology, router.interfaces)
        add_forwarding_policy(namespace, router.policy, device_name, world.written("routers", name, "policy"), ipv6=ipv6)
    why = world.written("routers", name, "masquerade")
    for segment in router.masquerade:
        built_in(namespace, "nat", "POSTROUTING", why).append(rule(oif(device_name(segment)), then=MASQUERADE, why=why))


# -- hosts ---------------------------------------------------------------------------------------------------------


def _add_host(lab: Emulation, name: str, host: Host) -> None:
    sysctls = stated(forwarding=False, written=sysctl_paths(host.sysctls))
    add_namespace(lab.builder, name, "proxy" if host.http_proxy else "host", sysctls, lab.world.written("hosts", name))


def _configure_host(lab: Emulation, name: str, host: Host) -> None:
    world, namespace, why = lab.world, lab.builder[name], lab.world.written("hosts", name)
    gateway = None if host.gateway is None else (v4(host.gateway), world.written("hosts", name, "gateway"))
    _configure_devices(world, namespace, ("hosts", name), (host.segment, v4(host.address)), host, gateway)
    set_devices(namespace, sysctl_paths(host.sysctls))
    if host.firewall is not None:
        ipv6 = has_ipv6(world.topology, (host.segment, *host.interfaces))
        add_firewall(namespace, host.firewall, world.written("hosts", name, "firewall"), ipv6=ipv6)
    namespace.files["/etc/hosts"] = hosts_file((), lab.outside_names())
    namespace.files["/etc/resolv.conf"] = NODE_RESOLVER
    for listener in listeners(host.serves, why):
        namespace.add_listener(listener)
    if host.http_proxy is not None:
        namespace.add_program(http_proxy(host.http_proxy, world.written("hosts", name, "http_proxy")))
    if host.dns is not None:
        namespace.add_program(host_dns_server(host.dns, lab.outside_names(), world.written("hosts", name, "dns")))


# -- machines of nodes ---------------------------------------------------------------------------------------------


def _add_machine(lab: Emulation, node: NodeFacts) -> None:
    """RKE2 and k3s turn forwarding on and leave rp_filter alone (k3s pkg/agent/syssetup/setup.go)."""
    sysctls = stated(forwarding=True, written=node.sysctls)
    add_namespace(lab.builder, node.name, "node", sysctls, node.provenance, cluster=node.cluster)


def _configure_machine(lab: Emulation, node: NodeFacts) -> None:
    world, namespace, cluster = lab.world, lab.builder[node.name], lab.world.clusters[node.cluster]
    why = Provenance("underlay", f"default gateway of {node.cluster}", because=(world.written("clusters", node.cluster, "gateway"),))
    gateway = None if node.default_gateway is None else (node.default_gateway, why)
    path = ("clusters", node.cluster, "nodes", node.name)
    dual_stack = cluster.pod_cidr6 is not None
    _configure_devices(world, namespace, path, (node.segment, node.address), node.written, gateway, forwarding6=dual_stack)
    set_devices(namespace, node.sysctls)
    ipv6 = has_ipv6(world.topology, (node.segment, *node.written.interfaces))
    if node.written.firewall is not None:
        add_firewall(namespace, node.written.firewall, world.written(*path, "firewall"), ipv6=ipv6)
    elif cluster.spec.firewall is not None:
        add_firewall(namespace, cluster.spec.firewall, world.written("clusters", node.cluster, "firewall"), ipv6=ipv6)
    namespace.environment |= proxy_environment(cluster)
    own = ((node.address, node.name),)
    namespace.files["/etc/hosts"] = hosts_file(own, lab.outside_names())
    namespace.files["/etc/resolv.conf"] = NODE_RESOLVER


# -- addresses and routes ------------------------------------------------------------------------------------------


def _address(device: str, interface: IPv4Interface, why: Provenance) -> AddressEntry:
    broadcast = interface.network.broadcast_address if interface.network.prefixlen < 31 else None
    return AddressEntry(device, interface, broadcast=broadcast, provenance=why)


def _configure_devices(
    world: World,
    namespace: NamespaceBuilder,
    owner: tuple[str, ...],
    first: tuple[str, IPv4Address],
    machine: Host | Node,
    gateway: tuple[IPv4Address, Provenance] | None,
    *,
    forwarding6: bool = False,
) -> None:
    """Give a machine its bridges, addresses and routes; `first` is the segment of eth0 and the address there.

    `forwarding6`: whether it forwards IPv6, which Felix turns on where it has IPv6 pods (felix/dataplane/linux/int_dataplane.go).
    """
    segments, why = world.topology.segments, world.written(*owner)
    addresses = (first[1], *(v4(address, world.place(*owner, "interfaces", on)) for on, address in machine.interfaces.items()))
    interfaces: dict[str, IPv4Interface] = {}
    for (device, on), address in zip(devices(first[0], machine.interfaces), addresses, strict=True):
        interfaces[device] = IPv4Interface(f"{address}/{segments[on].host_prefix or segments[on].cidr.prefixlen}")
        namespace.add_address(_address(device, interfaces[device], why if device == UPLINK else world.written(*owner, "interfaces", on)))
    for name, bridge in machine.bridges.items():
        because = world.written(*owner, "bridges", name, "address")
        add_device(namespace, Link(name, Bridge(), mac=local_mac(namespace.name, name), provenance=because))
        namespace.add_address(_address(name, v4_interface(bridge.address, because.place), because))
    if gateway is not None:
        via, because = gateway
        if not any(via in interface.network for interface in interfaces.values()):  # a host's address alone is on no link
            namespace.add_route(Route(IPv4Network(via), device=UPLINK, scope="link", protocol=Protocol.STATIC, provenance=because))
        namespace.replace_route(Route(DEFAULT, via=via, device=UPLINK, protocol=Protocol.STATIC, provenance=because))
    _add_routes(world, namespace, owner, machine, interfaces)
    places = ((device, on, address) for (device, on), address in zip(devices(first[0], machine.interfaces), addresses, strict=True))
    hop = None if gateway is None else gateway[0]
    add_ipv6(world, namespace, owner, places, machine.ipv6, machine.routes, hop, forwarding=forwarding6)


def _add_routes(
    world: World,
    namespace: NamespaceBuilder,
    owner: tuple[str, ...],
    machine: Router | Host | Node,
    interfaces: dict[str, IPv4Interface],
) -> None:
    def device_towards(via: IPv4Address | None) -> str | None:
        return next((name for name, interface in interfaces.items() if via is not None and via in interface.network), None)

    for number, thing in enumerate(machine.nexthops):
        because = Provenance("topology", f"{'.'.join(owner)}.nexthops[{number}]", place=world.place(*owner, "nexthops", number))
        hop = None if thing.via is None else v4(thing.via, because.place)
        group = tuple(GroupMember(member) for member in thing.group)
        made = NextHopObject(thing.id, hop, device_towards(hop), False, thing.blackhole, group, protocol=Protocol.STATIC)
        namespace.add_nexthop(made, because)
    for number, route in enumerate(machine.routes):
        if route.to != "default" and route.to.version == 6:
            continue
        because = Provenance("topology", f"{'.'.join(owner)}.routes[{number}]", place=world.place(*owner, "routes", number))
        to = DEFAULT if route.to == "default" else v4_network(route.to, because.place)
        via = None if route.via is None else v4(route.via, because.place)
        way = device_towards(via)
        entry = Route(to, type=route.type, via=via, device=way, nexthop=route.nexthop, protocol=Protocol.STATIC, provenance=because)
        namespace.replace_route(entry)
