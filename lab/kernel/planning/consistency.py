"""What a state must not say, because nothing could be sent to the kernel for it, said with the place it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.errors import InputError, did_you_mean
from lab.kernel.planning.wording import Object, describe
from lab.state import Link, Macvlan, Namespace, Provenance, Rule, State, Veth, Vxlan
from lab.state.checks.devices import tunnel_mistakes
from lab.state.checks.routing import nexthop_mistakes


def check_namespace(namespace: Namespace, state: State) -> None:
    """Raise InputError when a namespace refers to links that are not there, or to half a veth pair, or has rules without a table."""
    names = [link.name for link in namespace.links]
    known = set(names)
    if len(known) != len(names):
        second = next(link for position, link in enumerate(namespace.links) if link.name in names[:position])
        raise _mistake(namespace, f"two links are called {second.name}", second.provenance)
    for link in namespace.links:
        _check_link(namespace, link, known, state)
    if not _devices(namespace) <= known:
        for thing, device in _references(namespace):
            if device not in known:
                hint = did_you_mean(device, names, "link")
                raise _mistake(namespace, f"there is no link {device} for {describe(thing)}", thing.provenance, hint)
    for rule in namespace.rules:
        _check_rule(namespace, rule)
    if namespace.nexthops or any(route.nexthop is not None for route in namespace.routes):
        for mistake in nexthop_mistakes(namespace):
            raise _mistake(namespace, mistake.message, mistake.provenance, mistake.hint)


def base_of(link: Link) -> str | None:
    """The link that this one is built on and cannot outlive."""
    match link.kind:
        case Macvlan():
            return link.kind.device
        case Vxlan():
            return link.kind.device
        case _:
            return None


def _check_link(namespace: Namespace, link: Link, known: set[str], state: State) -> None:
    for name in (link.master, base_of(link)):
        if name is not None and name not in known:
            hint = did_you_mean(name, sorted(known), "link")
            raise _mistake(namespace, f"link {link.name} is built on {name}, which is not there", link.provenance, hint)
    if isinstance(link.kind, Veth):
        there, name = link.kind.peer_namespace, link.kind.peer_name
        peer = state[there].link(name) if there in state.namespaces else None
        if peer is None or peer.kind != Veth(namespace.name, link.name):
            message = f"{link.name} is one end of a veth pair, but {name} in {there} is not the other"
            raise _mistake(namespace, message, link.provenance)
    for mistake in tunnel_mistakes(namespace, link):
        raise _mistake(namespace, mistake.message, mistake.provenance, mistake.hint)


def _check_rule(namespace: Namespace, rule: Rule) -> None:
    if rule.action == "lookup" and rule.table is None and not rule.l3mdev:
        raise _mistake(namespace, f"rule {rule.priority} looks up no table", rule.provenance)
    if rule.action == "goto" and rule.goto is None:
        raise _mistake(namespace, f"rule {rule.priority} goes nowhere", rule.provenance)


def _devices(namespace: Namespace) -> set[str | None]:
    """The links that are referred to; quickly, for it is asked of everything there is."""
    devices: set[str | None] = {entry.device for entry in namespace.addresses}
    devices |= {neighbour.device for neighbour in namespace.neighbours}
    devices |= {entry.device for entry in namespace.fdb}
    devices |= {thing.device for thing in namespace.nexthops}
    devices |= {route.device for route in namespace.routes}
    devices |= {hop.device for route in namespace.routes for hop in route.hops}
    devices.discard(None)
    return devices


def _references(namespace: Namespace) -> Iterator[tuple[Object, str]]:
    """What refers to links, with their names."""
    things: Iterable[Object] = (*namespace.addresses, *namespace.neighbours, *namespace.fdb, *namespace.nexthops)
    yield from ((thing, thing.device) for thing in things if not isinstance(thing, Link | Rule) and thing.device is not None)
    for route in namespace.routes:
        for device in (route.device, *(hop.device for hop in route.hops)):
            if device is not None:
                yield route, device


def _mistake(namespace: Namespace, message: str, provenance: Provenance, hint: str | None = None) -> InputError:
    return InputError(f"{namespace.name}: {message}", place=next(iter(provenance.places()), None), hint=hint)
