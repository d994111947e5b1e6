"""What is seen of a probe is put together, in whatever pieces it comes."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from lab.probe.client import Client
from lab.probe.clients import PingClient, TcpClient
from lab.probe.frame import Frame
from lab.probe.observe import Observation, Seen
from lab.probe.programs import CURL_PORTS, HttpClient
from lab.probe.request import HttpRequest, PingRequest, TcpRequest
from lab.probe.signs import NoSigns
from lab.probe.track import Tracker, cookie
from lab.probe.watch import MS, PROGRAM, QUIET, SERVER, TURN, Watch
from tests.probe.test_track import ACK, ETHERNET, SYN, icmp, ip, tcp

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


class Clock:
    """A clock that goes on by as much at every reading."""

    def __init__(self, step: int) -> None:
        self._now, self._step = 0, step

    def __call__(self) -> int:
        self._now += self._step
        return self._now


class Signs(NoSigns):
    """Signs of life that a test gives."""

    packets = False
    server = False

    def queued(self) -> bool:
        return self.packets

    def works(self, namespace: str, client: int, port: int) -> bool:
        return self.server and (namespace, client, port) == ("b", CURL_PORTS, 80)


def watching(client: Client, *polls: list[Observation], signs: NoSigns | None = None, step: int = MS) -> Watch:
    """Watch a client's probe from here on: a ping with identifier 7, or a connection from curl's first port to port 80 of b."""
    tracker = Tracker(frozenset({80}))
    tracker.echo(1, 7, 1)
    tracker.connection(1, "a", CURL_PORTS)
    watch = Watch(Readings(*polls), tracker, frozenset({("b", 80)}), signs=signs or NoSigns(), clock=Clock(step))
    watch.begin(client)
    for _ in polls:
        watch.look()
    return watch


def waits(watch: Watch, looks: int) -> int:
    """Return how many more looks it takes to call the probe over, at most so many."""
    for number in range(looks):
        if not watch.pending():
            return number
        watch.look()
    return looks


PING = PingClient(1, PingRequest("a", B))


def http() -> HttpClient:
    return HttpClient(1, HttpRequest("a", "http://10.0.0.2/"))


def segment(time: int, namespace: str, direction: str, flags: int) -> Seen:
    """A segment of the connection: a's with sequence number 1000, or b's answer."""
    from_a = not flags & ACK or flags == ACK
    packet = ip(A, B, 6, tcp(CURL_PORTS, 80, 1000, 0, flags, None)) if from_a else ip(B, A, 6, tcp(80, CURL_PORTS, 5, 1001, flags, None))
    return Seen(time, namespace, "eth0", direction, Frame(ETHERNET + packet))  # type: ignore[arg-type]


CONFIRMED = [segment(1, "a", "out", SYN), segment(2, "b", "in", SYN), segment(3, "b", "out", SYN | ACK), segment(5, "a", "in", SYN | ACK)]


def test_what_was_read_late_is_not_what_happened_last() -> None:
    """On a busy machine a hop of the answer is read after its arrival; its sender waits for the server all the same."""
    late = [segment(4, "r", "out", SYN | ACK)]
    for polls in ([CONFIRMED, late], [[*CONFIRMED, *late]]):
        assert waits(watching(http(), *polls), 2 * QUIET // MS) == 2 * QUIET // MS


def test_a_server_that_holds_the_connection_is_not_silent_before_its_client_gives_up() -> None:
    signs = Signs()
    assert waits(watching(http(), CONFIRMED, signs=signs), PROGRAM // MS) == SERVER // MS + 1
    signs.server = True
    assert waits(watching(http(), CONFIRMED, signs=signs), 2 * PROGRAM // MS) == PROGRAM // MS + 1
    on_its_way = [*CONFIRMED[:-1], segment(4, "r", "out", SYN | ACK)]
    assert waits(watching(http(), on_its_way, signs=signs), 2 * PROGRAM // MS) == PROGRAM // MS + 1


def test_time_in_which_the_lab_did_not_run_does_not_count() -> None:
    """A machine that is busy with others lets neither the lab look nor anybody answer."""
    ping = seen(1, "a", "out", 8)
    assert waits(watching(PING, [ping]), QUIET // MS * 2) == QUIET // MS + 1
    assert waits(watching(PING, [ping], step=1000 * MS), QUIET // MS) == QUIET // TURN + 1


def test_a_packet_that_waits_at_a_processor_is_not_lost() -> None:
    signs = Signs()
    signs.packets = True
    watch = watching(PING, [seen(1, "a", "out", 8)], signs=signs)
    assert waits(watch, 2 * QUIET // MS) == 2 * QUIET // MS
    signs.packets = False
    assert waits(watch, 2) == 1


def test_a_server_whose_kernel_does_not_answer_a_new_connection_is_not_thinking() -> None:
    """The kernel makes connections, no program does; waiting for one, a probe would see its request sent again for seconds."""
    unanswered = CONFIRMED[:2]
    assert waits(watching(TcpClient(1, TcpRequest("a", B, 80)), unanswered), SERVER // MS) == QUIET // MS + 1
    assert waits(watching(http(), unanswered), 2 * SERVER // MS) == SERVER // MS + 1
