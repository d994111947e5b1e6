"""Kernel-level changes: laid over a computed state where they are data, kept for the running lab where they are actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from ipaddress import ip_network

from lab.cluster.underlay.ports import impairment_of, port_of
from lab.errors import InputError, Place, did_you_mean
from lab.spec.changes import (
    AddressChange,
    AnnounceChange,
    AnyChange,
    FdbChange,
    ImpairmentChange,
    LinkChange,
    NeighbourChange,
    NexthopChange,
    NftChange,
    ProcessChange,
    RouteChange,
    RuleChange,
    RunChange,
    SysctlChange,
)
from lab.state import AddressEntry, FdbEntry, GroupMember, Link, Neighbour, NextHopObject, Provenance, Route, Rule, State, Vxlan, complete
from lab.state.builder import NamespaceBuilder
from lab.state.objects import Address, Network
from lab.state.state_builder import StateBuilder

LiveChange = AnnounceChange | NftChange | ProcessChange | RunChange
_ActionOnly = NftChange | ProcessChange | RunChange


@dataclass(frozen=True, slots=True)
class Ordered:
    """A change with the namespaces it touches and the line it stands on."""

    on: tuple[str, ...]
    change: AnyChange
    place: Place


@dataclass(frozen=True, slots=True)
class Live:
    """A change that only a running lab can make."""

    on: tuple[str, ...]
    change: LiveChange
    place: Place


def apply_changes(state: State, changes: Iterable[Ordered], refused: Callable[[InputError], None] | None = None) -> State:
    """Return the state with every change made that is data.

    Raises InputError, at the change's line, where one cannot be made; or tells `refused` of it, and leaves it out.
    """
    for ordered in changes:
        if isinstance(ordered.change, _ActionOnly):
            continue
        try:
            state = _changed(state, ordered)
        except InputError as error:
            if refused is None:
                raise
            refused(error)
    return state


def _changed(state: State, ordered: Ordered) -> State:
    """Make one change, with what the kernel does by itself because of it: routes go with a link that goes down, and so on."""
    builder = StateBuilder(state)
    why = Provenance("operator", f"the change at {ordered.place}", ordered.place)
    for name in ordered.on:
        if name not in builder:
            raise InputError(f"{name!r} is not there in this phase", place=ordered.place)
        try:
            _apply(builder, name, ordered.change, why)
        except InputError as error:
            raise InputError(error.message, place=ordered.place, hint=error.hint) from None
    return complete(builder.freeze(), state)


def live_changes(changes: Iterable[Ordered]) -> tuple[Live, ...]:
    """Return the changes that are actions, in order."""
    return tuple(Live(ordered.on, ordered.change, ordered.place) for ordered in changes if isinstance(ordered.change, LiveChange))


def _apply(builder: StateBuilder, name: str, change: AnyChange, why: Provenance) -> None:
    namespace = builder[name]
    match change:
        case RouteChange():
            _route(namespace, change, why)
        case NexthopChange():
            _nexthop(namespace, change, why)
        case RuleChange():
            _rule(namespace, change, why)
        case SysctlChange():
            namespace.sysctl(change.name, change.value)
        case LinkChange():
            _link(builder, namespace, change, why)
        case ImpairmentChange():
            link = _device(namespace, change.device)
            because = replace(why, because=(link.provenance,))
            namespace.change_link(link.name, impairment=impairment_of(change), provenance=because)
        case AddressChange():
            if change.action == "add":
                namespace.add_address(AddressEntry(change.device, change.address), why)
            else:
                namespace.remove_address(change.device, str(change.address))
        case NeighbourChange():
            _neighbour(namespace, change, why)
        case AnnounceChange():
            _forget_learned(builder, name, change.address)
        case FdbChange():
            _fdb(namespace, change, why)


def _fdb(namespace: NamespaceBuilder, change: FdbChange, why: Provenance) -> None:
    kind = _device(namespace, change.device).kind
    if not isinstance(kind, Vxlan):
        raise InputError(f"{change.device!r} is no VXLAN device", hint="only those have VTEPs in their forwarding database")
    if change.destination.version != kind.version:
        raise InputError(f"{change.device!r} is a tunnel over IPv{kind.version}, and {change.destination} is no address of that version")
    if change.action == "append":
        namespace.append_fdb(FdbEntry(change.device, change.mac, change.destination), why)
    elif not namespace.delete_fdb(change.device, change.mac, str(change.destination)):
        raise InputError(f"{namespace.name!r} has no such FDB entry on {change.device!r}")


def _route(namespace: NamespaceBuilder, change: RouteChange, why: Provenance) -> None:
    destination = _destination(change)
    if change.action == "delete":
        if not namespace.delete_routes(destination, change.table):
            known = [str(route.destination) for route in namespace.routes if route.table == change.table]
            hint = did_you_mean(str(destination), known, "route")
            raise InputError(f"{namespace.name!r} has no route to {destination} in table {change.table}", hint=hint)
        return
    on_link = change.via is None and change.nexthop is None and change.type == "unicast" and destination.version == 4
    scope = change.scope or ("link" if on_link else "global")
    device = change.device or (None if change.via is None else _device_towards(namespace, change))
    route = Route(
        destination,
        type=change.type,
        via=change.via,
        device=device,
        table=change.table,
        metric=change.metric,
        source=change.source,
        protocol=change.protocol,
        scope=scope,
        onlink=change.onlink,
        mtu=change.mtu,
        nexthop=change.nexthop,
    )
    namespace.replace_route(route, why)


def _nexthop(namespace: NamespaceBuilder, change: NexthopChange, why: Provenance) -> None:
    if change.action == "delete":
        if not namespace.delete_nexthop(change.id):
            known = ", ".join(map(str, namespace.nexthops)) or "none"
            raise InputError(f"{namespace.name!r} has no nexthop {change.id}", hint=f"it has {known}")
        return
    group = tuple(GroupMember(member) for member in change.group)
    via, device = change.via, change.device
    namespace.add_nexthop(NextHopObject(change.id, via, device, change.onlink, change.blackhole, group), why)


def _device_towards(namespace: NamespaceBuilder, change: RouteChange) -> str:
    """Return the device whose subnet holds the next hop, as the kernel finds it."""
    for entry in namespace.addresses:
        if change.via in entry.interface.network:
            return entry.device
    raise InputError(f"the next hop {change.via} is on no subnet of {namespace.name!r}", hint="name the device, or set `onlink`")


def _forget_learned(builder: StateBuilder, announcer: str, address: Address) -> None:
    """Drop what others have learned of an address that is announced: what they learn now is the kernel's business, not the state's."""
    for name in builder:
        if name != announcer:
            namespace = builder[name]
            namespace.neighbours = [n for n in namespace.neighbours if n.address != address or n.proxy or n.state == "permanent"]


def _destination(change: RouteChange) -> Network:
    return ip_network("0.0.0.0/0") if change.to == "default" else change.to


def _has_what_is_stated(found: Rule, wanted: Rule, change: RuleChange) -> bool:
    """Whether a rule is one that a change deletes, as `ip rule del` knows it: by its priority, and by whatever else is stated."""
    stated = {"priority", "family", *change.model_fields_set} - {"on", "action", "type"}
    keys = [key for key in (field.name for field in fields(Rule)) if key in stated]
    kind = "type" not in change.model_fields_set or found.action == wanted.action
    return kind and all(getattr(found, key) == getattr(wanted, key) for key in keys)


def _rule(namespace: NamespaceBuilder, change: RuleChange, why: Provenance) -> None:
    rule = Rule(
        change.priority,
        action=change.type,
        table=change.table,
        source=change.source,
        destination=change.destination,
        iif=change.iif,
        oif=change.oif,
        mark=change.mark,
        mask=change.mask,
        family=6 if any(network is not None and network.version == 6 for network in (change.source, change.destination)) else 4,
    )
    if change.action == "add":
        namespace.add_rule(rule, why)
    elif not namespace.delete_rules(lambda other: _has_what_is_stated(other, rule, change)):
        raise InputError(f"{namespace.name!r} has no such rule of priority {change.priority}")


def _link(builder: StateBuilder, namespace: NamespaceBuilder, change: LinkChange, why: Provenance) -> None:
    link = _device(namespace, change.device)
    if change.state == "deleted":
        builder.remove_link(namespace.name, change.device)
        return
    changes: dict[str, object] = {key: value for key, value in (("mtu", change.mtu), ("mac", change.mac)) if value is not None}
    if change.state is not None:
        changes["up"] = change.state == "up"
    if change.port is not None:
        if link.master is None:
            raise InputError(
                f"{change.device!r} is no port of a bridge in {namespace.name!r}", hint="ports of a segment's switch are in it"
            )
        changes["port"] = port_of(change.port, link.port)
    namespace.change_link(change.device, **changes, provenance=replace(why, because=(link.provenance,)))


def _device(namespace: NamespaceBuilder, name: str) -> Link:
    if name not in namespace.links:
        raise InputError(f"{namespace.name!r} has no device {name!r}", hint=did_you_mean(name, list(namespace.links), "device"))
    return namespace.links[name]


def _neighbour(namespace: NamespaceBuilder, change: NeighbourChange, why: Provenance) -> None:
    if change.action == "replace":
        if change.mac is None:
            raise InputError("a neighbour entry needs its `mac`")
        namespace.replace_neighbour(
            Neighbour(change.device, change.address, change.mac, "reachable" if change.learned else "permanent"), why
        )
    elif not namespace.delete_neighbour(change.device, str(change.address)):
        raise InputError(f"{namespace.name!r} has no neighbour {change.address} on {change.device!r}")
