"""Nothing that probes do escapes the capture, and where more happens than it can hold, the loss is counted and said."""

from __future__ import annotations

import socket

import pytest

from benchmarks.evidence import along, row_of, ways_along, ways_of
from lab.explain.journey import journey_of
from lab.kernel.sandbox import Sandbox
from lab.probe import PingRequest, Request, TcpRequest, UdpRequest, open_observer
from lab.probe.observe import Observation, Seen
from lab.scenario.stage import RunningLab
from tests.probe.small import BLACKHOLE, B, small_network

pytestmark = pytest.mark.kernel

observed = pytest.mark.parametrize(
    ("sandbox", "bpf"),
    [
        pytest.param("root", True, id="BPF", marks=pytest.mark.root),
        pytest.param("root", False, id="sockets"),
        pytest.param("ordinary user", False, id="sockets of an ordinary user"),
    ],
    indirect=["sandbox"],
)
WAY = ["a:eth0", "r:ra", "r:rb", "b:eth0"]
OFTEN, MANY = 24, 1000
"""As many connections as the largest shipped scenario opens at once, and many times as many."""
FLOOD = 40_000
"""Three times as many packets as a ring or a socket holds."""
LENGTH, PACKETS = 200, 100


def flood(sandbox: Sandbox, packets: int) -> None:
    """Send numbered datagrams to where all of them die."""
    with sandbox.socket_in("a", socket.AF_INET, socket.SOCK_DGRAM, 0) as sender:
        for number in range(packets):
            sender.sendto(number.to_bytes(4, "big"), (str(BLACKHOLE), 9))


@observed
@pytest.mark.parametrize("request_", [PingRequest("a", B), UdpRequest("a", B, 8080), TcpRequest("a", B, 8080)], ids=["ping", "udp", "tcp"])
def test_every_packet_of_many_probes_at_once_is_seen_and_every_answer_heard(sandbox: Sandbox, bpf: bool, request_: Request) -> None:
    """A ring holds all of MANY probes; in the sockets of an ordinary user room is scarce (`net.core.rmem_max`)."""
    number = MANY if bpf else OFTEN
    with small_network(sandbox, bpf=bpf) as small:
        outcomes = small.probe(*[request_] * number)
        assert small.observer.lost == 0
    assert [outcome.result for outcome in outcomes] == ["reply"] * number
    assert not any(outcome.incomplete for outcome in outcomes)
    for outcome in outcomes:
        assert (list(outcome.interfaces("request")), list(outcome.interfaces("answer"))) == (WAY, WAY[::-1])


@observed
def test_whatever_is_answered_is_heard_of_or_said_not_to_be(sandbox: Sandbox, bpf: bool) -> None:
    """The sender has a socket, too, and replies may find that full."""
    with small_network(sandbox, bpf=bpf) as small:
        outcomes = small.probe(*[PingRequest("a", B)] * MANY)
    assert {outcome.result for outcome in outcomes if not outcome.incomplete} <= {"reply"}
    assert sum(outcome.result == "reply" for outcome in outcomes) > MANY / 2


@observed
def test_of_a_flood_that_nobody_reads_every_packet_is_seen_or_counted(sandbox: Sandbox, bpf: bool) -> None:
    with small_network(sandbox) as small:
        assert small.one(PingRequest("a", B)).result == "reply", "the neighbour is known"
        observer = open_observer(sandbox, ["a"], bpf=bpf)
        before = observer.lost
        flood(sandbox, FLOOD)
        seen = [each for each in observer.poll() if isinstance(each, Seen) and each.frame.data[30:34] == BLACKHOLE.packed]
        lost = observer.lost - before
        assert observer.lost - before == lost, "nothing is counted twice"
        observer.close()
    assert lost > 0
    assert len(seen) + lost >= FLOOD
    numbers = [int.from_bytes(each.frame.data[42:46], "big") for each in seen]
    assert numbers == sorted(set(numbers)), "what is seen is seen once, and in order"


@observed
def test_a_probe_in_a_flood_says_that_packets_were_missed_and_the_next_one_does_not(sandbox: Sandbox, bpf: bool) -> None:
    with small_network(sandbox, bpf=bpf) as small:
        assert not small.one(PingRequest("a", B)).incomplete
        observer, floods = small.observer, iter([0, FLOOD])

        class Away:
            """The observer, whose reader is away while the second flood passes: the first look is before the probe."""

            def __getattr__(self, name: str) -> object:
                return getattr(observer, name)

            def poll(self) -> list[Observation]:
                flood(sandbox, next(floods, 0))
                return observer.poll()

        small.prober.observer = Away()  # type: ignore[assignment]
        assert small.one(PingRequest("a", BLACKHOLE)).incomplete
        assert not small.one(PingRequest("a", B)).incomplete


@observed
def test_a_packet_through_200_namespaces_is_seen_on_every_device_in_the_kernels_order(sandbox: Sandbox, bpf: bool) -> None:
    """A hundred of them at once, so that some are under way everywhere."""
    with RunningLab(sandbox, bpf=bpf) as lab:
        lab.reach(row_of(LENGTH))
        lab.probe([along(LENGTH)])  # every neighbour is known afterwards
        journeys = [journey_of(outcome) for outcome in lab.probe([along(LENGTH)] * PACKETS)]
    assert [ways_of(journey) == ways_along(LENGTH) for journey in journeys] == [True] * PACKETS
    for journey in journeys:
        assert journey.complete
        times = [passage.time_ns for passage in journey.passages]
        assert times == sorted(times)
