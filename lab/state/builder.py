"""The mutable builder of a namespace, for whoever writes states; `freeze` turns what it holds into plain data.

It refuses what the kernel would refuse: a second link of one name, an address on a device that is not there. It
adds nothing by itself but the `lo` every namespace is born with; what the kernel adds is the business of `complete`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, TypeVar

from lab.errors import InputError, did_you_mean
from lab.state.network import Listener, Namespace, Program, Role
from lab.state.nft import Family
from lab.state.nft_builder import BaseChain, ChainBuilder, MapBuilder, SetBuilder, TableBuilder
from lab.state.objects import (
    AddressEntry,
    Bridge,
    BridgePort,
    FdbEntry,
    Link,
    Loopback,
    Neighbour,
    Network,
    NextHopObject,
    Route,
    Rule,
    Table,
    XfrmPolicy,
)
from lab.state.provenance import UNKNOWN, Provenance
from lab.state.ways import without_lost

LO = Link("lo", Loopback(), mtu=65536, mac="00:00:00:00:00:00")
"""The loopback device, set up: `complete` gives it 127.0.0.1."""

NAME_LENGTH = 15
"""Longest name of a network device, IFNAMSIZ without its final zero; linux/if.h."""


class _Provenanced(Protocol):
    @property
    def provenance(self) -> Provenance: ...


T = TypeVar("T", bound=_Provenanced)


def _said(thing: T, provenance: Provenance) -> T:
    """Return a thing with the provenance given, or with its own where none is given."""
    return thing if provenance is UNKNOWN else replace(thing, provenance=provenance)  # type: ignore[type-var]


@dataclass(slots=True)
class NamespaceBuilder:
    """One namespace while it is written. Methods that add an object take its provenance, unless the object has it already."""

    name: str
    role: Role = "host"
    cluster: str | None = None
    parent: str | None = None
    provenance: Provenance = UNKNOWN
    links: dict[str, Link] = field(default_factory=lambda: {"lo": LO})
    addresses: list[AddressEntry] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    fdb: list[FdbEntry] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    tables: dict[tuple[Family, str], TableBuilder] = field(default_factory=dict)
    listeners: dict[str, Listener] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    nexthops: dict[int, NextHopObject] = field(default_factory=dict)
    policies: tuple[XfrmPolicy, ...] = ()

    @classmethod
    def opened(cls, namespace: Namespace) -> NamespaceBuilder:
        """Return a builder that starts from a namespace."""
        return cls(
            namespace.name,
            namespace.role,
            namespace.cluster,
            namespace.parent,
            namespace.provenance,
            {link.name: link for link in namespace.links},
            list(namespace.addresses),
            list(namespace.routes),
            list(namespace.rules),
            list(namespace.neighbours),
            list(namespace.fdb),
            dict(namespace.sysctls),
            {(table.family, table.name): TableBuilder.opened(table) for table in namespace.tables},
            {listener.name: listener for listener in namespace.listeners},
            {program.name: program for program in namespace.programs},
            dict(namespace.files),
            dict(namespace.environment),
            {thing.id: thing for thing in namespace.nexthops},
            namespace.policies,
        )

    def resume(self, namespace: Namespace) -> None:
        """Go on from what another namespace holds."""
        there = NamespaceBuilder.opened(namespace)
        for part in fields(self):
            setattr(self, part.name, getattr(there, part.name))

    def freeze(self) -> Namespace:
        """Return the namespace as it is now; rules in the order in which the kernel asks them."""
        return Namespace(
            self.name,
            self.role,
            self.cluster,
            self.parent,
            tuple(self.links.values()),
            tuple(self.addresses),
            tuple(self.routes),
            tuple(sorted(self.rules, key=lambda rule: (rule.family, rule.priority))),
            tuple(self.neighbours),
            tuple(self.fdb),
            dict(self.sysctls),
            tuple(table.freeze() for table in self.tables.values()),
            tuple(self.listeners.values()),
            tuple(self.programs.values()),
            dict(self.files),
            dict(self.environment),
            tuple(self.nexthops.values()),
            self.policies,
            self.provenance,
        )

    # -- links and addresses ---------------------------------------------------------------------------------------

    def add_link(self, link: Link, provenance: Provenance = UNKNOWN) -> None:
        """Add a link. InputError when its name is taken or too long, or when its master is not there."""
        link = _said(link, provenance)
        if link.name in self.links:
            raise self._mistake(f"link {link.name} is already there", link)
        if len(link.name.encode()) > NAME_LENGTH:
            raise self._mistake(f"link name {link.name!r} is longer than {NAME_LENGTH} bytes", link)
        if link.master is not None:
            self._device(link.master, link)
        self.links[link.name] = link

    def add_bridge(self, name: str, *, mtu: int = 1500, mac: str | None = None, provenance: Provenance = UNKNOWN) -> None:
        """Add a bridge without ports."""
        self.add_link(Link(name, Bridge(), mtu, mac, provenance=provenance))

    def enslave(self, name: str, bridge: str, port: BridgePort | None = None) -> None:
        """Make a link a port of a bridge."""
        master = self._device(bridge)
        if not isinstance(master.kind, Bridge):
            raise self._mistake(f"link {bridge} is no bridge", master)
        self.change_link(name, master=bridge, port=port or BridgePort())

    def change_link(self, name: str, **changes: Any) -> None:
        """Change attributes of a link, as ``up=False`` or ``mtu=1400``."""
        self.links[name] = replace(self._device(name), **changes)

    def remove_link(self, name: str) -> None:
        """Remove a link and what the kernel removes with it: addresses, routes, neighbours and FDB entries on it.

        The other end of a veth pair is the business of `StateBuilder.remove_link`.
        """
        self._device(name)
        del self.links[name]
        self.links = {n: replace(link, master=None, port=None) if link.master == name else link for n, link in self.links.items()}
        self.addresses = [entry for entry in self.addresses if entry.device != name]
        self.routes = [route for route in self.routes if route.device != name and all(hop.device != name for hop in route.hops)]
        self._keep_nexthops(without_lost(self.nexthops.values(), {name}))
        self.neighbours = [entry for entry in self.neighbours if entry.device != name]
        self.fdb = [entry for entry in self.fdb if name not in (entry.device, entry.via)]

    def add_address(self, entry: AddressEntry, provenance: Provenance = UNKNOWN) -> None:
        """Add an address. InputError when its device is not there or has it already."""
        entry = _said(entry, provenance)
        self._device(entry.device, entry)
        if any((e.device, e.interface, e.peer) == (entry.device, entry.interface, entry.peer) for e in self.addresses):
            raise self._mistake(f"{entry.device} has address {entry.interface} already", entry)
        self.addresses.append(entry)

    def remove_address(self, device: str, interface: str) -> None:
        """Remove an address, given with its prefix length. InputError when it is not there."""
        kept = [e for e in self.addresses if (e.device, str(e.interface)) != (device, interface)]
        if len(kept) == len(self.addresses):
            raise self._mistake(f"{device} has no address {interface}")
        self.addresses = kept

    # -- routes and rules ------------------------------------------------------------------------------------------

    def add_route(self, route: Route, provenance: Provenance = UNKNOWN) -> None:
        """Add a route. InputError when one of the same table, destination, TOS and metric is there, as `ip route add` has it."""
        route = self._route(route, provenance)
        if any(other.key == route.key for other in self.routes):
            raise self._mistake(f"a route to {route.destination} in table {route.table} is already there", route)
        self.routes.append(route)

    def append_route(self, route: Route, provenance: Provenance = UNKNOWN) -> None:
        """Add a route behind those of the same key."""
        self.routes.append(self._route(route, provenance))

    def replace_route(self, route: Route, provenance: Provenance = UNKNOWN) -> None:
        """Put a route in the place of the first of the same key, or add it."""
        route = self._route(route, provenance)
        at = next((i for i, other in enumerate(self.routes) if other.key == route.key), None)
        if at is None:
            self.routes.append(route)
        else:
            self.routes[at] = route

    def delete_routes(self, destination: Network, table: int = Table.MAIN, where: Callable[[Route], bool] | None = None) -> int:
        """Remove the routes to a destination in a table, or those of them a predicate holds for; return how many they were."""
        before = len(self.routes)
        self.routes = [
            route
            for route in self.routes
            if (route.destination, route.table) != (destination, table) or (where is not None and not where(route))
        ]
        return before - len(self.routes)

    def add_nexthop(self, thing: NextHopObject, provenance: Provenance = UNKNOWN) -> None:
        """Have a nexthop object, in the place of one of its number. InputError when its device or a member of its group is not there."""
        thing = _said(thing, provenance)
        if thing.device is not None:
            self._device(thing.device, thing)
        for member in thing.group:
            if member.id not in self.nexthops:
                raise self._mistake(f"there is no nexthop {member.id} for the group {thing.id}", thing)
        self.nexthops[thing.id] = thing

    def delete_nexthop(self, number: int) -> int:
        """Remove a nexthop object, what it leaves of groups without members, and the routes that name them; return how many went."""
        before = len(self.nexthops)
        kept = tuple(thing for thing in self.nexthops.values() if thing.id != number)
        groups = (replace(thing, group=tuple(m for m in thing.group if m.id != number)) if thing.group else thing for thing in kept)
        self._keep_nexthops(tuple(new for old, new in zip(kept, groups, strict=True) if new.group or not old.group))
        return before - len(self.nexthops)

    def _keep_nexthops(self, kept: tuple[NextHopObject, ...]) -> None:
        self.nexthops = {thing.id: thing for thing in kept}
        self.routes = [route for route in self.routes if route.nexthop is None or route.nexthop in self.nexthops]

    def add_rule(self, rule: Rule, provenance: Provenance = UNKNOWN) -> None:
        """Add a policy rule. InputError when an equal one is there."""
        rule = _said(rule, provenance)
        if rule in self.rules:
            raise self._mistake(f"the rule of priority {rule.priority} is already there", rule)
        self.rules.append(rule)

    def delete_rules(self, where: Callable[[Rule], bool]) -> int:
        """Remove the policy rules a predicate holds for; return how many they were."""
        before = len(self.rules)
        self.rules = [rule for rule in self.rules if not where(rule)]
        return before - len(self.rules)

    # -- neighbours and forwarding database ------------------------------------------------------------------------

    def replace_neighbour(self, entry: Neighbour, provenance: Provenance = UNKNOWN) -> None:
        """Have a neighbour entry, in the place of one for the same device and address."""
        entry = _said(entry, provenance)
        self._device(entry.device, entry)
        key = (entry.device, entry.address, entry.proxy)
        self.neighbours = [e for e in self.neighbours if (e.device, e.address, e.proxy) != key]
        self.neighbours.append(entry)

    def delete_neighbour(self, device: str, address: str) -> int:
        """Remove the neighbour entries for an address on a device; return how many they were."""
        before = len(self.neighbours)
        self.neighbours = [e for e in self.neighbours if (e.device, str(e.address)) != (device, address)]
        return before - len(self.neighbours)

    def append_fdb(self, entry: FdbEntry, provenance: Provenance = UNKNOWN) -> None:
        """Add an FDB entry, once; a MAC address may have several destinations."""
        entry = _said(entry, provenance)
        self._device(entry.device, entry)
        if entry not in self.fdb:
            self.fdb.append(entry)

    def replace_fdb(self, entry: FdbEntry, provenance: Provenance = UNKNOWN) -> None:
        """Have an FDB entry in the place of all others for its device and MAC address."""
        self.delete_fdb(entry.device, entry.mac)
        self.append_fdb(entry, provenance)

    def delete_fdb(self, device: str, mac: str, destination: str | None = None) -> int:
        """Remove FDB entries for a MAC address, all or those to one destination; return how many they were."""
        before = len(self.fdb)
        self.fdb = [
            e for e in self.fdb if (e.device, e.mac) != (device, mac) or (destination is not None and str(e.destination) != destination)
        ]
        return before - len(self.fdb)

    # -- rule sets -------------------------------------------------------------------------------------------------

    def table(self, family: Family, name: str, provenance: Provenance = UNKNOWN) -> TableBuilder:
        """Return an nft table, made if need be."""
        found = self.tables.get((family, name))
        if found is None:
            found = self.tables[family, name] = TableBuilder(family, name, provenance)
        return found

    def chain(self, family: Family, table: str, name: str, base: BaseChain | None = None, provenance: Provenance = UNKNOWN) -> ChainBuilder:
        """Return a chain of an nft table, both made if need be."""
        return self.table(family, table, provenance).chain(name, base, provenance)

    def set(
        self,
        family: Family,
        table: str,
        name: str,
        key: tuple[str, ...],
        *,
        flags: tuple[str, ...] = (),
        auto_merge: bool = False,
        provenance: Provenance = UNKNOWN,
    ) -> SetBuilder:
        """Return a named set of an nft table, both made if need be."""
        return self.table(family, table, provenance).set(name, key, flags=flags, auto_merge=auto_merge, provenance=provenance)

    def map(
        self,
        family: Family,
        table: str,
        name: str,
        key: tuple[str, ...],
        value: str,
        *,
        flags: tuple[str, ...] = (),
        provenance: Provenance = UNKNOWN,
    ) -> MapBuilder:
        """Return a named map of an nft table, both made if need be."""
        return self.table(family, table, provenance).map(name, key, value, flags=flags, provenance=provenance)

    # -- everything else -------------------------------------------------------------------------------------------

    def sysctl(self, path: str, value: str | int) -> None:
        """State a sysctl by its path below /proc/sys."""
        self.sysctls[path] = str(value)

    def add_listener(self, listener: Listener, provenance: Provenance = UNKNOWN) -> None:
        """Add a listening socket. InputError when its name is taken."""
        listener = _said(listener, provenance)
        if listener.name in self.listeners:
            raise self._mistake(f"listener {listener.name} is already there", listener)
        self.listeners[listener.name] = listener

    def add_program(self, program: Program, provenance: Provenance = UNKNOWN) -> None:
        """Add a program. InputError when its name is taken."""
        program = _said(program, provenance)
        if program.name in self.programs:
            raise self._mistake(f"program {program.name} is already there", program)
        self.programs[program.name] = program

    # -- checks ----------------------------------------------------------------------------------------------------

    def _route(self, route: Route, provenance: Provenance) -> Route:
        route = _said(route, provenance)
        for device in (route.device, *(hop.device for hop in route.hops)):
            if device is not None:
                self._device(device, route)
        if route.nexthop is not None and route.nexthop not in self.nexthops:
            raise self._mistake(f"there is no nexthop {route.nexthop} for the route to {route.destination}", route)
        return route

    def _device(self, name: str, thing: _Provenanced | None = None) -> Link:
        link = self.links.get(name)
        if link is None:
            raise self._mistake(f"there is no link {name}", thing, did_you_mean(name, list(self.links), "link"))
        return link

    def _mistake(self, message: str, thing: _Provenanced | None = None, hint: str | None = None) -> InputError:
        places = thing.provenance.places() if thing is not None else ()
        return InputError(f"namespace {self.name}: {message}", place=places[0] if places else None, hint=hint)
