"""`ip route`, read and carried out on a namespace as ip-route(8) and the kernel do it.

Sources: iproute_modify in iproute2; fib_table_insert, fib_table_delete and fib_check_nh in net/ipv4; ip6_route_del in
net/ipv6/route.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network, ip_network
from typing import Final, cast, get_args

from lab.state.builder import NamespaceBuilder
from lab.state.implied import USER_METRIC
from lab.state.objects import Address, Network, NextHop, Protocol, Route, RouteType, Table
from lab.state.provenance import Provenance
from lab.state.typed.numbers import READING, protocol_number, table_number
from lab.state.typed.routes6 import change_route6, checked_device6
from lab.state.typed.words import NotModelled, Reader

_SCOPES: Final[Mapping[str, str]] = {"global": "global", "universe": "global", "site": "site", "link": "link", "host": "host"}
_TYPES: Final = get_args(RouteType)
_WAYLESS: Final = ("blackhole", "unreachable", "prohibit", "throw")
_ROUTE_VERBS: Final = (
    "list",
    "show",
    "lst",
    "get",
    "add",
    "change",
    "chg",
    "replace",
    "prepend",
    "append",
    "test",
    "delete",
    "flush",
    "save",
    "restore",
)
_ROUTE_WORDS: Final = (
    "via",
    "dev",
    "table",
    "proto",
    "scope",
    "metric",
    "src",
    "onlink",
    "mtu",
    "advmss",
    "hoplimit",
    "tos",
    "nexthop",
    "nhid",
)


@dataclass(slots=True)
class _Said:
    """What a command says about a route; None where it says nothing."""

    destination: Network
    type: str | None = None
    via: Address | None = None
    device: str | None = None
    table: int = Table.MAIN
    metric: int | None = None
    source: Address | None = None
    protocol: int | None = None
    scope: str | None = None
    tos: int = 0
    onlink: bool = False
    mtu: int | None = None
    mtu_locked: bool = False
    advmss: int | None = None
    hoplimit: int | None = None
    hops: list[NextHop] = field(default_factory=list)
    nexthop: int | None = None


def change_routes(reader: Reader, namespace: NamespaceBuilder, why: Provenance) -> None:
    """Carry out `ip route ...`. Raises InputError."""
    verb = reader.verb(_ROUTE_VERBS, "command of `ip route`") if reader.peek() is not None else "show"
    if verb in READING:
        return
    if verb in ("test", "restore"):
        raise NotModelled(f"`ip route {verb}` is not modelled", place=reader.place)
    if verb == "flush":
        _flush(reader, namespace)
        return
    said = _read_route(reader, namespace)
    if verb == "delete":
        _delete(reader, namespace, said)
        return
    route = _with_way(reader, namespace, replace(_route(reader, said), provenance=why))
    if route.destination.version == 6:
        change_route6(reader, namespace, verb, route)
        return
    same = [number for number, other in enumerate(namespace.routes) if other.key == route.key]
    match verb:
        case "add" if same:
            reader.refuse("File exists (a route of this destination, table, TOS and metric is there)")
        case "append" | "prepend" if any(namespace.routes[number] == route for number in same):
            reader.refuse("File exists (the same route is there)")
        case "replace" | "change" | "chg" if any(namespace.routes[number] == route for number in same[1:]):
            reader.refuse("File exists (the same route is there, behind the one that would be replaced)")
        case "change" | "chg" if not same:
            reader.refuse("No such file or directory (there is no such route to change)")
        case "prepend" if same:
            namespace.routes.insert(same[0], route)
        case "replace" | "change" | "chg" if same:
            namespace.routes[same[0]] = route
        case _:
            namespace.routes.append(route)


def _read_route(reader: Reader, namespace: NamespaceBuilder) -> _Said:
    kind = None
    if reader.peek() in _TYPES and reader.peek() is not None:
        kind = reader.take("a type of route")
    reader.skip("to")
    default = reader.version is None and reader.peek() in ("default", "any", "all")
    said = _Said(reader.network("the destination of the route"), kind)
    if kind in ("local", "broadcast"):
        said.table = Table.LOCAL
    while reader.peek() is not None:
        word = reader.take("an option of the route")
        match word:
            case "via":
                said.via = _via(reader)
                if default and said.via.version == 6:  # what leads by IPv6 is the default route of IPv6
                    said.destination = IPv6Network("::/0")
            case "dev":
                said.device = reader.device(list(namespace.links), namespace.name)
            case "table":
                said.table = table_number(reader)
            case "proto" | "protocol":
                said.protocol = protocol_number(reader)
            case "scope":
                said.scope = _scope(reader)
            case "metric" | "priority" | "preference" | "pref":
                said.metric = reader.number("a metric")
            case "src":
                said.source = reader.address("the preferred source")
            case "onlink":
                said.onlink = True
            case "mtu":
                said.mtu_locked = reader.skip("lock")
                said.mtu = reader.number("an MTU", 65535)
            case "advmss":
                said.advmss = reader.number("a segment size", 65535)
            case "hoplimit":
                said.hoplimit = reader.number("a hop limit", 255)
            case "tos" | "dsfield":
                said.tos = reader.number("a TOS", 255)
            case "nexthop":
                said.hops.append(_hop(reader, namespace))
            case "nhid":
                said.nexthop = reader.number("the id of a nexthop")
            case _:
                reader.unknown(_ROUTE_WORDS, "an option of a route (via, dev, table, metric, ...)")
    if said.destination.version == 6 and (said.nexthop is not None or any(hop.via is None for hop in said.hops)):
        raise NotModelled("nexthop objects of IPv6, and ways without a gateway, are not modelled", place=reader.words[0].place)
    if said.destination.version == 6 and said.tos:
        reader.refuse("Invalid dsfield (tos): option not available for IPv6")
    return said


def _via(reader: Reader) -> Address:
    six = reader.skip("inet6")
    reader.skip("inet")
    if reader.version == 4 and (six or ":" in (reader.peek() or "")):
        raise NotModelled("a gateway of IPv6 on the way to IPv4 is not modelled", place=reader.place)
    return reader.address("a next hop")


def _hop(reader: Reader, namespace: NamespaceBuilder) -> NextHop:
    via, device, weight, onlink = None, None, 1, False
    while reader.peek() in ("via", "dev", "weight", "onlink"):
        match reader.take("an option of the next hop"):
            case "via":
                via = _via(reader)
            case "dev":
                device = reader.device(list(namespace.links), namespace.name)
            case "weight":
                weight = reader.number("a weight", 256)
            case _:
                onlink = True
    if via is None and device is None:
        reader.fail("a next hop needs `via` or `dev`")
    return NextHop(via, device, weight, onlink)


def _scope(reader: Reader) -> str:
    said = reader.take("a scope")
    if said not in _SCOPES:
        numbers = {"0": "global", "200": "site", "253": "link", "254": "host"}
        if said not in numbers:
            reader.unknown(list(_SCOPES), "a scope (global, link, host)")
        return numbers[said]
    return _SCOPES[said]


def _route(reader: Reader, said: _Said) -> Route:
    kind = said.type or "unicast"
    if said.nexthop is not None:
        if said.via is not None or said.device is not None or said.hops:
            reader.refuse("Nexthop specification and nexthop id are mutually exclusive")
        kind = "unicast" if kind == "blackhole" else kind  # the kernel calls either so, if the nexthop is a blackhole
    if kind == "unicast" and said.nexthop is None and said.via is None and said.device is None and not said.hops:
        reader.refuse("a route needs `via` or `dev`")
    if kind in _WAYLESS and (said.via is not None or said.hops):
        reader.refuse(f"a route of type {kind} leads nowhere")
    by_type = "host" if kind == "local" else "link" if kind in ("broadcast", "multicast", "anycast") else "global"
    direct = (
        said.destination.version == 4
        and kind == "unicast"
        and said.nexthop is None
        and said.via is None
        and not any(hop.via for hop in said.hops)
    )
    single = said.hops[0] if len(said.hops) == 1 else None
    return Route(
        said.destination,
        type=cast(RouteType, kind),
        via=said.via if single is None else single.via,
        device=None if kind in _WAYLESS else (said.device if single is None else single.device),
        table=said.table,
        metric=said.metric or (USER_METRIC if said.destination.version == 6 else 0),
        source=said.source,
        protocol=Protocol.BOOT if said.protocol is None else said.protocol,
        scope="global" if said.destination.version == 6 else said.scope or ("link" if direct else by_type),  # type: ignore[arg-type]
        tos=said.tos,
        onlink=said.onlink if single is None else single.onlink,
        mtu=said.mtu,
        mtu_locked=said.mtu_locked,
        advmss=said.advmss,
        hoplimit=said.hoplimit or None,
        hops=() if single is not None else tuple(said.hops),
        nexthop=said.nexthop,
    )


def _with_way(reader: Reader, namespace: NamespaceBuilder, route: Route) -> Route:
    """Return the route with the devices that fib_check_nh finds. Raises InputError for what it refuses."""
    if route.source is not None and all(entry.interface.ip != route.source for entry in namespace.addresses):
        reader.refuse(f"Invalid prefsrc address ({route.source} is no address of {namespace.name})")
    if route.nexthop is not None:
        if route.nexthop not in namespace.nexthops:
            known = ", ".join(map(str, namespace.nexthops)) or "none"
            reader.refuse(f"Nexthop id does not exist ({namespace.name} has {known})")
        return route
    if route.hops:
        return replace(route, hops=tuple(replace(hop, device=checked_device(reader, namespace, route.table, hop)) for hop in route.hops))
    if route.type in _WAYLESS:
        return route
    return replace(route, device=checked_device(reader, namespace, route.table, NextHop(route.via, route.device, onlink=route.onlink)))


def checked_device(reader: Reader, namespace: NamespaceBuilder, table: int, hop: NextHop) -> str:
    """Return the device of a next hop of a route in some table. The next hop has to be on the link of a device that is up."""
    device, via = hop.device, hop.via
    if device is not None and not namespace.links[device].up:
        reader.refuse(f"Device for nexthop is not up ({device})")
    if via is None:
        assert device is not None
        return device
    if isinstance(via, IPv6Address):
        return checked_device6(reader, namespace, table, hop, via)
    if hop.onlink and device is not None:
        if any(entry.interface.ip == via for entry in namespace.addresses):
            reader.refuse(f"Nexthop has invalid gateway ({via} is an address of {namespace.name} itself)")
        return device
    found = _on_link(namespace, table, via, device)
    if found is None:
        reader.refuse(f"Nexthop has invalid gateway (no subnet of {namespace.name}{f' on {device}' if device else ''} holds {via})")
    if not namespace.links[found].up:
        reader.refuse(f"Network is down ({found})")
    return found


def _on_link(namespace: NamespaceBuilder, table: int, via: Address, device: str | None) -> str | None:
    """Return the device by which a next hop is reached without another one: by the longest route of scope link or host.

    The route's own table is asked first, unless it is main, and then the others in the order of the default rules.
    """
    own = (table,) if table != Table.MAIN else ()
    for number in (*own, Table.LOCAL, Table.MAIN, Table.DEFAULT):
        ways = [
            route
            for route in namespace.routes
            if route.table == number and route.scope in ("link", "host") and via in route.destination and route.type in ("unicast", "local")
        ]
        ways = [route for route in ways if route.device in namespace.links and device in (None, route.device)]
        if ways:
            return max(ways, key=lambda route: (route.destination.prefixlen, -route.metric)).device
    return None


def _delete(reader: Reader, namespace: NamespaceBuilder, said: _Said) -> None:
    found = [number for number, route in enumerate(namespace.routes) if _is_meant(route, said)]
    if found and said.destination.version == 6:  # the kernel has them in the order of their metrics
        found.sort(key=lambda number: namespace.routes[number].metric)
    if found:
        del namespace.routes[found[0]]
        return
    known = sorted({str(route.destination) for route in namespace.routes if route.table == said.table})
    near = [name for name in known if _overlaps(ip_network(name), said.destination) and not name.endswith("/0")]
    there = f"; table {int(said.table)} leads to {', '.join(near or known)}" if known else f"; table {int(said.table)} is empty"
    reader.refuse(f"No such process (no such route to {said.destination}{there})")


def _overlaps(one: Network, other: Network) -> bool:
    return one.version == other.version and (one.network_address in other or other.network_address in one)


def _is_meant(route: Route, said: _Said) -> bool:
    """Whether a route is one that `ip route del` means: what is not said is any (fib_table_delete)."""
    if (route.destination, route.table, route.tos) != (said.destination, said.table, said.tos):
        return False
    asked: tuple[tuple[object, object], ...] = (
        (said.metric or None, route.metric),
        (said.protocol, route.protocol),
        (said.device, route.device),
        (said.via, route.via),
    )
    if route.destination.version == 4:
        asked += (
            (said.type, route.type),
            (said.metric, route.metric),
            (said.source, route.source),
            (said.scope, route.scope),
            (said.nexthop, route.nexthop),
        )
    if any(wanted is not None and wanted != found for wanted, found in asked):
        return False
    return not said.hops or [(h.via, h.device or o.device) for h, o in zip(said.hops, route.hops, strict=False)] == [
        (h.via, h.device) for h in route.hops
    ]


def _flush(reader: Reader, namespace: NamespaceBuilder) -> None:
    table, device, exact, protocol = int(Table.MAIN), None, None, None
    if reader.peek() is None:
        reader.fail("`ip route flush` needs to be told what", "name a network, a `table` or a `dev`")
    while reader.peek() is not None:
        match reader.take("what to flush"):
            case "cache":
                return
            case "table":
                table = table_number(reader)
            case "dev":
                device = reader.device(list(namespace.links), namespace.name)
            case "proto" | "protocol":
                protocol = protocol_number(reader)
            case "exact" | "to":
                reader.skip("exact")
                exact = reader.network()
            case _:
                reader.at -= 1
                exact = reader.network("what to flush (a network, `table`, `dev`)")
    namespace.routes = [
        route
        for route in namespace.routes
        if route.table != table
        or (device is not None and route.device != device)
        or (exact is not None and route.destination != exact)
        or (protocol is not None and route.protocol != protocol)
        or route.destination.version != (reader.version or 4)
    ]
