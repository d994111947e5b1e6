"""One thing fails, before the change and after it: what survived that before and does not any more, the change has made fragile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lab.state import Namespace, Protocol, Route, State, Veth
from lab.state.implied import complete
from lab.validate.fates import Asked, Key, Survey
from lab.validate.findings import gather
from lab.validate.result import Failure


@dataclass(frozen=True, slots=True)
class Part:
    """Something that may fail: a link by one of its ends, a gateway, or a route."""

    what: str
    node: str
    device: str | None = None
    route: Route | None = None


def parts_of(before: State, after: State) -> tuple[Part, ...]:
    """Return what may fail in either state: links between nodes, gateways that routes lead through, and routes through a gateway.

    The only link of a namespace is left out: that it cuts that pod or host off is no news.
    """
    return tuple(dict.fromkeys(part for state in (before, after) for part in (*_links(state), *_gateways(state), *_routes(state))))


def without(state: State, part: Part) -> State | None:
    """Return a state in which a part has failed, None where it is not there.

    A link fails at both ends, which lose the routes through it: as where something watches the carrier, not as where static routes stay.
    """
    namespace = state.namespaces.get(part.node)
    if namespace is None:
        return None
    if part.route is not None:
        if part.route not in namespace.routes:
            return None
        routes = tuple(route for route in namespace.routes if route != part.route)
        return replace(state, namespaces={**state.namespaces, part.node: replace(namespace, routes=routes)})
    if part.device is not None and namespace.link(part.device) is None:
        return None
    down = {part.node: {link.name for link in namespace.links if link.name != "lo" and part.device in (None, link.name)}}
    for link in namespace.links:
        if part.device == link.name and isinstance(link.kind, Veth):
            down.setdefault(link.kind.peer_namespace, set()).add(link.kind.peer_name)
    failed = {name: _with_down(state[name], devices) for name, devices in down.items() if name in state.namespaces}
    return complete(replace(state, namespaces={**state.namespaces, **failed}), state)


def _with_down(namespace: Namespace, devices: set[str]) -> Namespace:
    return replace(namespace, links=tuple(replace(x, up=False) if x.name in devices else x for x in namespace.links))


def fail_each(survey: Survey, before: Asked, after: Asked) -> Iterator[Failure]:
    """Let every part fail by itself, and yield what that costs; nothing for what neither state misses."""
    works = [key for key, fate in after.fates.items() if fate.works]
    for part in parts_of(before.state, after.state):
        broken = without(after.state, part)
        if broken is None:
            continue
        now = survey.ask(broken, after, works)
        cut = [key for key in works if not now[key].works and key.source != part.node]
        newly: list[Key] = []
        if cut:
            was = without(before.state, part)
            candidates = [key for key in cut if before[key].works]
            then = survey.ask(was, before, candidates) if was is not None else before
            newly = [key for key in candidates if then[key].works]
        if cut:
            yield Failure(part.what, gather(survey, newly, before, now), len(cut))


def _links(state: State) -> Iterator[Part]:
    for namespace in state:
        cables = [link for link in namespace.links if isinstance(link.kind, Veth)]
        for link in cables:
            kind = link.kind
            assert isinstance(kind, Veth)
            other = state.namespaces.get(kind.peer_namespace)
            if other is None or (namespace.name, link.name) > (other.name, kind.peer_name):
                continue
            if len(cables) == 1 or sum(isinstance(one.kind, Veth) for one in other.links) == 1:
                continue
            yield Part(f"the link {namespace.name}:{link.name} to {other.name}:{kind.peer_name}", namespace.name, link.name)


def _gateways(state: State) -> Iterator[Part]:
    owners = {entry.interface.ip: namespace.name for namespace in state for entry in namespace.addresses if entry.device != "lo"}
    named: dict[str, None] = {}
    for namespace in state:
        for route in namespace.routes:
            for via in (hop.via for hop in namespace.ways(route)):
                if via in owners and owners[via] != namespace.name:
                    named[owners[via]] = None
    yield from (Part(f"the gateway {name}", name) for name in named)


def _routes(state: State) -> Iterator[Part]:
    for namespace in state:
        if namespace.role == "pod":
            continue
        for route in namespace.routes:
            ways = namespace.ways(route)
            if route.type == "unicast" and route.protocol != Protocol.KERNEL and (len(ways) > 1 or any(hop.via for hop in ways)):
                table = f", table {int(route.table)}" if route.table != 254 else ""
                where = f"via {ways[0].via}" if len(ways) == 1 else f"by {len(ways)} ways"
                yield Part(f"the route to {route.destination} {where}{table} on {namespace.name}", namespace.name, route=route)
