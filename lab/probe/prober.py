"""Run probes: send all at once, watch them go, and end each when its packet was answered, refused or lost.

Time is not evidence: a probe does not end because a timer ran out while its packet was alive. It ends when its sender got an answer or an
error, when the kernel reported the drop of its last packet, or, where nothing reports a death, after a quiet bound in which nothing of it
was seen anywhere.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final, Literal, Protocol, TypeVar

from lab.kernel.neighbour_table import neighbour_table_overflows
from lab.kernel.sandbox import Sandbox
from lab.probe.client import READ, Client, Context
from lab.probe.clients import PingClient, TcpClient, TracerouteClient, UdpClient
from lab.probe.icmp import IcmpSocket
from lab.probe.kept import Kept
from lab.probe.observe import Observation, Observer
from lab.probe.outcome import Outcome, Part
from lab.probe.programs import DnsClient, HttpClient
from lab.probe.request import DnsRequest, HttpRequest, PingRequest, Request, TcpRequest, TracerouteRequest, UdpRequest
from lab.probe.signs import KernelSigns
from lab.probe.stray import send_stray
from lab.probe.track import Tracker
from lab.probe.waiting import Waiting
from lab.probe.watch import Watch
from lab.state import State
from lab.state.resolv import parse_resolv_conf

T = TypeVar("T")
AT_ONCE: Final = 16
"""How many probes may send before somebody looks: what the kernel keeps of packets that nobody reads has an end."""
ReadCounters = Callable[[], Mapping[str, Mapping[str, int]]]
"""Reads the kernel's counters of every namespace, named as nstat(8) prints them."""


class Records(Protocol):
    """Takes in what is seen, and what came of the probes."""

    def seen(self, observation: Observation, owner: tuple[int, Part] | None) -> None:
        """Hear of an observation, and whose probe it is and which part of it."""

    def ended(self, probe: int, outcome: Outcome) -> None:
        """Hear what came of a probe."""


_RATE_LIMITED = ("IcmpOutRateLimitHost", "IcmpOutRateLimitGlobal")


@dataclass(slots=True)
class Prober:
    """Sends probes into a lab and watches them through an observer."""

    sandbox: Sandbox
    observer: Observer
    read_counters: ReadCounters
    random: Random = field(default_factory=lambda: Random(0))
    asks: Callable[[str], bool] = lambda _: False
    """Tells whether a namespace waits for a neighbour's answer (`lab.kernel.engine.Engine.asks_for_neighbours`)."""
    recorder: Records | None = None
    """Keeps all that is seen, where somebody wants it."""
    read_overflows: Callable[[], int] = neighbour_table_overflows
    kept: Kept = field(default_factory=Kept)
    """The conversations that probes left open, for later probes to go on with."""
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def run(self, state: State, requests: Sequence[Request]) -> tuple[Outcome, ...]:
        """Send all requests at once and return what came of each, in their order. `state` tells who listens where."""
        self.drain()  # what went on before is none of these probes' business
        clients = [self._client(state, request) for request in requests]
        straying = [client for client in clients if isinstance(client, TcpClient) and client.request.stray]
        ports = _server_ports(state)
        tracker = Tracker(frozenset(port for _, port in ports))
        tap = self.recorder.seen if self.recorder is not None else None
        watch = Watch(self.observer, tracker, ports, tap, KernelSigns(self.sandbox, self.asks), Waiting.of(state))
        before, missed, overflows = self.read_counters(), self.observer.lost, self.read_overflows()
        with selectors.DefaultSelector() as selector:
            context = Context(self.sandbox, tracker, selector, self.kept)
            sources = {key: IcmpSocket(context, *key) for key in dict.fromkeys(map(_icmp_socket, requests))}
            try:
                for some in batched(clients):
                    for client in some:
                        port = sources[_icmp_socket(client.request)]
                        port.expect(client)
                        watch.begin(client)
                        client.start(context, port)
                    _attend(selector, watch, 0)
                while watch.pending():
                    _attend(selector, watch, 0.001)
                    self._send_strays(straying, watch)
                watch.take()
                for source in sources.values():  # an error that ended a connection has come here as well
                    source.ready(READ)
                unheard = sum(source.lost for source in sources.values())
            finally:
                for client in clients:
                    client.close(context)
                for source in sources.values():
                    source.close(context)
        limited = _withheld(before, self.read_counters())
        incomplete = self.observer.lost > missed or unheard > 0
        no_room = self.read_overflows() > overflows
        talk = watch.neighbour_talk()
        outcomes = tuple(watch.outcome(client, talk, limited, incomplete=incomplete, no_room=no_room) for client in clients)
        if self.recorder is not None:
            for client, outcome in zip(clients, outcomes, strict=True):
                self.recorder.ended(client.number, outcome)
        return outcomes

    def drain(self) -> None:
        """Let go of what was seen since the last probe ended."""
        for observation in self.observer.poll():
            if self.recorder is not None:
                self.recorder.seen(observation, None)

    def _send_strays(self, clients: Sequence[TcpClient], watch: Watch) -> None:
        """Send the stray segment of every connection that is to get one, and its request once nothing more is heard of that."""
        for client in clients:
            if not client.connected or client.answer.result is not None:
                continue
            opening = watch.first_answer(client)
            if opening is not None and not client.strayed:
                client.strayed = True
                send_stray(self.sandbox, opening)
            elif client.strayed and not client.asked and watch.is_still(client):
                client.ask()

    def _client(self, state: State, request: Request) -> Client:
        number = next(self._numbers)
        match request:
            case PingRequest():
                return PingClient(number, request)
            case TcpRequest():
                return TcpClient(number, request)
            case UdpRequest():
                return UdpClient(number, request)
            case TracerouteRequest():
                return TracerouteClient(number, request)
            case HttpRequest():
                return HttpClient(number, request)
            case DnsRequest():
                view = parse_resolv_conf(state[request.source].files.get("/etc/resolv.conf", ""))
                return DnsClient(number, request, view, self.random)


def _attend(selector: selectors.BaseSelector, watch: Watch, patience: float) -> None:
    """Let clients read and write what they can, waiting `patience` seconds for the first, and look what became of it."""
    for ready in batched(selector.select(patience)):
        for key, events in ready:
            key.data.ready(events)
        watch.take()
    watch.look()


def batched(things: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield a few at a time."""
    return (things[at : at + AT_ONCE] for at in range(0, len(things), AT_ONCE))


def _icmp_socket(request: Request) -> tuple[str, Literal[4, 6]]:
    """Return which raw socket hears of a probe: its namespace's, for the version of IP it goes by."""
    by_six = isinstance(request, PingRequest | TcpRequest | UdpRequest | TracerouteRequest) and request.target.version == 6
    return request.source, 6 if by_six else 4


def _server_ports(state: State) -> frozenset[tuple[str, int]]:
    """Return every namespace and port that something listens on."""
    listeners = {(namespace.name, listener.port) for namespace in state for listener in namespace.listeners}
    programs = {(namespace.name, port) for namespace in state for program in namespace.programs for _, port in program.listens}
    return frozenset(listeners | programs)


def _withheld(before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]) -> frozenset[str]:
    """Return the namespaces that withheld an ICMP error because of their rate limit."""
    return frozenset(
        name
        for name, counters in after.items()
        if any(counters.get(limit, 0) > before.get(name, {}).get(limit, 0) for limit in _RATE_LIMITED)
    )
