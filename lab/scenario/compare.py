"""Whether two phases are the same to those who use the network: every pod pair, every service from every pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Literal

from lab.cluster.objects import SERVICE_NAME_LABEL
from lab.probe import Outcome, PingRequest, Request, TcpRequest, UdpRequest
from lab.scenario.cast import Cast
from lab.scenario.lookup import cluster_ips
from lab.scenario.questions import seen_in_words
from lab.scenario.result import CommandsResult, Difference, SameResult
from lab.spec.selectors import parse_address
from lab.spec.values import Address
from lab.state import ApiObject, State, difference
from lab.state.commands import commands_of
from lab.state.control import Json


@dataclass(frozen=True, slots=True)
class Flow:
    """One thing somebody may want to do in the network."""

    name: str
    request: Request
    service: Literal["own cluster's", "another cluster's"] | None = None
    """Whose service it goes through, if through one."""
    backends: tuple[Address, ...] = ()
    """The addresses behind the service, of which each connection goes to one."""


def flows(cast: Cast) -> Iterator[Flow]:
    """Yield every ordered pod pair (ping) and every service from every pod (TCP or UDP), by each version of IP that both have."""
    pods = [n for n in cast.state if n.role == "pod" and n.listeners]
    versions = {pod.name: [version for version in (4, 6) if cast.has_address(pod.name, version)] for pod in pods}
    for pod in pods:
        source = pod.name
        for target in pods:
            for version in versions[source] if target is not pod else ():
                if version in versions[target.name]:
                    yield Flow(f"ping{_by(version)} {source} -> {target.name}", PingRequest(source, cast.address(target.name, version)))
        for item in cast.state.control.of("Service"):
            spec = item.body.get("spec")
            ports = spec.get("ports") if isinstance(spec, dict) else None
            if item.name in cast.names.services and isinstance(ports, list) and ports and isinstance(ports[0], dict):
                port, protocol = int(str(ports[0]["port"])), str(ports[0].get("protocol", "TCP")).lower()
                whose: Literal["own cluster's", "another cluster's"] = (
                    "own cluster's" if item.cluster == cast.state[source].cluster else "another cluster's"
                )
                for version, address in sorted(cluster_ips(item).items()):
                    if version in versions[source]:
                        name = f"{protocol}{_by(version)} {source} -> service/{item.name}"
                        request = UdpRequest(source, address, port) if protocol == "udp" else TcpRequest(source, address, port)
                        yield Flow(name, request, whose, _behind(cast.state, item, version))


def _behind(state: State, service: ApiObject, version: int) -> tuple[Address, ...]:
    """Return the addresses of a version of IP behind a service, as its EndpointSlices have them."""
    slices = (
        item
        for item in state.control.of("EndpointSlice", service.cluster)
        if item.namespace == service.namespace and item.labels.get(SERVICE_NAME_LABEL) == service.name
    )
    listed = [endpoint for item in slices for endpoint in _list(item.body.get("endpoints")) if isinstance(endpoint, dict)]
    found = (parse_address(str(text)) for endpoint in listed for text in _list(endpoint.get("addresses")))
    return tuple(address for address in found if address is not None and address.version == version)


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _by(version: int) -> str:
    return "" if version == 4 else " over IPv6"


def signature(flow: Flow, outcome: Outcome, cast: Cast) -> str:
    """Say in words how a flow behaves: what its sender sees, whom its receiver sees, and the way it takes.

    A service picks one of its backends at random, so its way is no part of how it behaves. A service of the sender's own cluster may pick
    the sender itself, which then sees its node; of another's, what counts is whether the sender's own address arrives there.
    """
    if flow.service == "another cluster's" and outcome.result == "reply":
        version = 4 if outcome.seen_as is None else outcome.seen_as.version
        own = "the sender's own address" if outcome.seen_as == cast.address(flow.request.source, version) else "another address"
        return f"reply, seen as {own}"
    if flow.service is not None:
        return seen_in_words(outcome)
    way = f"{' '.join(outcome.interfaces('request'))} / {' '.join(outcome.interfaces('answer'))}"
    return f"{seen_in_words(outcome)}, seen as {outcome.seen_as}, by {way}"


def compare_behaviour(first: tuple[str, Mapping[str, str]], second: tuple[str, Mapping[str, str]]) -> SameResult:
    """Compare the signatures of all flows in two phases."""
    (before_name, before), (after_name, after) = first, second
    different = [
        Difference(flow, before.get(flow, "not there"), after.get(flow, "not there"))
        for flow in dict.fromkeys((*before, *after))
        if before.get(flow) != after.get(flow)
    ]
    return SameResult(before_name, after_name, len(before.keys() | after.keys()), tuple(different))


def compare_commands(first: tuple[str, State], second: tuple[str, State], *, with_diffs: bool = False) -> CommandsResult:
    """List the commands that lead from the state of one phase to that of another, on demand with the difference of the configurations."""
    commands = [(command.namespace or "", command.text) for command in commands_of(difference(first[1], second[1]))]
    return CommandsResult(first[0], second[0], tuple(commands), tuple(_diffs(first, second)) if with_diffs else ())


def _diffs(first: tuple[str, State], second: tuple[str, State]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield, for each namespace that differs, the commands that make it before and after as a unified diff."""
    before, after = _configurations(first[1]), _configurations(second[1])
    for name in dict.fromkeys((*before, *after)):
        files = (f"{name} ({first[0]})", f"{name} ({second[0]})")
        lines = tuple(unified_diff(before.get(name, []), after.get(name, []), *files, lineterm="", n=1))
        if lines:
            yield name, lines


def _configurations(state: State) -> dict[str, list[str]]:
    """Return the commands that make a state, line by line, for each of its namespaces."""
    found: dict[str, list[str]] = {}
    for command in commands_of(state):
        if command.namespace is not None:
            found.setdefault(command.namespace, []).extend(command.text.splitlines())
    return found
