"""Routes, rules, neighbours and FDB entries as commands: ip-route(8), ip-rule(8), ip-neighbour(8), bridge(8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lab.state.commands.command import Command, command
from lab.state.commands.remade import remade
from lab.state.difference import Delta, slot_of
from lab.state.objects import FdbEntry, Neighbour, NextHop, PortRange, Protocol, Route, Rule, Table

# -- routes --------------------------------------------------------------------------------------------------------

_PROTOCOL_NAMES: dict[int, str] = {Protocol.KERNEL: "kernel", Protocol.STATIC: "static", Protocol.BIRD: "bird"}
_TABLE_NAMES: dict[int | None, str] = {Table.DEFAULT: "default", Table.MAIN: "main", Table.LOCAL: "local"}


def change_routes(namespace: str, before: Sequence[Route], after: Sequence[Route]) -> Iterator[Command]:
    """Yield what turns one set of routes into another.

    A route that is alone with its key is replaced, which works whether it is there or not. Where several share a key their
    order counts, and a deletion hits the first that has what it names: if one of them goes, all go, and come anew.
    """
    gone, come = remade(before, after, slot_of)
    several = {key for routes in (before, after) for key, number in Counter(route.key for route in routes).items() if number > 1}
    cleared = {route.key for route in gone if route.key in several}
    replaced = {route.key for route in come} - several
    yield from (_route(namespace, "del", route) for route in before if route.key in cleared)
    yield from (_route(namespace, "del", route) for route in gone if route.key not in cleared | replaced)
    yield from (_route(namespace, "append", route) for route in after if route.key in cleared)
    yield from (_route(namespace, "replace" if route.key in replaced else "append", route) for route in come if route.key not in cleared)


def _route(namespace: str, verb: str, route: Route) -> Command:
    return command(namespace, f"ip {_family(route)}route {verb} {route_text(route)}", route.provenance)


def _family(route: Route) -> str:
    """`default` alone does not tell the family; a destination does, and so does -6 for those who read the command."""
    return "-6 " if route.destination.version == 6 else ""


def route_text(route: Route) -> str:
    """Return a route as `ip route` reads it."""
    default = route.destination.prefixlen == 0
    single = route.destination.prefixlen == route.destination.max_prefixlen
    destination = "default" if default else str(route.destination.network_address) if single else str(route.destination)
    words = [destination] if route.type == "unicast" else [route.type, destination]
    words += [f"tos {route.tos:#x}"] if route.tos else []
    words += _way(route.via, route.device)
    words += ["onlink"] if route.onlink and not route.hops else []
    words += [f"table {_table(route.table)}"] if route.table != Table.MAIN else []
    words += [f"proto {protocol_text(route.protocol)}"] if route.protocol != Protocol.BOOT else []
    words += [f"scope {route.scope}"] if route.destination.version == 4 and route.scope != _default_scope(route) else []
    words += [f"src {route.source}"] if route.source is not None else []
    words += [f"metric {route.metric}"] if route.metric else []
    words += [f"mtu {'lock ' if route.mtu_locked else ''}{route.mtu}"] if route.mtu is not None else []
    words += [f"advmss {route.advmss}"] if route.advmss is not None else []
    words += [f"hoplimit {route.hoplimit}"] if route.hoplimit is not None else []
    words += [f"nhid {route.nexthop}"] if route.nexthop is not None else []
    words += [hop for one in route.hops for hop in _hop(one)]
    return " ".join(words)


def _way(via: object, device: str | None) -> list[str]:
    return ([f"via {via}"] if via is not None else []) + ([f"dev {device}"] if device is not None else [])


def _hop(hop: NextHop) -> list[str]:
    onlink = ["onlink"] if hop.onlink else []
    return ["nexthop", *_way(hop.via, hop.device), f"weight {hop.weight}", *onlink]


def protocol_text(protocol: int) -> str:
    """Return who made something as iproute2 says it: by the names it has."""
    return _PROTOCOL_NAMES.get(protocol, str(int(protocol)))


def _table(table: int | None) -> str:
    return _TABLE_NAMES.get(table, str(table))


def _default_scope(route: Route) -> str:
    """What ip-route(8) takes where no scope is said."""
    if route.type == "local":
        return "host"
    if route.type in ("broadcast", "multicast", "anycast"):
        return "link"
    direct = route.via is None and not route.hops and route.nexthop is None
    return "link" if route.type == "unicast" and direct else "global"


# -- rules ---------------------------------------------------------------------------------------------------------


def change_rules(namespace: str, before: Sequence[Rule], after: Sequence[Rule]) -> Iterator[Command]:
    """Yield what turns one set of rules into another; the order of rules of one priority counts.

    A deletion hits the first rule of the priority that has what it names, whatever else that one has (rule_find in
    net/core/fib_rules.c). So where one rule of a priority goes, all of them go, first to last, and come anew. By the same
    comparison `ip rule add` refuses a rule where another of its priority has all it names: no command makes such a pair.
    """

    def place(rule: Rule) -> tuple[int, int]:
        return rule.family, rule.priority

    gone, come = remade(before, after, place)
    cleared = {place(rule) for rule in gone}
    yield from (_rule(namespace, "del", rule) for rule in before if place(rule) in cleared)
    yield from (_rule(namespace, "add", rule) for rule in after if place(rule) in cleared)
    yield from (_rule(namespace, "add", rule) for rule in come if place(rule) not in cleared)


def _rule(namespace: str, verb: str, rule: Rule) -> Command:
    family = "-6 " if rule.family == 6 else ""
    return command(namespace, f"ip {family}rule {verb} {rule_text(rule)}", rule.provenance)


def rule_text(rule: Rule) -> str:
    """Return a rule as `ip rule` reads it."""
    words = [f"pref {rule.priority}"]
    words += ["not"] if rule.inverted else []
    words += [f"from {rule.source or 'all'}"]
    words += [f"to {rule.destination}"] if rule.destination is not None else []
    words += [f"tos {rule.tos:#x}"] if rule.tos else []
    if rule.mark is not None:
        words.append(f"fwmark {rule.mark:#x}" + ("" if rule.mask == 0xFFFFFFFF else f"/{rule.mask:#x}"))
    words += [f"iif {rule.iif}"] if rule.iif is not None else []
    words += [f"oif {rule.oif}"] if rule.oif is not None else []
    if rule.uid_first is not None:
        words.append(f"uidrange {rule.uid_first}-{rule.uid_last if rule.uid_last is not None else 0xFFFFFFFE}")
    words += [f"ipproto {rule.ip_protocol}"] if rule.ip_protocol is not None else []
    words += [f"sport {_ports(rule.source_ports)}"] if rule.source_ports is not None else []
    words += [f"dport {_ports(rule.destination_ports)}"] if rule.destination_ports is not None else []
    words += [f"suppress_prefixlength {rule.suppress_prefix_length}"] if rule.suppress_prefix_length is not None else []
    words += [f"suppress_ifgroup {rule.suppress_group}"] if rule.suppress_group is not None else []
    words += [f"protocol {protocol_text(rule.protocol)}"] if rule.protocol != Protocol.UNSPEC else []
    return " ".join((*words, _action(rule)))


def _ports(ports: PortRange) -> str:
    return str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"


def _action(rule: Rule) -> str:
    match rule.action:
        case "lookup":
            return "l3mdev" if rule.l3mdev else f"lookup {_table(rule.table)}"
        case "goto":
            return f"goto {rule.goto}"
        case action:
            return action


# -- neighbours and forwarding database ----------------------------------------------------------------------------

ZERO_MAC = "00:00:00:00:00:00"


def change_neighbours(namespace: str, delta: Delta[Neighbour]) -> Iterator[Command]:
    """Yield what turns one set of neighbour entries into another; failed and incomplete ones nobody can make."""
    for entry in delta.removed:
        yield command(namespace, f"ip neigh del {_neighbour_key(entry)}", entry.provenance)
    for entry in (*delta.added, *(change.after for change in delta.changed)):
        if entry.proxy:
            yield command(namespace, f"ip neigh replace {_neighbour_key(entry)}", entry.provenance)
        elif entry.mac is not None and entry.state not in ("failed", "incomplete"):
            yield command(namespace, f"ip neigh replace {_neighbour_key(entry)} lladdr {entry.mac} nud {entry.state}", entry.provenance)


def _neighbour_key(entry: Neighbour) -> str:
    return f"{'proxy ' if entry.proxy else ''}{entry.address} dev {entry.device}"


def change_fdb(namespace: str, delta: Delta[FdbEntry]) -> Iterator[Command]:
    """Yield what turns one forwarding database into another."""
    for entry in (*delta.removed, *(change.before for change in delta.changed)):
        yield command(namespace, f"bridge fdb del {_fdb_key(entry)}", entry.provenance)
    for entry in (*delta.added, *(change.after for change in delta.changed)):
        verb = "append" if entry.destination is not None and _has_several(entry.mac) else "replace"
        lifetime = "dynamic" if not entry.permanent else "static" if entry.master else "permanent"
        yield command(namespace, f"bridge fdb {verb} {_fdb_key(entry)} {lifetime}", entry.provenance)


def _has_several(mac: str) -> bool:
    """Whether a VXLAN device may hold several destinations for a MAC address: all-zero and group addresses."""
    return mac == ZERO_MAC or bool(int(mac[:2], 16) & 1)


def _fdb_key(entry: FdbEntry) -> str:
    words = [entry.mac, "dev", entry.device]
    words += [f"dst {entry.destination}"] if entry.destination is not None else []
    words += [f"port {entry.port}"] if entry.port is not None else []
    words += [f"vni {entry.vni}"] if entry.vni is not None else []
    words += [f"via {entry.via}"] if entry.via is not None else []
    return " ".join((*words, "master" if entry.master else "self"))
