"""Pictures of what a name means: paths in all phases of a scenario, maps, matrices of who reaches whom, routes of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING

from lab.api.inputs import open_input, open_lab, open_state
from lab.api.questions import PORTS, Protocol, trace
from lab.errors import InputError
from lab.scenario.lookup import find_namespace, has_address, namespace_address
from lab.scenario.phases import compile_stages
from lab.spec.selectors import SERVICE, parse_address
from lab.state import State

if TYPE_CHECKING:
    from lab.forwarding import Conversation
    from lab.report.diagram import Diagram, Scene, View

INTENDED = "as intended"
"""The name of the phase that is drawn besides a scenario's own where none of them works."""

PLAIN = "network"
"""What the only phase of a saved state and of a running lab is called."""


def draw_path(
    name: str,
    source: str,
    target: str,
    protocol: Protocol = "icmp",
    port: int | None = None,
    *,
    phase: str | None = None,
    compare: tuple[str, str] | None = None,
    size: int | None = None,
    df: bool | None = None,
    ipv6: bool = False,
    observe: bool = False,
) -> Diagram:
    """Return the picture of a packet's path, of every phase where the name means a scenario, `phase` (by default the first) in front.

    `ipv6`: whether `target` stands for its IPv6 address. `compare` puts two phases into one picture. `observe` builds the network of the
    phase in front, sends the packet, and says on which interfaces it was seen; MachineError where this machine cannot. Raises InputError
    for a name that means nothing.
    """
    from lab.report.diagram import View, layout

    front = phase or name.partition("@")[2]
    ends, wanted = _named(source, target), {front, *(compare or ())}
    phases = list(_phases(name, phase))
    # A node that comes later, or goes, is missing in some; where it is in none, the first says so.
    there = [one for one in phases if one[0] in wanted or ends <= set(one[2].namespaces)] or phases[:1]

    def sent(state: State, to: str) -> Conversation:
        return trace(state, source, to, protocol, port, size=size, df=df, ipv6=ipv6)

    views = [View(found, state, conversation, title) for (found, title, state), conversation in _sent(there, target, sent)]
    if not any(view.conversation.outcome.kind == "reply" for view in views):
        views += _as_intended(name, [view.name for view in views], source, target, protocol, port, ipv6=ipv6)
    if front:
        views.sort(key=lambda view: view.name != front)
    if observe:
        views[0] = _observed(name, views[0])
    views = [_with_the_same_end(view, views[0]) for view in views]
    how = protocol.upper() + ("" if protocol == "icmp" else f" port {PORTS[protocol] if port is None else port}")
    goal = views[0].conversation.flow.destination
    called = target if target == str(goal) else f"{target} ({goal})"
    return layout(views, compare=compare, title=f"{source} → {called}, {how}")


def _sent(
    phases: Sequence[tuple[str, str, State]], target: str, send: Callable[[State, str], Conversation]
) -> Iterator[tuple[tuple[str, str, State], Conversation]]:
    """Yield every phase with what becomes of the packet in it. Where a target has lost its address, it is still sent to that address.

    Raises InputError for a target that has none in any phase.
    """
    found: list[Conversation | InputError] = []
    for _, _, state in phases:
        try:
            found.append(send(state, target))
        except InputError as error:
            found.append(error)
    known = next((one for one in found if not isinstance(one, InputError)), None)
    for phase, one in zip(phases, found, strict=True):
        if isinstance(one, InputError):
            if known is None:
                raise one
            one = send(phase[2], str(known.flow.destination))
        yield phase, one


def _named(source: str, target: str) -> set[str]:
    """Return the ends of a path that are namespaces: the target may be a service or an address."""
    return {source} if target.startswith(SERVICE) or parse_address(target) is not None else {source, target}


def _with_the_same_end(view: View, front: View) -> View:
    """Return a view in the world, of those that chance allows, in which the same backend is reached as in the one in front."""
    reached = front.conversation.seen
    if reached is None or view is front:
        return view
    same = (world for world in view.conversation.worlds if world.seen is not None and world.seen.namespace == reached.namespace)
    return replace(view, conversation=next(same, view.conversation))


def _observed(name: str, view: View) -> View:
    """Return a view with what a kernel makes of its packet, and where that packet was seen."""
    from lab.scenario.witness import observe, request_of

    file, _, named = name.partition("@")
    whole = bool(named) or view.name == PLAIN or open_input(file, None).scenario is None
    state, actions = open_lab(name) if whole else open_lab(file, view.name)
    found = observe(state, request_of(view.conversation.flow), actions)
    return replace(view, state=state, conversation=found.conversation, crossed=found.outcome.without_sightings().crossed)


def _as_intended(
    name: str, phases: Sequence[str], source: str, target: str, protocol: Protocol, port: int | None, *, ipv6: bool
) -> list[View]:
    """Return the path in the topology itself, every cluster joined with its real ranges, where no phase shows one that works."""
    from lab.report.diagram import View

    file = name.partition("@")[0]
    if not _scenario(file) or INTENDED in phases:
        return []
    state = replace(open_input(file, None), scenario=None).state()
    if _named(source, target) - set(state.namespaces):
        return []
    conversation = trace(state, source, target, protocol, port, ipv6=ipv6)
    return (
        [View(INTENDED, state, conversation, "every cluster joined with its real ranges")] if conversation.outcome.kind == "reply" else []
    )


def _phases(name: str, phase: str | None) -> Iterator[tuple[str, str, State]]:
    """Yield the phases of a scenario, in order, each with its title and its state; or what else a name means, as the only one."""
    file, _, named = name.partition("@")
    if not named and phase is None:
        opened = _scenario(file)
        if opened is None:
            yield PLAIN, "", open_lab(name)[0]
            return
    given = open_input(file, named or phase)
    if given.scenario is None:
        yield given.name, given.topology.model.title, given.state()
        return
    seen: set[str] = set()
    for stage, state in compile_stages(given.topology, given.scenario):
        if stage.phase not in seen:
            seen.add(stage.phase)
            yield stage.phase, stage.title, state


def _scenario(file: str) -> bool | None:
    """Whether a name means a file of the lab; None for a saved state and for a running lab."""
    if file.endswith(".json"):
        return None
    try:
        open_input(file, None)
    except InputError:
        open_state(file)
        return None
    return True


def draw_map(name: str, phase: str | None = None) -> Scene:
    """Return a map of a whole network: underlay, overlay, tunnels, address ranges. Raises InputError."""
    from lab.report.diagram.topology import topology

    return topology(open_state(name, phase), _called(name, phase))


def draw_routes(name: str, node: str, phase: str | None = None, *, ipv6: bool = False) -> Scene:
    """Return which prefix, of IPv4 or of IPv6, wins where on a node. Raises InputError."""
    from lab.report.diagram.prefixes import prefixes

    state = open_state(name, phase)
    return prefixes(state, find_namespace(state, node), f"{_called(name, phase)}: which route of {node} wins where", 6 if ipv6 else 4)


def draw_matrix(
    name: str,
    phase: str | None = None,
    protocol: Protocol = "icmp",
    port: int | None = None,
    *,
    sources: Sequence[str] = (),
    targets: Sequence[str] = (),
    ipv6: bool = False,
) -> Scene:
    """Return who reaches whom, over IPv4 or over IPv6, as a heat map. Raises InputError.

    By default every node, pod and host that has such an address is asked about every other.
    """
    from lab.forwarding import Flow
    from lab.forwarding.reach import reach
    from lab.report.diagram.matrix import matrix

    state, version = open_state(name, phase), 6 if ipv6 else 4
    known = [n.name for n in state if n.role in ("node", "pod", "host", "proxy") and has_address(state, n.name, version)]
    asked = [find_namespace(state, target) for target in targets] or known
    receivers = {target: namespace_address(state, target, version) for target in asked}
    senders = [find_namespace(state, source) for source in sources] or known
    nobody = IPv6Address(0) if ipv6 else IPv4Address(0)
    flow = Flow("any", nobody, protocol, PORTS[protocol] if port is None else port)
    exact = [ip_network(address) for address in receivers.values()]
    found = reach(state, sources=senders, within=exact, flow=flow, also=exact)
    over = " over IPv6" if ipv6 else ""
    return matrix(found, receivers, f"{_called(name, phase)}: who reaches whom by {protocol.upper()}{over}")


def _called(name: str, phase: str | None) -> str:
    return f"{name}@{phase}" if phase is not None and "@" not in name else name
