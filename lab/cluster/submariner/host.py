"""What Submariner's processes do to the kernel of the node they run on, in the words of the commands they use.

All of them run in the host's network namespace. Each method does what the netlink or iptables call of the original does when the
object is there already, or not there any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.cluster.devices import add_device, remove_device
from lab.cluster.rules import BUILT_IN
from lab.cluster.submariner.names import ALL_ZERO_MAC
from lab.errors import InputError
from lab.state import (
    UNKNOWN,
    AddressEntry,
    ChainBuilder,
    FdbEntry,
    Link,
    NamespaceBuilder,
    Neighbour,
    Provenance,
    Route,
    Rule,
    SetBuilder,
    Table,
    TableBuilder,
)
from lab.state.nft import Chain, NftRule, NftTable, Prefix
from lab.state.nft_builder import leads_to
from lab.state.objects import Network


class Host:
    """The kernel of one node."""

    def __init__(self, namespace: NamespaceBuilder) -> None:
        self._kernel = namespace

    @property
    def name(self) -> str:
        """The node's name."""
        return self._kernel.name

    # -- what is there ---------------------------------------------------------------------------------------------

    def addresses(self) -> Iterator[tuple[str, IPv4Address]]:
        """Yield all devices' addresses in the order of interface indexes, as net.Interfaces() does."""
        for device in self._kernel.links:
            yield from ((device, e.interface.ip) for e in self._kernel.addresses if e.device == device and e.interface.version == 4)

    def first_address(self, device: str) -> IPv4Address:
        """Return a device's first IPv4 address; raises InputError where it has none."""
        found = next((address for name, address in self.addresses() if name == device), None)
        if found is None:
            raise InputError(f"{device} of {self.name} has no IPv4 address, which Submariner needs")
        return found

    @property
    def default_device(self) -> str:
        """The device of the first default route in table main; raises InputError where there is none."""
        default = self._default_route
        if default is None or default.device is None:
            raise InputError(f"node {self.name} has no default route, which Submariner needs", hint="give the cluster a gateway")
        return default.device

    def next_hop(self, to: IPv4Address) -> IPv4Address | None:
        """Return the next hop towards an address by the longest prefix of table main (`ip route get`)."""
        fitting = [r for r in self.routes(Table.MAIN) if to in r.destination]
        best = max(fitting, key=lambda route: route.destination.prefixlen, default=None)
        return best.via if best is not None and isinstance(best.via, IPv4Address) else None

    def on_link(self, address: IPv4Address) -> bool:
        """Whether an address is on a link: in the network of an own address, or by a route without next hop."""
        return any(address in r.destination and r.via is None and r.type == "unicast" for r in self.routes(Table.MAIN)) or any(
            address in e.interface.network for e in self._kernel.addresses
        )

    def mtu(self, device: str) -> int:
        """Return the MTU of a device."""
        return self._kernel.links[device].mtu

    def routes(self, table: int, device: str | None = None) -> tuple[Route, ...]:
        """Return the routes of a table, all or those of a device."""
        return tuple(route for route in self._kernel.routes if route.table == table and device in (None, route.device))

    @property
    def _default_route(self) -> Route | None:
        return next((route for route in self.routes(Table.MAIN) if route.destination.prefixlen == 0), None)

    # -- devices ---------------------------------------------------------------------------------------------------

    def ensure_vxlan(self, wanted: Link) -> None:
        """Make a VXLAN device; one that is there is used if it is configured alike, else made anew."""
        there = self._kernel.links.get(wanted.name)
        if there is not None and there.kind == wanted.kind:
            return
        if there is not None:
            self.delete_device(wanted.name)
        add_device(self._kernel, wanted)

    def delete_device(self, name: str) -> None:
        """Delete a device with all that hangs on it, if it is there."""
        if name in self._kernel.links:
            remove_device(self._kernel, name)

    def ensure_address(self, device: str, interface: IPv4Interface, why: Provenance) -> None:
        """Give a device an address, if it has it not."""
        if not any((e.device, e.interface) == (device, interface) for e in self._kernel.addresses):
            self._kernel.add_address(AddressEntry(device, interface, provenance=why))

    def append_fdb(self, device: str, destination: IPv4Address, why: Provenance) -> None:
        """Flood what the device does not know to one destination more."""
        self._kernel.append_fdb(FdbEntry(device, ALL_ZERO_MAC, destination=destination, provenance=why))

    def replace_fdb(self, entry: FdbEntry) -> None:
        """Set where frames to a MAC address go."""
        self._kernel.replace_fdb(entry)

    def delete_fdb(self, device: str, destination: IPv4Address, mac: str = ALL_ZERO_MAC) -> None:
        """Take a destination out of a device's FDB."""
        self._kernel.delete_fdb(device, mac, str(destination))

    def replace_neighbour(self, entry: Neighbour) -> None:
        """Set a permanent neighbour."""
        self._kernel.replace_neighbour(entry)

    def delete_neighbour(self, device: str, address: IPv4Address) -> None:
        """Delete a neighbour."""
        self._kernel.delete_neighbour(device, str(address))

    # -- routes, rules, sysctls ------------------------------------------------------------------------------------

    def add_route(self, route: Route) -> None:
        """Add a route; one with the same key stays as it is (EEXIST)."""
        if not any(there.key == route.key for there in self._kernel.routes):
            self._kernel.add_route(route)

    def replace_route(self, route: Route) -> None:
        """Add a route, or replace the one with the same key."""
        self._kernel.replace_route(route)

    def delete_route(self, destination: Network, table: int, device: str | None = None) -> None:
        """Delete the routes to a network from a table, all or those of a device."""
        self._kernel.delete_routes(destination, table, lambda route: device in (None, route.device))

    def flush_table(self, table: int) -> None:
        """Delete all routes of a table."""
        for route in self.routes(table):
            self._kernel.delete_routes(route.destination, table)

    def ensure_rule(self, rule: Rule) -> None:
        """Add a policy routing rule, if it is not there."""
        if rule not in self._kernel.rules:
            self._kernel.add_rule(rule)

    def delete_rules(self, table: int) -> None:
        """Delete the policy routing rules whose priority and table are this number, as Submariner's are."""
        self._kernel.delete_rules(lambda rule: (rule.priority, rule.table) == (table, table))

    def write(self, path: str, value: str) -> None:
        """Write a sysctl."""
        self._kernel.sysctl(path, value)

    # -- packet filter ---------------------------------------------------------------------------------------------

    def ensure_chain(self, table: str, name: str, why: Provenance) -> None:
        """Make a chain of an iptables table, if it is not there."""
        self._table(table, why).chain(name, provenance=why)

    def append_unique(self, table: str, chain: str, rule: NftRule) -> None:
        """Append a rule, if the chain does not hold it anywhere."""
        self._chain(table, chain, rule.provenance).append_unique(rule)

    def prepend_unique(self, table: str, chain: str, rule: NftRule) -> None:
        """Have a rule first in a chain, and nowhere else. Nobody keeps it there afterwards."""
        self._chain(table, chain, rule.provenance).insert_unique(rule)

    def delete_rule_of_chain(self, table: str, chain: str, rule: NftRule) -> None:
        """Delete a rule from a chain, if it is there."""
        self._chain(table, chain).delete(rule)

    def delete_chain(self, table: str, name: str) -> None:
        """Delete a chain and the jumps to it, if it is there."""
        chains = self._table(table).chains
        for chain in chains.values():
            chain.delete(lambda rule: leads_to((rule,), name))
        chains.pop(name, None)

    def put_chain(self, table: str, chain: Chain) -> None:
        """Have a chain of an iptables table with these rules and no others."""
        builder = self._table(table, chain.provenance).chain(chain.name, provenance=chain.provenance)
        builder.rules = list(chain.rules)

    def ensure_set(self, table: str, name: str, why: Provenance) -> None:
        """Make a set of networks, if it is not there; what is in it stays."""
        self._set(table, name, why)

    def add_to_set(self, table: str, name: str, network: IPv4Network) -> None:
        """Add a network to a set."""
        self._set(table, name).add(Prefix(network))

    def remove_from_set(self, table: str, name: str, network: IPv4Network) -> None:
        """Remove a network from a set."""
        self._set(table, name).remove(Prefix(network))

    def delete_set(self, table: str, name: str) -> None:
        """Delete a set, if it is there."""
        self._table(table).sets.pop(name, None)

    def put_table(self, table: NftTable) -> None:
        """Have an nft table of one's own, in place of an earlier one."""
        self._kernel.tables[table.family, table.name] = TableBuilder.opened(table)

    def delete_table(self, name: str) -> None:
        """Delete an nft table of one's own, if it is there."""
        self._kernel.tables.pop(("ip", name), None)

    def _table(self, name: str, why: Provenance = UNKNOWN) -> TableBuilder:
        return self._kernel.table("ip", name, why)

    def _chain(self, table: str, name: str, why: Provenance = UNKNOWN) -> ChainBuilder:
        """Return a chain; a built-in one is made with its hook where nobody has needed it before."""
        return self._table(table, why).chain(name, BUILT_IN.get((table, name)), why)

    def _set(self, table: str, name: str, why: Provenance = UNKNOWN) -> SetBuilder:
        """Return a set; networks in it may contain each other, as in an ipset of type hash:net."""
        return self._table(table, why).set(name, ("ipv4_addr",), flags=("interval",), auto_merge=True, provenance=why)
