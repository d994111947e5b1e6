"""What is seen of a probe is put together, in whatever pieces it comes."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from lab.probe.clients import PingClient
from lab.probe.frame import Frame
from lab.probe.observe import Observation, Seen
from lab.probe.request import PingRequest
from lab.probe.track import Tracker, cookie
from lab.probe.watch import Watch
from tests.probe.test_track import ETHERNET, icmp, ip

A, B = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")


class Readings:
    """An observer that has seen something at each poll."""

    sees_drops = False
    lost = 0

    def __init__(self, *polls: list[Observation]) -> None:
        self._polls = list(polls)

    def watch(self, namespaces: Iterable[str]) -> None: ...

    def poll(self) -> list[Observation]:
        return self._polls.pop(0) if self._polls else []

    def close(self) -> None: ...


def seen(time: int, namespace: str, direction: str, kind: int) -> Seen:
    source, destination = (A, B) if kind == 8 else (B, A)
    packet = ip(source, destination, 1, icmp(kind, 7, 1, cookie(1)))
    return Seen(time, namespace, "eth0", direction, Frame(ETHERNET + packet))  # type: ignore[arg-type]


def test_the_way_is_in_order_of_time_although_one_socket_is_read_before_another() -> None:
    """A packet goes on while sockets are read: the answer may be heard at its sender before the request is on its way."""
    at_the_sender = [seen(1, "a", "out", 8), seen(4, "a", "in", 0)]
    on_the_way = [seen(2, "b", "in", 8), seen(3, "b", "out", 0)]
    tracker = Tracker(frozenset())
    tracker.echo(1, 7, 1)
    watch = Watch(Readings(at_the_sender, on_the_way), tracker, frozenset())
    client = PingClient(1, PingRequest("a", B))
    watch.begin(client)
    watch.take()
    watch.take()
    outcome = watch.outcome(client, (), frozenset(), incomplete=False, no_room=False)
    assert [sighting.time_ns for sighting in outcome.sightings] == [1, 2, 3, 4]
    assert outcome.loss is not None
    assert outcome.loss.interface == "a:eth0"
