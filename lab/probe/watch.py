"""Follow the packets of probes under way, and tell when a probe is over though its sender heard nothing."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from lab.kernel.packet import ETHERTYPE_ARP
from lab.probe.client import Client, icmp_result
from lab.probe.clients import TcpClient, TracerouteClient
from lab.probe.glance import Glance, is_arp_request, marks, ports
from lab.probe.observe import Dropped, Observation, Observer, Seen
from lab.probe.outcome import Grade, Loss, Outcome, Part, Result, Sighting
from lab.probe.programs import DnsClient, HttpClient
from lab.probe.request import Address
from lab.probe.signs import NoSigns, Signs
from lab.probe.track import Tracker
from lab.probe.waiting import Waiting

MS: Final = 1_000_000
TURN: Final = 10 * MS
"""The longest that one look counts for: a machine that does not let the lab run does not let others answer either."""
AFTER_DROP: Final = 15 * MS
"""How long nothing more may be seen of a packet whose drop was reported: a copy of it, or an error on its way home."""
QUIET: Final = 80 * MS
"""How long nothing may be seen of a packet whose death nobody reports."""
SERVER: Final = 2_000 * MS
"""How long a program may think about a request it got, when nothing says that it still has it."""
NEIGHBOUR: Final = 3_300 * MS
"""How long the kernel asks for a neighbour before it gives up: three requests, one second apart (arp(7))."""
PROGRAM: Final = 5_500 * MS
"""How long a client program may run without a packet of its own being seen: it resolves names, or waits for a server that sees to it."""
TRANSFER: Final = 700 * MS
"""How long nothing may be seen of an open connection with data on their way: TCP sends again after 200 ms, then after twice that time."""
NOT_FOR_US: Final = frozenset({"OTHERHOST"})
"""Drops of copies that were flooded to stations they are not for."""


Tap = Callable[[Observation, tuple[int, Part] | None], None]
"""Hears of an observation, and of whose probe it is and which part of it."""


@dataclass(slots=True)
class _Track:
    """What was seen of one probe."""

    client: Client
    started_ns: int
    last: int
    """When something was seen of it last, on the watch's own clock."""
    sightings: list[Sighting] = field(default_factory=list)
    """In the order of their time."""
    drops: list[Loss] = field(default_factory=list)
    drop: Loss | None = None
    """The last observation of the probe, when that was a drop."""
    ended_ns: int | None = None


@dataclass(slots=True)
class Watch:
    """Attributes what an observer sees to the probes under way."""

    observer: Observer
    tracker: Tracker
    servers: frozenset[tuple[str, int]]
    """Namespaces and ports that something listens on."""
    tap: Tap | None = None
    """Is told of everything that is seen, and whose it is."""
    signs: Signs = field(default_factory=NoSigns)
    waiting: Waiting = field(default_factory=Waiting)
    """How long packets may wait inside links."""
    clock: Callable[[], int] = time.monotonic_ns
    _awake: int = 0
    """Nanoseconds in which the lab could look: its own clock, which stands still while the machine is busy with others."""
    _looked_ns: int = 0
    _tracks: dict[int, _Track] = field(default_factory=dict)
    _under_way: list[_Track] = field(default_factory=list)
    _asking: set[tuple[str, bytes]] = field(default_factory=set)
    """Namespaces and the neighbours they asked for without an answer so far."""
    _talk: list[Sighting] = field(default_factory=list)
    """All ARP seen, whoever's packets it was for."""
    _fragments: dict[bytes, tuple[int, Part]] = field(default_factory=dict)
    """Whose the pieces of a packet are: the first of them tells."""

    def begin(self, client: Client) -> None:
        """Follow a probe from now on."""
        track = self._tracks[client.number] = _Track(client, self.clock(), self._awake)
        self._under_way.append(track)

    def pending(self) -> bool:
        """Whether any probe is still under way."""
        return bool(self._under_way)

    def look(self) -> None:
        """Take in what happened, and end the probes that are over."""
        now = self.clock()
        self._awake += min(now - self._looked_ns, TURN)
        self._looked_ns = now
        seen = self.take()
        ended = [t for t in self._under_way if t.client.answer.result is not None or (not seen and self._over(t))]
        if ended:
            for track in ended:
                track.ended_ns = now
            self._under_way = [track for track in self._under_way if track.ended_ns is None]

    def first_answer(self, client: Client) -> Sighting | None:
        """Return the first packet of an answer as it left whoever answers, None before there is one."""
        sightings = self._tracks[client.number].sightings
        return next((s for s in sightings if s.part == "answer" and s.direction == "out"), None)

    def is_still(self, client: Client) -> bool:
        """Whether nothing has been seen of a probe for a while in which its packets would have gone on."""
        track = self._tracks[client.number]
        return self._awake - track.last > AFTER_DROP + self.waiting.here(_here(track))

    def take(self) -> bool:
        """Take in what happened; returns whether anything did."""
        observations = self.observer.poll()
        for observation in observations:
            self._attribute(observation)
        return bool(observations)

    def neighbour_talk(self) -> tuple[Sighting, ...]:
        """Return all ARP seen so far."""
        return tuple(self._talk)

    def outcome(
        self, client: Client, talk: tuple[Sighting, ...], rate_limited: frozenset[str], *, incomplete: bool, no_room: bool
    ) -> Outcome:
        """Return what came of a probe.

        `talk` is the ARP seen meanwhile, `rate_limited` names the namespaces that withheld ICMP errors meanwhile; `incomplete` says that
        packets were missed, `no_room` that the machine's neighbour table was full.
        """
        track = self._tracks[client.number]
        answer = client.answer
        result, number = answer.result or _without_answer(client), answer.errno
        if answer.result is None and answer.icmp is not None and _is_forbidden(client):
            number = answer.icmp.errno
        sightings = tuple(track.sightings)
        http = client if isinstance(client, HttpClient) else None
        resolver = client if isinstance(client, DnsClient) else None
        return Outcome(
            request=client.request,
            result=result,
            duration_ns=(track.ended_ns or self.clock()) - track.started_ns,
            icmp=answer.icmp,
            errno=number,
            seen_as=_seen_as(sightings),
            ttl=answer.ttl,
            status=http.status if http else None,
            peer=http.peer if http else None,
            body=http.body if http else "",
            answers=resolver.answers if resolver else (),
            rcode=resolver.rcode if resolver else None,
            hops=_hops(client) if isinstance(client, TracerouteClient) else (),
            sightings=sightings,
            neighbour_talk=talk,
            drops=tuple(track.drops),
            loss=_loss(track) if result in ("silence", "stalled", "unreachable") else None,
            incomplete=incomplete,
            rate_limited=result == "silence" and any(s.namespace in rate_limited for s in sightings),
            neighbour_table_full=no_room and result in ("silence", "unreachable"),
        )

    def _attribute(self, observation: Observation) -> None:
        data = observation.frame.data
        look = observation.frame.look()
        match = self._owner(observation, data, look) if look is not None and look.protocol != ETHERTYPE_ARP else None
        if self.tap is not None:
            self.tap(observation, match)
        if look is None:
            return
        if look.protocol == ETHERTYPE_ARP:
            self._note_arp(observation, data, look)
            return
        track = self._tracks.get(match[0]) if match else None
        if match is None or track is None:
            return
        part = match[1]
        track.last = self._awake
        if isinstance(observation, Dropped):
            if observation.reason not in NOT_FOR_US:
                device = observation.device or _last_device(track, observation.namespace)
                track.drop = Loss(
                    observation.namespace, device, part, Grade.DROP, observation.reason, observation.location, observation.time_ns
                )
                track.drops.append(track.drop)
            return
        track.drop = None
        # What goes on while one socket after another is read comes piece by piece, and the latest not always last.
        insort(track.sightings, _sighting(observation, part, data, look), key=_time)

    def _owner(self, observation: Observation, data: bytes, look: Glance) -> tuple[int, Part] | None:
        if look.later:
            return self._fragments.get(look.fragment)
        match = self.tracker.identify(observation.namespace, data, look)
        if match is not None and look.fragment:
            self._fragments[look.fragment] = match
        return match

    def _note_arp(self, observation: Observation, data: bytes, look: Glance) -> None:
        if isinstance(observation, Dropped):
            return
        asks = is_arp_request(data, look)
        self._talk.append(_sighting(observation, "arp-request" if asks else "arp-reply", data, look))
        if asks:
            if observation.direction == "out":
                self._asking.add((observation.namespace, look.destination))
        elif observation.direction == "in":
            self._asking.discard((observation.namespace, look.source))

    def _over(self, track: _Track) -> bool:
        """Whether a probe of which nothing is heard is over. Asked only when the observer has nothing new."""
        patience = self._patience(track)
        here = _here(track)
        held = self.waiting.altogether if patience == TRANSFER else self.waiting.here(here)
        quiet = self._awake - track.last - held
        if quiet <= patience or self.signs.queued():
            return False
        if quiet <= PROGRAM and any(self.signs.works(*asked) for asked in self._asked(track)):
            return False
        return patience != QUIET or quiet > NEIGHBOUR or not self.signs.asks(here)

    def _asked(self, track: _Track) -> set[tuple[str, int, int]]:
        """Return the servers that a probe's request has reached: their namespaces, the port it came from, and theirs.

        What a plain connection waits for is seen: nobody but the lab answers it.
        """
        if isinstance(track.client, TcpClient):
            return set()
        came = {(s.namespace, *s.ports) for s in track.sightings if s.part == "request" and s.direction == "in"}
        return {(namespace, client, port) for namespace, client, port in came if (namespace, port) in self.servers}

    def _patience(self, track: _Track) -> int:
        if _transfers(track.client):
            return TRANSFER
        if track.drop is not None:
            return AFTER_DROP
        last = track.sightings[-1] if track.sightings else None
        if last is None:
            # The sender's kernel holds it: it asks for a neighbour, perhaps on a device without carrier, where nobody sees that.
            return PROGRAM if isinstance(track.client, HttpClient | DnsClient) else NEIGHBOUR
        if any(namespace == last.namespace for namespace, _ in self._asking):
            return NEIGHBOUR
        if last.part == "request" and last.direction == "in" and (last.namespace, _port(last)) in self.servers:
            return QUIET if _opens(track.client) else SERVER
        if isinstance(track.client, HttpClient) and last.part == "answer" and last.namespace == track.client.request.source:
            return SERVER  # the server has confirmed the request; a proxy now asks another one
        return QUIET


def _here(track: _Track) -> str:
    """Return the namespace in which a probe's packet was seen last."""
    return track.sightings[-1].namespace if track.sightings else track.client.request.source


def _opens(client: Client) -> bool:
    """Whether a client waits for its connection: kernels answer that themselves, and at once."""
    return isinstance(client, TcpClient) and not client.connected


def _without_answer(client: Client) -> Result:
    """Return what a client sees that got no answer.

    A connection that an error forbids is told so at its next SYN, a second later: an error about the first one is passed over that comes
    while the socket is still busy sending it, as over IPv6 it does where nothing delays it (LockDroppedIcmps; tcp_v6_err).
    """
    if client.answer.icmp is not None and _is_forbidden(client):
        return icmp_result(client.answer.icmp)
    return "stalled" if _transfers(client) else "silence"


def _is_forbidden(client: Client) -> bool:
    """Whether a client opens a connection about which an error has come that ends it."""
    error = client.answer.icmp
    return _opens(client) and error is not None and not error.too_big


def _transfers(client: Client) -> bool:
    """Whether a client waits for data over an open connection, or has not asked for them yet."""
    if not isinstance(client, TcpClient) or not client.connected:
        return False
    return client.request.answer > 0 or bool(client.request.over) or not client.asked


def _sighting(seen: Seen, part: Part, data: bytes, look: Glance) -> Sighting:
    source, destination = _address(look.source), _address(look.destination)
    marked = (0, 0) if look.later or part == "icmp-error" else marks(data, look)
    return Sighting(
        seen.time_ns, seen.namespace, seen.device, seen.direction, part, seen.frame, look.encapsulated, source, destination, marked
    )


@lru_cache(4096)
def _address(octets: bytes) -> Address:
    """A lab has few addresses, and its packets bear them again and again."""
    return ip_address(octets)


def _port(sighting: Sighting) -> int:
    """Return the destination port of the innermost packet, 0 when it has none."""
    look = sighting.frame.look()
    return ports(sighting.frame.data, look)[1] if look else 0


def _time(sighting: Sighting) -> int:
    return sighting.time_ns


def _seen_as(sightings: tuple[Sighting, ...]) -> Address | None:
    """Return the source address of the request at the farthest interface it came in by: the last one it had not been seen on before.

    (The last sighting of all may be of a later packet of the same probe, still on its way.)
    """
    first_seen: dict[str, Sighting] = {}
    for sighting in sightings:
        if sighting.part == "request" and sighting.direction == "in":
            first_seen.setdefault(sighting.interface, sighting)
    return list(first_seen.values())[-1].source if first_seen else None


def _last_device(track: _Track, namespace: str) -> str:
    return next((s.device for s in reversed(track.sightings) if s.namespace == namespace), "")


def _loss(track: _Track) -> Loss | None:
    """Return where the probe's request, or else its answer, ended; that an error about it got lost as well is not the point."""
    if track.drop is not None and track.drop.part != "icmp-error":
        return track.drop
    last = next((s for s in reversed(track.sightings) if s.part != "icmp-error"), None)
    return Loss(last.namespace, last.device, last.part, Grade.LAST_SEEN) if last else None


def _hops(client: TracerouteClient) -> tuple[Address | None, ...]:
    """Return who answered at each TTL, up to the target or the last who did."""
    final = min((ttl for ttl, said in client.hops.items() if not said.in_transit), default=max(client.hops, default=0))
    return tuple(_source(client, ttl) for ttl in range(1, final + 1))


def _source(client: TracerouteClient, ttl: int) -> Address | None:
    said = client.hops.get(ttl)
    return said.source if said is not None else None
