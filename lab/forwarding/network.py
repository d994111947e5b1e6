"""A state, compiled for looking things up: one `Node` for each namespace, made when the first packet comes by."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from lab.errors import InputError, did_you_mean
from lab.forwarding.fib import SCOPES, Device, Fib
from lab.forwarding.netfilter.ruleset import Ruleset, compile_ruleset
from lab.forwarding.packet import TCP, UDP, ZERO_MAC, Address
from lab.forwarding.rules import Version
from lab.forwarding.sysctls import DeviceSettings, DeviceSettings6, Settings, device_settings, device_settings6, settings
from lab.state import AddressEntry, Bridge, FdbEntry, Link, Listener, Loopback, Macvlan, Namespace, Neighbour, Program, State, Veth, Vxlan


class Network:
    """All namespaces of a state. It holds nothing but what follows from the state, so it may be shared and kept."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._nodes: dict[str, Node] = {}

    def node(self, name: str) -> Node:
        """Return the namespace of that name, compiled. Raises InputError where there is none."""
        node = self._nodes.get(name)
        if node is None:
            namespace = self.state.namespaces.get(name)
            if namespace is None:
                raise InputError(f"there is no namespace {name!r}", hint=did_you_mean(name, list(self.state.namespaces)))
            node = self._nodes[name] = Node(namespace, self)
        return node

    @cached_property
    def positions(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Where each link stands in the state: number of its namespace, number in it."""
        return {
            (namespace.name, link.name): (place, number)
            for place, namespace in enumerate(self.state)
            for number, link in enumerate(namespace.links)
        }

    def peer(self, link: Link) -> tuple[Node, Link] | None:
        """Return the other end of a veth link, if the state has it."""
        if not isinstance(link.kind, Veth) or link.kind.peer_namespace not in self.state.namespaces:
            return None
        node = self.node(link.kind.peer_namespace)
        other = node.links.get(link.kind.peer_name)
        return None if other is None else (node, other)


class Node:
    """One namespace, compiled. Everything is computed at first use and never changes."""

    def __init__(self, namespace: Namespace, network: Network) -> None:
        self.namespace = namespace
        self.name = namespace.name
        self.network = network
        self.links = {link.name: link for link in namespace.links}
        self._macs: dict[str, str] = {}
        self._bridge_macs: dict[str, frozenset[str]] = {}
        self._carriers: dict[str, bool] = {}
        self._settings: dict[str, DeviceSettings] = {}
        self._settings6: dict[str, DeviceSettings6] = {}

    def __repr__(self) -> str:
        return f"Node({self.name!r})"

    # -- links -----------------------------------------------------------------------------------------------------

    def carrier(self, link: Link) -> bool:
        """Whether a link that is up can send: the kernel's NO-CARRIER is the contrary."""
        found = self._carriers.get(link.name)
        if found is None:
            found = self._carriers[link.name] = link.up and self._can_send(link)
        return found

    def _can_send(self, link: Link) -> bool:
        match link.kind:
            case Veth():
                peer = self.network.peer(link)
                return peer is not None and peer[1].up
            case Bridge():
                return any(self.carrier(port) for port in self.ports(link.name))
            case Macvlan(device=device):
                return device in self.links and self.carrier(self.links[device])
            case _:
                return True

    @cached_property
    def registered(self) -> tuple[str, ...]:
        """The devices in the order in which the kernel came to know them, where the state was built from nothing.

        `inet_select_addr` borrows addresses in that order, which is not that of the indexes: the second end of a pair is
        registered together with the first, and links on links come after all others.
        """
        positions = self.network.positions

        def when(link: Link) -> tuple[bool, bool, tuple[int, int]]:
            place = positions[self.name, link.name]
            if isinstance(link.kind, Veth):
                place = min(place, positions.get((link.kind.peer_namespace, link.kind.peer_name), place))
            return not isinstance(link.kind, Loopback), isinstance(link.kind, Vxlan | Macvlan), place

        return tuple(link.name for link in sorted(self.namespace.links, key=when))

    def ports(self, bridge: str) -> tuple[Link, ...]:
        """Return the ports of a bridge in the order of the links."""
        return self._ports.get(bridge, ())

    @cached_property
    def _ports(self) -> dict[str, tuple[Link, ...]]:
        ports: dict[str, tuple[Link, ...]] = {}
        for link in self.namespace.links:
            if link.master is not None:
                ports[link.master] = (*ports.get(link.master, ()), link)
        return ports

    def mac(self, device: str) -> str:
        """Return the MAC of a device; where the kernel chooses it, a name for it that equals no real one."""
        found = self._macs.get(device)
        if found is None:
            link = self.links[device]
            found = ZERO_MAC if isinstance(link.kind, Loopback) else (link.mac or f"?{self.name}/{device}").lower()
            self._macs[device] = found
        return found

    def bridge_macs(self, bridge: str) -> frozenset[str]:
        """Return the MACs of a bridge and its ports: frames for these are the namespace's own."""
        found = self._bridge_macs.get(bridge)
        if found is None:
            found = self._bridge_macs[bridge] = frozenset((self.mac(bridge), *(self.mac(port.name) for port in self.ports(bridge))))
        return found

    @cached_property
    def macvlan_parents(self) -> frozenset[str]:
        """The devices that macvlan devices are on."""
        return frozenset(link.kind.device for link in self.namespace.links if isinstance(link.kind, Macvlan))

    def settings_of(self, device: str) -> DeviceSettings:
        """Return the effective sysctls of a device."""
        found = self._settings.get(device)
        if found is None:
            found = self._settings[device] = device_settings(self.namespace.sysctls, device)
        return found

    def settings6_of(self, device: str) -> DeviceSettings6:
        """Return the IPv6 sysctls of a device."""
        found = self._settings6.get(device)
        if found is None:
            found = self._settings6[device] = device_settings6(self.namespace.sysctls, device)
        return found

    @cached_property
    def settings(self) -> Settings:
        """The sysctls that belong to no device."""
        return settings(self.namespace.sysctls)

    # -- routing ---------------------------------------------------------------------------------------------------

    @cached_property
    def fib(self) -> Fib:
        """The routing tables and rules."""
        return self.make_fib(4)

    @cached_property
    def fib6(self) -> Fib:
        """The routing tables and rules of IPv6."""
        return self.make_fib(6)

    def make_fib(self, version: Version) -> Fib:
        """Compile the routing tables and rules of a version of IP."""
        settings_of: Callable[[str], DeviceSettings | DeviceSettings6] = self.settings_of if version == 4 else self.settings6_of
        devices = {link.name: Device(link.up, self.carrier(link), settings_of(link.name).ignore_linkdown) for link in self.namespace.links}
        return Fib(self.namespace.routes, self.namespace.rules, devices, version, self.namespace.nexthops)

    def fib_of(self, version: int) -> Fib:
        """The routing tables and rules of a version of IP."""
        return self.fib if version == 4 else self.fib6

    @cached_property
    def addresses6(self) -> dict[str, tuple[IPv6Interface, ...]]:
        """The IPv6 addresses of each device, the latest in front, as the kernel keeps them (`ipv6_link_dev_addr`)."""
        found: dict[str, tuple[IPv6Interface, ...]] = {link.name: () for link in self.namespace.links}
        for entry in self.namespace.addresses:
            if isinstance(entry.interface, IPv6Interface) and entry.device in found:
                found[entry.device] = (entry.interface, *found[entry.device])
        return found

    @cached_property
    def deprecated6(self) -> dict[str, frozenset[IPv6Address]]:
        """Those of the IPv6 addresses of each device that are no longer preferred."""
        found: dict[str, set[IPv6Address]] = {}
        for entry in self.namespace.addresses:
            if entry.deprecated and isinstance(entry.interface, IPv6Interface):
                found.setdefault(entry.device, set()).add(entry.interface.ip)
        return {device: frozenset(addresses) for device, addresses in found.items()}

    @cached_property
    def own_addresses6(self) -> frozenset[int]:
        """Every IPv6 address of every device."""
        return frozenset(int(interface.ip) for interfaces in self.addresses6.values() for interface in interfaces)

    @cached_property
    def addresses(self) -> dict[str, tuple[Assigned, ...]]:
        """The IPv4 addresses of each device in the kernel's order, links in the order of their indexes."""
        return {link.name: _in_kernel_order(self.namespace.addresses_of(link.name)) for link in self.namespace.links}

    @cached_property
    def own_addresses(self) -> frozenset[int]:
        """Every address of every device."""
        return frozenset(int(a.address) for assigned in self.addresses.values() for a in assigned)

    def is_local(self, address: int) -> bool:
        """Whether an address is this namespace's own (`__ip_dev_find` and its fallback, net/ipv4/devinet.c)."""
        return address in self.own_addresses or self.fib.local_type(address) == "local"

    # -- neighbours and forwarding databases -----------------------------------------------------------------------

    @cached_property
    def neighbours(self) -> dict[tuple[str, int], Neighbour]:
        """Stated neighbour entries that have a MAC."""
        known = ("permanent", "noarp", "reachable", "stale")
        entries = (n for n in self.namespace.neighbours if isinstance(n.address, IPv4Address) and not n.proxy)
        return {(n.device, int(n.address)): n for n in entries if n.mac is not None and n.state in known}

    @cached_property
    def neighbours6(self) -> dict[tuple[str, IPv6Address], Neighbour]:
        """Stated neighbour entries of IPv6 that have a MAC."""
        known = ("permanent", "noarp", "reachable", "stale")
        entries = (n for n in self.namespace.neighbours if isinstance(n.address, IPv6Address) and not n.proxy)
        return {(n.device, n.address): n for n in entries if isinstance(n.address, IPv6Address) and n.mac is not None and n.state in known}

    @cached_property
    def proxied(self) -> frozenset[tuple[str, int]]:
        """Proxy entries (`ip neigh add proxy`)."""
        return frozenset((n.device, int(n.address)) for n in self.namespace.neighbours if n.proxy)

    @cached_property
    def vxlan_fdb(self) -> dict[tuple[str, str], tuple[FdbEntry, ...]]:
        """Entries of VXLAN devices by device and MAC; the default destination (`remote`) counts as an all-zero entry.

        It alone is bound to the lower device (`remote_ifindex`); other entries are bound to what they name, or to none.
        """
        found: dict[tuple[str, str], tuple[FdbEntry, ...]] = {}
        for entry in self.namespace.fdb:
            if not entry.master and entry.destination is not None:
                key = (entry.device, entry.mac.lower())
                found[key] = (*found.get(key, ()), entry)
        for link in self.namespace.links:
            if isinstance(link.kind, Vxlan) and link.kind.remote is not None:
                key = (link.name, ZERO_MAC)
                if all(entry.destination != link.kind.remote for entry in found.get(key, ())):
                    default = FdbEntry(link.name, ZERO_MAC, link.kind.remote, via=link.kind.device, provenance=link.provenance)
                    found[key] = (default, *found.get(key, ()))
        return found

    @cached_property
    def bridge_fdb(self) -> dict[tuple[str, str], FdbEntry]:
        """Static entries of bridges, by bridge and MAC."""
        found = {}
        for entry in self.namespace.fdb:
            port = self.links.get(entry.device)
            if entry.master and port is not None and port.master is not None:
                found[port.master, entry.mac.lower()] = entry
        return found

    # -- netfilter and sockets -------------------------------------------------------------------------------------

    @cached_property
    def ruleset(self) -> Ruleset:
        """The nft tables, compiled."""
        return compile_ruleset(self.namespace.tables)

    @cached_property
    def vxlan_devices(self) -> dict[tuple[int, int, int], Link]:
        """VXLAN devices that are up, by version of the outer packets, UDP port and VNI."""
        tunnels = ((link, link.kind) for link in self.namespace.links if isinstance(link.kind, Vxlan) and link.up)
        return {(kind.version, kind.port, kind.vni): link for link, kind in tunnels}

    @cached_property
    def vxlan_ports(self) -> dict[tuple[int, int], bool]:
        """UDP ports the kernel itself listens on, by version; and whether it demands a check sum of datagrams there."""
        tunnels = (link.kind for link in self.vxlan_devices.values() if isinstance(link.kind, Vxlan))
        return {(kind.version, kind.port): kind.version == 6 and kind.udp_checksum for kind in tunnels}

    def listener(self, protocol: int, address: Address, port: int) -> Listener | Program | None:
        """Return who listens there: a bound address goes before any address."""
        best: Listener | Program | None = None
        for listener in self.namespace.listeners:
            if listener.port == port and (TCP if listener.protocol == "tcp" else UDP) == protocol:
                if listener.address == address:
                    return listener
                if listener.address is None:
                    best = best or listener
        if best is None:
            wanted = ("tcp" if protocol == TCP else "udp", port)
            hearing = (one for one in self.namespace.programs if one.speaker is None or one.speaker.version == address.version)
            best = next((program for program in hearing if wanted in program.listens), None)
        return best


class Assigned:
    """An address on a device, as source address selection sees it."""

    __slots__ = ("address", "entry", "mask", "number", "scope", "secondary", "subnet")

    def __init__(self, entry: AddressEntry, interface: IPv4Interface, *, secondary: bool) -> None:
        self.entry = entry
        self.address = interface.ip
        self.number = int(interface.ip)
        self.scope = SCOPES[entry.scope]
        self.secondary = secondary
        # The subnet is that of the other end where the address is a point-to-point one.
        other = entry.peer if isinstance(entry.peer, IPv4Interface) else interface
        self.mask = int(other.network.netmask)
        self.subnet = int(other.network.network_address)

    def covers(self, address: int) -> bool:
        """Whether an address is in the subnet of this one (`inet_ifa_match`)."""
        return address & self.mask == self.subnet


def _in_kernel_order(entries: tuple[AddressEntry, ...]) -> tuple[Assigned, ...]:
    """Order as `__inet_insert_ifa` does: primaries by falling scope, each in order of configuration, then secondaries."""
    primaries: list[Assigned] = []
    secondaries: list[Assigned] = []
    for entry in entries:
        interface = entry.interface
        if not isinstance(interface, IPv4Interface):
            continue
        assigned = Assigned(entry, interface, secondary=False)
        if any(p.mask == assigned.mask and p.subnet == assigned.subnet for p in primaries):
            assigned.secondary = True
            secondaries.append(assigned)
        else:
            primaries.append(assigned)
    primaries.sort(key=lambda assigned: -assigned.scope)
    return (*primaries, *secondaries)
